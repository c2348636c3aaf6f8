"""Realised performance of a regression: errors of a cohort, exact from sums that Spark made, whole and by segment.

Sums add up, so that a cohort of any number of entities leaves Spark as one row for each combination of segments, and no
score has to be rounded to be counted. What they lose is what doubles lose: 15 digits, and of the variances as many less
as the labels' mean is longer than their spread.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, ClassVar

import pandas as pd

from penstock import metrics
from penstock.config.monitoring import MonitoringConfig
from penstock.metrics import Interval, Measure
from penstock.monitoring.performance import CohortState, parts_of

if TYPE_CHECKING:
    from pyspark.sql import Column

SUMS = ("rows", "label", "score", "label2", "error", "error2", "least", "most")
"""Of the rows of a group: how many, and the sums of label, score, label², |score - label| and its square; least and greatest label."""


@dataclass(frozen=True)
class ValuePerformance:
    """What came of one cohort's values in one segment, in the label's unit; None inside means not evaluable.

    `observed` and `predicted` are means, `gap` is the one less the other with `gap_se` its standard error, `bias` is
    predicted less observed; `mae_se` and the bounds are those of a mean of independent entities.
    """

    COUNTS: ClassVar[tuple[str, ...]] = ("rows",)
    MEASURES: ClassVar[tuple[str, ...]] = ("predicted", "gap", "gap_se", "mae_se", "rmse", "r2", "bias", "label_sd")
    INTERVALS: ClassVar[tuple[str, ...]] = ("mae", "observed")

    as_of: date
    model_version: str
    segment: str
    state: CohortState
    rows: int
    mae: Interval
    mae_se: Measure
    observed: Interval
    label_sd: Measure
    predicted: Measure
    gap: Measure
    gap_se: Measure
    rmse: Measure
    r2: Measure
    bias: Measure
    reason: str = ""


def sums() -> list[Column]:
    """The aggregates of `SUMS` over the columns `label` and `score`."""
    from pyspark.sql import functions as F

    label, error = F.col("label"), F.col("score") - F.col("label")
    return [
        F.count("*").alias("rows"),
        F.sum(label).alias("label"),
        F.sum("score").alias("score"),
        F.sum(label * label).alias("label2"),
        F.sum(F.abs(error)).alias("error"),
        F.sum(error * error).alias("error2"),
        F.min(label).alias("least"),
        F.max(label).alias("most"),
    ]


def measure_values(
    as_of: date, model_version: str, found: Mapping[str, float], *, min_rows: int, segment: str, confidence: float = 0.95
) -> ValuePerformance:
    """Performance from the `SUMS` of a cohort's rows. Intervals are two-sided."""
    rows = int(found["rows"])
    broken = "" if all(math.isfinite(found[name]) for name in SUMS) else "some labels or scores are NaN or infinite"
    why = broken or (f"{rows} rows, {min_rows} are needed" if rows < max(min_rows, 1) else "")
    if broken or not rows:
        unknown, none = Measure(None, why), Interval(None, None, None, why)
        state = CohortState.INSUFFICIENT
        rest = dict.fromkeys(("label_sd", "predicted", "gap", "gap_se", "rmse", "r2", "bias"), unknown)
        return ValuePerformance(as_of, model_version, segment, state, rows, none, unknown, none, **rest, reason=why)
    z, root = metrics.z_value(confidence), math.sqrt(rows)
    mean, predicted, mae = found["label"] / rows, found["score"] / rows, found["error"] / rows
    label_sd, error_sd = _sd(found["label2"] / rows, mean), _sd(found["error2"] / rows, predicted - mean)
    mae_se = _sd(found["error2"] / rows, mae) / root
    spread = found["label2"] - rows * mean * mean if found["least"] < found["most"] else 0.0
    r2 = Measure(1.0 - found["error2"] / spread) if spread > 0 else Measure(None, "all labels are the same")
    return ValuePerformance(
        as_of=as_of,
        model_version=model_version,
        segment=segment,
        state=CohortState.INSUFFICIENT if why else CohortState.EVALUATED,
        rows=rows,
        mae=Interval(mae, max(0.0, mae - z * mae_se), mae + z * mae_se),
        mae_se=Measure(mae_se),
        observed=Interval(mean, mean - z * label_sd / root, mean + z * label_sd / root),
        label_sd=Measure(label_sd),
        predicted=Measure(predicted),
        gap=Measure(mean - predicted),
        gap_se=Measure(error_sd / root),
        rmse=Measure(math.sqrt(found["error2"] / rows)),
        r2=r2,
        bias=Measure(predicted - mean),
        reason=why,
    )


def values_by_segment(
    as_of: date, model_version: str, summed: pd.DataFrame, config: MonitoringConfig, segments: Sequence[str] = ()
) -> tuple[ValuePerformance, ...]:
    """Performance of the whole cohort first, then of each value of each segment column; `summed` has `SUMS` for each combination."""
    rule = config.performance
    return tuple(
        measure_values(as_of, model_version, _added(part), min_rows=rule.min_rows, segment=segment, confidence=rule.confidence)
        for segment, part in parts_of(summed, segments).items()
    )


def _added(part: pd.DataFrame) -> dict[str, float]:
    """The sums of the groups together; Python's own summing keeps NaN, which pandas would leave out."""
    found = {name: math.fsum(part[name].astype(float)) if _whole(part[name]) else math.nan for name in SUMS[:-2]}
    return found | {"least": float(part["least"].min()), "most": float(part["most"].max())}


def _whole(column: pd.Series) -> bool:
    return all(math.isfinite(value) for value in column.astype(float))


def _sd(mean_of_squares: float, mean: float) -> float:
    return math.sqrt(max(mean_of_squares - mean * mean, 0.0))
