"""A table seen for the first time: its columns with types, ranges and gaps, whom it is about, and over which days. No Spark."""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from penstock.errors import UsageError
from penstock.landing import columnar
from penstock.landing.layout import Layout, Tally
from penstock.landing.read import inspect, values
from penstock.landing.streams import Source, plain
from penstock.orchestrate.table_days import Days, days_seen
from penstock.orchestrate.table_types import TEXT, Kind, absent_sql, kind_of, nearly_time, no_values, numbers, shape, time_of, without

SAMPLE, MOST = 200_000, 5_000_000
"""Rows from which types and ranges are told, and rows from which days and entities are."""

_FORMATS = ((r"\.csv(\.gz|\.zst)?$", "csv"), (r"\.(json|jsonl|ndjson)(\.gz|\.zst)?$", "json"), (r"\.parquet$", "parquet"))
_TAKEN = frozenset(
    [
        "as_of",
        "score",
        "model_version",
        "promotion",
        "role",
        "backfill",
        "is_control",
        "scored_at",
        "band",
        "is_active",
        "updated_at",
        "run_id",
        "label",
        "state",
        "matured_at",
        "revision",
        "hop",
        "known_at",
        "events",
        "risk_band",
    ]
)
"""Names that the lake's own tables give to columns beside a key or a source's columns."""


@dataclass(frozen=True)
class Column:
    """One column: as it is called in the file and in the lake, its kind, and what the sample shows of it."""

    physical: str
    name: str
    kind: Kind
    rows: int
    nulls: int
    distinct: int
    low: float | None
    high: float | None
    longest: int

    @property
    def is_number(self) -> bool:
        """Whether it can be summed."""
        return self.kind.type in {"int", "bigint", "double"} or self.kind.type.startswith("decimal")


@dataclass(frozen=True)
class Profile:
    """What `penstock init` knows of a table."""

    files: tuple[Path, ...]
    format: str
    delimiter: str
    comma: bool
    rows: int
    sampled: int
    columns: tuple[Column, ...]
    entity: tuple[Column, ...]
    event_time: Column
    days: Days
    malformed: int
    """Rows that have no values at all, and `fault` why the first has none."""
    fault: str


def look_at(files: Sequence[Path], entity: Sequence[str], event_time: str, timezone: str) -> Profile:
    """The profile of a table in one or more files. Raises UsageError for whatever keeps it from being one that events can be told from."""
    format_ = _format(files)
    delimiter = _delimiter(files[0]) if format_ == "csv" else ","
    header, rows = _header(files, Layout(format=format_, delimiter=delimiter))
    for name in (*entity, event_time):
        _require_column(name, header)
    layout = Layout(tuple((name, name) for name in header), ("",) * len(header), format_, delimiter)
    names, sample = lake_names(header), _sample(files, layout)
    if not len(sample[0]):
        raise UsageError("--source", got="no row that can be read", expected="a table with a header and rows")
    typed = _typed(files, format_)
    kinds = {name: _kind(sample[at], typed.get(name)) for at, name in enumerate(header)}
    time_kind = _time_kind(event_time, sample[header.index(event_time)], kinds[event_time], format_)
    kinds[event_time] = replace(time_kind, missing=())  # who has no time has no day: quarantine
    for name in entity:  # whoever is named is not counted: 17850 is a name
        kinds[name] = _key_kind(kinds[name], names[name], sample[header.index(name)])
    sample = [without(column, kinds[name].missing) for name, column in zip(header, sample, strict=True)]
    comma = any(kind.comma for kind in kinds.values())
    kinds = {name: _with_sign(kind, comma) for name, kind in kinds.items()}
    columns = tuple(_column(name, names[name], kinds[name], sample[at]) for at, name in enumerate(header))
    by_name = {column.physical: column for column in columns}
    absent = [kinds[name].missing for name in entity]
    picked = replace(layout, names=tuple((n, n) for n in (*entity, event_time)), kinds=("",) * len(entity) + (kinds[event_time].type,))
    malformed: list[str] = []
    blocks = ([*map(without, block, absent), block[-1]] for block in _blocks(files, picked, MOST, malformed))
    days = days_seen(blocks, kinds[event_time], timezone, entity)
    return Profile(
        tuple(files), format_, delimiter, comma, rows, min(rows, SAMPLE), columns,
        tuple(by_name[n] for n in entity), by_name[event_time], days, len(malformed), malformed[0] if malformed else "",
    )  # fmt: skip


