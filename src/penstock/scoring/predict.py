"""The function that Spark's `mapInArrow` runs: keys and features in, keys and score out.

The model is opened once a Python worker, after its digest is checked, and kept by that digest; the function itself is
small and carries names only. Reads no MLflow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from penstock.errors import FailedError
from penstock.training.artefact import Loaded, load
from penstock.training.fit import one_thread
from penstock.training.inputs import from_arrow

SCORE = "score"

_LOADED: dict[str, Loaded] = {}
"""Models of this process by digest; a worker scores with one, or with a champion and its challengers."""


@dataclass(frozen=True)
class Scorer:
    """A function from Arrow batches to Arrow batches that pickles as a few names.

    `folder` is where the worker finds the model: a shared path, or a function that asks for it there (`SparkFiles.get`).
    """

    folder: str | Callable[[], str]
    digest: str
    keep: tuple[str, ...]
    """Columns handed through as they are: the key, `as_of` and what else belongs to the row."""

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Each batch's `keep` columns and `score` (float64, P(label = 1)), in the batch's order of rows.

        Raises RefusedError for an artefact of another digest, DataError for infinite features, FailedError for a score
        that is no probability.
        """
        loaded = self._model()
        buffer = np.empty((0, 0), dtype=np.float64)
        for batch in batches:
            if len(buffer) < batch.num_rows:
                buffer = np.empty((batch.num_rows, len(loaded.inputs.numeric)), dtype=np.float64, order="F")
            score = score_batch(loaded, batch, buffer)
            kept = [batch.column(name) for name in self.keep]
            yield pa.RecordBatch.from_arrays([*kept, pa.array(score)], names=[*self.keep, SCORE])

    def _model(self) -> Loaded:
        if self.digest not in _LOADED:
            folder = self.folder if isinstance(self.folder, str) else self.folder()
            _LOADED[self.digest] = load(Path(folder), self.digest)
        return _LOADED[self.digest]


def scorer(folder: str | Callable[[], str], digest: str, keep: Sequence[str]) -> Scorer:
    """The scoring function of one model; `keep` are the columns that come out beside the score."""
    return Scorer(folder, digest, tuple(keep))


def score_batch(loaded: Loaded, batch: pa.RecordBatch, buffer: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(label = 1) of each row, by way of `buffer` (at least as many rows, one column a numeric input). An empty batch gives none."""
    if batch.num_rows == 0:
        return np.empty(0, dtype=np.float64)
    with one_thread():
        score = np.asarray(loaded.model.predict_proba(from_arrow(batch, loaded.inputs, buffer))[:, 1], dtype=np.float64)
    wrong = int((~((score >= 0) & (score <= 1))).sum())
    if wrong:
        raise FailedError(
            "scores", got=f"{wrong} of {score.size} that are no probability", expected="numbers from 0 to 1", left="Nothing was written."
        )
    return score
