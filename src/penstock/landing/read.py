"""Landing files: what a file is (`inspect`), whether its header fits (`compare_header`), and its rows as text (`parser`).

A file is read on the driver, to judge it as a whole and to fix its digest in the plan, and by Spark's workers, which refuse
a file whose digest is no longer the planned one. Files are CSV, JSON lines or Parquet, the first two plain or with gzip or
zstd when the name ends in `.gz` or `.zst`. Empty text is null, and blank lines are no rows.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs

from penstock.errors import DataError
from penstock.lake.contract import Contract
from penstock.landing import columnar, delimited, jsonlines
from penstock.landing.layout import Layout, Tally, layout_of
from penstock.landing.parts import Part, PartDigests, Wanted, days_of
from penstock.landing.streams import Hashed, Source

_FORMATS: dict[str, ModuleType] = {"csv": delimited, "json": jsonlines, "parquet": columnar}
_OTHER_DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}

FILE_COLUMNS = (
    ("_file", "string"),
    ("_path", "string"),
    ("_file_digest", "string"),
    ("_known_at", "timestamp"),
    ("_parts", "array<struct<day:date,name:string,digest:string,known_at:timestamp>>"),
    ("_first", "date"),
)
"""The frame that `parser` takes: a row a file; `_path` is a URI or an absolute path. Of a file whose rows tell their own days,
`_parts` are those to land and `_first` is its first day; else both are null."""

ROW_COLUMNS = (("_file", "string"), ("_row", "bigint"), ("_file_digest", "string"), ("_known_at", "timestamp"), ("_parse_error", "string"))
"""What `parser` adds after the text columns. `_row` counts the file's data rows from 1."""


@dataclass(frozen=True)
class FileFacts:
    """One landing file as found; `fault` says in words why it cannot be read, and then `rows` are those before it."""

    name: str
    path: str
    bytes: int
    digest: str
    header: tuple[str, ...]
    rows: int
    fault: str | None
    parts: tuple[Part, ...] = ()
    """The days of a file whose rows tell them; none before its header fits."""


def inspect(path: str, filesystem: pafs.FileSystem | None = None, layout: Layout | None = None) -> FileFacts:
    """Reads a file once, in pieces, and says what it is; twice where its rows tell their days. `path` is a URI or absolute, or of `filesystem`.

    Raises OSError only when the file cannot be opened; whatever is wrong with its bytes is the `fault`.
    """
    layout = layout or Layout()
    source = Source(path, filesystem)
    raw, tally = source.stream(), Tally()
    try:
        _FORMATS[layout.format].scan(source, raw, layout, tally)
    except (OSError, EOFError) as error:
        tally.fault = f"is truncated or damaged ({error}); deliver it again"
    digest = raw.drain()
    fault = tally.fault or _emptiness(raw.size, tally)
    parts: tuple[Part, ...] = ()
    if fault is None and layout.dating and set(layout.physical) <= {*tally.header, *(layout.physical if layout.format == "json" else ())}:
        parts = _parts(source, layout)
        fault = None if parts else f"has no row with a day in column {layout.dating.physical!r}, as {layout.dating.format}"
    return FileFacts(source.name, path, raw.size, digest, tally.header, tally.rows, fault, parts)


def _parts(source: Source, layout: Layout) -> tuple[Part, ...]:
    assert layout.dating is not None
    digests, tally = PartDigests(layout.dating), Tally()
    for columns, _ in _numbered(source, source.stream(), layout, tally):
        digests.add(columns, columns[layout.physical.index(layout.dating.physical)])
    digests.add_malformed(tally.malformed.values())
    return digests.parts()


def _emptiness(size: int, tally: Tally) -> str | None:
    if not tally.header:
        return "is empty" if size == 0 else "holds no text"
    return None if tally.rows else "has a header and no rows"


def compare_header(header: Iterable[str], contract: Contract) -> list[str]:
    """The faults of a file's header against the contract, in words; empty when the columns are the same. Their order is free.

    JSON may leave out what is null, so only keys of required columns have to be there.
    """
    found = tuple(name.removeprefix("\ufeff") for name in header)
    expected = tuple(column.physical_name for column in contract.columns)
    own = _OTHER_DELIMITERS[contract.delimiter]
    for sign, word in _OTHER_DELIMITERS.items():
        if contract.file_format == "csv" and sign != contract.delimiter and len(found) == 1 and len(expected) > 1 and sign in found[0]:
            return [f"one column {found[0][:60]!r}: {word} separates the values, expected {own}"]
    faults = [f"column {name!r} stands {found.count(name)} times, expected once" for name in dict.fromkeys(found) if found.count(name) > 1]
    missing = [name for name in expected if name not in found]
    extra = [name for name in dict.fromkeys(found) if name not in expected]
    for name in extra:
        same = next((e for e in expected if e.casefold() == name.strip().casefold()), None)
        if same and same in found:
            faults.append(f"columns {same!r} and {name!r} differ only by case or blanks, expected {same!r} alone")
        elif same:
            faults.append(f"column {name!r} differs from {same!r} by case or blanks, expected {same!r}")
            missing = [m for m in missing if m != same]
        elif near := difflib.get_close_matches(name, missing, n=1, cutoff=0.6):
            faults.append(f"column {near[0]!r} is missing, perhaps renamed to {name!r}")
            missing.remove(near[0])
        else:
            faults.append(f"column {name!r} is not in the contract")
    free = {c.physical_name for c in contract.columns if contract.file_format == "json" and not c.required}
    return faults + [f"column {name!r} is missing" for name in missing if name not in free]


