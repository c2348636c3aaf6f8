"""How much of something comes: the label is any finite number, a score the value foretold, judged by its mean absolute error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import is_regressor
from sklearn.feature_selection import f_regression

from penstock import metrics
from penstock.intervals import error_intervals, error_saved
from penstock.kinds.kind import Draws, Floats, Ints, Kind, Labels, Level
from penstock.metrics import Interval, Measure

if TYPE_CHECKING:
    from penstock.config.training import Baseline, Gates


class Regression(Kind):
    """The value itself, by mean absolute error (MAE) in the label's unit. A margin is the share of the other's MAE that is saved."""

    name = "regression"
    primary = "mae"
    title = "MAE"
    is_higher_better = False
    worst = float("inf")
    compared = ("mae", "rmse", "r2", "bias")
    compared_of_baselines = compared
    judged = ("label_mean", "mean_score", "mae", "rmse", "r2", "bias")
    titles: ClassVar[Mapping[str, str]] = {"label_mean": "label mean", "mae": "MAE", "rmse": "RMSE", "r2": "R2", "bias": "bias"}
    margin_unit = " of its MAE"
    predicts = "predict"
    outputs = (-1,)
    scorer = "neg_mean_absolute_error"
    shuffled = "rise of MAE when shuffled"
    score_is = "the value foretold of: {}"
    column = "value"
    tells_apart = staticmethod(f_regression)

    def label_fault(self, column: pd.Series) -> tuple[str, str] | None:
        """Labels that are missing, NaN or infinite."""
        wrong = int((~np.isfinite(column.to_numpy(dtype=np.float64, na_value=np.nan))).sum())
        return (f"{wrong} of {len(column)} missing, NaN or infinite", "a finite number in all") if wrong else None

    def labels(self, rows: pd.DataFrame, label: str, case: Ints) -> Labels:  # noqa: ARG002 - each row is a case
        """float64."""
        return np.asarray(rows[label], dtype=np.float64)

    def unlearnable(self, label: Labels) -> str:
        """The same number everywhere."""
        if not label.size:
            return "no rows"
        return f"one value only: all {label.size} labels are {label[0]:g}" if label.min() == label.max() else ""

    def estimator_fault(self, estimator: Any) -> str:
        """No regressor."""
        return "" if is_regressor(estimator) and hasattr(estimator, "predict") else "which is no regressor, expected one"

    def scores(self, model: Any, matrix: Any) -> Floats:
        """What the model predicts."""
        return np.asarray(model.predict(matrix), dtype=np.float64).reshape(-1)

    def score_fault(self, score: Floats) -> tuple[str, str] | None:
        """Scores that are NaN or infinite."""
        wrong = int((~np.isfinite(score)).sum())
        return (f"{wrong} of {score.size} that are NaN or infinite", "finite numbers") if wrong else None

    def figure(self, label: Labels, score: Floats) -> Measure:
        """MAE."""
        return metrics.mean_absolute_error(label, score)

    def state(self, label: Labels, score: Floats) -> tuple[str, str]:
        """`invalid`."""
        why = metrics.value_fault(label, score)
        return ("invalid", why) if why else ("evaluated", "")

    def measures(self, label: Labels, score: Floats, bins: int) -> dict[str, Measure]:  # noqa: ARG002 - no groups
        """Errors in the label's unit, and R2."""
        return {
            "label_mean": Measure(float(np.mean(label))),
            "mean_score": Measure(float(np.mean(score))),
            "mae": metrics.mean_absolute_error(label, score),
            "rmse": metrics.root_mean_squared_error(label, score),
            "r2": metrics.r2(label, score),
            "bias": metrics.mean_bias(label, score),
        }

    def intervals(self, label: Labels, score: Floats, entity: NDArray[np.object_], draws: Draws) -> dict[str, Interval]:
        """MAE, RMSE and bias."""
        return error_intervals(label, score, entity, rounds=draws.rounds, confidence=draws.confidence, seed=draws.seed)

    def margin(self, mine: float, theirs: float) -> float:
        """The share of the other's error that is saved; of an error of 0 nothing can be."""
        return 1.0 - mine / theirs if theirs else (0.0 if not mine else -np.inf)

    def advantage(self, label: Labels, score: Floats, other: Floats, entity: NDArray[np.object_], draws: Draws) -> Interval:
        """The share of the other's MAE that is saved."""
        return error_saved(label, score, other, entity, rounds=draws.rounds, confidence=draws.confidence, seed=draws.seed)

    def level(self, label: Labels, score: Floats, gates: Gates) -> Level:
        """The bias, as a share of the labels' mean size."""
        bias, share = metrics.mean_bias(label, score), metrics.relative_bias(label, score)
        words = "" if share.value is None else f"Mean error {bias.value:+.4g}, {share.value:.1%} of the labels' mean size"
        return Level("is_unbiased", "relative_bias", share, "max_bias", gates.max_bias, words)

    def centre(self, label: Labels) -> float | None:
        """The median, which of all constants has the least MAE."""
        return float(np.median(label))

    def baseline(self, values: Floats | None, baseline: Baseline, centre: float | None, rows: int) -> Floats:  # noqa: ARG002 - as it is
        """The column as it is; the training's median for a constant, and where the column is missing."""
        fill = np.nan if centre is None else centre
        if values is None:
            return np.full(rows, fill)
        return np.where(np.isfinite(values), values, fill)

    def as_score(self, heuristic: Floats) -> Floats:
        """The value itself."""
        return heuristic
