"""The publish stage: the newest cohort's scores become the latest table, the CRM table and a Redis generation, in that order.

Delta first: if Redis is down the tables are whole, and the next run resumes with Redis alone. A view that is online follows,
with a model or without one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from penstock import clock
from penstock.config.load import digest_of
from penstock.lake import tables
from penstock.publish import answers, back, fallback, feature_rows, online, views
from penstock.stage import Report, Run

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame


@dataclass(frozen=True)
class Plan:
    """The cohort to publish: all scores of one `as_of` by one version under one promotion, at a version of the predictions; `view` for one that is online."""

    predictions: int
    as_of: datetime | None
    model_version: int
    promotion: int
    generation: str
    reason: str = ""
    view: feature_rows.Plan | None = None


def plan(run: Run) -> Plan:
    """The Production version's newest regular cohort, and the view's newest rows where it is online."""
    return replace(_cohort(run), view=feature_rows.plan(run))


def _cohort(run: Run) -> Plan:
    from pyspark.sql import functions as F

    table = tables.predictions(run.pipeline.name, run.key)
    at = run.lake.version(table)
    model = run.services.models().production(run.pipeline.name)
    if model is None or at < 0:
        return Plan(at, None, 0, 0, "", "no scores yet")
    own = run.lake.read(table, at).where(~F.col("backfill") & (F.col("model_version") == model.version))
    found = own.agg(F.unix_micros(F.max("as_of"))).collect()[0][0]
    if found is None:
        return Plan(at, None, model.version, model.promotion, "", f"version {model.version} has scored nothing yet")
    as_of = clock.from_epoch(found)
    meaning = digest_of(run.pipeline.publish.model_dump(mode="json", exclude={"redis"}))[:8]
    day = clock.local_day(as_of, run.contract.timezone)
    return Plan(at, as_of, model.version, model.promotion, f"{day:%Y%m%d}-v{model.version}-p{model.promotion}-{meaning}")


def apply(run: Run, chosen: Plan) -> Report:
    """MERGE the two tables where they differ, then write the generation unless readers have it already; at last the view's rows."""
    inputs = {"predictions": chosen.predictions}
    counts, text, outputs = _published(run, chosen)
    changed = any(counts.values())
    if chosen.view is not None:
        rows = feature_rows.publish(run, chosen.view)
        inputs[chosen.view.table] = chosen.view.at
        counts |= {"features": rows.published, "audited": rows.audited}
        changed, text = changed or rows.published > 0, f"{text}, {rows.text}"
    if not changed:
        return Report("publish", "nothing", text, counts, inputs)
    return Report("publish", "done", text, counts, inputs, outputs)


def _published(run: Run, chosen: Plan) -> tuple[dict[str, int], str, dict[str, int]]:
    """The scores: what was counted, what is to be told, and the tables' versions."""
    if chosen.as_of is None:
        return {"published": 0}, chosen.reason, {}
    latest, crm = _tables(run)
    counts = {"published": 0, "latest": _merge_latest(run, chosen, latest)}
    run.progress.step("publish.latest_merged", counts["latest"])
    counts["crm"] = _merge_crm(run, latest, crm)
    run.progress.step("publish.crm_merged", counts["crm"])
    outputs = {t.name: run.lake.version(t) for t in (latest, crm)}
    more = _bring_to_redis(run, chosen, latest, counts) if run.pipeline.publish.redis.enabled else ""
    if any(counts.values()):
        told = f"{counts['latest']:,} latest and {counts['crm']:,} CRM rows changed, {counts['published']:,} scores in Redis"
        return counts, f"{told}, {more}" if more else told, outputs
    return counts, more or "up to date", outputs


