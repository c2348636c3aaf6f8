"""Which items each source brings to whom: (key, `as_of`, `item`, `__rank`), the rank from 1 within the source, ties by item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.config.candidates import OwnHistory, Popular

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

OWN_STRENGTH = "__own_strength"


def own(known: DataFrame, asked: DataFrame, offered: DataFrame, key: Sequence[str], declared: OwnHistory) -> DataFrame:
    """What the entity took before, by its decayed days (column `OWN_STRENGTH` of `known`)."""
    theirs = known.select(*key, "as_of", "item", OWN_STRENGTH).join(asked.select(*key, "as_of"), on=[*key, "as_of"], how="left_semi")
    still = theirs.join(offered.select("as_of", "item"), on=["as_of", "item"], how="left_semi")
    return first(still, [*key, "as_of"], OWN_STRENGTH, declared.limit)


def popular(asked: DataFrame, offered: DataFrame, key: Sequence[str], declared: Popular) -> DataFrame:
    """What the most entities took lately, the same for everybody."""
    from pyspark.sql import functions as F

    best = first(offered, ["as_of"], f"item_takers_{declared.window_days}d", declared.limit)
    return asked.select(*key, "as_of").join(F.broadcast(best), on="as_of", how="inner")


def popular_in_group(asked: DataFrame, grouped: DataFrame, group: str, declared: Popular) -> DataFrame:
    """What the most entities of the group took lately; nothing for an entity without a group."""
    from pyspark.sql import functions as F

    best = first(grouped, ["as_of", group], f"group_takers_{declared.window_days}d", declared.limit)
    return asked.join(F.broadcast(best), on=["as_of", group], how="inner").drop(group)


def first(rows: DataFrame, within: Sequence[str], strength: str, limit: int) -> DataFrame:
    """The strongest rows within each group: `within`, `item`, `__rank`. What has no strength is not among them."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    best = Window.partitionBy(*within).orderBy(F.desc(strength), "item").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    ranked = rows.where(F.col(strength) > 0).select(*within, "item", F.row_number().over(best).alias("__rank"))
    return ranked.where(F.col("__rank") <= limit)
