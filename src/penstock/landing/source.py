"""One source of the land stage: new files or days of a table, judged as such, as rows and as a batch, become landed and quarantined rows.

What has arrived, and its rows as text, is the business of the source's kind (`files`, `deltas`); all else is the same for each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from penstock.errors import DataError, UsageError
from penstock.lake import tables
from penstock.lake.contract import Contract
from penstock.landing import check, deltas, files, rows
from penstock.landing.arrivals import Arrival, Chosen, Span
from penstock.landing.landed import Landed, adopt, look
from penstock.landing.parts import is_day_of
from penstock.stage import Report, Run, source_job

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Plan:
    """The files or days of a source to land. Of `landed` and `quarantined` a killed run has left the rows here already, with nothing told of them yet."""

    source: str
    arrivals: tuple[Arrival, ...]
    sizes: tuple[tuple[int | None, int], ...]
    landed: frozenset[str]
    quarantined: frozenset[str]
    span: Span | None = None


def source_tables(contract: Contract, source: str) -> tuple[tables.Table, tables.Table, tables.Table]:
    """The quarantine, landing and files table of a source, in the order in which they are written."""
    raw = [column.name for column in contract.columns]
    return tables.quarantine(source, raw), tables.landing(source, contract.lake_columns), tables.files(source)


def plan(run: Run, source: str) -> Plan:
    """What is new. Raises DataError with all faults of all that is: a bad file stops the landing whole."""
    contract = run.contract_of(source)
    quarantine, landing, listed = source_tables(contract, source)
    clean = run.leases[run.jobs[source_job(source)]].clean if run.leases else True
    before = look(run, listed, clean=clean)
    _require_kind(source, contract, before.digests)
    found = _kind(contract).choose(run, source, before)
    if clean:
        return Plan(source, found.arrivals, found.sizes, frozenset(), frozenset(), found.span)
    # Either table may hold the known time that was given: all of an arrival's rows have the same one.
    arrivals, there = adopt(run, listed, landing, found.arrivals)
    arrivals, quarantined = adopt(run, listed, quarantine, arrivals)
    return Plan(source, arrivals, found.sizes, there, quarantined, found.span)


class Kind(Protocol):
    """What each kind of source offers, as a module: what has arrived, and its rows."""

    def choose(self, run: Run, source: str, landed: Landed) -> Chosen:
        """What is to land. Raises DataError for what cannot."""

    def parsed(self, run: Run, source: str, arrivals: Sequence[Arrival], span: Span | None) -> DataFrame:
        """The rows of the arrivals: the contract's columns as text under their lake names, and `ROW_COLUMNS`."""


def _kind(contract: Contract) -> Kind:
    return deltas if contract.file_format == "delta" else files


def _require_kind(source: str, contract: Contract, digests: Mapping[str, str]) -> None:
    """Raise UsageError when what landed before came from files and now is a table, or the other way: neither supersedes the other."""
    is_table = contract.file_format == "delta"
    odd = next((name for name in sorted(digests) if is_day_of(name, source) != is_table), None)
    if odd is not None:
        raise UsageError(
            f"schema.physicalType in contracts/{source}.yml",
            got=contract.file_format,
            expected=f"what {odd} landed from: a table's days do not take the place of files, and every row would count twice",
            left="Nothing landed",
            next="give the contract and the source another name",
        )


def apply(run: Run, chosen: Plan) -> Report:
    """Judge the rows, then write quarantine, landing and files, each once."""
    source = chosen.source
    contract, job = run.contract_of(source), source_job(source)
    quarantine, landing, listed = source_tables(contract, source)
    noun = "day" if contract.known_column else "file"
    if not chosen.arrivals:
        return Report("land", "nothing", f"no new {noun}", {"files": 0, "landed": 0, "quarantined": 0})
    for table in (quarantine, landing, listed):  # the contract may have got another column since
        run.lake.fit(table)
    checked = _checked(run, chosen)
    counts = _counts(checked, contract, chosen.arrivals)
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
    done = run.append(job, listed, "land", identity, _listed(run, chosen, counts, listed))
    outputs[listed.name] = done.version
    run.progress.step("land.listed", done.rows)
    total = {"files": len(chosen.arrivals), "landed": sum(c.accepted for c in counts), "quarantined": refused}
    late = sum(a.late for a in chosen.arrivals)
    text = f"{_counted(total['files'], noun)}, {_counted(total['landed'], 'row')} landed, {refused:,} quarantined"
    text += f", {_counted(late, noun)} late" if late else ""
    return Report("land", "done", text, total, {}, outputs)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _checked(run: Run, chosen: Plan) -> DataFrame:
    """The rows with their reasons, parsed once: they are read four times (counts, expectations, quarantine, landing)."""
    contract = run.contract_of(chosen.source)
    parsed = _kind(contract).parsed(run, chosen.source, chosen.arrivals, chosen.span)
    checked = run.staged(f"land-{chosen.source}", rows.checked(parsed, contract))
    run.progress.step("land.parsed")
    return checked


def _counts(checked: DataFrame, contract: Contract, arrivals: Sequence[Arrival]) -> tuple[rows.FileCounts, ...]:
    """What is in each arrival, in order of name; one that has no row (a table's day that was emptied) has zeros."""
    found = {count.file: count for count in rows.file_facts(checked, contract)}
    zeros = dict.fromkeys(rows.check_names(contract), 0)
    empty = {a.file.name: rows.FileCounts(a.file.name, 0, 0, 0, zeros) for a in arrivals if a.file.name not in found}
    return tuple(count for _, count in sorted((found | empty).items()))


def _judge(source: str, contract: Contract, checked: DataFrame, counts: Sequence[rows.FileCounts]) -> None:
    """Raise DataError when too many rows are bad, or the batch breaks an expectation."""
    total = sum(c.rows for c in counts)
    if not total:  # days that were emptied: there is nothing to judge
        return
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


def _listed(run: Run, chosen: Plan, counts: Sequence[rows.FileCounts], table: tables.Table) -> DataFrame:
    found: Mapping[str, rows.FileCounts] = {c.file: c for c in counts}
    versions = (chosen.span.after + 1, chosen.span.to, chosen.span.table) if chosen.span else (None, None, None)
    told: list[tuple[Any, ...]] = []
    for arrival, (size, _) in zip(chosen.arrivals, chosen.sizes, strict=True):
        file, count = arrival.file, found[arrival.file.name]
        kept = (count.rows, count.accepted, count.rejected, dict(count.checks))
        told.append((file.name, file.digest, arrival.known_at, file.day, run.as_of, arrival.late, size, *kept, run.run_id, *versions))
    return run.lake.spark.createDataFrame(told, tables.ddl(table.columns))


def _new(run: Run, frame: DataFrame, there: frozenset[str]) -> DataFrame:
    """The rows of the files that are not there yet."""
    from pyspark.sql import functions as F

    rest = frame.where(~F.col("_file").isin(sorted(there))) if there else frame
    return rest.withColumn("run_id", F.lit(run.run_id))
