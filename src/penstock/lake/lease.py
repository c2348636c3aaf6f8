"""Leases: the right to run a job, with a growing number that fences out an older holder.

All jobs of an invocation are taken in one append to `leases`. Appends never conflict in Delta, so two runs may both
write a row for the same (job, number); the one in the lower commit holds it, and both read the same order afterwards.
A holder that ended says so by its ledger row. One that was killed has none: locally the file lock, which the kernel
frees with the process, shows that it is gone; elsewhere its lease ends by time, or by the scheduler's own run id.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

from penstock import clock
from penstock.errors import BusyError
from penstock.lake.delta import Lake, Txn
from penstock.lake.tables import LEASES, LEDGER, Table

_STEPS = 100  # appends to one table within one lease
_LOOKS = 50  # at a name that is not written yet, for a second in all
_FEED = 200  # commits of `leases` to look back for who came first


@dataclass(frozen=True)
class Lease:
    """One job's lease. `clean` is false when its last holder did not end well: what it left may be half done.

    `ended` is false when that holder may still have a write under way: it was killed, or failed in one. A holder that was
    refused has none, and each refusal of a retried run would else cost a fence in every table.
    """

    job: str
    number: int
    run_id: str
    clean: bool
    ended: bool

    def txn(self, table: Table, step: int, digest: str) -> Txn:
        """The transaction of this lease's append number `step` (1 to 99) to a table; 0 is the fence."""
        return Txn(self._app(table), self.number * _STEPS + step, digest, self.run_id)

    def _app(self, table: Table) -> str:
        return f"{self.job}/{table.name}"

    def fence(self, lake: Lake, tables: Sequence[Table]) -> None:
        """After a take-over: make whatever the last holder still has under way come to nothing."""
        if not self.ended:
            for table in tables:
                lake.fence(table, self._app(table), self.number * _STEPS, self.run_id)


@contextmanager
def held(lake: Lake, jobs: Sequence[str], run_id: str, timeout: timedelta) -> Iterator[dict[str, Lease]]:
    """Hold all `jobs`, by name. Raises BusyError, naming the other run, when any is taken."""
    with ExitStack() as stack:
        local = lake.root is not None
        if lake.root is not None:
            for job in sorted(jobs):
                stack.enter_context(_file_lock(lake.root / "_locks", job, run_id))
        yield _taken(lake, jobs, run_id, timeout, trust_lock=local)


def _taken(lake: Lake, jobs: Sequence[str], run_id: str, timeout: timedelta, *, trust_lock: bool) -> dict[str, Lease]:
    lake.create(LEASES)
    lake.create(LEDGER)
    before = lake.version(LEASES)
    last = _last_holders(lake, before)
    now = clock.now()
    for job in jobs:
        holder = last.get(job)
        if (
            holder
            and not trust_lock
            and holder["status"] is None
            and holder["run_id"] != run_id
            and clock.from_epoch(holder["expires"]) > now
        ):
            raise _busy(job, holder["run_id"])
    wanted = {job: (last[job]["number"] if job in last else 0) + 1 for job in jobs}
    rows = [(job, number, run_id, now, now + timeout) for job, number in wanted.items()]
    lake.append(
        LEASES,
        lake.spark.createDataFrame(rows, ", ".join(" ".join(c) for c in LEASES.columns)),
        Txn(f"lease/{run_id}", before + 1, "lease", run_id),
    )
    winners = _winners(lake, before)
    for job, number in wanted.items():
        if winners[job, number] != run_id:
            raise _busy(job, winners[job, number])
    ends = {job: last[job]["status"] if job in last else "done" for job in wanted}
    return {
        job: Lease(job, number, run_id, clean=ends[job] == "done", ended=ends[job] in {"done", "refused"}) for job, number in wanted.items()
    }


def _last_holders(lake: Lake, version: int) -> dict[str, Mapping[str, Any]]:
    """By job: number, run and expiry of its newest lease, and how that run ended (None while the ledger does not say)."""
    from pyspark.sql import functions as F

    # 'done' only when every stage of the run was: a failed one may have left half of its work, and a refused one what it found.
    every = F.when(F.bool_and(F.col("status") == "done"), "done").when(F.bool_and(F.col("status") != "failed"), "refused")
    ended = lake.read(LEDGER).groupBy("run_id").agg(every.otherwise("failed").alias("status"))
    asked = F.struct("run_id", F.unix_micros("expires_at").alias("expires"), "status")
    taken = (
        lake.read(LEASES, version).join(ended, on="run_id", how="left").groupBy("job", "number").agg(F.collect_list(asked).alias("runs"))
    )
    rows = taken.groupBy("job").agg(F.max("number").alias("number"), F.max_by("runs", "number").alias("runs")).collect()
    # Two that asked at once both left a row; only the one in the lower commit ever held the lease.
    contended = any(len(row["runs"]) > 1 for row in rows)
    winners = _winners(lake, max(version - _FEED, -1)) if contended else {}
    found: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        winner = winners.get((row["job"], row["number"]), row["runs"][0]["run_id"])
        holder = next(run for run in row["runs"] if run["run_id"] == winner)
        found[row["job"]] = {"number": row["number"], **holder.asDict()}
    return found


def newest_number(lake: Lake, job: str) -> int:
    """The highest lease number of a job that anybody has taken; 0 for none."""
    from pyspark.sql import functions as F

    return int(lake.read(LEASES).where(F.col("job") == job).agg(F.max("number")).collect()[0][0] or 0)


def _winners(lake: Lake, after: int) -> dict[tuple[str, int], str]:
    """By job and number: the run whose row came in the lowest commit after a version."""
    from pyspark.sql import functions as F

    feed = lake.commits(LEASES, after).groupBy("job", "number").agg(F.min_by("run_id", "_commit_version").alias("run_id"))
    return {(row["job"], row["number"]): row["run_id"] for row in feed.collect()}


def _busy(job: str, holder: str) -> BusyError:
    return BusyError(
        f"lease of {job}",
        got=f"held by run {holder}",
        expected="free",
        left="This run did nothing",
        next="penstock status, or wait for that run",
    )


@contextmanager
def _file_lock(folder: Path, job: str, run_id: str) -> Iterator[None]:
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{job.replace('/', '.')}.lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise _busy(job, _holder(lock)) from error
        lock.seek(0)
        lock.truncate()
        lock.write(run_id)
        lock.flush()
        yield  # the kernel frees the lock with the file, also when the process is killed


def _holder(lock: IO[str]) -> str:
    """Who holds the lock. Between taking it and writing its name the holder needs a moment."""
    for _ in range(_LOOKS):
        lock.seek(0)
        name = lock.read().strip()
        if name:
            return name
        time.sleep(0.02)
    return "unknown"
