"""The choices of a first pipeline over a table: horizon, windows, schedule, features and sizes. Pure; a person edits what comes of them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

import numpy as np

from penstock.orchestrate.table_days import next_day
from penstock.orchestrate.table_profile import Column, Profile
from penstock.orchestrate.table_types import decimals_of

STEPS = (7, 14, 30, 60, 90, 180, 365)
SUMS, TEXTS, CATEGORIES = 12, 6, 50
"""At most so many summed columns, last texts, and values of such a text."""

_IDENTIFIER = re.compile(r"(^|_)(id|no|nr|num|number|code|zip|postcode|phone|year|key)$")
_DELAY = 1
_COHORTS = 104


@dataclass(frozen=True)
class Choices:
    """What the files will say."""

    horizon: int
    usual_gap: float | None
    """Median days between two events of the same entity; None when nobody has two."""
    windows: tuple[int, ...]
    recent: int
    """Days within which somebody must have had an event to be scored."""
    first: date
    every: int
    as_of: date
    """The newest `as_of` for which all of the table is known."""
    matured: int
    """Cohorts whose outcome the table holds."""
    training: int
    """Of them, those before the holdout."""
    holdout: int
    members: int
    """Entities in the newest cohort."""
    freshness: int
    closed: tuple[str, ...]
    growth: float
    sums: tuple[Column, ...]
    left_out: tuple[str, ...]
    """Numeric columns that are not summed, by their names in the lake."""
    texts: tuple[Column, ...]
    predicted: Column | None
    """Whose sum over the horizon is predicted, one of `sums`; None when it is whether nothing comes."""
    lacking: tuple[str, ...]
    """What the table lacks for a training; empty when there is enough."""


def choose(profile: Profile, horizon: int | None = None, predicted: Column | None = None) -> Choices:
    """The choices for a table; a given horizon is kept, and a numeric column whose sum is to be predicted."""
    days = profile.days
    gaps = days.gaps
    as_of = next_day(days)
    ahead = horizon or _horizon(gaps, days.span)
    recent = _recent(ahead, days.span)
    windows = tuple(sorted({w for w in STEPS if w < recent and (w >= ahead / 2 or w == 7)} | {recent}))[-4:]
    every = _every(days.span)
    grid = _grid(days.first + timedelta(days=min(recent, max(days.span // 4, 1))), as_of, every)
    matured = [day for day in grid if day + timedelta(days=ahead + _DELAY) <= as_of and days.active(day, recent)]
    holdout, training = _holdout(matured, ahead)
    members = days.active(as_of, recent)
    sums, left_out = _sums(profile, predicted)
    closed = _closed(profile)
    return Choices(
        horizon=ahead,
        usual_gap=float(np.median(gaps)) if gaps.size else None,
        windows=windows,
        recent=recent,
        first=grid[0],
        every=every,
        as_of=as_of,
        matured=len(matured),
        training=training,
        holdout=holdout,
        members=members,
        freshness=_freshness(profile),
        closed=closed,
        growth=_growth(profile, grid),
        sums=sums,
        left_out=left_out,
        texts=_texts(profile),
        predicted=predicted,
        lacking=_lacking(profile, matured, training, ahead, every, members),
    )


def _horizon(gaps: np.ndarray, span: int) -> int:
    """Half as long again as three of four gaps, so that silence means something; no more than a fifth of the history."""
    wanted = 1.5 * float(np.quantile(gaps, 0.75)) if gaps.size else 30.0
    fits = [step for step in STEPS if step <= max(span / 5, STEPS[0])]
    return next((step for step in fits if step >= wanted), fits[-1])


def _recent(horizon: int, span: int) -> int:
    """Twice the horizon, no more than a third of the history, no less than the horizon."""
    wanted = next((step for step in STEPS if step >= 2 * horizon), 2 * horizon)
    return max(horizon, min(wanted, max((step for step in STEPS if step <= span / 3), default=STEPS[0])))


def _every(span: int) -> int:
    return 7 * math.ceil(span / 7 / _COHORTS) if span >= 70 else 1


def _grid(earliest: date, last: date, every: int) -> list[date]:
    """Days up to `last`, which is one of them, as the schedule will have them."""
    count = max((last - earliest).days // every, 0)
    return [last - timedelta(days=every * i) for i in range(count, -1, -1)]


def _holdout(matured: list[date], horizon: int) -> tuple[int, int]:
    """(cohorts that judge, cohorts that train), with at least as many training as judging where that can be had."""
    best = (1, 0)
    for held in (1, 2, 3, 4):
        if len(matured) > held:
            training = sum(day + timedelta(days=horizon + _DELAY) <= matured[-held] for day in matured)
            if training and (best[1] == 0 or training >= held):
                best = (held, training)
    return best


def _sums(profile: Profile, wanted: Column | None) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    own = {*profile.entity, profile.event_time}
    found = [column for column in profile.columns if column not in own and column.is_number and column.nulls < column.rows]
    useful = [c for c in found if (not _names_things(c) and c.distinct > 1) or c is wanted]
    chosen = sorted(useful, key=lambda c: (c is not wanted, round(10 * c.nulls / c.rows), profile.columns.index(c)))[:SUMS]
    return tuple(chosen), tuple(c.name for c in found if c not in chosen)


def _names_things(column: Column) -> bool:
    """Whether whole numbers are names rather than amounts: by what the column is called, or since each stands once."""
    whole = column.kind.type in {"int", "bigint"}
    return whole and (bool(_IDENTIFIER.search(column.name)) or (column.rows > 20 and column.distinct == column.rows - column.nulls))


def _texts(profile: Profile) -> tuple[Column, ...]:
    own = {*profile.entity, profile.event_time}
    found = [c for c in profile.columns if c not in own and c.kind.type == "string" and 2 <= c.distinct <= CATEGORIES]
    return tuple(c for c in found if c.nulls <= c.rows / 2 and c.distinct <= c.rows / 5)[:TEXTS]


def _closed(profile: Profile) -> tuple[str, ...]:
    """Weekdays without any event in a table of eight weeks or more in which most other days have one."""
    days = profile.days
    names = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    open_ = {(days.first + timedelta(days=int(n))).weekday() for n in days.open_days}
    busy = days.open_days.size >= 0.8 * days.span * len(open_) / 7
    return tuple(name for at, name in enumerate(names) if at not in open_) if days.span >= 56 and busy else ()


def _freshness(profile: Profile) -> int:
    """The longest silence of the table so far, a month at most: a longer one is a source that does not come."""
    silent = np.diff(profile.days.open_days)
    return int(min(max(silent.max() if silent.size else 1, 1), 31))


def _growth(profile: Profile, grid: list[date]) -> float:
    """Twice the greatest change of the number of known entities from one cohort to the next; half at least."""
    counts = [profile.days.known(day) for day in grid]
    changes = [abs(b - a) / a for a, b in pairwise(counts) if a]
    return max(0.5, math.ceil(20 * max(changes, default=0)) / 10)


def _lacking(profile: Profile, matured: list[date], training: int, horizon: int, every: int, members: int) -> tuple[str, ...]:
    found = []
    if training == 0:
        need, apart = 2 * (horizon + _DELAY) + every + min(horizon, 7), horizon + _DELAY
        found.append(
            f"days: {profile.days.span} in the table, and two cohorts {apart} days apart whose outcomes are over need about {need} "
            f"({len(matured)} cohorts are over now)"
            if profile.days.span < need
            else f"cohorts: {len(matured)} with anybody in them are over now, and no two of them lie {apart} days apart"
        )
    if members < 30:
        found.append(f"entities: {members} had an event in the last cohort, and a model of fewer than 30 says nothing")
    if not profile.days.gaps.size:
        found.append("repeated events: nobody has events on two days, so the label would be the same for all")
    return tuple(found)


def sum_type(column: Column) -> str:
    """The type that holds sums of a column exactly, where it can."""
    if (decimals := decimals_of(column.kind.type)) is not None:
        return f"decimal({min(decimals[0] + 8, 38)},{decimals[1]})"
    return "double" if column.kind.type == "double" else "bigint"
