"""Delta tables as sources, without Spark: what a contract and the settings may say of them, names, digests and due days."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql.types import ArrayType, DateType, DecimalType, DoubleType, StringType, StructType, TimestampNTZType, TimestampType

import odd_contract
import shop
from penstock.clock import midnight
from penstock.config.load import load
from penstock.errors import ConfigError
from penstock.lake.contract import known_from, load_contract
from penstock.landing import deltas, plain
from penstock.landing.contents import EMPTY, Content, with_undated
from penstock.landing.deltas import due_between
from penstock.landing.parts import is_day_of, part_name
from penstock.orchestrate.conf_diff import contract_changes

DAYS = st.dates(date(2023, 1, 1), date(2025, 1, 1))


def contract(folder: Path, **words: Any) -> Any:
    return load_contract(odd_contract.write(folder, "delta", **{"known": "at", **words}))


def faults(folder: Path, **words: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        contract(folder, **words)
    return list(caught.value.faults)


def test_a_table_may_be_named_in_the_catalog_or_be_a_folder(tmp_path: Path) -> None:
    assert contract(tmp_path).table_name is None
    for name in ("contacts", "public.contacts", "crm.public.contacts", "crm-eu.public._Contacts2"):
        assert contract(tmp_path, table=name).table_name == name


@pytest.mark.parametrize("name", ["a.b.c.d", "a..b", "a b", "a`b", "1a", "delta.'x'", "s3://x", "a;drop"])
def test_what_is_no_tables_name_is_refused(tmp_path: Path, name: str) -> None:
    (fault,) = faults(tmp_path, table=f'"{name}"')
    assert fault.startswith(
        f"odd.yml: schema.0.physicalName: got {name!r}, expected a table's name of up to three parts such as crm.public.contacts"
    )


def test_a_table_has_no_file_names_and_no_delimiters(tmp_path: Path) -> None:
    assert faults(tmp_path, known=None) == [
        "odd.yml: customProperties.knownTime.file: got '{date}.' for a table, expected column: a date or timestamp of it"
    ]
    assert faults(tmp_path, csv={"delimiter": ";"}) == ["odd.yml: customProperties.csv: got it for a table, expected physicalType: csv"]
    assert "knownTime.column: got id, expected a date or timestamp of this table" in faults(tmp_path, known="id")[0]


def test_an_environment_names_another_table(tmp_path: Path) -> None:
    conf = shop.write_conf(tmp_path / "conf")
    path = conf / "contracts" / f"{shop.SOURCE}.yml"
    for env, name in (("dev", "dev.crm.orders"), ("prod", "prod.crm.orders")):
        with (conf / "env" / f"{env}.yml").open("a", encoding="utf-8") as file:
            file.write(f"sources: {{{shop.SOURCE}: {name}}}\n")
    with pytest.raises(ConfigError, match=r"sources.shop_orders: got a table for files of csv, expected schema.physicalType: delta"):
        load(conf, "dev", shop.PIPELINE)
    text = path.read_text(encoding="utf-8").replace("physicalType: csv", "physicalType: delta")
    path.write_text(text.replace('{file: "{date}.csv"}', "{column: ordered_at}"), encoding="utf-8")
    named = {env: load(conf, env, shop.PIPELINE).settings.sources.get(shop.SOURCE) for env in ("local", "dev", "prod")}
    assert named == {"local": None, "dev": "dev.crm.orders", "prod": "prod.crm.orders"}
    for wrong, fault in (
        ("sources: {shop: a.b}", "sources.shop: got no contracts/shop.yml"),
        ("sources: {shop_orders: a b}", "a table's name"),
    ):
        shutil.copyfile(conf / "env" / "local.yml", conf / "env" / "other.yml")
        with (conf / "env" / "other.yml").open("a", encoding="utf-8") as file:
            file.write(f"{wrong}\n")
        with pytest.raises(ConfigError, match=fault):
            load(conf, "other", shop.PIPELINE)


def test_a_change_between_files_and_a_table_breaks(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    table = contract(tmp_path, table="a.b")
    parquet = load_contract(odd_contract.write(tmp_path / "old", "parquet", known="at"))
    (kind,) = contract_changes("odd.yml", parquet, table)
    assert (kind.breaking, kind.key) == (True, "schema.physicalType")
    (name,) = contract_changes("odd.yml", table, contract(tmp_path, table="c.d"))
    assert (name.breaking, name.key) == (False, "schema.physicalName")


def test_only_a_day_of_the_very_source_is_one() -> None:
    assert is_day_of(part_name("orders", date(2024, 1, 2)), "orders")
    for other in ("orders.csv@2024-01-02", "orders@2024-01-02.csv", "old_orders@2024-01-02", "2024-01-02.csv"):
        assert not is_day_of(other, "orders")


def test_columns_that_do_not_fit_are_all_named(tmp_path: Path) -> None:
    made = contract(tmp_path)
    types = {
        "id": StringType(),
        "amount": DoubleType(),
        "day": DateType(),
        "at": TimestampNTZType(),
        "flag": StringType(),
        "n": DecimalType(9, 0),
    }
    schema = StructType()
    for name, kind in types.items():
        schema = schema.add(name, kind)
    assert plain.faults_of(schema, made) == []
    other = (
        StructType().add("id", ArrayType(StringType())).add("Amount", DoubleType()).add("day", TimestampType()).add("at", TimestampType())
    )
    assert plain.faults_of(other, made) == [
        "column 'Amount' differs from 'amount' by case or blanks, expected 'amount'",
        "column 'flag' is missing",
        "column 'n' is missing",
        "column 'id' holds array<string>, which is no plain value; flatten it, or leave it out",
        "column 'day' holds instants, expected physicalType: timestamp with timezone: true",
        "column 'at' holds instants, expected logicalTypeOptions.timezone: true",
    ]


@given(st.lists(DAYS, min_size=2, max_size=8, unique=True).map(sorted))
def test_every_day_becomes_due_exactly_once(tmp_path_factory: pytest.TempPathFactory, runs: Sequence[date]) -> None:
    made = contract(tmp_path_factory.getbasetemp(), zone="America/New_York")
    instants = [midnight(day, made.timezone) for day in runs]
    due = [due_between(made, before, at) for before, at in pairwise(instants)]
    assert sum(map(len, due)) == len(frozenset().union(*due)) == (runs[-1] - runs[0]).days
    for days, (before, at) in zip(due, pairwise(instants), strict=True):
        assert all(before < known_from(made, day) <= at for day in days)
    assert due_between(made, instants[-1], instants[0]) == frozenset()


def test_rows_without_a_day_stay_with_the_first_day_there_ever_was() -> None:
    one, two = Content(3, 10, 20), Content(1, 5, 7)
    assert with_undated({date(2024, 1, 2): one, None: two}, None) == ({date(2024, 1, 2): Content(4, 15, 27)}, date(2024, 1, 2))
    first = date(2024, 1, 3)
    assert with_undated({date(2024, 1, 2): one, None: two}, first) == ({date(2024, 1, 2): one, first: two}, first)
    assert with_undated({None: two}, None) == ({None: two}, None)
    assert deltas._with_first(frozenset({first}), first) == {first, None}
    assert deltas._with_first(frozenset({first}), date(2024, 1, 2)) == {first}


@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=9), st.randoms())
def test_a_digest_is_of_rows_in_any_order_and_counts_equal_ones(rows: list[tuple[int, int]], chance: Any) -> None:
    def digest(values: Sequence[tuple[int, int]]) -> str:
        return sum((Content(1, one, two) for one, two in values), Content()).digest

    mixed = rows.copy()
    chance.shuffle(mixed)
    assert digest(mixed) == digest(rows) != EMPTY
    assert digest([*rows, rows[0]]) != digest(rows)


def test_the_instant_before_which_a_day_is_not_due_is_its_known_time(tmp_path: Path) -> None:
    made = contract(tmp_path)
    at = datetime(2024, 1, 5, tzinfo=UTC)
    assert due_between(made, at, at + timedelta(days=1)) == {date(2024, 1, 5)}
