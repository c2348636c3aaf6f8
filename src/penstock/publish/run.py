"""The publish stage: the newest cohort's scores become the latest table, the CRM table and a Redis generation, in that order.

Delta first: if Redis is down the tables are whole, and the next run resumes with Redis alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from penstock import clock
from penstock.config.load import digest_of
from penstock.lake import tables
from penstock.lake.lease import newest_number
from penstock.publish import reasons, redis, views
from penstock.publish.generation import Guards, PublishFacts, PublishReport
from penstock.publish.record import PublishedScore, encode, key_text
from penstock.scoring.run import wording_of
from penstock.stage import Report, Run

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Plan:
    """The cohort to publish: all scores of one `as_of` by one version under one promotion, at a version of the predictions."""

    predictions: int
    as_of: datetime | None
    model_version: int
    promotion: int
    generation: str
    reason: str = ""


def plan(run: Run) -> Plan:
    """The Production version's newest regular cohort."""
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
    """MERGE the two tables where they differ, then write the generation unless readers have it already."""
    inputs = {"predictions": chosen.predictions}
    if chosen.as_of is None:
        return Report("publish", "nothing", chosen.reason, {"published": 0}, inputs)
    latest, crm = _tables(run)
    counts, outputs = {"published": 0, "latest": 0, "crm": 0}, {}
    written = _merge_latest(run, chosen, latest)
    counts["latest"] = written
    run.progress.step("publish.latest_merged", written)
    counts["crm"] = _merge_crm(run, latest, crm)
    run.progress.step("publish.crm_merged", counts["crm"])
    outputs = {t.name: run.lake.version(t) for t in (latest, crm)}
    if run.pipeline.publish.redis.enabled:
        done, entities = _to_redis(run, chosen, latest)
        counts["published"] = entities if done.outcome == "published" else 0
        run.progress.step("publish.pointed", counts["published"])
    if not any(counts.values()):
        return Report("publish", "nothing", "up to date", counts, inputs)
    text = f"{counts['latest']:,} latest and {counts['crm']:,} CRM rows changed, {counts['published']:,} scores in Redis"
    return Report("publish", "done", text, counts, inputs, outputs)


def _tables(run: Run) -> tuple[tables.Table, tables.Table]:
    name = run.pipeline.name
    return tables.predictions_latest(name, run.key), tables.crm(name, run.key, run.kind.column)


def _merge_latest(run: Run, chosen: Plan, table: tables.Table) -> int:
    from pyspark.sql import functions as F

    assert chosen.as_of is not None
    run.lake.create(table)
    own = (F.col("model_version") == chosen.model_version) & (F.col("as_of") == F.lit(chosen.as_of)) & ~F.col("backfill")
    cohort = run.lake.read(tables.predictions(run.pipeline.name, run.key), chosen.predictions).where(own)
    current = run.lake.read(table)
    desired = views.latest(cohort, current, table.key, chosen.as_of, chosen.promotion, run.pipeline.publish)
    changed = views.latest_changes(desired, current, table.key, clock.now()).withColumn("run_id", F.lit(run.run_id))
    return _merge(run, table, changed)


def _merge_crm(run: Run, latest: tables.Table, table: tables.Table) -> int:
    run.lake.create(table)
    changed = views.crm_changes(run.lake.read(latest), run.lake.read(table), table.key, clock.now(), run.kind.column)
    return _merge(run, table, changed)


def _merge(run: Run, table: tables.Table, changed: DataFrame) -> int:
    rows = run.staged(table.name, changed)
    if rows.isEmpty():  # a MERGE of nothing would still commit a version
        return 0
    return run.lake.merge(table, rows, [c for c in table.column_names if c not in table.key]).rows


def _to_redis(run: Run, chosen: Plan, latest: tables.Table) -> tuple[PublishReport, int]:
    """What was done, and for how many entities."""
    from pyspark.sql import functions as F

    assert chosen.as_of is not None
    config = run.pipeline.publish
    current = (F.col("model_version") == chosen.model_version) & (F.col("as_of") == F.lit(chosen.as_of))
    predictions = run.lake.read(tables.predictions(run.pipeline.name, run.key), chosen.predictions).where(current & ~F.col("backfill"))
    scored_at = F.unix_micros("scored_at").alias("scored_at")
    rounded = F.round("score", config.digits)
    rows = predictions.where(~F.col("is_control")).select(
        *latest.key, rounded.alias("score"), views.band(rounded, config).alias("band"), "reasons", scored_at
    )
    found = rows.agg(F.count("*"), F.count_if(F.size("reasons") > 0)).collect()[0]
    entities, reasoned = int(found[0]), int(found[1])
    facts = PublishFacts(
        count=entities + (reasoned + 1 if reasoned else 0),
        as_of=chosen.as_of,
        model_version=str(chosen.model_version),
        source=f"predictions_{run.pipeline.name} of {clock.local_day(chosen.as_of, run.contract.timezone)} by version {chosen.model_version}",
        created=clock.now(),
        bucket_fields=config.redis.bucket_fields,
        entities=entities,
    )
    client = run.services.redis()
    job = run.jobs["pipeline"]
    run.progress.step("publish.began", facts.count)
    # Sentences of an older version of the view that is still scored may not be among these: they travel as text.
    coder = reasons.Coder(wording_of(run, run.pipeline.features).patterns()) if reasoned else None
    values = _rows(rows, latest.key, chosen, config.digits, coder)
    # The floor is asked for now: a publisher that slept through another's lease must lose, also against an empty Redis.
    fence, floor = run.leases[job].number, newest_number(run.lake, job)
    guards = Guards(max_drop=config.redis.max_drop, max_value_bytes=config.redis.max_value_bytes)
    done = redis.publish(client, run.pipeline.name, chosen.generation, values, fence=fence, facts=facts, floor=floor, guards=guards)
    return done, entities


def _rows(rows: DataFrame, key: tuple[str, ...], chosen: Plan, digits: int, coder: reasons.Coder | None) -> Iterator[tuple[str, bytes]]:
    """The fields of the generation: scores, reasons beside them, and once the sentences that the reasons are made of."""
    assert chosen.as_of is not None
    for row in rows.toLocalIterator(prefetchPartitions=True):
        score = PublishedScore(row["score"], row["band"], chosen.as_of, str(chosen.model_version), clock.from_epoch(row["scored_at"]))
        text = key_text(tuple(row[name] for name in key))
        yield text, encode(score, digits)
        if coder is not None and row["reasons"]:
            yield reasons.field_of(text), coder.encode(row["reasons"])
    if coder is not None:
        yield reasons.LIST_FIELD, coder.encode_list()
