"""One entity's published features as bytes; pure and import-light.

A value is an array `[as_of, value, value, …]` in the order of the generation's `columns`, in one of the formats of
`publish.packing`: null, true or false, a number, text, or an array of texts. Decimals travel as text, so that no digit is
lost, days as `YYYY-MM-DD`, instants as whole seconds since 1970 UTC.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

from penstock.errors import DataError
from penstock.publish.packing import Format, instant, pack, seconds, unpack, unreadable
from penstock.publish.record import Provenance

Value = None | bool | int | float | str | list[str]
"""A feature as it is read."""


@dataclass(frozen=True, slots=True)
class PublishedFeatures:
    """One entity's features by column, with where they come from: the other fields mean what they mean in `PublishedScore`."""

    values: Mapping[str, Value]
    as_of: datetime
    generation: str = ""
    provenance: Provenance = "scored"
    why: str = ""
    group: str = ""
    age: timedelta | None = field(default=None, compare=False)

    def __getitem__(self, column: str) -> Value:
        """The value of one column. KeyError for a column that is not published."""
        return self.values[column]


def encode_features(values: Sequence[object], as_of: datetime, format: Format = "json") -> bytes:
    """The value for Redis. DataError for a number that is not finite, an instant without a zone, or a type that cannot be published."""
    return pack((seconds(as_of), *map(plain, values)), format)


def decode_features(
    value: bytes, columns: Sequence[str], generation: str = "", format: Format = "json", now: datetime | None = None
) -> PublishedFeatures:
    """The features in a value of `encode_features` for these columns. Raises FailedError for bytes that it cannot have written."""
    try:
        since, *values = unpack(value, format)
        as_of = instant(since)
        return PublishedFeatures(dict(zip(columns, values, strict=True)), as_of, generation, age=now - as_of if now is not None else None)
    except (ValueError, TypeError, OverflowError, OSError) as error:
        raise unreadable(value, f"[as_of, {len(columns)} values]", generation) from error


def plain(value: object) -> Value:
    """A feature as it travels. Raises as `encode_features`."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value + 0.0
    if isinstance(value, Decimal) and value.is_finite():
        return format_decimal(value)
    if isinstance(value, datetime):
        return seconds(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        return list(value)
    found = "a number that is not finite" if isinstance(value, float | Decimal) else f"a {type(value).__name__}"
    raise DataError(
        "feature to publish",
        got=found,
        expected="null, true or false, a finite number, text, a list of texts, a day or an instant",
        left="Nothing of this row was written",
    )


def format_decimal(value: Decimal) -> str:
    """All digits, never with an exponent."""
    return format(value, "f")
