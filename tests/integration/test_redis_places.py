"""Publishing to a real cluster, through a real Sentinel with a failover, over TLS and as a user with few rights."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis

import redis_places as places
from penstock.errors import RefusedError, ServiceError, UsageError
from penstock.publish import content
from penstock.publish.connect import connect, masters, preflight
from penstock.publish.generation import PublishFacts, PublishReport, Row
from penstock.publish.layout import Keyspace, bucket_of, buckets_for
from penstock.publish.redis import current, publish, rollback

AS_OF = datetime(2011, 9, 5, tzinfo=UTC)
COUNT = 1_000
KEYS = Keyspace("churn")
RIGHTS = "+ping +get +set +hget +hmget +hgetall +hset +hsetnx +hdel +hlen +hexists +unlink +eval +role +info"
CLUSTER_RIGHTS = "+cluster|slots +command"


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[places.Node]]:
    with places.cluster() as nodes:
        yield nodes


@pytest.fixture
def client(nodes: list[places.Node], monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    """An empty cluster; batches are small, so that much can happen between them."""
    monkeypatch.setattr(content, "BATCH_ROWS", 100)
    with connect(f"redis+cluster://127.0.0.1:{nodes[1].port}") as client:
        client.flushall()
        yield client


def rows(generation: str, count: int = COUNT) -> Iterator[Row]:
    return ((str(number), f"{generation} {number}".encode()) for number in range(count))


def put(client: redis.Redis, generation: str, fence: int, given: Iterator[Row] | None = None, count: int = COUNT) -> PublishReport:
    facts = PublishFacts(count, AS_OF, "3", "predictions_churn@1", AS_OF)
    return publish(client, "churn", generation, given or rows(generation, count), fence=fence, facts=facts)


def read(client: Any, count: int = COUNT) -> set[str]:
    """The generations that the values of what readers see are of; all of them are there."""
    pointer = current(client, "churn")
    assert pointer is not None
    found = [client.hget(KEYS.bucket(pointer.generation, bucket_of(str(n).encode(), pointer.buckets)), str(n)) for n in range(count)]
    assert [value.split()[1] for value in found] == [str(n).encode() for n in range(count)]
    return {value.split()[0].decode() for value in found}


def test_a_cluster_takes_a_generation_spread_over_its_masters_and_gives_it_back(client: redis.Redis, nodes: list[places.Node]) -> None:
    assert len(masters(client)) == 3
    for fence, name in enumerate(("g1", "g2", "g3"), start=1):
        done = put(client, name, fence)
    assert (done.outcome, done.dropped, done.previous) == ("published", ("g1",), "g2")
    assert read(client) == {"g3"}
    spread = [sum(node.client.exists(name) for name in (k.decode() for k in node.client.keys("ps:*g3"))) for node in nodes]
    assert all(spread)
    assert sum(spread) == buckets_for(COUNT) + 1  # the buckets, and the facts
    assert rollback(client, "churn", 4).generation == "g2"
    assert read(client) == {"g2"}
    assert put(client, "g2", 5).outcome == "repeated"


def test_slots_that_move_while_a_generation_is_written_cost_nothing_but_a_repetition(client: redis.Redis, nodes: list[places.Node]) -> None:
    def moving() -> Iterator[Row]:
        for number, row in enumerate(rows("g1")):
            if number == 450:
                for bucket in range(3):
                    places.move_slot(nodes, KEYS.bucket("g1", bucket))
            yield row

    assert put(client, "g1", 1, moving()).count == COUNT
    assert read(client) == {"g1"}


def test_a_publisher_overtaken_in_a_cluster_loses_and_what_it_wrote_is_dropped_by_the_next(
    client: redis.Redis, nodes: list[places.Node]
) -> None:
    def overtaken() -> Iterator[Row]:
        for number, row in enumerate(rows("old")):
            if number == 450:
                put(client, "new", 2)
            yield row

    with pytest.raises(RefusedError, match="newer lease"):
        put(client, "old", 1, overtaken())
    put(client, "newer", 3)
    assert not [name for node in nodes for name in node.client.keys("*old*")]
    assert read(client) == {"newer"}


def test_one_full_or_evicting_master_of_a_cluster_is_found_before_anything_is_written(
    client: redis.Redis, nodes: list[places.Node]
) -> None:
    used = nodes[2].client.info("memory")["used_memory"]
    nodes[2].client.config_set("maxmemory", used + 100_000)
    try:
        with pytest.raises(ServiceError, match="memory of Redis: got room for"):
            put(client, "g1", 1, count=50_000)
        nodes[2].client.config_set("maxmemory-policy", "allkeys-lru")
        with pytest.raises(ServiceError, match="got allkeys-lru"):
            put(client, "g1", 1)
    finally:
        nodes[2].client.config_set("maxmemory", 0)
        nodes[2].client.config_set("maxmemory-policy", "noeviction")
    assert current(client, "churn") is None


def test_behind_a_sentinel_the_next_publish_finds_the_new_master_after_a_failover() -> None:
    with places.sentinels() as watched, connect(watched.url) as client:
        put(client, "g1", 1)
        assert read(client) == {"g1"}
        master, replica = watched.nodes
        places.until(lambda: replica.client.exists(KEYS.pointer))
        master.process.kill()
        places.until(lambda: watched.master() == replica.port)
        done = put(client, "g2", 2)
        assert (done.outcome, done.previous) == ("published", "g1")
        assert read(replica.client) == {"g2"}
        with pytest.raises(ServiceError, match="no answer"):
            connect(watched.url.replace("/scores", "/nobody"))


def test_over_tls_the_certificate_is_checked() -> None:
    if not places.speaks_tls():
        pytest.skip("no redis-server with TLS on the PATH")
    with places.tls() as (url, certificate):
        with connect(f"{url}?ssl_ca_certs={certificate}") as client:
            put(client, "g1", 1)
            assert read(client) == {"g1"}
        with pytest.raises(ServiceError, match="no answer"):
            connect(url)


def test_in_a_cluster_a_user_needs_two_rights_more(client: redis.Redis, nodes: list[places.Node]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "redis.md").read_text(encoding="utf-8")
    assert CLUSTER_RIGHTS in page
    for node in nodes:
        rights = [*RIGHTS.split(), *CLUSTER_RIGHTS.split()]
        node.client.execute_command("ACL", "SETUSER", "publisher", "reset", "on", ">s3cret", "~ps:*", *rights)
    with connect(f"redis+cluster://publisher:s3cret@127.0.0.1:{nodes[0].port}") as few:
        assert put(few, "g1", 1).warnings == ()
    assert read(client) == {"g1"}


@pytest.fixture(scope="module")
def single() -> Iterator[places.Node]:
    with places.server() as node:
        yield node


def test_a_user_needs_the_rights_that_the_page_lists_and_one_with_fewer_is_told_so(single: places.Node) -> None:
    page = (Path(__file__).parents[2] / "docs" / "redis.md").read_text(encoding="utf-8")
    assert RIGHTS in page
    single.client.flushall()
    single.client.execute_command("ACL", "SETUSER", "publisher", "reset", "on", ">s3cret", "~ps:*", *RIGHTS.split())
    with connect(f"redis://publisher:s3cret@127.0.0.1:{single.port}") as client:
        for fence in (1, 2, 3):
            assert put(client, f"g{fence}", fence).warnings == ()
        rollback(client, "churn", 4)
        assert read(client) == {"g2"}
        single.client.execute_command("ACL", "SETUSER", "publisher", "-hset")
        with pytest.raises(ServiceError, match=r"docs/redis\.md") as caught:
            put(client, "g5", 5)
        assert "s3cret" not in str(caught.value)
        assert read(client) == {"g2"}
        single.client.execute_command("ACL", "SETUSER", "publisher", "+hset", "-role", "-info")
        assert preflight(client, 1)[0].startswith("Role and memory of Redis were not checked")
    with pytest.raises(ServiceError, match="wrong user or password"):
        connect(f"redis://publisher:other@127.0.0.1:{single.port}")


@pytest.mark.parametrize(
    "address",
    [
        "redis+sentinel://user:s3cret@127.0.0.1:1",
        "redis+sentinel://user:s3cret@127.0.0.1:port/scores",
        "redis+cluster://user:s3cret@127.0.0.1:port",
        "redis+other://user:s3cret@127.0.0.1:1",
    ],
)
def test_a_malformed_address_is_said_without_the_password(address: str) -> None:
    with pytest.raises(UsageError, match="malformed") as caught:
        connect(address)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("address", ["redis+cluster://user:s3cret@127.0.0.1:1", "redis+sentinel://user:s3cret@127.0.0.1:1/scores"])
def test_a_cluster_or_sentinel_that_is_not_there_is_said_without_the_password(address: str) -> None:
    with pytest.raises(ServiceError, match="no answer") as caught:
        connect(address)
    assert "s3cret" not in str(caught.value)
