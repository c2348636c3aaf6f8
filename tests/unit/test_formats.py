"""JSON lines and Parquet as landing files, and files whose rows tell their own days: facts, rows and parts, without Spark."""

from __future__ import annotations

import random
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import odd_contract
from penstock.clock import midnight
from penstock.config.label import Label
from penstock.errors import ConfigError, DataError
from penstock.labels.mature import standing
from penstock.lake.contract import Contract, load_contract, missing_days
from penstock.lake.timeformats import local_day, moment, regex_of
from penstock.landing.arrivals import decide, files_in, parts_of
from penstock.landing.columnar import text_of
from penstock.landing.files import _readings
from penstock.landing.layout import Layout, layout_of
from penstock.landing.read import FILE_COLUMNS, compare_header, inspect, parse

PAIR = (("A", "a"), ("B", "b"))
JSON, PARQUET = Layout(PAIR, format="json"), Layout(PAIR, format="parquet")


def rows_of(path: Path, layout: Layout) -> list[tuple[object, ...]]:
    facts = inspect(str(path), layout=layout)
    assert facts.fault is None
    file = pa.RecordBatch.from_pylist(
        [{n: None for n, _ in FILE_COLUMNS} | {"_file": facts.name, "_path": facts.path, "_file_digest": facts.digest}]
    )
    rows = [row for batch in parse([file], layout=layout) for row in batch.to_pylist()]
    assert len(rows) == facts.rows
    return [(row["_row"], row["a"], row["b"], row["_parse_error"]) for row in rows]


# ---- JSON lines ----


def test_json_keeps_digits_and_tells_malformed_lines_with_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    lines = [
        '{"A": 1.10, "B": true}',
        "",
        '{"B": "", "A": null}',
        '{"A": 1',
        '{"A": {"x": 1}}',
        "[1]",
        '{"A": NaN}',
        '{"A": 1, "A": 2}',
        '{"A": 1e400}',
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    found = rows_of(path, JSON)
    assert found[:3] == [(1, "1.10", "true", None), (2, None, None, None), (8, "1e400", None, None)]
    assert [row[0] for row in found[3:]] == [3, 4, 5, 6, 7]
    for (*_, said), words in zip(
        found[3:], ("not JSON", "got an object for 'A'", "expected an object", "NaN is no number", "stands twice"), strict=True
    ):
        assert words in str(said)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'[{"A": 1}]', "JSON array"),
        (b"1\n2\n", "holds no JSON object"),
        (b'{"A": "\xff"}', "not UTF-8"),
        (b"", "is empty"),
        (b"\n", "holds no text"),
    ],
)
def test_a_json_file_that_is_none_says_why(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "t.json").write_bytes(content)
    assert words in str(inspect(str(tmp_path / "t.json"), layout=JSON).fault)


def test_a_key_that_no_row_has_is_missing_only_where_it_is_required(tmp_path: Path) -> None:
    contract = load_contract(odd_contract.write(tmp_path, "json"))
    assert compare_header(("id", "amount"), contract) == []
    assert compare_header(("id", "Amount"), contract) == ["column 'Amount' differs from 'amount' by case or blanks, expected 'amount'"]
    strict = contract.model_copy(update={"columns": tuple(c.model_copy(update={"required": True}) for c in contract.columns)})
    assert len(compare_header(("id",), strict)) == 5


# ---- Parquet ----


def test_parquet_rows_come_out_as_exact_text(tmp_path: Path) -> None:
    pq.write_table(pa.table({"B": ["x", "", None], "A": [0.1, 123456789012.0, float("nan")]}), tmp_path / "t.parquet")
    assert rows_of(tmp_path / "t.parquet", PARQUET) == [(1, "0.1", "x", None), (2, "123456789012", None, None), (3, "nan", None, None)]


@pytest.mark.parametrize("cut", [0, 4, 100, -1, -8, -30])
def test_a_damaged_parquet_file_is_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"A": list(range(1000)), "B": list(range(1000))}), path)
    path.write_bytes(path.read_bytes()[:cut])
    assert inspect(str(path), layout=PARQUET).fault is not None


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.none(), min_size=1))
def test_every_float_comes_back_from_its_text(numbers: list[float | None]) -> None:
    texts = text_of(pa.array(numbers, pa.float64())).to_pylist()
    assert [None if text is None else float(text) for text in texts] == numbers


