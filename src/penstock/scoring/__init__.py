"""Scoring: the feature rows that the Production model has not scored yet, and their scores."""
