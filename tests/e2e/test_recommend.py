"""A ranking from its file to what applications read: a market's lists, those who have none, what came of them, and input that is little or odd."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import market
import shop
from clients import Clients, words
from penstock.client import PublishedItems, ScoreReader
from penstock.config.load import load
from penstock.publish.redis import connect
from penstock.publish.server import private_server

QUIET = {"leases", "ledger"}
FRESH = "grapes1"
"""A product that nobody had bought before the first run."""
LAST = market.NEXT - timedelta(days=1)
LATE = [
    (market.NEWCOMER, LAST - timedelta(days=1), "apple1", "FR"),
    *((customer, LAST - timedelta(days=2), FRESH, market.country(customer)) for customer in ("a:1", "b b", "客", "c1", "c2")),
]
STEPS = ("features.paired", "features.candidates_appended", "publish.fallbacks_merged")
"""The steps that only a ranking has."""


def delivered(root: Path, last: date, more: Sequence[market.Line] = ()) -> None:
    market.deliver(root / "landing", [*market.lines(last), *more])


def week(root: Path, conf: Path, as_of: date) -> Sequence[str]:
    return words("run", root, conf, as_of=as_of, pipeline=market.PIPELINE)


def day_of(instant: datetime) -> date:
    return instant.replace(tzinfo=UTC).astimezone(ZoneInfo(market.ZONE)).date()


def of_day(root: Path, table: str, day: date) -> dict[str, dict[str, Any]]:
    """Rows of one `as_of` by customer."""
    found = [row for row in shop.rows(root, table) if day_of(row["as_of"]) == day]
    assert len({row["customer"] for row in found}) == len(found)
    return {row["customer"]: row for row in found}


def told(listed: Sequence[dict[str, Any]]) -> list[tuple[str, float, str]]:
    return [(one["item"], round(one["score"], 4), one["source"]) for one in listed]


def read(root: Path, keys: Sequence[str], group: str | None = None) -> dict[str, PublishedItems]:
    """What applications see."""
    with private_server(root / "_redis") as server:
        client = connect(server.url)
        try:
            found = ScoreReader(client, market.PIPELINE).get_many(keys, group=group)
        finally:
            client.close()
    return {str(key): value for key, value in found.items() if isinstance(value, PublishedItems)}


def shown(value: PublishedItems) -> list[tuple[str, float, str]]:
    return [(one.item, one.score, one.source) for one in value.items]


@dataclass(frozen=True)
class Market:
    """The lake before the second run, and after it."""

    conf: Path
    before: Path
    root: Path

    def content(self, root: Path | None = None) -> dict[str, Any]:
        root = root or self.root
        kept = {name: shop.canonical(root, name) for name in shop.table_names(root) if name not in QUIET}
        seen = {c: shown(v) for c, v in read(root, [*market.CUSTOMERS, market.NEWCOMER, "nobody"]).items()}
        return {**kept, "MLflow": shop.registry(root), "Redis": seen}


@pytest.fixture(scope="module")
def lake(clients: Clients, tmp_path_factory: pytest.TempPathFactory) -> Market:
    """Eleven weeks and their first model, then one week more with a new customer and a new product."""
    folder = tmp_path_factory.mktemp("market")
    conf, before = market.write_conf(folder / "conf"), folder / "before" / "lake"
    delivered(before, market.HISTORY - timedelta(days=1))
    clients.run(*week(before, conf, market.HISTORY))
    delivered(before, LAST, LATE)
    root = shop.copy_lake(before, folder / "lake")
    clients.run(*week(root, conf, market.NEXT))
    return Market(conf, before, root)


def test_a_model_that_beats_the_rules_is_in_production_and_its_gates_say_by_how_much(lake: Market) -> None:
    assert (market.PIPELINE, "production", 1) in shop.registry(lake.before)["alias"]
    (gate,) = (row for row in shop.rows(lake.before, "decisions") if row["kind"] == "gate")
    assert gate["outcome"] == "passed"
    (said,) = (sentence for sentence in gate["reasons"] if sentence.startswith("recall "))
    assert "of the best heuristic, " in said
    assert any("of the candidate items are on somebody's list" in sentence for sentence in gate["reasons"])


def test_every_candidate_stands_once_and_everybody_has_some(lake: Market) -> None:
    rows = shop.rows(lake.root, "candidates_basket")
    keys = Counter((row["customer"], row["as_of"], row["item"]) for row in rows)
    assert set(keys.values()) == {1}
    members = {(row["customer"], row["as_of"]) for row in shop.rows(lake.root, "features_basket")}
    assert {key[:2] for key in keys} == members


def test_lists_are_the_best_of_the_candidates_and_say_where_each_item_comes_from(lake: Market) -> None:
    rule_of = load(lake.conf, "local", market.PIPELINE).pipeline.control_baseline
    candidates = {(r["customer"], day_of(r["as_of"]), r["item"]): r for r in shop.rows(lake.root, "candidates_basket")}
    found = of_day(lake.root, "predictions_baskets", market.NEXT)
    assert set(found) == {*market.CUSTOMERS, market.NEWCOMER}
    for customer, row in found.items():
        for listed in (row["items"], row["instead"]):
            assert len(listed) == len({one["item"] for one in listed}) == market.LENGTH
            assert [one["score"] for one in listed] == sorted((one["score"] for one in listed), reverse=True)
            assert all(one["source"] == candidates[customer, market.NEXT, one["item"]]["source"] for one in listed)
        rule = {k[2]: c[rule_of] for k, c in candidates.items() if k[:2] == (customer, market.NEXT)}
        assert [one["item"] for one in row["instead"]] == sorted(rule, key=lambda item: (-rule[item], item))[: market.LENGTH]


def test_redis_holds_what_delta_holds_and_shows_the_control_group_the_rules_list(lake: Market) -> None:
    found = of_day(lake.root, "predictions_baskets", market.NEXT)
    control = {customer for customer, row in found.items() if row["is_control"]}
    assert 0 < len(control) < len(found) / 2
    seen = read(lake.root, list(found))
    assert {name: shown(value) for name, value in seen.items()} == {
        name: told(row["instead" if name in control else "items"]) for name, row in found.items()
    }
    assert {value.provenance for value in seen.values()} == {"scored"}
    assert any(shown(seen[name]) != told(found[name]["items"]) for name in control)


def test_the_crm_reads_the_lists_as_text_and_nothing_of_the_control_group(lake: Market) -> None:
    found = of_day(lake.root, "predictions_baskets", market.NEXT)
    active = {row["customer"]: row["items"] for row in shop.rows(lake.root, "crm_baskets") if row["is_active"]}
    assert active == {name: ";".join(one["item"] for one in row["items"]) for name, row in found.items() if not row["is_control"]}
    latest = {row["customer"]: row for row in shop.rows(lake.root, "predictions_baskets_latest")}
    assert {name: told(row["items"]) for name, row in latest.items()} == {name: told(row["items"]) for name, row in found.items()}


def test_who_is_not_known_is_answered_with_what_is_popular_where_they_are(lake: Market) -> None:
    made = {row["segment"]: told(row["items"]) for row in shop.rows(lake.root, "fallbacks_baskets") if day_of(row["as_of"]) == market.NEXT}
    assert set(made) == {"", "FR", "UK"}
    for group, segment in (("FR", "FR"), ("UK", "UK"), ("MT", ""), (None, "")):
        (answer,) = read(lake.root, ["nobody"], group).values()
        assert (shown(answer), answer.provenance, answer.group) == (made[segment], "fallback", segment)
    for listed in made.values():
        assert len({item.rstrip("12") for item, _, _ in listed}) == len(listed) == market.LENGTH, "a family once"
    first = made[""][0]
    days = {(c, p) for c, day, p, _ in [*market.lines(LAST), *LATE] if day >= market.NEXT - timedelta(days=28)}
    assert first[1] == max(Counter(p for _, p in days).values())


def test_a_new_customer_has_a_list_and_what_nobody_had_bought_before_is_in_no_label(lake: Market) -> None:
    candidates = [row["item"] for row in shop.rows(lake.root, "candidates_basket") if row["customer"] == market.NEWCOMER]
    assert len(candidates) > market.LENGTH
    labels = of_day(lake.root, "labels_baskets", market.HISTORY)
    bought: dict[str, set[str]] = {}
    for customer, day, product, _ in [*market.lines(LAST), *LATE]:
        if day >= market.HISTORY:
            bought.setdefault(customer, set()).add(product)
    assert FRESH in bought["a:1"]
    assert {row["state"] for row in labels.values()} == {"matured"}
    assert {name: set(row["label"]) for name, row in labels.items()} == {
        name: bought.get(name, set()) - {FRESH} for name in market.CUSTOMERS
    }
    offered = {row["item"] for row in shop.rows(lake.root, "candidates_basket") if day_of(row["as_of"]) == market.NEXT}
    assert FRESH in offered, "now it is known"


def test_what_came_of_the_lists_is_measured_beside_the_rules(lake: Market) -> None:
    rows = [r for r in shop.rows(lake.root, "metrics") if r["kind"] == "performance" and r["segment"] == "all"]
    found = {row["name"]: row["value"] for row in rows}
    predicted, labels = (of_day(lake.root, table, market.HISTORY) for table in ("predictions_baskets", "labels_baskets"))
    for name, listed in (("recall", "items"), ("heuristic_recall", "instead")):
        recalls = [
            len({one["item"] for one in predicted[c][listed]} & set(row["label"])) / min(market.LENGTH, len(row["label"]))
            for c, row in labels.items()
            if row["label"]
        ]
        assert found[name] == pytest.approx(sum(recalls) / len(recalls))
    assert found["recall"] > found["heuristic_recall"]


def test_a_second_run_with_the_same_words_writes_nothing(clients: Clients, lake: Market) -> None:
    before, content = shop.versions(lake.root), lake.content()
    done = clients.run(*week(lake.root, lake.conf, market.NEXT))
    after = shop.versions(lake.root)
    assert {name for name in after if after[name] != before.get(name)} == QUIET
    assert not shop.differences(content, lake.content())
    assert "Nothing new" in done.err


@pytest.mark.slow
def test_runs_that_are_killed_at_every_step_of_a_ranking_are_finished_by_the_next(clients: Clients, lake: Market, tmp_path: Path) -> None:
    root = shop.copy_lake(lake.before, tmp_path / "lake")
    again = week(root, lake.conf, market.NEXT)
    for point in STEPS:
        clients.killed(point, *again)
    clients.run(*again)
    assert not shop.differences(lake.content(), lake.content(root))


@pytest.mark.slow
def test_a_first_run_that_was_killed_between_candidates_and_feature_rows_makes_them_once(
    clients: Clients, lake: Market, tmp_path: Path
) -> None:
    root = tmp_path / "lake"
    delivered(root, market.HISTORY - timedelta(days=1))
    clients.killed("features.candidates_appended", *week(root, lake.conf, market.HISTORY))
    clients.run(*week(root, lake.conf, market.HISTORY))
    for table in ("candidates_basket", "features_basket", "predictions_baskets"):
        assert shop.canonical(root, table) == shop.canonical(lake.before, table)


# -- little, odd and no input -----------------------------------------------------------------------------------------------


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "lake"
    shutil.rmtree(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("customers", "product", "said"),
    [
        (("only",), None, "got null in all"),  # of one customer nothing goes together
        (market.CUSTOMERS, "apple1", "No model was trained"),
    ],
    ids=["one customer", "one product"],
)
def test_with_too_little_to_learn_from_there_is_no_model_and_a_sentence(
    clients: Clients, lake: Market, empty: Path, customers: tuple[str, ...], product: str | None, said: str
) -> None:
    history = market.lines(market.HISTORY - timedelta(days=1), customers)
    market.deliver(empty / "landing", [(c, day, product or bought, land) for c, day, bought, land in history])
    done = clients.start(*week(empty, lake.conf, market.HISTORY)).wait()
    assert (done.code, "Traceback" in done.err) == (3, False)
    assert said in done.err
    assert shop.registry(empty).get("alias", []) == []
    assert "predictions_baskets" not in shop.table_names(empty)


@pytest.mark.slow
def test_products_that_are_all_withdrawn_leave_the_last_lists_and_nothing_is_written_twice(
    clients: Clients, lake: Market, tmp_path: Path
) -> None:
    """Everybody bought longer ago than `sold_within_days`: who has no candidate has no list."""
    root, later = shop.copy_lake(lake.before, tmp_path / "lake"), market.HISTORY + timedelta(days=70)
    before = {name: shown(value) for name, value in read(root, market.CUSTOMERS).items()}
    delivered(root, market.HISTORY - timedelta(days=1), [("late", later - timedelta(days=1), "", "UK")])
    clients.run(*week(root, lake.conf, later))
    assert later in {day_of(row["as_of"]) for row in shop.rows(root, "features_basket")}
    assert later not in {day_of(row["as_of"]) for row in shop.rows(root, "candidates_basket")}
    assert {day_of(row["as_of"]) for row in shop.rows(root, "predictions_baskets")} == {market.HISTORY}
    assert {name: shown(value) for name, value in read(root, market.CUSTOMERS).items()} == before
    versions = shop.versions(root)
    clients.run(*week(root, lake.conf, later))
    after = shop.versions(root)
    assert {name for name in after if after[name] != versions.get(name)} == QUIET
