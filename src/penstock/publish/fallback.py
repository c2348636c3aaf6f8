"""What is answered for whom nothing was published: for each group of entities that are alike, and for everybody else, by kind.

Of scores it is the rate that matured outcomes had, of a ranking what was chosen most lately, each family of items once. Groups
too small to say anything of their own get what everybody gets.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from penstock import clock
from penstock.features import pairs, versions
from penstock.lake import tables
from penstock.publish import answers
from penstock.stage import Run

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

EVERYBODY = ""
"""The segment of those whose group is not known, or too small."""
_COHORTS = 4


def made(run: Run, as_of: datetime) -> DataFrame:
    """`segment` and the columns of a value, one row each segment; none where there is nothing to go by."""
    return _MADE[run.pipeline.kind](run, as_of)


def _rates(run: Run, as_of: datetime) -> DataFrame:  # noqa: ARG001 - what is known at the run
    """The mean label of the newest matured cohorts."""
    from pyspark.sql import functions as F

    key = [*(name for name, _ in run.key), "as_of"]
    config = run.pipeline.publish
    every = run.lake.read(tables.labels(run.pipeline.name, run.key))
    known = every.where(F.col("state").isin("matured", "revised") & F.col("label").isNotNull() & (F.col("matured_at") <= F.lit(run.as_of)))
    newest = known.select("as_of").distinct().orderBy(F.desc("as_of")).limit(_COHORTS)
    rows = known.join(F.broadcast(newest), on="as_of", how="left_semi").select(*key, "label")
    told = _in_segments(run, rows, key).groupBy("segment").agg(F.avg("label").alias("score"), F.count("*").alias("__rows"))
    large = told.where((F.col("segment") == EVERYBODY) | (F.col("__rows") >= config.fallback.min_entities))
    return large.withColumns(answers.of(run.pipeline.kind).published(config)).select("segment", "score", "band")


def _popular(run: Run, as_of: datetime) -> DataFrame:
    """The items that most entities chose of late: in the segment first, then anywhere."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    view, config = run.pipeline.features, run.pipeline.publish.fallback
    day = {as_of: clock.local_day(as_of, run.contract.timezone)}
    tiles, _ = versions.view_tables(run, versions.current(run))
    log = pairs.history(run.lake.read(tiles), view, day, run.contract.timezone)
    late = log.where(F.col("hop") >= F.lit(day[as_of] - timedelta(days=config.days))).withColumn("as_of", F.lit(as_of))
    item, key = tables.ITEM[0], [name for name, _ in run.key]
    # The log holds an entity once a day; chosen twice is one entity all the same.
    once = late.select(*key, "as_of", item).distinct()
    counted = _in_segments(run, once, [*key, "as_of"]).groupBy("segment", item).agg(F.count("*").alias("__chosen"))
    everywhere = counted.where(F.col("segment") == EVERYBODY)
    segments = counted.where(F.col("__chosen") >= config.min_entities).select("segment").distinct()
    own = counted.where((F.col("segment") != EVERYBODY) & (F.col("__chosen") >= config.min_entities)).withColumn("__tier", F.lit(0))
    others = everywhere.drop("segment").crossJoin(F.broadcast(segments)).withColumn("__tier", F.lit(1))
    whole = everywhere.select("segment", item, "__chosen").withColumn("__tier", F.lit(1))
    both = own.unionByName(others.where(F.col("segment") != EVERYBODY)).unionByName(whole)
    named = F.regexp_extract(item, run.pipeline.lists.family, 0)
    family = F.when(named == "", F.col(item)).otherwise(named)
    order = (F.col("__tier"), F.desc("__chosen"), F.col(item))
    first = Window.partitionBy("segment", "__family").orderBy(*order).rowsBetween(Window.unboundedPreceding, Window.currentRow)
    different = both.withColumn("__family", family).withColumn("__nth", F.row_number().over(first)).where("__nth = 1")
    ranked = Window.partitionBy("segment").orderBy(*order).rowsBetween(Window.unboundedPreceding, Window.currentRow)
    best = different.withColumn("__rank", F.row_number().over(ranked)).where(F.col("__rank") <= run.pipeline.lists.length)
    source = F.when(F.col("__tier") == 0, F.lit(f"popular in {config.by}")).otherwise(F.lit("popular"))
    one = F.struct(F.col(item).alias("item"), F.col("__chosen").cast("double").alias("score"), source.alias("source"))
    placed = F.array_sort(F.collect_list(F.struct(F.col("__rank").alias("rank"), one.alias("shown"))))
    return best.groupBy("segment").agg(F.transform(placed, lambda at: at["shown"]).alias("items"))


def _in_segments(run: Run, rows: DataFrame, key: list[str]) -> DataFrame:
    """Each row in the segment of everybody, and once more in its own where it has one."""
    from pyspark.sql import functions as F

    by = run.pipeline.publish.fallback.by
    everybody = rows.withColumn("segment", F.lit(EVERYBODY))
    if by is None:
        return everybody
    features = versions.rows(run, versions.current(run)).select(*key, F.col(by).cast("string").alias("segment"))
    own = rows.join(features, on=key, how="inner").where(F.col("segment").isNotNull() & (F.col("segment") != EVERYBODY))
    return everybody.unionByName(own)


_MADE: dict[str, Callable[[Run, datetime], DataFrame]] = {"classification": _rates, "regression": _rates, "ranking": _popular}
