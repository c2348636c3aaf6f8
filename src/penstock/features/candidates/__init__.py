"""The items that an entity may be shown at an `as_of`, and what is known of each pair: from what was taken before it, and nothing else.

`pairs.py` what an entity took of an item, `items.py` what all took of it, `factors.py` the matrix factorisation, `sources.py`
which items each source brings, and `build.py` puts them together.
"""