def _bring_to_redis(run: Run, chosen: Plan, latest: tables.Table, counts: dict[str, int]) -> str:
    """Count what readers get; returns what is to be told of a person's rollback."""
    assert chosen.as_of is not None
    before = back.taken_back(run, chosen.generation)
    if before is not None and not run.requested:
        return back.stays(run, before)
    cohort = online.Cohort(chosen.as_of, chosen.model_version, chosen.generation, chosen.predictions)
    done, entities = online.publish(run, cohort, latest, _fallbacks(run, chosen))
    counts["published"] = entities if done.outcome in {"published", "changed"} else 0
    run.progress.step("publish.pointed", counts["published"])
    if before is None and done.outcome != "switched":
        return ""
    counts["switched"] = 1
    told = f"readers see {chosen.generation} again"
    return told if before is None else f"{told}, from which they were taken back to {before.generation}"


def _tables(run: Run) -> tuple[tables.Table, tables.Table]:
    name, shown = run.pipeline.name, answers.of(run.pipeline.kind)
    return tables.predictions_latest(name, run.key, shown.answer, shown.more), tables.crm(name, run.key, shown.crm(run.kind.column))


def _merge_latest(run: Run, chosen: Plan, table: tables.Table) -> int:
    from pyspark.sql import functions as F

    assert chosen.as_of is not None
    run.lake.create(table)
    own = (F.col("model_version") == chosen.model_version) & (F.col("as_of") == F.lit(chosen.as_of)) & ~F.col("backfill")
    cohort = run.lake.read(tables.predictions(run.pipeline.name, run.key), chosen.predictions).where(own)
    current = run.lake.read(table)
    shown = answers.of(run.pipeline.kind)
    desired = views.latest(cohort, current, table.key, chosen.as_of, chosen.promotion, run.pipeline.publish, shown)
    changed = views.latest_changes(desired, current, table.key, clock.now(), shown).withColumn("run_id", F.lit(run.run_id))
    return _merge(run, table, changed)


def _merge_crm(run: Run, latest: tables.Table, table: tables.Table) -> int:
    run.lake.create(table)
    changed = views.crm_changes(
        run.lake.read(latest), run.lake.read(table), table.key, clock.now(), run.kind.column, answers.of(run.pipeline.kind)
    )
    return _merge(run, table, changed)


def _merge(run: Run, table: tables.Table, changed: DataFrame) -> int:
    rows = run.staged(table.name, changed)
    if rows.isEmpty():  # a MERGE of nothing would still commit a version
        return 0
    return run.lake.merge(table, rows, [c for c in table.column_names if c not in table.key]).rows


def _fallbacks(run: Run, chosen: Plan) -> pa.Table:
    """What is answered for the `as_of` for whom nothing was published; once made it stays, so that a generation is always the same."""
    from pyspark.sql import functions as F

    assert chosen.as_of is not None
    config = run.pipeline.publish
    table = tables.fallbacks(run.pipeline.name, answers.of(run.pipeline.kind).values)
    run.lake.create(table)
    definition = digest_of([config.fallback.model_dump(mode="json"), run.pipeline.lists.model_dump(mode="json"), config.digits])
    own = (F.col("as_of") == F.lit(chosen.as_of)) & (F.col("definition") == definition)
    found = _of(run, table, own)
    if not found.num_rows:
        about = {"as_of": F.lit(chosen.as_of), "definition": F.lit(definition), "model_version": F.lit(chosen.model_version)}
        made = fallback.made(run, chosen.as_of).withColumns({**about, "made_at": F.lit(clock.now()), "run_id": F.lit(run.run_id)})
        written = _merge(run, table, made.select(*table.column_names))
        run.progress.step("publish.fallbacks_merged", written)
        found = _of(run, table, own)
    return found


def _of(run: Run, table: tables.Table, own: Column) -> pa.Table:
    """The table's few rows, instants in microseconds since 1970."""
    from pyspark.sql import functions as F

    values = [name for name, _ in answers.of(run.pipeline.kind).values]
    instants = [F.unix_micros("as_of").alias("as_of"), F.unix_micros("made_at").alias("scored_at")]
    return run.lake.read(table).where(own).select("segment", *values, *instants).orderBy("segment").toArrow()
