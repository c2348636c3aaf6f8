"""What may stand under `training:` of a pipeline: the candidates, how they are searched, calibrated, judged and gated.

Nothing here imports scikit-learn: whether an estimator exists, and takes the parameters named, is asked by
`penstock.training.model.estimator_faults` before anything is fitted.
"""

from __future__ import annotations

import re
from datetime import date
from itertools import pairwise
from typing import Literal

from pydantic import Field, field_validator, model_validator

from penstock.config.values import Frozen

Value = bool | int | float | str | None
"""A hyper-parameter's value as YAML gives it."""

_ESTIMATOR = re.compile(r"sklearn(\.[A-Za-z][A-Za-z0-9_]*){2,}|(xgboost|lightgbm)(\.[A-Za-z][A-Za-z0-9_]*)+")
_EXAMPLE = "sklearn.ensemble.HistGradientBoostingClassifier"


class Search(Frozen):
    """The search for hyper-parameters, the same for every candidate: the same folds, and so many trials for each."""

    trials: int = Field(default=8, ge=1, le=1000)
    """At most, for each candidate: the first is the first value of every list of its space, the others are drawn by seed."""
    seconds: float = Field(default=120.0, gt=0)
    """Of all candidates together: no trial starts after this long. A search that was cut says so: its result then depends on the machine."""
    folds: int = Field(default=2, ge=1, le=20)
    split: Literal["time", "group", "random"] = "time"
    """How the training rows are folded. `time`: earlier cohorts train, later ones judge. `group`: other entities judge, in the
    same weeks. `random`: other rows judge, also of the same entities. The holdout is always the newest cohorts."""

    @model_validator(mode="after")
    def _folds_have_another_side(self) -> Search:
        if self.split != "time" and self.folds < 2:
            raise ValueError(f"folds: got {self.folds} with split {self.split}, expected at least 2")
        return self


class Preprocessing(Frozen):
    """What the model does to its inputs, learned on the training rows and kept inside the artefact."""

    impute: Literal["none", "median"] = "none"
    """`none` leaves missing numbers to an estimator that takes them (gradient boosting does)."""
    clip: Literal["range", "none"] = "range"
    """`range` holds every number to the range seen in training."""
    scale: Literal["none", "standard", "quantile"] = "none"
    """For estimators that mind (linear ones do): `standard` to mean 0 and variance 1; `quantile` by rank to a normal
    distribution, for counts and sums with long tails."""
    rare_share: float = Field(default=0.01, ge=0, lt=0.5)
    """Categories with a smaller share of the training rows become one, together with those never seen."""


class Select(Frozen):
    """Which of the prepared columns the estimator gets: those that say most about the label, each by itself (F test)."""

    share: float = Field(gt=0, lt=1)
    """Of the prepared columns; chosen anew on the training rows of every fit."""


class Candidate(Frozen):
    """One estimator with the preprocessing, weighting and selection that fit it, and the space of its search."""

    name: str = Field(pattern=r"[a-z][a-z0-9_]{0,62}")
    estimator: str = _EXAMPLE
    """Dotted path, of scikit-learn, xgboost or lightgbm: of a classifier with probabilities, or of a regressor in a regression
    (where the default is HistGradientBoostingRegressor)."""
    params: dict[str, Value] = Field(default_factory=dict)
    """Fixed hyper-parameters; those of `space` come on top."""
    space: dict[str, tuple[Value, ...]] = Field(default_factory=dict)
    """The values to search for each hyper-parameter, the first one first."""
    preprocessing: Preprocessing = Preprocessing()
    class_weight: Literal["balanced"] | None = None
    """`balanced`: both classes weigh alike in the fit. Calibration brings the probabilities back to the real rate."""
    features: tuple[str, ...] | None = Field(default=None, min_length=1)
    """The columns of `training.features` that this candidate may use; all of them when absent."""
    select: Select | None = None

    @field_validator("estimator")
    @classmethod
    def _estimator_is_allowed(cls, path: str) -> str:
        if not _ESTIMATOR.fullmatch(path):
            raise ValueError(f"got {path!r}, expected a dotted path that begins with sklearn., xgboost. or lightgbm., such as {_EXAMPLE}")
        return path

    @field_validator("space")
    @classmethod
    def _lists_hold_values(cls, space: dict[str, tuple[Value, ...]]) -> dict[str, tuple[Value, ...]]:
        empty = sorted(name for name, values in space.items() if not values)
        if empty:
            raise ValueError(f"got no values for {', '.join(empty)}, expected at least one each")
        return space

    @model_validator(mode="after")
    def _parts_fit(self) -> Candidate:
        set_here = {"class_weight"} if self.class_weight else set()
        both = sorted(set(self.params) & set(self.space) | set_here & {*self.params, *self.space})
        if both:
            raise ValueError(f"{', '.join(both)} set more than once among params, space and class_weight; expected each in one place")
        if self.select is not None and self.preprocessing.impute == "none":
            raise ValueError("select: got missing numbers left as they are, expected preprocessing.impute: median")
        return self


