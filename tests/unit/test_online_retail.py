"""The packaged data set and the daily files made from it."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

import pytest

from penstock.datasets import online_retail
from penstock.errors import FailedError


def test_other_bytes_than_the_published_ones_are_refused() -> None:
    with pytest.raises(FailedError, match="SHA-256"):
        online_retail.read(b"PAR1 something else PAR1")


def test_there_are_305_days_in_order_and_none_is_a_saturday() -> None:
    days = online_retail.days()
    assert (len(days), days[0], days[-1]) == (305, date(2010, 12, 1), date(2011, 12, 9))
    assert list(days) == sorted(set(days))
    assert all(day.weekday() != 5 for day in days)


def test_the_daily_files_hold_exactly_the_rows_of_the_data_set(tmp_path: Path) -> None:
    paths = online_retail.write_days(tmp_path, date(2010, 12, 1), date(2011, 12, 9))
    rows: list[list[str]] = []
    for path in paths:
        with path.open(newline="", encoding="utf-8") as file:
            header, *records = csv.reader(file)
        assert {record[4][:10] for record in records} == {path.stem}
        rows += records
    table = online_retail.read()
    assert header == table.column_names
    assert len(rows) == online_retail.ROWS
    assert rows == [list(row) for row in zip(*(table[name].to_pylist() for name in table.column_names), strict=True)]


def test_a_span_of_days_writes_its_trading_days_alone_and_no_partial_file(tmp_path: Path) -> None:
    paths = online_retail.write_days(tmp_path, date(2010, 12, 3), date(2010, 12, 6))
    assert [path.name for path in paths] == ["2010-12-03.csv", "2010-12-05.csv", "2010-12-06.csv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [path.name for path in paths]


def test_a_file_with_the_same_bytes_is_left_alone_and_a_changed_one_is_restored(tmp_path: Path) -> None:
    same, other = online_retail.write_days(tmp_path, date(2010, 12, 1), date(2010, 12, 2))
    before = same.stat().st_mtime_ns, same.stat().st_ino
    right = other.read_bytes()
    other.write_bytes(right[:100])
    online_retail.write_days(tmp_path, date(2010, 12, 1), date(2010, 12, 2))
    assert (same.stat().st_mtime_ns, same.stat().st_ino) == before
    assert other.read_bytes() == right
