"""A source that is a Delta table of somebody else's: each of its days lands, and is corrected, as if it had come in a file of its own.

A day is called SOURCE@DAY. The cursor is the version of the table, kept in `files_SOURCE`; a run looks only at days that commits
since then touch, as the change feed tells, and at those that have become due since. Without a feed all days are counted, at one
version, and compared with what has landed. Rows that tell no day belong to the first day that the table had when it first landed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from penstock import clock
from penstock.errors import DataError
from penstock.lake import tables
from penstock.lake.contract import Contract, known_from
from penstock.lake.delta import ExternalTable, TableState, quoted
from penstock.landing import plain
from penstock.landing.arrivals import Arrival, Chosen, Found, Span, decide
from penstock.landing.landed import Landed
from penstock.landing.parts import part_name
from penstock.landing.rows import typed_columns
from penstock.stage import Run

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

DAY = "__day"


@dataclass(frozen=True)
class Cursor:
    """How far a table has been read: its history's name here, the version (-1 for none), the `as_of` of that landing, and the first day ever."""

    table: str
    version: int
    reach: datetime | None
    first: date | None


@dataclass(frozen=True)
class Content:
    """A day's rows: their number, and two sums of hashes of their text."""

    rows: int = 0
    one: int = 0
    two: int = 0

    def __add__(self, other: Content) -> Content:
        """The rows of both."""
        return Content(self.rows + other.rows, self.one + other.one, self.two + other.two)

    @property
    def digest(self) -> str:
        """64 hex digits, the same for the same rows whatever their order.

        Two days with equal digests that are not equal would need two sums of 64-bit hashes (xxhash64 under two seeds) to agree:
        about one in 2**128 for changes that happen. The hash is no cryptographic one: who means to can find such rows, and
        would keep a changed day from landing again, which they could as well do by not writing it.
        """
        return hashlib.sha256(f"{self.rows} {self.one} {self.two}".encode()).hexdigest()


EMPTY = Content().digest


def table_of(run: Run, source: str) -> ExternalTable:
    """Where a source's table is: as the settings say, else the contract, else a folder of its name in the landing folder."""
    name = run.settings.sources.get(source) or run.contract_of(source).table_name
    return ExternalTable(name, f"{run.landing}/{source}")


def choose(run: Run, source: str, landed: Landed) -> Chosen:
    """The days whose rows are not those that have landed. Raises DataError when the table does not fit the contract, or was emptied."""
    table = table_of(run, source)
    state = table.state(run.lake.spark)
    cursor = _cursor(run, tables.files(source), state)
    to = _version_of(landed.unlisted, state)
    asked = _asked(run, source, table, cursor, to, feed=state.feed)
    if asked is not None and not asked:
        return Chosen((), ())
    rows = _dated(run, source, table, to, _with_first(asked, cursor.first))
    found, first = _with_undated(_contents(rows), cursor.first)
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
    _require_adopted(table, landed.unlisted, arrivals)
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


def _version_of(unlisted: frozenset[str], state: TableState) -> int:
    """The version to read: the newest, or that of a killed landing, which is finished before anything else."""
    return max((int(digest.rpartition("@")[2]) for digest in unlisted), default=state.version)


def _asked(
    run: Run, source: str, table: ExternalTable, cursor: Cursor, to: int, *, feed: bool
) -> frozenset[date | None] | None:  # fmt: skip
    """The days to look at, None among them for rows that tell none; None for all of the table. Of a version that was read before: those newly due."""
    if cursor.version < 0 or cursor.reach is None or (to > cursor.version and not feed):
        return None
    due = due_between(run.contract_of(source), cursor.reach, run.as_of)
    if to <= cursor.version:
        return due

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

    contract = run.contract_of(source)
    rows = table.read(run.lake.spark, version)
    if faults := plain.faults_of(rows.schema, contract):
        raise _unfit(source, table, faults)
    if days is None:
        return _with_day(rows, contract)
    known = sorted(day for day in days if day is not None)
    dated = _with_day(_around(rows, contract, known), contract)
    wanted = F.col(DAY).isin(known)
    return dated.where(wanted | F.col(DAY).isNull() if None in days else wanted)


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


def _contents(dated: DataFrame) -> dict[date | None, Content]:
    """What each day holds; one aggregation."""
    from pyspark.sql import functions as F

    line = _line([F.col(quoted(name)) for name in dated.columns if name != DAY])
    # As decimals: a sum of hashes is far beyond a bigint.
    sums = [F.sum(F.xxhash64(F.lit(seed), line).cast("decimal(20,0)")) for seed in (1, 2)]
    found = dated.groupBy(DAY).agg(F.count("*"), *sums).collect()
    return {day: Content(rows, int(one), int(two)) for day, rows, one, two in found}


def _line(values: Sequence[Column]) -> Column:
    """A row as one text from which its values can be told: each with its length before it, so that no two rows have the same."""
    from pyspark.sql import functions as F

    return F.concat(*(F.coalesce(F.concat(F.length(v).cast("string"), F.lit(":"), v), F.lit("-")) for v in values))


def _with_undated(found: Mapping[date | None, Content], first: date | None) -> tuple[dict[date | None, Content], date | None]:
    """The rows without a day counted with the first day, and which that is; still under None where no row tells a day."""
    days = sorted(day for day in found if day is not None)
    first = first or next(iter(days), None)
    if None not in found or first is None:
        return dict(found), first
    merged = {day: content for day, content in found.items() if day is not None}
    own: dict[date | None, Content] = {first: merged.get(first, Content()) + found[None]}
    return merged | own, first


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


def _require_adopted(table: ExternalTable, unlisted: frozenset[str], arrivals: Sequence[Arrival]) -> None:
    """Raise DataError when rows that a killed landing left cannot be had again: others beside them would count twice."""
    if lost := unlisted - {a.file.digest for a in arrivals}:
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
