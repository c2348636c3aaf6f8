"""A DataFrame of `field` and `value` as the content of a generation: brought into bucket order by Spark, packed by its workers.

`Frame` sends from the workers, each over a connection of its own, and gives back one row a partition; `Packets` packs on
the workers too but sends from the driver, for places where workers have no way to Redis. A worker gets the address and the
names, nothing else. A partition that Spark tries again repeats its writes, so only Redis's own count says how many fields are new.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from penstock import errors
from penstock.errors import PenstockError, ServiceError
from penstock.publish import changes, connect
from penstock.publish.content import bounded, send
from penstock.publish.generation import Tally, Target
from penstock.publish.layout import BESIDE
from penstock.publish.link import Link
from penstock.publish.wire import Packed, packets

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

PARTITION_BYTES = 32 << 20
"""A partition holds about so many bytes of fields and values: what the driver's JVM holds of it at a time when the driver sends."""

_TALLY = "rows BIGINT, added BIGINT, digest BINARY, too_long BIGINT, marks BINARY, fields ARRAY<BINARY>, values ARRAY<BINARY>, fault STRING"
_PACKETS = f"payload BINARY, bounds BINARY, buckets BINARY, {_TALLY}"
_ARROW = {"BIGINT": pa.int64(), "BINARY": pa.binary(), "ARRAY<BINARY>": pa.list_(pa.binary()), "STRING": pa.string()}


@dataclass(frozen=True)
class Frame:
    """Sent by the workers. `rows` has `field` and `value` (binary, none null); `row_bytes` is about what both take together."""

    rows: DataFrame
    address: str
    expected: int
    row_bytes: int = 80

    def mean_bytes(self) -> int:
        """As the caller says: asking Spark would compute the rows twice."""
        return self.row_bytes

    def write(self, client: connect.Client, target: Target) -> Tally:  # noqa: ARG002 - each worker has its own
        """One task a partition; the driver adds up their tallies. Raises what a worker met."""
        return _by_workers(self, target, _send)


@dataclass(frozen=True)
class Packets:
    """Packed by the workers, sent by the driver. As `Frame`, without an address."""

    rows: DataFrame
    expected: int
    row_bytes: int = 80

    def mean_bytes(self) -> int:
        """As the caller says."""
        return self.row_bytes

    def write(self, client: connect.Client, target: Target) -> Tally:
        """One partition's payloads are in the driver at a time, and the next."""
        ordered = in_bucket_order(self.rows, target.claim.buckets, partitions(self.expected, self.row_bytes))
        total = Tally()
        with Link(client, target) as link:
            for row in ordered.mapInArrow(_packer(target), _PACKETS).toLocalIterator(prefetchPartitions=True):
                total += _tally(row)
                link.write(Packed(bytes(row["payload"]), np.frombuffer(row["bounds"], np.int64), np.frombuffer(row["buckets"], np.int64)))
            link.finish()
            return total + Tally(added=link.added)


@dataclass(frozen=True)
class ChangedFrame:
    """Changes for `changes.publish_changes`, written by the workers: as `Frame`, with a null value where a field is to go."""

    rows: DataFrame
    address: str
    expected: int
    row_bytes: int = 80

    def write(self, client: connect.Client, target: Target) -> Tally:  # noqa: ARG002 - each worker has its own
        """One task a partition; a bucket is changed by one script."""
        return _by_workers(self, target, _change)


def content(rows: DataFrame, writer: str, address: str, expected: int, row_bytes: int = 80) -> Frame | Packets:
    """The content for `publish.redis.writer`: `executors` or `driver`; `expected` is the number of rows."""
    return Frame(rows, address, expected, row_bytes) if writer == "executors" else Packets(rows, expected, row_bytes)


def changed(rows: DataFrame, writer: str, address: str, expected: int, row_bytes: int = 80) -> ChangedFrame | Iterator[changes.Change]:
    """The changes for `publish.redis.writer`, a null value where a field is to go."""
    if writer == "executors":
        return ChangedFrame(rows, address, expected, row_bytes)
    streamed = rows.select("field", "value").toLocalIterator(prefetchPartitions=True)
    return ((bytes(row["field"]).decode(), None if row["value"] is None else bytes(row["value"])) for row in streamed)


