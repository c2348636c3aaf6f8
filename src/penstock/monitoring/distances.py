"""Distances between two count vectors, and the law of the index under sampling.

Without any drift, the population stability index of K bins is about (K - 1)(1/n + 1/m): with 200 bins and 1,000 rows a
side it is 0.4, far over the customary 0.2. So the index alone decides nothing here. The homogeneity statistic
X² = N Σ (p - q)² / ((p + q) / 2), with N = nm/(n + m), follows a non-central chi-square law whose non-centrality is N
times the true index, to second order. X²/N never exceeds the index (the arithmetic mean is not below the logarithmic one),
so a bound taken from it errs towards silence. Inverting the law gives a lower bound of the true index, and a p-value of
"the true index is at most the floor".
References: Yurdakul (2018) on the law of the index; Benjamini and Hochberg (1995) on many tests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import chi2 as central
from scipy.stats import ncx2

from penstock.errors import DataError

SMOOTHING = 0.5
"""Added to each bin that either side uses, before shares are taken (Jeffreys): an empty bin gives a finite index."""
MIN_EXPECTED = 5.0
"""Bins that expect fewer rows than this on the smaller side are tested together (Cochran's rule)."""

Vector = NDArray[np.float64]


def _shares(reference: Vector, current: Vector) -> tuple[Vector, Vector]:
    used = (reference + current) > 0
    p, q = reference[used] + SMOOTHING, current[used] + SMOOTHING
    return p / p.sum(), q / q.sum()


def psi(reference: Sequence[float], current: Sequence[float]) -> float:
    """Population stability index Σ (q - p) ln(q/p) in nats, over the bins that either side uses, smoothed by `SMOOTHING`."""
    p, q = _shares(np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64))
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(reference: Sequence[float], current: Sequence[float]) -> float:
    """Jensen-Shannon distance in base 2: the square root of the divergence, 0 (same) to 1 (nothing in common), unsmoothed."""
    p, q = _proportions(reference), _proportions(current)
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(s > 0, s * np.log2(s / middle), 0.0).sum() for s in (p, q)]
    return math.sqrt(max(0.0, float(sum(parts)) / 2))


def kolmogorov_smirnov(reference: Sequence[float], current: Sequence[float]) -> float:
    """Largest gap between the cumulative shares at the edges, 0 to 1; meaningful for ordered bins only."""
    return float(np.abs(np.cumsum(_proportions(reference)) - np.cumsum(_proportions(current))).max())


def wasserstein(edges: Sequence[float], reference: Sequence[float], current: Sequence[float]) -> float:
    """First Wasserstein distance in the feature's unit, with values clipped to the outermost edges.

    `reference` and `current` hold len(edges) + 1 counts. Between edges the gap of the cumulative shares is taken as linear.
    """
    gap = np.cumsum(_proportions(reference)) - np.cumsum(_proportions(current))
    left, right, width = (gap[:-2], gap[1:-1], np.diff(np.asarray(edges, dtype=np.float64)))
    straight = (np.abs(left) + np.abs(right)) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = np.where(left * right < 0, (left**2 + right**2) / (2 * (np.abs(left) + np.abs(right))), straight)
    return float((crossing * width).sum())


def _proportions(counts: Sequence[float]) -> Vector:
    vector = np.asarray(counts, dtype=np.float64)
    shares: Vector = vector / vector.sum()
    return shares


@dataclass(frozen=True)
class Homogeneity:
    """The statistic X², Pearson's chi-square of the same bins, the degrees of freedom, and the N that turns X² into an index."""

    statistic: float
    pearson: float
    freedom: int
    scale: float

    def p_value(self, floor: float) -> float:
        """Probability of such a statistic or a larger one if the true index were `floor`."""
        if self.freedom == 0:
            return 1.0
        law = central(self.freedom) if floor <= 0 else ncx2(self.freedom, self.scale * floor)
        return float(law.sf(self.statistic))

    def lower_bound(self, confidence: float) -> float:
        """The smallest true index that such a statistic leaves plausible; 0 when none is needed to explain it."""
        if self.freedom == 0 or central.cdf(self.statistic, self.freedom) <= confidence:
            return 0.0

        def excess(noncentrality: float) -> float:
            return float(ncx2.cdf(self.statistic, self.freedom, noncentrality)) - confidence

        return float(brentq(excess, 1e-9, self.statistic + 1.0)) / self.scale


def homogeneity(reference: Sequence[float], current: Sequence[float], reference_size: float | None = None) -> Homogeneity:
    """Two-sample homogeneity over bins that expect enough rows; `reference_size` scales a reference whose rows are not independent."""
    r, c = (np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64))
    n, m = (float(reference_size if reference_size is not None else r.sum()), float(c.sum()))
    p, q = r / r.sum(), c / m
    pooled = (n * p + m * q) / (n + m)
    sparse = pooled * min(n, m) < MIN_EXPECTED
    p, q, pooled = (np.append(x[~sparse], x[sparse].sum()) for x in (p, q, pooled))
    p, q, pooled = (x[pooled > 0] for x in (p, q, pooled))
    scale = n * m / (n + m)
    squares = scale * (p - q) ** 2
    return Homogeneity(float((2 * squares / (p + q)).sum()), float((squares / pooled).sum()), pooled.size - 1, scale)


def benjamini_hochberg(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values (q-values) in the order given: reject where q <= the false discovery rate that is accepted."""
    p = np.asarray(p_values, dtype=np.float64)
    if np.isnan(p).any():
        raise DataError("false discovery control", got="a p-value that is NaN", expected="p-values of evaluated features only")
    if p.size == 0:
        return ()
    order = np.argsort(p, kind="stable")
    raised = p[order] * p.size / np.arange(1, p.size + 1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(raised[::-1])[::-1])
    return tuple(float(q) for q in adjusted)
