"""Delta tables that somebody else writes: only ever read, at versions and by their change feed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from penstock.errors import UsageError
from penstock.lake.delta import quoted

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

T = TypeVar("T")


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
