"""`penstock init` on tables that look nothing like the shop's: each gives files that load, or one sentence that says why not."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import subscriptions
from penstock.cli import main
from penstock.config.load import Configuration, load
from penstock.lake.contract import Contract
from penstock.landing.layout import layout_of
from penstock.landing.read import compare_header, inspect
from penstock.orchestrate.table_profile import lake_names

START = date(2023, 1, 2)


def days(count: int, every: int = 3, people: int = 12) -> list[tuple[int, date]]:
    """(person, day) of so many days, each person every so often, in order of day."""
    return [(p, START + timedelta(days=n)) for n in range(count) for p in range(people) if (n + p) % every == 0]


def init(folder: Path, table: str | bytes | Path, *words: str, name: str = "table.csv") -> int:
    path = table if isinstance(table, Path) else folder / name
    if not isinstance(table, Path):
        path.write_bytes(table if isinstance(table, bytes) else table.encode())
    return main(["init", "mine", "--source", str(path), *words, "--conf", str(folder / "conf")])


def made(folder: Path, table: str | bytes | Path, *words: str, name: str = "table.csv", source: str = "table") -> Configuration:
    """The configuration that was written; it must pass the check, and its contract must take the very file."""
    assert init(folder, table, *words, name=name) == 0
    assert main(["conf", "check", "--conf", str(folder / "conf")]) == 0
    found = load(folder / "conf", "local", "mine")
    path = table if isinstance(table, Path) else folder / name
    facts = inspect(str(path), layout=layout_of(found.contract))
    assert facts.fault is None
    assert compare_header(facts.header, found.contract) == []
    assert sum(part.rows for part in facts.parts) == facts.rows
    assert found.pipeline.source == source
    return found


def refused(folder: Path, capsys: pytest.CaptureFixture[str], table: str | bytes | Path, *words: str, name: str = "table.csv") -> str:
    """What was said; nothing may have been written."""
    assert init(folder, table, *words, name=name) == 2
    assert not (folder / "conf").exists()
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


def kinds(contract: Contract) -> dict[str, str]:
    return dict(contract.lake_columns)


def csv_of(rows: list[tuple[int, date]], extra: Callable[[int, date], str] = lambda p, d: "1.50", head: str = "who,day,amount") -> str:
    return head + "\n" + "".join(f"{p},{d},{extra(p, d)}\n" for p, d in rows)


WORDS = ("--entity", "who", "--event-time", "day")


# ---- tables of many kinds ----


def test_dates_decimal_commas_semicolons_and_a_composite_key_are_recognised(tmp_path: Path) -> None:
    words = ("--entity", "Tenant", "Customer No", "--event-time", "Day", "--timezone", subscriptions.TIMEZONE)
    found = made(tmp_path, subscriptions.csv_text(), *words)
    assert kinds(found.contract) == {"tenant": "string", "customer_no": "int", "day": "date", "event": "string", "amount": "decimal(11,2)"}
    assert (found.contract.delimiter, found.contract.columns[4].decimal_sign, found.contract.columns[2].format) == (";", ",", "dd.MM.yyyy")
    assert found.pipeline.features.entity == ("tenant", "customer_no")
    assert (found.pipeline.schedule.every_days, found.pipeline.training.holdout_cohorts) == (7, 4)
    assert found.contract.known_column == "day"


@pytest.mark.parametrize(
    ("stamp", "form", "offset"),
    [
        ("{d}T10:00:00Z", "yyyy-MM-dd'T'HH:mm:ssXXX", True),
        ("{d} 10:00:00+02:00", "yyyy-MM-dd HH:mm:ssXXX", True),
        ("{d} 10:00:00.123456", "yyyy-MM-dd HH:mm:ss.SSSSSS", False),
        ("{d} 10:00:00 UTC", "yyyy-MM-dd HH:mm:ss 'UTC'", False),
        ("{d} 9:05", "yyyy-MM-dd H:mm", False),
        ("{d} 09:05 PM", "yyyy-MM-dd hh:mm a", False),
    ],
)
def test_times_of_every_usual_make_are_recognised(tmp_path: Path, stamp: str, form: str, *, offset: bool) -> None:
    text = "who,day,amount\n" + "".join(f"{p},{stamp.format(d=d)},2\n" for p, d in days(120))
    column = made(tmp_path, text, *WORDS, "--timezone", "Asia/Tokyo").contract.columns[1]
    assert (column.type, column.format, column.has_offset) == ("timestamp", form, offset)
    assert column.timezone == ("UTC" if "UTC" in stamp else "Asia/Tokyo")


def test_days_are_those_of_the_sources_zone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "who,day,amount\n" + "".join(f"{p},{d}T20:00:00Z,2\n" for p, d in days(90))
    made(tmp_path, text, *WORDS, "--timezone", "Asia/Tokyo")
    assert f"{START + timedelta(days=1)} to {START + timedelta(days=90)}" in capsys.readouterr().out


def test_american_dates_are_told_from_european_ones_by_the_shorter_span(tmp_path: Path) -> None:
    text = "who,day,amount\n" + "".join(f"{p},{d:%m/%d/%Y},2\n" for p, d in days(12))
    assert made(tmp_path, text, *WORDS).contract.columns[1].format in {"MM/dd/yyyy", "dd/MM/yyyy"}
    (tmp_path / "b").mkdir()
    long = "who,day,amount\n" + "".join(f"{p},{d:%m/%d/%Y},2\n" for p, d in days(200))
    assert made(tmp_path / "b", long, *WORDS).contract.columns[1].format == "MM/dd/yyyy"


def test_days_without_separators_are_dates_where_they_are_asked_for(tmp_path: Path) -> None:
    text = "who,day,amount\n" + "".join(f"{p},{d:%Y%m%d},2\n" for p, d in days(90))
    column = made(tmp_path, text, *WORDS).contract.columns[1]
    assert (column.type, column.format) == ("date", "yyyyMMdd")


def test_names_with_leading_zeros_stay_text_and_so_do_words(tmp_path: Path) -> None:
    text = "who,day,amount,note\n" + "".join(f"{p:05d},{d},{n},{'x' * (n % 5)}\n" for n, (p, d) in enumerate(days(90)))
    assert kinds(made(tmp_path, text, *WORDS).contract)["who"] == "string"


def test_three_hundred_columns_give_a_dozen_sums_and_a_contract_of_all(tmp_path: Path) -> None:
    head = "who,day," + ",".join(f"Measure {n}" for n in range(300))
    found = made(tmp_path, csv_of(days(90), lambda p, d: ",".join(f"{(n * p + d.day) % 97}.5" for n in range(1, 301)), head), *WORDS)
    assert len(found.contract.columns) == 302
    assert sum(a.function == "sum" for a in found.pipeline.features.aggregates) == 12


def test_without_a_numeric_column_the_features_are_counts_and_recency(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = made(tmp_path, csv_of(days(90), lambda p, d: "abc"[p % 3]), *WORDS)
    assert {a.function for a in found.pipeline.features.aggregates} == {
        "days_since_last",
        "days_since_first",
        "count",
        "active_days",
        "last",
    }
    assert "no numeric column" in capsys.readouterr().out


def test_columns_called_like_words_of_sql_or_of_the_lake_still_load(tmp_path: Path) -> None:
    head = 'order,date,from,score,as_of,"Größe, m²",2nd,select,run_id'
    rows = "".join(f"{p},{d},{p + d.day},{d.day}.5,x,{d.day},{p},{d.day},{p}\n" for p, d in days(90))
    found = made(tmp_path, f"{head}\n{rows}", "--entity", "order", "--event-time", "date")
    names = {"order", "date", "from", "score_value", "as_of_value", "gr_e_m", "c_2nd", "select", "run_id_value"}
    assert set(kinds(found.contract)) == names


def test_json_lines_with_absent_keys_and_compressed_files_are_looked_at_too(tmp_path: Path) -> None:
    lines = [json.dumps({"who": f"u{p}", "day": f"{d}T01:02:03Z", **({"amount": p / 4} if p % 2 else {})}) for p, d in days(90)]
    found = made(tmp_path, gzip.compress("\n".join(lines).encode()), *WORDS, name="events.jsonl.gz", source="events")
    assert (found.contract.file_format, kinds(found.contract)["amount"]) == ("json", "decimal(7,2)")
    assert found.contract.columns[2].required is False


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_parquet_keeps_its_types(tmp_path: Path, zone: str | None) -> None:
    rows = days(90)
    table: dict[str, Any] = {
        "who": pa.array([p for p, _ in rows], pa.int64()),
        "day": pa.array([d for _, d in rows], pa.date32())
        .cast(pa.timestamp("us"))
        .cast(pa.timestamp("us", zone) if zone else pa.timestamp("ns")),
        "amount": pa.array([p / 3 for p, _ in rows]),
        "kind": pa.array(["ab"[p % 2] for p, _ in rows]).dictionary_encode(),
    }
    pq.write_table(pa.table(table), tmp_path / "table.parquet")
    found = made(tmp_path, tmp_path / "table.parquet", *WORDS, "--timezone", zone or "UTC")
    assert kinds(found.contract) == {"who": "bigint", "day": "timestamp" if zone else "date", "amount": "double", "kind": "string"}
    assert found.contract.columns[1].has_offset is bool(zone)


def test_several_files_are_one_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = tmp_path / "a.csv", tmp_path / "b.csv"
    one.write_text(csv_of(days(60)), encoding="utf-8")
    two.write_text(csv_of([(p, d + timedelta(days=60)) for p, d in days(60)]), encoding="utf-8")
    assert main(["init", "mine", "--source", str(one), str(two), *WORDS, "--conf", str(tmp_path / "conf")]) == 0
    assert f"{START} to {START + timedelta(days=119)}" in capsys.readouterr().out


def test_three_rows_are_told_to_be_too_few_and_the_files_are_written_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = made(tmp_path, "who,day,amount\na,2024-01-01,1\nb,2024-01-02,2\na,2024-01-03,3\n", *WORDS)
    said = capsys.readouterr().out
    assert "not enough to train yet: days: 3 in the table" in said
    assert "not enough to train yet: entities: 2" in said
    assert "NOT ENOUGH TO TRAIN YET" in (tmp_path / "conf" / "pipelines" / "mine.yml").read_text(encoding="utf-8")
    assert found.pipeline.schedule.first <= date(2024, 1, 4)


def test_a_cohort_without_anybody_in_it_is_not_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path, "who,day,amount\na,2024-01-01,1\nb,2024-01-03,2\na,2024-02-05,3\n", *WORDS)
    said = capsys.readouterr().out
    assert "3 cohorts have such an outcome" in said
    assert "cohorts: 3 with anybody in them are over now, and no two of them lie 8 days apart" in said


def test_the_horizon_follows_the_usual_gap_and_a_given_one_is_kept(tmp_path: Path) -> None:
    monthly = csv_of(days(700, every=30, people=40))
    assert made(tmp_path, monthly, *WORDS).pipeline.label.horizon_days == 60
    (tmp_path / "b").mkdir()
    assert made(tmp_path / "b", monthly, *WORDS, "--horizon", "45").pipeline.label.horizon_days == 45


def test_weekdays_without_events_are_closed_and_the_longest_silence_is_the_freshness(tmp_path: Path) -> None:
    rows = [(p, d) for p, d in days(120, every=1) if d.weekday() < 5]
    assert made(tmp_path, csv_of(rows), *WORDS).contract.closed_weekdays == ("saturday", "sunday")
    (tmp_path / "b").mkdir()
    rare = [(p, START + timedelta(days=9 * n)) for n in range(30) for p in range(12)]
    assert made(tmp_path / "b", csv_of(rare), *WORDS).contract.freshness_days == 9


def test_the_environments_are_copied_once_and_kept(tmp_path: Path) -> None:
    made(tmp_path, csv_of(days(90)), *WORDS)
    base = tmp_path / "conf" / "base.yml"
    base.write_text(base.read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    (tmp_path / "other.csv").write_text(csv_of(days(90)), encoding="utf-8")
    assert main(["init", "next", "--source", str(tmp_path / "other.csv"), *WORDS, "--conf", str(tmp_path / "conf")]) == 0
    assert base.read_text(encoding="utf-8").endswith("# mine\n")


def test_the_lines_that_are_commented_out_load_when_they_are_put_in(tmp_path: Path) -> None:
    made(tmp_path, csv_of(days(90), lambda p, d: f"{p + d.day}.5"), *WORDS)
    for path in ((tmp_path / "conf" / "pipelines" / "mine.yml"), (tmp_path / "conf" / "contracts" / "table.yml")):
        text = path.read_text(encoding="utf-8")
        for key in ("worth: {", "events: {", "- {name: no_amount"):
            text = text.replace(f"# {key}", key)
        path.write_text(text, encoding="utf-8")
    assert main(["conf", "check", "--conf", str(tmp_path / "conf")]) == 0
    found = load(tmp_path / "conf", "local", "mine")
    assert found.pipeline.stakes is not None
    assert [band.lower for band in found.pipeline.publish.bands][-1] == 0.5
    assert (list(found.pipeline.features.events), found.contract.row_rules[0].name) == (["big"], "no_amount")


def test_a_column_to_predict_makes_a_regression_of_its_sum(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = csv_of(days(90), lambda p, d: f"{p + d.day}.5,{p}", head="who,day,Amount,code")
    found = made(tmp_path, table, *WORDS, "--predict", "Amount", "--horizon", "10").pipeline
    assert "label: the sum of amount over the next 10 days" in capsys.readouterr().out
    assert (found.kind, found.label.expression, found.label.positive) == ("regression", "coalesce(amount_sum, 0)", "amount within 10 days")
    assert [b.model_dump(exclude_none=True) for b in found.training.baselines] == [
        {"name": "median", "constant": "median"},
        {"name": "last_time", "column": "amount_sum_10d"},
    ]
    assert {c.estimator.rpartition(".")[2] for c in found.training.candidates} == {"HistGradientBoostingRegressor", "Ridge"}
    text = (tmp_path / "conf" / "pipelines" / "mine.yml").read_text(encoding="utf-8")
    assert "--predict Amount" in text
    (tmp_path / "conf" / "pipelines" / "mine.yml").write_text(text.replace("# bands:", "bands:"), encoding="utf-8")
    assert [band.name for band in load(tmp_path / "conf", "local", "mine").pipeline.publish.bands] == ["low", "high"]


def test_a_number_that_looks_like_a_name_is_summed_when_it_is_asked_for(tmp_path: Path) -> None:
    table = csv_of(days(90), lambda p, d: f"{p + d.day}", head="who,day,year")
    assert made(tmp_path, table, *WORDS, "--predict", "year").pipeline.label.expression == "coalesce(year_sum, 0)"


# ---- what is refused ----


@pytest.mark.parametrize(
    ("table", "words", "said"),
    [
        ("who,day\n1,2024-01-01\n", ("--entity", "whom", "--event-time", "day"), "column whom: got none of this name, expected one of who"),
        ("who,day\n1,soon\n", WORDS, "got string with values shaped like aaaa, expected dates or times"),
        ("who,day\n1,1704067200\n", WORDS, "seconds since 1970"),
        ("who,day\n1,2024-01-01\n,2024-01-02\n,2024-01-03\n", WORDS, "2 of 3 rows without a value"),
        ("who,day\n1,2024-02-30\n", WORDS, "expected dates or times"),
        ("who,day\n" + "1,2024-01-01\n2,2024-01-05\n1,2024-02-30\n", WORDS, "got 1 of 3 different values that are no yyyy-MM-dd, shaped like 9999-99-99"),
        ("who,day\n1,2024-01-01\n", ("--entity", "who", "who", "--event-time", "day"), "--entity: got who more than once"),
        ("who,day\n1,2024-01-01\n", ("--entity", "day", "--event-time", "day"), "--entity: got day, the event time"),
        ("who,x,x,day\n1,1,2,2024-01-01\n", WORDS, "called the same or differ only by case or blanks: x, x"),
        ("who,day\n1,2,3\n", WORDS, "no row that can be read"),
        ("who,day\n", WORDS, "a file that has a header and no rows"),
        ("", WORDS, "a file that is empty"),
        ("who,Who,day\n1,1,2024-01-01\n", WORDS, "differ only by case"),
        ("who,,day\n1,1,2024-01-01\n", WORDS, "column 2 without a name"),
        (b"who,day\n\xff\xfe,2024-01-01\n", WORDS, "is not UTF-8"),
        ("who,day\n1,2024-01-01\n", (*WORDS, "--timezone", "Mars/Base"), "expected an IANA time zone"),
        ("who,day\n1,2024-01-01\n", (*WORDS, "--horizon", "0"), "expected 1 to 3650 days"),
        ("who,day,amount,word\n1,2024-01-01,2.5,a\n", (*WORDS, "--predict", "word"), "expected a numeric column: amount"),
        ("who,day,amount\n1,2024-01-01,2.5\n", (*WORDS, "--predict", "who"), "expected a numeric column: amount"),
    ],
)  # fmt: skip
def test_a_table_that_will_not_do_is_refused_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], table: str | bytes, words: tuple[str, ...], said: str
) -> None:
    assert said in refused(tmp_path, capsys, table, *words)


def test_a_file_that_is_not_there_is_met_with_the_nearest_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "orders.csv").write_text("who,day\n1,2024-01-01\n", encoding="utf-8")
    assert str(tmp_path / "orders.csv") in refused(tmp_path, capsys, tmp_path / "order.csv", *WORDS).partition("Next: ")[2]
    assert "a name that tells no format" in refused(tmp_path, capsys, "x", *WORDS, name="table.xlsx")


def test_a_folder_is_met_with_a_file_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "orders.csv").write_text("who,day\n1,2024-01-01\n", encoding="utf-8")
    said = refused(tmp_path, capsys, tmp_path / "data", *WORDS)
    assert f"got a folder, {tmp_path / 'data'}" in said
    assert said.endswith(f"Next: --source {tmp_path / 'data' / 'orders.csv'}.\n")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.csv.gz", "who,day\n1,2024-01-01\n", "is truncated or damaged"),
        ("t.jsonl", '{"who": NaN, "day": "2024-01-01"}\n', "(row 1: not JSON: NaN is no number)"),
        ("t.jsonl", '{"who": 1, "day": {"y": 2024}}\n', "(row 1: expected plain values, got an object for 'day')"),
        ("t.jsonl", '[{"who": 1, "day": "2024-01-01"}]\n', "Next: jq -c '.[]' makes them."),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str, said: str
) -> None:
    assert said in refused(tmp_path, capsys, content, *WORDS, name=name)


def test_a_contract_that_is_there_asks_for_another_file_name_and_not_for_another_pipeline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path, csv_of(days(90)), *WORDS)
    capsys.readouterr()
    assert main(["init", "other", "--source", str(tmp_path / "table.csv"), *WORDS, "--conf", str(tmp_path / "conf")]) == 2
    assert "Next: another name for table.csv, or move it away." in capsys.readouterr().err


def test_files_that_the_check_refuses_are_taken_back_so_that_the_same_command_works_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path, csv_of(days(90)), *WORDS)
    base = tmp_path / "conf" / "base.yml"
    good = base.read_text(encoding="utf-8")
    base.write_text(f"{good}\nnonsense: 1\n", encoding="utf-8")
    (tmp_path / "more.csv").write_text(csv_of(days(90)), encoding="utf-8")
    words = ["init", "more", "--source", str(tmp_path / "more.csv"), *WORDS, "--conf", str(tmp_path / "conf")]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "nonsense" in said
    assert "then the same command again" in said
    base.write_text(good, encoding="utf-8")
    assert main(words) == 0


# ---- what stands for no value ----


@pytest.mark.parametrize("word", ["NaN", "NA", "null", "\\N", "-"])
def test_a_word_for_no_value_among_numbers_leaves_them_numbers_and_the_contract_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    found = made(tmp_path, csv_of(days(90), lambda p, d: word if p % 3 == 0 else f"{d.day}.5"), *WORDS)
    amount = found.contract.columns[2]
    assert (amount.type, amount.transform) == (
        "decimal(7,1)",
        f"nullif(amount, r'{word}')" if word == "\\N" else f"nullif(amount, '{word}')",
    )
    assert [a.of for a in found.pipeline.features.aggregates if a.function == "sum"] == ["amount"]
    assert f"amount: {word!r} taken for no value" in capsys.readouterr().out


def test_a_missing_word_beside_decimal_commas_is_read_with_a_point(tmp_path: Path) -> None:
    text = "who;day;amount\n" + "".join(f"{p};{d};{'NA' if p % 3 == 0 else '1.234,5'}\n" for p, d in days(90))
    assert made(tmp_path, text, *WORDS).contract.columns[2].transform == "translate(nullif(amount, 'NA'), ',.', '.')"


def test_rows_whose_key_is_nan_are_nobodys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = days(90)
    keys = pa.array([float("nan") if p == 3 else float(p) for p, _ in rows], from_pandas=False)
    pq.write_table(pa.table({"who": keys, "day": [d for _, d in rows]}), tmp_path / "table.parquet")
    key = made(tmp_path, tmp_path / "table.parquet", *WORDS).contract.columns[0]
    said = capsys.readouterr().out
    assert (key.type, key.transform, key.required) == ("string", "nullif(who, 'nan')", False)
    assert ", 11 entities, " in said
    assert f"{sum(p == 3 for p, _ in rows)} rows have no who: kept, but nobody's" in said


def test_a_name_that_may_mean_nobody_stays_a_name_and_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "who,day\n" + "".join(f"{'None' if p == 3 else f'u{p}'},{d}\n" for p, d in days(90))
    assert made(tmp_path, text, *WORDS).contract.columns[0].transform is None
    said = capsys.readouterr().out
    assert ", 12 entities, " in said
    assert "rows name 'None', taken for a name: if nobody is meant, put transformLogic: nullif(who, 'None')" in said


def test_rows_that_cannot_be_read_and_rows_without_a_time_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path, csv_of(days(90)) + "1,2023-01-02\n1,NA,2\n", *WORDS)
    said = capsys.readouterr().out
    assert "note: 1 row has no values (the first: expected 3 fields, got 2): for quarantine" in said
    assert "note: 1 row has no day: for quarantine" in said


def test_nested_columns_are_refused_with_their_type(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(pa.table({"who": ["a"], "day": [START], "items": [[1, 2]]}), tmp_path / "t.parquet")
    assert "'items' holds list<" in refused(tmp_path, capsys, tmp_path / "t.parquet", *WORDS)


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path, csv_of(days(90)), *WORDS)
    before = {path: path.read_bytes() for path in (tmp_path / "conf").rglob("*.yml")}
    assert init(tmp_path, csv_of(days(99)), *WORDS) == 2
    assert "nothing is overwritten" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in (tmp_path / "conf").rglob("*.yml")}


def test_lake_names_are_snake_case_and_each_once() -> None:
    assert list(lake_names(["CustomerID", "customer id", "Amount (EUR)", "HTTPServer", "9lives", "Ü", "x" * 99]).values()) == [
        "customer_id", "customer_id_2", "amount_eur", "http_server", "c_9lives", "column", "x" * 48,
    ]  # fmt: skip
