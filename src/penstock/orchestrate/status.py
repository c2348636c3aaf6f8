"""`penstock status`: what a person on call asks first. Every field is documented, and is the JSON's key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock import clock, wiring
from penstock.features import versions
from penstock.features.run import view_tables
from penstock.lake import tables
from penstock.progress import Silent
from penstock.stage import Run

if TYPE_CHECKING:
    from penstock.training.records import Version
    from penstock.wiring import House

_RUNS = 5


@dataclass(frozen=True)
class Status:
    """`last_runs`: newest first, each with run_id, job, as_of, status, seconds. `cursors`: newest version of each table.

    `unscored_rows`: rows of the newest `as_of` in the population that Production has not scored; null while nothing is
    known. `open_alerts`: those of the newest monitored `as_of`. `waiting_version`: passed its gates, awaits approval.
    """

    pipeline: str
    production_version: int | None
    promoted_as_of: str | None
    promotion: int | None
    waiting_version: int | None
    newest_features: str | None
    newest_scores: str | None
    unscored_rows: int | None
    cursors: Mapping[str, int]
    last_runs: tuple[Mapping[str, Any], ...]
    open_alerts: tuple[Mapping[str, Any], ...]
    next_action: str


def collect(home: House) -> Status:
    """Read it from the tables and MLflow."""
    run = wiring.new_run(home, wiring.as_of_instant(home, "9999-01-01"), Silent())
    name = run.pipeline.name
    models = run.services.models()
    production = models.production(name)
    newer = [v for v in models.versions(name) if production is None or v.version > production.version]
    waiting = next((v.version for v in reversed(newer) if v.tags.get("penstock.approval") == "waiting"), None)
    _, feature_table = view_tables(run)
    predictions = tables.predictions(name, run.key)
    runs, alerts = _last_runs(run), _alerts(run)
    unscored = unscored_rows(run, production)
    return Status(
        pipeline=name,
        production_version=production.version if production else None,
        promoted_as_of=production.tags.get("penstock.as_of") if production else None,
        promotion=production.promotion if production else None,
        waiting_version=waiting,
        newest_features=_newest_day(run, feature_table),
        newest_scores=_newest_day(run, predictions),
        unscored_rows=unscored,
        cursors={table: run.lake.version(table) for table in run.lake.names()},
        last_runs=runs,
        open_alerts=alerts,
        next_action=next_action(run.pipeline.name, production is not None, waiting, unscored, runs),
    )


def next_action(name: str, has_model: bool, waiting: int | None, unscored: int | None, runs: Sequence[Mapping[str, Any]]) -> str:
    """What a person has to do now for pipeline `name`. `runs`, newest first, tell status, message and `as_of` (YYYY-MM-DD)."""
    last = runs[0] if runs else None
    if last is None:
        return f"penstock run {name} --as-of DATE"
    if last["status"] != "done":
        return f"mend what the last run said ({last['message']}), then penstock run {name} --as-of {last['as_of']}"
    if waiting is not None:
        return f"penstock promote {name} --approve {waiting} --by NAME"
    if not has_model:
        return f"penstock candidates {name}, where a candidate was refused; else penstock train {name} --as-of {last['as_of']}"
    if unscored:
        return f"penstock score {name} --as-of {last['as_of']}"
    return "none; the next scheduled run"


def _last_runs(run: Run) -> tuple[Mapping[str, Any], ...]:
    from pyspark.sql import functions as F

    if not run.lake.exists(tables.LEDGER):
        return ()
    own = run.lake.read(tables.LEDGER).where(F.col("pipeline") == run.pipeline.name)
    bad = F.max(F.when(F.col("status") != "done", F.struct("status", "message"))).alias("bad")
    grouped = own.groupBy("run_id", "job", F.unix_micros("as_of").alias("at")).agg(
        bad,
        F.sum("seconds").alias("seconds"),
        F.max("finished_at").alias("finished"),
        F.unix_micros(F.max("finished_at")).alias("finished_us"),
    )
    found = grouped.orderBy(F.col("finished").desc()).limit(_RUNS).collect()
    return tuple(
        {
            "run_id": r["run_id"],
            "job": r["job"],
            "as_of": str(clock.local_day(clock.from_epoch(r["at"]), run.contract.timezone)),
            "status": r["bad"]["status"] if r["bad"] else "done",
            "message": r["bad"]["message"] if r["bad"] else "",
            "seconds": round(r["seconds"] or 0.0, 1),
            "finished_at": clock.from_epoch(r["finished_us"]).isoformat(timespec="seconds"),
        }
        for r in found
    )


def _alerts(run: Run) -> tuple[Mapping[str, Any], ...]:
    """The alerts of the newest `as_of` that was monitored; older ones were looked at again since."""
    from pyspark.sql import functions as F

    if not run.lake.exists(tables.ALERTS) or not run.lake.exists(tables.DECISIONS):
        return ()
    decided = (
        run.lake.read(tables.DECISIONS)
        .where((F.col("pipeline") == run.pipeline.name) & (F.col("kind") == "retrain"))
        .agg(F.max("as_of").alias("as_of"))
    )
    own = run.lake.read(tables.ALERTS).where(F.col("pipeline") == run.pipeline.name).join(decided, on="as_of", how="inner")
    rows = own.select(F.unix_micros("as_of").alias("at"), "rule", "subject", "message").orderBy("rule", "subject", "message").collect()
    day = run.contract.timezone
    return tuple(
        {"as_of": str(clock.local_day(clock.from_epoch(r["at"]), day)), "rule": r["rule"], "subject": r["subject"], "message": r["message"]}
        for r in rows
    )


def _newest_day(run: Run, table: tables.Table) -> str | None:
    from pyspark.sql import functions as F

    if not run.lake.exists(table):
        return None
    at = run.lake.read(table).agg(F.unix_micros(F.max("as_of"))).collect()[0][0]
    return None if at is None else str(clock.local_day(clock.from_epoch(at), run.contract.timezone))


def unscored_rows(run: Run, model: Version | None) -> int | None:
    """Rows of the newest `as_of` in the population that a version has not scored, of the features that it was trained on.

    None while there is no version or no such row.
    """
    from pyspark.sql import functions as F

    trained_on = None if model is None else versions.named_by(run, model.tags)
    if model is None or trained_on is None:
        return None
    _, feature_table = versions.view_tables(run, trained_on)
    if not all(run.lake.exists(table) for table in (feature_table, view_tables(run)[1])):
        return None
    rows = run.lake.read(feature_table)
    newest = versions.in_population(run, rows.join(rows.agg(F.max("as_of").alias("as_of")), on="as_of", how="inner"), trained_on.number)
    predictions = tables.predictions(run.pipeline.name, run.key)
    if not run.lake.exists(predictions):
        return newest.count()
    scored = run.lake.read(predictions).where(F.col("model_version") == model.version)
    return newest.join(scored, on=[*(name for name, _ in run.key), "as_of"], how="left_anti").count()
