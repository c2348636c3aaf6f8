"""Scores out of the lake: the CRM table and the Redis generation that applications read."""
