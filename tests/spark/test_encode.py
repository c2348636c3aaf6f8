"""The encoder in Spark's workers."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from penstock.clock import from_epoch
from penstock.publish.encode import SCHEMA, Encoder
from penstock.publish.reasons import Coder, field_of
from penstock.publish.record import PublishedScore, encode, key_text

AS_OF = datetime(2011, 9, 4, 23, tzinfo=UTC)
CODER = Coder([("last purchase ", " days ago")])
ENCODER = Encoder(("shop", "customer"), "score", AS_OF, "3", sentences=CODER.sentences)
COLUMNS = "shop string, customer int, score double, band string, reasons array<string>, scored_at bigint"
ROWS = [
    ("north", 17850, 0.81234, "high", ["last purchase 64 days ago"], 1_795_243_174_987_654),
    ('"a:b"', 1, 0.5, "é", None, 0),
    ("[x]", 2, -0.00001, "", [], 1),
]


def encoded(frame: DataFrame, encoder: Encoder) -> dict[str, bytes]:
    return {row["field"].decode(): bytes(row["value"]) for row in frame.mapInArrow(encoder, SCHEMA).collect()}


def test_workers_write_what_the_pure_encoders_write(spark: SparkSession) -> None:
    frame = spark.createDataFrame(ROWS, COLUMNS).repartition(2, "customer")
    expected = {
        key_text((shop, customer)): encode(PublishedScore(score, band, AS_OF, "3", from_epoch(at)))
        for shop, customer, score, band, _, at in ROWS
    }
    expected[field_of(key_text(("north", 17850)))] = CODER.encode(["last purchase 64 days ago"])
    assert encoded(frame, ENCODER) == expected


def test_a_key_without_a_part_stops_the_job_with_a_count(spark: SparkSession) -> None:
    frame = spark.createDataFrame([*ROWS, ("secret", None, 0.5, "", None, 1)], COLUMNS).coalesce(1)
    with pytest.raises(PySparkException, match=r"entity keys to publish: got a part that is null in 1 of \d rows") as caught:
        encoded(frame, ENCODER)
    assert "secret" not in str(caught.value)
