"""Temporary."""

from __future__ import annotations


def candidates(log, groups, as_ofs, config, *, key):  # noqa
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    when = log.sparkSession.createDataFrame(sorted(as_ofs.items()), "as_of timestamp, __day date")
    seen = log.join(F.broadcast(when), on=F.col("hop") < F.col("__day"), how="inner")
    age = F.datediff("__day", "hop")
    own = seen.groupBy(*key, "as_of", "item").agg(
        F.sum(F.exp(-age / 60.0)).alias("own"), F.min(age).cast("double").alias("own_days"), F.count("*").cast("double").alias("own_count")
    )
    pop = seen.where(age <= 28).groupBy("as_of", "item").agg(F.countDistinct(*key).cast("double").alias("popular"))
    act = seen.where(age <= 90).groupBy("as_of").agg(F.countDistinct(*key).cast("double").alias("n"))
    pop = pop.join(F.broadcast(act), on="as_of", how="inner").withColumn("item_common", F.col("popular") / F.col("n")).drop("n")
    w = Window.partitionBy("as_of").orderBy(F.desc("popular"), "item").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    top = pop.withColumn("__r", F.row_number().over(w)).where("__r <= 40")
    wo = Window.partitionBy(*key, "as_of").orderBy(F.desc("own"), "item").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    mine = own.withColumn("__r", F.row_number().over(wo)).where("__r <= 60").select(*key, "as_of", "item")
    base = groups.select(*key, "as_of")
    allp = base.join(F.broadcast(top.select("as_of", "item")), on="as_of", how="inner").select(*key, "as_of", "item")
    pairs = mine.join(base, on=[*key, "as_of"], how="left_semi").unionByName(allp).distinct()
    out = pairs.join(own, on=[*key, "as_of", "item"], how="left").join(F.broadcast(pop), on=["as_of", "item"], how="left")
    z = F.lit(0.0)
    return out.select(
        *key,
        "as_of",
        "item",
        F.when(F.col("own").isNotNull(), "own").otherwise("popular").alias("source"),
        F.coalesce("own", z).alias("own"),
        F.col("own_days"),
        F.coalesce("own_count", z).alias("own_count"),
        F.coalesce("popular", z).alias("popular"),
        F.coalesce("item_common", z).alias("item_common"),
        (F.coalesce("own", z) * 1000 + F.coalesce("item_common", z)).alias("own_then_popular"),
    )
