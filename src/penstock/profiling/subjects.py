"""What is profiled and what came out: frozen values between the two queries and the page.

A column is `number`, `time`, `category` (text, boolean) or `personal`. Of a personal column nothing is read but whether
there is a value and about how many different ones: no value of it leaves Spark.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np

from penstock.lake.contract import Column, Contract
from penstock.monitoring.bins import Bins
from penstock.monitoring.drift import DriftFinding

Kind = Literal["number", "time", "category", "personal"]

SHARES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""The quantiles that are taken; the quartiles make the fences."""
TOP = 12
"""Categories that are counted by name."""
BARS = 24
"""Bins of a histogram, not counting the two beyond its ends."""
REACH = 3.0
"""Interquartile ranges from the quartiles beyond which a value is an outlier (Tukey's outer fences)."""
PRESENT = "(a value)"
"""The one category of a personal column."""

_WHOLE = ("int", "bigint", "date")


@dataclass(frozen=True)
class Subject:
    """One column to profile."""

    name: str
    type: str
    kind: Kind
    description: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether its numbers are whole."""
        return self.type in _WHOLE


@dataclass(frozen=True)
class Bounds:
    """What the first query said of one column. Times are seconds since 1970 (days for dates); None where there is no value."""

    nulls: int
    nans: int
    distinct: int
    """About: HyperLogLog with a relative error of 2 %."""
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    std: float | None = None
    quantiles: tuple[float, ...] = ()
    """At `SHARES`, each a value that occurs; its rank is right to a ten-thousandth of the rows."""
    top: tuple[str, ...] = ()
    """The most frequent categories as text."""


@dataclass(frozen=True)
class ColumnProfile:
    """A column's bounds, its counts in `bins`, and how the later rows' counts differ from the earlier ones'.

    `before` and `after` are the counts of the rows of days before the date that divides them and from it on.
    """

    subject: Subject
    bounds: Bounds
    bins: Bins
    before: tuple[int, ...]
    after: tuple[int, ...]
    fences: tuple[float, float] | None
    """Values outside are outliers; None where there are no numbers, or half of them are one value."""
    drift: DriftFinding | None
    """None for times: they move on by themselves."""

    @property
    def counts(self) -> tuple[int, ...]:
        """Rows in each bin."""
        return tuple(a + b for a, b in zip(self.before, self.after, strict=True))

    @property
    def outliers(self) -> int | None:
        """Values beyond the fences."""
        return None if self.fences is None else self.counts[0] + self.counts[len(self.bins.edges)]


@dataclass(frozen=True)
class Span:
    """The days that are profiled, [first, last], and the day that divides them: rows of days before it, rows from it on."""

    first: date
    last: date
    divide: date


@dataclass(frozen=True)
class SourceProfile:
    """A source's rows, of the newest version of each file."""

    source: str
    purpose: str
    span: Span
    files: int
    rows: int
    rows_after: int
    repeated: int
    """Rows that repeat another one in every column of the contract."""
    columns: tuple[ColumnProfile, ...]


def subjects_of(contract: Contract) -> tuple[Subject, ...]:
    """The contract's columns."""
    return tuple(Subject(c.name, c.type, _kind(c), c.description) for c in contract.columns)


def _kind(column: Column) -> Kind:
    if column.is_personal:
        return "personal"
    if column.type in {"date", "timestamp"}:
        return "time"
    return "category" if column.type in {"string", "boolean"} else "number"


def fences_of(subject: Subject, bounds: Bounds) -> tuple[float, float] | None:
    """The outer fences; None for what is no number, and where the quartiles are one value."""
    if subject.kind != "number" or not bounds.quantiles:
        return None
    lower, upper = (bounds.quantiles[SHARES.index(q)] for q in (0.25, 0.75))
    reach = REACH * (upper - lower)
    return (lower - reach, upper + reach) if reach > 0 else None


def bins_of(subject: Subject, bounds: Bounds) -> Bins:
    """How the second query counts the column: equal steps between the fences (or the ends), or the most frequent categories.

    A histogram's ends are the fences where values lie beyond them, so that the counts below and above it are the outliers.
    """
    if subject.kind == "personal":
        return Bins(subject.name, "category", categories=(PRESENT,), is_open=True)
    if subject.kind == "category":
        return Bins(subject.name, "category", categories=bounds.top, is_open=True)
    if bounds.low is None or bounds.high is None:
        return Bins(subject.name, "numeric")
    low, high = bounds.low, bounds.high
    fences = fences_of(subject, bounds)
    if fences is not None:
        low, high = max(low, fences[0]), min(high, fences[1])
    elif subject.kind == "number" and bounds.quantiles[0] < bounds.quantiles[-1]:
        low, high = bounds.quantiles[0], bounds.quantiles[-1]  # no fences, yet a few values far out must not hide the others
    return Bins(subject.name, "numeric", edges=_edges(low, high, whole=subject.is_whole))


def _edges(low: float, high: float, *, whole: bool) -> tuple[float, ...]:
    """Edges of equal bins that hold [low, high], both included. Bins of whole numbers begin and end between two of them; the last may be narrower."""
    if whole:
        first, last = math.ceil(low), math.floor(high)
        width = max(1, math.ceil((last - first + 1) / BARS))
        return (*(float(number) - 0.5 for number in range(first, last + 1, width)), last + 0.5)
    end = float(np.nextafter(high, math.inf))
    edges = [low + (high - low) * step / BARS for step in range(BARS)] if high > low else [low]
    return tuple(dict.fromkeys([*edges, end]))


def counts_of(bins: Bins, rows: Mapping[str, int]) -> tuple[int, ...]:
    """Counts by label (a bin's number, a category as `=TEXT`, `OTHER`, `NULL`, `NaN`) as the vector of `bins`."""
    keys = bin_keys(bins)
    if strange := rows.keys() - set(keys):
        raise ValueError(f"got {len(strange)} labels that {bins.feature} does not have")
    return tuple(int(rows.get(key, 0)) for key in keys)


def bin_keys(bins: Bins) -> Sequence[str]:
    """The labels under which the second query counts, in the order of the count vector."""
    if bins.kind == "category":
        return bins.labels
    return [*(str(place) for place in range(len(bins.edges) + 1)), "NULL", "NaN"]
