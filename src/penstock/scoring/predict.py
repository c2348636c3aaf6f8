"""The function that Spark's `mapInArrow` runs: keys and features in, keys, score and reasons out.

The model is opened once a Python worker, after its digest is checked, and kept by that digest; the function itself is
small and carries names only. Reads no MLflow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from penstock.errors import FailedError
from penstock.scoring.reasons import Wording
from penstock.training.artefact import Loaded, load
from penstock.training.fit import one_thread
from penstock.training.inputs import from_arrow

SCORE = "score"
REASONS = "reasons"
TOLD = "__told"
"""Boolean column of the batches: whether a row's score is published, so that it needs its reasons."""

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
    wording: Wording | None = None
    """With it come `reasons` (lists of text, null where `TOLD` is not true); the batches then hold `TOLD` and the wording's columns."""

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Each batch's `keep` columns and `score` (float64, P(label = 1) or the value), in the batch's order of rows, and `reasons` if asked for.

        Raises RefusedError for an artefact of another digest, DataError for infinite features, FailedError for a score
        that is no probability (or no finite number, by a regressor).
        """
        loaded = self._model()
        buffer = np.empty((0, 0), dtype=np.float64)
        # Once for all batches: telling each library its number of threads takes five milliseconds.
        with one_thread():
            for batch in batches:
                if len(buffer) < batch.num_rows:
                    buffer = np.empty((batch.num_rows, len(loaded.inputs.numeric)), dtype=np.float64, order=loaded.order)
                names, found = [*self.keep, SCORE], [batch.column(name) for name in self.keep]
                matrix, score = _scored(loaded, batch, buffer)
                found.append(pa.array(score))
                if self.wording is not None:
                    names.append(REASONS)
                    found.append(reasons_of(loaded, self.wording, batch, matrix))
                yield pa.RecordBatch.from_arrays(found, names=names)

    def _model(self) -> Loaded:
        if self.digest not in _LOADED:
            folder = self.folder if isinstance(self.folder, str) else self.folder()
            _LOADED[self.digest] = load(Path(folder), self.digest)
        return _LOADED[self.digest]


def scorer(folder: str | Callable[[], str], digest: str, keep: Sequence[str], wording: Wording | None = None) -> Scorer:
    """The scoring function of one model; `keep` are the columns that come out beside the score."""
    return Scorer(folder, digest, tuple(keep), wording)


def score_batch(loaded: Loaded, batch: pa.RecordBatch, buffer: NDArray[np.float64]) -> NDArray[np.float64]:
    """The score of each row, by way of `buffer` (at least as many rows, one column a numeric input). An empty batch gives none."""
    return scored(loaded, batch, buffer)[1]


def scored(loaded: Loaded, batch: pa.RecordBatch, buffer: NDArray[np.float64]) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
    """The matrix that the estimator took (rows x columns; None for a model scored only whole), and the scores as `score_batch` gives them.

    The matrix is made once, for scores and reasons alike.
    """
    with one_thread():
        return _scored(loaded, batch, buffer)


def _scored(loaded: Loaded, batch: pa.RecordBatch, buffer: NDArray[np.float64]) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
    if batch.num_rows == 0:
        return None, np.empty(0, dtype=np.float64)
    frame = from_arrow(batch, loaded.inputs, buffer)
    matrix = None if loaded.parts is None else np.asarray(loaded.parts.transform(frame), dtype=np.float64)
    taken = (loaded.model, frame) if loaded.parts is None else (loaded.parts.head, matrix)
    score = loaded.kind.scores(*taken)
    fault = loaded.kind.score_fault(score)
    if fault:
        raise FailedError("scores", got=fault[0], expected=fault[1], left="Nothing was written.")
    return matrix, score


def reasons_of(loaded: Loaded, wording: Wording, batch: pa.RecordBatch, matrix: NDArray[np.float64] | None) -> pa.Array:
    """The reasons of the rows whose `TOLD` is true, null for the others; what is not published is not explained either."""
    kind = pa.list_(pa.string())
    row = np.flatnonzero(np.asarray(batch.column(TOLD).fill_null(False).to_numpy(zero_copy_only=False), dtype=np.bool_))
    if matrix is None or loaded.explanation.why_none or not row.size:
        return pa.nulls(batch.num_rows, kind)
    inputs = loaded.inputs.names
    contributions = loaded.explanation.contributions(matrix[row], len(inputs))
    values = {name: _values(batch.column(name))[row] for name in wording.columns()}
    told: list[list[str] | None] = [None] * batch.num_rows
    for at, texts in zip(row.tolist(), wording.sentences(inputs, contributions, values, loaded.explanation.least), strict=True):
        told[at] = texts
    return pa.array(told, kind)


def _values(column: pa.Array) -> NDArray[Any]:
    """Numbers as float64 with NaN for null, text as objects with None."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return np.asarray(column.to_pylist(), dtype=object)
    return np.asarray(pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
