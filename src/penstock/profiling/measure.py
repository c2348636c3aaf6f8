"""From a lake's source to its profile: the days, the two queries, and the drift between the two sides; nothing is written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from penstock.config.monitoring import DriftConfig
from penstock.errors import UsageError
from penstock.lake import tables
from penstock.lake.contract import Contract
from penstock.lake.delta import Lake
from penstock.monitoring.drift import DriftFinding, find_drift
from penstock.monitoring.profile import ALL, Profile
from penstock.profiling.aggregate import ROW, bounds_of, bounds_query, counts_query, current_rows
from penstock.profiling.subjects import Bounds, ColumnProfile, SourceProfile, Span, Subject, bins_of, counts_of, fences_of, subjects_of


def profile_source(lake: Lake, contract: Contract, start: date | None, end: date | None, against: date | None) -> SourceProfile:
    """The profile of the rows of the days in [start, end), compared before and from `against` on.

    Raises UsageError when nothing has landed, or no file is of these days.
    """
    from pyspark.sql import functions as F

    landed, told = tables.landing(contract.name, ()), tables.files(contract.name)
    if not (lake.exists(landed) and lake.exists(told)):
        raise UsageError(f"table {landed.name}", got="none", expected="landed rows", next="penstock land PIPELINE --as-of DATE")
    files = lake.read(told)
    days = [row["day"] for row in files.select(F.col("day")).distinct().collect()]
    span, count = span_of(days, start, end, against)
    subjects = subjects_of(contract)
    rows = current_rows(lake.read(landed), files, span, [s.name for s in subjects])
    bounds = bounds_of(bounds_query(rows, subjects).collect()[0].asDict(recursive=True), subjects)
    bins = [bins_of(subject, own) for subject, own in zip(subjects, bounds, strict=True)]
    counted = [row.asDict() for row in counts_query(rows, subjects, bins).collect()]
    return profile_of(contract, span, count, bounds, counted)


def span_of(days: Sequence[date], start: date | None, end: date | None, against: date | None) -> tuple[Span, int]:
    """The span of the files' days in [start, end), and how many days have a file in it; without `against` it is divided in the middle.

    Raises UsageError when no day is left, or `against` leaves one side without days.
    """
    inside = sorted(day for day in set(days) if (start is None or day >= start) and (end is None or day < end))
    if not inside:
        known = f"days from {min(days)} to {max(days)}" if days else "landed files"
        raise UsageError("--from, --to", got="no file of these days", expected=known)
    first, last = inside[0], inside[-1]
    divide = against or first + timedelta(days=((last - first).days + 1) // 2)
    if against is not None and not first < against <= last:
        raise UsageError("--against", got=str(against), expected=f"a day after {first} and not after {last}: rows on both sides of it")
    return Span(first, last, divide), len(inside)


def profile_of(contract: Contract, span: Span, files: int, bounds: Sequence[Bounds], counted: Iterable[Mapping[str, Any]]) -> SourceProfile:
    """The profile from the bounds and the rows of the counts query; pure."""
    sides: dict[tuple[int, bool], dict[str, int]] = defaultdict(dict)
    total = repeated = 0
    for row in counted:
        if row["column"] == ROW:
            total, repeated = total + row["rows"], repeated + row["repeats"]
        else:
            sides[row["column"], row["after"]][row["bin"]] = row["rows"]
    columns = [
        _column(subject, own, sides[place, False], sides[place, True])
        for place, (subject, own) in enumerate(zip(subjects_of(contract), bounds, strict=True))
    ]
    return SourceProfile(
        source=contract.name,
        purpose=contract.purpose,
        span=span,
        files=files,
        rows=total,
        rows_after=sum(columns[0].after),
        repeated=repeated,
        columns=with_drift(columns),
    )


def _column(subject: Subject, bounds: Bounds, before: Mapping[str, int], after: Mapping[str, int]) -> ColumnProfile:
    bins = bins_of(subject, bounds)
    return ColumnProfile(subject, bounds, bins, counts_of(bins, before), counts_of(bins, after), fences_of(subject, bounds), None)


def with_drift(columns: Sequence[ColumnProfile]) -> tuple[ColumnProfile, ...]:
    """The columns with what the monitoring's own measures say of the later rows against the earlier ones; times are left out."""
    compared = [column for column in columns if column.subject.kind != "time"]
    rows = sum(columns[0].before) if columns else 0
    counts = {(ALL, c.subject.name): c.before for c in compared}
    reference = Profile(tuple(c.bins for c in compared), counts, (), rows, rows)
    # No name is exempt here: a column of a source is no feature over an open window.
    config = DriftConfig(unbounded_names=(), unbounded_suffixes=())
    found: dict[str, DriftFinding] = {
        f.feature: f for f in find_drift(reference, {(ALL, c.subject.name): c.after for c in compared}, config)
    }
    return tuple(replace(column, drift=found.get(column.subject.name)) for column in columns)
