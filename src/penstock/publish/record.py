"""One published score as bytes, and one entity key as text; pure, and light enough for an application to import.

A value is an array `[score, band, as_of, version, scored_at]` in one of the formats of `publish.packing`, about 45 bytes: Redis keeps a hash in its compact form (listpack) only while no value is longer than 64 bytes
(`hash-max-listpack-value`). Readers ignore elements after the fifth, so that later writers may append some.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from penstock.errors import DataError, UsageError
from penstock.publish.packing import Format, instant, number, pack, rounded, seconds, text, unpack, unreadable

Key = str | int | tuple[str | int, ...]
"""An entity key: one part, or one part for each key column in the declared order. 17850 and "17850" are the same key."""

Provenance = Literal["scored", "fallback"]
"""Whether a value was made for this entity, or stands in for those without one."""


@dataclass(frozen=True, slots=True)
class PublishedScore:
    """One score as an application reads it, with where it comes from.

    `score` is rounded as declared, `band` is "" where no bands are declared, `version` is the model's, `generation`
    names the published set (empty before it is published). Instants are aware, UTC, whole seconds. `reasons` are sentences,
    what raises the score most first; empty where there are none. They lie in a field of their own (`publish.reasons`).
    Of a `fallback`, `why` says why it was taken and `group` whose it is ("" is everybody's). `age` is the time from `as_of`
    to the reading, and no part of what makes two scores equal.
    """

    score: float
    band: str
    as_of: datetime
    version: str
    scored_at: datetime
    generation: str = ""
    reasons: tuple[str, ...] = ()
    provenance: Provenance = "scored"
    why: str = ""
    group: str = ""
    age: timedelta | None = field(default=None, compare=False)


def encode(published: PublishedScore, digits: int = 4, format: Format = "json") -> bytes:
    """The value for Redis, without the reasons; `scored_at` loses its fraction of a second. DataError for a score that is not finite or a naive instant."""
    score = rounded(published.score, digits)
    return pack((score, published.band, seconds(published.as_of), published.version, seconds(published.scored_at)), format)


def decode(value: bytes, generation: str = "", format: Format = "json", now: datetime | None = None) -> PublishedScore:
    """The score in a value of `encode`, with its age at `now`. Raises FailedError for bytes that `encode` cannot have written."""
    try:
        score, band, since, version, scored_at, *_ = unpack(value, format)
        as_of = instant(since)
        age = now - as_of if now is not None else None
        return PublishedScore(number(score), text(band), as_of, text(version), instant(scored_at), generation, age=age)
    except (ValueError, TypeError, OverflowError, OSError) as error:
        raise unreadable(value, "[score, band, as_of, version, scored_at]", generation) from error


def key_text(key: Key) -> str:
    """The text of a key, different for different keys: a single part as it is, several as a JSON array of strings.

    A single part that begins with `[` is written as an array too, so that it cannot be taken for a composite key.
    Raises UsageError for a part that is neither text nor whole number.
    """
    parts = [_part(part) for part in (key if isinstance(key, tuple) else (key,))]
    if not parts:
        raise UsageError("entity key", got="no parts", expected="at least one")
    if len(parts) == 1 and not parts[0].startswith("["):
        return parts[0]
    return json.dumps(parts, separators=(",", ":"), ensure_ascii=False)


def band_of(score: float, bands: Sequence[tuple[str, float]]) -> str:
    """The name of the last of the ascending (name, lower bound) that the rounded score reaches; "" without bands.

    Raises DataError for a score under the lowest bound or not a number: not known is no band.
    """
    reached = [name for name, lower in bands if score >= lower]
    if bands and not reached:
        raise DataError("band of a score", got=repr(score), expected=f"at least {bands[0][1]}", next="publish.bands: lower the first bound")
    return reached[-1] if reached else ""


def _part(part: object) -> str:
    if isinstance(part, bool) or not isinstance(part, str | int):
        raise UsageError("entity key", got=f"a part of type {type(part).__name__}", expected="text or a whole number")
    text = str(part)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError("entity key", got="text that is not valid Unicode", expected="text that UTF-8 can hold") from None
    return text
