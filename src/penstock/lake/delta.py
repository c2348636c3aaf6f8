"""The only door to Delta: versions, repeatable appends, merges and change feeds.

An append carries a transaction (`txnAppId`, `txnVersion`): Delta skips one whose version is not higher than the last
of that application, so that a repeated write and a woken old writer both come to nothing. Delta skips *silently*,
whatever the data; therefore the plan's digest stands in the commit's user metadata and is compared afterwards.
Source: Delta Lake documentation, "Idempotent table writes in foreachBatch", and exactly-once trials on Delta 4.4.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.errors import BusyError, FailedError, UsageError
from penstock.lake.tables import Table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# Cursors are versions, read through the change feed (it costs an appending commit nothing). Delta 4.4 refuses feed and time
# travel past its default of 7 days: keep over a year.
_PROPERTIES = {
    "delta.enableChangeDataFeed": "true",
    "delta.logRetentionDuration": "interval 400 days",
    "delta.deletedFileRetentionDuration": "interval 400 days",
}
_RECENT = 200
_COMMIT = re.compile(r"[0-9]{20}\.json")
FENCE = "fence"
"""The digest of an append that only fences."""


@dataclass(frozen=True)
class Txn:
    """The identity of one append: application, growing number, and the digest of the plan that it carries out."""

    app: str
    number: int
    digest: str
    run_id: str


@dataclass(frozen=True)
class Committed:
    """A version of a table and the rows its commit added."""

    version: int
    rows: int


@dataclass(frozen=True)
class Lake:
    """The tables under one root: a folder of Delta tables, or a Unity Catalog schema."""

    spark: SparkSession
    root: Path | None
    schema: tuple[str, str] | None = None
    _known: set[str] = field(default_factory=set, compare=False, repr=False)

    def sql_name(self, table: Table | str) -> str:
        """The table's name as SQL takes it, quoted."""
        name = table if isinstance(table, str) else table.name
        if self.schema is not None:
            return ".".join(quoted(part) for part in (*self.schema, name))
        return f"delta.`{self._path(name)}`"

    def exists(self, table: Table | str) -> bool:
        """Whether the table has been created."""
        name = table if isinstance(table, str) else table.name
        if name not in self._known and self._found(name):
            self._known.add(name)
        return name in self._known

    def create(self, table: Table) -> None:
        """Create the table unless it is there, with whatever columns; `fit` looks at those."""
        if self.exists(table):
            return
        columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in table.columns)
        properties = ", ".join(f"'{key}' = '{value}'" for key, value in (_PROPERTIES | table.properties).items())
        self.spark.sql(f"CREATE TABLE IF NOT EXISTS {self.sql_name(table)} ({columns}) USING delta TBLPROPERTIES ({properties})")
        self._known.add(table.name)

    def fit(self, table: Table) -> None:
        """Add the columns that a table lacks, null in its earlier rows. Raises UsageError for a column of another type: nothing turns old rows into new ones."""
        if not self.exists(table):
            return
        there = {f.name.casefold(): f.dataType.simpleString() for f in self.read(table).schema}
        other = [f"{name} {there[name]} (declared {kind})" for name, kind in table.columns if there.get(name, _plain(kind)) != _plain(kind)]
        if other:
            raise UsageError(
                f"columns of {table.name}",
                got=", ".join(other),
                expected="the types that its rows were written with",
                left="Nothing was written",
                next="restore the types in the contract, or give the source a new name",
            )
        missing = [f"{quoted(name)} {kind}" for name, kind in table.columns if name not in there]
        if missing:
            self.spark.sql(f"ALTER TABLE {self.sql_name(table)} ADD COLUMNS ({', '.join(missing)})")

    def check_definition(self, table: Table) -> None:
        """Raise UsageError when the table that is there was made from another definition."""
        if not self.exists(table):
            return
        detail = self.spark.sql(f"DESCRIBE DETAIL {self.sql_name(table)}").select("properties").collect()[0][0]
        for key, value in table.properties.items():
            if detail.get(key) != value:
                raise UsageError(
                    f"definition of {table.name}",
                    got=value,
                    expected=f"{detail.get(key)}, from which its rows were made",
                    left="Nothing was written",
                    next="give the view a new name, or put back the table feature_catalog that listed its versions",
                )

    def version(self, table: Table | str) -> int:
        """The newest version that changed or made the table; -1 when it is not there.

        A fence adds a version without a row. Passing over it keeps a cursor, and what is derived from it, where it was
        before the kill; versions committed later have higher numbers than in an undisturbed lake, and the same rows.
        """
        if not self.exists(table):
            return -1
        for limit in (1, _RECENT):
            for row in self._history(table, limit):
                if _metadata(row["userMetadata"]).get("digest") != FENCE:
                    return int(row["version"])
        raise FailedError(
            f"history of {table if isinstance(table, str) else table.name}", got=f"{_RECENT} fences in a row", expected="a write among them"
        )

    def read(self, table: Table | str, version: int | None = None) -> DataFrame:
        """The table's rows, at a version or the newest."""
        reader = self.spark.read
        if version is not None:
            reader = reader.option("versionAsOf", version)
        return self._load(reader.format("delta"), table)

    def changes(self, table: Table | str, after: int, to: int) -> DataFrame:
        """The rows that commits in (`after`, `to`] appended. `after` must be under `to`: a feed cannot start past its end."""
        reader = self.spark.read.format("delta").option("readChangeFeed", "true")
        frame = self._load(reader.option("startingVersion", after + 1).option("endingVersion", to), table)
        return frame.where("_change_type = 'insert'").drop("_change_type", "_commit_timestamp")

    def commits(self, table: Table, after: int) -> DataFrame:
        """The rows appended by commits after a version, each with its `_commit_version`."""
        reader = self.spark.read.format("delta").option("readChangeFeed", "true").option("startingVersion", after + 1)
        return self._load(reader, table)

    def append(self, table: Table, frame: DataFrame, txn: Txn) -> Committed:
        """Append the table's columns of `frame` once for this transaction, however often it is asked.

        Raises BusyError when a newer holder of the lease has fenced this one out, FailedError when the same transaction
        was already used for another plan.
        """
        self.create(table)
        self._write(table, _typed(table, frame), txn)
        return self._verify(table, txn)

    def fence(self, table: Table, app: str, number: int, run_id: str) -> None:
        """Make every append of an older holder come to nothing: an empty append with this holder's higher number."""
        if self.exists(table):
            # Of the columns that are there: the declaration may have got others since.
            self._write(table, self.read(table).where("false"), Txn(app, number, FENCE, run_id))

    def merge(self, table: Table, changed: DataFrame, update: Sequence[str], when: str = "true") -> Committed:
        """Insert the rows of `changed` that are new by key and update `update` of the others where `when` holds (t old, s new)."""
        self.create(table)
        names = [quoted(name) for name in table.column_names]
        query = (
            f"MERGE INTO {self.sql_name(table)} t USING {{changed}} s ON "
            + " AND ".join(f"t.{quoted(k)} <=> s.{quoted(k)}" for k in table.key)
            + f" WHEN MATCHED AND ({when}) THEN UPDATE SET "
            + ", ".join(f"t.{quoted(c)} = s.{quoted(c)}" for c in update)
            + f" WHEN NOT MATCHED THEN INSERT ({', '.join(names)}) VALUES ({', '.join(f's.{n}' for n in names)})"
        )
        done = self.spark.sql(query, changed=_typed(table, changed)).collect()[0]
        return Committed(self.version(table), int(done["num_affected_rows"]))

    def register(self, tables: Sequence[str]) -> None:
        """Give each table its plain name in this session, for `penstock sql`; names do not outlive a process without a metastore."""
        for name in tables:
            self.read(name).createOrReplaceTempView(name)

    def names(self) -> tuple[str, ...]:
        """The names of all tables here."""
        if self.root is not None:
            return tuple(sorted(p.parent.name for p in self.root.glob("*/_delta_log")))
        assert self.schema is not None
        catalog, schema = (quoted(part) for part in self.schema)
        return tuple(sorted(r["tableName"] for r in self.spark.sql(f"SHOW TABLES IN {catalog}.{schema}").collect()))

    def _path(self, name: str) -> Path:
        assert self.root is not None
        return self.root / name

    def _found(self, name: str) -> bool:
        if self.root is not None:
            return any((self._path(name) / "_delta_log").glob("*.json"))
        return bool(self.spark.catalog.tableExists(self.sql_name(name)))

    def _load(self, reader: Any, table: Table | str) -> DataFrame:
        name = table if isinstance(table, str) else table.name
        frame: DataFrame = reader.load(str(self._path(name))) if self.root is not None else reader.table(self.sql_name(name))
        return frame

    def _history(self, table: Table | str, limit: int) -> Sequence[Any]:
        """The newest commits first, each with `version`, `userMetadata` and `operationMetrics`."""
        if self.root is not None:
            return commits_in(self._path(table if isinstance(table, str) else table.name) / "_delta_log", limit)
        described = self.spark.sql(f"DESCRIBE HISTORY {self.sql_name(table)} LIMIT {limit}")
        return list(described.select("version", "userMetadata", "operationMetrics").collect())

    def _write(self, table: Table, frame: DataFrame, txn: Txn) -> None:
        writer = frame.write.format("delta").mode("append")
        writer = writer.option("txnAppId", txn.app).option("txnVersion", txn.number).option("userMetadata", json.dumps(asdict(txn)))
        if self.root is not None:
            writer.save(str(self._path(table.name)))
        else:
            writer.saveAsTable(self.sql_name(table))

    def _verify(self, table: Table, txn: Txn) -> Committed:
        for limit in (1, _RECENT):  # nearly always the newest commit is ours
            for row in self._history(table, limit):
                said = _metadata(row["userMetadata"])
                if (said.get("app"), said.get("number")) != (txn.app, txn.number):
                    continue
                if said.get("digest") != txn.digest:
                    raise FailedError(
                        f"append to {table.name}: transaction {txn.app}/{txn.number} was used for another plan", left="Nothing was written"
                    )
                return Committed(row["version"], int((row["operationMetrics"] or {}).get("numOutputRows", 0)))
        raise BusyError(
            f"append to {table.name}", got="a newer holder of the lease", expected=txn.run_id, left="This run wrote nothing more"
        )


