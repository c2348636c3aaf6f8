"""What all entities, and those of one group, took of each item before each `as_of`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.config.candidates import COMMON

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

ITEM = (
    "item_takers_7d",
    "item_takers_28d",
    "item_takers_90d",
    "item_new_takers_28d",
    "item_trend_7d",
    "item_trend_28d",
    "item_days_since_last",
    "item_repeat_share",
    COMMON,
)
"""Feature columns of an item at an `as_of`."""
GROUP = ("group_takers_28d", "group_takers_90d")
"""Feature columns of an item within the entity's group."""
WINDOWS = (7, 28, 90)


def within(days: int, at: str = "__last") -> Column:
    """Whether a pair's day lies in the last so many days before the `as_of`."""
    from pyspark.sql import functions as F

    return F.col(at) >= F.date_sub("__day", days)


def items(known: DataFrame, key: list[str], sold_within_days: int) -> DataFrame:
    """One row for each item that may still be had at each `as_of`: `as_of`, `item` and its features.

    Parameters: `known` of `pairs`, of all entities. A pair counts in a window when its last day lies there, which is so
    exactly when the entity took the item within it.
    """
    from pyspark.sql import functions as F

    takers = {f"item_takers_{days}d": F.count_if(within(days)).cast("double") for days in WINDOWS}
    counted = known.groupBy("as_of", "__day", "item").agg(
        *(column.alias(name) for name, column in takers.items()),
        F.count_if(within(28, "__first")).cast("double").alias("item_new_takers_28d"),
        F.datediff("__day", F.max("__last")).cast("double").alias("item_days_since_last"),
        F.avg((F.col("own_days") > 1).cast("double")).alias("item_repeat_share"),
    )
    active = known.where(within(90)).select(*key, "as_of").distinct().groupBy("as_of").agg(F.count("*").alias("__active"))
    offered = counted.where(F.col("item_days_since_last") <= sold_within_days).join(F.broadcast(active), on="as_of", how="left")
    # One more on both sides, so that a rare item's single taker makes no trend.
    return offered.select(
        "as_of",
        "item",
        *takers,
        "item_new_takers_28d",
        _trend(7, 28).alias("item_trend_7d"),
        _trend(28, 90).alias("item_trend_28d"),
        "item_days_since_last",
        "item_repeat_share",
        F.coalesce(F.col("item_takers_90d") / F.col("__active"), F.lit(0.0)).alias(COMMON),
    )


def group_items(known: DataFrame, groups: DataFrame, key: list[str], group: str) -> DataFrame:
    """One row for each item taken within 90 days in each group at each `as_of`: `as_of`, the group, `item` and its features."""
    from pyspark.sql import functions as F

    recent = known.where(within(90)).select(*key, "as_of", "__day", "item", "__last")
    return (
        recent.join(groups.where(F.col(group).isNotNull()), on=[*key, "as_of"], how="inner")
        .groupBy("as_of", group, "item")
        .agg(F.count_if(within(28)).cast("double").alias("group_takers_28d"), F.count("*").cast("double").alias("group_takers_90d"))
    )


def _trend(short: int, long: int) -> Column:
    from pyspark.sql import functions as F

    return (F.col(f"item_takers_{short}d") * F.lit(long / short) + 1) / (F.col(f"item_takers_{long}d") + 1)
