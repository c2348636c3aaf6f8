"""The best items of every user on the executors: users dealt out to partitions, the items sent to each, blocks of scores in the worker.

Each partition gets all items, in order, before its users: one shuffle, one sort by a number, one `mapInArrow`. So a worker
holds the items, one Arrow batch of users and a block of scores, whatever the number of users; nothing passes the driver.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import FloatType, IntegerType, StringType, StructField, StructType
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from penstock.errors import DataError, FailedError, UsageError
from penstock.topk.kernel import Excluded, Factors, top_k

ITEM, FACTORS, SCORE, RANK = "item", "factors", "score", "rank"
_SEEN, _SIDE, _PART = "__seen", "__side", "__part"
_USERS_AT_ONCE = 10_000
"""Users answered in one Arrow batch: at k = 20 some ten megabytes."""


def top_items(users: DataFrame, items: DataFrame, k: int, seen: DataFrame | None = None, *, partitions: int | None = None) -> DataFrame:
    """The k items of the greatest inner product with each user, without those that the user has seen.

    Parameters: `users` id columns (no nulls) and `factors` (array of float or double, taken as float); `items` `item` (string,
    unique) and `factors`; withdrawn items are left out of `items` by the caller. `seen` the id columns and `item`; pairs may repeat, and items
    or users that are not offered do not matter. `partitions` is how many tasks share the users, and how often the items are sent; the
    session's shuffle partitions when absent.
    Gives id columns, `item`, `score` (float) and `rank` (int, from 1): up to k rows a user, equal scores by `item`; no row for a
    user with nothing left. Raises UsageError for columns or k that do not fit; the job raises DataError for missing, repeated
    or non-finite items and factors.
    """
    key = _key(users, items, seen, k)
    count = partitions or int(str(users.sparkSession.conf.get("spark.sql.shuffle.partitions")))
    given = users if seen is None else _with_seen(users, seen, key)
    asked = given.select(
        *key,
        F.lit(None).cast("string").alias(ITEM),
        F.col(FACTORS).cast("array<float>").alias(FACTORS),
        *([] if seen is None else [_SEEN]),
        F.lit(1).alias(_SIDE),
        F.pmod(F.xxhash64(*key), F.lit(count)).cast("int").alias(_PART),
    )
    offered = items.select(
        *(F.lit(None).cast(users.schema[name].dataType).alias(name) for name in key),
        ITEM,
        F.col(FACTORS).cast("array<float>").alias(FACTORS),
        *([] if seen is None else [F.lit(None).cast("array<string>").alias(_SEEN)]),
        F.lit(0).alias(_SIDE),
        F.explode(F.sequence(F.lit(0), F.lit(count - 1))).alias(_PART),
    )
    dealt = offered.unionByName(asked).repartitionById(count, F.col(_PART)).sortWithinPartitions(_SIDE, ITEM).drop(_PART)
    answer = [StructField(ITEM, StringType()), StructField(SCORE, FloatType()), StructField(RANK, IntegerType())]
    return dealt.mapInArrow(TopItems(tuple(key), k, seen is not None), StructType([*(users.schema[name] for name in key), *answer]))


def _key(users: DataFrame, items: DataFrame, seen: DataFrame | None, k: int) -> list[str]:
    """The id columns; raises UsageError when the frames do not fit one another."""
    key = [name for name in users.columns if name != FACTORS]
    faults = [
        ("columns of users", users.columns, f"id columns and {FACTORS}", not key or FACTORS not in users.columns),
        ("id columns of users", key, "other names", not {ITEM, SCORE, RANK, _SEEN, _SIDE, _PART}.isdisjoint(key)),
        ("columns of items", items.columns, f"{ITEM}, {FACTORS}", {*items.columns} != {ITEM, FACTORS}),
        ("columns of seen", seen and seen.columns, ", ".join([*key, ITEM]), seen is not None and {*seen.columns} != {*key, ITEM}),
        ("k of the best items", [str(k)], "1 or more", k < 1),
    ]
    for what, got, expected, wrong in faults:
        if wrong:
            raise UsageError(what, got=", ".join(got or ()), expected=expected, next="correct the call")
    return key


def _with_seen(users: DataFrame, seen: DataFrame, key: list[str]) -> DataFrame:
    """Each user row once, with the items seen; null when there are none."""
    return users.join(seen.groupBy(*key).agg(F.collect_set(ITEM).alias(_SEEN)), on=key, how="left")


@dataclass(frozen=True)
class TopItems:
    """A function from Arrow batches, all items in order and then users, to Arrow batches of their best items."""

    key: tuple[str, ...]
    k: int
    seen: bool

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The key columns, `item`, `score` and `rank`, by user in the order they come, best first. Raises as `top_items` says."""
        parts: list[pa.RecordBatch] = []
        catalogue: tuple[pa.StringArray, Factors] | None = None
        with threadpool_limits(limits=1, user_api="blas"):
            for batch in batches:
                ended = int(np.searchsorted(batch.column(_SIDE).to_numpy(), 1))
                if ended and catalogue is not None:
                    raise FailedError("items after users", got="another order", expected="sorted rows", left="Nothing was ranked.")
                parts += [batch.slice(0, ended)] if ended else []
                for at in range(ended, batch.num_rows, _USERS_AT_ONCE):
                    catalogue = catalogue or _catalogue(parts)
                    yield self._answer(batch.slice(at, _USERS_AT_ONCE), *catalogue)

    def _answer(self, users: pa.RecordBatch, names: pa.StringArray, items: Factors) -> pa.RecordBatch:
        asked = matrix(users.column(FACTORS), "users")
        if not len(names):
            items = np.empty((0, asked.shape[1]), np.float32)
        top = top_k(asked, items, self.k, excluded=excluded(users.column(_SEEN), names) if self.seen else None)
        taken = np.arange(self.k) < top.counts[:, None]
        user, rank = np.nonzero(taken)
        own = [users.column(name).take(pa.array(user)) for name in self.key]
        best = [names.take(pa.array(top.indices[taken])), pa.array(top.scores[taken]), pa.array((rank + 1).astype(np.int32))]
        return pa.RecordBatch.from_arrays([*own, *best], names=[*self.key, ITEM, SCORE, RANK])