def lake_names(header: Sequence[str]) -> dict[str, str]:
    """File name → snake_case name for the lake, each once."""
    found: dict[str, str] = {}
    for physical in header:
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", physical)
        name = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")[:48].strip("_") or "column"
        name = f"c_{name}" if not name[0].isalpha() else name
        name = f"{name}_value" if name in _TAKEN else name
        unique, number = name, 2
        while unique in found.values():
            unique, number = f"{name}_{number}", number + 1
        found[physical] = unique
    return found


def _format(files: Sequence[Path]) -> str:
    found = []
    for path in files:
        if (path / "_delta_log").is_dir():
            raise UsageError(
                f"--source {path.name}",
                got="a Delta table",
                expected="a file to look at",
                next="write some months of it as one Parquet file, and afterwards physicalType: delta into the contract that is made of that",
            )
        if not path.is_file():
            beside = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*")] if path.parent.is_dir() else [], n=1)
            near = [path / p.name for p in sorted(path.glob("*.*"))] if path.is_dir() else [path.parent / name for name in beside]
            got = f"a folder, {path}" if path.is_dir() else f"no file {path}"
            raise UsageError("--source", got=got, expected="one file or several", next=f"--source {near[0]}" if near else "")
        format_ = next((name for pattern, name in _FORMATS if re.search(pattern, path.name)), None)
        if format_ is None:
            raise UsageError(
                f"--source {path.name}",
                got="a name that tells no format",
                expected=".csv, .json, .jsonl or .ndjson (also .gz, .zst), or .parquet",
            )
        found.append(format_)
    if len(set(found)) > 1:
        raise UsageError("--source", got=f"files of {' and '.join(sorted(set(found)))}", expected="files of one format")
    return found[0]


def _delimiter(path: Path) -> str:
    """The sign that parts the first lines into the most columns, the same number in each."""
    source = Source(str(path.absolute()))
    try:
        head = plain(source.stream(), path.name).read(1 << 16).decode("utf-8-sig", errors="replace")
    except OSError:  # damaged: the reader of the header says how
        return ","
    lines = head[: head.rfind("\n") + 1] or head
    best, most = ",", 1
    for sign in (",", ";", "\t", "|"):
        widths = [len(record) for record in csv.reader(io.StringIO(lines, newline=""), delimiter=sign) if record][:20]
        if widths and len(set(widths)) == 1 and widths[0] > most:
            best, most = sign, widths[0]
    return best


def _header(files: Sequence[Path], layout: Layout) -> tuple[tuple[str, ...], int]:
    header: tuple[str, ...] = ()
    rows = 0
    for path in files:
        facts = inspect(str(path.absolute()), layout=layout)
        if facts.fault:
            fault, _, remedy = facts.fault.partition("; ")
            raise UsageError(f"--source {path.name}", got=f"a file that {fault}", expected="a table with a header and rows", next=remedy)
        if header and set(facts.header) != set(header) and layout.format != "json":
            odd = sorted(set(facts.header) ^ set(header))
            raise UsageError(
                f"--source {path.name}", got=f"other columns than in {files[0].name} ({', '.join(odd[:5])})", expected="the same"
            )
        header = header or facts.header
        header = (*header, *(name for name in facts.header if name not in header))
        rows += facts.rows
    folded = [name.strip().casefold() for name in header]
    twice = [name for name in header if folded.count(name.strip().casefold()) > 1]
    if twice or "" in folded:
        got = (
            f"columns that are called the same or differ only by case or blanks: {', '.join(twice)}"
            if twice
            else f"column {folded.index('') + 1} without a name"
        )
        raise UsageError(f"--source {files[0].name}", got=got, expected="a name for each column, once")
    return header, rows


def _require_column(name: str, header: Sequence[str]) -> None:
    if name not in header:
        near = difflib.get_close_matches(name.casefold(), [h.casefold() for h in header], n=3, cutoff=0.5)
        meant = [h for h in header if h.casefold() in near] or list(header[:10])
        raise UsageError(
            f"column {name}", got="none of this name", expected=f"one of {', '.join(meant)}{'' if near or len(header) < 11 else ', …'}"
        )


