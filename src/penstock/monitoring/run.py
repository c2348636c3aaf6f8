"""The monitor stage: how the scores turned out, how the inputs moved, and whether to train again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from penstock import clock
from penstock.features import examples, versions
from penstock.lake import tables
from penstock.monitoring import outcomes
from penstock.monitoring import rows as told
from penstock.monitoring.decide import Attempt, Decision, DriftLook, Evidence, Production, decide
from penstock.monitoring.drift import DriftFinding, DriftState, find_drift
from penstock.monitoring.kpi import ACTED, CONTROL, TREATED, ListKpi, foretold, judged
from penstock.monitoring.performance import Performance
from penstock.monitoring.profile import Profile, count_frame, counts_from_rows, from_json
from penstock.monitoring.reference import PROFILE, REFERENCE
from penstock.stage import Report, Run

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import Column, DataFrame

_COHORTS = 26  # half a year of weekly cohorts; older ones decide nothing any more


@dataclass(frozen=True)
class Plan:
    """What to look at: the Production version, the newest `as_of` with features, and whether this `as_of` is decided already.

    `newest` and `features` (a version of the feature table) speak of the version of the view that the model was trained on.
    """

    version: int | None
    promoted: date | None
    mlflow_run: str
    newest: date | None
    features: int
    labels: int
    decided: str = ""
    trained_on: int | None = None
    """The version of the view that the model was trained on; None when its rows are not known, so that no input can be compared."""
    outdated: str = ""


def plan(run: Run) -> Plan:
    """The versions and the model. An `as_of` that has its decision is not looked at again: a decision stands."""
    from pyspark.sql import functions as F

    meant = versions.current(run)
    model = run.services.models().production(run.pipeline.name)
    own = None if model is None else versions.named_by(run, model.tags)
    _, feature_table = versions.view_tables(run, own or meant)
    features, labels = run.lake.version(feature_table), run.lake.version(tables.labels(run.pipeline.name, run.key))
    decided = _decided(run)
    newest = None
    if features >= 0:
        known = run.lake.read(feature_table, features).where(F.col("as_of") <= F.lit(run.as_of))
        at = known.agg(F.unix_micros(F.max("as_of"))).collect()[0][0]
        newest = None if at is None else clock.local_day(clock.from_epoch(at), run.contract.timezone)
    if model is None:
        return Plan(None, None, "", newest, features, labels, decided)
    outdated = ""
    if own is None or own.digest != meant.digest:
        outdated = f"Version {model.version} was trained on {own or 'features of an unknown version'}, the configuration means {meant}."
    comparable = None if own is None or features < 0 else own.number
    return Plan(model.version, _promoted(run, model.promotion), model.run_id, newest, features, labels, decided, comparable, outdated)


def apply(run: Run, chosen: Plan) -> Report:
    """Measure, decide, and write metrics before the decision: the decision is what says that this `as_of` is done."""
    inputs = {"features": chosen.features, "labels": chosen.labels}
    if chosen.decided:
        return Report("monitor", "nothing", f"decided already: {chosen.decided}", {}, inputs)
    evidence, metric_rows = _evidence(run, chosen)
    run.progress.step("monitor.measured", len(metric_rows))
    production = _production(run, chosen)
    decision = decide(run.day, production, evidence, run.pipeline.monitoring)
    metric_rows += [(*_head(run, r), chosen.version, run.run_id) for r in told.decision_rows(decision)]
    counts = {"cohorts": len({c.as_of for c in evidence.cohorts}), "metrics": len(metric_rows), "alerts": len(decision.alerts)}
    outputs = _write(run, decision, metric_rows)
    first = decision.reasons[0] if decision.reasons else ""
    return Report("monitor", "done", f"retrain: {decision.retrain.value}{f' ({first})' if first else ''}", counts, inputs, outputs)


def _write(run: Run, decision: Decision, metric_rows: Sequence[tuple[Any, ...]]) -> dict[str, int]:
    outputs = {}
    spark = run.lake.spark
    # A killed run may have left its metrics or alerts of this as_of; its decision is missing, or we were not here.
    if metric_rows and not _there(run, tables.METRICS):
        frame = spark.createDataFrame(list(metric_rows), _ddl(tables.METRICS))
        outputs["metrics"] = run.append("pipeline", tables.METRICS, "monitor", str(run.as_of), frame).version
        run.progress.step("monitor.measures_appended", len(metric_rows))
    if decision.alerts and not _there(run, tables.ALERTS):
        alerts = [(run.pipeline.name, run.as_of, a.rule, a.segment, "warning", a.text, run.run_id) for a in decision.alerts]
        outputs["alerts"] = run.append(
            "pipeline", tables.ALERTS, "monitor", str(run.as_of), spark.createDataFrame(alerts, _ddl(tables.ALERTS))
        ).version
        run.progress.step("monitor.alerted", len(alerts))
    version = int(decision.version) if decision.version else None
    row = (
        *(run.pipeline.name, run.as_of, "retrain", f"{run.day}", decision.retrain.value, decision.rule, list(decision.reasons)),
        *(json.dumps(decision.evidence, default=str), version, None, "monitoring", clock.now(), run.run_id),
    )
    outputs["decisions"] = run.append(
        "pipeline", tables.DECISIONS, "monitor", str(run.as_of), spark.createDataFrame([row], _ddl(tables.DECISIONS))
    ).version
    run.progress.step("monitor.decided")
    return outputs


def _evidence(run: Run, chosen: Plan) -> tuple[Evidence, list[tuple[Any, ...]]]:
    came = _came(run, chosen)
    cohorts = _cohorts(run, came)
    reported = _reported(run, "performance", "rows")
    rows = [
        (*_head(run, r), int(c.model_version), run.run_id) for c in cohorts if c.as_of not in reported for r in told.performance_rows([c])
    ]
    rows += [(*_head(run, r), int(k.model_version), run.run_id) for k in _kpis(run, chosen, came) for r in told.kpi_rows([k])]
    looks = _past_looks(run, chosen)
    if chosen.version is not None and chosen.newest is not None and chosen.trained_on is not None:
        findings = _drift(run, chosen, chosen.trained_on)
        looks.append(DriftLook(run.day, str(chosen.version), findings))
        rows += [(*_head(run, r), chosen.version, run.run_id) for r in told.drift_rows(findings, str(chosen.version))]
    label = run.pipeline.label
    evidence = Evidence(
        tuple(cohorts), tuple(looks), _attempts(run), label.horizon_days, label.delay_days + run.pipeline.schedule.every_days
    )
    return evidence, rows


def _came(run: Run, chosen: Plan) -> pd.DataFrame | None:
    """Each matured cohort's scores that foresaw it, with their outcomes: the first champion's of each (entity, as_of), backfills aside.

    One row for each `day`, `model_version`, segment, `is_control`, `acted`, `treated` where that is told, and what the kind's outcomes
    keep apart.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    table = tables.predictions(run.pipeline.name, run.key)
    if chosen.labels < 0 or not run.lake.exists(table):
        return None
    key = [*(name for name, _ in run.key), "as_of"]
    done = [TREATED] if run.pipeline.treated else []
    label_rows = run.lake.read(tables.labels(run.pipeline.name, run.key), chosen.labels)
    outcome = label_rows.where(F.col("state").isin("matured", "revised") & F.col("label").isNotNull()).select(*key, "label", *done)
    regular = run.lake.read(table).where(~F.col("backfill") & (F.col("role") == "champion") & (F.col("as_of") <= F.lit(run.as_of)))
    first = Window.partitionBy(*key).orderBy("promotion").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    foresaw = regular.withColumn("__rank", F.row_number().over(first)).where("__rank = 1")
    joined = foresaw.join(outcome, on=key, how="inner")
    segments = list(run.pipeline.monitoring.segments)
    if segments:
        # Segments are columns that the configuration names, whatever the model was trained on.
        joined = joined.join(versions.rows(run, versions.current(run)).select(*key, *segments), on=key, how="left")
    return _counted(run, joined, *segments, *done)


