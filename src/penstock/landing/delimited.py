"""CSV as in RFC 4180: UTF-8 (a byte order mark is let through), double quotes, line feeds within quotes; any of four delimiters.

Read by two readers that must agree: Python's, strict, to judge and count; Arrow's to give the values.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.csv as pcsv

from penstock.landing.layout import Layout, Tally
from penstock.landing.streams import Hashed, Source, plain

BLOCK = 4 << 20


class _NulError(Exception):
    """A NUL character in the text."""


def scan(source: Source, raw: Hashed, layout: Layout, tally: Tally) -> None:
    """Counts into `tally` and says there what is wrong with the text. Raises OSError for damaged bytes."""
    try:
        for record in _records(plain(raw, source.name), layout.delimiter):
            if tally.header:
                tally.rows += 1
            else:
                tally.header = tuple(record)
    except UnicodeDecodeError as error:
        tally.fault = f"is not UTF-8: byte 0x{error.object[error.start]:02X} {tally.place()}; save it as UTF-8"
    except _NulError:
        tally.fault = f"holds a NUL character {tally.place()}: it is UTF-16 or binary; save it as UTF-8"
    except csv.Error as error:
        tally.fault = f"is not CSV: {error} {tally.place()}"


def blocks(source: Source, raw: Hashed, layout: Layout, tally: Tally) -> Iterator[pa.RecordBatch]:
    """The columns as text, block by block, without the malformed rows, which are told in `tally`. Empty text is null."""

    def note(row: pcsv.InvalidRow) -> str:
        # Arrow counts the header as row 1, and no blank lines; it gives numbers only without threads.
        tally.malformed[row.number - 1] = f"expected {row.expected_columns} fields, got {row.actual_columns}"
        return "skip"

    return iter(
        pcsv.open_csv(
            plain(raw, source.name),
            read_options=pcsv.ReadOptions(use_threads=False, block_size=BLOCK),
            parse_options=pcsv.ParseOptions(delimiter=layout.delimiter, newlines_in_values=True, invalid_row_handler=note),
            convert_options=pcsv.ConvertOptions(
                column_types={name: pa.string() for name in layout.physical}, strings_can_be_null=True, null_values=[""]
            ),
        )
    )


def _records(stream: pa.NativeFile, delimiter: str) -> Iterator[list[str]]:
    def lines() -> Iterator[str]:
        for line in io.TextIOWrapper(stream, encoding="utf-8-sig", newline=""):
            if "\0" in line:
                raise _NulError
            yield line

    return (record for record in csv.reader(lines(), delimiter=delimiter, strict=True) if record)
