"""Which version a configuration means, and which one a model names: over what the catalogue says, without a lake."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

import shop
from penstock.config.load import Configuration, load
from penstock.config.model import View
from penstock.errors import RefusedError, UsageError
from penstock.features import catalog, versions
from penstock.features.catalog import Found
from penstock.progress import Silent
from penstock.stage import Run

CHURN = load(shop.REPOSITORY / "conf", "local", "churn")
AT = datetime(2011, 9, 5, tzinfo=UTC)


def means(**changes: Any) -> Configuration:
    """The configuration with another view."""
    view = CHURN.pipeline.features.model_copy(update=changes)
    return replace(CHURN, pipeline=CHURN.pipeline.model_copy(update={"features": view}))


def run(configuration: Configuration, *listed: Configuration) -> Run:
    """A run that knows what the catalogue lists, version by version, and has neither lake nor services to ask."""
    nobody = cast("Any", None)
    found = [
        Found(entry, AT)
        for n, each in enumerate(listed, start=1)
        for entry in catalog.entries(each.pipeline, each.contracts, n, revision=1)
    ]
    return Run(configuration, nobody, nobody, "", "", AT, "run", {}, Silent(), "", memo={versions._MEMO: tuple(found)})


OTHER = means(where="quantity <> 0")
THIRD = means(where="quantity <> 1")


def test_a_definition_that_is_listed_has_its_number_and_another_has_the_next() -> None:
    assert versions.current(run(CHURN)).number == 1
    assert [versions.current(run(each, CHURN, OTHER)).number for each in (CHURN, OTHER, THIRD)] == [1, 2, 3]


def test_the_current_version_has_the_words_and_checks_of_the_configuration() -> None:
    described = means(checks=(), description="new words")
    found = versions.current(run(described, CHURN))
    assert (found.number, found.view) == (1, described.pipeline.features)


def test_another_entity_is_refused() -> None:
    with pytest.raises(UsageError, match=r"features\.entity of customer_activity: got country, expected customer_id"):
        versions.current(run(means(entity=("country",)), CHURN))


def test_while_there_is_one_version_nobody_is_asked_what_production_was_trained_on() -> None:
    assert [v.number for v in versions.kept(run(CHURN))] == [1]
    assert [v.number for v in versions.kept(run(CHURN, CHURN))] == [1]


def test_a_model_names_its_version_by_view_number_and_digest() -> None:
    now = run(OTHER, CHURN, OTHER)
    for version in versions.known(now):
        assert versions.named_by(now, {versions.TAG: version.tag}) == version
    assert str(versions.current(now)) == "version 2 of customer_activity"


@pytest.mark.parametrize(
    "tag", ["", "customer_activity@v1", "customer_activity@v7:{digest}", "other@v1:{digest}", "customer_activity@v1:{other}"]
)
def test_a_model_that_names_no_listed_version_is_refused(tag: str) -> None:
    now = run(CHURN, CHURN)
    known = versions.current(now).digest
    tags = {versions.TAG: tag.format(digest=known, other=known[::-1])} if tag else {}
    assert versions.named_by(now, tags) is None
    with pytest.raises(RefusedError, match="features of version 3 of churn: got") as refused:
        versions.of_model(now, "version 3 of churn", tags)
    assert refused.value.exit_code == 3
    assert "It was not scored" in str(refused.value)


def test_a_version_is_found_by_its_number() -> None:
    now = run(OTHER, CHURN, OTHER)
    assert [versions.numbered(now, n).view.where for n in (1, 2)] == ["true", "quantity <> 0"]


def test_the_tables_of_a_version_have_the_columns_that_it_declares() -> None:
    plain = tuple(a.model_copy(update={"reason": (), "reason_with": None}) for a in CHURN.pipeline.features.aggregates)
    fewer = means(aggregates=plain, derived=())  # no sentence speaks of a derived column
    now = run(fewer, CHURN, fewer)
    (_, first), (_, second) = (versions.view_tables(now, version) for version in versions.known(now))
    assert (first.name, second.name) == ("features_customer_activity", "features_customer_activity_v2")
    assert set(first.column_names) - set(second.column_names) == {d.name for d in CHURN.pipeline.features.derived}
    assert first.properties["penstock.definition"] != second.properties["penstock.definition"]


def test_a_declaration_that_this_release_cannot_read_is_told() -> None:
    entry = replace(catalog.entries(CHURN.pipeline, CHURN.contracts, 1, 1)[0], declaration='{"name": "customer_activity"}')
    broken = replace(run(CHURN), memo={versions._MEMO: (Found(entry, AT),)})
    with pytest.raises(UsageError, match="declaration of version 1 of customer_activity in feature_catalog"):
        versions.known(broken)


def test_a_view_survives_its_own_json() -> None:
    assert View.model_validate_json(CHURN.pipeline.features.model_dump_json()) == CHURN.pipeline.features
