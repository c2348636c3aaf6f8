"""How sure the figures of a holdout are: percentile bootstrap intervals over entities.

Entities are drawn, not rows (`metrics.entity_draws`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from penstock import metrics
from penstock.metrics import Interval

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def auc_difference(
    label: Ints, score: Floats, other: Floats, entity: NDArray[np.object_], *, rounds: int, confidence: float, seed: int
) -> Interval:
    """ROC AUC of `score` less that of `other` on the same rows.

    Rounds that draw one class only are left out; unknown when fewer than nine in ten remain.
    """
    why = metrics.fault(label, score, both_classes=True) or metrics.fault(label, other)
    if why:
        return Interval(None, None, None, why)
    if len(set(entity)) < 2:
        return Interval(None, None, None, f"{len(set(entity))} entity, two are needed to draw from")
    first, second = Ranked.of(label, score), Ranked.of(label, other)
    found = np.array([first.auc(weight) - second.auc(weight) for weight in metrics.entity_draws(entity, rounds, seed)])
    even = np.ones(len(label))
    return percentile_interval(first.auc(even) - second.auc(even), found, confidence)


def score_intervals(
    label: Ints, score: Floats, entity: NDArray[np.object_], *, rounds: int, confidence: float, seed: int
) -> dict[str, Interval]:
    """`auc`, `average_precision` and `brier` of scores, with bounds from the same draws; unknown as in `auc_difference`.

    Brier is unknown for scores that are no probabilities (a heuristic's).
    """
    why = metrics.fault(label, score, both_classes=True)
    if not why and len(set(entity)) < 2:
        why = f"{len(set(entity))} entity, two are needed to draw from"
    if why:
        return dict.fromkeys(("auc", "average_precision", "brier"), Interval(None, None, None, why))
    ranked, squares = Ranked.of(label, score), (score - label) ** 2

    def three(weight: Floats | Ints) -> tuple[float, float, float]:
        return ranked.auc(weight), ranked.average_precision(weight), float(weight @ squares / weight.sum())

    found = np.array([three(weight) for weight in metrics.entity_draws(entity, rounds, seed)])
    values = three(np.ones(len(label)))
    named = {
        name: percentile_interval(values[at], found[:, at], confidence) for at, name in enumerate(("auc", "average_precision", "brier"))
    }
    if ((score < 0) | (score > 1)).any():
        named["brier"] = Interval(None, None, None, "the scores are no probabilities")
    return named


def error_saved(
    label: Floats, score: Floats, other: Floats, entity: NDArray[np.object_], *, rounds: int, confidence: float, seed: int
) -> Interval:
    """The share of the mean absolute error of `other` that `score` saves on the same rows: 0.1 is an error lower by a tenth.

    Unknown when `other` makes no error at all: nothing can be saved of that.
    """
    why = metrics.value_fault(label, score) or metrics.value_fault(label, other) or _one_entity(entity)
    mine, theirs = (None, None) if why else (np.abs(score - label), np.abs(other - label))
    if mine is None or theirs is None or not theirs.sum():
        return Interval(None, None, None, why or "the other makes no error, and none can be saved of that")
    with np.errstate(divide="ignore", invalid="ignore"):  # a draw without any error of the other is left out
        found = np.array([1.0 - (weight @ mine) / (weight @ theirs) for weight in metrics.entity_draws(entity, rounds, seed)])
    return percentile_interval(1.0 - float(mine.sum() / theirs.sum()), found, confidence, "held an error of the other")


def error_intervals(
    label: Floats, score: Floats, entity: NDArray[np.object_], *, rounds: int, confidence: float, seed: int
) -> dict[str, Interval]:
    """`mae`, `rmse` and `bias` of values, with bounds from the same draws; unknown for one entity or a number that is none."""
    why = metrics.value_fault(label, score) or _one_entity(entity)
    if why:
        return dict.fromkeys(("mae", "rmse", "bias"), Interval(None, None, None, why))
    error = score - label
    parts = np.stack([np.abs(error), error**2, error], axis=1)

    def three(weight: Floats | Ints) -> Floats:
        sums = weight @ parts / weight.sum()
        return np.array([sums[0], np.sqrt(sums[1]), sums[2]])

    found = np.array([three(weight) for weight in metrics.entity_draws(entity, rounds, seed)])
    values = three(np.ones(len(label)))
    return {name: percentile_interval(float(values[at]), found[:, at], confidence) for at, name in enumerate(("mae", "rmse", "bias"))}


def _one_entity(entity: NDArray[np.object_]) -> str:
    return f"{len(set(entity))} entity, two are needed to draw from" if len(set(entity)) < 2 else ""


def percentile_interval(value: float, found: Floats, confidence: float, held: str = "held both classes") -> Interval:
    """A figure with the percentiles of what the draws gave; unknown when fewer than nine in ten draws gave anything."""
    finite = found[np.isfinite(found)]
    if finite.size < 0.9 * found.size:
        return Interval(None, None, None, f"only {finite.size} of {found.size} draws {held}")
    low, high = np.quantile(finite, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(value), float(low), float(high))


@dataclass(frozen=True)
class Ranked:
    """Rows in order of one score, so that a weighted measure costs one pass."""

    order: NDArray[np.int64]
    ones: NDArray[np.bool_]
    starts: NDArray[np.int64]
    """Where each run of equal scores begins."""

    @staticmethod
    def of(label: Ints, score: Floats) -> Ranked:
        """The rows in order of `score`, lowest first."""
        order = np.argsort(score, kind="stable")
        ranked = score[order]
        starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
        return Ranked(order, label[order] == 1, starts)

    def auc(self, weight: Floats | Ints) -> float:
        """AUC when row i counts `weight[i]` times; NaN with one class."""
        ones, zeros = self._counts(weight)
        pairs = ones.sum() * zeros.sum()
        below = np.cumsum(zeros) - zeros
        return float((ones * (below + zeros / 2)).sum() / pairs) if pairs else float("nan")

    def average_precision(self, weight: Floats | Ints) -> float:
        """Average precision when row i counts `weight[i]` times; NaN without a one."""
        ones, zeros = (counts[::-1] for counts in self._counts(weight))
        found = np.cumsum(ones)
        taken = found + np.cumsum(zeros)
        precision = np.divide(found, taken, out=np.zeros_like(found), where=taken > 0)
        return float((ones * precision).sum() / found[-1]) if found[-1] else float("nan")

    def _counts(self, weight: Floats | Ints) -> tuple[Floats, Floats]:
        """Weights of ones and of zeros at each distinct score, lowest first."""
        ranked = weight[self.order].astype(np.float64)
        return (
            np.add.reduceat(np.where(self.ones, ranked, 0.0), self.starts),
            np.add.reduceat(np.where(self.ones, 0.0, ranked), self.starts),
        )
