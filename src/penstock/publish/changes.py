"""Mode `changes`: writes what has changed since the last publication into the generation that readers see.

Each bucket is changed by one script that first looks who wrote there last, so that a paused publisher that wakes can never
put an old value over a newer one. The facts of the generation hold the cursor; they are set after everything was counted,
and say meanwhile that a change is under way: whoever comes next writes the same changes again, to the same content. What
does not fit (nothing published, another count, shape, format or columns, an older cursor) is answered by a whole generation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Literal, Protocol, runtime_checkable
from zlib import crc32

import pyarrow as pa

from penstock.errors import ServiceError, UsageError
from penstock.publish import redis as protocol
from penstock.publish.allowed import check_facts, check_long
from penstock.publish.connect import Client, answered, ask, table
from penstock.publish.content import Content, bounded
from penstock.publish.facts import as_fields, differing, text_of
from penstock.publish.generation import SAMPLE_ROWS, Claim, Guards, PublishFacts, PublishReport, Row, Tally, Target
from penstock.publish.kept import begun, each, fields
from penstock.publish.layout import Keyspace, Pointer, bucket_of, parse_pointer
from penstock.publish.link import overtaken
from penstock.publish.lua import BEGIN, CHANGE, FACTS, TOUCH
from penstock.publish.wire import in_bucket_order

Change = tuple[str, bytes | None]
"""Field and new value; None where the field is to go."""
BATCH_ROWS = 10_000
UNDER_WAY = "changing"
_LEFT = "Readers see some entities new and others as before, each whole; the next publish finishes"


@runtime_checkable
class Changed(Protocol):
    """Changes that are written elsewhere, such as `frame.ChangedFrame`."""

    def write(self, client: Client, target: Target) -> Tally:
        """Write all; `added` is new fields less those that went."""


def publish_changes(
    client: Client,
    pipeline: str,
    stem: str,
    *,
    whole: Callable[[], Iterable[Row] | Content],
    changed: Callable[[int], Iterable[Change] | Changed],
    fence: int,
    facts: PublishFacts,
    floor: int = 0,
    guards: Guards = Guards(),  # noqa: B008 - frozen
) -> PublishReport:
    """Bring the generation that readers see from its cursor to `facts.cursor`, or write a whole one named `STEM-FENCE`.

    `changed(cursor)` gives one row for each field touched since that version, also where it was touched and put back (its
    newest value, or None); `whole()` gives everything. `facts.count` is the number of fields after the changes. Raises as
    `redis.publish`.
    """
    if facts.cursor is None or facts.mode != "changes":
        raise UsageError(
            "facts of a publication of changes", got=f"mode {facts.mode}, cursor {facts.cursor}", expected="changes and a version"
        )
    keys = Keyspace(pipeline)
    with answered(f"publish changes of {pipeline}"):
        pointer = parse_pointer(table(client, keys.pointer))
        known = max(begun(client, keys), floor, pointer.fence if pointer else 0)
        if fence < known:
            raise overtaken(keys, fence, known)
        meta = table(client, keys.meta(pointer.generation)) if pointer else {}
        if pointer is not None and not misfit(client, keys, pointer, meta, facts):
            target = Target(keys, Claim(pointer.generation, fence, floor, pointer.buckets), guards.max_value_bytes)
            since = int(text_of(meta, "cursor"))
            if since == facts.cursor and UNDER_WAY.encode() not in meta:
                return _report(target, facts, pointer, "repeated")
            check_facts(pipeline, meta, facts, guards)
            if _bring_up(client, target, changed(since), facts, guards):
                return _report(target, facts, pointer, "changed")
    name = f"{stem}-{fence}"
    return protocol.publish(client, pipeline, name, whole(), fence=fence, facts=facts, floor=floor, guards=guards)


def misfit(client: Client, keys: Keyspace, pointer: Pointer, meta: dict[bytes, bytes], facts: PublishFacts) -> str:
    """Why a whole generation is needed; "" when changes will do."""
    if other := differing(meta, facts, ("mode", "shape", "format", "columns")):
        return "other " + ", ".join(other)
    cursor = text_of(meta, "cursor")
    if not cursor or int(cursor) > (facts.cursor or 0):
        return "no cursor, or one of a later version"
    if UNDER_WAY.encode() in meta:  # the count is somewhere between; it is looked at in the end
        return ""
    found = fields(client, keys, pointer.generation, pointer.buckets, "changes")
    if found != int(meta[b"count"]):
        return f"{found} fields in Redis, {int(meta[b'count'])} published"
    if int(cursor) == facts.cursor and differing(meta, facts, ("count", "as_of", "model_version", "source")):
        return "other facts for the same version"
    return ""


def _bring_up(client: Client, target: Target, changed: Iterable[Change] | Changed, facts: PublishFacts, guards: Guards) -> bool:
    """Write, count, set the facts; False when the count does not fit, after which only a whole generation will do."""
    _script(client, target, BEGIN)
    _facts(client, target, (), {UNDER_WAY: target.claim.fence})
    tally = (
        changed.write(client, target)
        if isinstance(changed, Changed)
        else write(client, target, in_order(_batches(changed), target.claim.buckets))
    )
    check_long(target.keys.pipeline, tally, guards, left=_LEFT)
    _verify_sample(client, target, tally)
    found = fields(client, target.keys, target.claim.generation, target.claim.buckets, "changes")
    if found != facts.count:
        _facts(client, target, ("cursor",), {})
        return False
    _facts(client, target, (UNDER_WAY,), as_fields(facts, "", target.claim.buckets))
    return True


def write(client: Client, target: Target, batches: Iterable[pa.RecordBatch]) -> Tally:
    """Change the buckets of batches (`field`, `value` or null, grouped by `bucket`); after each batch the fence is asked for.

    Raises RefusedError when a newer lease has begun or has written into a bucket.
    """
    total = Tally()
    for batch in batches:
        total += _write(client, target, batch)
        held, known = ask(client, "EVAL", TOUCH, 3, *target.control())
        if held != 1:
            raise overtaken(target.keys, target.claim.fence, known)
    return total


def _write(client: Client, target: Target, batch: pa.RecordBatch) -> Tally:
    sets: dict[int, list[bytes]] = {}
    gone: dict[int, list[bytes]] = {}
    sample: list[tuple[int, bytes, bytes]] = []
    too_long = 0
    columns = (batch.column(name).to_pylist() for name in ("bucket", "field", "value"))
    for bucket, field, value in zip(*columns, strict=True):
        if value is None:
            gone.setdefault(bucket, []).append(field)
        elif len(value) > target.max_value_bytes:
            too_long += 1
        else:
            sets.setdefault(bucket, []).extend((field, value))
            if len(sample) < SAMPLE_ROWS:
                sample.append((crc32(field), field, value))
    commands = (
        ("EVAL", CHANGE, 1, target.keys.bucket(target.claim.generation, bucket), target.claim.fence, len(put), *put, *gone.get(bucket, ()))
        for bucket, put in chain(sets.items(), ((bucket, []) for bucket in gone if bucket not in sets))
    )
    added = 0
    for held, *counts in each(client, commands):
        if held != 1:
            raise overtaken(target.keys, target.claim.fence, counts[0])
        added += counts[0] - counts[1]
    return Tally(batch.num_rows, added, 0, too_long, tuple(sample))


def in_order(batches: Iterable[pa.RecordBatch], buckets: int) -> Iterator[pa.RecordBatch]:
    """Batches with their rows grouped by bucket, small enough for one round of scripts."""
    return (in_bucket_order(part, buckets) for batch in batches for part in bounded(batch, required=("field",)))


def _batches(changed: Iterable[Change]) -> Iterator[pa.RecordBatch]:
    stream = iter(changed)
    while rows := list(islice(stream, BATCH_ROWS)):
        field = pa.array([field.encode() for field, _ in rows], pa.binary())
        yield pa.RecordBatch.from_arrays([field, pa.array([value for _, value in rows], pa.binary())], names=["field", "value"])


def _verify_sample(client: Client, target: Target, tally: Tally) -> None:
    claim = target.claim
    names = [(target.keys.bucket(claim.generation, bucket_of(field, claim.buckets)), field) for _, field, _ in tally.lowest]
    replies = each(client, (("HGET", bucket, field) for bucket, field in names))
    wrong = sum(reply != value for reply, (_, _, value) in zip(replies, tally.lowest, strict=True))
    if wrong:
        what = f"sample of the changes of generation {claim.generation}"
        raise ServiceError(what, got=f"{wrong} of {len(names)} different", expected="none", left=_LEFT)


def _facts(client: Client, target: Target, gone: tuple[str, ...], facts: dict[str, str | int]) -> None:
    """Set and remove facts in one step, if the claim holds and readers still look at this generation."""
    pointer, fence, registry, *claim = target.control()
    meta = target.keys.meta(target.claim.generation)
    parts = [part for pair in facts.items() for part in pair]
    _held(target, ask(client, "EVAL", FACTS, 4, pointer, fence, registry, meta, *claim, len(gone), *gone, *parts))


def _script(client: Client, target: Target, script: str) -> None:
    _held(target, ask(client, "EVAL", script, 3, *target.control()))


def _held(target: Target, reply: list[int]) -> None:
    if reply[0] != 1:
        raise overtaken(target.keys, target.claim.fence, reply[1])


def _report(target: Target, facts: PublishFacts, pointer: Pointer, outcome: Literal["changed", "repeated"]) -> PublishReport:
    claim = target.claim
    return PublishReport(target.keys.pipeline, claim.generation, outcome, claim.fence, facts.count, claim.buckets, "", pointer.previous)
