"""UCI Online Retail as the shop would deliver it: one CSV file a trading day.

Source: Chen, D. (2015), Online Retail, UCI Machine Learning Repository, DOI 10.24432/C5BW33, licence CC BY 4.0.
541,909 invoice lines of a UK shop for gifts, 2010-12-01 to 2011-12-09, eight columns of text; nothing cleaned.
"""

from __future__ import annotations

import csv
import hashlib
from datetime import date
from functools import cache
from importlib.resources import files
from io import BytesIO, StringIO
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from penstock.errors import FailedError

SHA256 = "4400e1469d313a2898459dc622f272f0f13447e94089a324434687d19155d3bf"
ROWS = 541_909


def read(data: bytes | None = None) -> pa.Table:
    """The whole data set: 541,909 rows, 8 text columns, in the order of the daily files.

    `data` stands in for the packaged Parquet file. Raises FailedError when its bytes are not the published ones.
    """
    content = files(__package__).joinpath("online_retail.parquet").read_bytes() if data is None else data
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise FailedError(
            "packaged data set online_retail.parquet",
            got=f"SHA-256 {found[:16]}…",
            expected=f"{SHA256[:16]}…",
            left="Nothing was written.",
            next="install the package again",
        )
    return pq.read_table(BytesIO(content))


@cache
def _spans() -> tuple[tuple[date, int, int], ...]:
    """(day, first row, number of rows) of each day: the rows are in the order of the days."""
    text = pc.utf8_slice_codeunits(read()["InvoiceDate"], 0, 10)
    counts = pc.value_counts(text.combine_chunks()).to_pylist()
    spans, start = [], 0
    for entry in counts:
        spans.append((date.fromisoformat(entry["values"]), start, entry["counts"]))
        start += entry["counts"]
    return tuple(spans)


def days() -> tuple[date, ...]:
    """The 305 days with trade, in order: each has a file."""
    return tuple(day for day, _, _ in _spans())


def write_days(folder: Path, first: date, last: date) -> tuple[Path, ...]:
    """Writes `YYYY-MM-DD.csv` for each trading day of [first, last], both included, and returns the paths of all of them.

    A file that already holds these bytes is left alone, so that its time of change stays; each file appears whole or not
    at all. Text is written as it is, quoted where it must be, with a line feed after each row.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = read()
    paths = []
    for day, start, count in _spans():
        if first <= day <= last:
            path = folder / f"{day.isoformat()}.csv"
            _replace(path, _as_csv(table.slice(start, count)))
            paths.append(path)
    return tuple(paths)


def _as_csv(table: pa.Table) -> bytes:
    # The standard library's writer, since Arrow's puts every text in quotes.
    text = StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.column_names)
    writer.writerows(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return text.getvalue().encode()


def _replace(path: Path, content: bytes) -> None:
    if path.is_file() and path.read_bytes() == content:
        return
    # The dot keeps a half-written file from being taken for a delivery.
    partial = path.with_name(f".{path.name}.part")
    partial.write_bytes(content)
    partial.replace(path)