def _counted(run: Run, scored: DataFrame, *more: str) -> pd.DataFrame:
    """Rows with `label` and `score`, summed up: what leaves Spark is bounded, whatever the number of entities."""
    from pyspark.sql import functions as F

    stakes = run.pipeline.stakes
    # As the published score is rounded for its band, so that this list is the one that was read.
    acted = F.lit(False) if stakes is None else F.round("score", stakes.digits) >= F.lit(stakes.threshold)
    by: list[str | Column] = [F.unix_micros("as_of").alias("at"), "model_version", acted.alias(ACTED), CONTROL, *more]
    counted = outcomes.of(run.kind).summed(scored, by, run.pipeline.lists.length)
    frame: pd.DataFrame = counted.toArrow().to_pandas()
    days = [clock.local_day(clock.from_epoch(int(at)), run.contract.timezone) for at in frame["at"]]
    return frame.assign(day=days).astype({ACTED: bool, CONTROL: bool})


def _cohorts(run: Run, came: pd.DataFrame | None) -> list[Performance]:
    """The performance of each matured cohort, the newest half year of them."""
    found: list[Performance] = []
    if came is None:
        return found
    for (day, version), part in sorted(_newest(came).groupby(["day", "model_version"]), key=lambda item: item[0]):
        found += outcomes.of(run.kind).measured(day, str(version), part, run.pipeline.monitoring, run.pipeline.monitoring.segments)
    return found


