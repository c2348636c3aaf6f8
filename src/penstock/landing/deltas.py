"""A source that is a Delta table of somebody else's: each of its days lands, and is corrected, as if it had come in a file of its own.

A day is called SOURCE@DAY. The cursor is the version of the table, kept in `files_SOURCE`; a run looks only at days that commits
since then touch, as the change feed tells, and at those that have become due since. Without a feed all days are counted, at one
version, and compared with what has landed. Rows that tell no day belong to the first day that the table had when it first landed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from penstock import clock
from penstock.errors import DataError
from penstock.lake import tables
from penstock.lake.contract import Contract, known_from
from penstock.lake.delta import quoted
from penstock.lake.external import ExternalTable, TableState
from penstock.landing import plain
from penstock.landing.arrivals import Arrival, Chosen, Found, Span, decide
from penstock.landing.contents import DAY, EMPTY, Content, contents_of, with_undated
from penstock.landing.landed import Landed, unlisted
from penstock.landing.parts import part_name
from penstock.landing.rows import typed_columns
from penstock.stage import Run

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Cursor:
    """How far a table has been read: its history's name here, the version (-1 for none), the `as_of` of that landing, and the first day ever."""

    table: str
    version: int
    reach: datetime | None
    first: date | None


def table_of(run: Run, source: str) -> ExternalTable:
    """Where a source's table is: as the settings say, else the contract, else a folder of its name in the landing folder."""
    name = run.settings.sources.get(source) or run.contract_of(source).table_name
    return ExternalTable(name, f"{run.landing if '://' in run.landing else Path(run.landing).absolute()}/{source}")


def choose(run: Run, source: str, landed: Landed) -> Chosen:
    """The days whose rows are not those that have landed. Raises DataError when the table does not fit the contract, or was emptied."""
    table = table_of(run, source)
    state = table.state(run.lake.spark)
    cursor = _cursor(run, tables.files(source), state)
    begun = frozenset[str]() if landed.clean else unlisted(run, source)
    to = _version_of(begun, state)
    asked = _asked(run, source, table, cursor, to, feed=state.feed)
    if asked is not None and not asked:
        return Chosen((), ())
    rows = _dated(run, source, table, to, _with_first(asked, cursor.first))
    found, first = with_undated(contents_of(rows), cursor.first)
    if None in found:
        raise _unfit(source, table, [f"no row has a day in column {run.contract_of(source).known_column!r}"])
    gone = {day for name in landed.digests if (day := _day(name)) not in found and (asked is None or day in asked)}
    if gone and not found and not table.read(run.lake.spark, to).take(1):
        raise DataError(
            f"table {table}", got="no row", expected=f"those of {len(gone)} days that have landed", left="Nothing landed",
            next="write them again; rows of single days may be deleted, but an empty table is taken for a fault",
        )  # fmt: skip
    contents = {day: content for day, content in found.items() if day is not None} | dict.fromkeys(gone, Content())
    arrivals = decide(_changed(run, source, contents, landed.digests, to, first), {}, landed.last, run.as_of)
    _require_adopted(table, begun, arrivals)
    return Chosen(arrivals, tuple((None, a.file.rows) for a in arrivals), Span(cursor.version, to, cursor.table))


def parsed(run: Run, source: str, arrivals: Sequence[Arrival], span: Span | None) -> DataFrame:
    """The rows of the arrivals' days at the version of the span, as text with `ROW_COLUMNS`. Rows of a day are numbered in order of their text."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    assert span is not None
    contract = run.contract_of(source)
    first = arrivals[0].file.first
    days = frozenset(a.file.day for a in arrivals)
    rows = _dated(run, source, table_of(run, source), span.to, _with_first(days, first))
    wanted = [(a.file.day, a.file.name, a.file.digest, a.known_at) for a in arrivals]
    named = run.lake.spark.createDataFrame(wanted, f"{DAY} date, _file string, _file_digest string, _known_at timestamp")
    own = rows.withColumn(DAY, F.coalesce(DAY, F.lit(first))).join(F.broadcast(named), on=DAY, how="inner")
    names = [column.name for column in contract.columns]
    # Equal rows change places at will: nobody could tell.
    order = Window.partitionBy("_file").orderBy(*names).rowsBetween(Window.unboundedPreceding, Window.currentRow)
    numbered = own.withColumn("_row", F.row_number().over(order).cast("bigint"))
    return numbered.select(*names, "_file", "_row", "_file_digest", "_known_at", F.lit(None).cast("string").alias("_parse_error"))


def _cursor(run: Run, files: tables.Table, state: TableState) -> Cursor:
    """The cursor, from what has landed. A table that was made anew, or put back to an earlier time, begins another history."""
    from pyspark.sql import functions as F

    new = Cursor(f"1:{state.id}", -1, None, None)
    if not run.lake.exists(files):
        return new
    at = F.struct("_to_version", "landed_as_of")
    listed = run.lake.read(files).groupBy("_table").agg(
        F.max("_to_version").alias("version"),
        F.unix_micros(F.max_by("landed_as_of", at)).alias("reach"),
        F.min_by("day", F.struct("_to_version", "day")).alias("first"),
    )  # fmt: skip
    # A landing that was killed may have left the table without a row.
    histories = sorted(listed.collect(), key=lambda row: int(row["_table"].split(":")[0]))
    if not histories:
        return new
    last = histories[-1]
    number, _, own = last["_table"].partition(":")
    if own == state.id and last["version"] <= state.version:
        return Cursor(last["_table"], last["version"], clock.from_epoch(last["reach"]), histories[0]["first"])
    return Cursor(f"{int(number) + 1}:{state.id}", -1, None, histories[0]["first"])


def _version_of(begun: frozenset[str], state: TableState) -> int:
    """The version to read: the newest, or that of a killed landing, which is finished before anything else."""
    return max((int(digest.rpartition("@")[2]) for digest in begun), default=state.version)


def _asked(
    run: Run, source: str, table: ExternalTable, cursor: Cursor, to: int, *, feed: bool
) -> frozenset[date | None] | None:  # fmt: skip
    """The days to look at, None among them for rows that tell none; None for all of the table. Of a version that was read before: those newly due."""
    if cursor.version < 0 or cursor.reach is None or (to > cursor.version and not feed):
        return None
    due = due_between(run.contract_of(source), cursor.reach, run.as_of)
    if to <= cursor.version:
        return due
    _fitting(run, source, table, to)

    def days(rows: DataFrame) -> frozenset[date | None]:
        dated = _with_day(rows, run.contract_of(source))
        return frozenset(row[0] for row in dated.select(DAY).distinct().collect())

    changed = table.from_feed(run.lake.spark, cursor.version, to, days)
    return None if changed is None else changed | due


def due_between(contract: Contract, after: datetime, as_of: datetime) -> frozenset[date]:
    """The days that could be read at `as_of` and could not yet at the instant `after`."""
    latency = timedelta(days=contract.latency_days)
    first, last = (clock.local_day(at, contract.timezone) - latency for at in (after, as_of))
    return frozenset(clock.days_between(first + timedelta(days=1), last + timedelta(days=1))) if first < last else frozenset()


def _with_first(asked: frozenset[date | None] | None, first: date | None) -> frozenset[date | None] | None:
    """The first day and the rows without a day are looked at together."""
    return asked if asked is None or asked.isdisjoint({first, None}) else asked | {first, None}


def _dated(run: Run, source: str, table: ExternalTable, version: int, days: frozenset[date | None] | None) -> DataFrame:
    """The table's rows at a version, of some days or all, as text with the day of each. Raises DataError when it does not fit the contract."""
    from pyspark.sql import functions as F

    contract, rows = run.contract_of(source), _fitting(run, source, table, version)
    if days is None:
        return _with_day(rows, contract)
    known = sorted(day for day in days if day is not None)
    dated = _with_day(_around(rows, contract, known), contract)
    wanted = F.col(DAY).isin(known)
    return dated.where(wanted | F.col(DAY).isNull() if None in days else wanted)


