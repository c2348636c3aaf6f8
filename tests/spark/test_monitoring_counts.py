"""Counting a Spark frame against a frozen profile gives what counting the same rows in Arrow gives; summing one, what its rows give."""

from __future__ import annotations

import math
from datetime import date

import pytest
from pyspark.sql import SparkSession

from penstock.config.monitoring import DriftConfig, MonitoringConfig, PerformanceConfig
from penstock.kinds import REGRESSION
from penstock.monitoring import outcomes
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


def test_values_leave_spark_as_one_row_a_group_whose_figures_are_those_of_the_rows(spark: SparkSession) -> None:
    frame = spark.sql("SELECT CAST(id AS DOUBLE) AS label, id + IF(id % 3 = 0, 5.5D, -1.0D) AS score, id % 2 AS side FROM range(90)")
    summed = outcomes.of(REGRESSION).summed(frame, ["side"], 1).toArrow().to_pandas()
    assert len(summed) == 2
    config = MonitoringConfig(performance=PerformanceConfig(metric="mae", min_rows=30))
    whole, even, odd = outcomes.of(REGRESSION).measured(date(2024, 1, 1), "1", summed, config, ["side"])
    assert (even.segment, odd.segment, even.rows + odd.rows) == ("side=0", "side=1", whole.rows)
    assert whole.mae.value == pytest.approx((5.5 * 30 + 60) / 90)
    assert whole.rmse.value == pytest.approx(math.sqrt((5.5**2 * 30 + 60) / 90))
    assert whole.bias.value == pytest.approx((5.5 * 30 - 60) / 90)
    assert whole.observed.value == pytest.approx(44.5)
    broken = outcomes.of(REGRESSION).summed(frame.selectExpr("label", "double('NaN') AS score", "side"), ["side"], 1).toArrow().to_pandas()
    (nothing,) = outcomes.of(REGRESSION).measured(date(2024, 1, 1), "1", broken, config, [])
    assert "NaN or infinite" in nothing.reason
