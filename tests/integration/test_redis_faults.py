"""Faults of a real redis-server while a generation is written: each ends in an error that says what to do, and readers keep their set."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import redis

import redis_places as places
from penstock.errors import RefusedError, ServiceError
from penstock.publish import connect as connecting
from penstock.publish import content
from penstock.publish.connect import connect
from penstock.publish.generation import Claim, Guards, PublishFacts, PublishReport, Row, Target
from penstock.publish.layout import Keyspace, buckets_for
from penstock.publish.link import Link
from penstock.publish.redis import current, publish

AS_OF = datetime(2011, 9, 5, tzinfo=UTC)
COUNT = 1_000
KEYS = Keyspace("churn")


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[places.Node]:
    monkeypatch.setattr(content, "BATCH_ROWS", 50)
    with places.server() as node:
        yield node


def rows(count: int = COUNT, text: str = "value") -> Iterator[Row]:
    return ((str(number), f"{text} {number}".encode()) for number in range(count))


def facts(count: int = COUNT) -> PublishFacts:
    return PublishFacts(count, AS_OF, "3", "predictions_churn@1", AS_OF)


def put(client: redis.Redis, generation: str, fence: int, given: Iterator[Row] | None = None, **more: Any) -> PublishReport:
    return publish(client, "churn", generation, given or rows(), fence=fence, **({"facts": facts()} | more))


def seen(client: redis.Redis) -> str:
    pointer = current(client, "churn")
    return pointer.generation if pointer else ""


def test_a_server_that_is_not_there_is_said_with_the_next_action() -> None:
    with pytest.raises(ServiceError, match=r"no answer.*Next: start Redis or correct its address"):
        connect(f"redis://127.0.0.1:{places.free_port()}")


def test_a_server_that_stops_answering_is_given_up_after_the_time_out_of_the_address(node: places.Node) -> None:
    with connect(f"{node.url}?socket_timeout=0.3") as client:
        put(client, "g1", 1)

        def stopping() -> Iterator[Row]:
            for number, row in enumerate(rows()):
                if number == 400:
                    node.process.send_signal(signal.SIGSTOP)
                yield row

        began = time.monotonic()
        try:
            with pytest.raises(ServiceError, match=r"no answer \(TimeoutError\).*Readers see the set before"):
                put(client, "g2", 2, stopping())
        finally:
            node.process.send_signal(signal.SIGCONT)
        assert time.monotonic() - began < 5
        assert seen(client) == "g1"
        assert put(client, "g2", 2).outcome == "published"


def test_connections_cut_while_writing_are_opened_anew_and_nothing_is_missing(node: places.Node) -> None:
    with connect(node.url) as client:

        def cutting() -> Iterator[Row]:
            for number, row in enumerate(rows()):
                if number in {300, 700}:
                    node.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                yield row

        done = put(client, "g1", 1, cutting())
        assert (done.outcome, done.count) == ("published", COUNT)
        assert sum(client.hlen(name) for name in KEYS.buckets("g1", buckets_for(COUNT))) == COUNT


def test_a_server_killed_while_writing_and_started_again_empty_is_filled_by_the_next_publish(node: places.Node) -> None:
    with connect(node.url) as client:
        put(client, "g1", 1)

        def dying() -> Iterator[Row]:
            yield from rows(500)
            node.process.kill()
            node.process.wait()
            yield from rows()

        with pytest.raises(ServiceError, match=r"no answer.*then publish again"):
            put(client, "g2", 2, dying())
    with places.server(port=node.port), connect(node.url) as client:
        assert seen(client) == ""
        with pytest.raises(RefusedError, match="got lease 1, expected 2"):
            put(client, "g1", 1, floor=2)
        assert put(client, "g2", 2, floor=2).outcome == "published"
        assert seen(client) == "g2"


def test_a_server_that_comes_back_empty_in_the_middle_is_noticed_by_the_count(node: places.Node) -> None:
    with connect(node.url) as client:

        def emptied() -> Iterator[Row]:
            for number, row in enumerate(rows()):
                if number == 500:
                    node.client.flushall()
                    node.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                yield row

        with pytest.raises(ServiceError, match=r"entities of generation g1 in Redis: got \d+, expected 1000"):
            put(client, "g1", 1, emptied())
        assert seen(client) == ""
        assert put(client, "g1", 2).outcome == "published"


def test_memory_that_runs_out_says_what_to_raise_and_is_given_back(node: places.Node, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect(node.url) as client:
        put(client, "g1", 1)
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 400_000)
        monkeypatch.setattr("penstock.publish.redis.preflight", lambda *_: ())
        with pytest.raises(ServiceError, match=r"Redis is out of memory.*Next: raise maxmemory"):
            put(client, "g2", 2, rows(30_000), facts=facts(30_000))
        assert seen(client) == "g1"
        assert not client.exists(*KEYS.buckets("g2", buckets_for(30_000)))


def test_a_master_that_becomes_a_replica_while_writing_is_said_with_the_address_to_give(node: places.Node) -> None:
    with connect(node.url) as client:
        put(client, "g1", 1)

        def demoted() -> Iterator[Row]:
            for number, row in enumerate(rows()):
                if number == 400:
                    node.client.replicaof("127.0.0.1", "1")
                yield row

        with pytest.raises(ServiceError, match=r"(?i)read.?only.*Next: give the primary's address"):
            put(client, "g2", 2, demoted())
        node.client.replicaof("NO", "ONE")
        assert seen(client) == "g1"


def test_an_error_reply_in_the_middle_of_a_payload_is_raised_as_it_is_and_leaves_no_replies_for_others(node: places.Node) -> None:
    with connect(node.url) as client:
        target = Target(KEYS, Claim("g1", 1, 0, 10))
        client.set(KEYS.bucket("g1", 4), "no hash")
        with connecting.answered("write"):
            for _ in range(3):
                with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
                    content.of_rows(rows()).write(client, target)
                assert client.ping() is True
        with Link(client, target) as link:
            link.finish()


def test_an_empty_set_and_a_large_drop_are_refused_and_can_be_allowed(node: places.Node) -> None:
    with connect(node.url) as client:
        put(client, "g1", 1, facts=replace(facts(), entities=1_000))
        with pytest.raises(RefusedError, match="an empty generation would wipe what the applications read") as empty:
            put(client, "g2", 2, iter(()), facts=facts(0))
        assert "--allow-empty" in empty.value.next
        with pytest.raises(RefusedError, match="got 499, expected at least 50% of the 1000 that readers have") as drop:
            put(client, "g2", 2, rows(499), facts=facts(499))
        assert "--allow-drop" in drop.value.next
        assert seen(client) == "g1"
        # Half as many fields, but the same entities: they only lost their reasons.
        assert put(client, "g2", 2, rows(100), facts=replace(facts(100), entities=1_000)).outcome == "published"
        assert put(client, "g3", 3, rows(10), facts=facts(10), guards=Guards(allow_drop=True)).count == 10
        done = put(client, "g4", 4, iter(()), facts=facts(0), guards=Guards(allow_empty=True))
        assert (done.count, seen(client)) == (0, "g4")
        assert put(client, "g5", 5).outcome == "published"


def test_values_over_the_bound_are_counted_and_never_shown(node: places.Node) -> None:
    with connect(node.url) as client:
        put(client, "g1", 1)

        def long() -> Iterator[Row]:
            yield from (("secret-key", b"x" * 65) if number % 400 == 7 else row for number, row in enumerate(rows(text="v")))

        with pytest.raises(RefusedError, match=r"got 3 over 64 bytes, expected none \(publish\.redis\.max_value_bytes\)") as caught:
            put(client, "g2", 2, long(), guards=Guards(max_value_bytes=64))
        assert "secret" not in str(caught.value)
        assert seen(client) == "g1"
        assert not client.exists(*KEYS.buckets("g2", buckets_for(COUNT)))


def test_the_facts_say_how_values_are_read(node: places.Node) -> None:
    with connect(node.url) as client:
        put(client, "g1", 1)
        plain: Any = client.hgetall(KEYS.meta("g1"))
        assert (plain[b"shape"], plain[b"format"], plain[b"mode"]) == (b"score", b"json", b"whole")
        assert not {b"columns", b"cursor", b"entities"} & plain.keys()
        put(client, "g2", 2, facts=replace(facts(), shape="features", format="msgpack", columns=("orders_30d", "größe"), entities=900))
        told: Any = client.hgetall(KEYS.meta("g2"))
        assert (told[b"shape"], told[b"format"], told[b"entities"]) == (b"features", b"msgpack", b"900")
        assert told[b"columns"].decode() == '["orders_30d","größe"]'