def _fitting(run: Run, source: str, table: ExternalTable, version: int) -> DataFrame:
    """The table's rows at a version. Raises DataError when its columns do not fit the contract."""
    rows = table.read(run.lake.spark, version)
    if faults := plain.faults_of(rows.schema, run.contract_of(source)):
        raise _unfit(source, table, faults)
    return rows


def _with_day(rows: DataFrame, contract: Contract) -> DataFrame:
    """The rows as text, with the local day that each tells: that of its typed value, so that no reader can differ."""
    from pyspark.sql import functions as F

    column = next(c for c in contract.columns if c.name == contract.known_column)
    typed = typed_columns(contract)[column.name]
    day = typed if column.type == "date" else F.to_date(F.from_utc_timestamp(typed, contract.timezone))
    return plain.texts(rows, contract).withColumn(DAY, day)


def _around(rows: DataFrame, contract: Contract, days: Sequence[date]) -> DataFrame:
    """The rows near some days, by a condition that Delta can skip files by; whatever cannot be told so stays."""
    from pyspark.sql import functions as F

    physical = next(c.physical_name for c in contract.columns if c.name == contract.known_column)
    kind = next(field.dataType.simpleString() for field in rows.schema if field.name == physical)
    if not days or kind not in {"date", "timestamp", "timestamp_ntz"}:
        return rows
    value = F.col(quoted(physical))
    # No time zone is further than a day away from that of the values.
    first, end = F.lit(days[0] - timedelta(days=1)).cast(kind), F.lit(days[-1] + timedelta(days=2)).cast(kind)
    return rows.where(((value >= first) & (value < end)) | value.isNull())


def _changed(
    run: Run, source: str, contents: Mapping[date, Content], landed: Mapping[str, str], to: int, first: date | None
) -> tuple[Found, ...]:
    """The days that could be read at `as_of` and whose rows are not those that landed last."""
    contract, found = run.contract_of(source), []
    for day, content in sorted(contents.items()):
        name, declared = part_name(source, day), known_from(contract, day)
        if declared <= run.as_of and landed.get(name, EMPTY).partition("@")[0] != content.digest:
            # The version stands beside the digest, so that a killed landing can be finished from the very rows that it began with.
            found.append(Found(name, "", f"{content.digest}@{to}", day, declared, first=first, rows=content.rows))
    return tuple(found)


def _require_adopted(table: ExternalTable, begun: frozenset[str], arrivals: Sequence[Arrival]) -> None:
    """Raise DataError when rows that a killed landing left cannot be had again: others beside them would count twice."""
    if lost := begun - {a.file.digest for a in arrivals}:
        raise DataError(
            f"table {table}",
            got=f"other rows of {len(lost)} days than a killed landing began to land, or days not due yet",
            expected=f"version {max(digest.rpartition('@')[2] for digest in lost)} as it was, and an as_of not before that landing's",
            left="The killed landing is not finished; nothing more landed",
            next="run again with that as_of, or later",
        )


def _unfit(source: str, table: ExternalTable, faults: Sequence[str]) -> DataError:
    return DataError(
        f"table {table} against contracts/{source}.yml",
        got="; ".join(faults[:10]) + (f"; and {len(faults) - 10} more" if len(faults) > 10 else ""),
        expected="the contract's columns, of plain values",
        left="Nothing landed",
        next="change the table, or the contract",
    )


def _day(name: str) -> date:
    return date.fromisoformat(name.rpartition("@")[2])
