"""A feature view online: its newest rows in Redis, by the protocol that scores are published by, and audited each time.

The set is the view's and no pipeline's: its keys, its lease and its generations carry the view's name. Pipelines that share
a view publish it in turn, each finds the other's set in place, and none goes back behind what readers have.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from penstock import clock
from penstock.errors import ServiceError
from penstock.features import spec, versions
from penstock.lake.lease import newest_number
from penstock.publish import frame, redis
from penstock.publish.audit import Audit, audited
from penstock.publish.connect import Client, answered, table
from penstock.publish.encode import SCHEMA, Encoder
from penstock.publish.facts import text_of
from penstock.publish.generation import PublishFacts, PublishReport
from penstock.publish.layout import parse_pointer
from penstock.publish.online import guards_of
from penstock.publish.packing import FORMATS, Format
from penstock.publish.served import parse_facts
from penstock.publish.subject import features_of
from penstock.stage import Run

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Plan:
    """The rows of one `as_of` in a version of a feature table, and the generation that they become; no `as_of`: there are none."""

    table: str
    at: int
    view_version: int
    as_of: datetime | None
    rows: int
    generation: str
    reason: str = ""


@dataclass(frozen=True)
class Outcome:
    """How many rows readers got, how many of them were compared with the lake, and that in words."""

    published: int
    audited: int
    text: str


def plan(run: Run) -> Plan | None:
    """The newest rows, not after the run's `as_of`, of the version that the configuration means; None for a view that is not online."""
    from pyspark.sql import functions as F

    if run.pipeline.features.publish != "online" or not run.pipeline.publish.redis.enabled:
        return None
    version = versions.current(run)
    _, feature_table = versions.view_tables(run, version)
    at = run.lake.version(feature_table)
    none = Plan(feature_table.name, at, version.number, None, 0, "", f"no rows of {version} yet")
    if at < 0:
        return none
    known = run.lake.read(feature_table, at).where(F.col("as_of") <= F.lit(run.as_of))
    newest = known.groupBy("as_of").agg(F.count("*").alias("rows")).orderBy(F.col("as_of").desc()).limit(1)
    found = newest.select(F.unix_micros("as_of"), "rows").collect()
    if not found:
        return none
    as_of = clock.from_epoch(found[0][0])
    day = clock.local_day(as_of, run.contract.timezone)
    generation = f"{day:%Y%m%d}-v{version.number}-{version.digest[:8]}"
    return Plan(feature_table.name, at, version.number, as_of, int(found[0][1]), generation)


def publish(run: Run, chosen: Plan) -> Outcome:
    """Write the set unless readers have it, or one that is newer; then compare a sample of it with the lake.

    Raises as `redis.publish`; ServiceError when the sample differs, after which the next publication writes the set anew.
    """
    if chosen.as_of is None:
        return Outcome(0, 0, chosen.reason)
    view, client = run.pipeline.features.name, run.services.redis()
    with answered(f"look at what is published of {view}"):
        newer = _newer(client, view, chosen)
    if newer:
        return Outcome(0, 0, newer)
    rows = _rows(run, chosen)
    floor = newest_number(run.lake, run.jobs["view"])
    done = _published(run, chosen, rows, floor)
    written = chosen.rows if done.outcome != "repeated" else 0
    run.progress.step("publish.view_pointed", written)
    with answered(f"audit of the features of {view}"):
        found = audited(client, view, rows, [name for name, _ in run.key], chosen.as_of)
    if found.different:
        redis.doubt(client, done, floor)
        raise _unlike(run, chosen, found)
    text = f"{written:,} feature rows online, {found.rows:,} audited" if written else f"{found.rows:,} feature rows audited"
    return Outcome(written, found.rows, text)


def _newer(client: Client, view: str, chosen: Plan) -> str:
    """Why what readers have stays: it speaks for a later instant, or at the same one is of a newer version of the view; else ""."""
    keys = features_of(view).keys
    pointer = parse_pointer(table(client, keys.pointer))
    facts = parse_facts(table(client, keys.meta(pointer.generation))) if pointer else None
    if pointer is None or facts is None or chosen.as_of is None:
        return ""
    if (facts.as_of, int(facts.model_version)) <= (chosen.as_of, chosen.view_version):
        return ""
    return f"features online stay at {pointer.generation}, newer than {chosen.generation}"


def _rows(run: Run, chosen: Plan) -> DataFrame:
    """The key and the features, in the order of the table: that of the declaration may be another by now, with the same meaning."""
    from pyspark.sql import functions as F

    declared = {name for name, _ in spec.feature_columns(run.pipeline.features)}
    rows = run.lake.read(chosen.table, chosen.at).where(F.col("as_of") == F.lit(chosen.as_of))
    return rows.select(*(name for name, _ in run.key), *(name for name in rows.columns if name in declared))


def _published(run: Run, chosen: Plan, rows: DataFrame, floor: int) -> PublishReport:
    assert chosen.as_of is not None
    key, config, view = tuple(name for name, _ in run.key), run.pipeline.publish.redis, run.pipeline.features.name
    columns = tuple(name for name in rows.columns if name not in key)
    client, subject = run.services.redis(), features_of(view).keys
    written = _format(client, subject.meta(chosen.generation), config.format)
    facts = PublishFacts(
        count=chosen.rows,
        as_of=chosen.as_of,
        model_version=str(chosen.view_version),
        source=f"{chosen.table} of {clock.local_day(chosen.as_of, run.contract.timezone)}",
        created=clock.now(),
        bucket_fields=config.bucket_fields,
        entities=chosen.rows,
        shape="features",
        format=written,
        columns=columns,
    )
    encoder = Encoder(key=key, shape="features", as_of=chosen.as_of, format=written, columns=columns)
    encoded, about = rows.mapInArrow(encoder, SCHEMA), 40 + 10 * len(columns)
    content = frame.content(encoded, config.writer, run.services.redis_address(), chosen.rows, about)
    fence = run.leases[run.jobs["view"]].number
    return redis.publish(client, subject.pipeline, chosen.generation, content, fence=fence, facts=facts, floor=floor, guards=guards_of(run))


def _format(client: Client, meta: str, wanted: Format) -> Format:
    """That in which the generation is there: pipelines that share a view need not agree, and must not write it by turns."""
    with answered("look at what is published"):
        facts = table(client, meta)
    return FORMATS[FORMATS.index(text_of(facts, "format"))] if facts else wanted


def _unlike(run: Run, chosen: Plan, found: Audit) -> ServiceError:
    return ServiceError(
        f"audit of the features of {run.pipeline.features.name} in Redis",
        got=f"{found.different} of {found.rows} sampled rows unlike {chosen.table}, in {', '.join(found.columns)}",
        expected="none",
        left=f"Readers still see generation {chosen.generation}, which is marked as wrong",
        next=f"penstock publish {run.pipeline.name} --as-of {run.day} writes it anew",
    )
