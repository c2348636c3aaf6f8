"""The two profiling queries against pandas: bounds, counts by side, repeated rows, and which rows count at all."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from penstock.profiling.aggregate import ROW, bounds_of, bounds_query, counts_query, current_rows
from penstock.profiling.subjects import PRESENT, SHARES, Bounds, Span, Subject, bin_keys, bins_of

pytestmark = pytest.mark.spark

SUBJECTS = (
    Subject("code", "string", "category"),
    Subject("customer", "string", "personal"),
    Subject("at", "timestamp", "time"),
    Subject("amount", "decimal(12,2)", "number"),
    Subject("pieces", "int", "number"),
    Subject("ratio", "double", "number"),
    Subject("nothing", "double", "number"),
    Subject("flag", "boolean", "category"),
    Subject("on_day", "date", "time"),
)
TYPES = ", ".join(f"{s.name} {s.type}" for s in SUBJECTS)
FIRST, DIVIDE = date(2023, 1, 2), date(2023, 1, 5)
SPAN = Span(FIRST, date(2023, 1, 7), DIVIDE)


def number(*parts: object) -> float:
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big") / 2**64


def value(name: str, n: int) -> Any:
    u = number(name, n)
    if number(name, n, "null") < 0.1:
        return None
    return {
        "code": f"P{int(30 * u**3)}",
        "customer": f"{10000 + int(200 * u)}",
        "at": datetime(2023, 1, 1, tzinfo=UTC) + timedelta(seconds=int(600_000 * u)),
        "amount": Decimal(int(100 * (20 * u if u < 0.98 else 50_000 * (u - 0.97)))) / 100,
        "pieces": int(6 * u) if u < 0.99 else -5000,
        "ratio": float("nan") if u < 0.05 else float("inf") if u > 0.99 else u - 0.5,
        "nothing": None,
        "flag": u < 0.3,
        "on_day": FIRST + timedelta(days=int(6 * u)),
    }[name]


def rows_of(day: date, count: int = 200) -> list[tuple[Any, ...]]:
    made = [tuple(value(s.name, 1000 * day.day + n) for s in SUBJECTS) for n in range(count)]
    return [*made, *made[:3]]  # three rows of each day stand there twice


@pytest.fixture(scope="module")
def landed(spark: SparkSession) -> tuple[Any, Any, list[tuple[Any, ...]]]:
    """Landed rows and their files; the day after the span and an older version of one file must not count. And the rows that do."""
    early, late = datetime(2023, 1, 8, tzinfo=UTC), datetime(2023, 2, 1, tzinfo=UTC)
    rows, files, wanted = [], [], []
    for n in range(7):
        day = FIRST + timedelta(days=n)
        name = f"{day}.csv"
        versions = [(early, rows_of(day, 20)), (late, rows_of(day))] if n == 2 else [(early, rows_of(day))]
        for known_at, own in versions:
            files.append((name, known_at, day))
            rows += [(*row, name, known_at) for row in own]
        if day <= SPAN.last and n < 6:
            wanted += [(*row, day >= DIVIDE) for row in versions[-1][1]]
    made = spark.createDataFrame(rows, f"{TYPES}, _file string, _known_at timestamp")
    return made, spark.createDataFrame(files, "_file string, _known_at timestamp, day date"), wanted


@pytest.fixture(scope="module")
def current(landed: tuple[Any, Any, list[tuple[Any, ...]]]) -> Any:
    made, files, _ = landed
    return current_rows(made, files, SPAN, [s.name for s in SUBJECTS])


@pytest.fixture(scope="module")
def oracle(landed: tuple[Any, Any, list[tuple[Any, ...]]]) -> pd.DataFrame:
    return pd.DataFrame(landed[2], columns=[*(s.name for s in SUBJECTS), "after"], dtype=object)


@pytest.fixture(scope="module")
def bounds(current: Any) -> tuple[Bounds, ...]:
    row = bounds_query(current, SUBJECTS).collect()[0].asDict(recursive=True)
    assert row["rows"] == 6 * 203
    return bounds_of(row, SUBJECTS)


def as_numbers(subject: Subject, values: pd.Series) -> np.ndarray:
    if subject.type == "timestamp":
        return np.array([v.timestamp() for v in values], dtype=float)
    return np.array([float((v - date(1970, 1, 1)).days) if subject.type == "date" else float(v) for v in values], dtype=float)


def is_null(values: pd.Series) -> pd.Series:
    return values.map(lambda v: v is None)


def test_bounds_are_those_of_pandas(bounds: tuple[Bounds, ...], oracle: pd.DataFrame) -> None:
    for subject, found in zip(SUBJECTS, bounds, strict=True):
        values = oracle[subject.name][~is_null(oracle[subject.name])]
        assert found.nulls == len(oracle) - len(values)
        assert found.distinct == pytest.approx(len({str(v) for v in values}), rel=0.08)
        if subject.kind == "category":
            most = values.map(lambda v: str(v).lower() if isinstance(v, bool) else v).value_counts()
            assert {most[text] for text in found.top} == set(most.iloc[: len(found.top)])
        elif subject.kind == "personal":
            assert (found.top, found.low, found.quantiles) == ((), None, ())
        else:
            numbers = as_numbers(subject, values)
            assert found.nans == int(np.isnan(numbers).sum())
            finite = np.sort(numbers[np.isfinite(numbers)])
            if not finite.size:
                assert (found.low, found.high, found.mean, found.quantiles) == (None, None, None, ())
                continue
            assert (found.low, found.high) == (finite[0], finite[-1])
            for share, got in zip(SHARES, found.quantiles, strict=True):
                assert (finite < got).mean() - 0.005 <= share <= (finite <= got).mean() + 0.005
            if subject.kind == "number":
                assert found.mean == pytest.approx(finite.mean())
                assert found.std == pytest.approx(finite.std(ddof=1))


def test_counts_of_every_bin_and_side_are_those_of_pandas(current: Any, bounds: tuple[Bounds, ...], oracle: pd.DataFrame) -> None:
    bins = [bins_of(subject, own) for subject, own in zip(SUBJECTS, bounds, strict=True)]
    rows = [row.asDict() for row in counts_query(current, SUBJECTS, bins).collect()]
    for place, (subject, own) in enumerate(zip(SUBJECTS, bins, strict=True)):
        for side in (False, True):
            values = oracle.loc[oracle["after"].map(bool) == side, subject.name]
            expected = values.map(lambda v, s=subject, b=own: label(s, b, v)).value_counts().to_dict()
            assert {r["bin"]: r["rows"] for r in rows if r["column"] == place and r["after"] == side} == expected
            assert set(expected) <= set(bin_keys(own))
    (whole,) = [row for row in rows if row["column"] == ROW]
    assert (whole["rows"], whole["repeats"]) == (len(oracle), int(oracle[[s.name for s in SUBJECTS]].astype(str).duplicated().sum()))
    assert whole["repeats"] >= 18


def label(subject: Subject, bins: Any, value: Any) -> str:
    if value is None:
        return "NULL"
    if subject.kind == "personal":
        return f"={PRESENT}"
    if subject.kind == "category":
        text = str(value).lower() if isinstance(value, bool) else value
        return f"={text}" if text in bins.categories else "OTHER"
    (x,) = as_numbers(subject, pd.Series([value], dtype=object))
    return "NaN" if np.isnan(x) else str(int(np.searchsorted(bins.edges, x, side="right")))


def test_rows_that_differ_only_in_where_the_null_stands_are_not_the_same(spark: SparkSession) -> None:
    subjects = (Subject("a", "string", "category"), Subject("b", "string", "category"))
    rows = spark.createDataFrame([("x", None, False), (None, "x", False), ("x", None, True)], "a string, b string, __after boolean")
    bins = [bins_of(s, Bounds(0, 0, 1, top=("x",))) for s in subjects]
    (whole,) = [row for row in counts_query(rows, subjects, bins).collect() if row["column"] == ROW]
    assert (whole["rows"], whole["repeats"]) == (3, 1)
