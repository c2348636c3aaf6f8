"""Which rows train and which judge: cohorts in order of time, with a gap of one horizon between them.

A cohort is all rows of one `as_of`; its labels look `horizon` days ahead of it. A cohort may train a model that is
judged at a later one only when its whole label window has ended by then, else the judged weeks would leak into the fit.
Days are whole numbers (`date.toordinal()` or days since the epoch), so that nothing here knows of clocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from penstock.errors import DataError

Days = Sequence[int] | NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Cohort days that train and cohort days that judge, both ascending; no label window of the first reaches the second."""

    train: tuple[int, ...]
    test: tuple[int, ...]

    def train_rows(self, as_of: Days) -> NDArray[np.bool_]:
        """Mask over the rows whose cohort trains."""
        return np.isin(np.asarray(as_of), self.train)

    def test_rows(self, as_of: Days) -> NDArray[np.bool_]:
        """Mask over the rows whose cohort judges."""
        return np.isin(np.asarray(as_of), self.test)


def _before(days: Sequence[int], first_test: int, horizon: int) -> tuple[int, ...]:
    return tuple(day for day in days if day + horizon <= first_test)


def holdout(as_of: Days, *, cohorts: int, horizon: int) -> Split:
    """The newest `cohorts` distinct days judge; those whose windows of `horizon` days ended by the first of them train.

    Raises DataError when too few cohorts have matured for both.
    """
    if cohorts < 1 or horizon < 1:
        raise ValueError(f"got {cohorts} cohorts and a horizon of {horizon} days, expected at least 1 of each")
    days = [int(day) for day in np.unique(np.asarray(as_of, dtype=np.int64))]
    test = tuple(days[-cohorts:])
    train = _before(days, test[0], horizon) if len(days) > cohorts else ()
    if not train:
        raise DataError(
            "matured cohorts to train on",
            got=f"{len(days)} distinct as_of",
            expected=f"{cohorts} to judge, and at least one that is {horizon} days or more older than those",
            left="No model was trained.",
            next="wait for more labels to mature, or lower training.holdout_cohorts",
        )
    return Split(train, test)


def expanding_folds(train_days: Days, *, folds: int, horizon: int) -> tuple[Split, ...]:
    """Up to `folds` splits of the training cohorts, oldest first: each judges a later block of weeks by all that had matured before it.

    The blocks do not overlap and are as equal as can be; they cover the cohorts that have matured history before them,
    the first half of which only trains where there are enough. Empty when no cohort has any history before it.
    """
    days = [int(day) for day in np.unique(np.asarray(train_days, dtype=np.int64))]
    judged = [day for day in days if _before(days, day, horizon)]
    judged = judged[len(judged) // 3 :]
    blocks = [block for block in np.array_split(np.asarray(judged, dtype=np.int64), min(folds, len(judged)) or 1) if block.size]
    return tuple(Split(_before(days, int(block[0]), horizon), tuple(int(day) for day in block)) for block in blocks)


@dataclass(frozen=True)
class Fold:
    """Masks over the training rows: those that fit, and the groups of those that judge, each judged by itself."""

    train: NDArray[np.bool_]
    tests: tuple[NDArray[np.bool_], ...]


def folds_of(
    day: NDArray[np.int64],
    entity: NDArray[np.object_],
    *,
    split: Literal["time", "group", "random"],
    folds: int,
    horizon: int,
    seed: int,
) -> tuple[Fold, ...]:
    """The folds of the training rows, given by the `as_of` (in days) and the entity of each.

    `time` judges each later cohort by itself; the other two judge a fold as a whole, and know the future of the judged weeks.
    """
    if split == "time":
        splits = expanding_folds(day, folds=folds, horizon=horizon)
        return tuple(Fold(one.train_rows(day), tuple(day == judged for judged in one.test)) for one in splits)
    at = entity_folds(entity, folds) if split == "group" else row_folds(day, entity, folds, seed)
    return tuple(Fold(at != fold, (at == fold,)) for fold in range(folds))


def row_folds(day: NDArray[np.int64], entity: NDArray[np.object_], folds: int, seed: int) -> NDArray[np.int64]:
    """The fold (0 to `folds` - 1) of each row, by a seeded hash of its `as_of` and entity: the same in whatever order the rows come."""
    names = (f"{seed}/{one}/{name}".encode() for one, name in zip(day, entity, strict=True))
    return np.fromiter((crc32(name) % folds for name in names), dtype=np.int64, count=len(day))


def entity_folds(entities: Sequence[str] | NDArray[np.object_], folds: int) -> NDArray[np.int64]:
    """The fold (0 to `folds` - 1) of each row, by a hash of its entity, for out-of-sample scores in the same weeks.

    An entity stays in one fold through all its cohorts, so no row is scored by a model that saw the same entity's
    overlapping label window; and the assignment does not depend on the rows' order or on who else is there.
    """
    return np.fromiter((crc32(str(entity).encode()) % folds for entity in entities), dtype=np.int64, count=len(entities))
