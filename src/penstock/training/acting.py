"""What acting on a holdout's lists would have brought, for the training's log, the gate and the card."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from penstock.config.model import Pipeline
from penstock.training.evaluate import baseline_scores
from penstock.training.rows import Rows
from penstock.worth import ListWorth, judge_list, profit_curve

Floats = NDArray[np.float64]


def acting_on(pipeline: Pipeline, rows: Rows, score: Floats, others: Mapping[str, Floats] | None = None) -> ListWorth | None:
    """The worth of the list that `score` makes of each of the holdout's cohorts; None where the purpose names no amounts.

    `others` are probabilities of the same rows whose lists stand beside it; the heuristics' lists always do. The control
    group is counted in: nobody of the holdout is asked whether they may be contacted.
    """
    stakes, config = pipeline.stakes, pipeline.training
    if stakes is None:
        return None
    return judge_list(
        *(rows.label, score, rows.entity, stakes, config.gates),
        lists=lists_of(rows),
        seed=config.seed,
        others=others,
        orders=baseline_scores(rows, config.baselines),
    )


def profit_by_share(pipeline: Pipeline, rows: Rows, score: Floats) -> tuple[tuple[float, float], ...]:
    """(share contacted in order of score, realised profit a list); empty where the purpose names no amounts."""
    return () if pipeline.stakes is None else profit_curve(rows.label, score, pipeline.stakes, lists_of(rows))


def kpi_metrics(acting: ListWorth | None) -> dict[str, float]:
    """The figures as they are logged: `kpi.expected`, `kpi.realised`, `kpi.list.recency` …; none without amounts."""
    return {} if acting is None else {f"kpi.{name}": value for name, value in acting.numbers().items()}


def lists_of(rows: Rows) -> int:
    """How many cohorts the rows are of."""
    return int(np.unique(rows.day).size)