def commits_in(log: Path, limit: int) -> list[dict[str, Any]]:
    """The newest commits of a table's log on this machine, newest first: `version`, `userMetadata`, `operationMetrics`.

    What DESCRIBE HISTORY says, from the same files, without the Spark job (a sixth of a second, twenty times a weekly run).
    Source: Delta transaction log protocol, "Delta Log Entries" and "Commit Provenance Information".
    """
    newest = sorted((path for path in log.glob("*.json") if _COMMIT.fullmatch(path.name)), reverse=True)[:limit]
    return [{"version": int(path.stem), **_provenance(path)} for path in newest]


def _provenance(commit: Path) -> dict[str, Any]:
    with commit.open(encoding="utf-8") as actions:
        for line in actions:  # it is the first one, but need not be
            if '"commitInfo"' in line and (said := json.loads(line).get("commitInfo")):
                return {"userMetadata": said.get("userMetadata"), "operationMetrics": said.get("operationMetrics")}
    return {"userMetadata": None, "operationMetrics": None}


def quoted(name: str) -> str:
    """A name between back-ticks; the names themselves were checked where they were read."""
    return "`" + name.replace("`", "``") + "`"


def _plain(kind: str) -> str:
    """A type as Spark spells it."""
    return kind.casefold().replace(" ", "")


def _typed(table: Table, frame: DataFrame) -> DataFrame:
    from pyspark.sql import functions as F

    return frame.select(*(F.col(name).cast(kind).alias(name) for name, kind in table.columns))


def _metadata(text: str | None) -> Mapping[str, Any]:
    try:
        said = json.loads(text or "{}")
    except ValueError:  # somebody else's commit may say anything
        return {}
    return said if isinstance(said, dict) else {}
