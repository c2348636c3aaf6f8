"""The mathematics of judging scores against outcomes, shared by training (holdout) and monitoring (what really came).

Every function takes `label` (0 or 1; any finite number for the errors of values) and `score` (a probability, higher means
more likely 1; or the value foretold) as one-dimensional arrays of one length, and answers a `Measure`: a number, or the reason why there is none. A single class, an empty cohort and a
NaN are answers of their own, so that nobody mistakes "not known" for a good value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, rankdata
from sklearn.metrics import average_precision_score, brier_score_loss, r2_score, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """A number, or `None` with the reason why it could not be evaluated; NaN never gets in."""

    value: float | None
    reason: str = ""

    def __post_init__(self) -> None:
        if self.value is not None and not math.isfinite(self.value):
            object.__setattr__(self, "reason", self.reason or f"not a finite number ({self.value})")
            object.__setattr__(self, "value", None)

    @property
    def known(self) -> bool:
        """Whether there is a number."""
        return self.value is not None


@dataclass(frozen=True)
class Interval:
    """An estimate with its two-sided confidence bounds, in the estimate's own unit; all None when not evaluable."""

    value: float | None
    low: float | None
    high: float | None
    reason: str = ""

    @property
    def known(self) -> bool:
        """Whether there is a number with bounds."""
        return self.value is not None and self.low is not None and self.high is not None


@dataclass(frozen=True)
class GainCurve:
    """Share of the population contacted in order of score, and share of all positives reached; both start at 0 and end at 1."""

    contacted: tuple[float, ...]
    reached: tuple[float, ...]
    reason: str = ""


def fault(label: ArrayLike, score: ArrayLike, *, both_classes: bool = False) -> str:
    """Why these arrays cannot be judged, or the empty string."""
    y, p = np.asarray(label, dtype=np.float64), np.asarray(score, dtype=np.float64)
    if y.ndim != 1 or y.shape != p.shape:
        return f"labels of shape {y.shape} and scores of shape {p.shape} do not pair"
    if y.size == 0:
        return "no rows"
    if not np.isfinite(p).all():
        return f"{int((~np.isfinite(p)).sum())} scores are NaN or infinite"
    if not np.isin(y, (0.0, 1.0)).all():
        return f"{int((~np.isin(y, (0.0, 1.0))).sum())} labels are neither 0 nor 1"
    if both_classes and (y.min() == y.max()):
        return f"one class only: all {y.size} labels are {int(y[0])}"
    return ""


def _outside(score: ArrayLike) -> str:
    p = np.asarray(score, dtype=np.float64)
    count = int(((p < 0) | (p > 1)).sum())
    return f"{count} scores are outside [0, 1]" if count else ""


def base_rate(label: ArrayLike) -> Measure:
    """Share of ones among the labels."""
    y = np.asarray(label, dtype=np.float64)
    why = fault(y, np.zeros_like(y))
    return Measure(None, why) if why else Measure(float(y.mean()))


def roc_auc(label: ArrayLike, score: ArrayLike) -> Measure:
    """Area under the ROC curve; ties count half; not evaluable with one class."""
    why = fault(label, score, both_classes=True)
    return Measure(None, why) if why else Measure(float(roc_auc_score(label, score)))


def average_precision(label: ArrayLike, score: ArrayLike) -> Measure:
    """Average precision (the step-wise area under precision and recall); not evaluable with one class."""
    why = fault(label, score, both_classes=True)
    return Measure(None, why) if why else Measure(float(average_precision_score(label, score)))


def brier(label: ArrayLike, score: ArrayLike) -> Measure:
    """Mean squared difference of probability and outcome, 0 to 1, lower is better."""
    why = fault(label, score) or _outside(score)
    return Measure(None, why) if why else Measure(float(brier_score_loss(label, score, pos_label=1)))


def log_loss(label: ArrayLike, score: ArrayLike) -> Measure:
    """Mean negative log-likelihood in nats, probabilities clipped at machine precision."""
    why = fault(label, score) or _outside(score)
    return Measure(None, why) if why else Measure(float(sklearn_log_loss(label, score, labels=[0, 1])))


def expected_calibration_error(label: ArrayLike, score: ArrayLike, bins: int = 10) -> Measure:
    """Mean over `bins` groups of equal size, in score order, of |mean score - share of ones|; equal scores stay together."""
    why = fault(label, score) or _outside(score)
    if why:
        return Measure(None, why)
    y, p = np.asarray(label, dtype=np.float64), np.asarray(score, dtype=np.float64)
    edges = np.unique(np.quantile(p, np.arange(1, bins) / bins))
    group = np.searchsorted(edges, p, side="right")
    size = edges.size + 1
    gap = np.bincount(group, weights=p, minlength=size) - np.bincount(group, weights=y, minlength=size)
    return Measure(float(np.abs(gap).sum() / y.size))


def lift_at(label: ArrayLike, score: ArrayLike, share: float = 0.1) -> Measure:
    """Share of ones among the `share` highest scores over the base rate.

    Rows tied at the cut are counted in proportion, so that the answer does not depend on the order of the rows.
    """
    why = fault(label, score, both_classes=True)
    if why:
        return Measure(None, why)
    curve = gain_curve(label, score)
    return Measure(float(np.interp(share, curve.contacted, curve.reached)) / share)


def gain_curve(label: ArrayLike, score: ArrayLike) -> GainCurve:
    """Cumulative gains, one point for each distinct score; a straight line between two points is the tied rows' share."""
    why = fault(label, score, both_classes=True)
    if why:
        return GainCurve((), (), why)
    y, p = np.asarray(label, dtype=np.float64), np.asarray(score, dtype=np.float64)
    order = np.argsort(-p, kind="stable")
    y, p = y[order], p[order]
    last = np.append(p[1:] != p[:-1], True)
    contacted = (np.arange(1, y.size + 1) / y.size)[last]
    reached = (np.cumsum(y) / y.sum())[last]
    return GainCurve((0.0, *map(float, contacted)), (0.0, *map(float, reached)))


