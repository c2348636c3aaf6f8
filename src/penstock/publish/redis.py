"""The only writer to Redis: whole generations, then one pointer.

A generation is written under its own names, counted and compared, and only then does a script move the pointer that
readers follow, if no newer lease has begun. So readers see the old set whole or the new set whole; a publisher that
was overtaken loses; one that was killed is repeated to the same content. Generations are dropped by names computed
from the registry, never by KEYS or SCAN. `layout.py` says which keys there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from redis.exceptions import ResponseError

from penstock.errors import DataError, PenstockError, RefusedError, ServiceError
from penstock.publish.allowed import check_facts, check_long
from penstock.publish.connect import Client, NoAnswerError, answered, ask, connect, preflight, table
from penstock.publish.content import Content, of_rows
from penstock.publish.facts import as_fields, differing, text_of
from penstock.publish.generation import Claim, Guards, Outcome, PublishFacts, PublishReport, Row, Tally, Target
from penstock.publish.kept import WRONG, begun, drop_leftovers, each, fields, unlink, whole_meta
from penstock.publish.layout import Keyspace, Pointer, bucket_of, buckets_for, check_generation, parse_pointer
from penstock.publish.link import overtaken
from penstock.publish.lua import BEGIN, FACTS, MOVE, ROLLBACK

__all__ = ["connect", "current", "doubt", "preflight", "publish", "rollback"]

_UNMOVED = "The pointer did not move; readers see the set before"


def current(client: Client, pipeline: str) -> Pointer | None:
    """What readers see now; None when nothing is published."""
    with answered("read the pointer"):
        return parse_pointer(table(client, Keyspace(pipeline).pointer))


@dataclass(frozen=True)
class _Task:
    """One publication under way: with whom, where, under which claim, what it should be, and what readers saw at its start."""

    client: Client
    target: Target
    facts: PublishFacts
    pointer: Pointer | None
    guards: Guards
    sample: tuple[Row, ...]

    @property
    def keys(self) -> Keyspace:
        """The names."""
        return self.target.keys

    @property
    def claim(self) -> Claim:
        """The claim."""
        return self.target.claim

    @property
    def in_place(self) -> bool:
        """Do readers look at this very generation? Then it is damaged, and mended without being emptied first."""
        return self.pointer is not None and self.pointer.generation == self.claim.generation


def publish(
    client: Client,
    pipeline: str,
    generation: str,
    rows: Iterable[Row] | Content,
    *,
    fence: int,
    facts: PublishFacts,
    floor: int = 0,
    sample: Iterable[Row] = (),
    guards: Guards = Guards(),  # noqa: B008 - frozen
) -> PublishReport:
    """Write `rows` as `generation` and make it what readers see.

    `rows` are streamed: from this process, or a `Content` such as `frame.Frame`. `fence` is the number of the caller's
    lease, `floor` the highest one that the lake knows (it holds when Redis came back empty). `sample` are rows read from the
    lake apart, compared beside a sample of the streamed ones. Raises RefusedError when a newer lease has begun, the
    generation exists with other facts or a guard says no, DataError when rows and facts disagree, ServiceError for Redis;
    in each case readers still see what they saw before.
    """
    keys = Keyspace(pipeline)
    check_generation(generation)
    with answered(f"publish generation {generation}"):
        pointer = parse_pointer(table(client, keys.pointer))
        known = max(begun(client, keys), floor, pointer.fence if pointer else 0)
        if fence < known:
            raise overtaken(keys, fence, known)
        seen = table(client, keys.meta(pointer.generation)) if pointer else {}
        whole = whole_meta(client, keys, generation)
        again = pointer is not None and pointer.generation == generation
        if not (again and whole):
            check_facts(pipeline, {} if again else seen, facts, guards)
        if again and whole is None and text_of(seen, "mode") == "changes":
            raise _other_facts(generation, ["content, since it is changed in place,"])
        if whole is not None:
            buckets = int(whole[b"buckets"])
        elif pointer is not None and again:
            buckets = pointer.buckets
        else:
            buckets = buckets_for(facts.count, facts.bucket_fields)
        target = Target(keys, Claim(generation, fence, floor, buckets), guards.max_value_bytes)
        task = _Task(client, target, facts, pointer, guards, tuple(sample))
        if whole is not None:
            return _republish(task, whole)
        return _publish_anew(task, rows if isinstance(rows, Content) else of_rows(rows))


def rollback(client: Client, pipeline: str, fence: int, *, floor: int = 0) -> PublishReport:
    """Make the previous generation what readers see; under the same fence again, do nothing.

    Raises RefusedError when there is none, it is not whole, or a newer lease has begun.
    """
    keys = Keyspace(pipeline)
    with answered("roll back"):
        pointer = parse_pointer(table(client, keys.pointer))
        if pointer is not None and text_of(table(client, keys.meta(pointer.generation)), "mode") == "changes":
            raise RefusedError(
                f"roll back {pipeline} in Redis",
                got=f"generation {pointer.generation}, which is changed in place",
                expected="one that was written whole",
                left="The published set is as it was",
                next=f"RESTORE the table that it is read from to its earlier version, then penstock publish {pipeline} --as-of DATE",
            )
        if pointer is not None and pointer.moved_by == "rollback" and pointer.fence == fence:
            claim = Claim(pointer.generation, fence, floor, pointer.buckets)
            return _report(keys, claim, table(client, keys.meta(pointer.generation)), "repeated", pointer.previous)
        meta = whole_meta(client, keys, pointer.previous) if pointer is not None and pointer.previous else None
        if pointer is None or meta is None:
            raise RefusedError(
                f"roll back {pipeline} in Redis",
                got="no whole previous generation",
                expected="one",
                left="The published set is as it was",
                next=f"penstock publish {pipeline} --as-of DATE makes one; the one before is kept from the second on",
            )
        names = (keys.pointer, keys.fence, keys.registry)
        done, known = ask(client, "EVAL", ROLLBACK, 3, *names, fence, floor, pointer.generation, pointer.previous)
        if done != 1:
            raise overtaken(keys, fence, known)
        claim = Claim(pointer.previous, fence, floor, pointer.previous_buckets)
        return _report(keys, claim, meta, "rolled back", pointer.generation)


def doubt(client: Client, report: PublishReport, floor: int = 0) -> None:
    """Note that what was published holds wrong values: readers go on, and the next publication under this name writes it anew.

    Raises RefusedError when a newer lease has begun or readers look at another generation.
    """
    keys, claim = Keyspace(report.pipeline), Claim(report.generation, report.fence, floor, report.buckets)
    pointer, fence, registry, *own = Target(keys, claim).control()
    with answered(f"note of generation {report.generation}"):
        done, known = ask(client, "EVAL", FACTS, 4, pointer, fence, registry, keys.meta(claim.generation), *own, 0, WRONG, claim.fence)
        if done != 1:
            raise overtaken(keys, claim.fence, known)


def _republish(task: _Task, meta: dict[bytes, bytes]) -> PublishReport:
    """The generation is there and whole: at most the pointer moves."""
    if other := differing(meta, task.facts):
        raise _other_facts(task.claim.generation, other)
    if task.pointer is not None and task.in_place:
        return _report(task.keys, task.claim, meta, "repeated", task.pointer.previous)
    _script(task, MOVE)
    return _settled(task, _report(task.keys, task.claim, meta, "switched"))


def _other_facts(generation: str, other: list[str]) -> RefusedError:
    return RefusedError(
        f"generation {generation}",
        got="other " + ", ".join(other) + " than when it was published",
        expected="the same facts, or another name",
        left="The published set is as it was",
    )


def _publish_anew(task: _Task, content: Content) -> PublishReport:
    """Write, verify, move. What a killed publisher left under this name goes first, unless readers are looking at it."""
    client, keys, claim = task.client, task.keys, task.claim
    # Before anything is written: a set that filled the memory must be dropped for the first write to be possible at all.
    dropped = drop_leftovers(client, keys, claim, task.pointer)
    _script(task, BEGIN)
    if not task.in_place:
        unlink(client, keys.buckets(claim.generation, claim.buckets))
    warnings = preflight(client, _estimate(content.mean_bytes(), task.facts.count, claim.buckets))
    try:
        tally = content.write(client, task.target)
        _verify(task, tally)
        meta = as_fields(task.facts, f"{tally.digest:016x}", claim.buckets)
        ask(client, "HSET", keys.meta(claim.generation), *[part for pair in meta.items() for part in pair])
        ask(client, "HDEL", keys.meta(claim.generation), WRONG)
    except (ResponseError, PenstockError) as error:
        # Give the memory back, or every other user of this Redis stays without. Who was overtaken leaves it to the newer.
        if not isinstance(error, NoAnswerError) and not task.in_place and begun(client, keys) == claim.fence:
            unlink(client, keys.buckets(claim.generation, claim.buckets))
        raise
    _script(task, MOVE)
    report = _report(keys, claim, table(client, keys.meta(claim.generation)), "published")
    return _settled(task, replace(report, dropped=dropped, warnings=warnings))


def _verify(task: _Task, tally: Tally) -> None:
    """Rows streamed = rows the lake counted = fields in Redis, and sampled values are equal."""
    claim, expected = task.claim, task.facts.count
    check_long(task.keys.pipeline, tally, task.guards)
    if tally.rows != expected:
        raise DataError(f"rows of generation {claim.generation}", got=f"{tally.rows}", expected=f"{expected}", left=_UNMOVED)
    found = fields(task.client, task.keys, claim.generation, claim.buckets, task.facts.mode)
    if not task.in_place and found == tally.added < tally.rows:
        raise DataError(
            f"keys of generation {claim.generation}", got=f"{tally.rows - found} repeated", expected="each key once", left=_UNMOVED
        )
    if found != expected:
        raise ServiceError(f"entities of generation {claim.generation} in Redis", got=f"{found}", expected=f"{expected}", left=_UNMOVED)
    rows = [(key, value) for _, key, value in tally.lowest] + [(key.encode(), value) for key, value in task.sample]
    places = [task.keys.bucket(claim.generation, bucket_of(key, claim.buckets)) for key, _ in rows]
    replies = each(task.client, (("HGET", place, key) for place, (key, _) in zip(places, rows, strict=True)))
    wrong = sum(reply != value for reply, (_, value) in zip(replies, rows, strict=True))
    if wrong:
        raise ServiceError(
            f"sample of generation {claim.generation}", got=f"{wrong} of {len(rows)} different", expected="none", left=_UNMOVED
        )


def _settled(task: _Task, report: PublishReport) -> PublishReport:
    """The pointer has moved: drop what neither readers nor a rollback need."""
    pointer = parse_pointer(table(task.client, task.keys.pointer))
    dropped = drop_leftovers(task.client, task.keys, task.claim, pointer)
    return replace(report, previous=pointer.previous if pointer else "", dropped=report.dropped + dropped)


def _report(keys: Keyspace, claim: Claim, meta: dict[bytes, bytes], outcome: Outcome, previous: str = "") -> PublishReport:
    count, digest = int(meta.get(b"count", b"0")), meta.get(b"digest", b"").decode()
    return PublishReport(keys.pipeline, claim.generation, outcome, claim.fence, count, claim.buckets, digest, previous)


def _estimate(mean: int, count: int, buckets: int) -> int:
    """Bytes that `count` such rows take: their own, some ten of overhead each and 150 a bucket, plus a tenth."""
    return int((count * (mean + 10) + buckets * 150) * 1.1)


def _script(task: _Task, script: str) -> None:
    """Run a script that answers (1, known) when the claim holds. Raises RefusedError when it does not."""
    done, known = ask(task.client, "EVAL", script, 3, *task.target.control())
    if done != 1:
        raise overtaken(task.keys, task.claim.fence, known)
