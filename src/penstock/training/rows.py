"""The labelled rows that a model is fitted on or judged by, in one order whatever order they came in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from penstock.errors import DataError
from penstock.kinds import CLASSIFICATION, Kind
from penstock.kinds.kind import Labels


@dataclass(frozen=True)
class Rows:
    """Labelled rows, ordered by (`as_of`, entity): the arrays and the frame are of one length."""

    frame: pd.DataFrame
    """All columns as they came, with a fresh index."""
    label: Labels
    """0 or 1 as int64, or in a regression any finite number as float64."""
    day: NDArray[np.int64]
    """The `as_of` as days since 1970-01-01, nearest midnight UTC, for horizons."""
    entity: NDArray[np.object_]
    """The entity key as one text that no other key shares."""
    kind: Kind = CLASSIFICATION
    """What the labels are, and what is predicted of them."""
    key: tuple[str, ...] = ()
    """The columns that tell a row from every other of its `as_of`."""

    @property
    def target(self) -> Labels:
        """What an estimator learns: the labels as numbers."""
        return self.kind.target(self.label)

    def names(self) -> list[str]:
        """Each row's key as one text that no other row of its `as_of` shares."""
        return list(_entities(self.frame, self.key)) if self.key else self.entity.tolist()

    def __len__(self) -> int:
        return len(self.frame)

    def where(self, mask: NDArray[np.bool_]) -> Rows:
        """The rows of a mask."""
        frame = self.frame.loc[mask].reset_index(drop=True)
        return Rows(frame, self.label[mask], self.day[mask], self.entity[mask], self.kind, self.key)


def labelled_rows(
    frame: pd.DataFrame,
    *,
    key: Sequence[str],
    kind: Kind = CLASSIFICATION,
    within: Sequence[str] = (),
    as_of: str = "as_of",
    label: str = "label",
) -> Rows:
    """The rows of `frame` in order. `key` names the entity, `within` tells the rows of one entity apart: the items of a ranking.

    Raises DataError when there are none, when a label is null or none of the kind's (0 or 1; a finite number), and when a (key, `as_of`) repeats.
    """
    if frame.empty:
        raise DataError(
            "labelled rows to train on",
            got="none",
            expected="rows of matured cohorts",
            left="No model was trained.",
            next="penstock labels PIPELINE --as-of DATE where a horizon has passed since the first cohort; else wait until one has",
        )
    fault = kind.label_fault(frame[label])
    if fault:
        raise DataError(f"column {label} of the training rows", got=fault[0], expected=fault[1])
    whole = (*key, *within)
    ordered = frame.sort_values([as_of, *whole], kind="stable", ignore_index=True)
    repeated = int(ordered.duplicated([as_of, *whole]).sum())
    if repeated:
        raise DataError("training rows", got=f"{repeated} that repeat an entity at the same as_of", expected="each once")
    case = ordered.groupby([as_of, *key], sort=False).ngroup().to_numpy(dtype=np.int64)
    return Rows(ordered, kind.labels(ordered, label, case), days_of(ordered[as_of]), _entities(ordered, key), kind, whole)


def days_of(as_of: pd.Series) -> NDArray[np.int64]:
    """Instants as whole days since 1970-01-01, rounded, so that local midnights keep their distance when clocks change."""
    instants = pd.to_datetime(as_of, utc=True)
    seconds = (instants - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy()
    days: NDArray[np.int64] = np.floor(seconds / 86_400 + 0.5).astype(np.int64)
    return days


def _entities(frame: pd.DataFrame, key: Sequence[str]) -> NDArray[np.object_]:
    if len(key) == 1:
        single: NDArray[np.object_] = frame[key[0]].astype(str).to_numpy(dtype=object)
        return single
    pairs = zip(*(frame[name].astype(str) for name in key), strict=True)
    return np.array([repr(pair) for pair in pairs], dtype=object)
