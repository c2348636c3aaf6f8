"""Killed anywhere and started again, the lake, MLflow and Redis end as in an undisturbed run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import shop
from clients import Clients, words
from penstock.testing import kill

CHAINS = {
    "land": ("run.leased", "land.planned", "land.parsed", "land.checked", "land.quarantined", "land.appended", "land.listed"),
    "features and labels": (
        "features.planned", "features.tiled", "features.made", "features.checked", "features.appended", "labels.planned", "labels.merged",
    ),
    "monitor and train": (
        "monitor.planned", "monitor.measured", "monitor.measures_appended", "monitor.alerted", "monitor.decided",
        "train.planned", "train.read", "train.fitted", "train.logged",
    ),
    "promote": ("promote.planned", "promote.judged", "promote.registered", "promote.decided"),
    "move, score and publish": (
        "promote.moved", "score.planned", "score.appended", "publish.planned", "publish.latest_merged", "publish.crm_merged",
        "publish.fallbacks_merged", "publish.began", "publish.pointed", "publish.view_pointed", "run.worked",
    ),
}  # fmt: skip
"""Every point, in the order in which a run passes them: a run that died at one comes to the next. (After a recorded promotion the alias follows without a word.)"""
OF_OTHER_PIPELINES = ("labels.heard", "features.paired", "features.candidates_appended")
"""Points that this one does not pass; `test_several_sources` and `test_recommend` kill there."""
ONE_A_STAGE = (
    "land.appended",
    "features.tiled",
    "labels.merged",
    "monitor.measures_appended",
    "train.logged",
    "promote.decided",
    "score.appended",
    "publish.began",
)


def test_every_step_that_the_source_names_is_a_kill_point_here() -> None:
    assert sorted((*OF_OTHER_PIPELINES, *(point for chain in CHAINS.values() for point in chain))) == sorted(kill.points())


@pytest.fixture(scope="module")
def before(history: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lake after the first run, with the second run's files delivered."""
    lake = shop.copy_lake(history, tmp_path_factory.mktemp("before") / "lake")
    shop.second_delivery(lake / "landing")
    return lake


@pytest.fixture(scope="module")
def undisturbed(clients: Clients, shop_conf: Path, before: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same lake after a second run that nobody killed."""
    lake = shop.copy_lake(before, tmp_path_factory.mktemp("undisturbed") / "lake")
    clients.run(*words("run", lake, shop_conf, as_of=shop.NEXT))
    return lake


@pytest.fixture(scope="module")
def expected(undisturbed: Path) -> dict[str, Any]:
    """What an undisturbed lake holds."""
    return shop.content(undisturbed)


@pytest.fixture
def lake(before: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the lake before the second run."""
    yield shop.copy_lake(before, tmp_path / "lake")
    shutil.rmtree(tmp_path)


def assert_same(expected: dict[str, Any], lake: Path) -> None:
    different = shop.differences(expected, shop.content(lake))
    assert not different, "undisturbed and killed: " + "\n".join(different)


def test_the_second_run_writes_in_every_stage(before: Path, undisturbed: Path, expected: dict[str, Any]) -> None:
    """Else a kill in it would show nothing."""
    was, now = shop.versions(before), shop.versions(undisturbed)
    assert {name for name in now if now[name] == was.get(name)} == {"feature_catalog"}  # the view means what it meant
    outcomes = {row["outcome"] for row in shop.rows(undisturbed, "decisions") if row["kind"] == "retrain"}
    assert outcomes == {"first_model", "yes"}
    assert {row["state"] for row in shop.rows(undisturbed, "labels_tiny")} == {"pending", "matured", "revised"}
    assert expected["MLflow"]["alias"] == [("tiny", "production", 2), ("tiny", "staging", 2)]
    assert expected["Redis"]["scores"]


def test_no_entity_of_the_control_group_leaves_the_lake(undisturbed: Path, expected: dict[str, Any]) -> None:
    control = {row["customer_id"] for row in shop.rows(undisturbed, "predictions_tiny") if row["is_control"]}
    assert control
    assert not control & {row["customer_id"] for row in shop.rows(undisturbed, "crm_tiny")}
    assert not control & set(expected["Redis"]["scores"])


def test_a_run_that_is_killed_once_in_every_stage_ends_as_undisturbed(
    clients: Clients, shop_conf: Path, lake: Path, expected: dict[str, Any]
) -> None:
    again = words("run", lake, shop_conf, as_of=shop.NEXT)
    for point in ONE_A_STAGE:
        clients.killed(point, *again)
    clients.run(*again)
    assert_same(expected, lake)


@pytest.mark.slow
@pytest.mark.parametrize("chain", CHAINS)
def test_runs_that_are_killed_at_every_point_one_after_the_other_are_finished_by_the_next(
    clients: Clients, shop_conf: Path, lake: Path, expected: dict[str, Any], chain: str
) -> None:
    again = words("run", lake, shop_conf, as_of=shop.NEXT)
    for point in CHAINS[chain]:
        clients.killed(point, *again)
    clients.run(*again)
    assert_same(expected, lake)


@pytest.mark.slow
@pytest.mark.parametrize("point", ["features.tiled", "train.logged", "publish.began"])
def test_a_run_that_was_killed_is_finished_by_the_next(
    clients: Clients, shop_conf: Path, lake: Path, expected: dict[str, Any], point: str
) -> None:
    again = words("run", lake, shop_conf, as_of=shop.NEXT)
    clients.killed(point, *again)
    clients.run(*again)
    assert_same(expected, lake)


@pytest.mark.slow
@pytest.mark.parametrize("point", ["land.listed", "publish.crm_merged"])
def test_a_run_that_was_killed_twice_at_one_point_is_finished_by_the_next(
    clients: Clients, shop_conf: Path, lake: Path, expected: dict[str, Any], point: str
) -> None:
    """The second kill comes after a take-over: where the point is passed no more, the run just ends."""
    again = words("run", lake, shop_conf, as_of=shop.NEXT)
    clients.killed(point, *again)
    assert clients.start(*again, kill=point).wait().code in {0, -signal.SIGKILL}
    clients.run(*again)
    assert_same(expected, lake)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [6, 13])
