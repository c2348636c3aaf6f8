"""How one feature's values fall into bins, frozen at training: quantile edges, frequent categories, and the states.

NULL and NaN are bins of their own, values never seen at training too (below, above, UNSEEN), so that none of them
disappears from a comparison. Columns are Arrow's, because Arrow keeps NULL and NaN apart and numpy would not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penstock.config.monitoring import DriftConfig
from penstock.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_KNOWN = 2000
"""Categories remembered by name; a feature with more cannot tell an unseen category from a rare one."""


@dataclass(frozen=True)
class Bins:
    """How one feature's values fall into bins; both kinds end with the states that are not values.

    Numeric: `edges` e0 < … < em-1 give m + 1 half-open bins (below e0, [e0, e1) …, at or above em-1), then NULL, then NaN.
    Category: `categories`, OTHER (seen at training, rare), UNSEEN, NULL. With `is_open`, more were seen than are
    remembered: whatever is not known by name is OTHER.
    """

    feature: str
    kind: Literal["numeric", "category"]
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    rare: tuple[str, ...] = ()
    is_open: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        """One readable name for each bin, in the order of the count vector."""
        if self.kind == "category":
            return (*(f"={c}" for c in self.categories), "OTHER", "UNSEEN", "NULL")
        if not self.edges:
            return ("any", "NULL", "NaN")
        inner = (f"[{a:g}, {b:g})" if np.nextafter(a, np.inf) < b else f"{a:g}" for a, b in zip(self.edges, self.edges[1:], strict=False))
        return (f"< {self.edges[0]:g}", *inner, f">= {self.edges[-1]:g}", "NULL", "NaN")

    @property
    def size(self) -> int:
        """Length of the count vector."""
        return len(self.categories) + 3 if self.kind == "category" else len(self.edges) + 3


def make_bins(feature: str, column: pa.ChunkedArray | pa.Array, config: DriftConfig) -> Bins:
    """Quantile edges of a numeric column, or the most frequent categories of a text column."""
    if not _is_numeric(column.type):
        return _category_bins(feature, column, config.top_categories)
    values = _numbers(column)[0]
    return Bins(feature, "numeric", edges=_edges(values[np.isfinite(values)], config.bins))


def _edges(values: NDArray[np.float64], bins: int) -> tuple[float, ...]:
    """Edges at observed quantiles; a quantile met twice holds a spike, which gets the bin [v, next double) for itself."""
    if values.size == 0:
        return ()
    cuts, met = np.unique(np.quantile(values, np.arange(bins + 1) / bins, method="inverted_cdf"), return_counts=True)
    with np.errstate(over="ignore"):  # past the largest double there is only infinity, which is no edge
        after = np.nextafter(np.append(cuts[met > 1], values.max()), np.inf)
    edges = np.unique(np.concatenate([cuts[:-1] if cuts.size > 1 else cuts, after[np.isfinite(after)]]))
    return tuple(float(e) for e in edges)


def _category_bins(feature: str, column: pa.ChunkedArray | pa.Array, top: int) -> Bins:
    found = pc.value_counts(texts(column).drop_null()).to_pylist()
    # By count, then by name, so that a tie does not depend on the order of the rows.
    ranked = [str(f["values"]) for f in sorted(found, key=lambda f: (-f["counts"], f["values"]))]
    known, is_open = ranked[:MAX_KNOWN], len(ranked) > MAX_KNOWN
    return Bins(feature, "category", categories=tuple(known[:top]), rare=tuple(sorted(known[top:])), is_open=is_open)


def bin_index(bins: Bins, column: pa.ChunkedArray | pa.Array) -> NDArray[np.int64]:
    """The bin of each value, as positions in the count vector. Raises DataError when a numeric feature holds text."""
    if bins.kind == "category":
        return _category_index(bins, column)
    if not (_is_numeric(column.type) or pa.types.is_null(column.type)):
        raise DataError(
            f"feature {bins.feature}", got=f"type {column.type}", expected="numbers, as at training", next="penstock plan features"
        )
    values, nulls = _numbers(column)
    index = np.searchsorted(np.asarray(bins.edges, dtype=np.float64), values, side="right").astype(np.int64)
    index[np.isnan(values)] = len(bins.edges) + 2
    index[nulls] = len(bins.edges) + 1
    return index


def _category_index(bins: Bins, column: pa.ChunkedArray | pa.Array) -> NDArray[np.int64]:
    known = len(bins.categories)
    place = {c: i for i, c in enumerate(bins.categories)} | dict.fromkeys(bins.rare, known)
    stranger = known if bins.is_open else known + 1
    coded = texts(column).combine_chunks() if isinstance(column, pa.ChunkedArray) else texts(column)
    coded = coded.dictionary_encode() if not pa.types.is_dictionary(coded.type) else coded
    codes = np.array([place.get(str(v), stranger) for v in coded.dictionary.to_pylist()] + [known + 2], dtype=np.int64)
    index: NDArray[np.int64] = codes[pc.fill_null(coded.indices, len(codes) - 1).to_numpy(zero_copy_only=False)]
    return index


def _is_numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_boolean(kind))


def _numbers(column: pa.ChunkedArray | pa.Array) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Values as doubles (NaN where null) and the mask of nulls; Arrow keeps the two apart, numpy would not."""
    nulls = np.asarray(column.is_null().to_numpy(zero_copy_only=False), dtype=np.bool_)
    source = column.cast(pa.uint8()) if pa.types.is_boolean(column.type) else column
    filled = pc.cast(source, pa.float64(), safe=False)
    return np.array(filled.to_numpy(zero_copy_only=False), dtype=np.float64), nulls


def texts(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """A column of anything as text, for categories and segments."""
    return column.cast(pa.string())
