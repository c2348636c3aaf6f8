"""What a model takes: numbers as 64-bit floats (missing is NaN), categories as text (missing is NaN), in one order.

Training makes its inputs from a pandas frame, scoring from Arrow batches; both go through this module, so that the two
hand the very same values to the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from penstock.errors import DataError

_CATEGORIES = ("string", "str", "categorical", "mixed")


@dataclass(frozen=True)
class Inputs:
    """The model's columns in its order: numbers first, then categories."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All columns, in the model's order."""
        return self.numeric + self.categorical


def inputs_of(frame: pd.DataFrame, features: Sequence[str]) -> Inputs:
    """Which of `features` are numbers (also decimals and booleans) and which categories.

    Raises DataError for a column that is missing, null in every row, or of another type (a date, a list).
    """
    missing = [name for name in features if name not in frame.columns]
    if missing:
        raise DataError("feature columns of the training rows", got=f"no {', '.join(missing)}", expected=", ".join(features))
    empty = [name for name in features if frame[name].isna().all()]
    if empty:
        raise DataError(
            f"feature {', '.join(empty)}",
            got=f"null in all {len(frame)} training rows",
            expected="a value in some row",
            left="No model was trained.",
            next="correct the view's expression, or name the column in training.exclude",
        )
    kinds = {name: _kind(name, frame[name]) for name in features}
    return Inputs(
        tuple(name for name in features if kinds[name] == "number"),
        tuple(name for name in features if kinds[name] == "category"),
    )


def _kind(name: str, column: pd.Series) -> str:
    if pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        return "number"
    found = pd.api.types.infer_dtype(column, skipna=True)
    if found in {"decimal", "floating", "integer", "boolean", "mixed-integer-float"}:
        return "number"
    if found in _CATEGORIES:
        return "category"
    raise DataError(f"feature {name}", got=f"type {found}", expected="a number or text", next="name the column in training.exclude")


def from_pandas(frame: pd.DataFrame, inputs: Inputs) -> pd.DataFrame:
    """The model's frame, one row each of `frame`, same index. Raises DataError for an infinite number."""
    matrix = np.empty((len(frame), len(inputs.numeric)), dtype=np.float64, order="F")
    for at, name in enumerate(inputs.numeric):
        matrix[:, at] = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
    categories = {}
    for name in inputs.categorical:
        column = frame[name].astype(object)
        categories[name] = np.where(column.isna(), np.nan, column.to_numpy())
    return _assembled(matrix, categories, inputs, frame.index)


def from_arrow(batch: pa.RecordBatch, inputs: Inputs, buffer: NDArray[np.float64]) -> pd.DataFrame:
    """The model's frame of one Arrow batch, its numbers laid into the first rows of `buffer` (rows x numeric columns).

    The frame shares `buffer`'s memory and holds until the next call. Raises DataError for an infinite number.
    """
    matrix = buffer[: batch.num_rows]
    for at, name in enumerate(inputs.numeric):
        numbers = pc.cast(batch.column(name), pa.float64(), safe=False)
        matrix[:, at] = numbers.to_numpy(zero_copy_only=False)
    categories = {}
    for name in inputs.categorical:
        values = batch.column(name).to_pylist()
        categories[name] = np.array([np.nan if value is None else value for value in values], dtype=object)
    return _assembled(matrix, categories, inputs, pd.RangeIndex(batch.num_rows))


def _assembled(matrix: NDArray[np.float64], categories: dict[str, NDArray[np.object_]], inputs: Inputs, index: pd.Index) -> pd.DataFrame:
    infinite: NDArray[np.bool_] = np.atleast_1d(np.isinf(matrix).any(axis=0))
    if infinite.any():
        names = ", ".join(name for name, bad in zip(inputs.numeric, infinite, strict=True) if bad)
        raise DataError(
            f"feature {names}", got="an infinite number", expected="finite numbers or null", next="guard the division in the view"
        )
    frame = pd.DataFrame(matrix, columns=list(inputs.numeric), index=index, copy=False)
    for name, values in categories.items():
        frame[name] = pd.Series(values, index=index, dtype=object)
    return frame