@given(st.lists(st.datetimes(min_value=datetime.fromisoformat("1700-01-01"), max_value=datetime.fromisoformat("2200-01-01")), min_size=1))
def test_every_timestamp_comes_back_from_its_text(times: list[datetime]) -> None:
    naive = text_of(pa.array(times, pa.timestamp("us"))).to_pylist()
    assert [datetime.fromisoformat(text) for text in naive] == times
    zoned = text_of(pa.array([t.replace(tzinfo=UTC) for t in times], pa.timestamp("us", "Asia/Tokyo"))).to_pylist()
    assert [datetime.fromisoformat(text) for text in zoned] == [t.replace(tzinfo=UTC) for t in times]


# ---- formats of days ----


@given(st.datetimes(min_value=datetime.fromisoformat("1000-01-01")), st.sampled_from(["UTC", "America/New_York", "Asia/Tokyo"]))
def test_a_time_and_its_day_come_back_from_text_in_any_pattern(at: datetime, zone: str) -> None:
    at = at.replace(microsecond=0, second=0)
    for java, python in (
        ("yyyy-MM-dd'T'HH:mm[:ss]", "%Y-%m-%dT%H:%M"),
        ("dd.MM.yyyy hh:mm a", "%d.%m.%Y %I:%M %p"),
        ("M/d/yyyy H:mm", "%m/%d/%Y %H:%M"),
        ("yyyyMMdd HHmmXX", "%Y%m%d %H%M+0000"),
    ):
        text = at.strftime(python)
        found = re.fullmatch(regex_of(java), text)
        assert found is not None, (java, text)
        told = moment(found.groupdict())
        assert told is not None
        assert told.replace(tzinfo=None) == at
        if "XX" not in java and date(1000, 1, 3) < at.date() < date(9999, 12, 30):
            assert local_day(told, zone, zone) == at.date()


@pytest.mark.parametrize("pattern", ["MMM d yyyy", "HH:mm", "yyyy-MM", "yyyy-MM-dd yyyy", "EEE yyyy-MM-dd"])
def test_a_pattern_from_which_no_day_can_be_told_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        regex_of(pattern)


def test_a_known_time_by_column_needs_a_day_that_can_be_told(tmp_path: Path) -> None:
    load_contract(odd_contract.write(tmp_path, "csv", known="day"))
    for change, said in ({"known": "amount"}, "expected a date or timestamp"), ({"known": "at", "at": "MMM d yyyy"}, "format of at"):
        with pytest.raises(ConfigError, match=said):
            load_contract(odd_contract.write(tmp_path, "csv", **change))
    with pytest.raises(ConfigError, match="physicalType: csv"):
        load_contract(odd_contract.write(tmp_path, "json", csv={"decimal": ","}))


# ---- files in parts ----


@pytest.fixture
def dated(tmp_path: Path) -> Contract:
    return load_contract(odd_contract.write(tmp_path, "csv", known="day", zone="America/New_York"))