def _newest(came: pd.DataFrame) -> pd.DataFrame:
    return came[came["day"].isin(sorted(set(came["day"]))[-_COHORTS:])]


def _kpis(run: Run, chosen: Plan, came: pd.DataFrame | None) -> list[ListKpi]:
    """The matured lists that no run has told of, and the newest published one unless it has matured by now."""
    stakes = run.pipeline.stakes
    if stakes is None:
        return []
    matured = [] if came is None else list(judged(_newest(came), stakes, run.pipeline.monitoring.performance.min_rows))
    reported = _reported(run, "kpi", "realised")
    found = [k for k in matured if k.as_of not in reported]
    newest = _newest_list(run, chosen)
    if newest is not None and len(newest) and newest["day"].iloc[0] not in {k.as_of for k in matured}:
        found.append(foretold(newest["day"].iloc[0], str(chosen.version), newest, stakes))
    return found


def _newest_list(run: Run, chosen: Plan) -> pd.DataFrame | None:
    """The newest scores of the Production version, which are what the publish stage has published."""
    from pyspark.sql import functions as F

    table = tables.predictions(run.pipeline.name, run.key)
    if chosen.version is None or not run.lake.exists(table):
        return None
    own = run.lake.read(table).where((F.col("model_version") == chosen.version) & ~F.col("backfill") & (F.col("as_of") <= F.lit(run.as_of)))
    newest = own.join(own.agg(F.max("as_of").alias("as_of")), on="as_of", how="inner")
    return _counted(run, newest.withColumn("label", F.lit(None).cast("double")))


def _drift(run: Run, chosen: Plan, view_version: int) -> tuple[DriftFinding, ...]:
    """The newest cohort's features, and the newest scores of this version, against the profile kept with the model.

    The features are of the version of the view that the model was trained on: another version's values mean something else.
    """
    from pyspark.sql import functions as F

    profile = from_json(run.services.models().read_text(chosen.mlflow_run, PROFILE))
    _, feature_table = versions.view_tables(run, versions.numbered(run, view_version))
    assert chosen.newest is not None
    newest = F.col("as_of") == F.lit(run.instant(chosen.newest))
    population = versions.in_population(run, run.lake.read(feature_table, chosen.features).where(newest), view_version)
    given = examples.of(run, population, versions.numbered(run, view_version))
    with examples.read(run):
        counted = count_frame(_only(profile, scores=False), given).collect()
    table = tables.predictions(run.pipeline.name, run.key)
    if outcomes.of(run.kind).answers and run.lake.exists(table):
        own = run.lake.read(table).where((F.col("model_version") == chosen.version) & ~F.col("backfill"))
        last = own.agg(F.max("as_of").alias("as_of"))
        counted += count_frame(_only(profile, scores=True), own.join(last, on="as_of", how="inner")).collect()
    rows = [(r["segment"], r["feature"], r["bin"], r["count"]) for r in counted]
    return find_drift(profile, counts_from_rows(profile, rows), run.pipeline.monitoring.drift)


def _only(profile: Profile, *, scores: bool) -> Profile:
    """The profile's part that one table can answer: the score's, or the features'."""
    from dataclasses import replace

    bins = tuple(b for b in profile.bins if (b.feature == "score") == scores)
    names = {b.feature for b in bins}
    return replace(profile, bins=bins, counts={key: vector for key, vector in profile.counts.items() if key[1] in names})


