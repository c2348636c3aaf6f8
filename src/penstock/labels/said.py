"""What rows of a source say of (entity, `as_of`)s: outcomes and contacts, matched by key and time. Frames only, no effects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.config.label import Label
from penstock.features.tiles import dated, local_day

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

ROW = ("_file", "_row", "_known_at")
"""What names a landed row."""

MATCHED, DUPLICATE, CONTRADICTING, UNMATCHED, SILENT, WITHDRAWN = (
    "matched",
    "duplicate",
    "contradicting",
    "unmatched",
    "silent",
    "withdrawn",
)
"""The standings of an outcome. `silent` rows have no value: their expression is null; `withdrawn` ones a newer version of their file left out."""


def valid(landed: DataFrame, files: DataFrame, known_by: Column) -> DataFrame:
    """The landed rows that count at an instant: of each file its newest version known by then."""
    from pyspark.sql import functions as F

    newest = files.where(F.col("_known_at") <= known_by).groupBy("_file").agg(F.max("_known_at").alias("_known_at"))
    return landed.join(F.broadcast(newest), on=["_file", "_known_at"], how="left_semi")


def outcomes(landed: DataFrame, label: Label, entity: Sequence[str], timezone: str) -> DataFrame:
    """Each row as (key, `__event_time`, `hop`, `value`) and what names it.

    `hop` is the local day by which it is matched: when it happened, or the day of the `as_of` that it is about.
    """
    from pyspark.sql import functions as F

    rows = dated(landed, str(label.event_time), timezone)
    if label.about is not None:
        rows = rows.withColumn("hop", local_day(rows, label.about, timezone))
    value = F.expr(label.expression).cast("double")
    return rows.select(*entity, "__event_time", "hop", value.alias("value"), *ROW)


def spoken(rows: DataFrame, instants: DataFrame, label: Label) -> DataFrame:
    """Rows of `outcomes` that say something, beside each `as_of` they speak of; `instants` has (`as_of`, `__day`)."""
    from pyspark.sql import functions as F

    day, days = F.col("__day"), 1 if label.about else label.horizon_days
    fits = (F.col("hop") >= day) & (F.col("hop") < F.date_add(day, days))
    return rows.where(F.col("value").isNotNull()).join(F.broadcast(instants), on=fits, how="inner")


def newest(pairs: DataFrame, entity: Sequence[str]) -> DataFrame:
    """Of rows of `spoken` each (entity, `as_of`) once: `value` of the newest row and `since`, the instant from which that was known."""
    from pyspark.sql import functions as F

    last = F.max_by(F.struct("value", F.col("_known_at").alias("since")), _order()).alias("__newest")
    return pairs.groupBy(*entity, "as_of").agg(last).select(*entity, "as_of", "__newest.value", "__newest.since")


def standings(rows: DataFrame, pairs: DataFrame, members: DataFrame, entity: Sequence[str]) -> DataFrame:
    """Each row of `outcomes` once, with its `standing`, the number of `labels` it speaks of, and the first `as_of` of them.

    Parameters: `pairs` are the same rows as `spoken` gives them, `members` the labelled (key, `as_of`)s. Rows that speak of one
    of those with different values contradict each other; of equal ones all but the first are duplicates.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    met = pairs.join(members.select(*entity, "as_of"), on=[*entity, "as_of"], how="inner")
    every = Window.partitionBy(*entity, "as_of").rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    before = Window.partitionBy(*entity, "as_of").orderBy(_order()).rowsBetween(Window.unboundedPreceding, Window.currentRow)
    differs = F.min("value").over(every) != F.max("value").over(every)
    marked = met.select(*ROW, "as_of", differs.alias("__differs"), (F.row_number().over(before) > 1).alias("__repeats"))
    told = marked.groupBy(*ROW).agg(
        F.count("*").alias("labels"),
        F.min("as_of").alias("as_of"),
        F.bool_or("__differs").alias("__differs"),
        F.bool_and("__repeats").alias("__repeats"),
    )
    standing = (
        F.when(F.col("value").isNull(), SILENT)
        .when(F.col("labels").isNull(), UNMATCHED)
        .when(F.col("__differs"), CONTRADICTING)
        .when(F.col("__repeats"), DUPLICATE)
        .otherwise(MATCHED)
    )
    joined = rows.join(told, on=list(ROW), how="left")
    happened = F.col("__event_time").alias("happened_at")
    labels = F.coalesce("labels", F.lit(0)).alias("labels")
    return joined.select(*entity, happened, "hop", "value", standing.alias("standing"), labels, "as_of", *ROW)


def standing_changes(desired: DataFrame, current: DataFrame) -> DataFrame:
    """The rows of the outcomes table that have to change; those of `current` that `desired` has no more are withdrawn.

    Both are of the same days.
    """
    from pyspark.sql import functions as F

    compared = ("value", "standing", "labels", "as_of")
    was = current.select(*ROW, *(F.col(c).alias(f"__{c}") for c in compared))
    same = F.lit(True)
    for name in compared:
        same = same & F.col(name).eqNullSafe(F.col(f"__{name}"))
    new = desired.join(was, on=list(ROW), how="left").where(~same).select(*desired.columns)
    gone = current.where(F.col("standing") != WITHDRAWN).join(desired, on=list(ROW), how="left_anti")
    return new.unionByName(gone.withColumn("standing", F.lit(WITHDRAWN)).select(*desired.columns))


def treated(
    members: DataFrame, contacts: DataFrame, instants: DataFrame, complete: DataFrame, *, entity: Sequence[str], within_days: int
) -> DataFrame:
    """Each member with `treated`: true with a contact in the days from its `as_of`, false without one where the days are complete, else null.

    Parameters: `contacts` has key and `hop`; `instants` has (`as_of`, `__day`); `complete` has the `as_of`s of which all is known.
    """
    from pyspark.sql import functions as F

    fits = (F.col("hop") >= F.col("__day")) & (F.col("hop") < F.date_add("__day", within_days))
    met = contacts.join(F.broadcast(instants), on=fits, how="inner").select(*entity, "as_of").distinct()
    known = complete.select("as_of", F.lit(False).alias("__none"))
    both = members.join(met.withColumn("__met", F.lit(True)), on=[*entity, "as_of"], how="left").join(
        F.broadcast(known), on="as_of", how="left"
    )
    return both.withColumn("treated", F.coalesce("__met", "__none")).select(*members.columns, "treated")


def _order() -> Column:
    """Newest last: by when it happened, then by when it was known; ties by the row's own name, so that the same rows give the same answer."""
    from pyspark.sql import functions as F

    return F.struct("__event_time", "_known_at", "_file", "_row")
