"""Read everything that the report tells from the lake's tables and MLflow: one small query a table, shaped elsewhere.

What leaves Spark is bounded by the number of runs and files, never by that of entities.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from penstock import clock, kinds, wiring
from penstock.features.run import view_tables
from penstock.lake import tables
from penstock.landing.freshness import landed_days
from penstock.monitoring.profile import ALL
from penstock.orchestrate.status import next_action, unscored_rows
from penstock.progress import Silent
from penstock.report import evidence, shape
from penstock.report.data import Now, ReportData
from penstock.report.gathered import Arrived, Gathered, Models, Rows, Training
from penstock.stage import Run
from penstock.training import compare, dataset

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from penstock.config.purpose import Stakes
    from penstock.wiring import House

_MEASURES = (
    *("rows", "auc", "auc_low", "auc_high", "average_precision", "brier", "ece", "lift", "observed", "predicted"),
    *("mae", "mae_low", "mae_high", "rmse", "r2", "bias"),
    *("recall", "recall_low", "recall_high", "ndcg", "hit_rate", "heuristic_recall", "heuristic_ndcg"),
)
_UNSAID = "unknown"
"""What `penstock init` writes for a decision that nobody has named yet."""
_INSTANTS = ("finished_at", "decided_at")


def collect(home: House) -> ReportData:
    """The report of the house's pipeline as its tables and MLflow stand. Raises ServiceError when MLflow does not answer."""
    run = wiring.new_run(home, wiring.as_of_instant(home, "9999-01-01"), Silent())
    return report(gather(run))


def report(found: Gathered) -> ReportData:
    """The whole of what was gathered, in the report's form; pure."""
    pipeline, days = found.pipeline, shape.run_days(found.ledger)
    as_of = days[-1] if days else pipeline.schedule.first
    outcome = pipeline.name.replace("_", " ")
    return ReportData(
        pipeline=pipeline.name,
        purpose=" ".join(text for text in (pipeline.purpose.question, pipeline.purpose.decision) if text and text != _UNSAID),
        as_of=as_of,
        kind=pipeline.kind,
        outcome=outcome,
        importance_unit=kinds.of(pipeline.kind).shuffled,
        generated_note=f"{outcome.capitalize()} means: {pipeline.label.positive}. Read from the lake's tables by version {found.code_version}.",
        production=evidence.production(found),
        now=_now(found, as_of),
        weeks=shape.weeks(found),
        models=evidence.models(found),
        data=evidence.data_facts(found, days[-1] if days else None),
        deliveries=evidence.delivery(found.contract),
        drift_floor=pipeline.monitoring.drift.floor,
        kpi=evidence.kpi(found),
        lists=shape.lists(found),
    )


def _now(found: Gathered, as_of: date) -> Now:
    models = found.models
    above = models.production.version if models.production else 0
    waiting = [v.version for v in models.versions if v.version > above and v.tags.get("penstock.approval") == "waiting"]
    looked = any(row["kind"] == "retrain" for row in found.decisions)
    return Now(
        freshness=evidence.freshness(found, as_of),
        unscored_rows=found.unscored,
        open_alerts=tuple(str(row["message"]) for row in found.alerts) if looked else None,
        next_action=next_action(
            found.pipeline.name, models.production is not None, max(waiting, default=None), found.unscored, _last_run(found.ledger)
        ),
    )


def _last_run(ledger: Rows) -> list[Mapping[str, Any]]:
    """The newest run as `next_action` takes it."""
    if not ledger:
        return []
    last = max(ledger, key=lambda row: row["finished_at"])
    bad = next((row for row in ledger if row["run_id"] == last["run_id"] and row["status"] != "done"), last)
    return [{"as_of": str(last["day"]), "status": bad["status"], "message": bad["message"]}]


# -- reading ----------------------------------------------------------------------------------------------------------


def gather(run: Run) -> Gathered:
    """All rows, in about ten queries."""
    models = _models(run)
    decisions = _read(
        run,
        tables.DECISIONS,
        _own("day", "kind", "subject", "outcome", "reasons", "evidence", "model_version", "promotion", "decided_by", "decided_at"),
    )
    return Gathered(
        pipeline=run.pipeline,
        contract=run.contract,
        others=tuple(_arrived(run, source) for source in run.pipeline.sources[1:]),
        outcomes=_read(run, tables.outcomes(run.pipeline.name, run.key), _counted("standing")) if run.pipeline.label.source else (),
        treated=_read(run, tables.labels(run.pipeline.name, run.key), _counted("treated")) if run.pipeline.treated else (),
        ledger=_read(run, tables.LEDGER, _own("day", "run_id", "job", "stage", "status", "message", "counts", "seconds", "finished_at")),
        measures=_read(run, tables.METRICS, _measured),
        decisions=decisions,
        files=_read(run, tables.files(run.pipeline.source), _files),
        cohorts=_read(run, view_tables(run)[1], _cohorts),
        checks=_read(run, tables.files(run.pipeline.source), _checks),
        scores=_read(run, tables.predictions(run.pipeline.name, run.key), _scores),
        alerts=_read(run, tables.ALERTS, _alerts(max((d["day"] for d in decisions if d["kind"] == "retrain"), default=None))),
        models=models,
        unscored=unscored_rows(run, models.production),
        code_version=run.code_version,
    )