def partitions(expected: int, row_bytes: int) -> int:
    """How many partitions `expected` rows are sent in: bounded in memory, and two at least so that two cores have work."""
    return max(2, -(-expected * row_bytes // PARTITION_BYTES))


def in_bucket_order(rows: DataFrame, buckets: int, count: int) -> DataFrame:
    """`field`, `value`, `bucket` in `count` partitions, each bucket whole and its rows together (`layout.bucket_of`)."""
    from pyspark.sql import functions as F

    field = F.col("field")
    own = F.when(F.substring(field, 1, len(BESIDE)) == F.lit(BESIDE.encode()), F.expr(f"substring(field, {len(BESIDE) + 1})")).otherwise(
        field
    )
    numbered = rows.select(field, "value", (F.crc32(own) % F.lit(buckets)).cast("int").alias("bucket"))
    return numbered.repartition(count, "bucket").sortWithinPartitions("bucket")


@dataclass(frozen=True)
class _Sender:
    """What a worker runs over its partition: pickles as an address and a few names."""

    address: str
    target: Target
    work: Callable[[connect.Client, Target, Iterable[pa.RecordBatch]], Tally]

    def __repr__(self) -> str:
        """Without the address: Spark prints functions in plans."""
        return f"send to {self.target.keys.pipeline}"

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """One row: the tally, or the fault as data, since an exception would reach the driver as text."""
        try:
            with connect.answered("write from a worker of Spark"), connect.connect(self.address) as client:
                tally, fault = self.work(client, self.target, batches), None
        except PenstockError as error:
            tally, fault = Tally(), _as_text(error)
        yield _row(_TALLY, tally, fault)


def _send(client: connect.Client, target: Target, batches: Iterable[pa.RecordBatch]) -> Tally:
    return send(client, target, (part for batch in batches for part in bounded(batch)))


def _change(client: connect.Client, target: Target, batches: Iterable[pa.RecordBatch]) -> Tally:
    return changes.write(client, target, (part for batch in batches for part in bounded(batch, required=("field",))))


def _by_workers(
    given: Frame | ChangedFrame, target: Target, work: Callable[[connect.Client, Target, Iterable[pa.RecordBatch]], Tally]
) -> Tally:
    ordered = in_bucket_order(given.rows, target.claim.buckets, partitions(given.expected, given.row_bytes))
    return sum((_tally(row) for row in ordered.mapInArrow(_Sender(given.address, target, work), _TALLY).collect()), Tally())


def _packer(target: Target) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def pack(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        try:
            for batch in batches:
                for part in bounded(batch):
                    for packed, tally in packets(part, target):
                        yield _row(_PACKETS, tally, None, packed.payload, packed.bounds.tobytes(), packed.buckets.tobytes())
        except PenstockError as error:
            yield _row(_PACKETS, Tally(), _as_text(error), b"", b"", b"")

    return pack


def _row(schema: str, tally: Tally, fault: str | None, *before: bytes) -> pa.RecordBatch:
    marks = np.array([mark for mark, _, _ in tally.lowest], np.uint64).tobytes()
    keys, values = [key for _, key, _ in tally.lowest], [value for _, _, value in tally.lowest]
    cells = [*before, tally.rows, tally.added, tally.digest.to_bytes(8, "big"), tally.too_long, marks, keys, values, fault]
    columns = [column.split(" ") for column in schema.split(", ")]
    arrays = [pa.array([cell], _ARROW[kind]) for cell, (_, kind) in zip(cells, columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=[name for name, _ in columns])


def _tally(row: Any) -> Tally:
    """The account of one row. Raises what a worker has met."""
    if row["fault"]:
        raise _from_text(row["fault"])
    marks = np.frombuffer(row["marks"], np.uint64).tolist()
    lowest = tuple(zip(marks, map(bytes, row["fields"]), map(bytes, row["values"]), strict=True))
    return Tally(row["rows"], row["added"], int.from_bytes(row["digest"], "big"), row["too_long"], lowest)


def _as_text(error: PenstockError) -> str:
    parts = {"what": error.what, "got": error.got, "expected": error.expected, "left": error.left, "next": error.next}
    return json.dumps([type(error).__name__, parts])


def _from_text(text: str) -> PenstockError:
    name, parts = json.loads(text)
    if name == connect.NoAnswerError.__name__:
        parts["next"] += "; where workers have no way to Redis, set publish.redis.writer to driver"
    kinds: dict[str, type[PenstockError]] = {
        kind.__name__: kind for kind in (errors.RefusedError, errors.DataError, errors.UsageError, ServiceError, connect.NoAnswerError)
    }
    return kinds.get(name, ServiceError)(**parts)
