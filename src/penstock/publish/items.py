"""One entity's published items as bytes; pure and import-light.

A value is an array `[[[item, score, source], …], as_of, version, scored_at]`, items in rank order, in one of the formats
of `publish.packing`. Readers ignore elements after the last that they know, so that later writers may append some.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from penstock.publish.packing import Format, instant, number, pack, rounded, seconds, text, unpack, unreadable
from penstock.publish.record import Provenance


@dataclass(frozen=True, slots=True)
class Recommended:
    """One item, its score as rounded for publication, and which part of the ranking put it forward."""

    item: str
    score: float
    source: str


@dataclass(frozen=True, slots=True)
class PublishedItems:
    """One entity's items in rank order, with where they come from: the fields mean what they mean in `PublishedScore`."""

    items: tuple[Recommended, ...]
    as_of: datetime
    version: str
    scored_at: datetime
    generation: str = ""
    provenance: Provenance = "scored"
    why: str = ""
    group: str = ""
    age: timedelta | None = field(default=None, compare=False)


def encode_items(published: PublishedItems, digits: int = 4, format: Format = "json") -> bytes:
    """The value for Redis; `scored_at` loses its fraction of a second. DataError for a score that is not finite or a naive instant."""
    items = [[text(one.item), rounded(one.score, digits), text(one.source)] for one in published.items]
    return pack((items, seconds(published.as_of), published.version, seconds(published.scored_at)), format)


def decode_items(value: bytes, generation: str = "", format: Format = "json", now: datetime | None = None) -> PublishedItems:
    """The items in a value of `encode_items`, with their age at `now`. Raises FailedError for bytes that it cannot have written."""
    try:
        rows, since, version, scored_at, *_ = unpack(value, format)
        items = tuple(Recommended(text(item), number(score), text(source)) for item, score, source, *_ in rows)
        as_of = instant(since)
        age = now - as_of if now is not None else None
        return PublishedItems(items, as_of, text(version), instant(scored_at), generation, age=age)
    except (ValueError, TypeError, OverflowError, OSError) as error:
        raise unreadable(value, "[[[item, score, source], ...], as_of, version, scored_at]", generation) from error
