"""Mode `changes` on a real redis-server and a real cluster: the set that readers see is changed in place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import redis

import redis_places as places
from penstock.errors import RefusedError, ServiceError, UsageError
from penstock.publish import changes, lua
from penstock.publish.changes import Change, publish_changes
from penstock.publish.connect import ask, connect
from penstock.publish.generation import Claim, Guards, PublishFacts, PublishReport, Target
from penstock.publish.layout import Keyspace, bucket_of
from penstock.publish.redis import current, publish, rollback
from penstock.publish.server import private_server

AS_OF = datetime(2011, 9, 5, tzinfo=UTC)
KEYS = Keyspace("view-spend")
Table = dict[str, bytes]
BASE: Table = {str(n): b"one %d" % n for n in range(1_000)}
NEWER: Table = {name: value for name, value in BASE.items() if int(name) % 50} | {str(n): b"two %d" % n for n in range(1, 1_200, 7)}


@pytest.fixture(scope="module", params=["one server", "cluster"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "cluster":
        with places.cluster() as nodes:
            yield f"redis+cluster://127.0.0.1:{nodes[0].port}"
    else:
        with private_server() as server:
            yield server.url


@pytest.fixture
def client(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    monkeypatch.setattr(changes, "BATCH_ROWS", 50)
    with connect(url) as client:
        client.flushall()
        yield client


def difference(old: Table, new: Table) -> list[Change]:
    return [(name, new.get(name)) for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]


def facts(table: Table, version: int, **more: Any) -> PublishFacts:
    return PublishFacts(len(table), AS_OF, "3", f"features@{version}", AS_OF, mode="changes", cursor=version, **more)


def put(client: redis.Redis, table: Table, version: int, fence: int, *, asked: list[int] | None = None, **more: Any) -> PublishReport:
    """Publish a version of the table; `asked` notes the cursors that changes were wanted from."""

    def since(cursor: int) -> Iterator[Change]:
        if asked is not None:
            asked.append(cursor)
        return iter(difference({0: {}, 1: BASE, 2: NEWER}[cursor], table))

    given = {"whole": lambda: iter(table.items()), "changed": since, "facts": facts(table, version)} | more
    return publish_changes(client, "view-spend", "g", fence=fence, **given)


def read(client: Any) -> Table:
    """Everything that readers can see; every bucket is looked at."""
    pointer = current(client, "view-spend")
    assert pointer is not None
    found: Table = {}
    for bucket in range(pointer.buckets):
        fields = client.hgetall(KEYS.bucket(pointer.generation, bucket))
        fields.pop(b"[v]", None)
        assert all(bucket_of(name, pointer.buckets) == bucket for name in fields)
        found |= {name.decode(): value for name, value in fields.items()}
    return found


def test_what_changed_is_written_into_the_set_that_readers_see_and_the_cursor_moves(client: redis.Redis) -> None:
    asked: list[int] = []
    first = put(client, BASE, 1, 1, asked=asked)
    assert (first.outcome, first.generation, asked) == ("published", "g-1", [])
    done = put(client, NEWER, 2, 2, asked=asked)
    assert (done.outcome, done.generation, done.count, asked) == ("changed", "g-1", len(NEWER), [1])
    assert read(client) == NEWER
    meta: Any = client.hgetall(KEYS.meta("g-1"))
    assert (meta[b"cursor"], meta[b"count"], meta[b"mode"]) == (b"2", b"%d" % len(NEWER), b"changes")
    assert b"changing" not in meta
    assert put(client, NEWER, 2, 3, asked=asked).outcome == "repeated"
    assert asked == [1]


@pytest.mark.parametrize(
    ("spoil", "more"),
    [
        (lambda client: client.flushall(), {}),
        (lambda client: client.delete(KEYS.bucket("g-1", 3)), {}),
        (lambda client: client.hset(KEYS.bucket("g-1", 3), "stray", b"x"), {}),
        (lambda client: client.hdel(KEYS.meta("g-1"), "cursor"), {}),
        (lambda client: client.hset(KEYS.meta("g-1"), "cursor", 9), {}),
        (lambda _: None, {"shape": "items"}),
        (lambda _: None, {"format": "msgpack"}),
        (lambda _: None, {"columns": ("orders_30d",)}),
    ],
    ids=["empty", "lost bucket", "stray field", "no cursor", "later cursor", "shape", "format", "columns"],
)
def test_what_does_not_fit_is_answered_by_a_whole_generation(client: redis.Redis, spoil: Any, more: dict[str, Any]) -> None:
    put(client, BASE, 1, 1)
    spoil(client)
    asked: list[int] = []
    done = put(client, NEWER, 2, 2, asked=asked, facts=facts(NEWER, 2, **more))
    assert (done.outcome, done.generation, asked) == ("published", "g-2", [])
    assert read(client) == NEWER


def test_changes_that_do_not_lead_to_the_count_are_followed_by_a_whole_generation_at_once(client: redis.Redis) -> None:
    put(client, BASE, 1, 1)
    done = put(client, NEWER, 2, 2, changed=lambda _: (row for row in difference(BASE, NEWER) if row[0] != "100"))
    assert (done.outcome, done.generation) == ("published", "g-2")
    assert read(client) == NEWER


@pytest.mark.parametrize("killed_after", [0, 1, 60, 120, 180])
def test_killed_anywhere_and_repeated_under_a_later_lease_the_content_is_the_same(client: redis.Redis, killed_after: int) -> None:
    put(client, BASE, 1, 1)

    def dies(_: int) -> Iterator[Change]:
        for number, row in enumerate(difference(BASE, NEWER)):
            if number == killed_after:
                raise KeyboardInterrupt
            yield row

    with pytest.raises(KeyboardInterrupt):
        put(client, NEWER, 2, 2, changed=dies)
    asked: list[int] = []
    assert put(client, NEWER, 2, 3, asked=asked).outcome == "changed"
    assert asked == [1]
    assert read(client) == NEWER


def test_killed_between_the_last_write_and_the_facts_it_is_finished_by_a_repetition(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(client, BASE, 1, 1)

    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(changes, "_verify_sample", dies)
        with pytest.raises(KeyboardInterrupt):
            put(client, NEWER, 2, 2)
    assert put(client, NEWER, 2, 2).outcome == "changed"
    assert read(client) == NEWER


def test_a_paused_publisher_that_wakes_overwrites_nothing_newer_and_loses(client: redis.Redis) -> None:
    put(client, BASE, 1, 1)
    middle = BASE | {str(n): b"stale" for n in range(1, 1_200, 7)}

    def paused(_: int) -> Iterator[Change]:
        for number, row in enumerate(difference(BASE, middle)):
            if number == 60:
                put(client, NEWER, 2, 3)
            yield row

    with pytest.raises(RefusedError, match="got lease 2, expected 3"):
        put(client, middle, 2, 2, changed=paused)
    assert read(client) == NEWER


def test_a_bucket_refuses_an_older_lease_by_itself(client: redis.Redis) -> None:
    put(client, BASE, 1, 1)
    put(client, NEWER, 2, 5)
    pointer = current(client, "view-spend")
    assert pointer is not None
    bucket = KEYS.bucket("g-1", bucket_of(b"1", pointer.buckets))
    before: Any = client.hgetall(bucket)
    assert ask(client, "EVAL", lua.CHANGE, 1, bucket, 4, 2, "1", "stale", "8") == [0, 5]
    assert client.hgetall(bucket) == before
    target = Target(KEYS, Claim("g-1", 4, 0, pointer.buckets))
    with pytest.raises(RefusedError, match="got lease 4, expected 5"):
        changes.write(client, target, changes.in_order(changes._batches([("1", b"stale")]), pointer.buckets))
    assert read(client) == NEWER


def test_a_set_changed_in_place_is_not_rolled_back_and_the_message_says_what_to_do(client: redis.Redis) -> None:
    put(client, BASE, 1, 1)
    put(client, NEWER, 2, 2)
    with pytest.raises(RefusedError, match=r"changed in place.*RESTORE the table.*penstock publish view-spend"):
        rollback(client, "view-spend", 3)
    assert read(client) == NEWER


def test_from_changes_back_to_whole_generations_and_again(client: redis.Redis) -> None:
    put(client, BASE, 1, 1)
    whole = replace(facts(NEWER, 2), mode="whole", cursor=None)
    publish(client, "view-spend", "w", NEWER.items(), fence=2, facts=whole)
    assert read(client) == NEWER
    assert put(client, BASE, 1, 3).outcome == "published"
    assert read(client) == BASE
    with pytest.raises(UsageError, match="mode whole"):
        put(client, BASE, 1, 4, facts=whole)


def test_guards_hold_for_changes_too(client: redis.Redis) -> None:
    put(client, BASE, 1, 1)
    few = {name: BASE[name] for name in list(BASE)[:100]}
    with pytest.raises(RefusedError, match=r"got 100, expected at least 50% of the 1000.*--allow-drop"):
        put(client, few, 2, 2)
    assert read(client) == BASE
    with pytest.raises(RefusedError, match="1 over 64 bytes"):
        put(client, BASE | {"5": b"x" * 65}, 2, 3, guards=Guards(max_value_bytes=64))
    assert put(client, few, 2, 4, guards=Guards(allow_drop=True)).outcome == "changed"
    assert read(client) == few


def test_a_change_that_redis_lost_is_noticed(client: redis.Redis) -> None:
    put(client, BASE, 1, 1)
    pointer = current(client, "view-spend")
    assert pointer is not None

    def losing(_: int) -> Iterator[Change]:
        yield "1", b"two 1"
        for n in range(60):
            yield str(2_000 + n), b"new"
        client.hset(KEYS.bucket("g-1", bucket_of(b"1", pointer.buckets)), "1", b"somebody else's")

    with pytest.raises(ServiceError, match="sample of the changes"):
        put(client, BASE, 2, 2, changed=losing)
