"""The only writer to Redis: whole generations, then one pointer.

A generation is written under its own names, counted and compared, and only then does a script move the pointer that
readers follow, if no newer lease has begun. So readers see the old set whole or the new set whole; a publisher that
was overtaken loses; one that was killed is repeated to the same content. Generations are dropped by names computed
from the registry, never by KEYS or SCAN. `layout.py` says which keys there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, OutOfMemoryError, RedisError, ResponseError
from redis.retry import Retry

from penstock.errors import DataError, RefusedError, ServiceError, UsageError
from penstock.publish.generation import Claim, Outcome, PublishFacts, PublishReport, Row, Tally
from penstock.publish.layout import Keyspace, Pointer, bucket_of, buckets_for, check_generation, parse_pointer
from penstock.publish.lua import BEGIN, MOVE, ROLLBACK, TOUCH

BATCH_ROWS = 10_000
DROP_NAMES = 1_000
_UNMOVED = "The pointer did not move; readers see the set before"


def connect(url: str) -> redis.Redis:
    """A client that has been answered. Raises UsageError for a malformed address, ServiceError when nobody answers; shows no password."""
    retry = Retry(ExponentialBackoff(cap=0.5, base=0.05), 3)
    try:
        client = redis.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=60, retry=retry, protocol=2)
    except ValueError:
        # `from None`: the library's message may quote a part of the address, and with it the password
        raise UsageError("Redis address", got="a malformed address", expected="redis://, rediss:// or unix://") from None
    with _answered(f"Redis at {_shown(url)}"):
        client.ping()
    return client


def current(client: redis.Redis, pipeline: str) -> Pointer | None:
    """What readers see now; None when nothing is published."""
    with _answered("read the pointer"):
        return parse_pointer(_table(client, Keyspace(pipeline).pointer))


@dataclass(frozen=True)
class _Task:
    """One publication under way: with whom, where, under which claim, what it should be, and what readers saw at its start."""

    client: redis.Redis
    keys: Keyspace
    claim: Claim
    facts: PublishFacts
    pointer: Pointer | None
    sample: tuple[Row, ...]

    @property
    def in_place(self) -> bool:
        """Do readers look at this very generation? Then it is damaged, and mended without being emptied first."""
        return self.pointer is not None and self.pointer.generation == self.claim.generation


def publish(
    client: redis.Redis,
    pipeline: str,
    generation: str,
    rows: Iterable[Row],
    *,
    fence: int,
    facts: PublishFacts,
    floor: int = 0,
    sample: Iterable[Row] = (),
) -> PublishReport:
    """Write `rows` as `generation` and make it what readers see.

    `fence` is the number of the caller's lease, `floor` the highest one that the lake knows (it holds when Redis came back
    empty). `rows` are streamed; `sample` are rows read from the lake apart, compared beside a sample of the streamed ones.
    Raises RefusedError when a newer lease has begun or the generation exists with other facts, DataError when rows and
    facts disagree, ServiceError for Redis; in each case readers still see what they saw before.
    """
    keys = Keyspace(pipeline)
    check_generation(generation)
    if facts.count < 1:
        raise DataError("rows to publish", got="none", expected="at least one", left="The published set is as it was")
    with _answered(f"publish generation {generation}"):
        pointer = parse_pointer(_table(client, keys.pointer))
        known = max(_begun(client, keys), floor, pointer.fence if pointer else 0)
        if fence < known:
            raise _overtaken(keys, fence, known)
        whole = _whole_meta(client, keys, generation)
        if whole is not None:
            buckets = int(whole[b"buckets"])
        elif pointer is not None and pointer.generation == generation:
            buckets = pointer.buckets
        else:
            buckets = buckets_for(facts.count, facts.bucket_fields)
        task = _Task(client, keys, Claim(generation, fence, floor, buckets), facts, pointer, tuple(sample))
        return _publish_anew(task, rows) if whole is None else _republish(task, whole)


def rollback(client: redis.Redis, pipeline: str, fence: int, *, floor: int = 0) -> PublishReport:
    """Make the previous generation what readers see; under the same fence again, do nothing.

    Raises RefusedError when there is none, it is not whole, or a newer lease has begun.
    """
    keys = Keyspace(pipeline)
    with _answered("roll back"):
        pointer = parse_pointer(_table(client, keys.pointer))
        if pointer is not None and pointer.moved_by == "rollback" and pointer.fence == fence:
            claim = Claim(pointer.generation, fence, floor, pointer.buckets)
            return _report(keys, claim, _table(client, keys.meta(pointer.generation)), "repeated", pointer.previous)
        meta = _whole_meta(client, keys, pointer.previous) if pointer is not None and pointer.previous else None
        if pointer is None or meta is None:
            raise RefusedError(
                f"roll back {pipeline} in Redis",
                got="no whole previous generation",
                expected="one",
                left="The published set is as it was",
                next=f"penstock publish {pipeline}",
            )
        names = (keys.pointer, keys.fence, keys.registry)
        done, known = _ask(client, "EVAL", ROLLBACK, 3, *names, fence, floor, pointer.generation, pointer.previous)
        if done != 1:
            raise _overtaken(keys, fence, known)
        claim = Claim(pointer.previous, fence, floor, pointer.previous_buckets)
        return _report(keys, claim, meta, "rolled back", pointer.generation)


def preflight(client: redis.Redis, needed: int) -> tuple[str, ...]:
    """Can this server take `needed` more bytes and keep them? Raises ServiceError when not; returns what could not be asked.

    A replica, an evicting policy (it would make holes in a set) and too little room under `maxmemory` are refused.
    """
    try:
        role = _ask(client, "ROLE")[0]
        memory: Any = client.info("memory")
    except NoPermissionError:
        return ("Role and memory of Redis were not checked: the user may not run ROLE and INFO.",)
    role = role.decode() if isinstance(role, bytes) else role
    if role != "master":
        raise ServiceError("role of the Redis server", got=role, expected="master", left=_UNMOVED, next="give the primary's address")
    limit, policy = int(memory.get("maxmemory", 0)), str(memory.get("maxmemory_policy", "unknown"))
    if limit and policy.startswith("allkeys"):
        raise ServiceError("maxmemory-policy of Redis", got=policy, expected="noeviction or volatile-*", left=_UNMOVED, next="change it")
    room = max(limit - int(memory["used_memory"]), 0)
    if limit and room < needed:
        raise ServiceError(
            "memory of Redis", got=f"room for {room} bytes", expected=f"about {needed}", left=_UNMOVED, next="raise maxmemory"
        )
    return ()


def _republish(task: _Task, meta: dict[bytes, bytes]) -> PublishReport:
    """The generation is there and whole: at most the pointer moves."""
    expected = _meta(task.facts, "", task.claim.buckets)
    names = ("count", "as_of", "model_version", "source")
    other = [name for name in names if meta.get(name.encode(), b"").decode() != str(expected[name])]
    if other:
        raise RefusedError(
            f"generation {task.claim.generation}",
            got="other " + ", ".join(other) + " than when it was published",
            expected="the same facts, or another name",
            left="The published set is as it was",
        )
    if task.pointer is not None and task.in_place:
        return _report(task.keys, task.claim, meta, "repeated", task.pointer.previous)
    _script(task, MOVE)
    return _settled(task, _report(task.keys, task.claim, meta, "switched"))


def _publish_anew(task: _Task, rows: Iterable[Row]) -> PublishReport:
    """Write, verify, move. What a killed publisher left under this name goes first, unless readers are looking at it."""
    client, keys, claim = task.client, task.keys, task.claim
    # Before anything is written: a set that filled the memory must be dropped for the first write to be possible at all.
    dropped = _drop_leftovers(client, keys, claim, task.pointer)
    _script(task, BEGIN)
    if not task.in_place:
        _unlink(client, keys.buckets(claim.generation, claim.buckets))
    stream = iter(rows)
    first = list(islice(stream, BATCH_ROWS))
    warnings = preflight(client, _estimate(first, task.facts.count, claim.buckets))
    tally = Tally()
    try:
        _write(task, first, tally)
        while batch := list(islice(stream, BATCH_ROWS)):
            _write(task, batch, tally)
        _verify(task, tally)
        meta = _meta(task.facts, f"{tally.digest:016x}", claim.buckets)
        _ask(client, "HSET", keys.meta(claim.generation), *[part for pair in meta.items() for part in pair])
    except ResponseError as error:
        # Give the memory back, or every other user of this Redis stays without.
        if _is_out_of_memory(error) and not task.in_place and _begun(client, keys) == claim.fence:
            _unlink(client, keys.buckets(claim.generation, claim.buckets))
        raise
    _script(task, MOVE)
    report = _report(keys, claim, _table(client, keys.meta(claim.generation)), "published")
    return _settled(task, replace(report, dropped=dropped, warnings=warnings))


def _write(task: _Task, batch: list[Row], tally: Tally) -> None:
    """One batch in one pipeline; every reply is looked at."""
    claim = task.claim
    grouped: dict[int, list[str | bytes]] = {}
    for key, value in batch:
        tally.take(key, value)
        grouped.setdefault(bucket_of(key.encode(), claim.buckets), []).extend((key, value))
    pipe = task.client.pipeline(transaction=False)
    for number, fields in grouped.items():
        _ask(pipe, "HSET", task.keys.bucket(claim.generation, number), *fields)
    _ask(pipe, "EVAL", TOUCH, 3, *_control(task))
    replies: list[Any] = pipe.execute(raise_on_error=False)
    failed = next((reply for reply in replies if isinstance(reply, Exception)), None)
    if failed is not None:
        raise failed
    if len(replies) != len(grouped) + 1:
        raise ServiceError("replies of Redis", got=f"{len(replies)}", expected=f"{len(grouped) + 1}", left=_UNMOVED)
    *counts, (held, known) = replies
    if held != 1:
        raise _overtaken(task.keys, claim.fence, known)
    tally.added += sum(counts)


def _verify(task: _Task, tally: Tally) -> None:
    """Rows streamed = rows the lake counted = fields in Redis, and sampled values are equal."""
    generation, expected = task.claim.generation, task.facts.count
    if tally.rows != expected:
        raise DataError(f"rows of generation {generation}", got=f"{tally.rows}", expected=f"{expected}", left=_UNMOVED)
    found = _fields(task.client, task.keys, generation, task.claim.buckets)
    if not task.in_place and found == tally.added < tally.rows:
        raise DataError(f"keys of generation {generation}", got=f"{tally.rows - found} repeated", expected="each key once", left=_UNMOVED)
    if found != expected:
        raise ServiceError(f"entities of generation {generation} in Redis", got=f"{found}", expected=f"{expected}", left=_UNMOVED)
    rows = [(key, value) for _, key, value in tally.lowest] + list(task.sample)
    pipe = task.client.pipeline(transaction=False)
    for key, _ in rows:
        _ask(pipe, "HGET", task.keys.bucket(generation, bucket_of(key.encode(), task.claim.buckets)), key)
    wrong = sum(reply != value for reply, (_, value) in zip(pipe.execute(), rows, strict=True))
    if wrong:
        raise ServiceError(f"sample of generation {generation}", got=f"{wrong} of {len(rows)} different", expected="none", left=_UNMOVED)


def _settled(task: _Task, report: PublishReport) -> PublishReport:
    """The pointer has moved: drop what neither readers nor a rollback need."""
    pointer = parse_pointer(_table(task.client, task.keys.pointer))
    dropped = _drop_leftovers(task.client, task.keys, task.claim, pointer)
    return replace(report, previous=pointer.previous if pointer else "", dropped=report.dropped + dropped)


def _report(keys: Keyspace, claim: Claim, meta: dict[bytes, bytes], outcome: Outcome, previous: str = "") -> PublishReport:
    count, digest = int(meta.get(b"count", b"0")), meta.get(b"digest", b"").decode()
    return PublishReport(keys.pipeline, claim.generation, outcome, claim.fence, count, claim.buckets, digest, previous)


def _drop_leftovers(client: redis.Redis, keys: Keyspace, claim: Claim, pointer: Pointer | None) -> tuple[str, ...]:
    """Drop registered generations that are neither current nor previous nor begun under a newer lease; returns their names."""
    # The claimed generation, when not the one readers see, is about to be written anew: what a killed run left of it goes.
    kept = {pointer.generation, pointer.previous} - ({claim.generation} - {pointer.generation}) if pointer else set()
    dropped = []
    for name, entry in sorted(_table(client, keys.registry).items()):
        generation, (fence, buckets) = name.decode(), map(int, entry.split())
        if generation in kept or fence > claim.fence:
            continue
        # The registry's entry goes last: killed in between, the next publisher drops the rest.
        _unlink(client, keys.buckets(generation, buckets))
        _unlink(client, iter((keys.meta(generation),)))
        _ask(client, "HDEL", keys.registry, generation)
        dropped.append(generation)
    return tuple(name for name in dropped if name != claim.generation)


def _unlink(client: redis.Redis, names: Iterator[str]) -> None:
    """Remove keys by name, one command each, since the buckets of a cluster lie in different slots."""
    while batch := list(islice(names, DROP_NAMES)):
        pipe = client.pipeline(transaction=False)
        for name in batch:
            _ask(pipe, "UNLINK", name)
        pipe.execute()


def _whole_meta(client: redis.Redis, keys: Keyspace, generation: str) -> dict[bytes, bytes] | None:
    """The facts of a generation that was verified and still has every field; None otherwise."""
    meta = _table(client, keys.meta(generation))
    if meta and _fields(client, keys, generation, int(meta[b"buckets"])) == int(meta[b"count"]):
        return meta
    return None


def _fields(client: redis.Redis, keys: Keyspace, generation: str, buckets: int) -> int:
    """Entities of a generation, exactly."""
    names, total = keys.buckets(generation, buckets), 0
    while batch := list(islice(names, BATCH_ROWS)):
        pipe = client.pipeline(transaction=False)
        for name in batch:
            _ask(pipe, "HLEN", name)
        total += sum(pipe.execute())
    return total


def _meta(facts: PublishFacts, digest: str, buckets: int) -> dict[str, str | int]:
    return {
        "count": facts.count,
        "buckets": buckets,
        "as_of": facts.as_of.isoformat(),
        "model_version": facts.model_version,
        "source": facts.source,
        "digest": digest,
        "created": facts.created.isoformat(),
    }


def _estimate(rows: list[Row], count: int, buckets: int) -> int:
    """Bytes that `count` such rows take: their own, some ten of overhead each and 150 a bucket, plus a tenth."""
    mean = sum(len(key.encode()) + len(value) for key, value in rows) / max(len(rows), 1)
    return int((count * (mean + 10) + buckets * 150) * 1.1)


def _control(task: _Task) -> tuple[str | int, ...]:
    """Keys and arguments of the scripts."""
    keys, claim = task.keys, task.claim
    return (keys.pointer, keys.fence, keys.registry, claim.fence, claim.floor, claim.generation, claim.buckets)


def _script(task: _Task, script: str) -> None:
    """Run a script that answers (1, known) when the claim holds. Raises RefusedError when it does not."""
    done, known = _ask(task.client, "EVAL", script, 3, *_control(task))
    if done != 1:
        raise _overtaken(task.keys, task.claim.fence, known)


def _begun(client: redis.Redis, keys: Keyspace) -> int:
    return int(_ask(client, "GET", keys.fence) or 0)


def _overtaken(keys: Keyspace, fence: int, known: int) -> RefusedError:
    return RefusedError(
        f"publish of {keys.pipeline}",
        got=f"lease {fence}",
        expected=f"{known} or later, or no other publisher meanwhile",
        left="Somebody with a newer lease has taken over; readers see their set or the one before",
        next=f"penstock status {keys.pipeline}",
    )


def _ask(client: redis.Redis, *command: Any) -> Any:
    """The reply to one command, as Redis gives it; on a pipeline, the command is queued."""
    return client.execute_command(*command)  # type: ignore[no-untyped-call]


def _table(client: redis.Redis, name: str) -> dict[bytes, bytes]:
    table: dict[bytes, bytes] = _ask(client, "HGETALL", name)
    return table


def _is_out_of_memory(error: ResponseError) -> bool:
    """Before Redis 7 a script's error carries the code inside its text."""
    return isinstance(error, OutOfMemoryError) or "-OOM " in str(error)


def _shown(url: str) -> str:
    """The address without user and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.path if parts.scheme == 'unix' else parts.netloc.rpartition('@')[2] + parts.path}"


@contextmanager
def _answered(doing: str) -> Iterator[None]:
    """Redis's own errors as ours, by who has to act."""
    left = "Readers see the set before, if Redis is there at all; the scores are in the lake"
    try:
        yield
    except AuthenticationError as error:
        raise ServiceError(doing, got="a wrong user or password", left=left, next="correct the address in the environment") from error
    except ResponseError as error:
        if _is_out_of_memory(error):
            raise ServiceError(doing, got="Redis is out of memory", left=left, next="raise maxmemory, then publish again") from error
        hint = "a key of another type stands there; delete it" if "WRONGTYPE" in str(error) else "read the answer of Redis above"
        raise ServiceError(doing, got=f"the answer {str(error)[:200]!r}", left=left, next=hint) from error
    except RedisError as error:
        hint = "start Redis or correct its address, then publish again"
        raise ServiceError(doing, got=f"no answer ({type(error).__name__})", expected="an answer", left=left, next=hint) from error
