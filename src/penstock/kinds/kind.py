"""The questions that a stage asks about what is predicted; `classification` and `regression` answer them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from penstock.metrics import Interval, Measure

if TYPE_CHECKING:
    from penstock.config.training import Baseline, Gates

Floats = NDArray[np.float64]
Labels = NDArray[Any]
"""int64 (0 or 1), float64, or a record a row, as the kind's `labels` gives them; always of one dimension."""
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Draws:
    """How an interval is made: so many bootstrap rounds over entities, by this seed, at this two-sided confidence."""

    rounds: int
    confidence: float
    seed: int


@dataclass(frozen=True)
class Level:
    """Whether scores stand at the right height: one measure that is at most a limit, with the words of its gate."""

    gate: str
    measure: str
    found: Measure
    limit_name: str
    limit: float
    words: str


class Kind(ABC):
    """What a pipeline predicts. Holds nothing: two objects of one class are the same kind.

    `primary` is the measure by which candidates are chosen and gated, `title` its name for people. Labels and scores are
    one-dimensional arrays of one length; a measure is in its own unit, whichever direction is better.
    """

    name: ClassVar[str]
    primary: ClassVar[str]
    title: ClassVar[str]
    is_higher_better: ClassVar[bool]
    worst: ClassVar[float]
    """What a trial gets whose scores cannot be judged."""
    compared: ClassVar[tuple[str, ...]]
    """The measures by which contenders are compared, in order."""
    compared_of_baselines: ClassVar[tuple[str, ...]]
    titles: ClassVar[Mapping[str, str]]
    """The measures in the card, with their names for people."""
    judged: ClassVar[tuple[str, ...]]
    """Every measure of an evaluation, in order."""
    margin_unit: ClassVar[str]
    """Behind a difference in a sentence."""
    predicts: ClassVar[str]
    """The model's function that gives its scores."""
    outputs: ClassVar[tuple[int, ...]]
    """The shape of what that function gives."""
    scorer: ClassVar[str]
    """scikit-learn's name for the primary measure, higher is better."""
    shuffled: ClassVar[str]
    """The unit of permutation importances."""
    score_is: ClassVar[str]
    """What a score is, with a gap for the words of `label.positive`."""
    column: ClassVar[str]
    """The score's column in the CRM table."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def ordered(self, figure: float) -> float:
        """The primary measure as a number of which more is better."""
        return figure if self.is_higher_better else -figure

    # -- labels and models -------------------------------------------------------------------------------------------

    @abstractmethod
    def label_fault(self, column: pd.Series) -> tuple[str, str] | None:
        """(what was got, what was expected) of a column that holds other labels than this kind's; None when all are."""

    @abstractmethod
    def labels(self, rows: pd.DataFrame, label: str, case: Ints) -> Labels:
        """The labels of rows whose column `label` is without fault; rows of one number in `case` are of one (entity, `as_of`)."""

    def target(self, label: Labels) -> Labels:
        """What an estimator learns of the labels: numbers."""
        return label

    def count(self, label: Labels) -> int:
        """How many cases of evidence the labels are: (entity, `as_of`) pairs."""
        return len(label)

    @abstractmethod
    def unlearnable(self, label: Labels) -> str:
        """Why nothing can be learned from these labels, or the empty string."""

    @abstractmethod
    def estimator_fault(self, estimator: Any) -> str:
        """Why an estimator (an instance) cannot predict this, beginning with a comma's half sentence; or the empty string."""

    @abstractmethod
    def scores(self, model: Any, matrix: Any) -> Floats:
        """The score of each row of what a trained model takes."""

    @abstractmethod
    def score_fault(self, score: Floats) -> tuple[str, str] | None:
        """(what was got, what was expected) when some scores are none of this kind; None when all are."""

    @property
    @abstractmethod
    def tells_apart(self) -> Any:
        """scikit-learn's univariate test of a column against the label."""

    # -- judging -----------------------------------------------------------------------------------------------------

    @abstractmethod
    def figure(self, label: Labels, score: Floats) -> Measure:
        """The primary measure."""

    @abstractmethod
    def state(self, label: Labels, score: Floats) -> tuple[str, str]:
        """`evaluated` and nothing, or another state and why these rows are no evidence."""

    @abstractmethod
    def measures(self, label: Labels, score: Floats, bins: int) -> dict[str, Measure]:
        """Every measure of `judged`."""

    @abstractmethod
    def intervals(self, label: Labels, score: Floats, entity: NDArray[np.object_], draws: Draws) -> dict[str, Interval]:
        """Measures with bounds from the same draws of entities."""

    @abstractmethod
    def margin(self, mine: float, theirs: float) -> float:
        """How much better one figure is than another, in the unit of the gates' thresholds; negative when it is worse."""

    @abstractmethod
    def advantage(self, label: Labels, score: Floats, other: Floats, entity: NDArray[np.object_], draws: Draws) -> Interval:
        """The `margin` of one set of scores over another on the same rows, with its bounds."""

    @abstractmethod
    def level(self, label: Labels, score: Floats, gates: Gates) -> Level:
        """The height of the scores against their limit among the gates."""

    # -- baselines ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def centre(self, label: Labels) -> float | None:
        """What a constant baseline says, from the training's labels; None where constants are no baselines."""

    @abstractmethod
    def baseline(self, values: Floats | None, baseline: Baseline, centre: float | None, rows: int) -> Floats:
        """A heuristic's scores of so many rows: from its column's values (NaN: missing), or None for a constant."""

    @abstractmethod
    def as_score(self, heuristic: Floats) -> Floats:
        """A heuristic's values as they are evaluated."""
