"""Values from CSV of other makes, JSON lines and Parquet as typed rows: exact, or refused with a reason."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

import odd_contract
from penstock.lake.contract import load_contract
from penstock.landing import read, rows
from penstock.landing.layout import layout_of


def landed(spark: SparkSession, folder: Path, name: str, **contract: Any) -> dict[str, dict[str, Any]]:
    """Each row of a file by its key: its typed values, and its reasons."""
    path = folder / name
    kind = {"csv": "csv", "jsonl": "json", "parquet": "parquet"}[path.suffix[1:]]
    made = load_contract(odd_contract.write(folder, kind, **contract))
    facts = read.inspect(str(path), layout=layout_of(made))
    assert facts.fault is None
    assert read.compare_header(facts.header, made) == []
    ddl = ", ".join(f"{n} {t}" for n, t in read.FILE_COLUMNS)
    files = spark.createDataFrame([(name, str(path), facts.digest, datetime(2024, 1, 1, tzinfo=UTC), None, None)], ddl)
    parsed = files.mapInArrow(read.parser(made), ", ".join(f"{n} {t}" for n, t in read.parsed_columns(made)))
    checked = rows.checked(parsed, made)
    found = checked.select("id", "amount", "day", F.unix_micros("at").alias("at"), "flag", "n", "reasons", "_parse_error").collect()
    return {row["id"]: row.asDict() for row in found}


naive = datetime.fromisoformat


def micros(text: str) -> int:
    at = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return round(at.timestamp() * 1_000_000)


def test_semicolons_decimal_commas_and_dates_of_another_make_are_read(spark: SparkSession, tmp_path: Path) -> None:
    lines = [
        "id;amount;day;at;flag;n",
        "a;1.234,50;31.12.2023;31.12.2023 23:30;true;1",
        "b;-0,5;01.01.2024;01.01.2024 00:00;false;1.000",
        "c;1.5;01.01.2024;01.01.2024 00:00;;",
        "d;1,234;01.01.2024;;;",
        "e;12.34,5;30.02.2024;;;1,5",
    ]
    (tmp_path / "t.csv").write_text("\n".join(lines), encoding="utf-8")
    found = landed(
        spark, tmp_path, "t.csv", csv={"delimiter": ";", "decimal": ","}, day="dd.MM.yyyy", at="dd.MM.yyyy HH:mm", zone="Europe/Berlin"
    )
    assert (found["a"]["amount"], found["a"]["day"]) == (Decimal("1234.50"), date(2023, 12, 31))
    assert found["a"]["at"] == micros("2023-12-31T22:30")
    assert (found["b"]["amount"], found["b"]["n"], found["b"]["reasons"]) == (Decimal("-0.50"), 1000, [])
    assert {key: found[key]["reasons"] for key in "cde"} == {
        "c": ["amount:type"],
        "d": ["amount:type"],
        "e": ["amount:type", "day:type", "n:type"],
    }


def test_times_with_an_offset_are_instants_whatever_the_sources_zone(spark: SparkSession, tmp_path: Path) -> None:
    lines = [
        {"id": "a", "amount": 1.10, "day": "2024-01-01", "at": "2024-01-01T01:30:00+02:00", "flag": True, "n": 3},
        {"id": "b", "amount": "2.5", "at": "2024-01-01T00:00:00Z"},
        {"id": "c", "amount": 1.001, "at": "2024-01-01 00:00:00", "n": 1.5},
        {"id": "d", "amount": [1]},
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    found = landed(spark, tmp_path, "t.jsonl", at="yyyy-MM-dd''T''HH:mm:ssXXX", offset=True, zone="America/New_York")
    assert (found["a"]["at"], found["b"]["at"]) == (micros("2023-12-31T23:30"), micros("2024-01-01T00:00"))
    assert (found["a"]["amount"], found["a"]["flag"], found["a"]["n"], found["b"]["amount"]) == (Decimal("1.10"), True, 3, Decimal("2.50"))
    assert found["c"]["reasons"] == ["amount:type", "at:type", "n:type"]
    assert found[None]["reasons"] == ["parse_error"]  # type: ignore[index]
    assert "got a list for 'amount'" in found[None]["_parse_error"]  # type: ignore[index]


@pytest.mark.parametrize("zoned", [False, True])
def test_parquet_values_are_cast_exactly_or_refused(spark: SparkSession, tmp_path: Path, *, zoned: bool) -> None:
    at = [naive("2024-03-31T01:30:00.123456"), naive("2024-07-01"), None]
    table = pa.table(
        {
            "id": ["a", "b", "c"],
            "amount": pa.array([0.1, 1234567890.25, 0.123], pa.float64()),
            "day": pa.array([naive("2024-01-01"), naive("2024-01-02T03:00"), None], pa.timestamp("ns")),
            "at": pa.array(at, pa.timestamp("us", tz="UTC" if zoned else None)),
            "flag": [True, False, None],
            "n": pa.array([3.0, 2.5, None], pa.float64()),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    found = landed(spark, tmp_path, "t.parquet", offset=zoned, zone="UTC" if zoned else "America/New_York")
    assert (found["a"]["amount"], found["a"]["n"], found["a"]["day"], found["a"]["reasons"]) == (Decimal("0.10"), 3, date(2024, 1, 1), [])
    assert found["a"]["at"] == micros("2024-03-31T01:30:00.123456" if zoned else "2024-03-31T05:30:00.123456")
    assert (found["b"]["reasons"], found["c"]["reasons"]) == (["day:type", "n:type"], ["amount:type"])
