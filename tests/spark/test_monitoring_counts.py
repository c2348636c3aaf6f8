"""Counting a Spark frame against a frozen profile gives what counting the same rows in Arrow gives."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from penstock.config.monitoring import DriftConfig
from penstock.monitoring.profile import count_frame, counts_from_rows, make_profile

pytestmark = pytest.mark.spark

ROWS = """
SELECT 1.0D AS x, CAST(1.50 AS DECIMAL(10, 2)) AS money, true AS flag, 'UK' AS country
UNION ALL SELECT CAST('NaN' AS DOUBLE), CAST(2.25 AS DECIMAL(10, 2)), NULL, 'UK'
UNION ALL SELECT CAST(NULL AS DOUBLE), NULL, false, NULL
UNION ALL SELECT CAST('Infinity' AS DOUBLE), CAST(0 AS DECIMAL(10, 2)), true, 'odd = `name'
"""


def test_spark_counts_null_nan_decimals_and_segments_like_arrow(spark: SparkSession) -> None:
    frame = spark.sql(ROWS)
    profile = make_profile(frame.toArrow(), ["x", "money", "flag", "country"], DriftConfig(), segments=["country"], effective_rows=4)
    rows = [(r["segment"], r["feature"], r["bin"], r["count"]) for r in count_frame(profile, frame.union(frame)).collect()]
    assert counts_from_rows(profile, rows) == {key: tuple(2 * n for n in vector) for key, vector in profile.counts.items()}


def test_an_empty_frame_counts_nothing_and_every_vector_is_there(spark: SparkSession) -> None:
    frame = spark.sql(ROWS)
    profile = make_profile(frame.toArrow(), ["x", "country"], DriftConfig(), effective_rows=4)
    rows = [(r["segment"], r["feature"], r["bin"], r["count"]) for r in count_frame(profile, frame.where("1 = 0")).collect()]
    assert rows == []
    assert set(counts_from_rows(profile, rows)) == set(profile.counts)
