"""The items of the greatest inner product with each user, by a plain join of all with all."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def top_items(users: DataFrame, items: DataFrame, k: int) -> DataFrame:
    """The k items nearest to each user: id columns, `item`, `score` (float) and `rank` (int, from 1), equal scores by `item`.

    Parameters: `users` id columns and `factors`, `items` `item` and `factors` (arrays of float of one length).
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    key = [name for name in users.columns if name != "factors"]
    terms = F.zip_with("factors", "__other", lambda a, b: a.cast("double") * b.cast("double"))
    score = F.aggregate(terms, F.lit(0.0), lambda total, term: total + term).cast("float")
    both = users.join(F.broadcast(items.withColumnRenamed("factors", "__other")), how="cross")
    best = Window.partitionBy(*key).orderBy(F.desc("score"), "item").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    ranked = both.select(*key, "item", score.alias("score")).withColumn("rank", F.row_number().over(best))
    return ranked.where(F.col("rank") <= k)