class Calibration(Frozen):
    """How scores become probabilities (a regression's are none, and are not calibrated): fitted on scores that each entity got from a model that never saw it."""

    method: Literal["sigmoid", "isotonic", "none"] = "sigmoid"
    folds: int = Field(default=3, ge=2, le=20)


class Baseline(Frozen):
    """A heuristic to beat: one feature as it is, or in a regression a constant.

    Where the feature is null, a classification's row ranks as the least likely, and a regression foretells the constant.
    """

    name: str = Field(pattern=r"[a-z][a-z0-9_]{0,62}")
    column: str | None = None
    higher_means: Literal["positive", "negative"] | None = None
    """Of a classification's column; in a regression the column itself is the value foretold."""
    constant: Literal["median"] | None = None
    """Of the training's labels; in a regression, in place of a column."""

    @model_validator(mode="after")
    def _is_one_of_the_two(self) -> Baseline:
        if (self.column is None) == (self.constant is None):
            raise ValueError(f"{self.name}: expected either a column or a constant")
        return self


class Segment(Frozen):
    """Groups of rows that must not lose: the values of a column, or half-open bins [edge, next edge) of a number."""

    column: str
    edges: tuple[float, ...] = ()

    @field_validator("edges")
    @classmethod
    def _edges_rise(cls, edges: tuple[float, ...]) -> tuple[float, ...]:
        if any(b <= a for a, b in pairwise(edges)):
            raise ValueError(f"got {edges}, expected rising numbers")
        return edges


class Gates(Frozen):
    """The thresholds a candidate must pass. Differences are in ROC AUC; in a regression they are shares of the other's mean absolute error, in a ranking differences in recall, and rows are entities at an `as_of`."""

    min_gain: float = Field(default=0.0, ge=0, lt=1)
    """The lower bound of (candidate - best heuristic) must be above this."""
    max_loss: float = Field(default=0.02, ge=0, lt=1)
    """The lower bound of (candidate - champion), over all rows, must not be below minus this."""
    max_segment_loss: float = Field(default=0.03, ge=0, lt=1)
    """In no segment of `min_segment_rows` or more may (candidate - champion) be below minus this."""
    min_segment_rows: int = Field(default=300, ge=1)
    max_calibration_error: float = Field(default=0.05, gt=0, lt=1)
    max_bias: float = Field(default=0.1, gt=0, lt=1)
    """In a regression, in place of the calibration error: |mean error| as a share of the labels' mean size."""
    min_coverage: float = Field(default=0.1, ge=0, lt=1)
    """In a ranking, in place of the calibration error: the share of all candidate items that must be on somebody's list."""
    calibration_bins: int = Field(default=10, ge=2, le=100)
    max_profit_loss: float = Field(default=0.1, ge=0, le=1)
    """Share of what the champion's list, or acting on everybody, brings that the candidate's list may bring less; where the purpose says what that is worth."""
    max_score_difference: float = Field(default=1e-9, ge=0)
    """Between a score in training and the same row's score through the Spark path."""
    bootstrap_rounds: int = Field(default=1000, ge=100, le=100_000)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    min_rows: int = Field(default=200, ge=1)
    """A holdout with fewer rows is no evidence, and no gate passes on it."""


class TrainingConfig(Frozen):
    """How a pipeline's model comes about. The search is over `candidates`; every other setting is the same for all of them."""

    candidates: tuple[Candidate, ...] = Field(default=(Candidate(name="boosting"),), min_length=1)
    """Fitted side by side; the one with the best mean over the folds goes through the gates, the others are kept for a person."""
    search: Search = Search()
    calibration: Calibration = Calibration()
    features: tuple[str, ...] | None = None
    """Columns of the view that the models may use; all of them when absent."""
    exclude: tuple[str, ...] = ()
    """Columns of the view that it may not."""
    history_start: date | None = None
    """The first `as_of` used, when the years before say nothing about today."""
    max_cohorts: int | None = Field(default=None, ge=2)
    """Only the newest so many cohorts are used; all when absent."""
    holdout_cohorts: int = Field(default=4, ge=1, le=104)
    """The newest matured cohorts, kept from the fit to judge the candidates."""
    seed: int = Field(default=20111209, ge=0, lt=2**32)
    baselines: tuple[Baseline, ...] = Field(min_length=1)
    segments: tuple[Segment, ...] = ()
    gates: Gates = Gates()

    @model_validator(mode="after")
    def _names_are_unique(self) -> TrainingConfig:
        for kind, names in (("baselines", [b.name for b in self.baselines]), ("candidates", [c.name for c in self.candidates])):
            if len(set(names)) < len(names):
                raise ValueError(f"{kind}: got the names {', '.join(names)}, expected each once")
        if self.features is not None and not set(self.features) - set(self.exclude):
            raise ValueError("features: got none that is not excluded, expected at least one")
        for candidate in self.candidates:
            unusable = set(candidate.features or ()) & set(self.exclude)
            unusable |= set(candidate.features or ()) - set(self.features or candidate.features or ())
            if unusable:
                raise ValueError(f"candidates: {candidate.name}: features: got {', '.join(sorted(unusable))}, which training leaves out")
        return self
