"""The candidates of a training beside the champion and the heuristics, on the same holdout rows, for a person to choose.

The gates judge one candidate; here nothing is decided. Figures that could not be had say why.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from penstock.config.training import TrainingConfig
from penstock.kinds import Draws
from penstock.training import evaluate
from penstock.training.rows import Rows
from penstock.worth import ListWorth

COMPARISON = "comparison.json"
"""Where a training run keeps its comparison."""
PROFIT = "profit"
"""The KPI, a list, in the purpose's currency; only where the purpose says what a right and a wrong decision is worth."""
_RENAMED = {"fold_auc": "fold_figure", "weakest_auc": "weakest_figure"}
"""Fields of comparisons that were logged before there was more than one kind."""
_REPEATS = 3

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """A measure on the holdout; bounds of the configured confidence where they are computed. None where not known."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Cost:
    """What a model takes: bytes on disk, and microseconds to score a row of the holdout on the machine that trained."""

    size_bytes: int
    row_micros: float


@dataclass(frozen=True)
class Contender:
    """One line of the comparison: a candidate, the champion or a heuristic."""

    kind: Literal["candidate", "champion", "heuristic"]
    name: str
    estimator: str = ""
    chosen: bool = False
    """The training's choice, which goes through the gates by itself."""
    fold_figure: float | None = None
    """Mean of the kind's primary measure over the folds, by which the candidate was chosen."""
    trials: int = 0
    figures: Mapping[str, Figure] = field(default_factory=dict)
    """Of the kind's `compared`, and `PROFIT`; for a heuristic only those that it claims, and the profit."""
    weakest_segment: str = ""
    weakest_figure: float | None = None
    """The worst of the primary measure among the segments that are large enough to be evaluated."""
    cost: Cost | None = None
    note: str = ""
    """Why there are no figures."""


def figures(rows: Rows, score: Floats, config: TrainingConfig, *, named: tuple[str, ...] | None = None) -> dict[str, Figure]:
    """The measures of scores on the holdout, those named or all, with entity-bootstrap intervals where the kind has them."""
    gates, kind = config.gates, rows.kind
    measures = evaluate.evaluate(rows.label, score, kind=kind, min_rows=gates.min_rows, bins=gates.calibration_bins).measures()
    found = {name: Figure(measures[name].value) for name in (kind.compared if named is None else named)}
    bounds = kind.intervals(rows.label, score, rows.entity, Draws(gates.bootstrap_rounds, gates.confidence, config.seed))
    return {
        name: Figure(figure.value, bounds[name].low, bounds[name].high) if name in bounds and figure.value is not None else figure
        for name, figure in found.items()
    }


def weakest(rows: Rows, score: Floats, config: TrainingConfig) -> tuple[str, float | None]:
    """The segment with the worst primary measure, and that; no name when none is large enough to be evaluated."""
    found = evaluate.by_segment(rows, score, config.segments, min_rows=config.gates.min_segment_rows)
    known = [(rows.kind.ordered(e.primary.value), e.subject, e.primary.value) for e in found if e.primary.value is not None]
    return min(known)[1:] if known else ("", None)


def row_micros(predict: Callable[[], object], rows: int, seconds: Callable[[], float]) -> float:
    """Microseconds a row of `predict`, which scores so many rows: the median of three."""
    taken = []
    for _ in range(_REPEATS):
        began = seconds()
        predict()
        taken.append(seconds() - began)
    return float(np.median(taken)) * 1e6 / max(rows, 1)


def profit(listed: ListWorth | None) -> dict[str, Figure]:
    """What acting on the scores would have brought, a list; nothing where the purpose names no amounts."""
    return {} if listed is None else {PROFIT: Figure(listed.realised.value, listed.realised.low, listed.realised.high)}


def heuristics(
    rows: Rows, config: TrainingConfig, listed: ListWorth | None = None, *, centre: float | None = None
) -> tuple[Contender, ...]:
    """A line for each heuristic: how good it is, and what a list as long as that of the chosen candidate, `listed`, would have brought."""
    found = []
    for name, score in evaluate.baseline_scores(rows, config.baselines, centre).items():
        said = rows.kind.as_score(score)
        segment, figure = weakest(rows, said, config)
        told = figures(rows, said, config, named=rows.kind.compared_of_baselines)
        if listed is not None and name in listed.others:
            told[PROFIT] = Figure(listed.others[name].value)
        found.append(Contender("heuristic", name, figures=told, weakest_segment=segment, weakest_figure=figure))
    return tuple(found)


def to_json(contenders: Sequence[Contender]) -> str:
    """The comparison as text."""
    return json.dumps([asdict(contender) for contender in contenders], indent=1)


def from_json(text: str) -> tuple[Contender, ...]:
    """The comparison that `to_json` wrote."""
    return tuple(
        Contender(
            **{
                **{_RENAMED.get(name, name): value for name, value in line.items()},
                "figures": {name: Figure(**figure) for name, figure in line["figures"].items()},
                "cost": Cost(**line["cost"]) if line["cost"] else None,
            }
        )
        for line in json.loads(text)
    )