def _catalogue(parts: list[pa.RecordBatch]) -> tuple[pa.StringArray, Factors]:
    """Names and factors of all items, by name."""
    if not parts:
        return pa.array([], pa.string()), np.empty((0, 0), np.float32)
    names = pa.concat_arrays([part.column(ITEM) for part in parts]).cast(pa.string())
    repeated = pc.sum(pc.equal(names[1:], names[:-1])).as_py() or 0
    if names.null_count or repeated:
        got = f"{names.null_count} without a name and {repeated} twice"
        raise DataError("items to rank", got=got, expected="one row for each item", left="Nothing was ranked.", next="correct the items")
    return names, matrix(pa.concat_arrays([part.column(FACTORS) for part in parts]), "items")


def matrix(column: pa.ListArray, what: str) -> Factors:
    """float32 [rows, factors] of a column of lists of one length; raises DataError for nulls and for other lengths."""
    values = column.flatten()
    lengths = pc.unique(pc.list_value_length(column))
    if len(column) and (column.null_count or values.null_count or len(lengths) != 1):
        got = f"{column.null_count} rows without, {values.null_count} nulls and {len(lengths)} lengths"
        raise DataError(
            f"factors of {what}", got=got, expected="as many numbers in each row", left="Nothing was ranked.", next="train anew"
        )
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float32).reshape(len(column), -1 if len(column) else 0)


def excluded(seen: pa.ListArray, names: pa.StringArray) -> Excluded:
    """Lists of names as places among `names`; unknown names are left out, null is no list."""
    places = pc.index_in(seen.flatten().cast(pa.string()), value_set=names)
    known = np.asarray(places.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)
    user = np.repeat(np.arange(len(seen)), pc.list_value_length(seen).fill_null(0).to_numpy(zero_copy_only=False))
    ends = np.cumsum(np.bincount(user[known], minlength=len(seen)))
    return Excluded(np.concatenate(([0], ends)), places.drop_null().to_numpy().astype(np.int64))
