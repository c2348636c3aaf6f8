"""The page and the terminal table that people look at: one frozen value in, text out, no network and no clock."""
