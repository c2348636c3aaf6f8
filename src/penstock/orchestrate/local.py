"""Go through stages in one process: take the leases, plan and apply each, and write the ledger once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from penstock import clock
from penstock.errors import PenstockError, RefusedError, UsageError
from penstock.features import versions
from penstock.lake import lease, ledger, tables
from penstock.orchestrate import dag
from penstock.stage import Report, Run, source_job

if TYPE_CHECKING:
    from penstock.registry.run import Approval, Rollback


@dataclass(frozen=True)
class Planned:
    """A stage's plan, for people and for `--json`."""

    stage: str
    plan: dict[str, Any]


def run_stages(run: Run, verbs: Sequence[str], job: str) -> list[Report]:
    """Run stages in order under their leases. What fails is written to the ledger, then raised."""
    reports: list[Report] = []
    with _leased(run, dag.leases(tuple(verbs), run.pipeline)) as held:
        try:
            for verb in verbs:
                reports.append(_stage(held, verb))  # noqa: PERF401 - when the next one fails, what was done must be known
        except Exception as error:
            _record(held, job, reports, _failure(verbs[len(reports)], error))
            raise
        held.progress.step("run.worked")
        _record(held, job, reports, None)
    return reports


def plan_stages(run: Run, verbs: Sequence[str]) -> list[Planned]:
    """The plans of stages as things stand: nothing is written, so a later stage's plan does not see an earlier one's work."""
    planned = []
    for verb in verbs:
        try:
            chosen = dag.node(verb).load().plan(run)
        except RefusedError as error:
            planned.append(Planned(verb, {"refused": str(error)}))
        else:
            planned.append(Planned(verb, asdict(chosen) if is_dataclass(chosen) and not isinstance(chosen, type) else {"plan": chosen}))
    return planned


def move_production(run: Run, wanted: Approval | Rollback, job: str) -> list[Report]:
    """A person's move of the alias; after a rollback the scores of the version that came back are published at once."""
    from penstock.registry.run import Rollback, move

    verbs = ("promote", "score", "publish")
    reports: list[Report] = []
    with _leased(run, dag.leases(tuple(verbs), run.pipeline)) as held:
        try:
            held.progress.begin("promote")
            reports.append(move(held, wanted))
            held.progress.end("promote", reports[-1].summary)
            if isinstance(wanted, Rollback):
                reports += [_stage(held, verb) for verb in verbs[1:]]
        except Exception as error:
            _record(held, job, reports, _failure(verbs[len(reports)], error))
            raise
        _record(held, job, reports, None)
    return reports


def take_back(run: Run, by: str) -> Report:
    """A person takes the readers of Redis back to the generation before, under the lease that scores are published by."""
    from penstock.publish import back

    with _leased(run, ("pipeline",)) as held:
        held.progress.begin("publish")
        try:
            report = back.rollback(held, by)
        except Exception as error:
            held.progress.end("publish", "refused" if isinstance(error, RefusedError) else "failed")
            _record(held, "rollback", [], _failure("publish", error))
            raise
        held.progress.end("publish", report.summary)
        _record(held, "rollback", [report], None)
    return report


@contextmanager
def _leased(run: Run, kinds: Sequence[str]) -> Iterator[Run]:
    jobs = [run.jobs[kind] for kind in kinds]
    with lease.held(run.lake, jobs, run.run_id, timedelta(minutes=run.settings.leases.timeout_minutes)) as leases:
        held = replace(run, leases=leases)
        for kind in kinds:
            leases[run.jobs[kind]].fence(run.lake, _appended(held, kind))
        held.progress.step("run.leased")
        yield held


def _appended(run: Run, kind: str) -> list[tables.Table]:
    """The tables that are appended to under a lease, for the fence after a take-over."""
    for source in run.pipeline.sources:
        if kind == source_job(source):
            from penstock.landing.source import source_tables

            return list(source_tables(run.contract_of(source), source))
    if kind == "view":
        listed = {v.number: v for v in (*versions.known(run), versions.current(run))}
        made = [
            table for version in listed.values() for table in (*versions.view_tables(run, version), *versions.joined_tables(run, version))
        ]
        return [tables.FEATURE_CATALOG, *made]
    return [tables.METRICS, tables.DECISIONS, tables.ALERTS, tables.predictions(run.pipeline.name, run.key)]


def _stage(run: Run, verb: str) -> Report:
    began = clock.stopwatch()
    module = dag.node(verb).load()
    run.progress.begin(verb)
    try:
        chosen = module.plan(run)
        run.progress.step(f"{verb}.planned")
        report = module.apply(run, chosen)
    except PenstockError as error:
        run.progress.end(verb, "refused" if isinstance(error, RefusedError) else "failed")
        raise
    report = replace(report, seconds=round(clock.stopwatch() - began, 3))
    run.progress.end(verb, report.summary)
    return report


def _failure(stage: str, error: Exception) -> ledger.Entry:
    # Who is refused, by the data or by the configuration, stops between two writes and has none under way.
    status = "refused" if isinstance(error, RefusedError | UsageError) else "failed"
    # Only our own messages are known to hold no personal data; of another error the class is kept.
    message = str(error) if isinstance(error, PenstockError) else type(error).__name__
    return ledger.Entry(stage, status, message)


def _record(run: Run, job: str, reports: Sequence[Report], failure: ledger.Entry | None) -> None:
    entries = [ledger.Entry(r.stage, "done", r.summary, r.inputs, r.outputs, r.counts, r.seconds) for r in reports]
    about = ledger.Invocation(run.run_id, run.pipeline.name, job, run.as_of, run.code_version, run.configuration.digest)
    try:
        ledger.record(run.lake, about, [*entries, failure] if failure else entries)
    except Exception:
        if failure is None:
            raise
        # The run's own error is the one to show: a full disk, say, lets neither be written.


def finished_as_of(run: Run, stage: str) -> datetime | None:
    """The newest `as_of` for which the ledger says that a stage of this pipeline was done."""
    from pyspark.sql import functions as F

    if not run.lake.exists(tables.LEDGER):
        return None
    rows = run.lake.read(tables.LEDGER).where(
        (F.col("pipeline") == run.pipeline.name) & (F.col("stage") == stage) & (F.col("status") == "done")
    )
    found = rows.agg(F.unix_micros(F.max("as_of"))).collect()[0][0]
    return None if found is None else clock.from_epoch(found)
