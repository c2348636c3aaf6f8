"""One published score as bytes, and one entity key as text; pure, and light enough for an application to import.

A value is a JSON array `[score, band, as_of, version, scored_at]`, instants as whole seconds since 1970 UTC, about 45
bytes: Redis keeps a hash in its compact form (listpack) only while no value is longer than 64 bytes
(`hash-max-listpack-value`). Readers ignore elements after the fifth, so that later writers may append some.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from penstock.errors import DataError, FailedError, UsageError

Key = str | int | tuple[str | int, ...]
"""An entity key: one part, or one part for each key column in the declared order. 17850 and "17850" are the same key."""


@dataclass(frozen=True, slots=True)
class PublishedScore:
    """One score as an application reads it, with where it comes from.

    `score` is rounded as declared, `band` is "" where no bands are declared, `version` is the model's, `generation`
    names the published set (empty before it is published). Instants are aware, UTC, whole seconds. `reasons` are sentences,
    what raises the score most first; empty where there are none. They lie in a field of their own (`publish.reasons`).
    """

    score: float
    band: str
    as_of: datetime
    version: str
    scored_at: datetime
    generation: str = ""
    reasons: tuple[str, ...] = ()


def encode(published: PublishedScore, digits: int = 4) -> bytes:
    """The value for Redis, without the reasons; `scored_at` loses its fraction of a second. DataError for a score that is not finite or a naive instant."""
    if not math.isfinite(published.score):
        raise DataError("score to publish", got=repr(published.score), expected="a finite number", left="Nothing of this row was written")
    score = round(published.score, digits) + 0.0  # + 0.0 turns -0.0 into 0.0: equal scores are equal bytes
    row = [score, published.band, _seconds(published.as_of), published.version, _seconds(published.scored_at)]
    return json.dumps(row, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def decode(value: bytes, generation: str = "") -> PublishedScore:
    """The score in a value of `encode`. Raises FailedError for bytes that `encode` cannot have written."""
    try:
        score, band, as_of, version, scored_at, *_ = json.loads(value)
        return PublishedScore(float(score), _text(band), _instant(as_of), _text(version), _instant(scored_at), generation)
    except (ValueError, TypeError, OverflowError, OSError) as error:
        raise FailedError(
            "published value",
            got=f"{len(value)} bytes that cannot be read",
            expected="[score, band, as_of, version, scored_at]",
            left=f"Generation {generation or 'unknown'} is served as it is",
            next="penstock publish PIPELINE",
        ) from error


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


def _text(part: object) -> str:
    if not isinstance(part, str):
        raise TypeError
    return part


def _seconds(instant: datetime) -> int:
    if instant.tzinfo is None:
        raise DataError("instant of a score to publish", got="no time zone", expected="an aware instant")
    return math.floor(instant.timestamp())


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
