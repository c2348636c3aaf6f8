"""The KPI of the published lists: what acting on one is expected to bring, and, once its labels have matured, what it came to.

The list of an `as_of` is who was published (the control group is not) with a score that reaches the break-even probability.
Its realised profit takes the outcomes as they came and the amounts of the purpose: it is what acting on the whole list would
have brought had it turned the assumed share. It measures no effect. Where the list was really contacted, those whom that
turned count as wrong decisions, so that the figure is rather too low; the observed rates of list and control group stand
beside it, and their difference is what an experiment would look at. Where a source tells what was really done, so do the shares
of both that were treated: a list that nobody read, or a control group that was written to, shows nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

import numpy as np
import pandas as pd

from penstock import metrics, worth
from penstock.config.purpose import Stakes
from penstock.metrics import Interval, Measure, Vector

ACTED, CONTROL, TREATED = "acted", "is_control", "treated"
"""Columns of the rows: the published score reaches the threshold; the entity is withheld; it was really treated (null: not known).

The last is there only where a source tells of treatments.
"""


class KpiState(StrEnum):
    """What is known of a list: nothing came yet, all came, or too little of it to be judged."""

    PENDING = "pending"
    EVALUATED = "evaluated"
    INSUFFICIENT = "insufficient_data"


@dataclass(frozen=True)
class ListKpi:
    """The KPI of one list, in the currency of `stakes`. Before the labels have matured, and where they are too few, `realised` is unknown."""

    as_of: date
    model_version: str
    state: KpiState
    stakes: Stakes
    rows: int
    """Scored rows that are not withheld."""
    contacts: int
    """Those of them on the list."""
    expected: Measure
    realised: Interval
    list_rate: Interval
    """Observed share of ones on the list."""
    control_rate: Interval
    """The same of the withheld rows whose score would have put them there."""
    treated: Measure | None = None
    """Share of the list that was really treated, of those of whom it is known; None where nobody tells."""
    control_treated: Measure | None = None
    """The same of the withheld rows, of whom nobody should have been."""
    reason: str = ""

    @property
    def per_contact(self) -> Measure:
        """Profit a contact: realised where that is known, else expected."""
        value = self.realised.value if self.realised.value is not None else self.expected.value
        return Measure(None, "nobody is on the list") if value is None or not self.contacts else Measure(value / self.contacts)


def foretold(as_of: date, model_version: str, rows: pd.DataFrame, stakes: Stakes) -> ListKpi:
    """The newest list, of which nothing has come yet. `rows` have `score`, `count`, `acted` and `is_control`; each stands for `count` entities."""
    unknown = Interval(None, None, None, "its labels have not matured")
    return _kpi(as_of, model_version, rows, stakes, KpiState.PENDING, (unknown, unknown, unknown), unknown.reason)


def came(as_of: date, model_version: str, rows: pd.DataFrame, stakes: Stakes, *, min_rows: int, confidence: float = 0.95) -> ListKpi:
    """A matured list; `rows` have `label` beside the columns that `foretold` takes. Fewer than `min_rows` of them are no evidence."""
    free, held = rows[~rows[CONTROL]], rows[rows[CONTROL]]
    count = int(free["count"].sum())
    why = metrics.fault(_floats(rows, "label"), _floats(rows, "score"))
    if why or count < min_rows:
        unknown = Interval(None, None, None, why or f"{count} rows, {min_rows} are needed")
        return _kpi(as_of, model_version, rows, stakes, KpiState.INSUFFICIENT, (unknown, unknown, unknown), unknown.reason)
    ones, contacts = _ones(free)
    found = (
        worth.rate_profit(ones, contacts, stakes, confidence),
        metrics.rate_interval(ones, contacts, confidence),
        metrics.rate_interval(*_ones(held), confidence),
    )
    return _kpi(as_of, model_version, rows, stakes, KpiState.EVALUATED, found, found[0].reason)


def judged(frame: pd.DataFrame, stakes: Stakes, min_rows: int) -> Iterator[ListKpi]:
    """Each matured list of a frame with `day` and `model_version`, in order of time."""
    for (day, version), part in sorted(frame.groupby(["day", "model_version"]), key=lambda item: item[0]):
        yield came(day, str(version), part, stakes, min_rows=min_rows)


def _kpi(
    as_of: date,
    model_version: str,
    rows: pd.DataFrame,
    stakes: Stakes,
    state: KpiState,
    found: tuple[Interval, Interval, Interval],
    why: str,
) -> ListKpi:
    free = rows[~rows[CONTROL]]
    score, count, acted = _floats(free, "score"), _floats(free, "count"), free[ACTED].to_numpy(dtype=bool)
    faulty = metrics.fault(np.zeros_like(score), score)
    expected = Measure(None, faulty) if faulty else Measure(worth.profit(score, acted, stakes, count))
    done = (None, None) if state == KpiState.PENDING else (_treated(free), _treated(rows[rows[CONTROL]]))
    return ListKpi(as_of, model_version, state, stakes, int(count.sum()), int(count[acted].sum()), expected, *found, *done, reason=why)


def _treated(rows: pd.DataFrame) -> Measure | None:
    """The share of treated ones among the rows that reach the threshold."""
    if TREATED not in rows:
        return None
    known = rows[rows[ACTED] & rows[TREATED].notna()]
    count = int(known["count"].sum())
    return Measure(known.loc[known[TREATED].eq(True), "count"].sum() / count) if count else Measure(None, "of nobody is it known")


def _ones(rows: pd.DataFrame) -> tuple[int, int]:
    """Ones among the rows that reach the threshold, and how many those are."""
    listed = rows[rows[ACTED]]
    return int(listed.loc[listed["label"] == 1, "count"].sum()), int(listed["count"].sum())


def _floats(rows: pd.DataFrame, name: str) -> Vector:
    values: Vector = rows[name].to_numpy(dtype=np.float64)
    return values
