"""What drifted: each feature and the score, whole and by segment, against the profile frozen at training.

A finding is `drifted` when its index and the lower bound of it reach the floor, and it survives false discovery control
over everything compared in the same look. Too few rows and features that drift by construction are states of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial

import numpy as np

from penstock.config.monitoring import DriftConfig
from penstock.monitoring.bins import Bins
from penstock.monitoring.distances import Vector, benjamini_hochberg, homogeneity, jensen_shannon, kolmogorov_smirnov, psi, wasserstein
from penstock.monitoring.profile import Counts, Profile

_UNBOUNDED = "its history only grows, so it drifts by construction and decides nothing"


class DriftState(StrEnum):
    """What can be said of one feature in one segment; only `ok` is good news."""

    OK = "ok"
    DRIFTED = "drifted"
    INSUFFICIENT = "insufficient_data"
    UNBOUNDED = "unbounded"


@dataclass(frozen=True)
class DriftFinding:
    """How one feature (or the score) of one segment stands against the reference; numbers are None when not evaluable.

    `psi` and its lower bound in nats, `js` the Jensen-Shannon distance (base 2, 0 to 1), `ks` the largest gap of the
    cumulative shares (numeric only, too small by at most the largest bin), `wasserstein` in the feature's unit between the
    outermost edges, shares of rows from 0 to 1. `q_value` is the p-value after false discovery control.
    """

    feature: str
    segment: str
    state: DriftState
    rows: int
    reference_rows: int
    psi: float | None = None
    psi_low: float | None = None
    js: float | None = None
    ks: float | None = None
    chi2: float | None = None
    wasserstein: float | None = None
    p_value: float | None = None
    q_value: float | None = None
    unseen_share: float | None = None
    null_share: float | None = None
    reason: str = ""


def find_drift(profile: Profile, counts: Counts, config: DriftConfig) -> tuple[DriftFinding, ...]:
    """One finding for each (segment, feature) of the profile or of the counts, after false discovery control over all."""
    keys = sorted(set(profile.counts) | set(counts))
    measured = [_measure(profile, counts, segment, feature, config) for segment, feature in keys if feature in profile.features]
    tested = [
        i for i, f in enumerate(measured) if f.p_value is not None and math.isfinite(f.p_value) and not config.is_unbounded(f.feature)
    ]
    adjusted = benjamini_hochberg([p for i in tested if (p := measured[i].p_value) is not None])
    for i, q in zip(tested, adjusted, strict=True):
        measured[i] = _judge(replace(measured[i], q_value=q), config)
    return tuple(measured)


def _judge(finding: DriftFinding, config: DriftConfig) -> DriftFinding:
    """The state of a finding that was tested; a number that is not finite leaves it where it was, which is not `ok`."""
    effect, low, q = finding.psi, finding.psi_low, finding.q_value
    if effect is None or low is None or q is None or not all(map(math.isfinite, (effect, low, q))):
        return finding
    drifted = effect >= config.floor and low >= config.floor and q <= config.fdr
    return replace(finding, state=DriftState.DRIFTED if drifted else DriftState.OK, reason="")


def _measure(profile: Profile, counts: Counts, segment: str, feature: str, config: DriftConfig) -> DriftFinding:
    bins = profile.of(feature)
    reference = np.asarray(profile.counts.get((segment, feature), (0,) * bins.size), dtype=np.float64)
    current = np.asarray(counts.get((segment, feature), (0,) * bins.size), dtype=np.float64)
    share = profile.effective_rows / profile.rows if profile.rows else 1.0
    rows, effective = int(current.sum()), reference.sum() * share
    empty = DriftFinding(feature, segment, DriftState.INSUFFICIENT, rows, int(reference.sum()))
    if min(rows, effective) < config.min_rows:
        reason = f"{rows} rows now and {effective:.0f} independent rows at training, {config.min_rows} of each are needed"
        return replace(empty, reason=reason)
    test = homogeneity(reference.tolist(), current.tolist(), effective)
    unbounded = config.is_unbounded(feature)
    return replace(
        _distances(empty, bins, reference, current),
        state=DriftState.UNBOUNDED if unbounded else DriftState.INSUFFICIENT,
        reason=_UNBOUNDED if unbounded else "the index could not be evaluated",
        psi_low=test.lower_bound(config.confidence),
        p_value=test.p_value(config.floor),
        chi2=test.pearson,
    )


def _distances(empty: DriftFinding, bins: Bins, reference: Vector, current: Vector) -> DriftFinding:
    """The finding with the distances that need no test."""
    return replace(
        empty,
        psi=psi(reference.tolist(), current.tolist()),
        js=jensen_shannon(reference.tolist(), current.tolist()),
        unseen_share=_unseen(bins, current),
        null_share=float(current[_nulls(bins)].sum() / current.sum()),
        ks=_ordered(kolmogorov_smirnov, bins, reference, current),
        wasserstein=_ordered(partial(wasserstein, bins.edges), bins, reference, current),
    )


def _ordered(distance: Callable[[Sequence[float], Sequence[float]], float], bins: Bins, reference: Vector, current: Vector) -> float | None:
    """A distance that needs an order, over the values alone; none for categories, nor when either side has no value."""
    before, after = reference[: len(bins.edges) + 1], current[: len(bins.edges) + 1]
    if bins.kind != "numeric" or not bins.edges or not before.sum() or not after.sum():
        return None
    return distance(before.tolist(), after.tolist())


def _nulls(bins: Bins) -> slice:
    return slice(bins.size - 1, None) if bins.kind == "category" else slice(bins.size - 2, None)


def _unseen(bins: Bins, current: Vector) -> float:
    """Share of rows with a value that training never saw: an unknown category, or outside the outermost edges."""
    if bins.kind == "category":
        strange = current[bins.size - 2]
    elif bins.edges:
        strange = current[0] + current[len(bins.edges)]
    else:
        strange = current[0]
    return float(strange / current.sum())
