"""What an audit takes for the same feature, and what not."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.publish.audit import NO_VALUE, UNREADABLE, differing
from penstock.publish.features import decode_features, encode_features

AS_OF = datetime(2023, 7, 16, 23, tzinfo=UTC)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False, places=3),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.dates(date(1990, 1, 1)),
    st.datetimes(datetime(1990, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - a bound, which has its zone beside it
    st.lists(st.text(st.characters(exclude_categories=["Cs"]))),
)


@given(st.lists(VALUES, min_size=1, max_size=6), st.sampled_from(["json", "msgpack"]))
def test_a_row_is_what_it_was_published_as(values: list[Any], format: Any) -> None:
    columns = [f"c{n}" for n in range(len(values))]
    found = decode_features(encode_features(values, AS_OF, format), columns, "g", format)
    assert list(differing(dict(zip(columns, values, strict=True)), AS_OF, found)) == []


@pytest.mark.parametrize(
    ("offline", "published"),
    [
        (1.0, 1.0000000000000002),
        (Decimal("1.10"), "1.1"),
        (True, 1),
        (0, False),
        (0, None),
        (None, ""),
        (["a", "b"], ["b", "a"]),
        (datetime(2023, 7, 1, tzinfo=UTC), 1_688_169_601),
        (2**53 + 1, 2**53),
    ],
)
def test_the_smallest_difference_is_one(offline: object, published: object) -> None:
    found = decode_features(encode_features([7, published], AS_OF), ["same", "other"])
    assert list(differing({"same": 7, "other": offline}, AS_OF, found)) == ["other"]


def test_columns_and_instants_that_one_side_lacks_are_told() -> None:
    found = decode_features(encode_features([1, 2], AS_OF), ["a", "b"])
    assert list(differing({"a": 1, "c": 3}, AS_OF.replace(hour=22), found)) == ["as_of", "c", "b"]
    assert list(differing({"a": 1}, AS_OF, None)) == [NO_VALUE]
    assert list(differing({"a": 1}, AS_OF, UNREADABLE)) == [UNREADABLE]
