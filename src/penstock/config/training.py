"""What may stand under `training:` of a pipeline: the estimator, how it is searched, calibrated, judged and gated.

Nothing here imports scikit-learn: whether an estimator exists, and takes the parameters named, is asked by
`penstock.training.fit.estimator_faults` when the plan is made.
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

_ESTIMATOR = re.compile(r"sklearn(\.[A-Za-z][A-Za-z0-9_]*){2,}")
_EXAMPLE = "sklearn.ensemble.HistGradientBoostingClassifier"


class Search(Frozen):
    """The search for hyper-parameters: the first trial is the first value of every list, the others are drawn by seed."""

    trials: int = Field(default=8, ge=1, le=1000)
    seconds: float = Field(default=120.0, gt=0)
    """No trial starts after this long. A search that was cut says so: its result then depends on the machine."""
    folds: int = Field(default=2, ge=1, le=20)
    space: dict[str, tuple[Value, ...]] = Field(default_factory=dict)

    @field_validator("space")
    @classmethod
    def _lists_hold_values(cls, space: dict[str, tuple[Value, ...]]) -> dict[str, tuple[Value, ...]]:
        empty = sorted(name for name, values in space.items() if not values)
        if empty:
            raise ValueError(f"got no values for {', '.join(empty)}, expected at least one each")
        return space


class Preprocessing(Frozen):
    """What the model does to its inputs, learned on the training rows and kept inside the artefact."""

    impute: Literal["none", "median"] = "none"
    """`none` leaves missing numbers to an estimator that takes them (histogram gradient boosting does)."""
    clip: Literal["range", "none"] = "range"
    """`range` holds every number to the range seen in training."""
    rare_share: float = Field(default=0.01, ge=0, lt=0.5)
    """Categories with a smaller share of the training rows become one, together with those never seen."""


class Calibration(Frozen):
    """How scores become probabilities: fitted on scores that each entity got from a model that never saw it."""

    method: Literal["sigmoid", "isotonic", "none"] = "sigmoid"
    folds: int = Field(default=3, ge=2, le=20)


class Baseline(Frozen):
    """A heuristic to beat: one feature as it is. Where it is null, the row ranks as the least likely."""

    name: str = Field(pattern=r"[a-z][a-z0-9_]{0,62}")
    column: str
    higher_means: Literal["positive", "negative"]


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
    """The thresholds a candidate must pass; differences are in ROC AUC."""

    min_gain: float = Field(default=0.0, ge=0, lt=1)
    """The lower bound of (candidate - best heuristic) must be above this."""
    max_loss: float = Field(default=0.02, ge=0, lt=1)
    """The lower bound of (candidate - champion), over all rows, must not be below minus this."""
    max_segment_loss: float = Field(default=0.03, ge=0, lt=1)
    """In no segment of `min_segment_rows` or more may (candidate - champion) be below minus this."""
    min_segment_rows: int = Field(default=300, ge=1)
    max_calibration_error: float = Field(default=0.05, gt=0, lt=1)
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
    """How a pipeline's model comes about."""

    estimator: str = _EXAMPLE
    """Dotted path of a scikit-learn classifier with probabilities."""
    params: dict[str, Value] = Field(default_factory=dict)
    """Fixed hyper-parameters; those of `search.space` come on top."""
    search: Search = Search()
    preprocessing: Preprocessing = Preprocessing()
    calibration: Calibration = Calibration()
    features: tuple[str, ...] | None = None
    """Columns of the view that the model may use; all of them when absent."""
    exclude: tuple[str, ...] = ()
    """Columns of the view that it may not."""
    history_start: date | None = None
    """The first `as_of` used, when the years before say nothing about today."""
    max_cohorts: int | None = Field(default=None, ge=2)
    """Only the newest so many cohorts are used; all when absent."""
    holdout_cohorts: int = Field(default=4, ge=1, le=104)
    """The newest matured cohorts, kept from the fit to judge the candidate."""
    seed: int = Field(default=20111209, ge=0, lt=2**32)
    baselines: tuple[Baseline, ...] = Field(min_length=1)
    segments: tuple[Segment, ...] = ()
    gates: Gates = Gates()

    @field_validator("estimator")
    @classmethod
    def _estimator_is_allowed(cls, path: str) -> str:
        if not _ESTIMATOR.fullmatch(path):
            raise ValueError(f"got {path!r}, expected a dotted path that begins with sklearn., such as {_EXAMPLE}")
        return path

    @model_validator(mode="after")
    def _names_are_unique(self) -> TrainingConfig:
        names = [baseline.name for baseline in self.baselines]
        if len(set(names)) < len(names):
            raise ValueError(f"baselines: got the names {', '.join(names)}, expected each once")
        both = sorted(set(self.params) & set(self.search.space))
        if both:
            raise ValueError(f"params and search.space both set {', '.join(both)}; expected each in one place")
        if self.features is not None and not set(self.features) - set(self.exclude):
            raise ValueError("features: got none that is not excluded, expected at least one")
        return self