def _arrived(run: Run, source: str) -> Arrived:
    return Arrived(source, run.contract_of(source), max(landed_days(run, source), default=None))


def _models(run: Run) -> Models:
    """Every training as the candidate that it chose, and those of its other candidates that a person had registered."""
    store, name = run.services.models(), run.pipeline.name
    versions = store.versions(name)
    registered = {version.run_id for version in versions}
    trainings = [
        Training(
            found,
            dataset.record_from_json(store.read_text(found.run_id, dataset.RECORD)),
            compare.from_json(store.read_text(found.run_id, compare.COMPARISON)) if found.run_id == training.run_id else (),
        )
        for training in reversed(store.runs(name))
        for found in store.candidates(name, training).values()
        if found.run_id == training.run_id or found.run_id in registered
    ]
    return Models(tuple(trainings), versions, store.production(name))


_Query = Callable[["DataFrame", Run], "DataFrame"]


def _read(run: Run, table: tables.Table, query: _Query) -> Rows:
    """A query's rows, instants as `datetime` in UTC and `day` as the local day; none while the table is not there.

    Instants leave Spark as numbers: a collected timestamp would be turned into the machine's own time zone.
    """
    if not run.lake.exists(table):
        return ()
    rows = [row.asDict(recursive=True) for row in query(run.lake.read(table), run).collect()]
    for row in rows:
        if "day" in row:
            row["day"] = clock.local_day(clock.from_epoch(row["day"]), run.contract.timezone)
        row.update({name: clock.from_epoch(row[name]) for name in _INSTANTS if row.get(name) is not None})
    return rows


def _day(column: str = "as_of") -> Column:
    from pyspark.sql import functions as F

    return F.unix_micros(column).alias("day")


def _own(*names: str) -> _Query:
    """The pipeline's own rows of a shared table; `day` stands for the `as_of`."""

    def query(frame: DataFrame, run: Run) -> DataFrame:
        from pyspark.sql import functions as F

        columns = [_day() if name == "day" else F.unix_micros(name).alias(name) if name in _INSTANTS else F.col(name) for name in names]
        return frame.where(F.col("pipeline") == run.pipeline.name).select(*columns)

    return query


def _measured(frame: DataFrame, run: Run) -> DataFrame:
    """Performance, KPI and drift of the whole, no segment, and only the numbers that the report shows."""
    from pyspark.sql import functions as F

    kind = F.col("kind")
    shown = (kind == "performance") & F.col("name").isin(*_MEASURES) | (kind == "drift") & (F.col("name") == "psi") | (kind == "kpi")
    return _own("day", "kind", "subject", "name", "value", "state", "model_version")(frame.where(shown & (F.col("segment") == ALL)), run)


def _alerts(newest: date | None) -> _Query:
    """The alerts of the newest `as_of` that was monitored; older ones were looked at again since."""

    def query(frame: DataFrame, run: Run) -> DataFrame:
        from pyspark.sql import functions as F

        open_ = F.lit(False) if newest is None else F.col("as_of") == F.lit(run.instant(newest))
        return _own("day", "message")(frame.where(open_), run).orderBy("message")

    return query


def _counted(column: str) -> _Query:
    """Rows by the values of a column."""

    def query(frame: DataFrame, _run: Run) -> DataFrame:
        return frame.groupBy(column).count()

    return query


def _files(frame: DataFrame, _run: Run) -> DataFrame:
    from pyspark.sql import functions as F

    sums = [F.sum(name).alias(name) for name in ("accepted", "rejected")]
    return frame.groupBy(_day("landed_as_of")).agg(F.count("*").alias("files"), *sums, F.max("day").alias("newest"))


def _checks(frame: DataFrame, _run: Run) -> DataFrame:
    from pyspark.sql import functions as F

    named = frame.select(F.explode("checks").alias("name", "count"))
    return named.groupBy("name").agg(F.sum("count").alias("count")).orderBy("name")


def _cohorts(frame: DataFrame, _run: Run) -> DataFrame:
    from pyspark.sql import functions as F

    return frame.groupBy(_day()).agg(F.count("*").alias("rows"))


def _scores(frame: DataFrame, run: Run) -> DataFrame:
    from pyspark.sql import functions as F

    regular = frame.where(~F.col("backfill") & (F.col("role") == "champion"))
    counts = [F.count("*").alias("rows"), F.count_if("is_control").alias("control")]
    return regular.groupBy(_day(), "model_version", "promotion").agg(*counts, *_acted(run.pipeline.stakes))


def _acted(stakes: Stakes | None) -> list[Column]:
    """How many are on the list, and what acting on it is expected to bring: as the monitoring will tell in its next run."""
    from pyspark.sql import functions as F

    if stakes is None:
        return []
    acted = (F.round("score", stakes.digits) >= F.lit(stakes.threshold)) & ~F.col("is_control")
    score = F.round("score", 4)
    value = score * F.lit(stakes.right) + (F.lit(1.0) - score) * F.lit(stakes.wrong)
    return [F.count_if(acted).alias("contacts"), F.sum(F.when(acted, value).otherwise(F.lit(0.0))).alias("expected")]
