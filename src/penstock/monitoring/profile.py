"""The reference profile: bins of every feature and of the score, frozen at training and stored with the model.

Bins never move afterwards, so that the counts of any rows are one integer vector for each (segment, feature), and counts
of parts add up to the counts of the whole. Everything in `drift.py` derives from two such vectors without reading data
again. One function counts, from Arrow: training calls it on a table, Spark calls it on the batches of a frame, so the two
cannot differ. NULL and NaN are bins of their own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penstock.config.monitoring import DriftConfig
from penstock.errors import DataError
from penstock.monitoring.bins import Bins, bin_index, make_bins, texts

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pyspark.sql import DataFrame

ALL = "all"
"""The segment that holds every row; others read `country=France`."""
COUNT_SCHEMA = "segment string, feature string, bin int, count bigint"

Counts = Mapping[tuple[str, str], tuple[int, ...]]
"""(segment, feature) → rows in each bin."""


@dataclass(frozen=True)
class Profile:
    """Bins and reference counts of all features.

    `effective_rows` is the number of independent rows that the reference is worth: a training set of weekly cohorts
    holds the same entity again and again, and distinct entities say how much chance is in it.
    """

    bins: tuple[Bins, ...]
    counts: Counts
    segments: tuple[str, ...]
    rows: int
    effective_rows: int

    def of(self, feature: str) -> Bins:
        """The bins of one feature; KeyError when the profile does not hold it."""
        return {b.feature: b for b in self.bins}[feature]

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the profiled features, in the profile's order."""
        return tuple(b.feature for b in self.bins)

    @property
    def digest(self) -> str:
        """SHA-256 of the JSON form."""
        return hashlib.sha256(to_json(self).encode()).hexdigest()


# -- making it at training ------------------------------------------------------------------------------------------


def make_profile(
    table: pa.Table, features: Sequence[str], config: DriftConfig, *, segments: Sequence[str] = (), effective_rows: int
) -> Profile:
    """Profile of the training rows: `table` holds one column for each feature and segment (and `score`, if it is listed)."""
    bins = tuple(make_bins(name, _column(table, name), config) for name in features)
    counts = count_table(bins, table, segments)
    return Profile(bins, counts, tuple(segments), table.num_rows, min(effective_rows, table.num_rows))


# -- counting -------------------------------------------------------------------------------------------------------


def count_table(bins: Sequence[Bins], table: pa.Table | pa.RecordBatch, segments: Sequence[str] = ()) -> Counts:
    """Count vectors of all features, over all rows and over the rows of each value of each segment column."""
    masks = _segment_masks(table, segments)
    counts: dict[tuple[str, str], tuple[int, ...]] = {}
    for feature in bins:
        index = bin_index(feature, _column(table, feature.feature))
        for segment, mask in masks.items():
            chosen = index if mask is None else index[mask]
            counts[segment, feature.feature] = tuple(np.bincount(chosen, minlength=feature.size).tolist())
    return counts


def _segment_masks(table: pa.Table | pa.RecordBatch, segments: Sequence[str]) -> dict[str, NDArray[np.bool_] | None]:
    masks: dict[str, NDArray[np.bool_] | None] = {ALL: None}
    for name in segments:
        column = pc.fill_null(texts(_column(table, name)), "NULL")
        for value in pc.unique(column).to_pylist():
            masks[f"{name}={value}"] = np.asarray(pc.equal(column, value).to_numpy(zero_copy_only=False), dtype=np.bool_)
    return masks


