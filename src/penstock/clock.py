"""Instants, local days and half-open windows; the only place that asks the time.

An `as_of` is an instant: midnight, in the contract's time zone, of the day that a user types. All instants are aware
`datetime`s in UTC. A hop is a local calendar day (`datetime.date`), so that windows do not change length when the
clocks do.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from penstock.errors import UsageError

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def now() -> datetime:
    """The wall clock, in UTC, for columns that say when something was done; never for what is done."""
    return datetime.now(UTC)


def stopwatch() -> float:
    """Seconds of a clock that only runs forward, for durations."""
    return time.perf_counter()


def parse_day(text: str) -> date:
    """`2011-09-05` as a date. Raises UsageError for anything else."""
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise UsageError("--as-of", got=repr(text), expected="a day as YYYY-MM-DD", next="penstock run PIPELINE --as-of 2011-09-05")


def midnight(day: date, timezone: str) -> datetime:
    """The instant at which `day` begins in `timezone`, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(timezone)).astimezone(UTC)


def local_day(instant: datetime, timezone: str) -> date:
    """The calendar day of an instant in `timezone`."""
    return instant.astimezone(ZoneInfo(timezone)).date()


def weekly(first: date, last: date, every_days: int = 7) -> tuple[date, ...]:
    """Days `first`, `first + every_days` … up to and including `last`."""
    count = (last - first).days // every_days + 1
    return tuple(first + timedelta(days=every_days * i) for i in range(max(count, 0)))


def days_between(first: date, last: date) -> tuple[date, ...]:
    """The days of the half-open window [first, last)."""
    return tuple(first + timedelta(days=i) for i in range((last - first).days))


def from_epoch(micros: int) -> datetime:
    """Microseconds since 1970 as an instant."""
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=micros)
