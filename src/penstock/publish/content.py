"""What to write into a generation: rows or Arrow batches of this process. `frame.py` has the same for a DataFrame of Spark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import pyarrow as pa
import pyarrow.compute as pc

from penstock.errors import DataError
from penstock.publish.generation import Row, Tally, Target
from penstock.publish.link import Link
from penstock.publish.wire import in_bucket_order, packets

if TYPE_CHECKING:
    from penstock.publish.connect import Client

BATCH_ROWS = 10_000
BATCH_BYTES = 16 << 20
SCHEMA = pa.schema([("field", pa.binary()), ("value", pa.binary())])


@runtime_checkable
class Content(Protocol):
    """Something that can be written once under a claim; the protocol in `redis.py` drives it."""

    def mean_bytes(self) -> int:
        """Bytes of a field and its value together, about: says whether the memory will do before anything is written."""

    def write(self, client: Client, target: Target) -> Tally:
        """Write everything and give the account of it. Raises RefusedError when a newer lease has begun; redis-py's own errors pass."""


class Batches:
    """Arrow batches with `field` and `value` (binary), in any order; they are streamed once."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Nothing is read before it is asked for."""
        self._stream = iter(batches)

    def mean_bytes(self) -> int:
        """Of the first batch."""
        first = next(self._stream, None)
        if first is None:
            return 0
        self._stream = chain((first,), self._stream)
        total = sum(pc.sum(pc.binary_length(first.column(name))).as_py() or 0 for name in ("field", "value"))
        return int(total // max(first.num_rows, 1))

    def write(self, client: Client, target: Target) -> Tally:
        """Sort each batch by bucket and send it."""
        ordered = (in_bucket_order(part, target.claim.buckets) for batch in self._stream for part in bounded(batch))
        return send(client, target, ordered)


def of_rows(rows: Iterable[Row]) -> Batches:
    """Rows of this process as Arrow batches of at most BATCH_ROWS rows."""
    return Batches(_to_arrow(rows))


def send(client: Client, target: Target, batches: Iterable[pa.RecordBatch]) -> Tally:
    """Pack and send batches that are grouped by bucket (`field`, `value`, `bucket`); every reply is counted and the fence held."""
    total = Tally()
    with Link(client, target) as link:
        for batch in batches:
            for packed, tally in packets(batch, target):
                link.write(packed)
                total += tally
        link.finish()
        return total + Tally(added=link.added)


def bounded(batch: pa.RecordBatch, required: tuple[str, ...] = ("field", "value")) -> Iterator[pa.RecordBatch]:
    """The batch in slices of about BATCH_BYTES, so that long values cannot overflow Arrow's offsets. DataError for a row without field or value."""
    missing = sum(batch.column(name).null_count for name in required)
    if missing:
        raise DataError(
            "rows to publish", got=f"{missing} without {' or '.join(required)}", expected="none", left="The published set is as it was"
        )
    pieces = max(1, -(-batch.nbytes // BATCH_BYTES))
    step = max(1, -(-batch.num_rows // pieces))
    for start in range(0, batch.num_rows, step):
        yield batch.slice(start, step)


def _to_arrow(rows: Iterable[Row]) -> Iterator[pa.RecordBatch]:
    fields: list[bytes] = []
    values: list[bytes] = []
    size = 0
    for key, value in rows:
        fields.append(key.encode())
        values.append(value)
        size += len(value)
        if len(fields) >= BATCH_ROWS or size >= BATCH_BYTES:
            yield pa.record_batch([pa.array(fields, pa.binary()), pa.array(values, pa.binary())], schema=SCHEMA)
            fields, values, size = [], [], 0
    if fields:
        yield pa.record_batch([pa.array(fields, pa.binary()), pa.array(values, pa.binary())], schema=SCHEMA)
