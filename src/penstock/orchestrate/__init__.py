"""The order of the stages, and how a run goes through them on one machine."""
