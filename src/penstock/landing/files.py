"""A source of files: which of them, or of their days, have arrived, and their rows as checked text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from penstock.errors import DataError
from penstock.lake import tables
from penstock.lake.contract import Contract
from penstock.landing import read
from penstock.landing.arrivals import Arrival, Chosen, Found, Span, decide, files_in, look, parts_of
from penstock.landing.landed import Landed
from penstock.landing.layout import layout_of
from penstock.stage import Run

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def choose(run: Run, source: str, landed: Landed) -> Chosen:
    """The new files, or days of files. Raises DataError with all faults of all new files."""
    return (_parts if run.contract_of(source).known_column else _whole)(run, source, landed)


def parsed(run: Run, source: str, arrivals: Sequence[Arrival], span: Span | None) -> DataFrame:
    """The rows of the arrivals as text, with `ROW_COLUMNS`."""
    del span
    contract = run.contract_of(source)
    files = run.lake.spark.createDataFrame(_readings(arrivals), tables.ddl(read.FILE_COLUMNS))
    return files.mapInArrow(read.parser(contract), tables.ddl(read.parsed_columns(contract)))


def _whole(run: Run, source: str, landed: Landed) -> Chosen:
    """Files that have a day each."""
    contract = run.contract_of(source)
    found = look(f"{run.landing}/{source}", contract, run.as_of)
    arrivals = decide(found, landed.digests, landed.last, run.as_of)
    facts = [read.inspect(arrival.file.path, layout=layout_of(contract)) for arrival in arrivals]
    _require_sound(source, contract, facts)
    return Chosen(arrivals, tuple((f.bytes, f.rows) for f in facts))


def _parts(run: Run, source: str, landed: Landed) -> Chosen:
    """Days of files whose rows tell them. The bytes of a file are told with the first of its parts that arrives."""
    contract = run.contract_of(source)
    layout = layout_of(contract)
    facts = [read.inspect(path, layout=layout) for path in files_in(f"{run.landing}/{source}", contract)]
    _require_sound(source, contract, facts)
    arrivals = decide(parts_of(facts, contract, run.as_of), landed.digests, landed.last, run.as_of)
    first = {arrival.file.path: arrival for arrival in reversed(arrivals)}
    sizes = {file.path: file.bytes for file in facts}
    return Chosen(arrivals, tuple((sizes[a.file.path] if first[a.file.path] is a else 0, a.file.rows) for a in arrivals))


def _require_sound(source: str, contract: Contract, facts: Sequence[read.FileFacts]) -> None:
    faults = [f"{f.name} {f.fault}" for f in facts if f.fault]
    faults += [f"{f.name}: {fault}" for f in facts if not f.fault for fault in read.compare_header(f.header, contract)]
    if faults:
        raise DataError(
            f"files of {source} against contracts/{source}.yml",
            got="; ".join(faults[:10]) + (f"; and {len(faults) - 10} more" if len(faults) > 10 else ""),
            expected="readable files with the contract's columns",
            left="Nothing landed",
            next="deliver the files again, or change the contract",
        )


def _readings(arrivals: Sequence[Arrival]) -> list[tuple[Any, ...]]:
    """A row of `FILE_COLUMNS` for each file to read: parts of one file are read together."""
    whole: list[tuple[Any, ...]] = [(a.file.name, a.file.path, a.file.digest, a.known_at, None, None) for a in arrivals if not a.file.whole]
    parts: dict[str, list[tuple[Any, ...]]] = {}
    files: dict[str, Found] = {}
    for a in arrivals:
        if a.file.whole:
            parts.setdefault(a.file.path, []).append((a.file.day, a.file.name, a.file.digest, a.known_at))
            files[a.file.path] = a.file
    return whole + [(f.name.rpartition("@")[0], path, f.whole, None, parts[path], f.first) for path, f in files.items()]
