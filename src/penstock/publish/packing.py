"""Rows as bytes and back, in the two formats that a generation may have, and what published values are made of; pure and import-light.

JSON is UTF-8 without spaces, numbers with as few digits as tell them apart. MessagePack takes the package `msgpack`, which
is imported only when a generation says so. Instants are whole seconds since 1970 UTC in both.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from types import ModuleType
from typing import Any, Literal, get_args

from penstock.errors import DataError, FailedError, UsageError

Format = Literal["json", "msgpack"]
FORMATS: tuple[Format, ...] = get_args(Format)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


def pack(row: Sequence[object], format: Format = "json") -> bytes:
    """One row. UsageError when the format's package is not there."""
    if format == "msgpack":
        packed: bytes = _msgpack().packb(row)
        return packed
    return json.dumps(row, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def unpack(value: bytes, format: Format = "json") -> list[Any]:
    """The row in a value of `pack`. ValueError or TypeError for anything else, UsageError when the format's package is not there."""
    found = _msgpack().unpackb(value) if format == "msgpack" else json.loads(value.decode())
    if not isinstance(found, list):
        raise TypeError
    return found


def rounded(score: float, digits: int) -> float:
    """The score as it is published; -0.0 becomes 0.0, since equal scores are equal bytes. DataError when it is not finite."""
    if not math.isfinite(score):
        raise DataError("score to publish", got=repr(score), expected="a finite number", left="Nothing of this row was written")
    return round(float(score), digits) + 0.0


def seconds(instant: datetime) -> int:
    """Whole seconds since 1970, the fraction cut off. DataError for an instant without a time zone."""
    if instant.tzinfo is None:
        raise DataError("instant of a score to publish", got="no time zone", expected="an aware instant")
    return (instant - _EPOCH) // _SECOND


def instant(since: object) -> datetime:
    """The instant so many seconds after 1970. ValueError, TypeError, OverflowError or OSError for what is none."""
    if not isinstance(since, int) or isinstance(since, bool):
        raise TypeError
    return _at(since)


def number(found: object) -> float:
    """A finite number. ValueError or TypeError for anything else."""
    if not isinstance(found, int | float) or isinstance(found, bool):
        raise TypeError
    if not math.isfinite(found):
        raise ValueError
    return float(found)


def text(found: object) -> str:
    """Text. TypeError for anything else."""
    if not isinstance(found, str):
        raise TypeError
    return found


def unreadable(value: bytes, expected: str, generation: str) -> FailedError:
    """The error for bytes that no publisher wrote; it does not show them."""
    return FailedError(
        "published value",
        got=f"{len(value)} bytes that cannot be read",
        expected=expected,
        left=f"Generation {generation or 'unknown'} is served as it is",
        next="penstock publish PIPELINE",
    )


@lru_cache(maxsize=1_000)
def _at(since: int) -> datetime:
    return datetime.fromtimestamp(since, UTC)  # of all values of a generation there are few different ones


@cache
def _msgpack() -> ModuleType:
    try:
        import msgpack
    except ModuleNotFoundError:
        raise UsageError(
            "values in MessagePack", got="no package msgpack", expected="it", left="Nothing was touched", next="pip install msgpack"
        ) from None
    found: ModuleType = msgpack
    return found
