"""Registry: the gates between a candidate and production, and the store that keeps versions."""
