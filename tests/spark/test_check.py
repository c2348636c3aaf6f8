"""A contract over real rows in Spark: typed values, reasons, counts, and the verdict of Great Expectations on the batch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from penstock.datasets import online_retail
from penstock.lake.contract import Contract, known_time, load_contract
from penstock.landing import check, rows
from penstock.landing.read import FILE_COLUMNS, inspect, parsed_columns, parser

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.spark

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
GOOD = "536365,85123A,WHITE HEART,6,2011-01-05 08:26:00,2.55,17850.0,United Kingdom"


@pytest.fixture(scope="module")
def contract() -> Contract:
    return load_contract(Path(__file__).parents[2] / "conf" / "contracts" / "online_retail.yml")


@dataclass(frozen=True)
class Landing:
    """Reads files as landing does: inspected, parsed by Spark's workers, typed and judged."""

    spark: SparkSession
    contract: Contract
    folder: Path

    def text(self, *lines: str, name: str = "2011-01-05.csv") -> DataFrame:
        path = self.folder / name
        path.write_text(HEADER + "".join(f"{line}\n" for line in lines), encoding="utf-8")
        return self.files(path)

    def files(self, *paths: Path) -> DataFrame:
        found = [inspect(str(path)) for path in paths]
        assert [f.fault for f in found] == [None] * len(found)
        planned = [(f.name, f.path, f.digest, known_time(self.contract, f.name), None, None) for f in found]
        files = self.spark.createDataFrame(planned, ", ".join(f"{name} {type_}" for name, type_ in FILE_COLUMNS))
        schema = ", ".join(f"`{name}` {type_}" for name, type_ in parsed_columns(self.contract))
        return rows.checked(files.mapInArrow(parser(self.contract), schema), self.contract)


@pytest.fixture
def landing(spark: SparkSession, contract: Contract, tmp_path: Path) -> Landing:
    return Landing(spark, contract, tmp_path)


def with_field(**fields: str) -> str:
    names = HEADER.strip().split(",")
    values = dict(zip(names, GOOD.split(","), strict=True)) | fields
    return ",".join(values[name] for name in names)


def reasons(frame: DataFrame) -> list[list[str]]:
    return [row["reasons"] for row in frame.orderBy("_row").select("reasons").collect()]


def test_one_good_row_has_the_lakes_types_and_its_local_time_becomes_an_instant(landing: Landing, contract: Contract) -> None:
    summer = with_field(InvoiceDate="2011-06-01 00:30:00", CustomerID="")
    frame = landing.text(GOOD, summer, name="2011-06-01.csv")
    kept = rows.accepted(frame, contract)
    assert dict(kept.dtypes) == dict(contract.lake_columns) | {
        "_file": "string",
        "_row": "bigint",
        "_file_digest": "string",
        "_known_at": "timestamp",
    }
    instants = kept.selectExpr("_row", "unix_micros(invoice_at) AS invoice_at", "unix_micros(_known_at) AS known", "*")
    first, second = [row.asDict() for row in kept.orderBy("_row").collect()]
    assert (first["quantity"], first["unit_price"], first["customer_id"]) == (6, Decimal("2.550"), "17850")
    assert (second["customer_id"], second["country"]) == (None, "United Kingdom")
    seconds = [row[0] / 1e6 for row in instants.orderBy("_row").selectExpr("unix_micros(_known_at) AS k").collect()]
    assert seconds == [datetime(2011, 6, 1, 23, tzinfo=UTC).timestamp()] * 2
    times = [row[0] / 1e6 for row in kept.orderBy("_row").selectExpr("unix_micros(invoice_at)").collect()]
    assert times == [datetime(2011, 1, 5, 8, 26, tzinfo=UTC).timestamp(), datetime(2011, 5, 31, 23, 30, tzinfo=UTC).timestamp()]


