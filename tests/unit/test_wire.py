"""Arrow rows as Redis's own protocol: against a reader of that protocol, zlib and `layout.bucket_of`."""

from __future__ import annotations

import io
from zlib import crc32

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock.errors import DataError
from penstock.publish import wire
from penstock.publish.content import bounded
from penstock.publish.generation import SAMPLE_ROWS, Claim, Tally, Target
from penstock.publish.layout import Keyspace, bucket_of

FIELDS = st.one_of(st.binary(max_size=20), st.binary(max_size=8).map(lambda text: b"[r]" + text))
ROWS = st.lists(st.tuples(FIELDS, st.binary(max_size=90)), max_size=60)
Rows = list[tuple[bytes, bytes]]


def batch(rows: Rows) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [pa.array([f for f, _ in rows], pa.binary()), pa.array([v for _, v in rows], pa.binary())], names=["field", "value"]
    )


def target(buckets: int, bound: int = 1 << 20) -> Target:
    return Target(Keyspace("churn"), Claim("g1", 1, 0, buckets), bound)


def pack(rows: Rows, buckets: int, bound: int = 1 << 20) -> tuple[list[wire.Packed], Tally]:
    found = list(wire.packets(wire.in_bucket_order(batch(rows), buckets), target(buckets, bound)))
    return [packed for packed, _ in found], sum((tally for _, tally in found), Tally())


def commands(payload: bytes) -> list[list[bytes]]:
    """What a server reads: arrays of bulk strings, and nothing over."""
    stream, found = io.BytesIO(payload), []
    while head := stream.readline():
        assert head[:1] == b"*"
        found.append([])
        for _ in range(int(head[1:])):
            size = stream.readline()
            assert size[:1] == b"$"
            found[-1].append(stream.read(int(size[1:])))
            assert stream.read(2) == b"\r\n"
    return found


@settings(max_examples=300, deadline=None)
@given(rows=ROWS, buckets=st.integers(1, 9))
@example(rows=[(b"", b"")], buckets=1)
@example(rows=[(b"[r]", b"x"), (b"", b"y")], buckets=3)
def test_a_server_reads_every_row_once_in_the_bucket_where_readers_look(rows: Rows, buckets: int) -> None:
    payloads, tally = pack(rows, buckets)
    found = []
    for packed in payloads:
        slices = [packed.payload[a:b] for a, b in zip(packed.bounds[:-1].tolist(), packed.bounds[1:].tolist(), strict=True)]
        assert b"".join(slices) == packed.payload
        assert len(slices) == len(packed.buckets)
        for number, part in zip(packed.buckets.tolist(), slices, strict=True):
            (words,) = commands(part)
            assert words[:2] == [b"HSET", f"ps:{{churn:{number}}}:g1".encode()]
            pairs = list(zip(words[2::2], words[3::2], strict=True))
            assert all(bucket_of(field, buckets) == number for field, _ in pairs)
            found += pairs
        assert len(set(packed.buckets.tolist())) == len(packed.buckets)
    assert sorted(found) == sorted(rows)
    assert tally.rows == len(rows)


@settings(max_examples=100, deadline=None)
@given(rows=ROWS, cut=st.integers(0, 60), data=st.data())
def test_the_digest_is_the_same_in_any_order_and_any_batches_and_differs_when_a_row_does(rows: Rows, cut: int, data: st.DataObject) -> None:
    _, whole = pack(rows, 5)
    shuffled = data.draw(st.permutations(rows))
    parts = pack(shuffled[:cut], 5)[1] + pack(shuffled[cut:], 5)[1]
    assert (parts.digest, parts.rows, sorted(parts.lowest)) == (whole.digest, whole.rows, sorted(whole.lowest))
    if rows:
        field, value = rows[0]
        other = [(field, value + b"!"), *rows[1:]]
        assert pack(other, 5)[1].digest != whole.digest
        if value:
            assert pack([(field + value[:1], value[1:]), *rows[1:]], 5)[1].digest != whole.digest


