"""From labelled rows to a calibrated model: search over folds in order of time, fit, calibrate.

The same rows, in whatever order, and the same configuration give the same model bit for bit: the rows are sorted, every
seed is fixed, and each fit runs in one thread, since sums that several threads share depend on their number.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import ParameterGrid, ParameterSampler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from penstock import metrics
from penstock.config.training import TrainingConfig
from penstock.errors import ConfigError, DataError
from penstock.training.inputs import Inputs, from_pandas, inputs_of
from penstock.training.model import estimator_faults, estimator_of, model_of, preprocessing_of
from penstock.training.rows import Rows
from penstock.training.split import Split, entity_folds, expanding_folds


@dataclass(frozen=True)
class Trial:
    """One choice of hyper-parameters and its mean ROC AUC over the judged cohorts of all folds."""

    params: Mapping[str, Any]
    auc: float


@dataclass(frozen=True)
class Searched:
    """What the search did: the trials in order, the best one (the first of equals), and whether time cut it."""

    trials: tuple[Trial, ...]
    planned: int
    best: Mapping[str, Any]
    folds: int
    note: str = ""
    """Anything a reader must know: no folds, or cut by the budget of seconds. Empty when all went as planned."""

    @property
    def was_cut(self) -> bool:
        """Whether the budget of seconds ended it before all planned trials: another machine may then choose otherwise."""
        return 0 < len(self.trials) < self.planned


@dataclass(frozen=True)
class Fitted:
    """A trained model with what it takes; `predict_proba` of a frame from `inputs` gives P(label = 0), P(label = 1)."""

    model: Any
    inputs: Inputs
    searched: Searched
    rows: int

    def scores(self, rows: Rows) -> NDArray[np.float64]:
        """P(label = 1) of each row."""
        with one_thread():
            return np.asarray(self.model.predict_proba(from_pandas(rows.frame, self.inputs))[:, 1], dtype=np.float64)


@contextmanager
def one_thread() -> Iterator[None]:
    """Numerical libraries keep to one thread inside, and warnings about columns empty in a fold are not shown."""
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.filterwarnings("ignore", message="Found unknown categories", category=UserWarning)
        yield


def fit(rows: Rows, features: Sequence[str], config: TrainingConfig, *, horizon: int, seconds: Callable[[], float]) -> Fitted:
    """Search, fit and calibrate on the training rows.

    `horizon` is the label's in days; `seconds` is a stopwatch that is only asked for the search's budget. Raises
    DataError for labels of one class, unusable columns or too few entities, ConfigError for an unknown estimator.
    """
    faults = estimator_faults(config)
    if faults:
        raise ConfigError(faults, next="correct training: in the pipeline's file")
    _two_classes(rows.label)
    inputs = inputs_of(rows.frame, features)
    frame = from_pandas(rows.frame, inputs)
    with one_thread():
        searched = search(frame, rows, inputs, config, horizon=horizon, seconds=seconds)
        model = _calibrated(model_of(config, inputs, searched.best), frame, rows, config)
    return Fitted(model, inputs, searched, len(rows))


def _two_classes(label: NDArray[np.int64]) -> None:
    why = metrics.fault(label, np.zeros(label.size), both_classes=True)
    if why:
        raise DataError(
            "labels of the training rows",
            got=why,
            expected="some of each class",
            left="No model was trained.",
            next="check label.expression and the source's completeness",
        )


# -- search ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Fold:
    train: NDArray[np.float64]
    train_label: NDArray[np.int64]
    tests: tuple[tuple[NDArray[np.float64], NDArray[np.int64]], ...]


def search(
    frame: pd.DataFrame, rows: Rows, inputs: Inputs, config: TrainingConfig, *, horizon: int, seconds: Callable[[], float]
) -> Searched:
    """Try hyper-parameters on folds in order of time, two trials side by side; the result does not depend on which ends first."""
    candidates = candidate_params(config)
    if len(candidates) == 1:
        return Searched((), 1, candidates[0], 0, "One choice of parameters only: nothing to search.")
    splits = expanding_folds(np.unique(rows.day), folds=config.search.folds, horizon=horizon)
    folds = [fold for split in splits if (fold := _fold(split, frame, rows, inputs, config)) is not None]
    if not folds:
        note = "The history is too short for a fold whose labels matured before it: the first value of each list was taken."
        return Searched((), len(candidates), candidates[0], 0, note)
    trials: list[Trial] = []
    started = seconds()
    with ThreadPoolExecutor(max_workers=2) as pool:
        for at in range(0, len(candidates), 2):
            if trials and seconds() - started > config.search.seconds:
                break
            trials += pool.map(lambda params: _trial(params, folds, config), candidates[at : at + 2])
    best = max(trials, key=lambda trial: trial.auc)
    searched = Searched(tuple(trials), len(candidates), best.params, len(folds))
    if not searched.was_cut:
        return searched
    note = f"Cut after {len(trials)} of {len(candidates)} trials by search.seconds; another machine may choose otherwise."
    return Searched(searched.trials, searched.planned, searched.best, searched.folds, note)


def candidate_params(config: TrainingConfig) -> tuple[dict[str, Any], ...]:
    """The choices to try, in order and each once: the first value of every list, then a draw by the seed."""
    space = {name: list(values) for name, values in sorted(config.search.space.items())}
    if not space:
        return ({},)
    first = {name: values[0] for name, values in space.items()}
    drawn = ParameterSampler(space, min(config.search.trials, len(ParameterGrid(space))), random_state=config.seed)
    unique = {json.dumps(params, sort_keys=True): dict(sorted(params.items())) for params in [first, *drawn]}
    return tuple(unique.values())[: config.search.trials]


def _fold(split: Split, frame: pd.DataFrame, rows: Rows, inputs: Inputs, config: TrainingConfig) -> _Fold | None:
    """The fold's arrays, preprocessed once for all trials; None when a class is missing where both are needed."""
    train = split.train_rows(rows.day)
    tests = [rows.day == day for day in split.test]
    tests = [mask for mask in tests if np.unique(rows.label[mask]).size == 2]
    if np.unique(rows.label[train]).size < 2 or not tests:
        return None
    prepare = preprocessing_of(config.preprocessing, inputs).fit(frame.loc[train])
    judged = tuple((prepare.transform(frame.loc[mask]), rows.label[mask]) for mask in tests)
    return _Fold(prepare.transform(frame.loc[train]), rows.label[train], judged)


