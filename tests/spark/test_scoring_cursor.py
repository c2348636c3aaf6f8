"""Where scoring stands: the newest rows say the same as the whole table, in histories of every kind that the rules of scoring make."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from pyspark.sql import DataFrame, SparkSession

from penstock.scoring.cursor import newest_as_of, scored
from penstock.scoring.plan import Scored, decide

pytestmark = pytest.mark.spark

FIRST, WEEK = datetime(2011, 1, 3, tzinfo=UTC), timedelta(days=7)
REACH = 4 * WEEK


@dataclass(frozen=True)
class Row:
    """One append to the predictions: its week, version, backfill or not, and the feature table's version."""

    week: int
    version: int
    backfill: bool
    to: int


def predictions(spark: SparkSession, rows: list[Row]) -> DataFrame:
    values = [(FIRST + WEEK * r.week, r.version, r.backfill, r.to) for r in rows]
    return spark.createDataFrame(values, "as_of timestamp, model_version int, backfill boolean, _to_version bigint")


def whole(rows: list[Row], version: int, week: int) -> Scored:
    """The answer from all rows, as the docstring of `Scored` says it."""
    own = [r.to for r in rows if r.version == version and (not r.backfill or r.week == week)]
    regular = [r.week for r in rows if not r.backfill]
    return Scored(max(own, default=-1), FIRST + WEEK * max(regular) if regular else None)


def history(seed: int) -> tuple[list[Row], int]:
    """Runs of thirty weeks, some missed, some for an older week, under versions that change and come back; and the feature table's version."""
    draw, rows, to, version = random.Random(seed), list[Row](), 0, 1
    for now in range(30):
        to += draw.random() < 0.9
        if draw.random() < 0.15:
            version = draw.randint(1, 4)
        if draw.random() < 0.3:
            continue
        week = now if draw.random() < 0.8 else draw.randint(0, now)
        was = whole(rows, version, week)
        plan = decide(version, 1, FIRST + WEEK * week, to, was)
        if not plan.empty:
            rows.append(Row(week, version, plan.backfill, plan.to))
    return rows, to


@pytest.mark.parametrize("seed", range(4))
def test_the_newest_rows_lead_to_the_same_plan_as_all_rows(spark: SparkSession, seed: int) -> None:
    rows, to = history(seed)
    frame, draw = predictions(spark, rows), random.Random(seed)
    for version, week in [(draw.randint(1, 5), draw.choice((30, 31, 36, draw.randint(0, 29)))) for _ in range(8)]:
        newest = FIRST + WEEK * week
        found, expected = scored(frame, version, newest, REACH), whole(rows, version, week)
        assert found.cursor == expected.cursor
        assert decide(version, 1, newest, to, found) == decide(version, 1, newest, to, expected)


def test_the_newest_as_of_is_found_near_far_and_not_at_all(spark: SparkSession) -> None:
    frame = predictions(spark, [Row(week, 1, False, 1) for week in (0, 3, 20)])
    at = {20: 20, 22: 20, 40: 20, 19: 3, 2: 0}
    assert {week: newest_as_of(frame, FIRST + WEEK * week, REACH) for week in at} == {k: FIRST + WEEK * v for k, v in at.items()}
    assert newest_as_of(frame, FIRST - WEEK, REACH) is None
