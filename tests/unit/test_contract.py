"""The contract: what it says, what is refused in it, and the calendar and known times that follow from it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from penstock.datasets import online_retail
from penstock.errors import ConfigError, DataError
from penstock.lake.contract import BatchRule, Contract, expected_days, file_day, known_time, load_contract, missing_days

PATH = Path(__file__).parents[2] / "conf" / "contracts" / "online_retail.yml"
TREE = yaml.safe_load(PATH.read_text(encoding="utf-8"))
FIRST, LAST = date(2010, 12, 1), date(2011, 12, 9)

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def contract() -> Contract:
    return load_contract(PATH)


def changed(folder: Path, *changes: Change) -> Path:
    tree = copy.deepcopy(TREE)
    for change in changes:
        change(tree)
    path = folder / "shop.yml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    return path


def faults(folder: Path, *changes: Change) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_contract(changed(folder, *changes))
    return list(caught.value.faults)


def column(tree: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in tree["schema"][0]["properties"] if c["name"] == name)
    return found


def rule(tree: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(r for r in tree["schema"][0]["quality"] if r["name"] == name)
    return found


def pair(tree: dict[str, Any], part: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(p for p in tree[part] if p["property"] == name)
    return found


# --- what the shop's contract says ---


def test_the_shops_contract_gives_its_columns_rules_and_promises(contract: Contract) -> None:
    assert contract.lake_columns == (
        ("invoice_no", "string"),
        ("stock_code", "string"),
        ("description", "string"),
        ("quantity", "int"),
        ("invoice_at", "timestamp"),
        ("unit_price", "decimal(12,3)"),
        ("customer_id", "string"),
        ("country", "string"),
    )
    assert [c.name for c in contract.columns if c.is_personal] == ["customer_id"]
    assert {r.name for r in contract.row_rules if r.severity == "error"} == {"bad_debt", "in_the_future"}
    assert {r.name for r in contract.row_rules if r.severity == "info"} == {
        "no_customer",
        "cancellation",
        "zero_price",
        "non_product",
        "negative_quantity_without_cancellation",
    }
    assert {r.metric: r.severity for r in contract.batch_rules} == {"duplicateValues": "info", "rowCount": "error", "nullValues": "error"}
    assert (contract.timezone, contract.latency_days, contract.freshness_days) == ("Europe/London", 1, 1)
    assert (contract.max_rejected_share, contract.owner) == (0.01, "shop-data")


def test_the_physical_names_are_the_header_of_the_data(contract: Contract) -> None:
    assert [c.physical_name for c in contract.columns] == online_retail.read().column_names


def test_the_digest_changes_with_meaning_and_not_with_words_or_the_order_of_keys(tmp_path: Path, contract: Contract) -> None:
    same: list[Change] = [
        lambda t: t.update(version="2.0.0"),
        lambda t: t["team"].update(name="others"),
        lambda t: column(t, "quantity").update(description="Pieces."),
        lambda t: t.update(schema=t.pop("schema")),
    ]
    other: list[Change] = [
        lambda t: column(t, "quantity").update(required=False),
        lambda t: rule(t, "bad_debt").update(implementation="invoice_no LIKE 'B%'"),
        lambda t: rule(t, "bad_debt").update(severity="info"),
        lambda t: pair(t, "customProperties", "maxRejectedShare").update(value=0.02),
        lambda t: pair(t, "customProperties", "calendar")["value"]["closedDays"].pop(),
        lambda t: pair(t, "slaProperties", "latency").update(value=2),
    ]
    assert {load_contract(changed(tmp_path, change)).digest for change in same} == {contract.digest}
    digests = [load_contract(changed(tmp_path, change)).digest for change in other]
    assert len({contract.digest, *digests}) == len(other) + 1


# --- calendar and known time ---


def test_the_calendar_expects_exactly_the_days_on_which_the_shop_traded(contract: Contract) -> None:
    assert expected_days(contract, FIRST, LAST) == online_retail.days()


def test_missing_days_are_expected_ones_without_a_file(contract: Contract) -> None:
    present = set(online_retail.days()) - {date(2011, 9, 20), date(2011, 9, 21)}
    assert missing_days(contract, present, FIRST, LAST) == (date(2011, 9, 20), date(2011, 9, 21))
    assert missing_days(contract, present, date(2011, 10, 1), LAST) == ()


@given(first=st.dates(FIRST, LAST), length=st.integers(-1, 30))
def test_a_span_of_days_is_split_by_the_calendar_without_loss(contract: Contract, first: date, length: int) -> None:
    last = first + timedelta(days=length)
    expected = expected_days(contract, first, last)
    assert missing_days(contract, (), first, last) == expected
    assert missing_days(contract, expected, first, last) == ()
    assert all(first <= day <= last and day.weekday() != 5 for day in expected)


@pytest.mark.parametrize(
    ("file", "instant"),
    [
        ("2011-01-05.csv", datetime(2011, 1, 6, 0, tzinfo=UTC)),
        ("2011-06-01.csv.gz", datetime(2011, 6, 1, 23, tzinfo=UTC)),
        ("2011-03-26.csv.zst", datetime(2011, 3, 27, 0, tzinfo=UTC)),  # the clocks go forward an hour later
        ("2011-03-27.csv", datetime(2011, 3, 27, 23, tzinfo=UTC)),
        ("2011-12-31.csv", datetime(2012, 1, 1, 0, tzinfo=UTC)),
    ],
)
def test_a_file_is_known_from_the_next_local_midnight(contract: Contract, file: str, instant: datetime) -> None:
    assert known_time(contract, file) == instant


@pytest.mark.parametrize(
    "file",
    ["2011-02-30.csv", "2011-1-05.csv", "20110105.csv", "2011-01-05.csv.bz2", "x2011-01-05.csv", "2011-01-05xcsv", "2011-01-05.csv\n"],
)
def test_a_file_with_another_name_is_refused_with_the_name_that_was_expected(contract: Contract, file: str) -> None:
    with pytest.raises(DataError, match=r"2011-09-05\.csv"):
        file_day(contract, file)


# --- what is refused ---


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda t: t.update(colour="blue"), "shop.yml: colour: unknown key"),
        (lambda t: column(t, "quantity").update(requierd=True), "shop.yml: schema.0.properties.3.requierd: unknown key"),
        (lambda t: rule(t, "bad_debt").update(mustBeLess=1), "shop.yml: schema.0.quality.0.mustBeLess: unknown key"),
        (lambda t: t["customProperties"].append({"property": "calender", "value": 1}), "shop.yml: customProperties.calender: unknown key"),
        (lambda t: t["slaProperties"].append({"property": "freshnes", "value": 1}), "shop.yml: slaProperties.freshnes: unknown key"),
        (lambda t: t["slaProperties"].append(t["slaProperties"][0]), "shop.yml: slaProperties.frequency: stands twice"),
        (lambda t: t.pop("team"), "shop.yml: team: missing"),
        (lambda t: t["customProperties"].pop(0), "shop.yml: customProperties.timezone: missing"),
        (lambda t: t.pop("slaProperties"), "shop.yml: slaProperties: got nothing, expected a list of property and value"),
        (lambda t: t.update(apiVersion="v2.2.2"), "shop.yml: apiVersion: got 'v2.2.2'"),
        (lambda t: column(t, "quantity").update(unique=True), "shop.yml: schema.0.properties.3.unique"),
        (lambda t: column(t, "quantity").update(name="Quantity"), "got 'Quantity', expected a name like customer_id"),
        (lambda t: column(t, "quantity").update(name="q; DROP TABLE x"), "expected a name like customer_id"),
        (lambda t: column(t, "quantity").update(physicalType="varchar(3)"), "got 'varchar(3)', expected string, int"),
        (lambda t: column(t, "quantity").update(physicalType="double"), "quantity: got physicalType double for logicalType integer"),
        (lambda t: column(t, "unit_price").update(physicalType="decimal(3,12)"), "got 'decimal(3,12)'"),
        (lambda t: column(t, "quantity").update(name="country"), "got name country more than once"),
        (lambda t: column(t, "quantity").update(physicalName="COUNTRY"), "without regard to case) country more than once"),
        (lambda t: column(t, "quantity").update(logicalTypeOptions={"pattern": "^a$"}), "got logicalTypeOptions pattern"),
        (lambda t: column(t, "quantity").update(logicalTypeOptions={"minimum": "2011-01-01"}), "expected a decimal"),
        (lambda t: column(t, "invoice_no").update(logicalTypeOptions={"pattern": "[0-9]"}), "expected a pattern for the whole value"),
        (lambda t: column(t, "invoice_no").update(logicalTypeOptions={"pattern": "^[0-9$"}), "expected a regular expression"),
        (
            lambda t: column(t, "customer_id").update(transformLogic="(SELECT 1)"),
            "schema.0.properties.6.transformLogic: got the word 'SELECT'",
        ),
        (lambda t: rule(t, "bad_debt").update(implementation="1=1; DROP TABLE x"), "schema.0.quality.0.implementation: got ';'"),
        (lambda t: rule(t, "bad_debt").update(engine="soda"), "schema.0.quality.0.engine"),
        (lambda t: rule(t, "bad_debt").update(type="sql"), "schema.0.quality.0.type"),
        (lambda t: rule(t, "bad_debt").pop("implementation"), "bad_debt: expected engine: penstock and an implementation"),
        (lambda t: rule(t, "bad_debt").update(name="no_customer"), "got quality name no_customer more than once"),
        (lambda t: rule(t, "some_rows").update(mustBe=3), "some_rows: expected one metric with exactly one of mustBe"),
        (lambda t: rule(t, "some_rows").update(unit="percent"), "some_rows: got rowCount in percent"),
        (lambda t: rule(t, "exact_duplicate")["arguments"].update(properties=["colour"]), "got properties colour"),
        (
            lambda t: pair(t, "customProperties", "timezone").update(value="Europe/Lundon"),
            "got 'Europe/Lundon', expected an IANA time zone",
        ),
        (lambda t: pair(t, "customProperties", "knownTime").update(value={"file": "daily.csv"}), "expected a file name with {date} once"),
        (lambda t: pair(t, "customProperties", "maxRejectedShare").update(value=1.5), "customProperties.maxRejectedShare: got 1.5"),
        (
            lambda t: pair(t, "customProperties", "calendar").update(value={"closedWeekdays": ["caturday"]}),
            "closedWeekdays.0: got 'caturday'",
        ),
        (lambda t: pair(t, "customProperties", "calendar").update(value={"closedDays": ["2011-02-30"]}), "closedDays.0: got '2011-02-30'"),
        (
            lambda t: pair(t, "slaProperties", "latency").update(unit="h"),
            "slaProperties.latency: got 1 h, expected a whole number with unit d",
        ),
        (lambda t: pair(t, "slaProperties", "frequency").update(value=7), "slaProperties.frequency"),
        (lambda t: t["schema"].append(t["schema"][0]), "shop.yml: schema"),
    ],
)
def test_a_fault_is_told_with_its_file_and_key(tmp_path: Path, change: Change, fault: str) -> None:
    (found,) = faults(tmp_path, change)
    assert found.startswith("shop.yml: ")
    assert fault in found


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        lambda t: t.update(colour="blue"),
        lambda t: column(t, "quantity").update(physicalType="varchar(3)", requierd=True),
        lambda t: column(t, "country").update(name="Country"),
        lambda t: rule(t, "bad_debt").update(implementation="rand() > 0.5"),
        lambda t: pair(t, "customProperties", "timezone").update(value="Mars"),
        lambda t: pair(t, "slaProperties", "latency").update(unit="h"),
        lambda t: t["team"].pop("name"),
    )
    keys = ["colour", "physicalType", "requierd", "properties.7.name", "implementation", "timezone", "latency", "team.name"]
    assert len(found) == len(keys)
    assert all(any(key in fault for fault in found) for key in keys)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "got nothing, expected keys and values"),
        ("- a\n- b\n", "got list"),
        ("a: [1\nb: 2\n", "line 2: not YAML"),
        ("kind: DataContract\nname: a\nkind: DataContract\n", "line 3: not YAML (key kind stands twice)"),
        ("a: !!python/object/apply:os.getcwd []\n", "not YAML"),
        ("? [a, b]\n: 1\n", "not YAML"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused_by_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "shop.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_contract(path)
    assert words in caught.value.faults[0]


def test_a_contract_that_is_not_there_or_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.yml").write_bytes(b"name: caf\xe9\n")
    for name in ("absent.yml", "latin.yml"):
        with pytest.raises(ConfigError, match="cannot be read"):
            load_contract(tmp_path / name)


# --- batch rules ---


def batch_rule(**bounds: Any) -> BatchRule:
    whole = {"low": None, "high": None, "low_open": False, "high_open": False, **bounds}
    return BatchRule(name="r", metric="duplicateValues", columns=("a",), unit="percent", severity="error", description="", **whole)


@pytest.mark.parametrize(
    ("bounds", "count", "holds"),
    [
        ({"high": 20, "high_open": True}, 19, True),
        ({"high": 20, "high_open": True}, 20, False),
        ({"high": 20}, 20, True),
        ({"low": 20, "low_open": True}, 20, False),
        ({"low": 20}, 20, True),
        ({"low": 20, "high": 20}, 21, False),
        ({"low": 10, "high": 20}, 15, True),
    ],
)
def test_a_batch_rule_compares_the_percentage_with_its_bounds(bounds: dict[str, Any], count: int, holds: bool) -> None:
    assert batch_rule(**bounds).holds(count, 100) is holds


def test_a_percentage_of_no_rows_is_not_known_rather_than_fine() -> None:
    assert batch_rule(high=20).holds(0, 0) is None