BAD: list[tuple[dict[str, str], list[str]]] = [
    ({}, []),
    ({"InvoiceNo": ""}, ["invoice_no:required"]),
    ({"InvoiceNo": "53636"}, ["invoice_no:pattern"]),
    ({"InvoiceNo": '"536365\n"'}, ["invoice_no:pattern"]),  # `$` alone would match before the line feed
    ({"InvoiceNo": "A536365"}, ["bad_debt"]),
    ({"Quantity": "six"}, ["quantity:type"]),
    ({"Quantity": "6.5"}, ["quantity:type"]),
    ({"Quantity": "99999999999"}, ["quantity:type"]),
    ({"Quantity": "200000"}, ["quantity:range"]),
    ({"UnitPrice": "NaN"}, ["unit_price:type"]),
    ({"UnitPrice": "Infinity"}, ["unit_price:type"]),
    ({"UnitPrice": "-inf"}, ["unit_price:type"]),
    ({"UnitPrice": "1e999"}, ["unit_price:type"]),
    ({"UnitPrice": "2.5d"}, ["unit_price:type"]),
    ({"UnitPrice": "2.5555"}, ["unit_price:type"]),  # a cast would round it to 2.556
    ({"UnitPrice": "2.550000"}, []),
    ({"UnitPrice": ""}, ["unit_price:required"]),
    ({"InvoiceDate": "2011-02-30 08:26:00"}, ["invoice_at:type"]),
    ({"InvoiceDate": "05/01/2011 08:26"}, ["invoice_at:type"]),
    ({"InvoiceDate": "1970-01-01 00:00:00"}, ["invoice_at:range"]),
    ({"InvoiceDate": "2011-01-05 23:59:59"}, []),
    ({"InvoiceDate": "2011-01-06 00:00:00"}, ["in_the_future"]),
    ({"InvoiceDate": "9999-12-31 00:00:00"}, ["in_the_future"]),
    ({"CustomerID": "17850"}, []),
    ({"CustomerID": "17850.5"}, ["customer_id:pattern"]),
    ({"CustomerID": '"17850.0\n"'}, ["customer_id:pattern"]),
    ({"StockCode": "x" * 21}, ["stock_code:length"]),
    ({"Quantity": "six", "Country": "", "InvoiceNo": "A12"}, ["invoice_no:pattern", "quantity:type", "country:required", "bad_debt"]),
]


def test_each_bad_value_is_refused_for_exactly_its_reason_and_keeps_its_text(landing: Landing, contract: Contract) -> None:
    frame = landing.text(*(with_field(**fields) for fields, _ in BAD))
    assert reasons(frame) == [expected for _, expected in BAD]
    refused = {row["_row"]: row for row in rows.rejected(frame, contract).collect()}
    assert sorted(refused) == [i for i, (_, expected) in enumerate(BAD, start=1) if expected]
    assert refused[10]["unit_price"] == "NaN"
    assert refused[4]["invoice_no"] == "536365\n"
    assert rows.accepted(frame, contract).count() + len(refused) == len(BAD)


def test_a_row_with_a_wrong_number_of_fields_has_that_one_reason(landing: Landing, contract: Contract) -> None:
    frame = landing.text(GOOD, GOOD + ",more", "536365", GOOD)
    assert reasons(frame) == [[], ["parse_error"], ["parse_error"], []]
    (counts,) = rows.file_facts(frame, contract)
    assert (counts.rows, counts.accepted, counts.rejected, counts.checks["parse_error"]) == (4, 2, 2, 2)
    # Rows that could not be parsed are no rows without a customer.
    assert (counts.checks["no_customer"], counts.checks["exact_duplicate"]) == (0, 1)


def test_facts_are_counted_file_by_file_and_every_name_is_there(landing: Landing, contract: Contract) -> None:
    first = landing.folder / "2011-01-05.csv"
    second = landing.folder / "2011-01-06.csv"
    facts = [
        with_field(CustomerID=""),
        with_field(InvoiceNo="C536365", Quantity="-6"),
        with_field(UnitPrice="0.0"),
        with_field(StockCode="BANK CHARGES"),
        with_field(Quantity="-6"),
        GOOD,
        GOOD,
        GOOD,
    ]
    first.write_text(HEADER + "\n".join(facts), encoding="utf-8")
    second.write_text(HEADER + GOOD + "\n", encoding="utf-8")
    one, two = rows.file_facts(landing.files(first, second), contract)
    wanted = {
        "no_customer": 1,
        "cancellation": 1,
        "zero_price": 1,
        "non_product": 1,
        "negative_quantity_without_cancellation": 1,
        "exact_duplicate": 2,
    }
    assert {name: one.checks[name] for name in wanted} == wanted
    assert (two.file, two.rows, set(two.checks.values())) == ("2011-01-06.csv", 1, {0})
    assert tuple(one.checks) == tuple(two.checks) == rows.check_names(contract)


def test_five_real_days_are_accepted_whole_and_keep_their_time_of_day(landing: Landing, contract: Contract) -> None:
    paths = online_retail.write_days(landing.folder, date(2011, 8, 10), date(2011, 8, 14))
    frame = landing.files(*paths)
    counts = rows.file_facts(frame, contract)
    assert {c.file: c.rejected for c in counts if c.rejected} == {"2011-08-12.csv": 3}
    assert sum(c.checks["bad_debt"] for c in counts) == 3
    verdict = check.validate(frame, contract)
    assert verdict.success
    assert {result.error for result in verdict.results} == {""}
    assert all(outcome.success for outcome in check.judge_counts(contract, counts))


def failing(frame: DataFrame, contract: Contract, share: float | None = None) -> set[tuple[str, str]]:
    verdict = check.validate(frame, contract, share)
    assert verdict.success is not bool(verdict.failed)
    return {(result.expectation, result.column) for result in verdict.failed}


