"""What fits a ranking's configuration: its own defaults, every key of the other kinds as a fault in words, and what a view with items means."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

import market
import shop
from penstock.config.load import load
from penstock.config.model import Pipeline, View
from penstock.config.reasons import told_of_persons
from penstock.errors import ConfigError
from penstock.features import spec
from penstock.orchestrate.conf_check import check

CHURN_MEANS = "6672300ec2253143"
"""The digest of the shipped view of churn in every lake that was made before there were rankings."""


def changed(**parts: Any) -> dict[str, Any]:
    """The market's pipeline with `part__key` set, or left out for None."""
    tree = copy.deepcopy(market.pipeline())
    for path, value in parts.items():
        *way, last = path.split("__")
        place = tree
        for name in way:
            place = place[name]
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
    return tree


def faults(folder: Path, **parts: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(market.write_conf(folder / "conf", changed(**parts)), "local", market.PIPELINE)
    return "; ".join(caught.value.faults)


def loaded(folder: Path, **parts: Any) -> Pipeline:
    return load(market.write_conf(folder / "conf", changed(**parts)), "local", market.PIPELINE).pipeline


def test_a_ranking_has_defaults_of_its_own(tmp_path: Path) -> None:
    pipeline = loaded(tmp_path, ranking=None)
    rules = pipeline.monitoring
    assert (rules.performance.metric, rules.calibration.action, rules.label_rate.action) == ("recall", "off", "off")
    assert (pipeline.training.calibration.method, pipeline.publish.bands, pipeline.stakes) == ("none", (), None)
    assert (pipeline.lists.length, pipeline.lists.family, pipeline.lists.control) == (20, ".*", None)
    assert pipeline.control_baseline == pipeline.training.baselines[0].column
    assert check(tmp_path / "conf", market.PIPELINE).faults == ()


def test_what_is_given_is_kept(tmp_path: Path) -> None:
    second = market.pipeline()["training"]["baselines"][1]
    monitoring = {"performance": {"max_loss": 0.3}, "label_rate": {"action": "alert"}}
    pipeline = loaded(tmp_path, monitoring=monitoring, ranking__control=second["name"])
    assert (pipeline.monitoring.performance.max_loss, pipeline.monitoring.label_rate.action) == (0.3, "alert")
    assert pipeline.monitoring.calibration.action == "off"
    assert pipeline.control_baseline == second["column"]


WORTH = {"question": "What?", "owner": "tests", "worth": {"currency": "GBP", "right": 3, "wrong": -2}}


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"features__candidates": None}, "features.candidates: missing, expected where the items of a ranking come from"),
        (
            {"label": {"source": "online_retail", "event_time": "invoice_at", "horizon_days": 7, "expression": "quantity"}},
            "label.source: got rows of outcomes, expected label.view in a ranking",
        ),
        ({"training__calibration": {"method": "sigmoid"}}, "calibration.method: got sigmoid, expected none in a ranking"),
        (
            {"training__gates__max_calibration_error": 0.1},
            "gates.max_calibration_error: got a bound for probabilities or values, expected min_coverage",
        ),
        ({"training__gates__max_profit_loss": 0.1}, "gates.max_profit_loss: got a bound for probabilities"),
        ({"training__gates__max_bias": 0.1}, "gates.max_bias: got a bound for probabilities or values, expected min_coverage"),
        ({"training__baselines": [{"name": "median", "constant": "median"}]}, "constant: got median, which ranks nothing"),
        ({"training__baselines": [{"name": "lines", "column": "lines_7d"}]}, "baselines: lines: higher_means: missing"),
        (
            {"purpose": WORTH},
            "purpose: worth: got amounts of right and wrong decisions, which need a probability; expected none in a ranking",
        ),
        ({"ranking__control": "nobody"}, "ranking.control: got nobody, expected one of training.baselines: "),
        ({"ranking__length": 0}, "ranking.length: got 0"),
        ({"monitoring__performance": {"metric": "auc"}}, "performance.metric: got auc, expected recall in a ranking"),
        ({"publish__fallback": {"by": "nowhere"}}, "publish.fallback: nowhere"),
        ({"publish__fallback": {"by": "bought_28d"}}, "publish.fallback: bought_28d"),
        ({"training__exclude": ["bought_28d"]}, "training.exclude: bought_28d"),
    ],
)
def test_what_does_not_fit_a_ranking_is_a_fault(tmp_path: Path, parts: dict[str, Any], words: str) -> None:
    assert words in faults(tmp_path, **parts)


@pytest.mark.parametrize("items", ["lines", "country", "bought_28d", "nothing"])
def test_items_are_an_aggregate_that_collects_a_set(tmp_path: Path, items: str) -> None:
    candidates = market.pipeline()["features"]["candidates"] | {"items": items}
    said = faults(tmp_path, features__candidates=candidates)
    assert f"candidates.items: got {items}, expected an aggregate of basket with collect_set: bought" in said


