"""Whether something comes: the label is 0 or 1, a score the probability of 1, judged by how well it ranks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.feature_selection import f_classif

from penstock import metrics
from penstock.intervals import auc_difference, score_intervals
from penstock.kinds.kind import Draws, Floats, Ints, Kind, Labels, Level
from penstock.metrics import Interval, Measure

if TYPE_CHECKING:
    from penstock.config.training import Baseline, Gates


class Classification(Kind):
    """P(label = 1), by ROC AUC. A margin is a difference of AUCs."""

    name = "classification"
    primary = "auc"
    title = "AUC"
    is_higher_better = True
    worst = 0.0
    compared: ClassVar[tuple[str, ...]] = ("auc", "average_precision", "brier", "calibration_error", "lift_10")
    compared_of_baselines: ClassVar[tuple[str, ...]] = ("auc", "average_precision", "lift_10")
    judged: ClassVar[tuple[str, ...]] = (
        "base_rate",
        "mean_score",
        "auc",
        "average_precision",
        "brier",
        "log_loss",
        "calibration_error",
        "lift_10",
    )
    titles: ClassVar[Mapping[str, str]] = {
        name: name.replace("_", " ") for name in ("base_rate", "auc", "average_precision", "brier", "calibration_error", "lift_10")
    }
    margin_unit = ""
    predicts = "predict_proba"
    outputs = (-1, 2)
    scorer = "roc_auc"
    shuffled = "loss of AUC when shuffled"
    score_is = "the probability of: {}"
    column = "probability"
    tells_apart = staticmethod(f_classif)

    def label_fault(self, column: pd.Series) -> tuple[str, str] | None:
        """Labels that are neither 0 nor 1."""
        wrong = int((~column.isin([0, 1])).sum())
        return (f"{wrong} of {len(column)} neither 0 nor 1", "0 or 1 in all") if wrong else None

    def labels(self, rows: pd.DataFrame, label: str, case: Ints) -> Labels:  # noqa: ARG002 - each row is a case
        """int64."""
        return np.asarray(rows[label], dtype=np.int64)

    def unlearnable(self, label: Labels) -> str:
        """One class only."""
        return metrics.fault(label, np.zeros(label.size), both_classes=True)

    def estimator_fault(self, estimator: Any) -> str:
        """No probabilities, or no classifier."""
        if not hasattr(estimator, "predict_proba"):
            return "which gives no probabilities, expected a classifier with predict_proba"
        return "" if is_classifier(estimator) else "which is no classifier, expected one"

    def scores(self, model: Any, matrix: Any) -> Floats:
        """P(label = 1)."""
        return np.asarray(model.predict_proba(matrix)[:, 1], dtype=np.float64)

    def score_fault(self, score: Floats) -> tuple[str, str] | None:
        """Scores outside [0, 1], NaN among them."""
        wrong = int((~((score >= 0) & (score <= 1))).sum())
        return (f"{wrong} of {score.size} that are no probability", "numbers from 0 to 1") if wrong else None

    def figure(self, label: Labels, score: Floats) -> Measure:
        """ROC AUC."""
        return metrics.roc_auc(label, score)

    def state(self, label: Labels, score: Floats) -> tuple[str, str]:
        """`invalid` or `one_class`."""
        if why := metrics.fault(label, score):
            return "invalid", why
        outside = int(((score < 0) | (score > 1)).sum())
        if outside:
            return "invalid", f"{outside} scores are outside [0, 1]"
        why = metrics.fault(label, score, both_classes=True)
        return ("one_class", why) if why else ("evaluated", "")

    def measures(self, label: Labels, score: Floats, bins: int) -> dict[str, Measure]:
        """Ranking, probabilities and their calibration over `bins` groups."""
        return {
            "base_rate": metrics.base_rate(label),
            "mean_score": Measure(float(np.mean(score))),
            "auc": metrics.roc_auc(label, score),
            "average_precision": metrics.average_precision(label, score),
            "brier": metrics.brier(label, score),
            "log_loss": metrics.log_loss(label, score),
            "calibration_error": metrics.expected_calibration_error(label, score, bins),
            "lift_10": metrics.lift_at(label, score, 0.1),
        }

    def intervals(self, label: Labels, score: Floats, entity: NDArray[np.object_], draws: Draws) -> dict[str, Interval]:
        """AUC, average precision and Brier score."""
        return score_intervals(label, score, entity, rounds=draws.rounds, confidence=draws.confidence, seed=draws.seed)

    def margin(self, mine: float, theirs: float) -> float:
        """The difference."""
        return mine - theirs

    def advantage(self, label: Labels, score: Floats, other: Floats, entity: NDArray[np.object_], draws: Draws) -> Interval:
        """The difference of AUCs."""
        return auc_difference(label, score, other, entity, rounds=draws.rounds, confidence=draws.confidence, seed=draws.seed)

    def level(self, label: Labels, score: Floats, gates: Gates) -> Level:
        """The expected calibration error."""
        error = metrics.expected_calibration_error(label, score, gates.calibration_bins)
        words = "" if error.value is None else f"Expected calibration error {error.value:.4f} over {gates.calibration_bins} groups"
        return Level("is_calibrated", "calibration_error", error, "max_calibration_error", gates.max_calibration_error, words)

    def centre(self, label: Labels) -> float | None:  # noqa: ARG002 - all labels are alike to it
        """No constant ranks anything."""
        return None

    def baseline(self, values: Floats | None, baseline: Baseline, centre: float | None, rows: int) -> Floats:  # noqa: ARG002 - for constants
        """An order, higher means more likely 1; missing ranks lowest."""
        assert values is not None
        values = values if baseline.higher_means == "positive" else -values
        known = values[np.isfinite(values)]
        return np.where(np.isfinite(values), values, (known.min() if known.size else 0.0) - 1.0)

    def as_score(self, heuristic: Floats) -> Floats:
        """Ranks from 0 to 1: they order, and claim no probability."""
        values, places = np.unique(heuristic, return_inverse=True)
        return np.asarray(places / max(len(values) - 1, 1), dtype=np.float64)
