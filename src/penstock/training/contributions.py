"""How much each input moves a score: an explanation as data, and its arithmetic over whole batches.

An explanation is made once, with shap, when a model is trained (`explain.py`), and lies in the model's folder under the
same digest. A worker that scores needs no shap: for trees it looks up what shap answered for the way a row takes through
each tree, for a linear model it multiplies. Units are those of the estimator's margin: log-odds for classifiers, the label's own for regressors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_SPLITS = 8
"""A tree with more splits is not tabulated: its table would have more than 256 lines, and looking it up cost more than scoring."""

LEAST = 0.01
"""In log-odds: what raises a probability by less than a quarter of a percentage point is no reason."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TreeTable:
    """One tree: its splits, and for each way through them (bit k of a line's number: split k sends the row left) shap's values."""

    columns: tuple[int, ...]
    """Of the transformed matrix, one a split."""
    thresholds: tuple[float, ...]
    missing_left: tuple[bool, ...]
    inputs: tuple[int, ...]
    """The model's inputs that the tree looks at, one a column of `values`."""
    values: tuple[tuple[float, ...], ...]
    """One line a way, one number an input."""


@dataclass(frozen=True)
class Explanation:
    """Either trees, or weights and means of a linear model, or the reason why there is neither.

    `sources` says for each column of the transformed matrix which of the model's inputs it comes from. `sign` is -1 for a
    calibration that turns the order round, so that a positive contribution always raises the published score.
    """

    sources: tuple[int, ...] = ()
    base: float = 0.0
    """The mean margin: base + contributions = margin."""
    trees: tuple[TreeTable, ...] = ()
    weights: tuple[float, ...] = ()
    means: tuple[float, ...] = ()
    sign: int = 1
    why_none: str = ""
    least: float = LEAST
    """In the margin's unit: what raises a score by less is no reason."""

    @cached_property
    def _tables(self) -> tuple[Floats, ...]:
        return tuple(np.ascontiguousarray(np.asarray(tree.values, dtype=np.float64).T) for tree in self.trees)

    def contributions(self, matrix: Floats, inputs: int) -> Floats:
        """Of each input (rows) to each margin (columns): inputs x rows of `matrix`, the transformed one that the estimator takes."""
        found = np.zeros((inputs, len(matrix)))
        if self.weights:
            for column, (source, weight, mean) in enumerate(zip(self.sources, self.weights, self.means, strict=True)):
                found[source] += self.sign * weight * (matrix[:, column] - mean)
            return found
        columns = np.ascontiguousarray(matrix.T)
        left = np.empty(len(matrix), dtype=np.bool_)
        for tree, table in zip(self.trees, self._tables, strict=True):
            way = _way(tree, columns, left).astype(np.intp)
            for line, source in zip(table, tree.inputs, strict=True):
                found[source] += line.take(way)
        return found if self.sign > 0 else -found

    def to_json(self) -> str:
        """As text; numbers keep ten decimals, far below what ranks one reason before another."""
        return json.dumps(_plain(self), separators=(",", ":")) + "\n"


UNEXPLAINED = Explanation(why_none="none was made")


def _way(tree: TreeTable, columns: Floats, left: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """For each row the number of its way through a tree; `left` is room to work in."""
    way, bit = np.zeros(len(left), dtype=np.uint8), left.view(np.uint8)
    for at, (column, threshold, missing_left) in enumerate(zip(tree.columns, tree.thresholds, tree.missing_left, strict=True)):
        # A comparison with NaN is false: asked the other way round, what is missing goes left.
        if missing_left:
            np.logical_not(np.greater(columns[column], threshold, out=left), out=left)
        else:
            np.less_equal(columns[column], threshold, out=left)
        np.left_shift(bit, np.uint8(at), out=bit)
        np.bitwise_or(way, bit, out=way)
    return way


def from_json(text: str) -> Explanation:
    """The explanation in a text of `to_json`. Raises ValueError, KeyError or TypeError for anything else."""
    tree = json.loads(text)
    trees = tuple(_tree(found) for found in tree["trees"])
    numbers = {name: tuple(float(value) for value in tree[name]) for name in ("weights", "means")}
    made = Explanation(
        sources=tuple(int(s) for s in tree["sources"]),
        base=float(tree["base"]),
        trees=trees,
        sign=int(tree["sign"]),
        why_none=tree["why_none"],
        least=float(tree.get("least", LEAST)),
        **numbers,
    )
    width = len(made.sources)
    if any(column >= width for found in trees for column in found.columns) or (made.weights and len(made.weights) != width):
        raise ValueError("columns that the matrix does not have")
    return made


def _plain(explanation: Explanation) -> dict[str, Any]:
    return {
        "sources": explanation.sources,
        "base": explanation.base,
        "trees": [
            {
                "columns": tree.columns,
                "thresholds": tree.thresholds,
                "missing_left": tree.missing_left,
                "inputs": tree.inputs,
                "values": [[round(value, 10) for value in line] for line in tree.values],
            }
            for tree in explanation.trees
        ],
        "weights": explanation.weights,
        "means": explanation.means,
        "sign": explanation.sign,
        "why_none": explanation.why_none,
        "least": explanation.least,
    }


def _tree(found: Mapping[str, Any]) -> TreeTable:
    tree = TreeTable(
        columns=tuple(int(c) for c in found["columns"]),
        thresholds=tuple(float(t) for t in found["thresholds"]),
        missing_left=tuple(bool(m) for m in found["missing_left"]),
        inputs=tuple(int(i) for i in found["inputs"]),
        values=tuple(tuple(float(v) for v in line) for line in found["values"]),
    )
    splits = len(tree.columns)
    if splits > MAX_SPLITS or len(tree.values) != 2**splits or any(len(line) != len(tree.inputs) for line in tree.values):
        raise ValueError("a table that does not fit its tree")
    return tree
