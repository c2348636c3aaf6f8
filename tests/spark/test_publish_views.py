"""What changes in the latest and the CRM table, and what does not: age, business values, tombstones, the control group."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from penstock.config.publish import PublishConfig
from penstock.publish import answers, views
from penstock.publish.record import band_of

pytestmark = pytest.mark.spark

KEY = ("customer",)
SHOWN = answers.of("classification")
CONFIG = PublishConfig()  # low 0.0, medium 0.4, high 0.7; four digits
OLD, NEW = datetime(2011, 9, 4, 23, tzinfo=UTC), datetime(2011, 9, 11, 23, tzinfo=UTC)
AT = datetime(2011, 9, 12, 8, tzinfo=UTC)
MICRO = timedelta(microseconds=1)
LATEST = (
    "customer string, as_of timestamp, score double, model_version int, promotion int, band string, is_control boolean, "
    "is_active boolean, reasons array<string>, updated_at timestamp"
)
WORDS = ["last purchase 64 days ago", "orders: 1"]
"""Reasons of everybody who is not in the control group."""


def cohort(spark: SparkSession, *rows: tuple[str, float, bool], as_of: datetime = NEW, version: int = 1) -> DataFrame:
    """Predictions (customer, score, control) of one `as_of`, with the promotion under which they were scored."""
    values = [(name, as_of, score, version, 77, control, None if control else WORDS) for name, score, control in rows]
    columns = "customer string, as_of timestamp, score double, model_version int, promotion int, is_control boolean, reasons array<string>"
    return spark.createDataFrame(values, columns)


def latest(
    spark: SparkSession, *rows: tuple[Any, ...], as_of: datetime = OLD, promotion: int = 1, words: list[str] | None = None
) -> DataFrame:
    """The latest table: (customer, score, band, control, active)."""
    before = AT - timedelta(days=7)
    values = [(name, as_of, score, 1, promotion, band, control, active, words, before) for name, score, band, control, active in rows]
    return spark.createDataFrame(values, LATEST)


def told(frame: DataFrame, *columns: str) -> list[tuple[Any, ...]]:
    return sorted(tuple(row[c] for c in columns) for row in frame.select(*columns).toArrow().to_pylist())


def written(
    scores: DataFrame, current: DataFrame, *, as_of: datetime = NEW, promotion: int = 1, config: PublishConfig = CONFIG
) -> DataFrame:
    """The rows that a publish would merge into the latest table."""
    return views.latest_changes(views.latest(scores, current, KEY, as_of, promotion, config, SHOWN), current, KEY, AT, SHOWN)


def test_a_newer_cohort_is_written_whole_also_where_its_scores_are_the_same(spark: SparkSession) -> None:
    current = latest(spark, ("a", 0.5, "medium", False, True), ("b", 0.9, "high", False, True))
    changed = written(cohort(spark, ("a", 0.5, False), ("b", 0.1, False), ("c", 0.75, True), version=2), current, promotion=2)
    assert told(changed, "customer", "score", "band", "is_control", "is_active", "model_version", "promotion", "as_of", "updated_at") == [
        ("a", 0.5, "medium", False, True, 2, 2, NEW, AT),
        ("b", 0.1, "low", False, True, 2, 2, NEW, AT),
        ("c", 0.75, "high", True, True, 2, 2, NEW, AT),
    ]


def test_the_same_cohort_again_changes_nothing(spark: SparkSession) -> None:
    current = latest(spark, ("a", 0.5, "medium", False, True), ("gone", 0.2, "low", False, False), as_of=NEW)
    assert told(written(cohort(spark, ("a", 0.50001, False)), current), "customer") == []


def test_at_the_same_age_only_a_business_value_that_differs_is_written(spark: SparkSession) -> None:
    current = latest(spark, *((name, 0.5, "medium", False, True) for name in ("same", "score", "control")), as_of=NEW)
    scores = cohort(spark, ("same", 0.5, False), ("score", 0.5002, False), ("control", 0.5, True))
    assert told(written(scores, current), "customer", "score", "is_control") == [("control", 0.5, True), ("score", 0.5002, False)]
    moved = PublishConfig.model_validate({"bands": [{"name": "low", "lower": 0.0}, {"name": "high", "lower": 0.5}]})
    assert {band for _, band in told(written(scores, current, config=moved), "customer", "band")} == {"high"}


def test_a_higher_promotion_of_the_same_as_of_is_newer_and_a_lower_one_older(spark: SparkSession) -> None:
    current = latest(spark, ("a", 0.5, "medium", False, True), as_of=NEW, promotion=2)
    scores = cohort(spark, ("a", 0.1, False))
    assert told(written(scores, current, promotion=3), "customer", "score", "promotion") == [("a", 0.1, 3)]
    assert told(written(scores, current, promotion=1), "customer") == []


def test_an_older_cohort_changes_nobody_who_has_a_newer_row_and_buries_nobody_who_came_since(spark: SparkSession) -> None:
    current = latest(spark, ("a", 0.5, "medium", False, True), ("came_since", 0.5, "medium", False, True), as_of=NEW)
    changed = written(cohort(spark, ("a", 0.1, False), ("new", 0.3, False), as_of=OLD), current, as_of=OLD, promotion=9)
    assert told(changed, "customer") == [("new",)]


def test_who_has_left_the_cohort_is_tombstoned_once_with_the_score_it_had(spark: SparkSession) -> None:
    current = latest(spark, ("a", 0.5, "medium", False, True), ("gone", 0.9, "high", False, True), ("long_gone", 0.9, "high", False, False))
    changed = written(cohort(spark, ("a", 0.5, False)), current)
    assert told(changed, "customer", "is_active", "score", "band", "as_of") == [
        ("a", True, 0.5, "medium", NEW),
        ("gone", False, 0.9, "high", OLD),
    ]


def test_who_comes_back_is_active_again(spark: SparkSession) -> None:
    current = latest(spark, ("a", 0.5, "medium", False, False))
    assert told(written(cohort(spark, ("a", 0.5, False)), current), "customer", "is_active") == [("a", True)]


def test_each_entity_is_written_at_most_once(spark: SparkSession) -> None:
    current = latest(spark, *((f"c{i}", 0.5, "medium", False, True) for i in range(20)))
    changed = written(cohort(spark, *((f"c{i}", 0.5, False) for i in range(10, 30))), current)
    names = told(changed, "customer")
    assert len(names) == len(set(names)) == 30


def test_bands_are_those_that_redis_gets_at_every_bound_and_around_it(spark: SparkSession) -> None:
    scores = [0.0, 0.3999, 0.39994, 0.39996, 0.4, 0.69999, 0.7, 0.70004, 1.0]
    rows = cohort(spark, *((f"c{i}", score, False) for i, score in enumerate(scores)))
    desired = views.latest(rows, latest(spark), KEY, NEW, 1, CONFIG, SHOWN)
    found = told(desired, "customer", "score", "band")
    assert [band for *_, band in found] == [band_of(score, CONFIG.bounds()) for _, score, _ in found]
    assert [band for *_, band in found] == ["low", "low", "low", "medium", "medium", "high", "high", "high", "high"]


# ---- the CRM table ----


def crm(spark: SparkSession, *rows: tuple[Any, ...], at: datetime = AT - timedelta(days=7)) -> DataFrame:
    """The CRM table: (customer, probability, band, active), with other words than any that are published."""
    columns = "customer string, probability double, risk_band string, reason_1 string, reason_2 string, reason_3 string, is_active boolean, updated_at timestamp"
    return spark.createDataFrame([(*row[:-1], "old", "old", "old", row[-1], at) for row in rows], columns)


def crm_written(published: DataFrame, current: DataFrame, at: datetime = AT) -> list[tuple[Any, ...]]:
    return told(
        views.crm_changes(published, current, KEY, at, "probability", SHOWN),
        "customer",
        "probability",
        "risk_band",
        "is_active",
        "updated_at",
    )


def test_new_entities_come_into_the_crm_table_and_the_control_group_and_tombstones_do_not(spark: SparkSession) -> None:
    published = latest(spark, ("a", 0.5, "medium", False, True), ("control", 0.9, "high", True, True), ("gone", 0.1, "low", False, False))
    assert crm_written(published, crm(spark)) == [("a", 0.5, "medium", True, AT)]


def test_an_unchanged_row_is_not_written_though_its_score_is_newer(spark: SparkSession) -> None:
    current = crm(spark, ("a", 0.5, "medium", True))
    assert crm_written(latest(spark, ("a", 0.5, "medium", False, True), as_of=NEW, promotion=5), current) == []


@pytest.mark.parametrize(
    ("row", "written_row"),
    [
        (("a", 0.6, "medium", False, True), (0.6, "medium", True)),
        (("a", 0.5, "high", False, True), (0.5, "high", True)),
        (("a", 0.5, "medium", False, False), (0.5, "medium", False)),
        (("a", 0.5, "medium", True, True), (0.5, "medium", False)),  # became control: tombstoned
    ],
)
def test_a_business_value_that_moves_is_written_with_the_clock(
    spark: SparkSession, row: tuple[Any, ...], written_row: tuple[Any, ...]
) -> None:
    current = crm(spark, ("a", 0.5, "medium", True), ("b", 0.5, "medium", True))
    published = latest(spark, row, ("b", 0.5, "medium", False, True))
    assert crm_written(published, current) == [("a", *written_row, AT)]


def test_words_stand_flat_beside_the_score_the_missing_ones_null(spark: SparkSession) -> None:
    changed = views.crm_changes(
        latest(spark, ("a", 0.6, "medium", False, True), words=WORDS), crm(spark, ("a", 0.5, "medium", True)), KEY, AT, "probability", SHOWN
    )
    assert told(changed, "customer", *answers.REASONS) == [("a", *WORDS, None)]
    nobody = views.crm_changes(latest(spark, ("a", 0.6, "medium", False, True)), crm(spark), KEY, AT, "probability", SHOWN)
    assert told(nobody, "customer", *answers.REASONS) == [("a", None, None, None)]


def test_words_alone_do_not_move_a_row(spark: SparkSession) -> None:
    published = latest(spark, ("a", 0.5, "medium", False, True), as_of=NEW, words=WORDS)
    assert crm_written(published, crm(spark, ("a", 0.5, "medium", True))) == []


def test_the_latest_table_takes_the_words_of_the_cohort(spark: SparkSession) -> None:
    changed = written(cohort(spark, ("a", 0.5, False), ("b", 0.5, True)), latest(spark, ("a", 0.5, "medium", False, True), words=["old"]))
    assert told(changed, "customer", "reasons") == [("a", WORDS), ("b", None)]


def test_a_tombstone_is_left_alone_whatever_its_score_does_until_it_may_be_contacted_again(spark: SparkSession) -> None:
    current = crm(spark, ("a", 0.5, "medium", False))
    assert crm_written(latest(spark, ("a", 0.9, "high", True, True)), current) == []
    assert crm_written(latest(spark, ("a", 0.9, "high", False, False)), current) == []
    assert crm_written(latest(spark, ("a", 0.9, "high", False, True)), current) == [("a", 0.9, "high", True, AT)]


@pytest.mark.parametrize("behind", [timedelta(0), timedelta(hours=1), MICRO])
def test_updated_at_grows_also_when_the_clock_stands_or_goes_back(spark: SparkSession, behind: timedelta) -> None:
    current = crm(spark, ("a", 0.5, "medium", True), at=AT)
    ((*_, updated),) = crm_written(latest(spark, ("a", 0.6, "medium", False, True)), current, at=AT - behind)
    assert updated == AT + MICRO


def test_a_clock_one_microsecond_ahead_is_taken_as_it_is(spark: SparkSession) -> None:
    current = crm(spark, ("a", 0.5, "medium", True), at=AT)
    ((*_, updated),) = crm_written(latest(spark, ("a", 0.6, "medium", False, True)), current, at=AT + MICRO)
    assert updated == AT + MICRO


def test_what_was_written_makes_the_next_publish_empty(spark: SparkSession) -> None:
    scores = cohort(spark, ("a", 0.51234567, False), ("b", 0.9, True))
    before = latest(spark, ("gone", 0.2, "low", False, True))
    table = written(scores, before)
    merged = spark.createDataFrame(table.toArrow(), table.schema).select(*latest(spark).columns)
    assert merged.count() == 3
    assert told(written(scores, merged), "customer") == []
    first = views.crm_changes(merged, crm(spark), KEY, AT, "probability", SHOWN)
    assert told(views.crm_changes(merged, first, KEY, AT + timedelta(days=1), "probability", SHOWN), "customer") == []
