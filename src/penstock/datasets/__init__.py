"""Data that comes with the package, for the demo and the tests."""
