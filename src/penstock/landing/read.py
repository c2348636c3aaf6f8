"""Landing files: what a file is (`inspect`), whether its header fits (`compare_header`), and its rows as text (`parser`).

A file is read twice: once on the driver, to judge it as a whole and to fix its digest in the plan, and once by Spark's
workers, which refuse a file whose digest is no longer the planned one. Files are CSV as in RFC 4180: UTF-8 (a byte order
mark is let through), comma, double quotes, line feeds within quotes; plain or with gzip or zstd when the name ends in
`.gz` or `.zst`. Empty text, quoted or not, is null, and blank lines are no rows.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.fs as pafs

from penstock.errors import DataError
from penstock.lake.contract import Contract

_CODECS = {".gz": "gzip", ".zst": "zstd"}
_BLOCK = 4 << 20
_OTHER_DELIMITERS = {";": "a semicolon", "\t": "a tab", "|": "a bar"}

FILE_COLUMNS = (("_file", "string"), ("_path", "string"), ("_file_digest", "string"), ("_known_at", "timestamp"))
"""The frame that `parser` takes: a row a file; `_path` is a URI or an absolute path."""

ROW_COLUMNS = (("_file", "string"), ("_row", "bigint"), ("_file_digest", "string"), ("_known_at", "timestamp"), ("_parse_error", "string"))
"""What `parser` adds after the text columns. `_row` counts data rows from 1."""


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


class _Hashed(io.RawIOBase):
    """A binary stream that hashes what is read through it."""

    def __init__(self, stream: pa.NativeFile) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        data: bytes = self._stream.read(None if size is None or size < 0 else size)
        self._hash.update(data)
        self.size += len(data)
        return data

    def drain(self) -> str:
        """Reads to the end and gives the digest of all bytes."""
        while self.read(_BLOCK):
            pass
        return self._hash.hexdigest()


def _open(path: str, filesystem: pafs.FileSystem | None) -> _Hashed:
    if filesystem is None:
        filesystem, path = pafs.FileSystem.from_uri(path)
    return _Hashed(filesystem.open_input_stream(path, compression=None))


def _plain(raw: _Hashed, name: str) -> pa.NativeFile:
    """The stream without its compression."""
    stream = pa.PythonFile(raw, mode="r")
    codec = next((codec for suffix, codec in _CODECS.items() if name.endswith(suffix)), None)
    return pa.CompressedInputStream(stream, codec) if codec else stream


def inspect(path: str, filesystem: pafs.FileSystem | None = None) -> FileFacts:
    """Reads a file once, in pieces, and says what it is. `path` is a URI or absolute, or a path of `filesystem`.

    Raises OSError only when the file cannot be opened; whatever is wrong with its bytes is the `fault`.
    """
    name = path.rstrip("/").rsplit("/", 1)[-1]
    raw = _open(path, filesystem)
    header: tuple[str, ...] = ()
    rows = 0
    fault: str | None = None
    try:
        for record in _records(_plain(raw, name)):
            if header:
                rows += 1
            else:
                header = tuple(record)
    except UnicodeDecodeError as error:
        bad = error.object[error.start]
        fault = f"is not UTF-8: byte 0x{bad:02X} {_place(header, rows)}; save it as UTF-8"
    except _NulError:
        fault = f"holds a NUL character {_place(header, rows)}: it is UTF-16 or binary; save it as UTF-8"
    except csv.Error as error:
        fault = f"is not CSV: {error} {_place(header, rows)}"
    except (OSError, EOFError) as error:
        fault = f"is truncated or damaged ({error}); deliver it again"
    digest = raw.drain()
    if fault is None:
        fault = _emptiness(raw.size, header, rows)
    return FileFacts(name, path, raw.size, digest, header, rows, fault)


class _NulError(Exception):
    """A NUL character in the text."""


def _records(plain: pa.NativeFile) -> Iterator[list[str]]:
    def lines() -> Iterator[str]:
        for line in io.TextIOWrapper(plain, encoding="utf-8-sig", newline=""):
            if "\0" in line:
                raise _NulError
            yield line

    return (record for record in csv.reader(lines(), strict=True) if record)


def _place(header: tuple[str, ...], rows: int) -> str:
    return f"after data row {rows}" if header else "in or before the header"


def _emptiness(size: int, header: tuple[str, ...], rows: int) -> str | None:
    if not header:
        return "is empty" if size == 0 else "holds no text"
    return None if rows else "has a header and no rows"


def compare_header(header: Iterable[str], contract: Contract) -> list[str]:
    """The faults of a file's header against the contract, in words; empty when the columns are the same. Their order is free."""
    found = tuple(name.removeprefix("\ufeff") for name in header)
    expected = tuple(column.physical_name for column in contract.columns)
    for sign, word in _OTHER_DELIMITERS.items():
        if len(found) == 1 and len(expected) > 1 and sign in found[0]:
            return [f"one column {found[0][:60]!r}: {word} separates the values, expected a comma"]
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
    return faults + [f"column {name!r} is missing" for name in missing]


