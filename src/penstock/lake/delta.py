"""The only door to Delta: versions, repeatable appends, merges and change feeds.

An append carries a transaction (`txnAppId`, `txnVersion`): Delta skips one whose version is not higher than the last
of that application, so that a repeated write and a woken old writer both come to nothing. Delta skips *silently*,
whatever the data; therefore the plan's digest stands in the commit's user metadata and is compared afterwards.
Source: Delta Lake documentation, "Idempotent table writes in foreachBatch", and exactly-once trials on Delta 4.4.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

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
T = TypeVar("T")
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
        """Create the table unless it is there. Raises UsageError when it is there with other columns."""
        if self.exists(table):
            return
        columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in table.columns)
        properties = ", ".join(f"'{key}' = '{value}'" for key, value in (_PROPERTIES | table.properties).items())
        self.spark.sql(f"CREATE TABLE IF NOT EXISTS {self.sql_name(table)} ({columns}) USING delta TBLPROPERTIES ({properties})")
        self._known.add(table.name)

    def widen(self, table: Table) -> None:
        """Give a table that an earlier release made the columns that it did not have yet; they are null in its rows."""
        if not self.exists(table):
            return
        known = set(self.read(table).columns)
        if missing := [f"{quoted(name)} {kind}" for name, kind in table.columns if name not in known]:
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
        self._write(table, frame, txn)
        return self._verify(table, txn)

    def fence(self, table: Table, app: str, number: int, run_id: str) -> None:
        """Make every append of an older holder come to nothing: an empty append with this holder's higher number."""
        if self.exists(table):
            self._write(table, self.spark.createDataFrame([], _ddl(table)), Txn(app, number, FENCE, run_id))

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

    def _history(self, table: Table | str, limit: int) -> list[Any]:
        described = self.spark.sql(f"DESCRIBE HISTORY {self.sql_name(table)} LIMIT {limit}")
        return list(described.select("version", "userMetadata", "operationMetrics").collect())

    def _write(self, table: Table, frame: DataFrame, txn: Txn) -> None:
        writer = _typed(table, frame).write.format("delta").mode("append")
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


@dataclass(frozen=True)
class TableState:
    """What an outside table is now: its own id, its newest version, and whether it keeps a change feed."""

    id: str
    version: int
    feed: bool


@dataclass(frozen=True)
class ExternalTable:
    """A Delta table that somebody else writes: a name in the catalog (checked where it was read), or a folder or URI. Only ever read."""

    name: str | None
    path: str

    def __str__(self) -> str:
        """As people call it."""
        return self.name or self.path

    def state(self, spark: SparkSession) -> TableState:
        """The table as it is now. Raises UsageError where there is none that can be read, or it is no Delta table."""
        from pyspark.errors import PySparkException

        try:
            found = spark.sql(f"DESCRIBE DETAIL {self._sql_name()}").select("format", "id", "properties").collect()[0]
            if found["format"] != "delta":
                raise self._missing(f"a table of format {found['format']}")
            version = int(spark.sql(f"DESCRIBE HISTORY {self._sql_name()} LIMIT 1").select("version").collect()[0][0])
        except _spark_errors() as error:
            said = error.getCondition() if isinstance(error, PySparkException) else None
            raise self._missing(f"none that can be read ({said or type(error).__name__})") from error
        return TableState(str(found["id"]), version, found["properties"].get("delta.enableChangeDataFeed") == "true")

    def read(self, spark: SparkSession, version: int) -> DataFrame:
        """The table's rows at a version. Raises UsageError when it cannot be read any more."""
        try:
            frame = self._load(spark.read.format("delta").option("versionAsOf", version))
            frame.schema  # noqa: B018 - asked over Connect too, which else would look only when rows are wanted
        except _spark_errors() as error:
            raise UsageError(
                f"version {version} of table {self}",
                got="none that can be read",
                expected="the version that a landing began with",
                left="Nothing more landed",
                next="bring the table back as it was, or let this user read it",
            ) from error
        return frame

    def from_feed(self, spark: SparkSession, after: int, to: int, look: Callable[[DataFrame], T]) -> T | None:
        """What `look` finds in the rows that commits in (`after`, `to`] added or took away, an updated one as it was and as it is.

        None when the feed cannot be read: it began later, its files or the log are gone, or the columns have changed in between.
        """
        reader = spark.read.format("delta").option("readChangeFeed", "true")
        try:
            return look(self._load(reader.option("startingVersion", after + 1).option("endingVersion", to)))
        except _spark_errors():
            return None

    def _load(self, reader: Any) -> DataFrame:
        frame: DataFrame = reader.table(self._sql_name()) if self.name else reader.load(self.path)
        return frame

    def _sql_name(self) -> str:
        return ".".join(quoted(part) for part in self.name.split(".")) if self.name else f"delta.{quoted(self.path)}"

    def _missing(self, got: str) -> UsageError:
        return UsageError(
            f"table {self}",
            got=got,
            expected="a Delta table",
            left="Nothing landed",
            next="correct schema.physicalName in the contract or sources in conf/env, or let this user read it",
        )


def _spark_errors() -> tuple[type[Exception], ...]:
    """What a query that cannot be answered raises: one kind over Connect, and another one as well in a session of this process."""
    from pyspark.errors import PySparkException

    try:
        from py4j.protocol import Py4JJavaError
    except ImportError:
        return (PySparkException,)
    return (PySparkException, Py4JJavaError)


def quoted(name: str) -> str:
    """A name between back-ticks; the names themselves were checked where they were read."""
    return "`" + name.replace("`", "``") + "`"


def _typed(table: Table, frame: DataFrame) -> DataFrame:
    from pyspark.sql import functions as F

    return frame.select(*(F.col(name).cast(kind).alias(name) for name, kind in table.columns))


def _ddl(table: Table) -> str:
    return ", ".join(f"{quoted(name)} {kind}" for name, kind in table.columns)


def _metadata(text: str | None) -> Mapping[str, Any]:
    try:
        said = json.loads(text or "{}")
    except ValueError:  # somebody else's commit may say anything
        return {}
    return said if isinstance(said, dict) else {}
