"""Which entity-days may have facts of several instants: only there can a fact be added to, or replaced, later.

Mostly a day's facts become known at one instant, with one file. One small question to Spark tells the days of which that
is true; their rows need no comparison of instants, which else is a sort, or a join, of everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

FEW = 200_000
"""As many rows as are sent to every worker; beyond, the question is not worth its answer."""


@dataclass(frozen=True)
class Mixed:
    """The entity-days that may have facts of several instants, as rows of `keys`; None stands for all there are."""

    columns: tuple[str, ...]
    keys: DataFrame | None

    def within(self, frame: DataFrame) -> DataFrame:
        """The frame's rows of these entity-days."""
        return frame if self.keys is None else frame.join(self.keys, on=list(self.columns), how="left_semi")

    def without(self, frame: DataFrame) -> DataFrame:
        """The frame's other rows: each entity-day of them has one instant."""
        from pyspark.sql import functions as F

        return frame.where(F.lit(False)) if self.keys is None else frame.join(self.keys, on=list(self.columns), how="left_anti")


def everywhere(entity: Sequence[str]) -> Mixed:
    """All entity-days: nothing is asked, and all are compared."""
    return Mixed((*entity, "hop"), None)


def mixed(rows: DataFrame, entity: Sequence[str], known_at: str, replaced: Column | None = None) -> Mixed:
    """The entity-days of `rows` (with `hop`) in which a row is of another instant than most of its day, or is `replaced`.

    Runs a query over `rows`, of one result row for each day that has such rows.
    """
    from pyspark.sql import functions as F

    at, odd = F.unix_micros(known_at), F.lit(False) if replaced is None else replaced
    counted = rows.groupBy("hop", at.alias("__at")).agg(F.count("*").alias("__rows"), F.count_if(odd).alias("__odd"))
    days = counted.groupBy("hop").agg(
        F.max_by("__at", "__rows").alias("__most"), (F.sum("__rows") - F.max("__rows") + F.sum("__odd")).alias("__other")
    )
    found = days.where("__other > 0").collect()
    columns = (*entity, "hop")
    if not found:
        # Spark sees that this is empty, and leaves out every join with it.
        return Mixed(columns, rows.where(F.lit(False)).select(*columns))
    if sum(row["__other"] for row in found) > FEW:
        return everywhere(entity)
    usual = rows.sparkSession.createDataFrame([(row["hop"], row["__most"]) for row in found], "hop date, __most bigint")
    others = rows.join(F.broadcast(usual), on="hop", how="inner").where((at != F.col("__most")) | odd)
    return Mixed(columns, F.broadcast(others.select(*columns)))