def _past_looks(run: Run, chosen: Plan) -> list[DriftLook]:
    """The findings of earlier runs under the same version, as the metrics table keeps them."""
    from pyspark.sql import functions as F

    if not run.lake.exists(tables.METRICS) or chosen.version is None:
        return []
    own = (F.col("pipeline") == run.pipeline.name) & (F.col("kind") == "drift") & (F.col("as_of") < F.lit(run.as_of))
    kept = run.lake.read(tables.METRICS).where(own & (F.col("model_version") == chosen.version) & F.col("name").isin("psi", "psi_low"))
    wide = kept.groupBy(F.unix_micros("as_of").alias("at"), "subject", "segment", "state").agg(
        F.max(F.when(F.col("name") == "psi", F.col("value"))).alias("psi"),
        F.max(F.when(F.col("name") == "psi_low", F.col("value"))).alias("psi_low"),
    )
    looks: dict[date, list[DriftFinding]] = {}
    for r in wide.collect():
        day = clock.local_day(clock.from_epoch(r["at"]), run.contract.timezone)
        looks.setdefault(day, []).append(DriftFinding(r["subject"], r["segment"], DriftState(r["state"]), 0, 0, r["psi"], r["psi_low"]))
    return [DriftLook(day, str(chosen.version), tuple(found)) for day, found in sorted(looks.items())]


def _production(run: Run, chosen: Plan) -> Production | None:
    if chosen.version is None or chosen.promoted is None:
        return None
    reference = outcomes.of(run.kind).read(run.services.models().read_text(chosen.mlflow_run, REFERENCE))
    return Production(str(chosen.version), chosen.promoted, reference, chosen.outdated)


def _decisions(run: Run) -> DataFrame | None:
    from pyspark.sql import functions as F

    if not run.lake.exists(tables.DECISIONS):
        return None
    return run.lake.read(tables.DECISIONS).where(F.col("pipeline") == run.pipeline.name)


def _decided(run: Run) -> str:
    from pyspark.sql import functions as F

    decisions = _decisions(run)
    if decisions is None:
        return ""
    found = decisions.where((F.col("kind") == "retrain") & (F.col("as_of") == F.lit(run.as_of))).select("outcome").collect()
    return str(found[0]["outcome"]) if found else ""


def _promoted(run: Run, promotion: int) -> date | None:
    from pyspark.sql import functions as F

    decisions = _decisions(run)
    if decisions is None:
        return None
    at = decisions.where(F.col("promotion") == promotion).agg(F.unix_micros(F.min("as_of"))).collect()[0][0]
    return None if at is None else clock.local_day(clock.from_epoch(at), run.contract.timezone)


def _attempts(run: Run) -> tuple[Attempt, ...]:
    """Earlier candidates and what the gates said of them."""
    from pyspark.sql import functions as F

    decisions = _decisions(run)
    if decisions is None:
        return ()
    gates = decisions.where(F.col("kind") == "gate").select(F.unix_micros("as_of").alias("at"), "outcome").collect()
    day = [(clock.local_day(clock.from_epoch(g["at"]), run.contract.timezone), g["outcome"]) for g in gates]
    return tuple(Attempt(d, "refused" if outcome == "refused" else "promoted") for d, outcome in sorted(day))


def _reported(run: Run, kind: str, name: str) -> set[date]:
    """The cohorts of which earlier runs have written a metric."""
    from pyspark.sql import functions as F

    if not run.lake.exists(tables.METRICS):
        return set()
    own = (F.col("pipeline") == run.pipeline.name) & (F.col("kind") == kind) & (F.col("name") == name)
    return {date.fromisoformat(r[0]) for r in run.lake.read(tables.METRICS).where(own).select("subject").distinct().collect()}


def _there(run: Run, table: tables.Table) -> bool:
    from pyspark.sql import functions as F

    if not run.lake.exists(table):
        return False
    own = (F.col("pipeline") == run.pipeline.name) & (F.col("as_of") == F.lit(run.as_of))
    return not run.lake.read(table).where(own).isEmpty()


def _head(run: Run, row: told.MetricRow) -> tuple[Any, ...]:
    return (run.pipeline.name, run.as_of, row.kind, row.subject, row.segment, row.name, row.value, row.state, row.detail)


def _ddl(table: tables.Table) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in table.columns)
