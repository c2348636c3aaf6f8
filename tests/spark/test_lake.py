"""The lake's promises: an append happens once, an older holder is fenced out, a lease has one holder, a killed one is free."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame

from penstock.errors import BusyError, FailedError, UsageError
from penstock.lake import lease, ledger
from penstock.lake.delta import Lake, Txn, commits_in
from penstock.lake.lease import Lease
from penstock.lake.tables import LEASES, LEDGER, Table

pytestmark = pytest.mark.spark

FACTS = Table("facts", (("customer", "string"), ("part", "string"), ("n", "bigint")), ("customer", "part"), "append", "tests")
LONG = timedelta(minutes=120)


def rows(lake: Lake, *values: tuple[Any, ...]) -> DataFrame:
    return lake.spark.createDataFrame(list(values), "customer string, part string, n bigint")


def found(lake: Lake, table: Table = FACTS) -> list[tuple[Any, ...]]:
    return sorted((tuple(r) for r in lake.read(table).collect()), key=str)


def txn(number: int, digest: str = "d", app: str = "job/facts", run: str = "r1") -> Txn:
    return Txn(app, number, digest, run)


def done(lake: Lake, run_id: str, status: str = "done") -> None:
    ledger.record(lake, ledger.Invocation(run_id, "churn", "run", None, "1", "c"), [ledger.Entry("land", status)])


# ---- tables ----


def test_a_table_is_created_once_and_a_missing_one_has_no_version(lake: Lake) -> None:
    assert lake.version(FACTS) == -1
    assert not lake.exists(FACTS)
    lake.create(FACTS)
    Lake(lake.spark, lake.root).create(FACTS)  # another process, which does not know of it yet
    assert lake.version(FACTS) == 0
    assert lake.names() == ("facts",)


def test_a_changed_definition_of_a_table_that_has_rows_is_refused(lake: Lake) -> None:
    was, now = (Table("t", FACTS.columns, FACTS.key, "append", "x", {"penstock.definition": d}) for d in ("one", "two"))
    lake.check_definition(was)
    lake.create(was)
    lake.check_definition(was)
    with pytest.raises(UsageError, match=r"got two, expected one.*Nothing was written"):
        lake.check_definition(now)


# ---- appends ----


def test_an_append_repeated_is_done_once_and_the_same_transaction_with_another_plan_is_an_error(lake: Lake) -> None:
    first = lake.append(FACTS, rows(lake, ("a", "x", 1), ("b", "x", 2)), txn(101))
    lake.append(FACTS, rows(lake, ("c", "x", 3)), txn(102))
    again = lake.append(FACTS, rows(lake, ("a", "x", 1), ("b", "x", 2)), txn(101))
    assert again == first
    assert first.rows == 2
    with pytest.raises(FailedError, match="was used for another plan"):
        lake.append(FACTS, rows(lake, ("d", "x", 4)), txn(101, "another plan"))
    assert found(lake) == [("a", "x", 1), ("b", "x", 2), ("c", "x", 3)]


def test_a_fenced_out_holder_writes_nothing_and_is_told_so_and_other_jobs_do_not_notice(lake: Lake) -> None:
    old, new = Lease("job", 1, "r1", clean=True, ended=True), Lease("job", 2, "r2", clean=False, ended=False)
    lake.append(FACTS, rows(lake, ("a", "x", 1)), old.txn(FACTS, 1, "d"))
    new.fence(lake, [FACTS])
    with pytest.raises(BusyError, match="a newer holder of the lease"):
        lake.append(FACTS, rows(lake, ("late", "x", 9)), old.txn(FACTS, 2, "d"))
    assert found(lake) == [("a", "x", 1)]
    lake.append(FACTS, rows(lake, ("b", "x", 2)), new.txn(FACTS, 1, "d"))
    Lease("job", 3, "r3", clean=True, ended=True).fence(lake, [FACTS])  # after a holder that ended there is nobody to fence
    lake.append(FACTS, rows(lake, ("c", "x", 3)), new.txn(FACTS, 2, "d"))
    lake.append(FACTS, rows(lake, ("d", "x", 4)), txn(101, app="other/facts"))
    assert [row[0] for row in found(lake)] == ["a", "b", "c", "d"]


def test_a_table_gets_the_columns_it_lacks_and_refuses_another_type(lake: Lake) -> None:
    first = lake.append(FACTS, rows(lake, ("a", "x", 1)), txn(101))
    wider = replace(FACTS, columns=(*FACTS.columns, ("more", "decimal(12, 2)")))
    lake.fit(wider)
    lake.fit(wider)
    done = lake.append(wider, rows(lake, ("b", "y", 2)).selectExpr("*", "1.5 AS more"), txn(102))
    assert {(r[0], r["more"]) for r in lake.read(wider).collect()} == {("a", None), ("b", Decimal("1.50"))}
    assert [r[0] for r in lake.changes(wider, first.version, done.version).collect()] == ["b"], "a cursor passes over the new column"
    name, _ = FACTS.columns[0]
    with pytest.raises(UsageError, match=f"columns of {FACTS.name}: got {name} string"):
        lake.fit(replace(FACTS, columns=((name, "bigint"), *FACTS.columns[1:])))


def test_a_fence_is_no_version_and_no_change_for_a_cursor(lake: Lake) -> None:
    lake.fence(FACTS, "job/facts", 100, "r0")
    assert not lake.exists(FACTS), "there is nothing to fence"
    first = lake.append(FACTS, rows(lake, ("a", "x", 1)), txn(101))
    lake.fence(FACTS, "job/facts", 200, "r2")
    lake.fence(FACTS, "job/facts", 300, "r3")
    assert lake.version(FACTS) == first.version
    second = lake.append(FACTS, rows(lake, ("b", "x", 2)), txn(301))
    assert lake.version(FACTS) == second.version == first.version + 3
    assert [tuple(r) for r in lake.changes(FACTS, first.version, second.version).select("customer", "n").collect()] == [("b", 2)]


def test_changes_are_the_rows_of_the_commits_asked_for_and_no_others(lake: Lake) -> None:
    versions = [lake.append(FACTS, rows(lake, (name, "x", 1)), txn(101 + i)).version for i, name in enumerate("abc")]
    changes = lake.changes(FACTS, versions[0], versions[1])
    assert changes.columns[:3] == list(FACTS.column_names)
    assert [r["customer"] for r in changes.collect()] == ["b"]
    assert {r["customer"] for r in lake.changes(FACTS, -1, versions[2]).collect()} == {"a", "b", "c"}
    assert [r["customer"] for r in lake.read(FACTS, versions[0]).collect()] == ["a"]


# ---- merge ----


def test_a_merge_inserts_what_is_new_and_updates_what_it_may_by_every_key_column_nulls_too(lake: Lake) -> None:
    lake.merge(FACTS, rows(lake, ("a", "x", 1), ("a", None, 2), ("ax", "", 3)), ["n"])
    changed = rows(lake, ("a", "x", 10), ("a", None, 20), ("a", "y", 4), ("ax", "", 3))
    committed = lake.merge(FACTS, changed, ["n"], when="NOT s.n <=> t.n")
    assert found(lake) == sorted([("a", "x", 10), ("a", None, 20), ("a", "y", 4), ("ax", "", 3)], key=str)
    assert committed.rows == 3
    assert committed.version == lake.version(FACTS)


def test_a_merge_that_may_change_nothing_changes_no_row(lake: Lake) -> None:
    lake.merge(FACTS, rows(lake, ("a", "x", 1)), ["n"])
    before = lake.version(FACTS)
    assert lake.merge(FACTS, rows(lake, ("a", "x", 5)), ["n"], when="false").rows == 0
    assert found(lake) == [("a", "x", 1)]
    assert lake.version(FACTS) == before or lake.changes(FACTS, before, lake.version(FACTS)).count() == 0


# ---- leases ----


def test_leases_grow_by_run_and_know_how_the_last_one_ended(lake: Lake) -> None:
    with lease.held(lake, ["a", "b"], "r1", LONG) as first:
        assert {(x.job, x.number, x.clean) for x in first.values()} == {("a", 1, True), ("b", 1, True)}
    done(lake, "r1")
    done(lake, "r1")
    assert lake.read(LEDGER).count() == 1, "the ledger takes a run once"
    with lease.held(lake, ["a"], "r2", LONG) as second:
        assert (second["a"].number, second["a"].clean) == (2, True)
    with lease.held(lake, ["a", "b"], "r3", LONG) as third:  # r2 left no word: it was killed
        assert (third["a"].number, third["a"].clean) == (3, False)
        assert (third["b"].number, third["b"].clean) == (2, True)
    done(lake, "r3", "failed")
    with lease.held(lake, ["a"], "r4", LONG) as fourth:
        assert (fourth["a"].number, fourth["a"].clean) == (4, False)
    assert lease.newest_number(lake, "a") == 4
    assert lease.newest_number(lake, "nobody") == 0


HOLDER = """
import sys, time
from pathlib import Path
from penstock.lake.lease import _file_lock
with _file_lock(Path(sys.argv[1]), sys.argv[2], sys.argv[3]):
    print("held", flush=True)
    time.sleep(600)