def put(folder: Path, name: str, rows: list[str]) -> Path:
    (folder / "landing").mkdir(exist_ok=True)
    path = folder / "landing" / name
    path.write_text("id,amount,day,at,flag,n\n" + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def row(key: str, day: object) -> str:
    return f"{key},1.5,{day},,,"


def at(day: date, contract: Contract) -> datetime:
    return midnight(day, contract.timezone)


START = date(2024, 1, 1)


def test_each_day_of_a_file_is_a_part_that_is_known_the_day_after(tmp_path: Path, dated: Contract) -> None:
    put(
        tmp_path, "all.csv", [row("b", "2024-01-03"), row("a", "2024-01-01"), row("x", "soon"), "1,2", row("c", "2024-01-03"), row("y", "")]
    )
    paths = files_in(str(tmp_path / "landing"), dated)
    facts = [inspect(path, layout=layout_of(dated)) for path in paths]
    assert [(part.day.day, part.rows) for part in facts[0].parts] == [(1, 4), (3, 2)]
    found = parts_of(facts, dated, at(date(2024, 1, 3), dated))
    assert [(part.name, part.declared) for part in found] == [("all.csv@2024-01-01", at(date(2024, 1, 2), dated))]
    arrivals = decide(parts_of(facts, dated, at(date(2024, 1, 9), dated)), {}, None, at(date(2024, 1, 9), dated))
    (reading,) = [dict(zip([n for n, _ in FILE_COLUMNS], values, strict=True)) for values in _readings(arrivals)]
    reading["_parts"] = [dict(zip(("day", "name", "digest", "known_at"), part, strict=True)) for part in reading["_parts"]]
    file = pa.RecordBatch.from_pylist([reading])
    rows = [r for batch in parse([file], layout=layout_of(dated)) for r in batch.to_pylist()]
    assert sorted((r["_row"], r["_file"], r["id"]) for r in rows if r["_parse_error"] is None) == [
        (1, "all.csv@2024-01-03", "b"), (2, "all.csv@2024-01-01", "a"), (3, "all.csv@2024-01-01", "x"),
        (5, "all.csv@2024-01-03", "c"), (6, "all.csv@2024-01-01", "y"),
    ]  # fmt: skip
    assert [(r["_row"], r["_file"]) for r in rows if r["_parse_error"]] == [(4, "all.csv@2024-01-01")]
    assert {r["_known_at"] for r in rows} == {at(date(2024, 1, 2), dated), at(date(2024, 1, 4), dated)}


def test_only_the_days_that_changed_arrive_again(tmp_path: Path, dated: Contract) -> None:
    rows = [row(key, START + timedelta(days=n)) for n in range(9) for key in "abc"]
    layout, seen = layout_of(dated), at(START + timedelta(days=9), dated)
    first = inspect(str(put(tmp_path, "all.csv", rows)), layout=layout)
    landed = {part.name: part.digest for part in parts_of([first], dated, seen)}
    random.Random(7).shuffle(rows)
    rows.remove(row("b", START))
    again = inspect(str(put(tmp_path, "all.csv", [*rows, row("a", START + timedelta(days=9))])), layout=layout)
    later = at(START + timedelta(days=10), dated)
    arrivals = decide(parts_of([again], dated, later), landed, seen, later)
    assert [(a.file.day, a.late) for a in arrivals] == [(START, True), (START + timedelta(days=9), False)]


def test_a_whole_export_under_another_name_is_refused(tmp_path: Path, dated: Contract) -> None:
    rows = [row(key, START + timedelta(days=n)) for n in range(9) for key in "ab"]
    files = [put(tmp_path, "one.csv", rows), put(tmp_path, "two.csv", [*rows, row("c", START + timedelta(days=9))])]
    with pytest.raises(DataError, match="very rows of one"):
        parts_of([inspect(str(path), layout=layout_of(dated)) for path in files], dated, at(START, dated))
    put(tmp_path, "two.json", [])
    with pytest.raises(DataError, match=r"two\.json"):
        files_in(str(tmp_path / "landing"), dated)


def test_a_file_without_any_day_is_refused(tmp_path: Path, dated: Contract) -> None:
    facts = inspect(str(put(tmp_path, "all.csv", [row("a", "31.12.2023")])), layout=layout_of(dated))
    assert "no row with a day in column 'day', as yyyy-MM-dd" in str(facts.fault)


def test_days_without_rows_are_no_missing_files_before_the_newest_row(dated: Contract) -> None:
    present = {START: at(START, dated), START + timedelta(days=5): at(START + timedelta(days=6), dated)}
    assert missing_days(dated, present, START, START + timedelta(days=7)) == (START + timedelta(days=6), START + timedelta(days=7))
    assert missing_days(dated, (), START, START + timedelta(days=1)) == (START, START + timedelta(days=1))


def test_silence_is_an_outcome_only_once_a_later_row_has_shown_it(dated: Contract) -> None:
    label = Label(view="v", horizon_days=3, delay_days=1, expression="n = 0")
    landed = {START + timedelta(days=n): at(START + timedelta(days=n + 1), dated) for n in (0, 9)}
    today, due = START + timedelta(days=5), at(START + timedelta(days=4), dated)
    before = {START: landed[START]}
    assert standing(START, label, dated, before, at(today, dated), today, due).state == "pending"
    told = standing(START, label, dated, landed, at(START + timedelta(days=10), dated), START + timedelta(days=10), due)
    assert (told.state, told.since) == ("matured", at(START + timedelta(days=10), dated))
