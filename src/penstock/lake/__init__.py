"""The lake: the Spark session, the tables, the only door to Delta, leases and the ledger."""