"""


@contextmanager
def another_process(lake: Lake, job: str, run_id: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds a job's file lock."""
    assert lake.root is not None
    command = [sys.executable, "-c", HOLDER, str(lake.root / "_locks"), job, run_id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_a_live_holder_blocks_and_is_named_and_a_killed_one_is_free_at_once(lake: Lake) -> None:
    with another_process(lake, "pipeline/churn", "their-run") as process:
        with (
            pytest.raises(BusyError, match=r"lease of pipeline/churn: got held by run their-run, expected free\. This run did nothing"),
            lease.held(lake, ["source/x", "pipeline/churn"], "our-run", LONG),
        ):
            pytest.fail("two hold one lease")
        assert not lake.exists(LEASES), "who is refused has written nothing"
        with lease.held(lake, ["source/x"], "our-run", LONG):  # and has let go of what it had taken on the way
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    with lease.held(lake, ["pipeline/churn"], "our-run", LONG) as held:
        assert held["pipeline/churn"].number == 1


class Contest:
    """Two runs that ask at the same time; each keeps what it got until both have their answer."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.start, self.asked = threading.Barrier(2), threading.Barrier(2)

    def ask(self, name: str, taking: Any) -> None:
        self.start.wait()
        try:
            with taking() as held:
                self.answers[name] = held
                self.asked.wait()
        except BusyError as error:
            self.answers[name] = error
            self.asked.wait()
        except BaseException as error:
            self.answers[name] = error
            self.asked.abort()

    def between(self, **runs: Any) -> tuple[str, str]:
        """Winner and loser."""
        threads = [threading.Thread(target=self.ask, args=pair) for pair in runs.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        lost = [name for name, answer in self.answers.items() if isinstance(answer, BusyError)]
        won = [name for name, answer in self.answers.items() if isinstance(answer, dict)]
        assert (len(won), len(lost)) == (1, 1), self.answers
        return won[0], lost[0]


def test_of_two_that_ask_at_once_one_gets_the_lease_by_the_file_lock(lake: Lake) -> None:
    contest = Contest()
    winner, loser = contest.between(**{run: lambda run=run: lease.held(lake, ["job"], run, LONG) for run in ("r1", "r2")})
    assert f"held by run {winner}" in str(contest.answers[loser])
    assert [r["run_id"] for r in lake.read(LEASES).collect()] == [winner]


@contextmanager
def by_table(lake: Lake, run_id: str) -> Iterator[dict[str, Lease]]:
    """Where there is no file lock: by the table alone."""
    yield lease._taken(lake, ["job"], run_id, LONG, trust_lock=False)


def test_of_two_that_ask_at_once_one_gets_the_lease_by_the_table_alone(lake: Lake) -> None:
    lake.create(LEASES)
    lake.create(LEDGER)
    contest = Contest()
    winner, loser = contest.between(**{run: lambda run=run: by_table(lake, run) for run in ("r1", "r2")})
    assert f"held by run {winner}" in str(contest.answers[loser])


def test_by_the_table_alone_the_first_of_two_rows_for_one_number_holds_and_the_second_blocks_nobody(lake: Lake) -> None:
    """Both had read the table before either wrote: the loser's row stays, and must never be taken for the holder's."""
    lake.create(LEASES)
    lake.create(LEDGER)
    for i, run in enumerate(("z-won", "a-lost", "zz-lost")):
        row = lake.spark.sql(f"SELECT 'job' job, 1L number, '{run}' run_id, current_timestamp() taken_at, timestamp'2999-01-01' expires_at")
        lake.append(LEASES, row, Txn(f"lease/{run}", i + 1, "lease", run))
    with pytest.raises(BusyError, match="held by run z-won"):
        lease._taken(lake, ["job"], "later", LONG, trust_lock=False)
    assert lease._taken(lake, ["job"], "z-won", LONG, trust_lock=False)["job"].number == 2, "a scheduler's retry is the same run"
    done(lake, "z-won")
    assert lease._taken(lake, ["job"], "later", LONG, trust_lock=False)["job"].clean


def test_by_the_table_alone_a_silent_holder_keeps_its_lease_until_its_time_is_up(lake: Lake) -> None:
    lease._taken(lake, ["job"], "r1", LONG, trust_lock=False)
    with pytest.raises(BusyError, match="held by run r1"):
        lease._taken(lake, ["job"], "r2", LONG, trust_lock=False)
    lease._taken(lake, ["job"], "r1", timedelta(0), trust_lock=False)
    taken = lease._taken(lake, ["job"], "r2", LONG, trust_lock=False)["job"]
    assert (taken.number, taken.clean) == (3, False)


def test_a_lock_file_is_called_after_its_job(lake: Lake, tmp_path: Path) -> None:
    with lease._file_lock(tmp_path / "locks", "pipeline/churn", "r1"):
        assert [p.name for p in (tmp_path / "locks").iterdir()] == ["pipeline.churn.lock"]


def test_the_log_on_this_machine_says_what_delta_says_of_its_history(lake: Lake) -> None:
    lake.append(FACTS, rows(lake, ("a", "x", 1), ("b", "x", 2)), txn(101))
    lake.merge(FACTS, rows(lake, ("a", "x", 3), ("c", "x", 4)), ["n"])
    lake.fence(FACTS, "job/facts", 200, "r2")
    said = lake.spark.sql(f"DESCRIBE HISTORY {lake.sql_name(FACTS)}").select("version", "userMetadata", "operationMetrics").collect()
    assert lake.root is not None
    assert commits_in(lake.root / FACTS.name / "_delta_log", 10) == [row.asDict() for row in said]
    assert len(said) == 4