def test_a_run_that_was_killed_at_any_moment_is_finished_by_the_next(
    clients: Clients, shop_conf: Path, lake: Path, expected: dict[str, Any], seconds: int
) -> None:
    """In the midst of a write, too: the server may then go on with it while the next run is at work."""
    again = words("run", lake, shop_conf, as_of=shop.NEXT)
    assert clients.killed_after(seconds, *again).code in {0, -signal.SIGKILL}
    clients.run(*again)
    assert_same(expected, lake)


@pytest.mark.slow
@pytest.mark.parametrize("point", ["land.appended", "train.logged"])
def test_a_first_run_that_was_killed_is_finished_by_the_next(clients: Clients, shop_conf: Path, tmp_path: Path, point: str) -> None:
    """From an empty lake: tables, MLflow's database and the first model come about in the killed run."""
    found = []
    for kills in ((), (point,)):
        lake = tmp_path / f"after-{len(kills)}-kills" / "lake"
        shop.write_days(lake / "landing", shop.FIRST_FILE, shop.HISTORY)
        for at in kills:
            clients.killed(at, *words("run", lake, shop_conf, as_of=shop.HISTORY))
        clients.run(*words("run", lake, shop_conf, as_of=shop.HISTORY))
        found.append(shop.content(lake))
    assert not shop.differences(*found)


@pytest.mark.slow
@pytest.mark.parametrize("point", ["publish.began"])
def test_a_killed_process_takes_its_own_spark_with_it_and_the_next_run_finishes(
    clients: Clients, shop_conf: Path, lake: Path, expected: dict[str, Any], point: str
) -> None:
    """The whole of it: a process with its own JVM and its own Redis, as on a laptop."""
    again = words("run", lake, shop_conf, as_of=shop.NEXT)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PENSTOCK_") or k == "PENSTOCK_CACHE"}
    died = subprocess.run(
        [sys.executable, "-m", "penstock.testing.kill", point, "--", *again],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    clients.run(*again)
    assert_same(expected, lake)


def test_a_second_run_with_the_same_words_changes_no_table_but_the_ledger(
    clients: Clients, shop_conf: Path, undisturbed: Path, expected: dict[str, Any]
) -> None:
    before = shop.versions(undisturbed)
    done = clients.run(*words("run", undisturbed, shop_conf, as_of=shop.NEXT))
    after = shop.versions(undisturbed)
    assert {name for name in after if after[name] != before[name]} == {"leases", "ledger"}
    assert_same(expected, undisturbed)
    assert "Nothing new" in done.err


def test_of_two_runs_of_one_job_one_works_and_the_other_says_so_and_leaves(
    clients: Clients, shop_conf: Path, lake: Path, expected: dict[str, Any]
) -> None:
    again = words("run", lake, shop_conf, as_of=shop.NEXT)
    both = [clients.start(*again) for _ in range(2)]
    ended = sorted((one.wait() for one in both), key=lambda done: done.code)
    assert [done.code for done in ended] == [0, 3], [done.err for done in ended]
    assert "held by run tiny-20230724-" in ended[1].err
    assert_same(expected, lake)


def test_the_lock_of_a_killed_run_does_not_hold_up_the_next(clients: Clients, shop_conf: Path, lake: Path) -> None:
    clients.killed("run.leased", *words("land", lake, shop_conf, as_of=shop.NEXT))
    clients.run(*words("land", lake, shop_conf, as_of=shop.NEXT))
