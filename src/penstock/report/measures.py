"""Which measures the page and the table of weeks show for each kind of prediction, and how their figures are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from penstock.report import figures
from penstock.report.data import Cohort, Contended, Metrics

Write = Callable[[float | None], str]


@dataclass(frozen=True)
class Shown:
    """A column: the field of a `Metrics` or `Contended`, its head, and how a figure is written."""

    name: str
    head: str
    write: Write

    def of(self, holder: Metrics | Contended | Cohort | None) -> str:
        """The figure as text."""
        return self.write(None if holder is None else getattr(holder, self.name))


@dataclass(frozen=True)
class Measures:
    """The columns of one kind; the first of `cohort` is the primary measure, whose bounds are `low` and `high` of a cohort."""

    cohort: tuple[Shown, ...]
    low: str
    high: str
    week: tuple[Shown, ...]
    model: tuple[Shown, ...]
    """Of a version's holdout, behind the primary measure."""
    contender: tuple[Shown, ...]
    means: tuple[Shown, ...]
    """Of a cohort: what came and what was foretold, on average."""
    now: tuple[Shown, ...]
    """Beside the primary measure of the Production version, in a sentence."""

    @property
    def primary(self) -> Shown:
        """The measure by which models are judged."""
        return self.cohort[0]

    def bounds(self, cohort: Cohort) -> str:
        """The primary measure's confidence bounds: `0.701 to 0.752`."""
        return self.between(getattr(cohort, self.low), getattr(cohort, self.high))

    def between(self, low: float | None, high: float | None) -> str:
        """Two figures of the primary measure as bounds."""
        texts = self.primary.write(low), self.primary.write(high)
        return figures.UNKNOWN if figures.UNKNOWN in texts else f"{texts[0]} to {texts[1]}"


_AUC, _BRIER = Shown("auc", "AUC", figures.metric), Shown("brier", "Brier", figures.metric)
_AP, _ECE = Shown("average_precision", "Average precision", figures.metric), Shown("ece", "Calibration error", figures.metric)
_MAE, _RMSE = Shown("mae", "MAE", figures.value), Shown("rmse", "RMSE", figures.value)
_R2, _BIAS = Shown("r2", "R2", figures.metric), Shown("bias", "Bias", figures.value)

CLASSES = Measures(
    cohort=(_AUC, _AP, _BRIER, _ECE, Shown("lift", "Lift, first tenth", figures.ratio)),
    low="auc_low",
    high="auc_high",
    week=(_AUC, _BRIER),
    model=(_AP, _BRIER, _ECE),
    contender=(_AUC, _AP, _BRIER),
    means=(Shown("observed_rate", "Observed rate", figures.share), Shown("predicted_rate", "Predicted rate", figures.share)),
    now=(_BRIER, Shown("ece", "calibration error", figures.metric)),
)
VALUES = Measures(
    cohort=(_MAE, _RMSE, _R2, _BIAS),
    low="mae_low",
    high="mae_high",
    week=(_MAE, _BIAS),
    model=(_RMSE, _R2, _BIAS),
    contender=(_MAE, _RMSE, _R2, _BIAS),
    means=(Shown("observed_rate", "Observed mean", figures.value), Shown("predicted_rate", "Predicted mean", figures.value)),
    now=(_RMSE, Shown("bias", "bias", figures.value)),
)
_RECALL, _NDCG = Shown("recall", "Recall", figures.metric), Shown("ndcg", "NDCG", figures.metric)
_HIT = Shown("hit_rate", "Hit rate", figures.metric)
_MADE_OF = (Shown("coverage", "Coverage", figures.share), Shown("novelty", "Novelty, bits", figures.ratio))
LISTS = Measures(
    cohort=(
        _RECALL,
        _NDCG,
        _HIT,
        Shown("heuristic_recall", "Heuristic's recall", figures.metric),
        Shown("heuristic_ndcg", "Heuristic's NDCG", figures.metric),
    ),
    low="recall_low",
    high="recall_high",
    week=(_RECALL, Shown("heuristic_recall", "rule's", figures.metric)),
    model=(_NDCG, _HIT, *_MADE_OF),
    contender=(_RECALL, _NDCG, _HIT, *_MADE_OF),
    means=(),
    now=(_NDCG, Shown("hit_rate", "hit rate", figures.metric)),
)
_OF_KIND = {"classification": CLASSES, "regression": VALUES, "ranking": LISTS}


def of(kind: str) -> Measures:
    """Those of a kind, by its name."""
    return _OF_KIND[kind]


def shown(holder: Any, column: Shown) -> str:
    """A column's figure, for the templates."""
    return column.of(holder)