def parser(contract: Contract) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function for `DataFrame.mapInArrow` over a frame of `FILE_COLUMNS`; it can be pickled and holds only names."""
    return partial(parse, names=tuple((column.physical_name, column.name) for column in contract.columns))


def parsed_columns(contract: Contract) -> tuple[tuple[str, str], ...]:
    """(name, Spark SQL type) of what `parser` yields: the contract's columns as text under their lake names, then `ROW_COLUMNS`."""
    return (*((column.name, "string") for column in contract.columns), *ROW_COLUMNS)


def parse(batches: Iterable[pa.RecordBatch], *, names: tuple[tuple[str, str], ...]) -> Iterator[pa.RecordBatch]:
    """Rows of `FILE_COLUMNS` (files) to rows of text: the columns `names` (physical, lake), then `ROW_COLUMNS`.

    A row with a wrong number of fields comes out with `_parse_error` and nulls, after the file's other rows. Raises DataError
    for a file that was changed since it was planned or cannot be read.
    """
    for batch in batches:
        for file in batch.select([name for name, _ in FILE_COLUMNS]).to_pylist():
            known_at = pa.scalar(file["_known_at"], pa.timestamp("us", tz="UTC"))
            for columns, numbers, errors in _rows(file, [physical for physical, _ in names]):
                meta = [
                    pa.repeat(file["_file"], len(numbers)),
                    numbers,
                    pa.repeat(file["_file_digest"], len(numbers)),
                    pa.repeat(known_at, len(numbers)),
                    errors,
                ]
                yield pa.RecordBatch.from_arrays([*columns, *meta], names=[*(lake for _, lake in names), *(n for n, _ in ROW_COLUMNS)])


_Rows = tuple[list[pa.Array], pa.Array, pa.Array]


def _rows(file: dict[str, Any], physical: list[str]) -> Iterator[_Rows]:
    """(columns, row numbers, parse errors) block by block, then those of the malformed rows."""
    raw = _open(file["_path"], None)
    malformed: dict[int, str] = {}
    next_row = 1
    try:
        for block in _blocks(_plain(raw, file["_file"]), physical, malformed):
            count = block.num_rows
            # Malformed rows are left out of the block but keep their numbers.
            candidates = np.arange(next_row, next_row + count + len(malformed))
            numbers = candidates[~np.isin(candidates, list(malformed))][:count]
            next_row = int(numbers[-1]) + 1 if count else next_row
            columns = [block.column(block.schema.names.index(name)) for name in physical]
            yield columns, pa.array(numbers, pa.int64()), pa.nulls(count, pa.string())
    except (pa.ArrowInvalid, OSError, ValueError) as error:
        raise _changed(file, f"{error.__class__.__name__} while reading") from error
    if raw.drain() != file["_file_digest"]:
        raise _changed(file, "other bytes")
    if malformed:
        places = sorted(malformed)
        nothing = [pa.nulls(len(places), pa.string()) for _ in physical]
        yield nothing, pa.array(places, pa.int64()), pa.array([malformed[n] for n in places], pa.string())


def _blocks(plain: pa.NativeFile, physical: list[str], malformed: dict[int, str]) -> Iterator[pa.RecordBatch]:
    def note(row: pcsv.InvalidRow) -> str:
        # Arrow counts the header as row 1, and no blank lines; it gives numbers only without threads.
        malformed[row.number - 1] = f"expected {row.expected_columns} fields, got {row.actual_columns}"
        return "skip"

    return iter(
        pcsv.open_csv(
            plain,
            read_options=pcsv.ReadOptions(use_threads=False, block_size=_BLOCK),
            parse_options=pcsv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
            convert_options=pcsv.ConvertOptions(
                column_types={name: pa.string() for name in physical}, strings_can_be_null=True, null_values=[""]
            ),
        )
    )


def _changed(file: dict[str, Any], how: str) -> DataError:
    return DataError(
        f"landing file {file['_file']}",
        got=f"{how} than in the plan" if how == "other bytes" else how,
        expected="the bytes that were inspected",
        left="Nothing of this landing was written.",
        next="penstock land again, when the delivery is complete",
    )