def count_frame(profile: Profile, frame: DataFrame) -> DataFrame:
    """Frame of features (one row an entity) → frame of `COUNT_SCHEMA`, in one pass and one shuffle of tiny rows.

    The batches are counted in Python workers by `count_table`; it is safe on Spark Connect, and nothing is collected.
    """
    bins, segments = profile.bins, profile.segments

    def count(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        total: Counts = {}
        for batch in batches:
            total = merge(total, count_table(bins, batch, segments))
        yield rows_from_counts(total)

    columns = list(dict.fromkeys((*profile.features, *segments)))
    counted = frame.select(*(f"`{c}`" for c in columns)).mapInArrow(count, COUNT_SCHEMA)
    return counted.groupBy("segment", "feature", "bin").agg({"count": "sum"}).withColumnRenamed("sum(count)", "count")


def rows_from_counts(counts: Counts) -> pa.RecordBatch:
    """Counts as rows of (segment, feature, bin, count), empty bins left out."""
    rows = [(s, f, i, c) for (s, f), vector in counts.items() for i, c in enumerate(vector) if c]
    fields = [("segment", pa.string()), ("feature", pa.string()), ("bin", pa.int32()), ("count", pa.int64())]
    columns = list(zip(*rows, strict=True)) or [()] * 4
    arrays = [pa.array(column, type=kind) for column, (_, kind) in zip(columns, fields, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def counts_from_rows(profile: Profile, rows: Iterable[tuple[str, str, int, int]]) -> Counts:
    """Rows of (segment, feature, bin, count), in any order and repeated or not, back to count vectors.

    Every segment of the profile gets a vector for every feature, of zeros when no row came: vanished is not unknown.
    """
    vectors = {key: [0] * len(vector) for key, vector in profile.counts.items()}
    sizes = {b.feature: b.size for b in profile.bins}
    for segment, feature, index, count in rows:
        vectors.setdefault((segment, feature), [0] * sizes[feature])[index] += count
    return {key: tuple(vector) for key, vector in vectors.items()}


def merge(left: Counts, right: Counts) -> Counts:
    """The counts of both together: vectors added, a key that one side lacks taken from the other."""
    merged = dict(left)
    for key, vector in right.items():
        merged[key] = tuple(a + b for a, b in zip(merged[key], vector, strict=True)) if key in merged else vector
    return merged


def _column(table: pa.Table | pa.RecordBatch, name: str) -> pa.ChunkedArray | pa.Array:
    if table.schema.get_field_index(name) < 0:
        got = f"columns {', '.join(table.schema.names[:20])}"
        raise DataError(f"profiled feature {name}", got=got, expected="the features of the model", next="penstock plan features")
    return table.column(name)


# -- JSON -----------------------------------------------------------------------------------------------------------


def to_json(profile: Profile) -> str:
    """The profile as canonical JSON: the same profile is the same text, doubles exact."""
    body: dict[str, Any] = {
        "format": 1,
        "rows": profile.rows,
        "effective_rows": profile.effective_rows,
        "segments": list(profile.segments),
        "bins": [
            {"feature": b.feature, "kind": b.kind, "edges": b.edges, "categories": b.categories, "rare": b.rare, "is_open": b.is_open}
            for b in profile.bins
        ],
        "counts": [[segment, feature, vector] for (segment, feature), vector in sorted(profile.counts.items())],
    }
    return json.dumps(body, sort_keys=True, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def from_json(text: str) -> Profile:
    """The profile that `to_json` wrote. Raises DataError for anything else."""
    try:
        return _from_body(json.loads(text))
    except (ValueError, KeyError, TypeError) as fault:
        found = f"{type(fault).__name__}: {fault}"
        raise DataError("reference profile", got=found, expected="a profile of format 1", next="penstock train PIPELINE") from fault


def _from_body(body: dict[str, Any]) -> Profile:
    if body["format"] != 1:
        raise ValueError(f"format {body['format']}")
    bins = tuple(
        Bins(b["feature"], b["kind"], tuple(b["edges"]), tuple(b["categories"]), tuple(b["rare"]), b["is_open"]) for b in body["bins"]
    )
    counts = {(segment, feature): tuple(vector) for segment, feature, vector in body["counts"]}
    return Profile(bins, counts, tuple(body["segments"]), body["rows"], body["effective_rows"])
