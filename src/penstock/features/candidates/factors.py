"""Matrix factorisation of who took what, fitted at each `as_of` on what was taken before it (implicit alternating least squares)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import reduce
from typing import TYPE_CHECKING

from penstock.config.candidates import Factors
from penstock.topk.spark import top_items

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

STRENGTH = "__strength"
LEAST_STRENGTH = 1e-6
"""Weaker pairs are left out: a strength that rounds to zero is none, and a matrix of zeros cannot be solved."""
_BUCKETS = 64


@dataclass(frozen=True)
class Fitted:
    """The factors of the instants at which there was something to learn: (key, `as_of`, `factors`) and (`as_of`, `item`, `factors`)."""

    as_ofs: tuple[datetime, ...]
    users: DataFrame
    items: DataFrame


def fit(known: DataFrame, as_ofs: Mapping[datetime, date], key: Sequence[str], declared: Factors) -> Fitted | None:
    """The factors at each `as_of`; None when at none of them two entities and two items had met something.

    Parameters: `known` of `pairs`, with a column `STRENGTH`; it is read several times. Fits at once, a model an instant.
    """
    from pyspark.sql import functions as F

    strong = known.where(F.col(STRENGTH) >= LEAST_STRENGTH).select(*key, "as_of", "__day", "item", F.col(STRENGTH).cast("float"))
    learnable = _learnable(strong, key)
    days = {at: day for at, day in sorted(as_ofs.items()) if day in learnable}
    if not days:
        return None
    users = numbered(strong, [*key, "as_of"], "__user")
    items = numbered(strong, ["item", "as_of"], "__product")
    ratings = strong.join(users, on=[*key, "as_of"], how="inner").join(items, on=["item", "as_of"], how="inner")
    models = {at: _model(ratings.where(F.col("__day") == F.lit(day)), declared) for at, day in days.items()}
    user_factors = _together({at: model[0] for at, model in models.items()}, "__user")
    item_factors = _together({at: model[1] for at, model in models.items()}, "__product")
    return Fitted(
        tuple(days),
        user_factors.join(users, on=["__user", "as_of"], how="inner").select(*key, "as_of", "factors"),
        item_factors.join(items, on=["__product", "as_of"], how="inner").select("as_of", "item", "factors"),
    )


def nearest(fitted: Fitted, asked: DataFrame, offered: DataFrame, key: Sequence[str], limit: int) -> DataFrame:
    """The offered items of the greatest inner product with each asked entity: key, `as_of`, `item`, `__rank` from 1."""
    from pyspark.sql import functions as F

    users = fitted.users.join(asked.select(*key, "as_of"), on=[*key, "as_of"], how="left_semi")
    items = fitted.items.join(offered.select("as_of", "item"), on=["as_of", "item"], how="left_semi")
    parts = []
    for at in fitted.as_ofs:
        now = F.col("as_of") == F.lit(at)
        best = top_items(users.where(now).drop("as_of"), items.where(now).drop("as_of"), limit)
        parts.append(best.select(*key, F.lit(at).alias("as_of"), "item", F.col("rank").alias("__rank")))
    return reduce(lambda one, other: one.unionByName(other), parts)


def with_scores(rows: DataFrame, fitted: Fitted | None, key: Sequence[str]) -> DataFrame:
    """The rows with `factor_score`, the inner product of the pair; null where the entity or the item has no factors."""
    from pyspark.sql import functions as F

    if fitted is None:
        return rows.withColumn("factor_score", F.lit(None).cast("double"))
    users, items = (frame.withColumnRenamed("factors", name) for frame, name in ((fitted.users, "__u"), (fitted.items, "__v")))
    beside = rows.join(users, on=[*key, "as_of"], how="left").join(items, on=["as_of", "item"], how="left")
    return beside.withColumn("factor_score", product("__u", "__v")).drop("__u", "__v")


def product(one: str, other: str) -> Column:
    """The inner product of two columns of factors; null when either is."""
    from pyspark.sql import functions as F

    terms = F.zip_with(one, other, lambda a, b: a.cast("double") * b.cast("double"))
    return F.aggregate(terms, F.lit(0.0), lambda total, term: total + term)


def numbered(rows: DataFrame, name: Sequence[str], number: str) -> DataFrame:
    """The distinct names of each `as_of`, each with an int of its own that depends on that instant's names alone.

    Each name is numbered within its bucket, so that no worker need see all; bucket b has the numbers b, b + 64, and so on.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    bucket = F.pmod(F.xxhash64(*(c for c in name if c != "as_of")), F.lit(_BUCKETS))
    within = Window.partitionBy("as_of", "__bucket").orderBy(*name).rowsBetween(Window.unboundedPreceding, Window.currentRow)
    placed = rows.select(*name).distinct().withColumn("__bucket", bucket)
    place = (F.row_number().over(within) - 1) * F.lit(_BUCKETS) + F.col("__bucket")
    return placed.select(*name, place.cast("int").alias(number))


def _learnable(strong: DataFrame, key: Sequence[str]) -> set[date]:
    """The days of the instants by which some two entities and some two items had met something."""
    from pyspark.sql import functions as F

    entity = F.struct(*key)
    differs = (F.min(entity) != F.max(entity)) & (F.min("item") != F.max("item"))
    return {row["__day"] for row in strong.groupBy("__day").agg(differs.alias("__differs")).where("__differs").select("__day").collect()}


def _model(ratings: DataFrame, declared: Factors) -> tuple[DataFrame, DataFrame]:
    """The factors of users and of items, by number."""
    from pyspark.ml.recommendation import ALS

    model = ALS(
        rank=declared.rank,
        maxIter=declared.iterations,
        regParam=declared.regularisation,
        alpha=declared.alpha,
        seed=declared.seed,
        implicitPrefs=True,
        numUserBlocks=declared.blocks,
        numItemBlocks=declared.blocks,
        userCol="__user",
        itemCol="__product",
        ratingCol=STRENGTH,
    ).fit(ratings)
    return model.userFactors, model.itemFactors


def _together(frames: Mapping[datetime, DataFrame], number: str) -> DataFrame:
    from pyspark.sql import functions as F

    named = [
        frame.select(F.lit(at).alias("as_of"), F.col("id").alias(number), F.col("features").alias("factors"))
        for at, frame in frames.items()
    ]
    return reduce(lambda one, other: one.unionByName(other), named)