def parser(contract: Contract) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function for `DataFrame.mapInArrow` over a frame of `FILE_COLUMNS`; it can be pickled and holds only names."""
    return partial(parse, layout=layout_of(contract))


def parsed_columns(contract: Contract) -> tuple[tuple[str, str], ...]:
    """(name, Spark SQL type) of what `parser` yields: the contract's columns as text under their lake names, then `ROW_COLUMNS`."""
    return (*((column.name, "string") for column in contract.columns), *ROW_COLUMNS)


def parse(batches: Iterable[pa.RecordBatch], *, layout: Layout) -> Iterator[pa.RecordBatch]:
    """Rows of `FILE_COLUMNS` (files) to rows of text: the columns under their lake names, then `ROW_COLUMNS`.

    A malformed row comes out with `_parse_error` and nulls, after the file's other rows. Of a file in parts only the rows of
    the wanted parts come out. Raises DataError for a file that was changed since it was planned or cannot be read.
    """
    names = [*(lake for _, lake in layout.names), *(name for name, _ in ROW_COLUMNS)]
    for batch in batches:
        for file in batch.select([name for name, _ in FILE_COLUMNS]).to_pylist():
            wanted = None if file["_parts"] is None else [Wanted(**part) for part in file["_parts"]]
            for rows in _rows(file, layout):
                columns, own = _of_file(file, *rows) if wanted is None else _of_parts(wanted, file["_first"], *rows, layout)
                yield pa.RecordBatch.from_arrays([*columns, *(own[name] for name, _ in ROW_COLUMNS)], names=names)


_Columns = list[pa.Array]


def _of_file(file: dict[str, Any], columns: _Columns, numbers: pa.Array, errors: pa.Array) -> tuple[_Columns, dict[str, pa.Array]]:
    own = {
        "_file": pa.scalar(file["_file"], pa.string()),
        "_file_digest": pa.scalar(file["_file_digest"], pa.string()),
        "_known_at": pa.scalar(file["_known_at"], pa.timestamp("us", tz="UTC")),
    }
    repeated = {name: pa.repeat(value, len(numbers)) for name, value in own.items()}
    return columns, {**repeated, "_row": numbers, "_parse_error": errors}


def _of_parts(
    wanted: list[Wanted], first: Any, columns: _Columns, numbers: pa.Array, errors: pa.Array, layout: Layout
) -> tuple[_Columns, dict[str, pa.Array]]:
    """The rows of the wanted parts, and which part each is of."""
    assert layout.dating is not None
    places = {part.day: at for at, part in enumerate(wanted)}
    days = days_of(columns[layout.physical.index(layout.dating.physical)], layout.dating)
    part_of = pa.array([places.get(first if day is None else day) for day in days], pa.int64())
    kept = part_of.is_valid()
    of = part_of.filter(kept)
    own = {
        "_file": pa.array([part.name for part in wanted], pa.string()).take(of),
        "_file_digest": pa.array([part.digest for part in wanted], pa.string()).take(of),
        "_known_at": pa.array([part.known_at for part in wanted], pa.timestamp("us", tz="UTC")).take(of),
    }
    return [column.filter(kept) for column in columns], {**own, "_row": numbers.filter(kept), "_parse_error": errors.filter(kept)}


def _rows(file: dict[str, Any], layout: Layout) -> Iterator[tuple[_Columns, pa.Array, pa.Array]]:
    """(columns, row numbers, parse errors) block by block, then those of the malformed rows."""
    source, tally = Source(file["_path"]), Tally()
    raw = source.stream()
    try:
        for columns, numbers in _numbered(source, raw, layout, tally):
            yield columns, numbers, pa.nulls(len(numbers), pa.string())
    except (pa.ArrowInvalid, OSError, ValueError) as error:
        raise _changed(file, f"{error.__class__.__name__} while reading") from error
    if raw.drain() != file["_file_digest"] or tally.fault:
        raise _changed(file, "other bytes")
    if tally.malformed:
        places = sorted(tally.malformed)
        nothing = [pa.nulls(len(places), pa.string()) for _ in layout.names]
        yield nothing, pa.array(places, pa.int64()), pa.array([tally.malformed[n] for n in places], pa.string())


def _numbered(source: Source, raw: Hashed, layout: Layout, tally: Tally) -> Iterator[tuple[_Columns, pa.Array]]:
    next_row = 1
    for block in _FORMATS[layout.format].blocks(source, raw, layout, tally):
        count = block.num_rows
        # Malformed rows are left out of the block but keep their numbers.
        candidates = np.arange(next_row, next_row + count + len(tally.malformed))
        numbers = candidates[~np.isin(candidates, list(tally.malformed))][:count]
        next_row = int(numbers[-1]) + 1 if count else next_row
        yield [block.column(block.schema.names.index(name)) for name in layout.physical], pa.array(numbers, pa.int64())


def _changed(file: dict[str, Any], how: str) -> DataError:
    return DataError(
        f"landing file {file['_file']}",
        got=f"{how} than in the plan" if how == "other bytes" else how,
        expected="the bytes that were inspected",
        left="Nothing of this landing was written.",
        next="penstock land again, when the delivery is complete",
    )


def values(path: str, layout: Layout, tally: Tally) -> Iterator[list[pa.Array]]:
    """A file's columns as text, block by block, for whoever wants to look at them; malformed rows are left out, and told in `tally`."""
    source = Source(path)
    return (columns for columns, _ in _numbered(source, source.stream(), layout, tally))