def auc_standard_error(label: ArrayLike, score: ArrayLike) -> Measure:
    """DeLong's standard error of the ROC AUC by midranks (Sun and Xu 2014); needs two rows of each class."""
    why = fault(label, score, both_classes=True)
    if why:
        return Measure(None, why)
    y, p = np.asarray(label, dtype=np.float64), np.asarray(score, dtype=np.float64)
    ones, zeros = p[y == 1], p[y == 0]
    if min(ones.size, zeros.size) < 2:
        return Measure(None, f"{ones.size} ones and {zeros.size} zeros, two of each are needed")
    of_one, of_zero = _placements(ones, zeros)
    return Measure(math.sqrt(of_one.var(ddof=1) / ones.size + of_zero.var(ddof=1) / zeros.size))


def _placements(ones: Vector, zeros: Vector) -> tuple[Vector, Vector]:
    """For each one the share of zeros below it, for each zero the share of ones above it (ties half)."""
    ranks = rankdata(np.concatenate([ones, zeros]))
    of_one = (ranks[: ones.size] - rankdata(ones)) / zeros.size
    of_zero = 1.0 - (ranks[ones.size :] - rankdata(zeros)) / ones.size
    return of_one, of_zero


def auc_interval(label: ArrayLike, score: ArrayLike, confidence: float = 0.95) -> Interval:
    """ROC AUC with DeLong's normal interval, clipped to [0, 1]."""
    auc, error = roc_auc(label, score), auc_standard_error(label, score)
    if auc.value is None or error.value is None:
        return Interval(None, None, None, auc.reason or error.reason)
    half = z_value(confidence) * error.value
    return Interval(auc.value, max(0.0, auc.value - half), min(1.0, auc.value + half))


def rate_interval(ones: int, rows: int, confidence: float = 0.95) -> Interval:
    """Wilson's interval of a rate of `ones` in `rows`; honest near 0 and 1 and for few rows."""
    if rows <= 0 or not 0 <= ones <= rows:
        return Interval(None, None, None, f"{ones} of {rows} is no rate")
    z, rate = z_value(confidence), ones / rows
    centre = (rate + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * math.sqrt(rate * (1 - rate) / rows + z * z / (4 * rows * rows))
    return Interval(rate, max(0.0, centre - half), min(1.0, centre + half))


def value_fault(label: ArrayLike, score: ArrayLike) -> str:
    """Why these arrays cannot be judged as values, or the empty string."""
    y, p = np.asarray(label, dtype=np.float64), np.asarray(score, dtype=np.float64)
    if y.ndim != 1 or y.shape != p.shape:
        return f"labels of shape {y.shape} and scores of shape {p.shape} do not pair"
    if y.size == 0:
        return "no rows"
    for name, values in (("scores", p), ("labels", y)):
        if not np.isfinite(values).all():
            return f"{int((~np.isfinite(values)).sum())} {name} are NaN or infinite"
    return ""


def mean_absolute_error(label: ArrayLike, score: ArrayLike) -> Measure:
    """Mean of |score - label|, in the label's unit; lower is better."""
    why = value_fault(label, score)
    return Measure(None, why) if why else Measure(float(np.abs(_errors(label, score)).mean()))


def root_mean_squared_error(label: ArrayLike, score: ArrayLike) -> Measure:
    """Square root of the mean of (score - label)², in the label's unit; lower is better."""
    why = value_fault(label, score)
    return Measure(None, why) if why else Measure(math.sqrt(float((_errors(label, score) ** 2).mean())))


def r2(label: ArrayLike, score: ArrayLike) -> Measure:
    """Share of the labels' variance that the scores explain, at most 1; not evaluable when all labels are the same."""
    why = value_fault(label, score)
    if not why and np.ptp(np.asarray(label, dtype=np.float64)) == 0:
        why = "all labels are the same, so there is no variance to explain"
    return Measure(None, why) if why else Measure(float(r2_score(label, score)))


def mean_bias(label: ArrayLike, score: ArrayLike) -> Measure:
    """Mean of score - label, in the label's unit: above 0 the scores are too high."""
    why = value_fault(label, score)
    return Measure(None, why) if why else Measure(float(_errors(label, score).mean()))


def relative_bias(label: ArrayLike, score: ArrayLike) -> Measure:
    """|mean of score - label| as a share of the mean of |label|; not evaluable when all labels are 0."""
    why = value_fault(label, score)
    size = 0.0 if why else float(np.abs(np.asarray(label, dtype=np.float64)).mean())
    if why or not size:
        return Measure(None, why or "all labels are 0, so there is nothing to measure the bias by")
    return Measure(abs(float(_errors(label, score).mean())) / size)


def _errors(label: ArrayLike, score: ArrayLike) -> Vector:
    return np.asarray(score, dtype=np.float64) - np.asarray(label, dtype=np.float64)


def z_value(confidence: float) -> float:
    """The normal quantile of a two-sided interval: 1.96 for 0.95."""
    return float(norm.ppf(0.5 + confidence / 2))


def entity_draws(entity: NDArray[np.object_], rounds: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """For each round of a bootstrap, how often each row counts, when as many entities as there are were drawn with replacement.

    Entities are drawn, not rows: a customer's weeks stand or fall together, and rows drawn one by one would feign evidence.
    """
    names, codes = np.unique(entity, return_inverse=True)
    draw = np.random.default_rng(seed)
    for _ in range(rounds):
        yield np.bincount(draw.integers(0, len(names), len(names)), minlength=len(names))[codes]
