"""How good scores are: whole, by week and by segment, and against other scores for the same rows.

The mathematics of one number is in `penstock.metrics`; here they are put together, and each evaluation says its state:
too few rows or one class is no evidence, and reads as such.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from penstock import metrics
from penstock.config.training import Baseline, Segment
from penstock.errors import DataError
from penstock.metrics import Measure
from penstock.training.rows import Rows

State = Literal["evaluated", "too_few_rows", "one_class", "invalid"]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Evaluation:
    """One set of scores against its outcomes. Every measure is unknown, with the reason, unless the state is `evaluated`."""

    subject: str
    """`all`, `as_of=2011-08-01`, `country=France`."""
    state: State
    rows: int
    base_rate: Measure
    mean_score: Measure
    auc: Measure
    average_precision: Measure
    brier: Measure
    log_loss: Measure
    calibration_error: Measure
    """Expected calibration error over `bins` groups of equal size."""
    lift_10: Measure
    """Share of ones among the 10 % highest scores over the base rate."""
    bins: int

    @property
    def known(self) -> bool:
        """Whether there is evidence."""
        return self.state == "evaluated"

    def measures(self) -> dict[str, Measure]:
        """The measures by name."""
        names = ("base_rate", "mean_score", "auc", "average_precision", "brier", "log_loss", "calibration_error", "lift_10")
        return {name: getattr(self, name) for name in names}

    def numbers(self) -> dict[str, float]:
        """The known measures by name, and `rows`; for MLflow and tables."""
        return {"rows": float(self.rows)} | {name: m.value for name, m in self.measures().items() if m.value is not None}


def evaluate(label: Ints, score: Floats, *, subject: str = "all", min_rows: int = 1, bins: int = 10) -> Evaluation:
    """Judge `score` (P(label = 1), any row order) against `label` (0 or 1). Fewer than `min_rows` are no evidence."""
    state, why = _state(label, score, min_rows)
    if state != "evaluated":
        unknown = Measure(None, why)
        return Evaluation(subject, state, len(label), unknown, unknown, unknown, unknown, unknown, unknown, unknown, unknown, bins)
    return Evaluation(
        subject,
        state,
        len(label),
        base_rate=metrics.base_rate(label),
        mean_score=Measure(float(np.mean(score))),
        auc=metrics.roc_auc(label, score),
        average_precision=metrics.average_precision(label, score),
        brier=metrics.brier(label, score),
        log_loss=metrics.log_loss(label, score),
        calibration_error=metrics.expected_calibration_error(label, score, bins),
        lift_10=metrics.lift_at(label, score, 0.1),
        bins=bins,
    )


def _state(label: Ints, score: Floats, min_rows: int) -> tuple[State, str]:
    if len(label) < max(min_rows, 1):
        return "too_few_rows", f"{len(label)} rows, {max(min_rows, 1)} are needed"
    why = metrics.fault(label, score)
    if why:
        return "invalid", why
    outside = int(((score < 0) | (score > 1)).sum())
    if outside:
        return "invalid", f"{outside} scores are outside [0, 1]"
    why = metrics.fault(label, score, both_classes=True)
    return ("one_class", why) if why else ("evaluated", "")


def by_week(rows: Rows, score: Floats, *, min_rows: int = 1, bins: int = 10) -> tuple[Evaluation, ...]:
    """One evaluation for each `as_of`, in order of time."""
    found = []
    for day in np.unique(rows.day):
        mask = rows.day == day
        subject = f"as_of={date(1970, 1, 1) + timedelta(days=int(day))}"
        found.append(evaluate(rows.label[mask], score[mask], subject=subject, min_rows=min_rows, bins=bins))
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
        evaluate(rows.label[mask], score[mask], subject=name, min_rows=min_rows, bins=bins)
        for name, mask in segments_of(rows.frame, segments).items()
    )


def baseline_scores(rows: Rows, baselines: Sequence[Baseline]) -> dict[str, Floats]:
    """What each heuristic would rank the rows by: higher means more likely 1; null ranks lowest. Not probabilities."""
    scores: dict[str, Floats] = {}
    for baseline in baselines:
        if baseline.column not in rows.frame.columns:
            raise DataError(f"training.baselines column {baseline.column}", got="no such column", expected="a feature of the view")
        values = rows.frame[baseline.column].to_numpy(dtype=np.float64, na_value=np.nan)
        values = values if baseline.higher_means == "positive" else -values
        known = values[np.isfinite(values)]
        scores[baseline.name] = np.where(np.isfinite(values), values, (known.min() if known.size else 0.0) - 1.0)
    return scores


def as_ranks(score: Floats) -> Floats:
    """A heuristic's values as numbers from 0 to 1: they order, and claim no probability."""
    values, places = np.unique(score, return_inverse=True)
    return np.asarray(places / max(len(values) - 1, 1), dtype=np.float64)


def mean_auc(evaluations: Sequence[Evaluation]) -> Measure:
    """Mean ROC AUC over evaluated cohorts; unknown when one of them is not, since a mean of the rest would flatter."""
    unknown = [evaluation.subject for evaluation in evaluations if evaluation.auc.value is None]
    if unknown or not evaluations:
        return Measure(None, f"not evaluable: {', '.join(unknown) or 'no cohort'}")
    return Measure(float(np.mean([evaluation.auc.value for evaluation in evaluations])))


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
