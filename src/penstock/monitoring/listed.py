"""Realised performance of a ranking: what the lists of a cohort found of all that was chosen, from sums that Spark made.

The heuristic's lists, which the control group is shown, are judged on the same entities beside the model's.
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

SUMS = ("rows", "recall", "recall2", "ndcg", "hit", "heuristic_recall", "heuristic_ndcg", "chosen")
"""Of the entities of a group that chose anything: how many, and sums over them of each measure, of recall², and of how many they chose."""


@dataclass(frozen=True)
class ListPerformance:
    """What one cohort's lists found in one segment, over the entities that chose anything; None inside means not evaluable.

    Recall and NDCG are at the lists' length; `heuristic_…` are those of the control group's order, on all the same entities.
    """

    COUNTS: ClassVar[tuple[str, ...]] = ("rows",)
    MEASURES: ClassVar[tuple[str, ...]] = ("recall_se", "ndcg", "hit_rate", "heuristic_recall", "heuristic_ndcg", "chosen")
    INTERVALS: ClassVar[tuple[str, ...]] = ("recall",)

    as_of: date
    model_version: str
    segment: str
    state: CohortState
    rows: int
    recall: Interval
    recall_se: Measure
    ndcg: Measure
    hit_rate: Measure
    heuristic_recall: Measure
    heuristic_ndcg: Measure
    chosen: Measure
    reason: str = ""


def sums(length: int) -> list[Column]:
    """The aggregates of `SUMS` over the columns `label`, `items` and `instead`; `length` is that of the lists."""
    from pyspark.sql import functions as F

    chose = F.size("label") > 0
    possible = F.least(F.size("label"), F.lit(length))
    found, by_rule = _found("items"), _found("instead")
    recall, ruled = F.size(found) / possible, F.size(by_rule) / possible

    def total(value: Column) -> Column:
        return F.coalesce(F.sum(F.when(chose, value)), F.lit(0.0))

    return [
        F.count_if(chose).alias("rows"),
        total(recall).alias("recall"),
        total(recall * recall).alias("recall2"),
        total(_gain("items") / _ideal(possible)).alias("ndcg"),
        total((F.size(found) > 0).cast("double")).alias("hit"),
        total(ruled).alias("heuristic_recall"),
        total(_gain("instead") / _ideal(possible)).alias("heuristic_ndcg"),
        total(F.size("label").cast("double")).alias("chosen"),
    ]


def _found(shown: str) -> Column:
    from pyspark.sql import functions as F

    return F.array_intersect(F.col(f"{shown}.item"), F.col("label"))


def _gain(shown: str) -> Column:
    from pyspark.sql import functions as F

    gains = F.transform(
        F.col(f"{shown}.item"), lambda item, at: F.when(F.array_contains("label", item), 1.0 / F.log2(at + 2.0)).otherwise(0.0)
    )
    return F.aggregate(gains, F.lit(0.0), lambda sum_, gain: sum_ + gain)


def _ideal(possible: Column) -> Column:
    from pyspark.sql import functions as F

    return F.aggregate(F.sequence(F.lit(1), F.greatest(possible, F.lit(1))), F.lit(0.0), lambda sum_, at: sum_ + 1.0 / F.log2(at + 1.0))


def measure_lists(
    as_of: date, model_version: str, found: Mapping[str, float], *, min_rows: int, segment: str, confidence: float = 0.95
) -> ListPerformance:
    """Performance from the `SUMS` of a cohort's entities. The interval is two-sided."""
    is_broken = not all(map(math.isfinite, found.values()))
    rows = 0 if is_broken else int(found["rows"])
    why = f"{rows} entities that chose anything, {min_rows} are needed" if rows < max(min_rows, 1) else ""
    why = "some sums are NaN or infinite" if is_broken else why
    state = CohortState.INSUFFICIENT if why else CohortState.EVALUATED
    if not rows:
        none = dict.fromkeys(ListPerformance.MEASURES, Measure(None, why))
        return ListPerformance(as_of, model_version, segment, state, 0, Interval(None, None, None, why), **none, reason=why)
    mean = {name: found[name] / rows for name in SUMS[1:]}
    error = math.sqrt(max(mean["recall2"] - mean["recall"] ** 2, 0.0) / rows)
    z, recall = metrics.z_value(confidence), mean["recall"]
    return ListPerformance(
        as_of=as_of,
        model_version=model_version,
        segment=segment,
        state=state,
        rows=rows,
        recall=Interval(recall, max(0.0, recall - z * error), min(1.0, recall + z * error)),
        recall_se=Measure(error),
        ndcg=Measure(mean["ndcg"]),
        hit_rate=Measure(mean["hit"]),
        heuristic_recall=Measure(mean["heuristic_recall"]),
        heuristic_ndcg=Measure(mean["heuristic_ndcg"]),
        chosen=Measure(mean["chosen"]),
        reason=why,
    )


def lists_by_segment(
    as_of: date, model_version: str, summed: pd.DataFrame, config: MonitoringConfig, segments: Sequence[str] = ()
) -> tuple[ListPerformance, ...]:
    """Performance of the whole cohort first, then of each value of each segment column; `summed` has `SUMS` for each combination."""
    rule = config.performance
    return tuple(
        measure_lists(
            as_of,
            model_version,
            {name: math.fsum(part[name].astype(float)) for name in SUMS},
            min_rows=rule.min_rows,
            segment=segment,
            confidence=rule.confidence,
        )
        for segment, part in parts_of(summed, segments).items()
    )
