"""The catalogue of features: what a row says, how it is found, and how it looks."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

import shop
from penstock import cli
from penstock.config.load import load
from penstock.config.model import Pipeline
from penstock.features import checks, versions
from penstock.features.catalog import Entry, Found, entries, search
from penstock.features.versions import ViewVersion
from penstock.lake import tables
from penstock.orchestrate.catalog_commands import lines, told
from penstock.training.featured import checks_json, metadata_json

CHURN = load(shop.REPOSITORY / "conf", "local", "churn")
AT = datetime(2011, 9, 5, tzinfo=UTC)
ENTRIES = {e.column: e for e in entries(CHURN.pipeline, CHURN.contracts, 1, 1)}


def described(**words: object) -> Pipeline:
    """The pipeline with words on its view, and on the column `market`."""
    view = CHURN.pipeline.features
    derived = tuple(d.model_copy(update=words) if d.name == "market" else d for d in view.derived)
    return CHURN.pipeline.model_copy(update={"features": view.model_copy(update={"derived": derived, "tags": ("shop",), "owner": "sales"})})


def found(*some: Entry) -> tuple[Found, ...]:
    return tuple(Found(entry, AT) for entry in some)


def names(some: tuple[Found, ...]) -> list[tuple[str, int]]:
    return [(f.entry.column, f.entry.version) for f in some]


def test_whether_a_view_is_online_is_no_part_of_what_the_catalogue_says_or_its_rows_mean() -> None:
    online = CHURN.pipeline.model_copy(update={"features": CHURN.pipeline.features.model_copy(update={"publish": "online"})})
    assert entries(online, CHURN.contracts, 1, 1) == tuple(ENTRIES.values())
    assert "online" in online.features.model_dump_json()


def test_every_column_of_the_view_has_one_row_in_table_order() -> None:
    assert tuple(ENTRIES) == CHURN.pipeline.features.column_names()
    assert {e.definition for e in ENTRIES.values()} == {versions.spec.definition(CHURN.pipeline.features, "Europe/London")}


def test_a_row_says_how_its_column_is_computed_and_from_what() -> None:
    spend = ENTRIES["spend_30d"]
    assert (spend.kind, spend.type, spend.description) == ("aggregate", "decimal(18,3)", "pounds spent")
    assert spend.computed == "sum(quantity * unit_price) where quantity > 0 AND unit_price > 0 over 30 days"
    assert spend.source_columns == ("invoice_at", "quantity", "unit_price")
    basket = ENTRIES["basket_90d"]
    assert (basket.kind, basket.computed) == ("derived", "spend_90d / nullif(orders_90d, 0)")
    assert basket.source_columns == ("invoice_at", "invoice_no", "quantity", "unit_price")
    assert ENTRIES["market"].source_columns == ("country", "invoice_at", "quantity", "unit_price") or ENTRIES["country"].source_columns


def test_a_column_has_the_words_of_its_view_and_its_own_and_somebody_always_answers_for_it() -> None:
    made = {e.column: e for e in entries(described(tags=("where", "shop"), restrictions=("not for pricing",)), CHURN.contracts, 2, 1)}
    assert (made["market"].tags, made["market"].restrictions, made["market"].owner) == (("shop", "where"), ("not for pricing",), "sales")
    assert (made["country"].tags, made["country"].restrictions) == (("shop",), ())
    assert ENTRIES["country"].owner == CHURN.pipeline.purpose.owner


def test_words_change_neither_a_version_nor_a_column_s_meaning() -> None:
    made = {e.column: e for e in entries(described(description="abroad?"), CHURN.contracts, 1, 1)}
    assert {(n, e.meaning, e.definition) for n, e in made.items()} == {(n, e.meaning, e.definition) for n, e in ENTRIES.items()}
    assert made["market"] != ENTRIES["market"]


def test_a_version_can_be_computed_from_its_declaration() -> None:
    assert versions._declared(ENTRIES["market"]) == CHURN.pipeline.features


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("POUNDS an order", {"basket_90d"}),
        ("market", {"market"}),
        ("spend_9", {"spend_90d"}),
        ("customer_activity spend_90d", {"spend_90d"}),
        ("crm@shop.example market", {"market"}),
        ("no such words", set()),
        ("", set(ENTRIES)),
    ],
)
def test_every_word_must_stand_somewhere_in_upper_or_lower_case(text: str, expected: set[str]) -> None:
    assert {f.entry.column for f in search(found(*ENTRIES.values()), text)} == expected


def test_tags_are_searched() -> None:
    assert names(search(found(replace(ENTRIES["market"], tags=("Geo",)), ENTRIES["country"]), "geo")) == [("market", 1)]


def test_of_a_column_the_newest_version_is_shown_unless_all_are_asked_for() -> None:
    both = found(replace(ENTRIES["market"], version=2), ENTRIES["market"], ENTRIES["country"])
    assert names(search(both)) == [("country", 1), ("market", 2)]
    assert names(search(both, every_version=True)) == [("country", 1), ("market", 1), ("market", 2)]


def test_the_table_for_people_and_the_json_say_the_same() -> None:
    shown = lines(found(replace(ENTRIES["market"], tags=("geo", "uk"), restrictions=("pii",))))
    assert shown[0].split() == ["feature", "view", "version", "type", "owner", "tags", "restrictions", "description"]
    assert "geo, uk" in shown[2]
    assert shown[2].endswith("home market or abroad")
    assert shown[-1] == "(1 feature)"
    row = told(found(ENTRIES["market"])[0])
    assert "declaration" not in row
    assert row["created_at"] == "2011-09-05T00:00:00+00:00"
    json.dumps(row)


def test_only_later_versions_have_their_number_in_the_names_of_their_tables() -> None:
    assert [tables.features("v", [], [], "d", n).name for n in (1, 2, 10)] == ["features_v", "features_v_v2", "features_v_v10"]
    assert [tables.tiles("v", [], [], n).name for n in (1, 2)] == ["tiles_v", "tiles_v_v2"]


def test_a_model_s_tag_names_its_version_whole() -> None:
    tag = ViewVersion(2, "0123456789abcdef", CHURN.pipeline.features).tag
    assert tag == "customer_activity@v2:0123456789abcdef"
    assert versions._NAMED.fullmatch(tag)


@pytest.mark.parametrize(
    ("counts", "passed"),
    [({"n": 5, "a": 0, "a__null": 5}, True), ({"n": 5, "a": 1, "a__null": 0}, False), ({"n": 0, "a": 0, "a__null": 0}, None)],
)
def test_a_check_over_no_rows_was_not_made(counts: dict[str, int], passed: bool | None) -> None:
    view = CHURN.pipeline.features.model_copy(update={"checks": (CHURN.pipeline.features.checks[0].model_copy(update={"name": "a"}),)})
    (result,) = checks.judged(view, counts)
    assert result.passed is passed
    assert json.loads(checks_json([result]))[0]["passed"] is passed


def test_a_training_keeps_the_metadata_of_its_own_columns() -> None:
    kept = json.loads(metadata_json(found(*ENTRIES.values()), ["spend_30d", "recency_days"]))
    assert [row["column"] for row in kept] == ["recency_days", "spend_30d"]
    assert {row["version"] for row in kept} == {1}


def test_the_features_stage_needs_its_pipeline_and_a_scheduled_one_its_day(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["features", "--as-of", "2011-09-05"]) == 2
    assert "PIPELINE" in capsys.readouterr().err
    for words in (["features", "churn", "--scheduled"], ["features", "churn", "--dry-run"]):
        assert cli.main(words) == 2
        assert "--as-of" in capsys.readouterr().err


def test_the_help_says_that_features_is_a_search_and_a_stage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["features", "--help"]) == 0
    said = capsys.readouterr().out
    assert "penstock features [TEXT]" in said
    assert "penstock features PIPELINE --as-of DATE" in said
