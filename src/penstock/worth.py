"""The mathematics of a list's worth: who is on it, what acting on it is expected to bring, and what it would have brought.

The list is every row whose published (rounded) score reaches the break-even probability: acting on any other row loses
money on average, acting on these gains. Money is in the currency of the `Stakes`; scores are calibrated P(label = 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from penstock import metrics
from penstock.config.purpose import Stakes
from penstock.config.training import Gates
from penstock.metrics import Interval, Measure, Vector

Mask = NDArray[np.bool_]

MEANING = (
    "what acting on the whole list would have brought at the outcomes that came, "
    "had acting been worth what the purpose assumes; no measured effect"
)
"""What a realised profit is. A measured effect takes the control group, and enough of it."""
FEWEST = 30
"""A list of fewer entities gives no interval: so few draws of so few feign a certainty that is not there."""
_CURVE = 21


@dataclass(frozen=True)
class ListWorth:
    """What acting on one list of a holdout is worth, in money a list: the sums over `lists` cohorts are shared out among them."""

    stakes: Stakes
    rows: int
    lists: int
    contacts: int
    """Rows on the list, over all cohorts."""
    expected: Measure
    """As the scores foretold."""
    realised: Interval
    """As the outcomes came; the bounds are unknown where `reason` says so."""
    everybody: Measure
    """Of acting on every row; of acting on nobody it is 0."""
    others: Mapping[str, Measure]
    """Of other scores' lists."""

    def numbers(self) -> dict[str, float]:
        """The known figures by name, for MLflow."""
        bounds = {"realised": self.realised.value, "realised_low": self.realised.low, "realised_high": self.realised.high}
        found = {"expected": self.expected.value, **bounds, "everybody": self.everybody.value}
        found |= {f"list.{name}": measure.value for name, measure in self.others.items()}
        fixed = {"threshold": self.stakes.threshold, "right": self.stakes.right, "wrong": self.stakes.wrong, "nobody": 0.0}
        fixed |= {"contacts": float(self.contacts), "lists": float(self.lists)}
        return fixed | {name: value for name, value in found.items() if value is not None}


def amount(value: float) -> str:
    """`1,234`, `-12.50`: pence are shown below a hundred only."""
    return f"{value:,.0f}" if abs(value) >= 99.995 else f"{value:,.2f}"


def money(value: float, currency: str) -> str:
    """`GBP 1,234`."""
    return f"{currency} {amount(value)}"


def acted_on(score: ArrayLike, stakes: Stakes) -> Mask:
    """Which rows are on the list, by the rounded score: the same that the bands of the published scores say."""
    mask: Mask = np.round(np.asarray(score, dtype=np.float64), stakes.digits) >= stakes.threshold
    return mask


def value_of(chance: ArrayLike, stakes: Stakes) -> Vector:
    """What acting on each row is worth when its label is 1 with this chance; with the outcome itself, what it came to."""
    p = np.asarray(chance, dtype=np.float64)
    values: Vector = p * stakes.right + (1 - p) * stakes.wrong
    return values


def profit(chance: ArrayLike, acted: Mask, stakes: Stakes, count: ArrayLike = 1.0) -> float:
    """Profit of acting on the rows of the mask: expected for probabilities, realised for outcomes. `count` says how many rows a row stands for."""
    # Exactly rounded, so that the order in which rows leave Spark moves no last digit.
    return math.fsum(value_of(chance, stakes) * acted * np.asarray(count, dtype=np.float64))


def profit_of_best(label: ArrayLike, order: ArrayLike, share: float, stakes: Stakes) -> float:
    """Realised profit of acting on the `share` of the rows that another order puts first; rows tied at the cut count in proportion."""
    y = np.asarray(label, dtype=np.float64)
    contacted, came = _cumulated(y, np.asarray(order, dtype=np.float64))
    ones = float(np.interp(share * y.size, contacted, came))
    return ones * stakes.right + (share * y.size - ones) * stakes.wrong


def profit_curve(label: ArrayLike, score: ArrayLike, stakes: Stakes, lists: int = 1) -> tuple[tuple[float, float], ...]:
    """Realised profit a list of acting on the best 0, 5 … 100 % of the rows; empty where outcomes or scores cannot be judged."""
    if metrics.fault(label, score):
        return ()
    shares = np.linspace(0, 1, _CURVE)
    return tuple((float(share), profit_of_best(label, score, float(share), stakes) / lists) for share in shares)


def _cumulated(y: Vector, score: Vector) -> tuple[Vector, Vector]:
    """Rows contacted and ones among them, from the highest score down, a point for each distinct score; both start at 0."""
    order = np.argsort(-score, kind="stable")
    last = np.append(score[order][1:] != score[order][:-1], True)
    contacted = np.arange(1.0, y.size + 1)[last]
    return np.insert(contacted, 0, 0.0), np.insert(np.cumsum(y[order])[last], 0, 0.0)


