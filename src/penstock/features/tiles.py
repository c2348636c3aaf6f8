"""Landed rows become tiles: the whole state of one entity's local day, as known from one instant on.

A late or corrected file does not change a tile; it adds another of the same day with a later `known_at`, computed from
all rows that are valid then. So features at any past `as_of` can still be made as they would have been made that day.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.config.model import Facts
from penstock.features.instants import mixed
from penstock.features.spec import EVENT_TIME, LIVE, tile_states

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

MANY = 500_000
"""Added rows from which on `new_tiles` is worth the query that it asks first; it gives the same as `tiles`."""

_VERSION = ("_file", "_known_at")


def file_versions(*frames: DataFrame) -> DataFrame:
    """Of frames with (`_file`, `_known_at`): each landed version of a file, with the instant at which the next one replaced it."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    versions = frames[0].select(*_VERSION)
    for frame in frames[1:]:
        versions = versions.unionByName(frame.select(*_VERSION))
    later = Window.partitionBy("_file").orderBy("_known_at").rowsBetween(1, 1)
    return versions.distinct().withColumn("__replaced_at", F.first("_known_at").over(later))


def events(landed: DataFrame, view: Facts, timezone: str) -> DataFrame:
    """The rows that concern the view, with their local day `hop`; rows without an entity or a time have none."""
    from pyspark.sql import functions as F

    rows = landed.where(F.expr(view.where))
    for name in (*view.entity, view.event_time):
        rows = rows.where(F.col(name).isNotNull())
    return dated(rows, view.event_time, timezone)


def dated(rows: DataFrame, time: str, timezone: str) -> DataFrame:
    """The rows with their instant (`spec.EVENT_TIME`) and their local day `hop`."""
    from pyspark.sql import functions as F

    day, at = local_day(rows, time, timezone), F.col(time)
    if dict(rows.dtypes)[time] == "date":
        at = F.to_utc_timestamp(at.cast("timestamp"), timezone)  # where that day begins
    return rows.withColumn(EVENT_TIME, at).withColumn("hop", day)


def local_day(rows: DataFrame, time: str, timezone: str) -> Column:
    """The local day of a column; a date is one as it stands."""
    from pyspark.sql import functions as F

    at = F.col(time)
    return at if dict(rows.dtypes)[time] == "date" else F.to_date(F.from_utc_timestamp(at, timezone))


def touched(added: DataFrame, arrived: DataFrame, all_rows: DataFrame, versions: DataFrame, entity: Sequence[str]) -> DataFrame:
    """The (entity, hop, `known_at`) whose state changes: the days of added rows, and days of rows that arrived files replace.

    Parameters: `added` and `all_rows` are events; `arrived` has the (`_file`, `_known_at`) that came, also of files without
    a single event, which replace rows all the same; `versions` comes from `file_versions`.
    """
    from pyspark.sql import functions as F

    own = added.select(*entity, "hop", F.col("_known_at").alias("known_at"))
    came = arrived.select(*_VERSION).distinct().withColumnRenamed("_known_at", "__replaced_at")
    replaced = versions.join(came, on=["_file", "__replaced_at"], how="inner")
    lost = all_rows.join(replaced, on=list(_VERSION), how="inner").select(*entity, "hop", F.col("__replaced_at").alias("known_at"))
    return own.unionByName(lost).distinct()


def new_tiles(added: DataFrame, changed: DataFrame, all_rows: DataFrame, versions: DataFrame, view: Facts) -> DataFrame:
    """What `tiles` gives for the `changed` that `touched` found from `added`, sooner where a day's rows have one instant.

    There an added row is no change to others: what came is the day's whole state, and one aggregation makes its tile.
    Runs a query over `all_rows` at once.
    """
    from pyspark.sql import functions as F

    marked = all_rows.join(F.broadcast(versions), on=list(_VERSION), how="left")
    several = mixed(marked, view.entity, "_known_at", F.col("__replaced_at").isNotNull())
    live = several.without(added).withColumn(LIVE, F.lit(True)).withColumn("known_at", F.col("_known_at"))
    whole = live.groupBy(*view.entity, "hop", "known_at").agg(*_states(view))
    return whole.unionByName(tiles(several.within(changed), several.within(all_rows), versions, view))


def tiles(changed: DataFrame, all_rows: DataFrame, versions: DataFrame, view: Facts) -> DataFrame:
    """The tile of each (entity, hop, `known_at`) in `changed`, from all rows that are valid at that instant.

    A row whose file version is not among `versions` was never replaced, so those that were are enough.

    A day that lost its last row gets a tile too: an empty state, which hides the one before it.
    """
    from pyspark.sql import functions as F

    on = [*view.entity, "hop"]
    valid = all_rows.join(F.broadcast(versions), on=list(_VERSION), how="left").drop("known_at")
    pairs = changed.join(valid, on=on, how="left")
    began = F.col("_known_at") <= F.col("known_at")
    lasts = F.col("__replaced_at").isNull() | (F.col("__replaced_at") > F.col("known_at"))
    # Rows that are not live stay in their group, so that a day without any still has its (empty) tile.
    marked = pairs.withColumn(LIVE, F.coalesce(began & lasts, F.lit(False)))
    return marked.groupBy(*on, "known_at").agg(*_states(view))


def _states(view: Facts) -> list[Column]:
    from pyspark.sql import functions as F

    return [F.expr(s.expression).cast(s.type).alias(s.name) for s in tile_states(view)]
