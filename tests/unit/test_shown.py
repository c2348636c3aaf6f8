"""Plans, status and scores as lines for people."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from penstock.orchestrate.local import Planned
from penstock.orchestrate.shown import plan_lines, published_lines, status_lines
from penstock.orchestrate.status import Status, next_action
from penstock.publish.items import PublishedItems, Recommended
from penstock.publish.record import PublishedScore

RUN = {"run_id": "churn-20110905-1a2b", "job": "run", "as_of": "2011-09-05", "status": "done", "message": "", "seconds": 35.72}
STATUS = Status(
    pipeline="churn",
    production_version=2,
    promoted_as_of="2011-08-29",
    promotion=3,
    waiting_version=None,
    newest_features="2011-09-05",
    newest_scores=None,
    unscored_rows=1_922,
    cursors={"ledger": 4, "metrics": 2},
    last_runs=(RUN,),
    open_alerts=({"as_of": "2011-09-05", "rule": "drift", "subject": "all", "message": "orders_30d: index 0.310"},),
    next_action="penstock score churn --as-of 2011-09-05",
)


def test_a_plan_is_one_block_a_stage_with_lists_counted_and_cut() -> None:
    planned = [
        Planned("land", {"arrivals": [{"name": f"{day}.csv"} for day in range(1, 9)], "landed": frozenset[str]()}),
        Planned("score", {"version": 2, "sizes": ((10, 2), (20, 3))}),
    ]
    assert plan_lines(planned) == [
        "land",
        "  arrivals: 8: name 1.csv; name 2.csv; name 3.csv; name 4.csv; name 5.csv; name 6.csv …",
        "  landed: none",
        "score",
        "  version: 2",
        "  sizes: 2: 2: 10; 2; 2: 20; 3",
    ]


def test_the_landing_of_each_source_is_a_block_of_its_own() -> None:
    planned = [
        Planned(
            "land", {"sources": ({"source": "visits", "landed": frozenset({"a.csv"})}, {"source": "plans", "landed": frozenset[str]()})}
        )
    ]
    assert plan_lines(planned) == ["land", "  source visits", "    landed: 1: a.csv", "  source plans", "    landed: none"]


def test_nothing_planned_is_no_line() -> None:
    assert plan_lines([]) == []


def test_the_status_ends_with_the_next_action_and_marks_the_unknown() -> None:
    assert status_lines(STATUS) == [
        "pipeline    churn",
        "Production  version 2, promoted for 2011-08-29",
        "newest      features 2011-09-05, scores -",
        "unscored    1,922 rows",
        "cursors     ledger 4, metrics 2",
        "last runs",
        "  2011-09-05  run       done       35.7 s  churn-20110905-1a2b",
        "open alerts 1",
        "  2011-09-05  orders_30d: index 0.310",
        "next        penstock score churn --as-of 2011-09-05",
    ]


def test_a_status_without_a_model_says_none_and_not_known() -> None:
    lines = status_lines(replace(STATUS, production_version=None, promoted_as_of=None, unscored_rows=None, last_runs=(), open_alerts=()))
    assert "Production  none" in lines
    assert "unscored    not known" in lines
    assert lines[-3:] == ["last runs", "open alerts 0", "next        penstock score churn --as-of 2011-09-05"]


def test_nothing_left_to_score_is_a_zero_and_not_unknown() -> None:
    assert "unscored    0 rows" in status_lines(replace(STATUS, unscored_rows=0))


@pytest.mark.parametrize(
    ("has_model", "waiting", "unscored", "runs", "action"),
    [
        (False, None, None, [], "penstock run churn --as-of DATE"),
        (
            True,
            3,
            5,
            [RUN | {"status": "failed", "message": "disk full"}],
            "mend what the last run said (disk full), then penstock run churn --as-of 2011-09-05",
        ),
        (True, 3, 5, [RUN], "penstock promote churn --approve 3 --by NAME"),
        (
            False,
            None,
            None,
            [RUN],
            "penstock candidates churn, where a candidate was refused; else penstock train churn --as-of 2011-09-05",
        ),
        (True, None, 5, [RUN], "penstock score churn --as-of 2011-09-05"),
        (True, None, 0, [RUN], "none; the next scheduled run"),
    ],
)
def test_the_next_action_is_the_most_urgent_one(
    has_model: bool, waiting: int | None, unscored: int | None, runs: list[dict[str, object]], action: str
) -> None:
    assert next_action("churn", has_model, waiting, unscored, runs) == action


def test_a_score_is_told_with_its_origin_and_the_local_day_of_its_as_of() -> None:
    midnight_in_london = datetime(2011, 9, 4, 23, tzinfo=UTC)
    score = PublishedScore(0.81234, "high", midnight_in_london, "2", datetime(2011, 9, 5, 6, 2, tzinfo=UTC), "20110905-v2")
    assert published_lines(["17850"], score, "Europe/London") == [
        "17850: 0.8123 (high)",
        "  as of 2011-09-05, model version 2, scored 2011-09-05 06:02 UTC, generation 20110905-v2",
    ]
    assert published_lines(["UK", "17850"], replace(score, band=""), "UTC")[0] == "UK 17850: 0.8123"


MONDAY = datetime(2011, 9, 4, 23, tzinfo=UTC)
ITEMS = PublishedItems(
    (Recommended("85123A", 0.8, "als"), Recommended("22423", 0.25, "popular")), MONDAY, "2", datetime(2011, 9, 5, 6, 2, tzinfo=UTC), "g1"
)


def test_items_are_told_in_rank_order_with_score_and_source() -> None:
    assert published_lines(["17850"], ITEMS, "Europe/London") == [
        "17850: 2 items",
        "  1  85123A  0.8000  als",
        "  2  22423   0.2500  popular",
        "  as of 2011-09-05, model version 2, scored 2011-09-05 06:02 UTC, generation g1",
    ]
    assert published_lines(["1"], replace(ITEMS, items=ITEMS.items[:1]), "UTC")[0] == "1: 1 item"
    assert published_lines(["1"], replace(ITEMS, items=()), "UTC")[0] == "1: 0 items"


def test_a_fallback_says_why_and_whose_it_is() -> None:
    why = "not in the published set"
    france = replace(ITEMS, provenance="fallback", why=why, group="France")
    assert published_lines(["1"], france, "UTC")[3] == "  not in the published set: this is the fallback of group France"
    score = PublishedScore(0.5, "low", MONDAY, "2", MONDAY, "g1", provenance="fallback", why=why)
    assert published_lines(["1"], score, "UTC")[1] == "  not in the published set: this is the fallback of everybody"
