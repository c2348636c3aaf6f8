"""One source of the land stage: new files, judged as files, as rows and as a batch, become landed and quarantined rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from penstock import clock
from penstock.errors import DataError
from penstock.lake import tables
from penstock.lake.contract import Contract
from penstock.landing import check, read, rows
from penstock.landing.arrivals import Arrival, Found, decide, files_in, look, parts_of
from penstock.landing.layout import layout_of
from penstock.stage import Report, Run, source_job

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Plan:
    """The files of a source to land. Of `landed` and `quarantined` a killed run has left the rows here already, with nothing told of them yet."""

    source: str
    arrivals: tuple[Arrival, ...]
    sizes: tuple[tuple[int, int], ...]
    landed: frozenset[str]
    quarantined: frozenset[str]


def source_tables(contract: Contract, source: str) -> tuple[tables.Table, tables.Table, tables.Table]:
    """The quarantine, landing and files table of a source, in the order in which they are written."""
    raw = [column.name for column in contract.columns]
    return tables.quarantine(source, raw), tables.landing(source, contract.lake_columns), tables.files(source)


def plan(run: Run, source: str) -> Plan:
    """Which files are new. Raises DataError with all faults of all new files: a bad file stops the landing whole."""
    contract = run.contract_of(source)
    quarantine, landing, files = source_tables(contract, source)
    current, last = _known(run, files)
    arrivals, sizes = (_parts if contract.known_column else _whole)(run, source, current, last)
    clean = run.leases[run.jobs[source_job(source)]].clean if run.leases else True
    arrivals, landed = (arrivals, frozenset[str]()) if clean else _adopt(run, files, landing, arrivals)
    quarantined = frozenset[str]() if clean else _adopt(run, files, quarantine, arrivals)[1]
    return Plan(source, arrivals, sizes, landed, quarantined)


Chosen = tuple[tuple[Arrival, ...], tuple[tuple[int, int], ...]]
"""Arrivals, and the bytes and rows of each."""


def _whole(run: Run, source: str, current: Mapping[str, str], last: datetime | None) -> Chosen:
    """Files that have a day each."""
    contract = run.contract_of(source)
    found = look(f"{run.landing}/{source}", contract, run.as_of)
    arrivals = decide(found, current, last, run.as_of)
    facts = [read.inspect(arrival.file.path, layout=layout_of(contract)) for arrival in arrivals]
    _require_sound(source, contract, facts)
    return arrivals, tuple((f.bytes, f.rows) for f in facts)


def _parts(run: Run, source: str, current: Mapping[str, str], last: datetime | None) -> Chosen:
    """Days of files whose rows tell them. The bytes of a file are told with the first of its parts that arrives."""
    contract = run.contract_of(source)
    layout = layout_of(contract)
    facts = [read.inspect(path, layout=layout) for path in files_in(f"{run.landing}/{source}", contract)]
    _require_sound(source, contract, facts)
    arrivals = decide(parts_of(facts, contract, run.as_of), current, last, run.as_of)
    first = {arrival.file.path: arrival for arrival in reversed(arrivals)}
    sizes = {file.path: file.bytes for file in facts}
    return arrivals, tuple((sizes[a.file.path] if first[a.file.path] is a else 0, a.file.rows) for a in arrivals)


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


def apply(run: Run, chosen: Plan) -> Report:
    """Judge the rows, then write quarantine, landing and files, each once."""
    source = chosen.source
    contract, job = run.contract_of(source), source_job(source)
    quarantine, landing, files = source_tables(contract, source)
    if not chosen.arrivals:
        return Report("land", "nothing", "no new file", {"files": 0, "landed": 0, "quarantined": 0})
    for table in (quarantine, landing):  # the contract may have got another column since
        run.lake.fit(table)
    checked = _checked(run, source, chosen.arrivals)
    counts = rows.file_facts(checked, contract)
    told = {c.file: c.rows for c in counts}
    for arrival, (_, expected) in zip(chosen.arrivals, chosen.sizes, strict=True):
        if told.get(arrival.file.name) != expected:  # two readers that disagree: neither is to be believed
            raise DataError(
                f"landing file {arrival.file.name}",
                got=f"{told.get(arrival.file.name, 0)} rows",
                expected=f"{expected}, as counted before",
                left="Nothing landed",
            )
    _judge(source, contract, checked, counts)
    run.progress.step("land.checked", sum(c.rows for c in counts))
    identity = sorted((a.file.name, a.file.digest, str(a.known_at)) for a in chosen.arrivals)
    refused = sum(c.rejected for c in counts)
    outputs = {}
    if any(c.rejected and c.file not in chosen.quarantined for c in counts):
        done = run.append(job, quarantine, "land", identity, _new(run, rows.rejected(checked, contract), chosen.quarantined))
        outputs[quarantine.name] = done.version
        run.progress.step("land.quarantined", done.rows)
    if any(a.file.name not in chosen.landed for a in chosen.arrivals):
        done = run.append(job, landing, "land", identity, _new(run, rows.accepted(checked, contract), chosen.landed))
        outputs[landing.name] = done.version
        run.progress.step("land.appended", done.rows)
    done = run.append(job, files, "land", identity, _files(run, chosen, counts, files))
    outputs[files.name] = done.version
    run.progress.step("land.listed", done.rows)
    total = {"files": len(chosen.arrivals), "landed": sum(c.accepted for c in counts), "quarantined": refused}
    late = sum(a.late for a in chosen.arrivals)
    noun = "day" if contract.known_column else "file"
    text = f"{_counted(total['files'], noun)}, {_counted(total['landed'], 'row')} landed, {refused:,} quarantined"
    text += f", {_counted(late, noun)} late" if late else ""
    return Report("land", "done", text, total, {}, outputs)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _known(run: Run, files: tables.Table) -> tuple[dict[str, str], datetime | None]:
    """Each file's present digest, and the instant up to which landing has been done for this source."""
    from pyspark.sql import functions as F

    if not run.lake.exists(files):
        return {}, None
    newest = F.max_by("_file_digest", "_known_at").alias("digest")
    reach = F.unix_micros(F.max(F.greatest("landed_as_of", "_known_at"))).alias("reach")
    found = run.lake.read(files).groupBy("_file").agg(newest, reach).collect()
    instants = [clock.from_epoch(row["reach"]) for row in found]
    # A landing that found no file is known from the ledger alone: what came after it is late all the same.
    if run.lake.exists(tables.LEDGER):
        done = (F.col("stage") == "land") & (F.col("status") == "done") & (F.col("pipeline") == run.pipeline.name)
        looked = run.lake.read(tables.LEDGER).where(done).agg(F.unix_micros(F.max("as_of"))).collect()[0][0]
        instants += [] if looked is None else [clock.from_epoch(looked)]
    return {row["_file"]: row["digest"] for row in found}, max(instants, default=None)


