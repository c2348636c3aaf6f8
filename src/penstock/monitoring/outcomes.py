"""How each kind of prediction sums up what came: what leaves Spark, how a cohort is measured by it, and the training's reference."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from penstock import metrics
from penstock.config.monitoring import MonitoringConfig
from penstock.kinds import CLASSIFICATION, RANKING, REGRESSION, Kind
from penstock.lists import Lists, recall
from penstock.monitoring import listed
from penstock.monitoring.performance import Performance, measure_by_segment
from penstock.monitoring.reference import Comparable, ListReference, Reference, ValueReference, reference_from_json
from penstock.monitoring.values import sums, values_by_segment

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

Floats = NDArray[np.float64]


class Outcomes(ABC):
    """What monitoring asks of a kind."""

    answers: tuple[str, ...] = ("score",)
    """The answer's columns whose distribution is watched beside the features'."""

    @abstractmethod
    def summed(self, scored: DataFrame, by: Sequence[str | Column], length: int) -> DataFrame:
        """`label` and answer of rows, reduced within the groups of `by` to what does not grow with the number of entities.

        `length` is that of a ranking's lists.
        """

    @abstractmethod
    def measured(
        self, day: date, version: str, summed: pd.DataFrame, config: MonitoringConfig, segments: Sequence[str]
    ) -> tuple[Performance, ...]:
        """The whole cohort first, then each value of each segment column."""

    @abstractmethod
    def reference(self, label: NDArray[Any], score: Floats, newest: NDArray[np.bool_]) -> Reference | ValueReference | ListReference:
        """The holdout as the monitoring compares with it; its luck is that of one cohort, `newest`: weekly cohorts hold the same entities again."""

    @abstractmethod
    def read(self, text: str) -> Comparable:
        """The reference from its text."""


class _OfClasses(Outcomes):
    def summed(self, scored: DataFrame, by: Sequence[str | Column], length: int) -> DataFrame:  # noqa: ARG002 - no lists
        from pyspark.sql import functions as F

        return scored.groupBy(*by, F.round("score", 4).alias("score"), "label").count()

    def measured(
        self, day: date, version: str, summed: pd.DataFrame, config: MonitoringConfig, segments: Sequence[str]
    ) -> tuple[Performance, ...]:
        ordered = summed.sort_values(["score", "label"], kind="stable", ignore_index=True)
        return measure_by_segment(day, version, ordered, config, segments)

    def reference(self, label: NDArray[Any], score: Floats, newest: NDArray[np.bool_]) -> Reference:
        error = metrics.auc_standard_error(label[newest], score[newest])
        auc = metrics.roc_auc(label, score).value
        return Reference(
            rows=int(newest.sum()),
            auc=float("nan") if auc is None else auc,
            auc_se=float("nan") if error.value is None else error.value,
            base_rate=float(label.mean()),
            mean_predicted=float(score.mean()),
        )

    def read(self, text: str) -> Comparable:
        return reference_from_json(text, Reference)


class _OfValues(Outcomes):
    def summed(self, scored: DataFrame, by: Sequence[str | Column], length: int) -> DataFrame:  # noqa: ARG002 - no lists
        return scored.groupBy(*by).agg(*sums())

    def measured(
        self, day: date, version: str, summed: pd.DataFrame, config: MonitoringConfig, segments: Sequence[str]
    ) -> tuple[Performance, ...]:
        return values_by_segment(day, version, summed, config, segments)

    def reference(self, label: NDArray[Any], score: Floats, newest: NDArray[np.bool_]) -> ValueReference:
        error, rows = np.abs(score - label), int(newest.sum())
        return ValueReference(
            rows=rows,
            mae=float(error.mean()),
            mae_se=float(error[newest].std() / np.sqrt(rows)),
            label_mean=float(label.mean()),
            label_sd=float(label.std()),
            label_size=float(np.abs(label).mean()),
            mean_predicted=float(score.mean()),
        )

    def read(self, text: str) -> Comparable:
        return reference_from_json(text, ValueReference)


class _OfLists(Outcomes):
    answers = ()

    def summed(self, scored: DataFrame, by: Sequence[str | Column], length: int) -> DataFrame:
        return scored.groupBy(*by).agg(*listed.sums(length))

    def measured(
        self, day: date, version: str, summed: pd.DataFrame, config: MonitoringConfig, segments: Sequence[str]
    ) -> tuple[Performance, ...]:
        return listed.lists_by_segment(day, version, summed, config, segments)

    def reference(self, label: NDArray[Any], score: Floats, newest: NDArray[np.bool_]) -> ListReference:
        of_one = Lists.made(label[newest], score[newest]).values["recall"]
        known = of_one[np.isfinite(of_one)]
        whole = recall(label, score).value
        error = float(known.std() / np.sqrt(known.size)) if known.size else float("nan")
        return ListReference(rows=int(known.size), recall=float("nan") if whole is None else whole, recall_se=error)

    def read(self, text: str) -> Comparable:
        return reference_from_json(text, ListReference)


_OUTCOMES: dict[Kind, Outcomes] = {CLASSIFICATION: _OfClasses(), REGRESSION: _OfValues(), RANKING: _OfLists()}


def of(kind: Kind) -> Outcomes:
    """Those of a kind."""
    return _OUTCOMES[kind]
