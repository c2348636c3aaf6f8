"""Outcomes beside labels, against a plain recomputation: which (entity, as_of) a row speaks of, which one counts, how each stands."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from penstock.config.label import Label
from penstock.labels import said

pytestmark = pytest.mark.spark

FIRST, HORIZON = date(2024, 3, 4), 10
AS_OFS = {datetime(2024, 3, day, tzinfo=UTC): date(2024, 3, day) for day in (4, 11, 18)}
SCHEMA = "who string, at timestamp, about date, result double, _file string, _row bigint, _known_at timestamp"
Row = tuple[str, datetime | None, date | None, float | None, str, int, datetime]


def label(**changes: Any) -> Label:
    given: dict[str, Any] = {"source": "crm", "event_time": "at", "horizon_days": HORIZON, "expression": "result"}
    return Label.model_validate(given | changes)


def drawn(seed: int) -> list[Row]:
    """Rows of few members over a month, so that many meet; some without a value, some of strangers, one without a time."""
    draw = random.Random(seed)
    rows: list[Row] = []
    for n in range(60):
        day = FIRST + timedelta(days=draw.randrange(-4, 30))
        at = datetime(day.year, day.month, day.day, draw.randrange(24), tzinfo=UTC)
        value = draw.choice([0.0, 1.0, 1.0, None])
        rows.append((f"m{draw.randrange(8)}", at, draw.choice(list(AS_OFS.values())), value, f"f{n % 3}", n, at + timedelta(days=1)))
    return [*rows, ("m1", None, None, 1.0, "f9", 99, datetime(2024, 3, 5, tzinfo=UTC))]


def day_of(row: Row, by: Label) -> date | None:
    return row[2] if by.about else row[1].date() if row[1] else None


def meets(row: Row, day: date, by: Label) -> bool:
    own = day_of(row, by)
    reach = timedelta(days=1 if by.about else HORIZON)
    return row[3] is not None and own is not None and day <= own < day + reach


def order(row: Row) -> tuple[Any, ...]:
    return (row[1] or datetime.min.replace(tzinfo=UTC), row[6], row[4], row[5])


def frames(spark: SparkSession, rows: list[Row], by: Label) -> tuple[DataFrame, DataFrame, DataFrame]:
    told = said.outcomes(spark.createDataFrame(rows, SCHEMA), by, ["who"], "UTC")
    pairs = said.spoken(told, spark.createDataFrame(sorted(AS_OFS.items()), "as_of timestamp, __day date"), by)
    members = spark.createDataFrame([(f"m{n}", at) for n in range(6) for at in AS_OFS], "who string, as_of timestamp")
    return told, pairs, members


@pytest.mark.parametrize(("seed", "by"), [(1, label()), (2, label()), (3, label(about="about"))])
def test_outcomes_stand_as_a_recomputation_row_by_row_says(spark: SparkSession, seed: int, by: Label) -> None:
    rows = drawn(seed)
    told, pairs, members = frames(spark, rows, by)
    met = {
        (who, at): sorted((r for r in rows if r[0] == who and meets(r, day, by)), key=order)
        for at, day in AS_OFS.items()
        for who in {r[0] for r in rows}
    }

    newest = {(r["who"], r["as_of"]): (r["value"], r["since"]) for r in said.newest(pairs, ["who"]).toArrow().to_pylist()}
    assert newest == {key: (found[-1][3], found[-1][6]) for key, found in met.items() if found}

    def standing(row: Row) -> tuple[str, int]:
        own = [found for (who, _), found in met.items() if who < "m6" and row in found]
        if row[3] is None:
            return "silent", 0
        if not own:
            return "unmatched", 0
        if any(len({r[3] for r in found}) > 1 for found in own):
            return "contradicting", len(own)
        return ("duplicate" if all(found[0] != row for found in own) else "matched"), len(own)

    found = said.standings(told, pairs, members, ["who"]).toArrow().to_pylist()
    assert {r["_row"]: (r["standing"], r["labels"]) for r in found} == {r[5]: standing(r) for r in rows}
    assert len(found) == len(rows)
    assert {"matched", "duplicate", "contradicting", "unmatched", "silent"} == {r["standing"] for r in found}


def test_rows_that_a_newer_version_of_their_file_left_out_count_no_more(spark: SparkSession) -> None:
    known = [datetime(2024, 3, day, tzinfo=UTC) for day in (5, 9)]
    rows = [("m1", known[0], None, 1.0, "f", 1, known[0]), ("m2", known[0], None, 0.0, "f", 1, known[1])]
    files = spark.createDataFrame([("f", at) for at in known], "_file string, _known_at timestamp")
    landed = spark.createDataFrame(rows, SCHEMA)
    for by, who in ((datetime(2024, 3, 8, tzinfo=UTC), "m1"), (known[1], "m2")):
        from pyspark.sql import functions as F

        assert [r["who"] for r in said.valid(landed, files, F.lit(by)).collect()] == [who]


def test_nothing_is_written_of_rows_that_stand_as_they_did(spark: SparkSession) -> None:
    told, pairs, members = frames(spark, drawn(1), label())
    now = said.standings(told, pairs, members, ["who"])
    assert said.standing_changes(now, now).count() == 0
    fewer = now.where("_row <> 7")
    gone = said.standing_changes(fewer, now).toArrow().to_pylist()
    assert [(r["_row"], r["standing"]) for r in gone] == [(7, "withdrawn")]


def test_a_member_is_treated_not_treated_or_not_known_to_be(spark: SparkSession) -> None:
    instants = spark.createDataFrame(sorted(AS_OFS.items()), "as_of timestamp, __day date")
    members = spark.createDataFrame([(who, at) for who in ("m1", "m2") for at in AS_OFS], "who string, as_of timestamp")
    contacts = spark.createDataFrame([("m1", FIRST + timedelta(days=n)) for n in (0, 0, 6, 7)], "who string, hop date")
    complete = instants.where("__day = DATE'2024-03-04'")
    found = said.treated(members, contacts, instants, complete, entity=["who"], within_days=7).toArrow().to_pylist()
    assert {(r["who"], r["as_of"].day): r["treated"] for r in found} == {
        ("m1", 4): True,
        ("m1", 11): True,
        ("m1", 18): None,
        ("m2", 4): False,
        ("m2", 11): None,
        ("m2", 18): None,
    }
    assert len(found) == 6
