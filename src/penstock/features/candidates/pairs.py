"""What each entity took of each item before each `as_of`: one pass over the log, whatever the number of instants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

from penstock.features.asof import as_of_days

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

OWN = (
    "own_days",
    "own_recent_30d",
    "own_recent_120d",
    "own_days_since_last",
    "own_days_between",
    "own_visits_since_last",
    "own_visit_share",
)
"""Feature columns of a pair; null, or zero where they count, when the entity never took the item."""
_COUNTED = {"own_days", "own_recent_30d", "own_recent_120d"}


def pairs(log: DataFrame, as_ofs: Mapping[datetime, date], key: Sequence[str], decay_days: Mapping[str, float]) -> DataFrame:
    """One row for each pair of an entity and an item that met before an `as_of`: key, `as_of`, `__day`, `item`, features and `__first`, `__last`.

    Parameters: `log` one row for each entity, day (`hop`) and item; `decay_days` names further columns, each the sum over the
    pair's days of exp(-age / days). A visit is a day on which the entity took anything.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    days = {"own_recent_30d": 30.0, "own_recent_120d": 120.0, **decay_days}
    visits = Window.partitionBy(*key).orderBy("hop").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    counted = log.select(*key, "hop", "item", F.dense_rank().over(visits).alias("__visit"))
    beside = counted.join(F.broadcast(as_of_days(log, as_ofs)), on=F.col("hop") < F.col("__day"), how="inner")
    age = F.datediff("__day", "hop")
    met = beside.groupBy(*key, "as_of", "__day", "item").agg(
        F.count("*").cast("double").alias("own_days"),
        *(F.sum(F.exp(-age / F.lit(length))).alias(name) for name, length in days.items()),
        F.min("hop").alias("__first"),
        F.max("hop").alias("__last"),
        F.min("__visit").alias("__first_visit"),
        F.max("__visit").alias("__last_visit"),
    )
    # An entity's newest visit is the last one of some pair of its own.
    newest = F.max("__last_visit").over(Window.partitionBy(*key, "as_of"))
    between = F.datediff("__last", "__first") / F.nullif(F.col("own_days") - 1, F.lit(0.0))
    named = {
        "own_days_since_last": F.datediff("__day", "__last").cast("double"),
        "own_days_between": between.cast("double"),
        "own_visits_since_last": (newest - F.col("__last_visit")).cast("double"),
        "own_visit_share": F.col("own_days") / (newest - F.col("__first_visit") + 1),
    }
    return met.withColumns(named).drop("__first_visit", "__last_visit")


def with_own(rows: DataFrame, known: DataFrame, key: Sequence[str]) -> DataFrame:
    """The rows with the features of their pairs; counts and sums are zero for a pair that never met."""
    from pyspark.sql import functions as F

    joined = rows.join(known.select(*key, "as_of", "item", *OWN), on=[*key, "as_of", "item"], how="left")
    return joined.withColumns({name: F.coalesce(name, F.lit(0.0)) for name in OWN if name in _COUNTED})
