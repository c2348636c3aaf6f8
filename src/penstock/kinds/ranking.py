"""What to show each entity: the label is whether it chose an item, a score orders the items of its list, judged by what the list finds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from penstock import lists, metrics
from penstock.kinds.classification import Classification
from penstock.kinds.kind import Draws, Floats, Ints, Labels, Level
from penstock.metrics import Interval, Measure

if TYPE_CHECKING:
    from penstock.config.training import Baseline, Gates

CHOSEN, PLACES, COMMON = "__chosen", "__places", "__common"
"""Columns beside the label of a row: how many items its entity chose, how long a list is, and the share of entities that chose the row's item lately."""


class Ranking(Classification):
    """An order of each entity's candidate items, by recall at the list's length. A margin is a difference of recalls.

    A model is a classifier of (entity, item) rows; its probabilities are used for their order alone. Labels are records
    (`lists.CASE`), so that whatever takes a part of the rows takes what belongs to them.
    """

    name = "ranking"
    primary = "recall"
    title = "recall"
    compared = ("recall", "ndcg", "hit_rate", "coverage", "novelty")
    compared_of_baselines = compared
    judged = ("cases", "recall", "ndcg", "hit_rate", "coverage", "novelty")
    titles: ClassVar[Mapping[str, str]] = {
        "cases": "lists",
        "recall": "recall",
        "ndcg": "NDCG",
        "hit_rate": "hit rate",
        "coverage": "catalogue coverage",
        "novelty": "novelty (bits)",
    }
    shuffled = "loss of AUC over (entity, item) rows when shuffled"
    score_is = "an order of items, by the probability of: {}"
    column = "items"

    def labels(self, rows: pd.DataFrame, label: str, case: Ints) -> Labels:
        """Records of `lists.CASE`."""
        items, _ = pd.factorize(rows["item"], sort=True)
        return lists.cases(
            chosen=rows[label].to_numpy(dtype=np.int8),
            case=case,
            item=items,
            total=rows[CHOSEN].to_numpy(dtype=np.int32),
            places=rows[PLACES].to_numpy(dtype=np.int16),
            common=rows[COMMON].to_numpy(dtype=np.float64, na_value=0.0),
        )

    def target(self, label: Labels) -> Labels:
        """int64: 1 for a chosen item."""
        return np.asarray(label["chosen"], dtype=np.int64)

    def count(self, label: Labels) -> int:
        """Lists."""
        return int(np.unique(label["case"]).size)

    def unlearnable(self, label: Labels) -> str:
        """Nothing chosen among the rows, or everything."""
        return super().unlearnable(self.target(label))

    def figure(self, label: Labels, score: Floats) -> Measure:
        """Mean recall of the lists."""
        return lists.recall(label, score)

    def state(self, label: Labels, score: Floats) -> tuple[str, str]:
        """`invalid`."""
        why = metrics.fault(self.target(label), score)
        return ("invalid", why) if why else ("evaluated", "")

    def measures(self, label: Labels, score: Floats, bins: int) -> dict[str, Measure]:  # noqa: ARG002 - no groups
        """What the lists find, and what they are made of."""
        return lists.measures(label, score)

    def intervals(self, label: Labels, score: Floats, entity: NDArray[np.object_], draws: Draws) -> dict[str, Interval]:
        """Recall, NDCG and hit rate."""
        return lists.intervals(label, score, entity, rounds=draws.rounds, confidence=draws.confidence, seed=draws.seed)

    def advantage(self, label: Labels, score: Floats, other: Floats, entity: NDArray[np.object_], draws: Draws) -> Interval:
        """The difference of recalls."""
        return lists.recall_difference(label, score, other, entity, rounds=draws.rounds, confidence=draws.confidence, seed=draws.seed)

    def level(self, label: Labels, score: Floats, gates: Gates) -> Level:
        """The share of the candidate items that are on nobody's list."""
        coverage = lists.measures(label, score)["coverage"]
        unseen = coverage if coverage.value is None else Measure(1.0 - coverage.value)
        words = (
            ""
            if coverage.value is None
            else f"{coverage.value:.1%} of the candidate items are on somebody's list, {unseen.value:.1%} on nobody's"
        )
        return Level("covers_catalogue", "unseen_share", unseen, "max_unseen_share", 1.0 - gates.min_coverage, words)

    def baseline(self, values: Floats | None, baseline: Baseline, centre: float | None, rows: int) -> Floats:
        """An order of items by the column; missing ranks lowest."""
        return super().baseline(values, baseline, centre, rows)

    def as_score(self, heuristic: Floats) -> Floats:
        """The order itself."""
        return heuristic
