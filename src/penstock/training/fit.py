"""From labelled rows to calibrated models, one for each candidate: search, fit, calibrate, choose.

The same rows, in whatever order, and the same configuration give the same model bit for bit: the rows are sorted, every
seed is fixed, and each fit runs in one thread, since sums that several threads share depend on their number.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from penstock.config.training import Candidate, TrainingConfig
from penstock.errors import ConfigError, DataError
from penstock.kinds import CLASSIFICATION, Kind
from penstock.training.inputs import Inputs, from_pandas, inputs_of
from penstock.training.model import estimator_faults, model_of
from penstock.training.rows import Rows
from penstock.training.search import Entrant, Searched, search
from penstock.training.split import entity_folds


@dataclass(frozen=True)
class Fitted:
    """A candidate's trained model with what it takes: a frame from `inputs`."""

    candidate: Candidate
    model: Any
    inputs: Inputs
    searched: Searched
    rows: int
    kind: Kind = CLASSIFICATION

    def scores(self, rows: Rows) -> NDArray[np.float64]:
        """P(label = 1), or the value, of each row."""
        return scores_of(self.model, self.inputs, rows)


def scores_of(model: Any, inputs: Inputs, rows: Rows) -> NDArray[np.float64]:
    """The kind's score of each row by a model that takes `inputs`."""
    with one_thread():
        return rows.kind.scores(model, from_pandas(rows.frame, inputs))


@contextmanager
def one_thread() -> Iterator[None]:
    """Numerical libraries keep to one thread inside, and warnings about columns empty in a fold are not shown."""
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.filterwarnings("ignore", message="Found unknown categories", category=UserWarning)
        warnings.filterwarnings("ignore", message="Features .* are constant", category=UserWarning)
        yield


def fit(rows: Rows, features: Sequence[str], config: TrainingConfig, *, horizon: int, seconds: Callable[[], float]) -> Fitted:
    """The best candidate, searched, fitted and calibrated on the training rows; raises as `fit_candidates` does."""
    return best_of(fit_candidates(rows, features, config, horizon=horizon, seconds=seconds))


def best_of(fitted: Sequence[Fitted]) -> Fitted:
    """The candidate with the best mean of the kind's primary measure over the folds; the first of equals, and the first when none was tried.

    The holdout has no say: figures that chose the winner among several would flatter it, and could not judge it any more.
    """
    return max(fitted, key=lambda one: one.kind.ordered(one.searched.figure) if one.searched.figure is not None else float("-inf"))


def fit_candidates(
    rows: Rows, features: Sequence[str], config: TrainingConfig, *, horizon: int, seconds: Callable[[], float]
) -> tuple[Fitted, ...]:
    """Search, fit and calibrate every candidate on the training rows, in the order of the configuration.

    `horizon` is the label's in days; `seconds` is a stopwatch that is only asked for the search's budget. Raises
    DataError for labels of one class (or one value), unusable columns or too few entities, ConfigError for an unknown estimator.
    """
    faults = [fault for candidate in config.candidates for fault in estimator_faults(candidate, rows.kind)]
    if faults:
        raise ConfigError(faults, next="correct training: in the pipeline's file")
    _learnable(rows)
    entrants = [_entrant(rows, features, candidate) for candidate in config.candidates]
    with one_thread():
        found = search(entrants, rows, config, horizon=horizon, seconds=seconds)
        return tuple(_fitted(entrant, searched, rows, config) for entrant, searched in zip(entrants, found, strict=True))


def _entrant(rows: Rows, features: Sequence[str], candidate: Candidate) -> Entrant:
    inputs = inputs_of(rows.frame, [name for name in features if candidate.features is None or name in candidate.features])
    return Entrant(candidate, inputs, from_pandas(rows.frame, inputs))


def _fitted(entrant: Entrant, searched: Searched, rows: Rows, config: TrainingConfig) -> Fitted:
    untrained = model_of(entrant.candidate, entrant.inputs, searched.best, config.seed, rows.kind)
    return Fitted(entrant.candidate, _calibrated(untrained, entrant.frame, rows, config), entrant.inputs, searched, len(rows), rows.kind)


def _learnable(rows: Rows) -> None:
    why = rows.kind.unlearnable(rows.label)
    if why:
        raise DataError(
            "labels of the training rows",
            got=why,
            expected="labels that differ",
            left="No model was trained.",
            next="check label.expression and the source's completeness",
        )


# -- calibration -----------------------------------------------------------------------------------------------------


def _calibrated(model: Any, frame: pd.DataFrame, rows: Rows, config: TrainingConfig) -> Any:
    """The model fitted on all rows, its scores mapped to probabilities.

    The map is learned on scores of entities that the scoring model had not seen, so that it corrects the scores new
    customers will get. Folds by time would leave models of a fraction of the weeks, whose scores are another thing.
    """
    if config.calibration.method == "none":
        return clone(model).fit(frame, rows.target)
    fold_of = entity_folds(rows.entity, config.calibration.folds)
    splits = [(np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)) for fold in range(config.calibration.folds)]
    if any(test.size == 0 or np.unique(rows.target[train]).size < 2 for train, test in splits):
        raise DataError(
            "entities to calibrate on",
            got=f"{np.unique(rows.entity).size} in {len(rows)} rows",
            expected=f"some of both classes in each of {config.calibration.folds} folds",
            left="No model was trained.",
            next="more history, fewer training.calibration.folds, or training.calibration.method: none",
        )
    calibrated = CalibratedClassifierCV(model, method=config.calibration.method, cv=splits, ensemble=False)
    calibrated.fit(frame, rows.target)
    # The folds are row numbers of the training data and have no business in the artefact.
    return calibrated.set_params(cv=None)
