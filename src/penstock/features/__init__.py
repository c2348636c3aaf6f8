"""Features: landed rows become tiles, tiles become features at any `as_of`, for training and scoring by the same code."""
