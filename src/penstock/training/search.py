"""The search for hyper-parameters: every candidate's trials on the same folds, so that their means can be compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import ParameterGrid, ParameterSampler

from penstock.config.training import Candidate, TrainingConfig
from penstock.errors import ConfigError
from penstock.kinds import Kind
from penstock.kinds.kind import Labels
from penstock.training.inputs import Inputs
from penstock.training.model import estimator_of, preprocessing_of
from penstock.training.rows import Rows
from penstock.training.split import Fold, folds_of


@dataclass(frozen=True)
class Entrant:
    """A candidate with its inputs and the training rows' frame of them, in the rows' order."""

    candidate: Candidate
    inputs: Inputs
    frame: pd.DataFrame


@dataclass(frozen=True)
class Trial:
    """One choice of hyper-parameters and its mean of the kind's primary measure over what the folds judge."""

    params: Mapping[str, Any]
    figure: float


@dataclass(frozen=True)
class Searched:
    """What the search did for one candidate: its trials in order, the best one (the first of equals), and whether time cut it."""

    trials: tuple[Trial, ...]
    planned: int
    best: Mapping[str, Any]
    folds: int
    figure: float | None = None
    """The best trial's; None when nothing was tried."""
    note: str = ""
    """Anything a reader must know: no folds, folds not by time, or cut by the budget of seconds. Empty when all went as planned."""

    @property
    def was_cut(self) -> bool:
        """Whether the budget of seconds ended it before all planned trials: another machine may then choose otherwise."""
        return 0 < len(self.trials) < self.planned


def search(
    entrants: Sequence[Entrant], rows: Rows, config: TrainingConfig, *, horizon: int, seconds: Callable[[], float]
) -> tuple[Searched, ...]:
    """Try the choices of all candidates in turn, two trials side by side; the result does not depend on which ends first.

    Each candidate gets its first trial whatever the time. One candidate with one choice is not tried at all.
    """
    choices = [candidate_params(entrant.candidate, config) for entrant in entrants]
    if len(choices) == len(choices[0]) == 1:
        return (Searched((), 1, choices[0][0], 0, None, "One choice of parameters only: nothing to search."),)
    folds = _usable(rows, config, horizon)
    if not folds:
        note = "The history is too short for a fold whose labels matured before it: the first value of each list was taken."
        return tuple(Searched((), len(choice), choice[0], 0, None, note) for choice in choices)
    prepared = [[_prepared(entrant, fold, rows) for fold in folds] for entrant in entrants]
    turns = [(at, choice[turn]) for turn in range(max(map(len, choices))) for at, choice in enumerate(choices) if turn < len(choice)]
    found: list[list[Trial]] = [[] for _ in entrants]
    started = seconds()
    with ThreadPoolExecutor(max_workers=2) as pool:
        for begin in range(0, len(turns), 2):
            if begin >= len(entrants) and seconds() - started > config.search.seconds:
                break
            two = turns[begin : begin + 2]
            done = pool.map(lambda turn: _trial(entrants[turn[0]].candidate, turn[1], prepared[turn[0]], config.seed, rows.kind), two)
            for (at, _), trial in zip(two, done, strict=True):
                found[at].append(trial)
    return tuple(_searched(trials, choice, len(folds), config, rows.kind) for trials, choice in zip(found, choices, strict=True))


def candidate_params(candidate: Candidate, config: TrainingConfig) -> tuple[dict[str, Any], ...]:
    """The choices to try, in order and each once: the first value of every list, then a draw by the seed."""
    space = {name: list(values) for name, values in sorted(candidate.space.items())}
    if not space:
        return ({},)
    first = {name: values[0] for name, values in space.items()}
    drawn = ParameterSampler(space, min(config.search.trials, len(ParameterGrid(space))), random_state=config.seed)
    unique = {json.dumps(params, sort_keys=True): dict(sorted(params.items())) for params in [first, *drawn]}
    return tuple(unique.values())[: config.search.trials]


def _searched(trials: Sequence[Trial], choices: Sequence[Mapping[str, Any]], folds: int, config: TrainingConfig, kind: Kind) -> Searched:
    best = max(trials, key=lambda trial: kind.ordered(trial.figure))
    notes = []
    if config.search.split != "time":
        notes.append(f"Folds by {config.search.split}, not by time: their figures know the future of the weeks that they judge.")
    if len(trials) < len(choices):
        notes.append(f"Cut after {len(trials)} of {len(choices)} trials by search.seconds; another machine may choose otherwise.")
    return Searched(tuple(trials), len(choices), best.params, folds, best.figure, " ".join(notes))


def _usable(rows: Rows, config: TrainingConfig, horizon: int) -> tuple[Fold, ...]:
    """The folds that can be learned from where they train, with what they judge reduced to groups whose labels differ too."""
    search = config.search
    found = folds_of(rows.day, rows.entity, split=search.split, folds=search.folds, horizon=horizon, seed=config.seed)

    def differ(mask: NDArray[np.bool_]) -> bool:
        return not rows.kind.unlearnable(rows.label[mask])

    judged = [Fold(fold.train, tuple(mask for mask in fold.tests if differ(mask))) for fold in found]
    return tuple(fold for fold in judged if fold.tests and differ(fold.train))


@dataclass(frozen=True)
class _Prepared:
    train: NDArray[np.float64]
    train_label: Labels
    tests: tuple[tuple[NDArray[np.float64], Labels], ...]


def _prepared(entrant: Entrant, fold: Fold, rows: Rows) -> _Prepared:
    """A fold's arrays for one candidate, preprocessed once for all its trials by what its training rows alone say."""
    frame, label = entrant.frame, rows.label
    prepare = preprocessing_of(entrant.candidate, entrant.inputs, rows.kind).fit(frame.loc[fold.train], rows.target[fold.train])
    judged = tuple((prepare.transform(frame.loc[mask]), label[mask]) for mask in fold.tests)
    return _Prepared(prepare.transform(frame.loc[fold.train]), rows.target[fold.train], judged)


def _trial(candidate: Candidate, params: Mapping[str, Any], folds: Sequence[_Prepared], seed: int, kind: Kind) -> Trial:
    found: list[float] = []
    for fold in folds:
        estimator: Any = estimator_of(candidate, params, seed)
        try:
            estimator.fit(fold.train, fold.train_label)
        except (ValueError, TypeError) as error:
            raise ConfigError(
                [f"training.candidates: {candidate.name}: {candidate.estimator} does not take {dict(params)}: {error}"]
            ) from error
        found += [_figure(kind, label, kind.scores(estimator, test)) for test, label in fold.tests]
    return Trial(params, float(np.mean(found)))


def _figure(kind: Kind, label: Labels, score: NDArray[np.float64]) -> float:
    """The primary measure; scores that are none, as of a fit that ran away, are as bad as can be."""
    value = kind.figure(label, score).value
    return value if value is not None else kind.worst
