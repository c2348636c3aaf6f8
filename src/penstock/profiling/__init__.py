"""The profile of a source: what its landed rows hold, column by column, and what changed between two dates."""
