"""From Arrow rows to the bytes that Redis reads: `HSET bucket field value field value …`, without a Python loop over rows.

Each row becomes `$len field $len value` in one Arrow kernel; the rows of a bucket stand together, so that a command is a
header and one slice of that buffer. Pure: `link.py` sends what is made here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penstock.publish.generation import SAMPLE_ROWS, Tally, Target
from penstock.publish.layout import BESIDE

CHUNK_BYTES = 1 << 20
"""A payload holds about so many bytes: large enough for few system calls, small enough for a window of them in memory."""

_HASH_BYTES = 1 << 17
_ODD = 0x9E3779B97F4A7C15
_LENGTHS = 1 << 12
Words = np.ndarray[Any, np.dtype[np.uint64]]
Octets = np.ndarray[Any, np.dtype[np.uint8]]
Numbers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Packed:
    """RESP bytes of HSET commands: command i is `payload[bounds[i]:bounds[i + 1]]` and writes into bucket `buckets[i]`."""

    payload: bytes
    bounds: Numbers
    buckets: Numbers


def bucket_numbers(field: pa.Array, buckets: int) -> Numbers:
    """The bucket of each field (binary), as `layout.bucket_of` says."""
    offsets, data = _buffers(field)
    skip = pc.starts_with(field, BESIDE).to_numpy(zero_copy_only=False) * np.int64(len(BESIDE))
    return (_crc32(data, offsets[:-1] + skip, offsets[1:]) % np.uint32(buckets)).astype(np.int64)


def in_bucket_order(batch: pa.RecordBatch, buckets: int) -> pa.RecordBatch:
    """`field`, `value` and `bucket` (int64), the rows of a bucket together."""
    numbers = bucket_numbers(batch.column("field"), buckets)
    order = _order(numbers)
    rows = batch.select(["field", "value"]).take(pa.array(order))
    return rows.append_column("bucket", pa.array(numbers[order]))


def packets(batch: pa.RecordBatch, target: Target) -> Iterator[tuple[Packed, Tally]]:
    """A batch (`field`, `value` binary, `bucket` integer, grouped by bucket) as payloads of about CHUNK_BYTES, and what is in each.

    Values over the target's bound are counted and left out. The tally's `added` is for the sender to know.
    """
    size = pc.binary_length(batch.column("value"))
    long = pc.greater(size, target.max_value_bytes)
    too_long = int(pc.sum(long).as_py() or 0)
    if too_long:
        batch = batch.filter(pc.invert(long))
        size = pc.binary_length(batch.column("value"))
    if batch.num_rows == 0:
        yield Packed(b"", np.zeros(1, np.int64), np.zeros(0, np.int64)), Tally(too_long=too_long)
        return
    ends = np.cumsum(size.to_numpy(zero_copy_only=False).astype(np.int64) + 32)
    start = 0
    while start < batch.num_rows:
        reached = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, reached + CHUNK_BYTES, side="right")))
        packed, tally = _pack(batch.slice(start, stop - start), target)
        yield packed, tally + Tally(too_long=too_long)
        start, too_long = stop, 0


def _pack(batch: pa.RecordBatch, target: Target) -> tuple[Packed, Tally]:
    field, value = batch.column("field"), batch.column("value")
    rows = pc.binary_join_element_wise(
        _length(field), field, _length(value), value, pa.scalar(b"", pa.binary()), pa.scalar(b"\r\n", pa.binary())
    )
    offsets, data = _buffers(rows)
    number = batch.column("bucket").to_numpy(zero_copy_only=False).astype(np.int64)
    starts = np.concatenate(([0], np.flatnonzero(np.diff(number)) + 1, [len(number)]))
    view = memoryview(data)  # type: ignore[arg-type]
    pieces: list[Any] = []
    for bucket, first, last in zip(number[starts[:-1]].tolist(), starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        name = target.keys.bucket(target.claim.generation, bucket).encode()
        pieces.append(b"*%d\r\n$4\r\nHSET\r\n$%d\r\n%s\r\n" % (2 + 2 * (last - first), len(name), name))
        pieces.append(view[offsets[first] : offsets[last]])
    lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
    bounds = np.concatenate(([0], np.cumsum(lengths)))[::2]
    marks = row_hashes(offsets, data)
    low = np.argpartition(marks, SAMPLE_ROWS)[:SAMPLE_ROWS] if len(marks) > SAMPLE_ROWS else np.arange(len(marks))
    sample = zip(marks[low].tolist(), field.take(pa.array(low)).to_pylist(), value.take(pa.array(low)).to_pylist(), strict=True)
    digest = int(np.add.reduce(marks))
    return Packed(b"".join(pieces), bounds, number[starts[:-1]]), Tally(batch.num_rows, 0, digest, 0, tuple(sample))


def row_hashes(offsets: Numbers, data: Octets) -> Words:
    """64 bits a row: a polynomial of its bytes modulo 2**64, mixed; blake2b for the rare row that is longer than the table of powers.

    It tells accidents apart, not forgeries. Row i is `data[offsets[i]:offsets[i + 1]]`, never empty.
    """
    powers, inverse = _powers()
    found, start = np.empty(len(offsets) - 1, np.uint64), 0
    while start < len(found):
        stop = int(np.searchsorted(offsets, offsets[start] + _HASH_BYTES, side="right")) - 1
        if stop <= start:
            row = data[offsets[start] : offsets[start + 1]]
            found[start] = int.from_bytes(blake2b(row.tobytes(), digest_size=8).digest(), "big")
            start += 1
            continue
        at = offsets[start:stop] - offsets[start]
        chunk = data[offsets[start] : offsets[stop]]
        found[start:stop] = np.add.reduceat(chunk * powers[: len(chunk)], at) * inverse[at]
        start = stop
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        found = (found ^ (found >> np.uint64(shift))) * np.uint64(factor)
    return found ^ (found >> np.uint64(31))


def _order(numbers: Numbers) -> Numbers:
    """The stable order of numbers from 0: in 16 bits, where they fit, numpy sorts by radix."""
    small = numbers.max(initial=0) < 1 << 16
    return np.argsort(numbers.astype(np.uint16) if small else numbers, kind="stable")


def _length(column: pa.Array) -> pa.Array:
    """`$len` of each element: from a small table where it reaches, which is half as dear as printing numbers."""
    size = pc.binary_length(column)
    if pc.max(size).as_py() < _LENGTHS:
        return _length_table().take(size)
    return pc.binary_join_element_wise("$", pc.cast(size, pa.string()), "").cast(pa.binary())


def _buffers(rows: pa.Array) -> tuple[Numbers, Octets]:
    """Offsets and bytes of a binary array."""
    _, offsets, data = rows.buffers()
    found = np.frombuffer(offsets, np.int32)[rows.offset : rows.offset + len(rows) + 1].astype(np.int64)
    return found, np.frombuffer(data if data is not None else b"", np.uint8)


def _crc32(data: Octets, begins: Numbers, ends: Numbers) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """`zlib.crc32` of each `data[begin:end]`: one table look-up a byte position, for all rows at once."""
    table, size = _crc_table(), ends - begins
    by_size = _order(size.max(initial=0) - size)
    crc, begin = np.full(len(size), 0xFFFFFFFF, np.uint32), begins[by_size]
    reach = np.searchsorted(-size[by_size], -np.arange(int(size.max(initial=0))), side="left")
    for position, rows in enumerate(reach.tolist()):
        part = crc[:rows]
        crc[:rows] = table[(part ^ data[begin[:rows] + position]) & np.uint32(0xFF)] ^ (part >> np.uint32(8))
    result = np.empty_like(crc)
    result[by_size] = crc ^ np.uint32(0xFFFFFFFF)
    return result


@lru_cache(maxsize=1)
def _length_table() -> pa.Array:
    return pa.array([b"$%d" % size for size in range(_LENGTHS)], pa.binary())


@lru_cache(maxsize=1)
def _crc_table() -> np.ndarray[Any, np.dtype[np.uint32]]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, np.uint32(0xEDB88320) ^ (table >> np.uint32(1)), table >> np.uint32(1)).astype(np.uint32)
    return table


@lru_cache(maxsize=1)
def _powers() -> tuple[Words, Words]:
    """Powers of an odd number modulo 2**64, and of its inverse."""
    powers = np.full(_HASH_BYTES + 1, _ODD, np.uint64)
    inverse = np.full(_HASH_BYTES + 1, pow(_ODD, -1, 2**64), np.uint64)
    powers[0] = inverse[0] = 1
    return np.multiply.accumulate(powers), np.multiply.accumulate(inverse)
