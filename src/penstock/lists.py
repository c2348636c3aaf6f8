"""How good lists of items are: recall, NDCG, hit rate, coverage and novelty of the best-scored items of each case; pure.

A case is one entity at one `as_of`; a row is one of its candidate items. The list of a case are its `places` rows with the
highest scores, of equals those that come first (rows stand in order of their items). What an entity chose without its being
a candidate counts in `total` all the same: a list cannot find it, and is not forgiven.

Definitions: recall and NDCG at K with a denominator of min(K, chosen) and binary gains, Järvelin and Kekäläinen,
"Cumulated gain-based evaluation of IR techniques", ACM TOIS 20(4), 2002; novelty is the mean self-information, in bits,
of what is shown (Zhou et al., PNAS 107(10), 2010).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from penstock import metrics
from penstock.intervals import percentile_interval
from penstock.metrics import Interval, Measure

Floats = NDArray[np.float64]
Records = NDArray[np.void]
CASE = np.dtype([("chosen", "i1"), ("case", "i8"), ("item", "i4"), ("total", "i4"), ("places", "i2"), ("common", "f8")])
"""A row: whether its item was chosen, whose list it is of, the item's number, how many items the case chose at all, the list's
length, and the share of entities that chose the item lately."""

_RAREST = 1e-4
"""A share of entities below which an item counts as this rare, so that one that nobody chose has a finite novelty."""
_MEASURED = ("recall", "ndcg", "hit_rate")


def cases(
    *,
    chosen: NDArray[np.int8],
    case: NDArray[np.int64],
    item: NDArray[np.int64],
    total: NDArray[np.int32],
    places: NDArray[np.int16],
    common: Floats,
) -> Records:
    """Rows as records of `CASE`."""
    found = np.empty(len(chosen), dtype=CASE)
    for name, values in (("chosen", chosen), ("case", case), ("item", item), ("total", total), ("places", places), ("common", common)):
        found[name] = values
    return found


@dataclass(frozen=True)
class Lists:
    """The lists that scores make of rows: one entry a case that chose anything."""

    label: Records
    shown: NDArray[np.int64]
    """Rows on a list, in order of case and rank."""
    rank: NDArray[np.int64]
    """Of each shown row, from 0."""
    of: NDArray[np.int64]
    """Of each shown row the number of its case."""
    first: NDArray[np.int64]
    """Of each case the first of its rows."""

    @staticmethod
    def made(label: Records, score: Floats) -> Lists:
        """The lists of `score`."""
        order = np.lexsort((np.arange(len(label)), -score, label["case"]))
        case = label["case"][order]
        begins = np.flatnonzero(np.append(True, case[1:] != case[:-1])) if len(case) else np.empty(0, dtype=np.int64)
        of = np.repeat(np.arange(len(begins)), np.diff(np.append(begins, len(case))))
        rank = np.arange(len(case)) - begins[of] if len(case) else np.empty(0, dtype=np.int64)
        on = rank < label["places"][order]
        return Lists(label, order[on], rank[on], of[on], order[begins])

    @cached_property
    def values(self) -> dict[str, Floats]:
        """`recall`, `ndcg` and `hit_rate` of each case; NaN for one that chose nothing."""
        count = len(self.first)
        total = self.label["total"][self.first].astype(np.int64)
        possible = np.minimum(total, self.label["places"][self.first])
        hit = self.label["chosen"][self.shown].astype(np.float64)
        found = np.bincount(self.of, weights=hit, minlength=count)
        gain = np.bincount(self.of, weights=hit / np.log2(self.rank + 2.0), minlength=count)
        longest = int(possible.max(initial=0))
        ideal = np.append(0.0, np.cumsum(1.0 / np.log2(np.arange(longest) + 2.0)))[possible]
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                "recall": np.where(total > 0, found / possible, np.nan),
                "ndcg": np.where(total > 0, gain / ideal, np.nan),
                "hit_rate": np.where(total > 0, (found > 0).astype(np.float64), np.nan),
            }

    @property
    def coverage(self) -> float:
        """Share of all items among the rows that are on some list."""
        every = np.unique(self.label["item"]).size
        return np.unique(self.label["item"][self.shown]).size / every if every else float("nan")

    @property
    def novelty(self) -> float:
        """Mean of -log2 of the share of entities that chose what is shown."""
        return float(-np.log2(np.maximum(self.label["common"][self.shown], _RAREST)).mean()) if self.shown.size else float("nan")


def recall(label: Records, score: Floats) -> Measure:
    """Mean recall over the cases that chose anything."""
    why = _fault(label, score)
    return Measure(None, why) if why else Measure(float(np.nanmean(Lists.made(label, score).values["recall"])))


def measures(label: Records, score: Floats) -> dict[str, Measure]:
    """All measures by name: `cases` counts those that chose anything."""
    why = _fault(label, score)
    if why:
        return dict.fromkeys(("cases", *_MEASURED, "coverage", "novelty"), Measure(None, why))
    made = Lists.made(label, score)
    known = int(np.isfinite(made.values["recall"]).sum())
    means = {name: Measure(float(np.nanmean(made.values[name]))) for name in _MEASURED}
    return {"cases": Measure(float(known)), **means, "coverage": Measure(made.coverage), "novelty": Measure(made.novelty)}


def intervals(
    label: Records, score: Floats, entity: NDArray[np.object_], *, rounds: int, confidence: float, seed: int
) -> dict[str, Interval]:
    """`recall`, `ndcg` and `hit_rate` with percentile bootstrap bounds over entities, all from the same draws."""
    why = _fault(label, score) or _few(label, entity)
    if why:
        return dict.fromkeys(_MEASURED, Interval(None, None, None, why))
    made = Lists.made(label, score)
    known = np.isfinite(made.values["recall"])
    parts = np.stack([made.values[name][known] for name in _MEASURED], axis=1)
    found = np.array(
        [w @ parts / w.sum() if w.sum() else [np.nan] * 3 for w in metrics.entity_draws(entity[made.first][known], rounds, seed)]
    )
    return {
        name: percentile_interval(float(parts[:, at].mean()), found[:, at], confidence, "held a case") for at, name in enumerate(_MEASURED)
    }


def recall_difference(
    label: Records, score: Floats, other: Floats, entity: NDArray[np.object_], *, rounds: int, confidence: float, seed: int
) -> Interval:
    """Mean recall of `score` less that of `other` on the same cases."""
    why = _fault(label, score) or _fault(label, other) or _few(label, entity)
    if why:
        return Interval(None, None, None, why)
    mine, theirs = Lists.made(label, score), Lists.made(label, other)
    known = np.isfinite(mine.values["recall"])
    gap = (mine.values["recall"] - theirs.values["recall"])[known]
    draws = metrics.entity_draws(entity[mine.first][known], rounds, seed)
    found = np.array([w @ gap / w.sum() if w.sum() else np.nan for w in draws])
    return percentile_interval(float(gap.mean()), found, confidence, "held a case")


def _few(label: Records, entity: NDArray[np.object_]) -> str:
    """Of those that chose anything: bounds drawn from one would be of no width."""
    known = len(set(entity[label["total"] > 0]))
    return f"{known} entity, two are needed to draw from" if known < 2 else ""


def _fault(label: Records, score: Floats) -> str:
    if not len(label):
        return "no rows"
    if not np.isfinite(score).all():
        return "some scores are NaN or infinite"
    return "" if (label["total"] > 0).any() else "nobody chose anything"
