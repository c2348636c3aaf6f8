"""Reasons beside scores in a real redis-server: read together, switched together, kept compact."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import redis

from penstock.client import ScoreReader
from penstock.publish.generation import Guards, PublishFacts, Row
from penstock.publish.layout import Keyspace, buckets_for
from penstock.publish.reasons import LIST_FIELD, Coder, field_of
from penstock.publish.record import PublishedScore, encode
from penstock.publish.redis import connect, publish, rollback
from penstock.publish.server import private_server

AS_OF = datetime(2011, 9, 4, 23, tzinfo=UTC)
COUNT = 600


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with private_server() as server:
        yield server.url


@pytest.fixture
def client(url: str) -> Iterator[redis.Redis]:
    with connect(url) as client:
        client.flushall()
        yield client


def sentences(number: int, word: str) -> tuple[str, ...]:
    """Every third entity has no reasons."""
    return (f"{word} {number} days ago, usually every 18", f"orders: {number}", "abroad") if number % 3 else ()


def rows(word: str) -> Iterator[Row]:
    coder = Coder([(f"{word} ", " days ago, usually every ", ""), ("orders: ", ""), ("abroad",)])
    for number in range(COUNT):
        yield str(number), encode(PublishedScore(number / COUNT, "low", AS_OF, word, AS_OF))
        if sentences(number, word):
            yield field_of(str(number)), coder.encode(sentences(number, word))
    yield LIST_FIELD, coder.encode_list()


def put(client: redis.Redis, word: str, fence: int) -> None:
    count = COUNT + COUNT * 2 // 3 + 1
    publish(client, "churn", word, rows(word), fence=fence, facts=PublishFacts(count, AS_OF, "3", "predictions", AS_OF))


def test_a_reader_gets_the_reasons_with_the_score_and_none_where_there_are_none(client: redis.Redis) -> None:
    put(client, "first", 1)
    found = ScoreReader(client, "churn").get_many([str(n) for n in range(COUNT)])
    assert {key: score.reasons for key, score in found.items() if score is not None} == {
        str(n): sentences(n, "first") for n in range(COUNT)
    }
    assert ScoreReader(client, "churn").get("nobody") is None


def test_score_and_reasons_change_together_and_go_back_together(client: redis.Redis) -> None:
    reader = ScoreReader(client, "churn")
    for fence, word in enumerate(("first", "second"), start=1):
        put(client, word, fence)
        found = reader.get("17")
        assert found is not None
        assert (found.version, found.reasons) == (word, sentences(17, word))
    rollback(client, "churn", 3)
    found = reader.get("17")
    assert found is not None
    assert (found.version, found.reasons) == ("first", sentences(17, "first"))


def test_a_reader_with_an_old_pointer_never_gets_a_score_without_its_reasons(client: redis.Redis) -> None:
    put(client, "first", 1)
    old = ScoreReader(client, "churn", cache_seconds=1_000)
    assert old.get("1") is not None
    put(client, "second", 2)
    put(client, "third", 3)  # the first generation is dropped
    found = old.get("17")
    assert found is not None
    assert (found.version, found.reasons) == ("third", sentences(17, "third"))


def test_a_generation_without_reasons_is_read_as_before_and_dropped_ones_leave_nothing(client: redis.Redis) -> None:
    put(client, "first", 1)
    facts = PublishFacts(2, AS_OF, "3", "predictions", AS_OF)
    for fence, name in ((2, "second"), (3, "third")):
        plain = [(key, encode(PublishedScore(0.5, "low", AS_OF, "3", AS_OF))) for key in ("1", "2")]
        publish(client, "churn", name, plain, fence=fence, facts=facts, guards=Guards(allow_drop=True))
    found = ScoreReader(client, "churn").get("1")
    assert found is not None
    assert found.reasons == ()
    assert not [name for name in client.scan_iter(count=10_000) if name.endswith(b":first")]


def test_reasons_leave_the_buckets_compact(client: redis.Redis) -> None:
    put(client, "first", 1)
    keys = Keyspace("churn")
    count = COUNT + COUNT * 2 // 3 + 1
    kinds = [client.object("encoding", name) for name in keys.buckets("first", buckets_for(count))]
    # One bucket may hold the list of sentences, which is longer than a compact hash allows.
    assert sum(kind in {b"listpack", b"ziplist"} for kind in kinds) >= len(kinds) - 1