def _adopt(run: Run, files: tables.Table, table: tables.Table, arrivals: Sequence[Arrival]) -> tuple[tuple[Arrival, ...], frozenset[str]]:
    """After a killed run: the arrivals whose rows are in the table already, under the known time that was given to them then."""
    from pyspark.sql import functions as F

    if not arrivals or not run.lake.exists(table):
        return tuple(arrivals), frozenset()
    digests = {a.file.digest: a for a in arrivals}
    listed = run.lake.read(files).select("_file", "_known_at") if run.lake.exists(files) else None
    there = run.lake.read(table).where(F.col("_file_digest").isin(list(digests))).select("_file", "_file_digest", "_known_at").distinct()
    if listed is not None:
        there = there.join(listed, on=["_file", "_known_at"], how="left_anti")
    given = {
        (r["_file"], r["_file_digest"]): clock.from_epoch(r["at"])
        for r in there.select("_file", "_file_digest", F.unix_micros("_known_at").alias("at")).collect()
    }
    known = [given.get((a.file.name, a.file.digest)) for a in arrivals]
    adopted = tuple(Arrival(a.file, at, at != a.file.declared) if at else a for a, at in zip(arrivals, known, strict=True))
    return adopted, frozenset(a.file.name for a, at in zip(arrivals, known, strict=True) if at)


