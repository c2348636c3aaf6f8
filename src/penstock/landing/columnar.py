"""Parquet: typed values as text that says exactly what they are, so that one set of checks serves every format.

A float becomes the shortest text that gives it back, a whole one without decimals; a timestamp keeps its microseconds, and one
with finer digits shows them and is then of no timestamp; an instant (a timestamp with zone) is told in UTC with the offset `Z`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from penstock.landing.layout import Layout, Tally
from penstock.landing.streams import Hashed, Source

_ROWS = 65_536
_EXACT = 2.0**53
"""Below it a float that is whole is that whole number."""


def scan(source: Source, raw: Hashed, layout: Layout, tally: Tally) -> None:
    """Counts into `tally`, from the file's own footer. Every page is read once, so that a damaged one is found before landing."""
    del layout
    raw.drain()
    try:
        with source.file() as file:
            parquet = pq.ParquetFile(file)
            schema = parquet.schema_arrow
            tally.header, tally.rows = tuple(schema.names), parquet.metadata.num_rows
            odd = [f"{field.name!r} holds {field.type}" for field in schema if not is_plain(field.type)]
            if odd:
                tally.fault = f"has columns that are no plain values ({', '.join(odd[:5])}); flatten them, or leave them out"
            else:
                for _ in parquet.iter_batches(_ROWS):
                    pass
    except pa.ArrowInvalid as error:
        tally.fault = f"is no Parquet file, or a damaged one ({str(error).splitlines()[0][:120]}); deliver it again"


def blocks(source: Source, raw: Hashed, layout: Layout, tally: Tally) -> Iterator[pa.RecordBatch]:
    """The columns as text, block by block."""
    del tally
    raw.drain()
    with source.file() as file:
        for batch in pq.ParquetFile(file).iter_batches(_ROWS):
            columns = [text_of(batch.column(batch.schema.names.index(name)), layout.kind_of.get(name, "")) for name in layout.physical]
            yield pa.RecordBatch.from_arrays(columns, names=list(layout.physical))


def is_plain(kind: pa.DataType) -> bool:
    """Whether values of a type can be told as text."""
    types = pa.types
    if types.is_dictionary(kind):
        return is_plain(kind.value_type)
    tests = (types.is_string, types.is_large_string, types.is_string_view, types.is_boolean, types.is_integer, types.is_floating)
    more = (types.is_decimal, types.is_date, types.is_timestamp, types.is_null)
    return any(test(kind) for test in (*tests, *more))


def text_of(values: pa.Array, kind: str = "") -> pa.Array:
    """The values as text. `kind` is their type in the lake: midnights of a date column are told as dates."""
    types, type_ = pa.types, values.type
    if types.is_dictionary(type_):
        return text_of(values.cast(type_.value_type), kind)
    if types.is_null(type_):
        return pa.nulls(len(values), pa.string())
    if types.is_floating(type_):
        # Arrow gives the shortest digits; 12.0 and 12 are the same number, and only the latter is a whole one as text.
        wide = values.cast(pa.float64())
        whole = pc.and_(pc.equal(pc.floor(wide), wide), pc.less(pc.abs(wide), _EXACT))
        return pc.if_else(whole, pc.if_else(whole, wide, 0.0).cast(pa.int64()).cast(pa.string()), values.cast(pa.string()))
    if types.is_date(type_):
        return values.cast(pa.date32()).cast(pa.string())
    if types.is_timestamp(type_):
        return _time_text(values, kind)
    text = values.cast(pa.string())
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def _time_text(values: pa.Array, kind: str) -> pa.Array:
    zoned = values.type.tz is not None
    local = values.cast(pa.timestamp(values.type.unit))  # the instant's time in UTC, or the time as it stands
    micros = local.cast(pa.timestamp("us"), safe=False)
    text = micros.cast(pa.string())
    if values.type.unit == "ns":
        text = pc.if_else(pc.equal(micros.cast(pa.timestamp("ns")), local), text, local.cast(pa.string()))
    if zoned:
        return pc.binary_join_element_wise(text, "Z", "")
    if kind == "date":
        return pc.replace_substring_regex(text, r" 00:00:00\.0+$", "")
    return text


def lake_type(kind: pa.DataType) -> str | None:
    """The type in the lake that holds all values of a plain type; None for text, which may hold anything."""
    types = pa.types
    if types.is_dictionary(kind):
        return lake_type(kind.value_type)
    if types.is_decimal(kind):
        return f"decimal({max(kind.precision, kind.scale)},{kind.scale})" if kind.scale >= 0 else "double"
    if types.is_integer(kind):
        small = kind in {pa.int8(), pa.int16(), pa.int32(), pa.uint8(), pa.uint16()}
        return "int" if small else "decimal(20,0)" if kind == pa.uint64() else "bigint"
    named = ((types.is_boolean, "boolean"), (types.is_floating, "double"), (types.is_date, "date"), (types.is_timestamp, "timestamp"))
    return next((name for test, name in named if test(kind)), None)
