"""Monitoring: what came of the scores, how the inputs moved, and whether that is a reason to train again."""
