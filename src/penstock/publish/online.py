"""What the applications read: the newest cohort's values and the fallbacks beside them, brought to Redis by the protocol of `redis.py`.

A set is written whole beside the one that readers see; or, in mode `changes`, the values that differ between two versions of
the latest table are written into it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce
from typing import TYPE_CHECKING

from penstock import clock
from penstock.lake import tables
from penstock.lake.lease import newest_number
from penstock.publish import answers, changes, frame, redis
from penstock.publish.encode import SCHEMA, Encoder
from penstock.publish.generation import Guards, PublishFacts, PublishReport
from penstock.publish.reasons import LIST_FIELD, Coder, Sentence
from penstock.publish.served import fallback_field
from penstock.scoring.run import wording_of
from penstock.stage import Run

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame

_SEGMENT = "segment"


@dataclass(frozen=True)
class Cohort:
    """What is to be published: answers of one `as_of` by one model version, under the name of a generation."""

    as_of: datetime
    model_version: int
    generation: str
    predictions: int
    """The version of the table of predictions."""


def publish(run: Run, cohort: Cohort, latest: tables.Table, fallbacks: pa.Table) -> tuple[PublishReport, int]:
    """What was done, and for how many entities."""
    in_place = run.pipeline.publish.redis.mode == "changes"
    rows = _of_latest(run, latest, run.lake.version(latest)) if in_place else _of_predictions(run, cohort)
    beside = fallbacks.num_rows
    entities, reasoned = _counted(rows)
    sentences = _sentences(run) if reasoned else None
    facts = PublishFacts(
        count=entities + beside + (reasoned + 1 if reasoned else 0),
        as_of=cohort.as_of,
        model_version=str(cohort.model_version),
        source=f"predictions_{run.pipeline.name} of {clock.local_day(cohort.as_of, run.contract.timezone)} by version {cohort.model_version}",
        created=clock.now(),
        bucket_fields=run.pipeline.publish.redis.bucket_fields,
        entities=entities,
        shape=answers.of(run.pipeline.kind).shape,
        format=run.pipeline.publish.redis.format,
    )
    run.progress.step("publish.began", facts.count)
    encoder = _encoder(run, cohort, sentences, in_place=in_place)
    extra = _beside(run, fallbacks, encoder, sentences)
    if not in_place:
        whole = _encoded(rows, encoder).unionByName(extra)
        job = run.jobs["pipeline"]
        # The floor is asked for now: a publisher that slept through another's lease must lose, also against an empty Redis.
        fence, floor = run.leases[job].number, newest_number(run.lake, job)
        content = _content(run, whole, facts.count)
        name = cohort.generation
        done = redis.publish(
            run.services.redis(), run.pipeline.name, name, content, fence=fence, facts=facts, floor=floor, guards=guards_of(run)
        )
        return done, entities
    return _bring_up(run, cohort, latest, facts, (rows, encoder, extra)), entities


def _bring_up(
    run: Run, cohort: Cohort, latest: tables.Table, facts: PublishFacts, given: tuple[DataFrame, Encoder, DataFrame]
) -> PublishReport:
    """In mode `changes`: from the version of the latest table that readers see to the newest."""
    rows, encoder, extra = given
    to, job, redis_ = run.lake.version(latest), run.jobs["pipeline"], run.pipeline.publish.redis
    address = run.services.redis_address()

    def changed(since: int) -> frame.ChangedFrame | Iterator[changes.Change]:
        found = differing(_of_latest(run, latest, since), rows, latest.key)
        return frame.changed(_encoded_changes(found, encoder).unionByName(extra), redis_.writer, address, facts.count)

    return changes.publish_changes(
        run.services.redis(),
        run.pipeline.name,
        cohort.generation,
        whole=lambda: frame.content(_encoded(rows, encoder).unionByName(extra), redis_.writer, address, facts.count),
        changed=changed,
        fence=run.leases[job].number,
        facts=replace(facts, mode="changes", cursor=to),
        floor=newest_number(run.lake, job),
        guards=guards_of(run),
    )


def differing(before: DataFrame, now: DataFrame, key: Iterable[str]) -> DataFrame:
    """The rows of `now` that are new or have other values than `before`, and with `__gone` those that are no more.

    When a value was made is no part of it: who is told the same as last time is not written again.
    """
    from pyspark.sql import functions as F

    names = list(key)
    compared = [c for c in now.columns if c not in {*names, "as_of", "scored_at"}]
    was = before.select(*names, *(F.col(c).alias(f"__{c}") for c in compared), F.lit(True).alias("__was"))
    both = now.join(was, on=names, how="left")
    differs = reduce(lambda one, other: one | other, [~F.col(c).eqNullSafe(F.col(f"__{c}")) for c in compared])
    told = both.where(F.col("__was").isNull() | differs).select(*now.columns, F.lit(False).alias("__gone"))
    gone = before.join(now.select(*names), on=names, how="left_anti").withColumn("__gone", F.lit(True))
    return told.unionByName(gone)


def _of_predictions(run: Run, cohort: Cohort) -> DataFrame:
    from pyspark.sql import functions as F

    own = (F.col("model_version") == cohort.model_version) & (F.col("as_of") == F.lit(cohort.as_of)) & ~F.col("backfill")
    rows = run.lake.read(tables.predictions(run.pipeline.name, run.key), cohort.predictions).where(own)
    return _told(run, rows, F.unix_micros("scored_at"))


def _of_latest(run: Run, latest: tables.Table, version: int) -> DataFrame:
    from pyspark.sql import functions as F

    return _told(run, run.lake.read(latest, version).where("is_active"), F.unix_micros("updated_at"))


def _told(run: Run, rows: DataFrame, scored_at: Column) -> DataFrame:
    from pyspark.sql import functions as F

    shown = answers.of(run.pipeline.kind)
    values = [value.alias(name) for name, value in shown.told(run.pipeline.publish).items()]
    at = F.unix_micros("as_of").alias("as_of")
    key = [name for name, _ in run.key]
    return rows.where(shown.is_told()).select(*key, *values, "reasons", at, scored_at.alias("scored_at"))


def _counted(rows: DataFrame) -> tuple[int, int]:
    """Entities, and how many of them have reasons."""
    from pyspark.sql import functions as F

    found = rows.agg(F.count("*"), F.count_if(F.size("reasons") > 0)).collect()[0]
    return int(found[0]), int(found[1])


def _sentences(run: Run) -> tuple[Sentence, ...]:
    # Sentences of an older version of the view that is still scored may not be among these: they travel as text.
    return Coder(wording_of(run, run.pipeline.features).patterns()).sentences


def _encoder(run: Run, cohort: Cohort, sentences: tuple[Sentence, ...] | None, *, in_place: bool) -> Encoder:
    config = run.pipeline.publish
    return Encoder(
        key=tuple(name for name, _ in run.key),
        shape=answers.of(run.pipeline.kind).shape,
        as_of=None if in_place else cohort.as_of,
        version=str(cohort.model_version),
        format=config.redis.format,
        digits=config.digits,
        sentences=sentences,
    )


def _encoded(rows: DataFrame, encoder: Encoder) -> DataFrame:
    return rows.mapInArrow(encoder, SCHEMA)


def _encoded_changes(found: DataFrame, encoder: Encoder) -> DataFrame:
    """Of who is gone the fields, without a value; of a changed row both of its fields, though it has no reasons any more."""
    from pyspark.sql import functions as F

    told = _encoded(found.where(~F.col("__gone")).drop("__gone"), encoder)
    gone = _encoded(found.where("__gone").drop("__gone"), encoder).withColumn("value", F.lit(None).cast("binary"))
    if encoder.sentences is None:
        return told.unionByName(gone)
    beside = replace(encoder, sentences=None)
    keys = _encoded(found.where(F.col("__gone") | (F.coalesce(F.size("reasons"), F.lit(0)) <= 0)).drop("__gone"), beside)
    silent = keys.select(F.concat(F.lit(b"[r]"), F.col("field")).alias("field"), F.lit(None).cast("binary").alias("value"))
    return told.unionByName(gone.unionByName(silent).distinct())


def _beside(run: Run, fallbacks: pa.Table, encoder: Encoder, sentences: tuple[Sentence, ...] | None) -> DataFrame:
    """The fields that are of no entity: the fallbacks, which are few, and the list of sentences."""
    numbered = fallbacks.append_column("__number", [list(range(fallbacks.num_rows))]).combine_chunks()
    values = [
        value
        for batch in replace(encoder, key=("__number",), sentences=None)(numbered.to_batches())
        for value in batch["value"].to_pylist()
    ]
    fields = [fallback_field(segment).encode() for segment in fallbacks.column(_SEGMENT).to_pylist()]
    listed = [] if sentences is None else [(LIST_FIELD.encode(), Coder(sentences).encode_list())]
    return run.lake.spark.createDataFrame([*zip(fields, values, strict=True), *listed], SCHEMA)


def _content(run: Run, rows: DataFrame, expected: int) -> frame.Frame | frame.Packets:
    return frame.content(rows, run.pipeline.publish.redis.writer, run.services.redis_address(), expected)


def guards_of(run: Run) -> Guards:
    """What the run refuses, and what a person allows it this once."""
    config = run.pipeline.publish.redis
    again = f"penstock publish {run.pipeline.name} --as-of {run.day}"
    return Guards("empty" in run.allowed, "drop" in run.allowed, config.max_drop, config.max_value_bytes, again)
