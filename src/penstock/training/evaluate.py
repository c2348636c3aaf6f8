"""How good scores are: whole, by week and by segment, and against other scores for the same rows.

The mathematics of one number is in `penstock.metrics`; here they are put together, and each evaluation says its state:
too few rows or one class is no evidence, and reads as such.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from penstock.config.training import Baseline, Segment
from penstock.errors import DataError
from penstock.kinds import CLASSIFICATION, Kind
from penstock.kinds.kind import Labels
from penstock.metrics import Measure
from penstock.training.rows import Rows

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Evaluation:
    """One set of scores against its outcomes. Every measure is unknown, with the reason, unless the state is `evaluated`."""

    subject: str
    """`all`, `as_of=2011-08-01`, `country=France`."""
    state: str
    """`evaluated`, `too_few_rows`, or what the kind says: `one_class`, `invalid`."""
    rows: int
    named: Mapping[str, Measure]
    """The kind's measures by name: of a classification `calibration_error` is the expected one over `bins` groups of equal
    size and `lift_10` the share of ones among the 10 % highest scores over the base rate; errors are in the label's unit."""
    bins: int
    kind: Kind = CLASSIFICATION

    @property
    def known(self) -> bool:
        """Whether there is evidence."""
        return self.state == "evaluated"

    @property
    def primary(self) -> Measure:
        """The measure by which the kind is judged."""
        return self.named[self.kind.primary]

    def measures(self) -> dict[str, Measure]:
        """The measures by name."""
        return dict(self.named)

    def numbers(self) -> dict[str, float]:
        """The known measures by name, and `rows`; for MLflow and tables."""
        return {"rows": float(self.rows)} | {name: m.value for name, m in self.measures().items() if m.value is not None}


def evaluate(
    label: Labels, score: Floats, *, kind: Kind = CLASSIFICATION, subject: str = "all", min_rows: int = 1, bins: int = 10
) -> Evaluation:
    """Judge `score` against `label`, in any one order of rows. Fewer than `min_rows` are no evidence."""
    state, why = _state(label, score, min_rows, kind)
    unknown = Measure(None, why)
    named = kind.measures(label, score, bins) if state == "evaluated" else dict.fromkeys(kind.judged, unknown)
    return Evaluation(subject, state, kind.count(label), named, bins, kind)


def _state(label: Labels, score: Floats, min_rows: int, kind: Kind) -> tuple[str, str]:
    if kind.count(label) < max(min_rows, 1):
        return "too_few_rows", f"{kind.count(label)} rows, {max(min_rows, 1)} are needed"
    return kind.state(label, score)


def by_week(rows: Rows, score: Floats, *, min_rows: int = 1, bins: int = 10) -> tuple[Evaluation, ...]:
    """One evaluation for each `as_of`, in order of time."""
    found = []
    for day in np.unique(rows.day):
        mask = rows.day == day
        subject = f"as_of={date(1970, 1, 1) + timedelta(days=int(day))}"
        found.append(evaluate(rows.label[mask], score[mask], kind=rows.kind, subject=subject, min_rows=min_rows, bins=bins))
    return tuple(found)


def segments_of(frame: pd.DataFrame, segments: Sequence[Segment]) -> dict[str, NDArray[np.bool_]]:
    """The mask of each group of each segment, by name (`country=France`, `orders_90d=[2, 5)`); nulls are a group of their own.

    Raises DataError for a column that the rows do not have.
    """
    masks: dict[str, NDArray[np.bool_]] = {}
    for segment in segments:
        if segment.column not in frame.columns:
            raise DataError(f"training.segments column {segment.column}", got="no such column", expected="a feature of the view")
        named = _binned(frame[segment.column], segment.edges) if segment.edges else frame[segment.column].astype(object)
        values = named.where(named.notna(), "null").astype(str)
        for value in sorted(values.unique()):
            masks[f"{segment.column}={value}"] = (values == value).to_numpy(dtype=bool)
    return masks


def _binned(column: pd.Series, edges: tuple[float, ...]) -> pd.Series:
    bounds = [-np.inf, *edges, np.inf]
    names = [f"[{low:g}, {high:g})" for low, high in pairwise(bounds)]
    numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
    at = np.searchsorted(edges, numbers, side="right")
    found = np.array(names, dtype=object)[at]
    found[np.isnan(numbers)] = None
    return pd.Series(found, index=column.index, dtype=object)


def by_segment(rows: Rows, score: Floats, segments: Sequence[Segment], *, min_rows: int = 1, bins: int = 10) -> tuple[Evaluation, ...]:
    """One evaluation for each group of each segment, small ones included as `too_few_rows`."""
    return tuple(
        evaluate(rows.label[mask], score[mask], kind=rows.kind, subject=name, min_rows=min_rows, bins=bins)
        for name, mask in segments_of(rows.frame, segments).items()
    )


def baseline_scores(rows: Rows, baselines: Sequence[Baseline], centre: float | None = None) -> dict[str, Floats]:
    """What each heuristic says of the rows: of a classification an order and no probability, of a regression the value.

    `centre` is what the kind made of the training's labels, for constants and missing values.
    """
    scores: dict[str, Floats] = {}
    for baseline in baselines:
        if baseline.column is not None and baseline.column not in rows.frame.columns:
            raise DataError(f"training.baselines column {baseline.column}", got="no such column", expected="a feature of the view")
        values = None if baseline.column is None else rows.frame[baseline.column].to_numpy(dtype=np.float64, na_value=np.nan)
        scores[baseline.name] = rows.kind.baseline(values, baseline, centre, len(rows))
    return scores


def by_baseline(rows: Rows, baselines: Sequence[Baseline], centre: float | None = None) -> dict[str, Evaluation]:
    """One evaluation for each heuristic, by its name."""
    found = baseline_scores(rows, baselines, centre)
    return {name: evaluate(rows.label, rows.kind.as_score(score), kind=rows.kind) for name, score in found.items()}


def mean_primary(evaluations: Sequence[Evaluation]) -> Measure:
    """Mean primary measure over evaluated cohorts; unknown when one of them is not, since a mean of the rest would flatter."""
    unknown = [evaluation.subject for evaluation in evaluations if evaluation.primary.value is None]
    if unknown or not evaluations:
        return Measure(None, f"not evaluable: {', '.join(unknown) or 'no cohort'}")
    return Measure(float(np.mean([evaluation.primary.value for evaluation in evaluations])))


def table(evaluations: Sequence[Evaluation]) -> pd.DataFrame:
    """One row an evaluation: subject, state, rows and every measure (NaN where unknown)."""
    found = [
        {"subject": e.subject, "state": e.state, "rows": e.rows} | {name: m.value for name, m in e.measures().items()} for e in evaluations
    ]
    return pd.DataFrame(found)


def as_mapping(evaluation: Evaluation) -> Mapping[str, object]:
    """The evaluation for JSON: unknown measures are null, and `reasons` says why."""
    reasons = {name: m.reason for name, m in evaluation.measures().items() if m.value is None}
    values = {name: m.value for name, m in evaluation.measures().items()}
    return {"subject": evaluation.subject, "state": evaluation.state, "rows": evaluation.rows, **values, "reasons": reasons}
