"""Realised performance: the scores that foresaw a cohort, judged by the outcomes that came, whole and by segment.

A cohort is all rows of one `as_of` and one model version whose horizon has passed for every one of them. What could not
be judged says so: `insufficient_data` (too few rows, one class, NaN) is never read as good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import ClassVar, Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from penstock import metrics
from penstock.config.monitoring import MonitoringConfig
from penstock.metrics import Interval, Measure
from penstock.monitoring.profile import ALL


class CohortState(StrEnum):
    """Whether a cohort's numbers can be used."""

    EVALUATED = "evaluated"
    INSUFFICIENT = "insufficient_data"


class Performance(Protocol):
    """What the performances of all kinds have; `COUNTS`, `MEASURES` and `INTERVALS` name what each has beside it."""

    COUNTS: ClassVar[tuple[str, ...]]
    MEASURES: ClassVar[tuple[str, ...]]
    INTERVALS: ClassVar[tuple[str, ...]]

    @property
    def as_of(self) -> date:
        """The cohort."""

    @property
    def model_version(self) -> str:
        """Who scored it first."""

    @property
    def segment(self) -> str:
        """`all`, or `country=France`."""

    @property
    def state(self) -> CohortState:
        """Whether its numbers can be used."""

    @property
    def rows(self) -> int:
        """How many entities."""

    @property
    def reason(self) -> str:
        """Why not."""


@dataclass(frozen=True)
class CohortPerformance:
    """What came of one cohort's scores in one segment. Rates and probabilities from 0 to 1; None inside means not evaluable.

    `gap` is observed rate minus mean probability, with `gap_se` its standard error; `auc_se` is DeLong's.
    """

    COUNTS: ClassVar[tuple[str, ...]] = ("rows", "ones")
    MEASURES: ClassVar[tuple[str, ...]] = (
        *("predicted", "gap", "gap_se", "auc_se"),
        *("average_precision", "brier", "log_loss", "ece", "lift"),
    )
    INTERVALS: ClassVar[tuple[str, ...]] = ("auc", "observed")

    as_of: date
    model_version: str
    segment: str
    state: CohortState
    rows: int
    ones: int
    auc: Interval
    auc_se: Measure
    observed: Interval
    predicted: Measure
    gap: Measure
    gap_se: Measure
    average_precision: Measure
    brier: Measure
    log_loss: Measure
    ece: Measure
    lift: Measure
    reason: str = ""


def measure_cohort(
    as_of: date, model_version: str, label: ArrayLike, score: ArrayLike, *, min_rows: int, segment: str = ALL, confidence: float = 0.95
) -> CohortPerformance:
    """Performance of one cohort from its labels (0, 1) and the probabilities given before. Intervals are two-sided."""
    y, p = np.asarray(label, dtype=np.float64), np.asarray(score, dtype=np.float64)
    why = metrics.fault(y, p, both_classes=True)
    if not why and y.size < min_rows:
        why = f"{y.size} rows, {min_rows} are needed"
    readable = not metrics.fault(y, p)
    rows, ones = int(y.size), int(y.sum()) if readable else 0
    unknown = Measure(None, metrics.fault(y, p))
    return CohortPerformance(
        as_of=as_of,
        model_version=model_version,
        segment=segment,
        state=CohortState.INSUFFICIENT if why else CohortState.EVALUATED,
        rows=rows,
        ones=ones,
        auc=metrics.auc_interval(y, p, confidence),
        auc_se=metrics.auc_standard_error(y, p),
        observed=metrics.rate_interval(ones, rows, confidence) if readable else Interval(None, None, None, unknown.reason),
        predicted=Measure(float(p.mean())) if readable else unknown,
        gap=Measure(float((y - p).mean())) if readable else unknown,
        gap_se=Measure(float((y - p).std() / np.sqrt(rows))) if readable else unknown,
        average_precision=metrics.average_precision(y, p),
        brier=metrics.brier(y, p),
        log_loss=metrics.log_loss(y, p),
        ece=metrics.expected_calibration_error(y, p),
        lift=metrics.lift_at(y, p),
        reason=why,
    )


def measure_by_segment(
    as_of: date, model_version: str, joined: pd.DataFrame, config: MonitoringConfig, segments: Sequence[str] = ()
) -> tuple[CohortPerformance, ...]:
    """Performance of the whole cohort first, then of each value of each segment column.

    `joined` has `label` and `score`, one row an entity, and the segment columns. A column `count`, if there is one, says
    how many entities the row stands for: a large cohort is grouped by label, segment and score rounded to 4 decimals
    before it leaves Spark, which moves a metric by less than 0.0001.
    """
    frame = joined.loc[joined.index.repeat(joined["count"])] if "count" in joined.columns else joined
    min_rows, confidence = config.performance.min_rows, config.performance.confidence
    return tuple(
        measure_cohort(as_of, model_version, part["label"], part["score"], min_rows=min_rows, segment=segment, confidence=confidence)
        for segment, part in parts_of(frame, segments).items()
    )


def parts_of(frame: pd.DataFrame, segments: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The whole frame as `all`, then the rows of each value of each segment column, nulls as a value of their own."""
    parts = {ALL: frame}
    for name in segments:
        texts = frame[name].astype("object").where(frame[name].notna(), "NULL").astype(str)
        parts |= {f"{name}={value}": frame[texts == value] for value in sorted(texts.unique())}
    return parts