def test_the_sample_is_of_the_rows_with_the_smallest_hashes_and_no_larger_than_said() -> None:
    rows = [(b"%d" % n, b"value %d" % n) for n in range(1_000)]
    _, tally = pack(rows, 10)
    assert len(tally.lowest) == SAMPLE_ROWS
    assert {(field, value) for _, field, value in tally.lowest} <= set(rows)
    assert len({mark for mark, _, _ in tally.lowest}) == SAMPLE_ROWS


def test_a_sample_of_long_values_is_short_so_that_those_of_many_partitions_fit_into_one_process() -> None:
    _, tally = pack([(b"%d" % n, b"x" * 100_000) for n in range(300)], 3)
    assert len(tally.lowest) == 2
    _, tally = pack([(b"%d" % n, b"x" * 300_000) for n in range(30)], 3)
    assert len(tally.lowest) == 1


@pytest.mark.parametrize("size", [(1 << 12) - 1, 1 << 12, (1 << 17) - 40, 1 << 17, 3 << 20])
def test_values_of_any_length_are_framed_and_hashed(size: int) -> None:
    rows = [(b"a", b"x" * size), (b"b", b"x" * (size - 1) + b"y"), (b"c", b"short")]
    payloads, _ = pack(rows, 1, bound=8 << 20)
    pairs = [pair for packed in payloads for words in commands(packed.payload) for pair in zip(words[2::2], words[3::2], strict=True)]
    assert sorted(pairs) == rows
    offsets = np.array([0, size, 2 * size, 2 * size + 5])
    marks = wire.row_hashes(offsets, np.frombuffer(b"".join(value for _, value in rows), np.uint8))
    assert len(set(marks.tolist())) == 3
    assert (len(payloads) > 1) == (size > wire.CHUNK_BYTES)


def test_a_payload_is_about_a_megabyte_however_large_the_batch() -> None:
    payloads, tally = pack([(b"%d" % n, b"v" * 60) for n in range(50_000)], 500)
    assert tally.rows == 50_000
    assert len(payloads) > 3
    assert max(len(packed.payload) for packed in payloads) < 1.3 * wire.CHUNK_BYTES


@settings(max_examples=50, deadline=None)
@given(rows=ROWS, bound=st.integers(0, 90))
def test_values_over_the_bound_are_counted_and_left_out(rows: Rows, bound: int) -> None:
    payloads, tally = pack(rows, 3, bound)
    kept = [row for row in rows if len(row[1]) <= bound]
    assert (tally.rows, tally.too_long) == (len(kept), len(rows) - len(kept))
    assert sum((len(words) - 2) // 2 for packed in payloads for words in commands(packed.payload)) == len(kept)


def test_hashes_of_neighbours_do_not_meet() -> None:
    rows = pa.array([b"$1\r\n%d\r\n$1\r\n%d\r\n" % (a, b) for a in range(300) for b in range(300)], pa.binary())
    offsets = np.frombuffer(rows.buffers()[1], np.int32).astype(np.int64)
    found = wire.row_hashes(offsets, np.frombuffer(rows.buffers()[2], np.uint8))
    assert len(np.unique(found)) == len(rows)
    assert abs(np.unpackbits(found.view(np.uint8)).mean() - 0.5) < 0.01


@given(fields=st.lists(FIELDS, max_size=40), start=st.integers(0, 40))
def test_bucket_numbers_of_a_slice_are_those_of_its_rows(fields: list[bytes], start: int) -> None:
    array = pa.array(fields, pa.binary()).slice(min(start, len(fields)))
    assert wire.bucket_numbers(array, 7).tolist() == [crc32(field.removeprefix(b"[r]")) % 7 for field in fields[start:]]


def test_a_row_without_a_value_is_refused_and_a_large_batch_comes_in_slices() -> None:
    with pytest.raises(DataError, match="1 without field or value"):
        list(bounded(batch([(b"a", b"x")]).set_column(1, "value", pa.array([None], pa.binary()))))
    large = batch([(b"%d" % n, b"v" * 100_000) for n in range(400)])
    parts = list(bounded(large))
    assert len(parts) > 1
    assert pa.Table.from_batches(parts).combine_chunks() == pa.Table.from_batches([large])
