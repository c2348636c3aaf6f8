"""What a training leaves for the monitoring: the names under which it does, and the holdout as a reference.

A reference of either kind tells how far a cohort lies from it, by the three rules about outcomes; nothing else knows the kinds' measures.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from penstock.monitoring.listed import ListPerformance
from penstock.monitoring.performance import CohortPerformance
from penstock.monitoring.values import ValuePerformance

REFERENCE, PROFILE = "reference.json", "profile.json"


@dataclass(frozen=True)
class Difference:
    """An effect with a normal law's standard error, in the unit of the rule's floor, and the words that tell it."""

    effect: float
    se: float
    text: str


class Comparable(Protocol):
    """A holdout with which matured cohorts are compared; None where a cohort's numbers are not known."""

    def performance(self, cohort: Any) -> Difference | None:
        """How much worse the primary measure is: below 0 it is better."""

    def calibration(self, cohort: Any) -> Difference | None:
        """How far the mean outcome lies from what the same rows' scores said."""

    def label_rate(self, cohort: Any) -> Difference | None:
        """How far the mean outcome lies from the holdout's."""


@dataclass(frozen=True)
class Reference:
    """The evaluation of the production version at its training's holdout; rates and the metric from 0 to 1."""

    rows: int
    auc: float
    auc_se: float
    base_rate: float
    mean_predicted: float

    def performance(self, cohort: CohortPerformance) -> Difference | None:
        """Loss of AUC."""
        if cohort.auc.value is None or cohort.auc_se.value is None:
            return None
        loss = self.auc - cohort.auc.value
        text = f"AUC {cohort.auc.value:.3f} against {self.auc:.3f} at the holdout, a loss of {loss:+.3f}"
        return Difference(loss, math.hypot(self.auc_se, cohort.auc_se.value), text)

    def calibration(self, cohort: CohortPerformance) -> Difference | None:
        """Distance of the rates."""
        if cohort.gap.value is None or cohort.gap_se.value is None or cohort.observed.value is None or cohort.predicted.value is None:
            return None
        said = f"observed rate {cohort.observed.value:.3f} where the scores said {cohort.predicted.value:.3f}"
        return Difference(abs(cohort.gap.value), cohort.gap_se.value, f"{said}, a gap of {cohort.gap.value:+.3f}")

    def label_rate(self, cohort: CohortPerformance) -> Difference | None:
        """Distance of the rates."""
        rate = cohort.observed.value
        if rate is None or self.rows < 1:
            return None
        se = math.sqrt(rate * (1 - rate) / cohort.rows + self.base_rate * (1 - self.base_rate) / self.rows)
        text = f"observed rate {rate:.3f} against {self.base_rate:.3f} at the holdout, {rate - self.base_rate:+.3f}"
        return Difference(abs(rate - self.base_rate), se, text)


@dataclass(frozen=True)
class ValueReference:
    """The same of a regression, in the label's unit; every difference is a share: of `mae`, or of `label_size`, the mean of |label|."""

    rows: int
    mae: float
    mae_se: float
    label_mean: float
    label_sd: float
    label_size: float
    mean_predicted: float

    def performance(self, cohort: ValuePerformance) -> Difference | None:
        """Growth of the error."""
        if cohort.mae.value is None or cohort.mae_se.value is None or not self.mae > 0:
            return None
        growth = cohort.mae.value / self.mae - 1.0
        text = f"MAE {cohort.mae.value:,.4g} against {self.mae:,.4g} at the holdout, {growth:+.1%}"
        return Difference(growth, math.hypot(self.mae_se, cohort.mae_se.value) / self.mae, text)

    def calibration(self, cohort: ValuePerformance) -> Difference | None:
        """Distance of the means."""
        if cohort.gap.value is None or cohort.gap_se.value is None or cohort.observed.value is None or not self.label_size > 0:
            return None
        share = cohort.gap.value / self.label_size
        text = f"observed mean {cohort.observed.value:,.4g}, where the scores' mean differs by {share:+.1%} of the holdout's mean size"
        return Difference(abs(share), cohort.gap_se.value / self.label_size, text)

    def label_rate(self, cohort: ValuePerformance) -> Difference | None:
        """Distance of the means."""
        mean, spread = cohort.observed.value, cohort.label_sd.value
        if mean is None or spread is None or self.rows < 1 or not self.label_size > 0:
            return None
        share = (mean - self.label_mean) / self.label_size
        se = math.hypot(spread / math.sqrt(cohort.rows), self.label_sd / math.sqrt(self.rows)) / self.label_size
        return Difference(abs(share), se, f"observed mean {mean:,.4g} against {self.label_mean:,.4g} at the holdout, {share:+.1%}")


@dataclass(frozen=True)
class ListReference:
    """The same of a ranking: `rows` lists of one cohort, and their recall."""

    rows: int
    recall: float
    recall_se: float

    def performance(self, cohort: ListPerformance) -> Difference | None:
        """Loss of recall."""
        if cohort.recall.value is None or cohort.recall_se.value is None:
            return None
        loss = self.recall - cohort.recall.value
        text = f"recall {cohort.recall.value:.3f} against {self.recall:.3f} at the holdout, a loss of {loss:+.3f}"
        return Difference(loss, math.hypot(self.recall_se, cohort.recall_se.value), text)

    def calibration(self, cohort: ListPerformance) -> Difference | None:  # noqa: ARG002 - of none
        """A list claims no probability."""
        return None

    def label_rate(self, cohort: ListPerformance) -> Difference | None:  # noqa: ARG002 - of none
        """How much is chosen says nothing of a list."""
        return None


def reference_to_json(reference: Reference | ValueReference | ListReference) -> str:
    """The reference as text."""
    return json.dumps(asdict(reference))


def reference_from_json(text: str, made: Callable[..., Comparable] = Reference) -> Comparable:
    """The reference that `reference_to_json` wrote of the class `made`."""
    return made(**json.loads(text))