def _trial(params: Mapping[str, Any], folds: Sequence[_Fold], config: TrainingConfig) -> Trial:
    found: list[float] = []
    for fold in folds:
        estimator: Any = estimator_of(config, params)
        try:
            estimator.fit(fold.train, fold.train_label)
        except (ValueError, TypeError) as error:
            raise ConfigError([f"training: {config.estimator} does not take {dict(params)}: {error}"]) from error
        found += [metrics.roc_auc(label, estimator.predict_proba(test)[:, 1]).value or 0.0 for test, label in fold.tests]
    return Trial(params, float(np.mean(found)))


# -- calibration -----------------------------------------------------------------------------------------------------


def _calibrated(model: Any, frame: pd.DataFrame, rows: Rows, config: TrainingConfig) -> Any:
    """The model fitted on all rows, its scores mapped to probabilities.

    The map is learned on scores of entities that the scoring model had not seen, so that it corrects the scores new
    customers will get. Folds by time would leave models of a fraction of the weeks, whose scores are another thing.
    """
    if config.calibration.method == "none":
        return clone(model).fit(frame, rows.label)
    fold_of = entity_folds(rows.entity, config.calibration.folds)
    splits = [(np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)) for fold in range(config.calibration.folds)]
    if any(test.size == 0 or np.unique(rows.label[train]).size < 2 for train, test in splits):
        raise DataError(
            "entities to calibrate on",
            got=f"{np.unique(rows.entity).size} in {len(rows)} rows",
            expected=f"some of both classes in each of {config.calibration.folds} folds",
            left="No model was trained.",
            next="more history, fewer training.calibration.folds, or training.calibration.method: none",
        )
    calibrated = CalibratedClassifierCV(model, method=config.calibration.method, cv=splits, ensemble=False)
    calibrated.fit(frame, rows.label)
    # The folds are row numbers of the training data and have no business in the artefact.
    return calibrated.set_params(cv=None)