def test_a_group_is_a_column_of_the_view_and_no_column_has_a_name_that_candidates_have(tmp_path: Path) -> None:
    grouped = market.pipeline()["features"]["candidates"]
    for column in ("nowhere", "bought_28d", "item_common"):
        said = faults(tmp_path / f"by_{column}", features__candidates=grouped | {"group_by": column})
        assert f"candidates.group_by: got {column}, expected a column of basket" in said
    for name in ("item", "source", "item_common"):
        twice = [*market.pipeline()["features"]["aggregates"], {"name": name, "function": "count"}]
        said = faults(tmp_path / name, features__aggregates=twice)
        assert f"columns of view basket: got {name}, which its candidates have, expected other names" in said


@pytest.mark.parametrize("where", ["training__segments", "monitoring__segments", "publish__fallback"])
def test_a_column_of_the_items_puts_no_entity_into_a_group(tmp_path: Path, where: str) -> None:
    """Of a list some items would be in one group and some in another."""
    column = market.pipeline()["training"]["baselines"][0]["column"]
    given = {"training__segments": [{"column": column}], "monitoring__segments": [column], "publish__fallback": {"by": column}}
    assert f"{where.replace('__', '.')}: {column}" in faults(tmp_path, **{where: given[where]})


@pytest.mark.parametrize(
    ("kind", "part", "words"),
    [
        ("classification", "candidates", "features.candidates: got items to choose from, expected none in a classification"),
        ("regression", "candidates", "features.candidates: got items to choose from, expected none in a regression"),
        ("classification", "ranking", "ranking: got a list's length, expected none in a classification"),
        ("regression", "ranking", "ranking: got a list's length, expected none in a regression"),
    ],
)
def test_what_is_of_rankings_alone_is_a_fault_in_the_others(tmp_path: Path, kind: str, part: str, words: str) -> None:
    baselines = [{"name": "lines", "column": "lines_7d"} | ({"higher_means": "positive"} if kind == "classification" else {})]
    parts: dict[str, Any] = {"kind": kind, "training__baselines": baselines, "label__expression": "lines"}
    left_out = {"features__candidates": None} if part == "ranking" else {"ranking": None}
    assert faults(tmp_path, **parts, **left_out) == f"pipelines/baskets.yml: file: {words}"


def test_a_model_takes_numbers_and_text_and_neither_the_sets_nor_where_an_item_comes_from(tmp_path: Path) -> None:
    every = loaded(tmp_path / "every", features__candidates={"items": "bought"}).features
    assert every.candidates is not None
    types = dict(every.candidates.columns())
    assert "bought_28d" in every.column_names()
    assert every.plain_columns() == ("lines_7d", "lines_all", "country")
    assert types.pop("source") == "string"
    assert every.example_columns() == (*every.plain_columns(), *types)
    assert set(types.values()) == {"double"}


def test_a_model_does_not_take_what_only_a_source_that_is_null_would_say(tmp_path: Path) -> None:
    """A column that is null in every row would stop the training."""
    every = set(loaded(tmp_path / "every", features__candidates={"items": "bought"}).features.example_columns())
    missing = {
        "own": {"own_rank"},
        "factors": {"factor_score", "factor_rank"},
        "together": {"together_score", "together_rank"},
        "rising": set(),
    }
    for source, columns in missing.items():
        view = loaded(tmp_path / source, features__candidates={"items": "bought", source: None}).features
        assert every - set(view.example_columns()) == columns


def test_a_set_of_personal_values_is_told_in_no_reason() -> None:
    tree = market.pipeline()["features"]
    assert told_of_persons(View.model_validate(tree), ["product"]) == {"bought_28d"}
    assert told_of_persons(View.model_validate(tree), []) == frozenset()


def test_views_without_items_mean_what_they_meant_before_there_were_rankings() -> None:
    """Another digest would make a new version of the view in every lake, and a backfill of it."""
    churn = load(shop.REPOSITORY / "conf", "local", "churn")
    assert spec.definition(churn.pipeline.features, churn.contract.timezone) == CHURN_MEANS


def test_other_candidates_make_another_version_of_a_view() -> None:
    tree = market.pipeline()["features"]
    with_items, without = View.model_validate(tree), View.model_validate({**tree, "candidates": None})
    other = View.model_validate({**tree, "aggregates": [*tree["aggregates"], {"name": "more", "function": "collect_set", "of": "product"}]})
    moved = other.model_copy(update={"candidates": with_items.candidates.model_copy(update={"items": "more"})})  # type: ignore[union-attr]
    assert len({spec.definition(view, market.ZONE) for view in (with_items, without, other, moved)}) == 4