def _blocks(files: Sequence[Path], layout: Layout, most: int, malformed: list[str]) -> Iterator[list[pa.Array]]:
    """Columns as text, block by block; why a row has no values is put into `malformed`, once a row."""
    left = most
    for path in files:
        tally = Tally()
        for columns in values(str(path.absolute()), layout, tally):
            yield [column.slice(0, left) for column in columns]
            left -= len(columns[0])
            if left <= 0:
                break
        malformed += tally.malformed.values()
        if left <= 0:
            return


def _sample(files: Sequence[Path], layout: Layout) -> list[pa.ChunkedArray]:
    blocks = list(_blocks(files, layout, SAMPLE, []))
    return [pa.chunked_array([block[at] for block in blocks], pa.string()) for at in range(len(layout.names))]


def _typed(files: Sequence[Path], format_: str) -> dict[str, pa.DataType]:
    """Parquet's own types."""
    if format_ != "parquet":
        return {}
    with Source(str(files[0].absolute())).file() as file:
        return {field.name: field.type for field in pq.read_schema(file)}


def _kind(column: pa.ChunkedArray, type_: pa.DataType | None) -> Kind:
    given = columnar.lake_type(type_) if type_ is not None else None
    if given is None:
        return kind_of(pc.drop_null(column.unique().cast(pa.string())))
    if given == "timestamp" and type_ is not None and type_.tz is None:
        texts = pc.drop_null(column)
        if len(texts) and pc.all(pc.match_substring(texts, " 00:00:00")).as_py():
            return Kind("date", None)
    missing = no_values(column.unique().drop_null()) if given == "double" else ()  # what numpy writes for nothing
    return Kind(given, None, has_offset=given == "timestamp" and type_ is not None and type_.tz is not None, missing=missing)


def _key_kind(kind: Kind, name: str, column: pa.ChunkedArray) -> Kind:
    """A key's kind: whole numbers or text. A word for no value among names may be a name, which a person has to say."""
    if kind.type in {"int", "bigint"}:
        return kind
    words = no_values(column.unique().drop_null()) if not kind.missing else ()
    if not words:
        return replace(TEXT, note=kind.note, missing=kind.missing)
    rows = pc.sum(pc.is_in(column, pa.array(words))).as_py()
    meant = f"{rows:,} rows name {' or '.join(map(repr, words))}, taken for a name: if nobody is meant,"
    return replace(TEXT, note=f"{meant} put transformLogic: {absent_sql(name, words)} in place of required: true")


def _time_kind(name: str, column: pa.ChunkedArray, kind: Kind, format_: str) -> Kind:
    """The event time's kind. Raises UsageError when it is none, or when rows have none."""
    if kind.type in {"date", "timestamp"}:
        return kind
    texts = pc.drop_null(column.unique())
    texts = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    found = time_of(texts, compact=True) if len(texts) else None
    if found is None:
        if nearly := nearly_time(texts):
            form, other, count = nearly
            raise UsageError(
                f"--event-time {name}",
                got=f"{count:,} of {len(texts):,} different values that are no {form}, shaped like {other}",
                expected=f"{form} in every row",
                next="correct these rows or leave them out",
            )
        looks = f"values shaped like {shape(texts[0].as_py())}" if len(texts) else "no value at all"
        seconds = " (seconds since 1970 have to be written as times first)" if kind.type in {"int", "bigint"} else ""
        raise UsageError(
            f"--event-time {name}",
            got=f"{kind.type} with {looks}{seconds}",
            expected=f"dates or times in one format{'' if format_ == 'parquet' else ', such as 2023-01-31 10:15:00'}",
        )
    return found


def _with_sign(kind: Kind, comma: bool) -> Kind:
    """Files have one decimal sign: where it is the comma, numbers with a point are text."""
    numeric = kind.type == "double" or kind.type.startswith("decimal")
    if comma and numeric and not kind.comma:
        return Kind("string", note="numbers with a point, beside others with a comma")
    return kind


def _column(physical: str, name: str, kind: Kind, column: pa.ChunkedArray) -> Column:
    present = pc.drop_null(column)
    low = high = None
    if len(present) and (kind.type in {"int", "bigint", "double"} or kind.type.startswith("decimal")):
        ends = pc.min_max(numbers(present, kind)).as_py()
        low, high = ends["min"], ends["max"]
    longest = pc.max(pc.utf8_length(present)).as_py() if len(present) else 0
    return Column(physical, name, kind, len(column), column.null_count, pc.count_distinct(present).as_py(), low, high, longest)