def test_an_all_null_column_fails_the_batch(landing: Landing, contract: Contract) -> None:
    frame = landing.text(*[with_field(CustomerID="")] * 3)
    assert failing(frame, contract) == {("expect_column_values_to_not_be_null", "customer_id")}


def test_too_many_bad_rows_fail_the_batch_and_the_share_decides(landing: Landing, contract: Contract) -> None:
    assert failing(landing.text(*[GOOD] * 99, with_field(InvoiceNo="A536365")), contract) == set()
    frame = landing.text(*[GOOD] * 8, with_field(Quantity="six"), with_field(InvoiceNo="A536365"))
    found = failing(frame, contract)
    assert ("expect_column_values_to_be_in_set", "_refused") in found
    assert ("expect_column_values_to_not_be_null", "quantity") in found
    assert failing(frame, contract, 0.2) == set()


def test_no_rows_at_all_do_not_pass(landing: Landing, contract: Contract) -> None:
    frame = landing.text(GOOD).where("false")
    assert ("expect_table_row_count_to_be_between", "") in failing(frame, contract)
    assert rows.file_facts(frame, contract) == ()
    assert not check.BatchVerdict(()).success
    empty = rows.FileCounts("x.csv", 0, 0, 0, dict.fromkeys(rows.check_names(contract), 0))
    assert [outcome.success for outcome in check.judge_counts(contract, (empty,))] == [False]


@pytest.mark.parametrize(("open_", "passes"), [(True, False), (False, True)])
def test_a_share_of_nulls_exactly_at_its_bound_passes_only_when_the_bound_is_within(
    landing: Landing, contract: Contract, open_: bool, passes: bool
) -> None:
    (rule,) = (rule for rule in contract.batch_rules if rule.metric == "nullValues")
    bounded = contract.model_copy(update={"batch_rules": (rule.model_copy(update={"high": 30.0, "high_open": open_}),)})
    frame = landing.text(*[with_field(CustomerID="")] * 3, *[GOOD] * 7)
    assert (failing(frame, bounded) == set()) is passes


def test_lengths_are_those_of_the_whole_value_line_feeds_and_all(landing: Landing, contract: Contract) -> None:
    frame = landing.text(with_field(Description='"' + "x\n" * 100 + '"'), with_field(Description="y" * 200))
    assert reasons(frame) == [[], []]
    assert failing(frame, contract) == set()
    longer = landing.text(with_field(Description='"' + "x\n" * 100 + 'z"'))
    assert reasons(longer) == [["description:length"]]
    assert ("expect_column_values_to_match_regex", "description") in failing(longer, contract)


def test_validation_is_silent_and_shows_no_values(
    landing: Landing, contract: Contract, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    frame = landing.text(with_field(CustomerID="99999x"))
    capfd.readouterr()
    verdict = check.validate(frame, contract)
    out, err = capfd.readouterr()
    assert not verdict.success
    assert out == ""
    assert "99999x" not in err + caplog.text + repr(verdict)


def test_every_kind_of_type_is_read_exactly_or_refused(spark: SparkSession, contract: Contract) -> None:
    def kind(name: str, type_: str, **more: Any) -> Any:
        return contract.columns[2].model_copy(update={"name": name, "type": type_, "max_length": None, "format": "yyyy-MM-dd", **more})

    columns = (kind("b", "boolean"), kind("d", "date", exclusive_maximum=date(2012, 1, 1)), kind("f", "double"), kind("n", "bigint"))
    small = contract.model_copy(update={"columns": columns, "row_rules": (), "batch_rules": ()})
    text = [
        ("true", "2011-12-31", "-1.5e3", "9223372036854775807"),
        ("maybe", "2012-01-01", "Infinity", "9223372036854775808"),
        ("", "31.12.2011", "1e400", "0x10"),
        ("0", "2011-06-01", "nan", " 7 "),
    ]
    meta = ("x.csv", "d", datetime(2012, 1, 2, tzinfo=UTC) - timedelta(days=1), None)
    parsed = spark.createDataFrame(
        [(*values, meta[0], i, *meta[1:]) for i, values in enumerate(text, start=1)],
        "b string, d string, f string, n string, _file string, _row bigint, _file_digest string, _known_at timestamp, _parse_error string",
    )
    frame = rows.checked(parsed, small)
    assert reasons(frame) == [[], ["b:type", "d:range", "f:type", "n:type"], ["d:type", "f:type", "n:type"], ["f:type"]]
    first = frame.where("_row = 1").select("b", "d", "f", "n").collect()[0]
    assert tuple(first) == (True, date(2011, 12, 31), -1500.0, 9223372036854775807)
