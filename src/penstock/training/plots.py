"""Pictures of a candidate on its holdout, as matplotlib Figures that belong to nobody: no pyplot, no window, no global state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.inspection import permutation_importance
from sklearn.metrics import precision_recall_curve, roc_curve

from penstock import lists, metrics
from penstock.kinds import CLASSIFICATION, Kind
from penstock.kinds.kind import Labels
from penstock.training.fit import Fitted, one_thread
from penstock.training.inputs import from_pandas
from penstock.training.rows import Rows

Floats = NDArray[np.float64]
_INK, _REFERENCE = "#1f4e79", "#9a9a9a"


def plots(
    label: Labels, score: Floats, *, kind: Kind = CLASSIFICATION, importances: Mapping[str, float] | None = None, bins: int = 10
) -> dict[str, Figure]:
    """Figures by file name; none when the labels are all the same or a score is not a number, since there is nothing to draw."""
    if kind.score_fault(score) or kind.unlearnable(label):
        return {}
    found = _DRAWN[kind.name](label, score, bins)
    return found | ({"plots/importances.png": importance_bars(importances, kind)} if importances else {})


def _of_classes(label: Labels, score: Floats, bins: int) -> dict[str, Figure]:
    return {
        "plots/roc.png": roc(label, score),
        "plots/precision_recall.png": precision_recall(label, score),
        "plots/calibration.png": calibration(label, score, bins),
        "plots/gain.png": gain(label, score),
    }


def _of_values(label: Labels, score: Floats, bins: int) -> dict[str, Figure]:
    return {"plots/values.png": values(label, score, bins), "plots/errors.png": errors(label, score)}


def values(label: Labels, score: Floats, bins: int = 10) -> Figure:
    """Mean label against mean score, in groups of equal size in order of score."""
    groups = [group for group in np.array_split(np.argsort(score, kind="stable"), min(bins, len(score))) if group.size]
    foretold, came = [float(score[group].mean()) for group in groups], [float(label[group].mean()) for group in groups]
    figure, axes = _axes(f"Values, MAE {metrics.mean_absolute_error(label, score).value:.4g}", "mean score of the group", "mean label")
    ends = [min(foretold + came), max(foretold + came)]
    axes.plot(ends, ends, color=_REFERENCE, linestyle="--", linewidth=1)
    axes.plot(foretold, came, color=_INK, marker="o", markersize=4)
    return figure


def errors(label: Labels, score: Floats) -> Figure:
    """How the errors (score - label) are spread."""
    figure, axes = _axes(f"Errors, mean {metrics.mean_bias(label, score).value:+.4g}", "score - label", "rows")
    axes.axvline(0, color=_REFERENCE, linestyle="--", linewidth=1)
    axes.hist(score - label, bins=40, color=_INK)
    return figure


def _of_lists(label: Labels, score: Floats, bins: int) -> dict[str, Figure]:  # noqa: ARG001 - of ranks, not of bins
    return {"plots/recall.png": recall_by_length(label, score)}


def recall_by_length(label: Labels, score: Floats) -> Figure:
    """Mean recall of lists of each length up to the configured one."""
    longest = int(label["places"].max())
    found = []
    for length in range(1, longest + 1):
        shorter = label.copy()
        shorter["places"] = length
        found.append(lists.recall(shorter, score).value or 0.0)
    figure, axes = _axes(f"Recall by length of the list, {found[-1]:.3f} at {longest}", "items on the list", "recall")
    axes.plot(range(1, longest + 1), found, color=_INK)
    return figure


_DRAWN = {"classification": _of_classes, "regression": _of_values, "ranking": _of_lists}


def _axes(title: str, x: str, y: str, *, height: float = 4.2) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.6, height), dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def roc(label: Labels, score: Floats) -> Figure:
    """Share of ones found against share of zeros taken for ones."""
    false, true, _ = roc_curve(label, score)
    figure, axes = _axes(f"ROC, AUC {metrics.roc_auc(label, score).value:.3f}", "false positive rate", "true positive rate")
    axes.plot([0, 1], [0, 1], color=_REFERENCE, linestyle="--", linewidth=1)
    axes.plot(false, true, color=_INK)
    return figure


def precision_recall(label: Labels, score: Floats) -> Figure:
    """Precision at each recall, with the base rate."""
    precision, recall, _ = precision_recall_curve(label, score)
    figure, axes = _axes(f"Precision and recall, AP {metrics.average_precision(label, score).value:.3f}", "recall", "precision")
    axes.axhline(float(np.mean(label)), color=_REFERENCE, linestyle="--", linewidth=1)
    axes.plot(recall, precision, color=_INK)
    axes.set_ylim(0, 1.02)
    return figure


def calibration(label: Labels, score: Floats, bins: int = 10) -> Figure:
    """What came true against what was foretold, in groups of equal size."""
    groups = np.array_split(np.argsort(score, kind="stable"), min(bins, len(score)))
    foretold = [float(score[group].mean()) for group in groups]
    came = [float(label[group].mean()) for group in groups]
    error = metrics.expected_calibration_error(label, score, bins).value
    title = "Calibration" + (f", expected error {error:.3f}" if error is not None else "")
    figure, axes = _axes(title, "mean score of the group", "share of ones")
    axes.plot([0, 1], [0, 1], color=_REFERENCE, linestyle="--", linewidth=1)
    axes.plot(foretold, came, color=_INK, marker="o", markersize=4)
    return figure


def gain(label: Labels, score: Floats) -> Figure:
    """Share of all ones reached by contacting the highest scores first; the slope over the dashed line is the lift."""
    curve = metrics.gain_curve(label, score)
    lift = metrics.lift_at(label, score, 0.1).value or float("nan")
    figure, axes = _axes(f"Gain, lift at 10 % {lift:.2f}", "share contacted", "share of ones reached")
    axes.plot([0, 1], [0, 1], color=_REFERENCE, linestyle="--", linewidth=1)
    axes.plot(curve.contacted, curve.reached, color=_INK)
    return figure


def importance_bars(importances: Mapping[str, float], kind: Kind = CLASSIFICATION, top: int = 20) -> Figure:
    """The features whose shuffling costs the most of the primary measure."""
    ranked = sorted(importances.items(), key=lambda item: (-item[1], item[0]))[:top][::-1]
    figure, axes = _axes(
        "Permutation importance on the holdout", kind.shuffled.removesuffix(" when shuffled"), "", height=1.2 + 0.24 * len(ranked)
    )
    axes.barh([name for name, _ in ranked], [value for _, value in ranked], color=_INK)
    return figure


def importances_of(fitted: Fitted, rows: Rows, *, seed: int, max_rows: int = 1500, repeats: int = 2) -> dict[str, float]:
    """Mean loss of the primary measure when a feature's values are shuffled among at most `max_rows` rows; empty when all labels are one."""
    chosen = np.sort(np.random.default_rng(seed).permutation(len(rows))[:max_rows])
    label = rows.target[chosen]
    if rows.kind.unlearnable(rows.label[chosen]):
        return {}
    frame = from_pandas(rows.frame.iloc[chosen], fitted.inputs)
    with one_thread():
        found: Any = permutation_importance(fitted.model, frame, label, scoring=rows.kind.scorer, n_repeats=repeats, random_state=seed)
    return dict(zip(fitted.inputs.names, map(float, found.importances_mean), strict=True))
