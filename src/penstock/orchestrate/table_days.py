"""Whom a table is about and over which days: what a horizon, windows and a schedule are told from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from penstock.errors import UsageError
from penstock.landing.layout import dating_of
from penstock.landing.parts import days_of
from penstock.orchestrate.table_types import Kind


@dataclass(frozen=True)
class Days:
    """Entities and their days. `pairs` are distinct (entity number, day number since `first`), in order."""

    first: date
    last: date
    entities: int
    nobody: int
    """Rows that name no entity."""
    undated: int
    """Rows whose event time is null."""
    pairs: NDArray[np.int64]

    @property
    def span(self) -> int:
        """Days from the first to the last, both included."""
        return (self.last - self.first).days + 1

    @property
    def gaps(self) -> NDArray[np.int64]:
        """Days between two days of the same entity, one after the other."""
        same = np.diff(self.pairs[:, 0]) == 0
        return np.asarray(np.diff(self.pairs[:, 1])[same], dtype=np.int64)

    @property
    def open_days(self) -> NDArray[np.int64]:
        """The days, counted from the first, on which anything happened."""
        return np.unique(self.pairs[:, 1])

    def active(self, day: date, days: int) -> int:
        """How many entities had an event in so many days before a day."""
        at = (day - self.first).days
        within = (self.pairs[:, 1] < at) & (self.pairs[:, 1] >= at - days)
        return int(np.unique(self.pairs[within, 0]).size)

    def known(self, day: date) -> int:
        """How many entities had any event before a day."""
        return int(np.unique(self.pairs[self.pairs[:, 1] < (day - self.first).days, 0]).size)


def days_seen(blocks: Iterable[list[pa.Array]], kind: Kind, timezone: str, entity: Sequence[str]) -> Days:
    """From blocks of text columns, the key's and then the event time. Raises UsageError when too few rows name anybody, or a time."""
    zone = "UTC" if kind.in_utc else timezone
    dating = dating_of("", kind.format or _written(kind), zone, timezone)
    frames = []
    for block in blocks:
        frame = pd.DataFrame({f"k{at}": column.to_pandas() for at, column in enumerate(block[:-1])})
        frame["day"] = pd.array([None if d is None else d.toordinal() for d in days_of(block[-1], dating)], dtype="Int64")
        frames.append(frame)
    rows = pd.concat(frames, ignore_index=True)
    keys = [name for name in rows.columns if name != "day"]
    nobody = rows[keys].isna().any(axis=1)
    if nobody.mean() > 0.5:
        raise UsageError(
            f"--entity {' '.join(entity)}",
            got=f"{int(nobody.sum()):,} of {len(rows):,} rows without a value",
            expected="a column that names somebody in most rows",
        )
    undated = rows["day"].isna()
    if (nobody | undated).all():
        raise UsageError("--event-time", got="no row with a time and an entity", expected="some")
    events = rows[~nobody & ~undated]
    number = events.groupby(keys, sort=False).ngroup().to_numpy()
    first = int(events["day"].min())
    pairs = np.unique(np.column_stack([number, events["day"].to_numpy(dtype=np.int64) - first]), axis=0)
    last = date.fromordinal(int(events["day"].max()))
    return Days(date.fromordinal(first), last, int(number.max()) + 1, int(nobody.sum()), int(undated.sum()), pairs)


def next_day(days: Days) -> date:
    """The first day on which all of the table could have been known."""
    return days.last + timedelta(days=1)


def _written(kind: Kind) -> str:
    """How Parquet's own dates and times are told as text."""
    if kind.type == "date":
        return "yyyy-MM-dd"
    return "yyyy-MM-dd HH:mm:ss[.SSSSSS]" + ("XXX" if kind.has_offset else "")