def _checked(run: Run, source: str, arrivals: Sequence[Arrival]) -> DataFrame:
    """The rows with their reasons, parsed once: they are read four times (counts, expectations, quarantine, landing)."""
    contract = run.contract_of(source)
    files = run.lake.spark.createDataFrame(_readings(arrivals), _ddl(read.FILE_COLUMNS))
    lazy = rows.checked(files.mapInArrow(read.parser(contract), _ddl(read.parsed_columns(contract))), contract)
    checked = run.staged(f"land-{source}", lazy)
    run.progress.step("land.parsed")
    return checked


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


def _judge(source: str, contract: Contract, checked: DataFrame, counts: Sequence[rows.FileCounts]) -> None:
    """Raise DataError when too many rows are bad, or the batch breaks an expectation."""
    total = sum(c.rows for c in counts)
    refused = sum(c.rejected for c in counts)
    where = f"batch of {source}, {counts[0].file if len(counts) == 1 else f'{len(counts)} files'}"
    if refused > contract.max_rejected_share * total:
        most = max(counts, key=lambda count: count.rejected).file
        worst = sorted(((n, name) for name, n in _sum(counts).items() if n and (":" in name or name in _errors(contract))), reverse=True)
        raise DataError(
            where,
            got=f"{refused:,} of {total:,} rows refused ({', '.join(f'{name} {n:,}' for n, name in worst[:5])}), most of them in {most}",
            expected=f"at most {contract.max_rejected_share:.1%}",
            left="Nothing landed",
            next=f"deliver the files again, or change maxRejectedShare in contracts/{source}.yml",
        )
    failed = [
        *check.validate(checked, contract).failed,
        *(e for e in check.judge_counts(contract, tuple(counts)) if e.decides and not e.success),
    ]
    if failed:
        named = "; ".join(f"{e.expectation}({e.column}){' ' + e.error if e.error else ''}" for e in failed)
        raise DataError(
            where,
            got=f"failed {named}",
            expected="every expectation of the contract",
            left="Nothing landed",
            next="deliver the files again, or change the contract",
        )


def _errors(contract: Contract) -> set[str]:
    return {"parse_error", *(r.name for r in contract.row_rules if r.severity == "error")}


def _sum(counts: Sequence[rows.FileCounts]) -> dict[str, int]:
    total: dict[str, int] = {}
    for count in counts:
        for name, n in count.checks.items():
            total[name] = total.get(name, 0) + n
    return total


def _files(run: Run, chosen: Plan, counts: Sequence[rows.FileCounts], table: tables.Table) -> DataFrame:
    found: Mapping[str, rows.FileCounts] = {c.file: c for c in counts}
    told: list[tuple[Any, ...]] = []
    for arrival, (size, _) in zip(chosen.arrivals, chosen.sizes, strict=True):
        file, count = arrival.file, found[arrival.file.name]
        kept = (count.rows, count.accepted, count.rejected, dict(count.checks))
        told.append((file.name, file.digest, arrival.known_at, file.day, run.as_of, arrival.late, size, *kept, run.run_id))
    return run.lake.spark.createDataFrame(told, _ddl(table.columns))


def _new(run: Run, frame: DataFrame, there: frozenset[str]) -> DataFrame:
    """The rows of the files that are not there yet."""
    from pyspark.sql import functions as F

    rest = frame.where(~F.col("_file").isin(sorted(there))) if there else frame
    return rest.withColumn("run_id", F.lit(run.run_id))


def _ddl(columns: Sequence[tables.Column]) -> str:
    return ", ".join(f"`{name}` {kind}" for name, kind in columns)
