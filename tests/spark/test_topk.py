"""The best items of every user on Spark: what Spark's own recommender says, what was seen is left out, and the same however it is spread."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pyspark.errors import PythonException
from pyspark.ml.recommendation import ALS, ALSModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from penstock.errors import UsageError
from penstock.topk.spark import top_items

pytestmark = pytest.mark.spark
K = 7
Row = tuple[Any, ...]


@pytest.fixture(scope="module")
def fitted(spark: SparkSession) -> ALSModel:
    draw = np.random.default_rng(5)
    pairs = sorted({(int(u), int(i)) for u, i in zip(draw.integers(0, 60, 900), draw.zipf(1.4, 900) % 45, strict=True)})
    ratings = spark.createDataFrame([(u, i, 1.0 + (u * i) % 3) for u, i in pairs], "user int, item int, rating float")
    return ALS(userCol="user", itemCol="item", ratingCol="rating", rank=6, maxIter=3, implicitPrefs=True, seed=1).fit(ratings)


def of_users(model: ALSModel) -> DataFrame:
    return model.userFactors.select(F.col("id").alias("user"), F.col("features").alias("factors"))


def of_items(model: ALSModel) -> DataFrame:
    return model.itemFactors.select(F.lpad(F.col("id").cast("string"), 5, "0").alias("item"), F.col("features").alias("factors"))


def rows(frame: DataFrame) -> list[Row]:
    return sorted((tuple(row) for row in frame.collect()), key=lambda row: (*row[:-3], row[-1]))


def test_the_items_are_those_of_sparks_own_recommender_up_to_ties(spark: SparkSession, fitted: ALSModel) -> None:
    more = K + 8  # so that a tie over the last place is seen as one
    found = rows(top_items(of_users(fitted), of_items(fitted), more))
    peer = {row.user: row.recommendations for row in fitted.recommendForAllUsers(K).collect()}
    assert len(found) == more * len(peer)
    for at in range(0, len(found), more):
        own, theirs = found[at : at + more], peer[found[at][0]]
        assert [row[3] for row in own] == list(range(1, more + 1))
        scores = np.array([row[2] for row in own])
        assert np.allclose(scores[:K], [r.rating for r in theirs], rtol=0, atol=1e-6)
        for row, their in zip(own[:K], theirs, strict=True):
            tied = {int(other[1]) for other in own if abs(other[2] - row[2]) < 1e-6}
            assert their.item in tied, (row, their)


def test_partitions_batches_and_replanning_change_nothing(spark: SparkSession, fitted: ALSModel) -> None:
    whole = rows(top_items(of_users(fitted), of_items(fitted), K))
    assert rows(top_items(of_users(fitted).repartition(3), of_items(fitted).repartition(4), K, partitions=5)) == whole
    # Items over many batches and beside users in one; and a Spark that joins small partitions.
    changed = {"spark.sql.execution.arrow.maxRecordsPerBatch": "7", "spark.sql.adaptive.enabled": "true"}
    before = {name: str(spark.conf.get(name)) for name in changed}
    try:
        for name, value in changed.items():
            spark.conf.set(name, value)
        for partitions in (1, 6):
            assert rows(top_items(of_users(fitted), of_items(fitted), K, partitions=partitions)) == whole
    finally:
        for name, value in before.items():
            spark.conf.set(name, value)


def test_seen_items_are_left_out_for_their_user_alone_under_a_key_of_two_columns(spark: SparkSession) -> None:
    users = spark.createDataFrame(
        [("a", 1, [1.0]), ("a", 2, [-1.0]), ("b", 1, [0.0]), ("c", 1, [1.0])], "shop string, id int, factors array<double>"
    )
    items = spark.createDataFrame([("y", [2.0]), ("x", [1.0]), ("z", [1.0]), ("é", [3.0])], "item string, factors array<float>")
    pairs = [("a", 1, "y"), ("a", 1, "y"), ("a", 1, "gone"), ("b", 1, "x"), ("nobody", 1, "x"), *(("c", 1, i) for i in "xyzé")]
    seen = spark.createDataFrame(pairs, "shop string, id int, item string")
    found = top_items(users, items, 3, seen, partitions=2)
    assert found.dtypes == [("shop", "string"), ("id", "int"), ("item", "string"), ("score", "float"), ("rank", "int")]
    assert rows(found) == [
        ("a", 1, "é", 3.0, 1),
        ("a", 1, "x", 1.0, 2),
        ("a", 1, "z", 1.0, 3),
        ("a", 2, "x", -1.0, 1),
        ("a", 2, "z", -1.0, 2),
        ("a", 2, "y", -2.0, 3),
        ("b", 1, "y", 0.0, 1),
        ("b", 1, "z", 0.0, 2),
        ("b", 1, "é", 0.0, 3),
    ]


def test_no_items_or_no_users_give_no_rows(spark: SparkSession, fitted: ALSModel) -> None:
    assert rows(top_items(of_users(fitted), of_items(fitted).limit(0), K)) == []
    assert rows(top_items(of_users(fitted).limit(0), of_items(fitted), K)) == []


@pytest.mark.parametrize(
    ("item", "factors", "said"),
    [
        ("x", [1.0, 2.0], "0 without a name and 1 twice"),
        (None, [1.0, 2.0], "1 without a name and 0 twice"),
        ("y", [1.0], "2 lengths"),
        ("y", None, "1 rows without"),
        ("y", [1.0, None], "1 nulls"),
        ("y", [1.0, float("nan")], "a number that is not finite"),
    ],
)
def test_a_broken_catalogue_stops_the_job_with_a_sentence(spark: SparkSession, item: str | None, factors: Any, said: str) -> None:
    users = spark.createDataFrame([(1, [1.0, 1.0])], "id int, factors array<float>")
    items = spark.createDataFrame([("x", [1.0, 2.0]), (item, factors)], "item string, factors array<float>")
    with pytest.raises(PythonException, match=said):
        top_items(users, items, 2).collect()


def test_frames_that_do_not_fit_are_refused_before_any_job(spark: SparkSession) -> None:
    users = spark.createDataFrame([(1, [1.0])], "id int, factors array<float>")
    items = spark.createDataFrame([("x", [1.0])], "item string, factors array<float>")
    with pytest.raises(UsageError, match="columns of users"):
        top_items(users.drop("id"), items, 2)
    with pytest.raises(UsageError, match="id columns of users: got rank"):
        top_items(users.withColumnRenamed("id", "rank"), items, 2)
    with pytest.raises(UsageError, match="columns of items"):
        top_items(users, users, 2)
    with pytest.raises(UsageError, match="columns of seen: got id, factors, expected id, item"):
        top_items(users, items, 2, users)
    with pytest.raises(UsageError, match="got 0, expected 1 or more"):
        top_items(users, items, 0)
