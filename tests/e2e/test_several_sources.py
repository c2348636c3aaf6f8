"""Several sources in one pipeline: attributes as they were known at each as_of, outcomes and contacts that a CRM sends back."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import gym
import shop
from clients import Clients, words

FIRST, SECOND = date(2024, 2, 5), date(2024, 2, 12)
JAN = date(2024, 1, 1)


def jan(day: int) -> date:
    return JAN + timedelta(days=day - 1)


OUTCOMES: list[gym.Row] = [
    ("m0", jan(25), "left"),
    ("m0", jan(26), "left"),
    ("m1", jan(23), "stayed"),
    ("m1", jan(27), "left"),
    ("m2", jan(24), None),
    ("m3", jan(30), "left"),
    ("m6", jan(27), "stayed"),
    ("stranger", jan(25), "left"),
]
CONTACTS: list[gym.Row] = [("m0", jan(24), "post"), ("m1", jan(24), "none"), ("m5", date(2024, 2, 2), "phone")]


@dataclass(frozen=True)
class Gym:
    """The lake after both runs, and three tables as they were after the first."""

    root: Path
    first: dict[str, list[dict[str, Any]]]

    def now(self, table: str) -> list[dict[str, Any]]:
        return shop.rows(self.root, table)


@pytest.fixture(scope="module")
def lake(clients: Clients, tmp_path_factory: pytest.TempPathFactory) -> Gym:
    """Two weeks of runs; between them a plan is corrected, an outcome is withdrawn, and one comes late."""
    folder = tmp_path_factory.mktemp("gym")
    conf, root = gym.write_conf(folder / "conf"), folder / "lake"
    told = {"visits": gym.visits(FIRST - timedelta(days=1)), "plans": gym.plans(FIRST - timedelta(days=1)), "outcomes": OUTCOMES}
    gym.deliver(root / "landing", {**told, "contacts": CONTACTS})
    for verb in ("land", "features", "labels"):
        clients.run(*words(verb, root, conf, as_of=FIRST, pipeline="leaving"))
    first = {table: shop.rows(root, table) for table in ("labels_leaving", "features_attendance", "outcomes_leaving")}
    later = [row for row in OUTCOMES if row != ("m1", jan(27), "left")]
    later += [("m4", jan(24), "stayed"), ("m7", date(2024, 2, 8), "left")]
    last = SECOND - timedelta(days=1)
    told = {"visits": gym.visits(last), "plans": gym.plans(last, later="silver"), "outcomes": later}
    gym.deliver(root / "landing", {**told, "contacts": [*CONTACTS, ("m2", date(2024, 2, 10), "post")]})
    # Killed between two sources, and around the outcomes beside the labels; what follows must not show it.
    for verb, points in (("land", ("land.listed",)), ("features", ()), ("labels", ("labels.merged", "labels.heard"))):
        command = words(verb, root, conf, as_of=SECOND, pipeline="leaving")
        for point in points:
            clients.killed(point, *command)
        clients.run(*command)
    again = clients.run(*words("labels", root, conf, as_of=SECOND, pipeline="leaving"))
    assert "up to date" in again.err
    return Gym(root, first)


def at(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(gym.ZONE)).astimezone(UTC).replace(tzinfo=None)


def by_key(rows: list[dict[str, Any]], *names: str) -> dict[tuple[str, date], Any]:
    """Values by member and local day of the as_of."""
    found = {}
    for row in rows:
        day = row["as_of"].replace(tzinfo=UTC).astimezone(ZoneInfo(gym.ZONE)).date()
        values = tuple(None if row[n] != row[n] else row[n] for n in names)
        found[row["member"], day] = values if len(names) > 1 else values[0]
    return found


def test_attributes_of_another_source_are_those_known_at_each_as_of(lake: Gym) -> None:
    found = by_key(lake.now("features_attendance"), "plan", "changes_30d", "plan_days", "pays")
    as_ofs = [jan(22), jan(29), FIRST, SECOND]
    members = {m for m, _, _ in gym.visits(jan(10))}
    assert set(found) == {(m, day) for m in members for day in as_ofs}
    for (member, day), row in found.items():
        plans = gym.plans(day - timedelta(days=1), later="silver" if day == SECOND else "plus")
        own = [(changed, plan) for m, changed, plan in plans if m == member]
        last = max(own, default=None)
        recent = sum(changed >= day - timedelta(days=30) for changed, _ in own)
        plan, days = (last[1], (day - last[0]).days) if last else (None, None)
        assert row == (plan, recent, days, int(plan in {"plus", "gold", "silver"})), (member, day)


def test_a_correction_of_an_attribute_changes_no_feature_row_that_was_made(lake: Gym) -> None:
    was, now = (by_key(rows, "plan") for rows in (lake.first["features_attendance"], lake.now("features_attendance")))
    assert was == {key: plan for key, plan in now.items() if key[1] != SECOND}
    assert was["m5", jan(29)] == "plus"
    assert now["m5", SECOND] == "silver"


def test_outcomes_are_matched_by_key_and_time_and_of_several_the_newest_counts(lake: Gym) -> None:
    found = by_key(lake.first["labels_leaving"], "label", "state")
    assert {key[0]: row for key, row in found.items() if key[1] == jan(22)} == {
        "m0": (1.0, "matured"),
        "m1": (1.0, "matured"),
        "m6": (0.0, "matured"),
        **{m: (None, "censored") for m in gym.MEMBERS if m not in {"m0", "m1", "m6"}},
    }
    assert {row for key, row in found.items() if key[1] > jan(22)} == {(None, "pending")}


def test_every_outcome_is_kept_and_counted_by_how_it_stands(lake: Gym) -> None:
    first = lake.first["outcomes_leaving"]
    standing = {(row["member"], row["hop"]): row["standing"] for row in first}
    assert standing == {
        ("m0", jan(25)): "matched",
        ("m0", jan(26)): "duplicate",
        ("m1", jan(23)): "contradicting",
        ("m1", jan(27)): "contradicting",
        ("m2", jan(24)): "silent",
        ("m3", jan(30)): "matched",
        ("m6", jan(27)): "matched",
        ("stranger", jan(25)): "unmatched",
    }
    assert {row["labels"] for row in first if row["standing"] in {"silent", "unmatched"}} == {0}
    now = Counter(row["standing"] for row in lake.now("outcomes_leaving"))
    assert now == {"matched": 6, "duplicate": 1, "unmatched": 1, "silent": 1, "withdrawn": 3}


def test_a_withdrawn_outcome_revises_and_a_late_one_matures_what_was_given_up(lake: Gym) -> None:
    rows = {(r["member"], r["as_of"]): r for r in lake.now("labels_leaving")}
    revised, late = rows["m1", at(jan(22))], rows["m4", at(jan(22))]
    assert (revised["label"], revised["state"], revised["revision"]) == (0.0, "revised", 1)
    assert (late["label"], late["state"], late["matured_at"]) == (0.0, "matured", at(SECOND))
    assert rows["m3", at(jan(29))]["label"] == 1.0
    assert rows["m7", at(FIRST)]["state"] == "pending"


def test_a_treatment_is_true_false_or_not_known(lake: Gym) -> None:
    first, now = (by_key(rows, "treated") for rows in (lake.first["labels_leaving"], lake.now("labels_leaving")))
    assert first["m0", jan(22)] is True
    assert first["m1", jan(22)] is False, "a contact by no channel is none"
    assert first["m5", jan(29)] is True
    assert first["m2", jan(29)] is None, "more contacts of that week may be told"
    assert now["m2", jan(29)] is False
    assert now["m2", FIRST] is True
    assert now["m3", FIRST] is None


def test_each_source_lands_for_itself(lake: Gym) -> None:
    for source, column in (("visits", "minutes"), ("plans", "plan"), ("contacts", "channel"), ("outcomes", "result")):
        assert all(column in row for row in lake.now(f"landing_{source}"))
    late = {row["_file"]: row["late"] for row in lake.now("files_outcomes")}
    assert late["outcomes.csv@2024-02-08"] is False
    assert len([row for row in lake.now("files_outcomes") if row["late"]]) == 2


def test_another_question_is_refused_where_labels_of_the_old_one_are(clients: Clients, lake: Gym) -> None:
    command = words(
        "labels", lake.root, lake.root.parent / "conf", "--set", "pipeline.label.horizon_days=9", as_of=SECOND, pipeline="leaving"
    )
    refused = clients.run(*command, code=2)
    assert "label of pipeline leaving: got another question than that of its labels" in refused.err
    assert "Traceback" not in refused.err
