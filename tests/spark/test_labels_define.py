"""Labels as rows: who is labelled, absence as a count of zero, what is written when a label matures, turns or is given up."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from penstock.config.load import load
from penstock.features.spec import feature_columns
from penstock.labels import define
from penstock.labels.mature import Cohort

pytestmark = pytest.mark.spark

PIPELINE = load(Path(__file__).parents[2] / "conf", "local", "churn").pipeline
KEY = ("customer_id", "as_of")
DUE, WAITING, LOST = (datetime(2011, month, 4, 23, tzinfo=UTC) for month in (7, 8, 6))
SINCE = datetime(2011, 8, 5, 23, tzinfo=UTC)
STANDINGS = [
    (Cohort(date(2011, 7, 5), "matured", SINCE), DUE),
    (Cohort(date(2011, 8, 5), "pending", None), WAITING),
    (Cohort(date(2011, 6, 5), "censored", SINCE), LOST),
]
HORIZON = "customer_id string, as_of timestamp, orders bigint, spend decimal(18,3), lines bigint, products bigint, returns bigint, active_days bigint, country string"


def told(frame: DataFrame) -> list[dict[str, Any]]:
    return sorted(frame.toArrow().to_pylist(), key=lambda row: (row["customer_id"] or "", row["as_of"]))


def population(spark: SparkSession, *rows: tuple[str, datetime]) -> DataFrame:
    return spark.createDataFrame(list(rows), "customer_id string, as_of timestamp")


def outcomes(spark: SparkSession, *orders: tuple[str, datetime, int]) -> DataFrame:
    return spark.createDataFrame([(c, at, n, None, n, n, 0, n, "France") for c, at, n in orders], HORIZON)


def labelled(spark: SparkSession, members: DataFrame, *orders: tuple[str, datetime, int]) -> DataFrame:
    standing = define.standing_members(members, define.standings_frame(members, STANDINGS))
    return define.labelled(standing, outcomes(spark, *orders), PIPELINE)


def labels(spark: SparkSession, *rows: tuple[Any, ...]) -> DataFrame:
    """Rows of the labels table: customer, as_of, label, state, matured_at, revision, and treated where it is given."""
    ddl = "customer_id string, as_of timestamp, label double, state string, matured_at timestamp, revision int, treated boolean"
    return spark.createDataFrame([(*row, *(None,) * (7 - len(row))) for row in rows], ddl)


def test_only_who_is_of_the_population_is_labelled_and_not_known_is_not_of_it(spark: SparkSession) -> None:
    names = [name for name, _ in feature_columns(PIPELINE.features)]
    assert "orders_90d" in names
    features = spark.createDataFrame(
        [("in", DUE, 1), ("out", DUE, 0), ("unknown", DUE, None), ("in", WAITING, 3)],
        "customer_id string, as_of timestamp, orders_90d bigint",
    )
    found = define.members(features, PIPELINE)
    assert found.columns == list(KEY)
    assert [(r["customer_id"], r["as_of"]) for r in told(found)] == [("in", DUE), ("in", WAITING)]


def test_who_did_nothing_in_the_horizon_churned_and_who_bought_did_not(spark: SparkSession) -> None:
    members = population(spark, ("silent", DUE), ("bought", DUE), ("only_returned", DUE))
    found = told(labelled(spark, members, ("bought", DUE, 2), ("only_returned", DUE, 0), ("stranger", DUE, 1), ("silent", WAITING, 1)))
    assert [(r["customer_id"], r["label"], r["state"], r["matured_at"]) for r in found] == [
        ("bought", 0.0, "matured", SINCE),
        ("only_returned", 1.0, "matured", SINCE),
        ("silent", 1.0, "matured", SINCE),
    ]


def test_a_cohort_that_has_not_matured_or_was_given_up_has_no_label_whatever_is_known_of_it(spark: SparkSession) -> None:
    members = population(spark, *((name, at) for name in ("bought", "silent") for at in (WAITING, LOST)))
    found = told(labelled(spark, members, ("bought", WAITING, 2), ("bought", LOST, 1)))
    assert {r["label"] for r in found} == {None}
    assert {(r["as_of"], r["state"], r["matured_at"]) for r in found} == {(WAITING, "pending", None), (LOST, "censored", SINCE)}


def test_every_member_of_a_cohort_that_stands_has_one_row(spark: SparkSession) -> None:
    members = population(spark, *((f"c{i}", at) for i in range(20) for at in (DUE, WAITING, LOST)))
    found = labelled(spark, members, *((f"c{i}", DUE, i) for i in range(0, 30, 2)))
    assert found.columns == ["customer_id", "as_of", "label", "state", "matured_at"]
    keys = [(r["customer_id"], r["as_of"]) for r in told(found)]
    assert len(keys) == len(set(keys)) == 60


def test_an_outcome_that_nobody_can_count_as_zero_stays_unknown(spark: SparkSession) -> None:
    other = PIPELINE.model_copy(update={"label": PIPELINE.label.model_copy(update={"expression": "country = 'France'"})})
    members = population(spark, ("bought", DUE), ("silent", DUE))
    standing = define.standing_members(members, define.standings_frame(members, STANDINGS))
    found = define.labelled(standing, outcomes(spark, ("bought", DUE, 1)), other)
    assert [(r["customer_id"], r["label"]) for r in told(found)] == [("bought", 1.0), ("silent", None)]


def changed(spark: SparkSession, desired: list[tuple[Any, ...]], current: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    found = told(define.changes(wanted(spark, desired), labels(spark, *current), KEY))
    return [(r["customer_id"], r["label"], r["state"], r["matured_at"], r["revision"]) for r in found]


def wanted(spark: SparkSession, desired: list[tuple[Any, ...]]) -> DataFrame:
    ddl = "customer_id string, as_of timestamp, label double, state string, matured_at timestamp, treated boolean"
    return spark.createDataFrame([(*row, *(None,) * (6 - len(row))) for row in desired], ddl)


LATER = SINCE + timedelta(days=9)


def test_new_members_are_written_as_they_stand(spark: SparkSession) -> None:
    desired = [("a", DUE, 1.0, "matured", SINCE), ("b", WAITING, None, "pending", None)]
    assert changed(spark, desired, []) == [("a", 1.0, "matured", SINCE, 0), ("b", None, "pending", None, 0)]


def test_what_stands_as_it_did_is_not_written(spark: SparkSession) -> None:
    desired = [
        ("a", DUE, 1.0, "matured", LATER),
        ("b", WAITING, None, "pending", None),
        ("c", LOST, None, "censored", LATER),
        ("d", DUE, 0.0, "matured", LATER),
    ]
    current = [
        ("a", DUE, 1.0, "matured", SINCE, 0),
        ("b", WAITING, None, "pending", None, 0),
        ("c", LOST, None, "censored", SINCE, 0),
        ("d", DUE, 0.0, "revised", SINCE, 1),
    ]
    assert changed(spark, desired, current) == []


def test_a_pending_label_matures_or_is_given_up_and_a_given_up_one_can_mature_after_all(spark: SparkSession) -> None:
    desired = [("a", DUE, 1.0, "matured", SINCE), ("b", LOST, None, "censored", SINCE), ("c", DUE, 0.0, "matured", LATER)]
    current = [("a", DUE, None, "pending", None, 0), ("b", LOST, None, "pending", None, 0), ("c", DUE, None, "censored", SINCE, 0)]
    assert changed(spark, desired, current) == [
        ("a", 1.0, "matured", SINCE, 0),
        ("b", None, "censored", SINCE, 0),
        ("c", 0.0, "matured", LATER, 0),
    ]


def test_a_matured_label_that_turns_out_otherwise_is_revised_each_time_and_keeps_when_it_matured(spark: SparkSession) -> None:
    desired = [("a", DUE, 0.0, "matured", LATER), ("b", DUE, 1.0, "matured", LATER), ("c", DUE, None, "matured", LATER)]
    current = [("a", DUE, 1.0, "matured", SINCE, 0), ("b", DUE, 0.0, "revised", SINCE, 1), ("c", DUE, 0.0, "matured", SINCE, 0)]
    assert changed(spark, desired, current) == [
        ("a", 0.0, "revised", SINCE, 1),
        ("b", 1.0, "revised", SINCE, 2),
        ("c", None, "revised", SINCE, 1),
    ]


def test_a_matured_label_is_never_taken_back_by_a_cohort_that_looks_incomplete_again(spark: SparkSession) -> None:
    desired = [("a", DUE, None, "pending", None), ("b", DUE, None, "censored", LATER)]
    assert changed(spark, desired, [("a", DUE, 1.0, "matured", SINCE, 0), ("b", DUE, 0.0, "revised", SINCE, 1)]) == []


def test_a_label_whose_only_outcome_is_withdrawn_is_revised_to_unknown(spark: SparkSession) -> None:
    desired = [("a", DUE, None, define.UNSAID, SINCE), ("b", DUE, None, define.UNSAID, SINCE)]
    current = [("a", DUE, 1.0, "matured", SINCE, 0), ("b", DUE, None, "censored", SINCE, 0)]
    assert changed(spark, desired, current) == [("a", None, "revised", SINCE, 1)]


def test_new_word_of_a_treatment_leaves_the_label_as_it_was(spark: SparkSession) -> None:
    desired = [
        ("a", DUE, 1.0, "matured", LATER, True),
        ("b", DUE, 0.0, "matured", LATER, False),
        ("c", WAITING, None, "pending", None, None),
    ]
    current = [
        ("a", DUE, 1.0, "revised", SINCE, 2, None),
        ("b", DUE, 0.0, "matured", SINCE, 0, False),
        ("c", WAITING, None, "pending", None, 0, True),
    ]
    found = told(define.changes(wanted(spark, desired), labels(spark, *current), KEY))
    assert [(r["customer_id"], r["label"], r["state"], r["matured_at"], r["revision"], r["treated"]) for r in found] == [
        ("a", 1.0, "revised", SINCE, 2, True),
        ("c", None, "pending", None, 0, None),
    ]
