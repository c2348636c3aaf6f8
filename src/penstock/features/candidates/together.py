"""Which items go together: what the same entities took of late, by the cosine of who took them (sparse item-item similarity).

Only an entity's newest items count, so that one that took everything neither costs its square nor ties everything to everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.config.candidates import Together

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

SCORE = "together_score"


def scores(known: DataFrame, asked: DataFrame, offered: DataFrame, key: Sequence[str], declared: Together) -> DataFrame:
    """How near each offered item is to the newest ones of each asked entity: key, `as_of`, `item`, `SCORE` (a sum of cosines).

    An item of the entity's own is near to its others, and not to itself. Pairs without a common neighbour have no row.
    """
    from pyspark.sql import functions as F

    baskets = newest(known, key, declared)
    near = neighbours(baskets, offered, key, declared)
    theirs = baskets.join(asked.select(*key, "as_of"), on=[*key, "as_of"], how="left_semi").withColumnRenamed("item", "__own")
    beside = theirs.join(near, on=["as_of", "__own"], how="inner")
    return beside.groupBy(*key, "as_of", "item").agg(F.sum("__cosine").alias(SCORE))


def newest(known: DataFrame, key: Sequence[str], declared: Together) -> DataFrame:
    """The newest items of each entity at each `as_of`, of one day by name: key, `as_of`, `item`."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    recent = known.where(F.col("__last") >= F.date_sub("__day", declared.window_days))
    order = Window.partitionBy(*key, "as_of").orderBy(F.desc("__last"), "item").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    return (
        recent.withColumn("__number", F.row_number().over(order)).where(F.col("__number") <= declared.basket).select(*key, "as_of", "item")
    )


def neighbours(baskets: DataFrame, offered: DataFrame, key: Sequence[str], declared: Together) -> DataFrame:
    """The items nearest to each: `as_of`, `__own`, `item`, `__cosine`; of equals the first by name."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    support = baskets.groupBy("as_of", "item").agg(F.count("*").alias("__takers"))
    other = baskets.withColumnRenamed("item", "__own")
    both = baskets.join(other, on=[*key, "as_of"], how="inner").where(F.col("item") != F.col("__own"))
    common = both.groupBy("as_of", "__own", "item").agg(F.count("*").alias("__both")).where(F.col("__both") >= declared.least)
    still = common.join(offered.select("as_of", "item"), on=["as_of", "item"], how="left_semi")
    sized = still.join(support, on=["as_of", "item"], how="inner").join(
        support.select("as_of", F.col("item").alias("__own"), F.col("__takers").alias("__own_takers")), on=["as_of", "__own"], how="inner"
    )
    cosine = sized.withColumn("__cosine", F.col("__both") / F.sqrt(F.col("__takers") * F.col("__own_takers")))
    order = (
        Window.partitionBy("as_of", "__own").orderBy(F.desc("__cosine"), "item").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    )
    nearest = cosine.withColumn("__number", F.row_number().over(order)).where(F.col("__number") <= declared.neighbours)
    return nearest.select("as_of", "__own", "item", "__cosine")