def rate_profit(ones: float, contacts: float, stakes: Stakes, confidence: float = 0.95) -> Interval:
    """Realised profit of a list of one cohort, each entity once, with the bounds that Wilson's interval of its rate gives."""
    rate = metrics.rate_interval(int(ones), int(contacts), confidence) if contacts else Interval(None, None, None, "nobody is on the list")
    if rate.value is None or rate.low is None or rate.high is None:
        return Interval(0.0 if not contacts else None, None, None, rate.reason)
    value, low, high = (contacts * (r * stakes.right + (1 - r) * stakes.wrong) for r in (rate.value, rate.low, rate.high))
    if contacts < FEWEST:
        return Interval(value, None, None, f"{int(contacts)} on the list, {FEWEST} are needed for an interval")
    return Interval(value, low, high)


def realised_interval(
    label: ArrayLike, acted: Mask, entity: NDArray[np.object_], stakes: Stakes, *, rounds: int, confidence: float, seed: int
) -> Interval:
    """Realised profit of a list of several cohorts with a percentile bootstrap interval; entities are drawn, not rows."""
    values = value_of(label, stakes) * acted
    names = np.unique(entity[acted])
    if names.size < FEWEST:
        return Interval(math.fsum(values), None, None, f"{names.size} entities on the list, {FEWEST} are needed for an interval")
    found = [float(values @ weight) for weight in metrics.entity_draws(entity, rounds, seed)]
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(math.fsum(values), float(low), float(high))


def judge_list(
    label: NDArray[np.int64],
    score: Vector,
    entity: NDArray[np.object_],
    stakes: Stakes,
    gates: Gates,
    *,
    lists: int,
    seed: int,
    others: Mapping[str, Vector] | None = None,
    orders: Mapping[str, Vector] | None = None,
) -> ListWorth:
    """The worth of the list that `score` makes on a holdout of `lists` cohorts.

    `others` are probabilities whose lists are set beside it; `orders` are scores that claim none (heuristics), whose lists
    are made as long as this one. Unknown, with the reason, where outcomes or scores cannot be judged.
    """
    why = metrics.fault(label, score)
    if why or lists < 1:
        unknown = Measure(None, why or "no cohort")
        return ListWorth(stakes, len(label), lists, 0, unknown, Interval(None, None, None, unknown.reason), unknown, {})
    acted = acted_on(score, stakes)
    total = realised_interval(label, acted, entity, stakes, rounds=gates.bootstrap_rounds, confidence=gates.confidence, seed=seed)
    share = float(acted.mean())
    beside = {
        name: _measured(label, other, lambda s: profit(label, acted_on(s, stakes), stakes) / lists)
        for name, other in (others or {}).items()
    }
    beside |= {
        name: _measured(label, order, lambda s: profit_of_best(label, s, share, stakes) / lists) for name, order in (orders or {}).items()
    }
    return ListWorth(
        stakes=stakes,
        rows=len(label),
        lists=lists,
        contacts=int(acted.sum()),
        expected=Measure(profit(score, acted, stakes) / lists),
        realised=_shared_out(total, lists),
        everybody=Measure(profit(label, np.ones(len(label), dtype=bool), stakes) / lists),
        others=beside,
    )


def _measured(label: NDArray[np.int64], score: Vector, measure: Callable[[Vector], float]) -> Measure:
    why = metrics.fault(label, score)
    return Measure(None, why) if why else Measure(measure(score))


def _shared_out(total: Interval, lists: int) -> Interval:
    value, low, high = (None if v is None else v / lists for v in (total.value, total.low, total.high))
    return Interval(value, low, high, total.reason)


def told(found: ListWorth, confidence: float) -> str:
    """The KPI as words without a full stop: realised and expected, who is on the list, and the target."""
    stakes, currency = found.stakes, found.stakes.currency
    if found.realised.value is None or found.expected.value is None:
        return f"{stakes.kpi}: not known, {found.realised.reason}"
    low, high = found.realised.low, found.realised.high
    bounds = (
        f" ({confidence:.0%} interval {money(low, currency)} to {money(high, currency)})" if low is not None and high is not None else ""
    )
    parts = [
        f"{stakes.kpi}: {money(found.realised.value, currency)} a list{bounds}",
        f"expected {money(found.expected.value, currency)}",
        f"{found.contacts:,} of {found.rows:,} rows at {stakes.threshold:g} or more",
        *([reached(found.realised.value, stakes)] if stakes.target is not None else []),
    ]
    return ", ".join(parts)


def reached(value: float | None, stakes: Stakes) -> str:
    """Whether the KPI's target is reached, in words; nothing where there is no target."""
    if stakes.target is None:
        return ""
    if value is None or not math.isfinite(value):
        return f"target {money(stakes.target, stakes.currency)}: not known"
    return f"target {money(stakes.target, stakes.currency)} {'reached' if value >= stakes.target else 'not reached'}"
