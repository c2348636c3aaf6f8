"""Publishing 1,000,000 rows of 60 bytes to a redis-server on loopback: ours against redis-py's pipelines, MSET and `redis-cli --pipe`.

    python bench/publish.py [--rows N] [--rounds N] [--feast PYTHON]     # under 4 minutes; writes bench/results/publish.json
    python bench/publish.py --large 10000000                             # memory of the client for so many rows, streamed

Arms, each in a process of its own with its data prepared before the clock starts; the server is emptied before each:
`ours` from Arrow batches to the last reply (buckets, packing, digest and sample, every reply checked, the fence asked for);
`protocol` the same with counting, verifying and moving the pointer; `set` is redis-py's pipeline(transaction=False) of SET
with hiredis; `mset` MSET of 2,000; `cli` is `redis-cli --pipe` of the very bytes that ours sends, ready in a file. Without
persistence, then with an append-only file flushed every second. CPU seconds are of client and server together.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import redis

sys.path.insert(0, str(Path(__file__).parent))
import _protocol as protocol
import _redis_peers as peers

from penstock.publish.connect import connect
from penstock.publish.content import Batches
from penstock.publish.generation import Claim, PublishFacts, Target
from penstock.publish.layout import Keyspace, bucket_of, buckets_for
from penstock.publish.redis import publish
from penstock.publish.server import find_server
from penstock.publish.wire import in_bucket_order, packets
from penstock.wiring import cache_folder

HERE = Path(__file__).parent
KEYS = Keyspace("churn")
AS_OF = datetime(2011, 9, 5, tzinfo=UTC)
BATCH = 100_000
SAMPLE = 1_000


def batches(rows: int) -> Iterator[pa.RecordBatch]:
    """Rows as an encoder hands them over, not in bucket order."""
    for start in range(0, rows, BATCH):
        numbers = range(start, min(start + BATCH, rows))
        field = pa.array([b"%d" % (17_000_000 + n) for n in numbers], pa.binary())
        yield pa.RecordBatch.from_arrays([field, pa.array([peers.value(n) for n in numbers], pa.binary())], names=["field", "value"])


def target(rows: int) -> Target:
    """As the protocol would choose it."""
    return Target(KEYS, Claim("g1", 1, 0, buckets_for(rows)))


def ours(arm: str, port: int, rows: int) -> None:
    """The child process of an arm of ours. `stream` makes its rows on the way, so that its memory is the writer's own."""
    client = connect(f"redis://127.0.0.1:{port}")
    facts = PublishFacts(rows, AS_OF, "3", "bench", AS_OF)
    prepared = None if arm == "stream" else list(batches(rows))

    def write() -> None:
        assert Batches(prepared or batches(rows)).write(client, target(rows)).added == rows

    def whole() -> None:
        done = publish(client, "churn", "g1", Batches(prepared or batches(rows)), fence=1, facts=facts)
        assert (done.outcome, done.count) == ("published", rows)

    peers.serve(write if arm == "ours" else whole)


class Arm:
    """A child process that does one arm when told."""

    def __init__(self, python: str, script: str, *words: object) -> None:
        command = [python, str(HERE / script), *map(str, words)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.line()

    def line(self, word: str = "") -> str:
        """Say a word, take the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if word:
            print(word, file=self._process.stdin, flush=True)
        said = self._process.stdout.readline().strip()
        if not said:
            raise SystemExit("an arm ended; see its message above")
        return said

    def go(self) -> None:
        """Once."""
        self.line("go")

    def end(self) -> int:
        """Its peak memory in MiB; then it is gone."""
        peak = int(self.line("end")) // 1024
        self._process.terminate()
        self._process.wait()
        return peak


@contextmanager
def server(folder: Path, *options: str) -> Iterator[int]:
    """A redis-server over TCP on loopback; its port."""
    port = 17_379
    command = [str(find_server()), "--port", str(port), "--save", "", "--dir", str(folder), "--auto-aof-rewrite-percentage", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                redis.Redis(port=port).ping()
                break
            except redis.ConnectionError:
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def with_hiredis() -> str:
    """A Python with redis-py and hiredis, in an environment of its own: installed beside ours it would change ours as well."""
    folder = cache_folder() / "bench-redis-peers"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", f"redis=={redis.__version__}", "hiredis"], check=True)
        (folder / "complete").touch()
    return str(python)


def pipe_file(folder: Path, rows: int) -> Path:
    """The bytes that ours sends, for redis-cli."""
    place, to = folder / "commands", target(rows)
    with place.open("wb") as out:
        for batch in batches(rows):
            for packed, _ in packets(in_bucket_order(batch, to.claim.buckets), to):
                out.write(packed.payload)
    return place


def by_cli(port: int, place: Path) -> None:
    """redis-cli --pipe reads its standard input; it says how many replies there were, and how many errors."""
    with place.open("rb") as commands:
        done = subprocess.run(["redis-cli", "-p", str(port), "--pipe"], stdin=commands, capture_output=True, text=True, check=True)
    assert "errors: 0" in done.stdout, done.stdout


def parity(client: Any, arm: str, rows: int) -> None:
    """The same keys and values can be read after every arm."""
    chosen = np.random.default_rng(7).choice(rows, SAMPLE, replace=False).tolist()
    if arm in {"set", "mset"}:
        found = client.mget([peers.key(n) for n in chosen])
        count = client.dbsize()
    else:
        pipe, buckets = client.pipeline(transaction=False), buckets_for(rows)
        for n in chosen:
            field = b"%d" % (17_000_000 + n)
            pipe.hget(KEYS.bucket("g1", bucket_of(field, buckets)), field)
        found = pipe.execute()
        for name in KEYS.buckets("g1", buckets):
            pipe.hlen(name)
        count = sum(pipe.execute())
    assert found == [peers.value(n) for n in chosen], arm
    assert count == rows, (arm, count)


def compare(port: int, rows: int, rounds: int, place: Path, *, look: bool) -> dict[str, Any]:
    """All arms against one server; `look` first does each once to compare what can be read and how much memory it takes."""
    client: Any = redis.Redis(port=port)
    python = with_hiredis()
    children = {name: Arm(sys.executable, "publish.py", "--child", name, "--port", port, "--rows", rows) for name in ("ours", "protocol")}
    children |= {name: Arm(python, "_redis_peers.py", name, port, rows) for name in ("set", "mset")}
    runs: dict[str, Callable[[], object]] = {name: child.go for name, child in children.items()}
    runs["cli"] = lambda: by_cli(port, place)
    memory = {}
    for name, run in runs.items() if look else ():
        client.flushall()
        empty = client.info("memory")["used_memory"]
        run()
        parity(client, name, rows)
        memory[name] = round((client.info("memory")["used_memory"] - empty) / rows, 1)
    found = protocol.interleaved(runs, rounds, warm=0, before=client.flushall)
    client.flushall()
    for name, told in found.items():
        told["rows_per_s"] = round(rows / told["median_s"])
        if look:
            told["bytes_a_row"] = memory[name]
        if name in children:
            told["client_peak_mib"] = children[name].end()
    ratio = {name: round(told["median_s"] / found["ours"]["median_s"], 2) for name, told in found.items()}
    return {"arms": found, "times_ours": ratio}


def large(rows: int) -> dict[str, Any]:
    """The whole protocol over rows made on the way: seconds and the client's peak memory."""
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as port:
        child = Arm(sys.executable, "publish.py", "--child", "stream", "--port", port, "--rows", rows)
        seconds = float(child.line("go"))
        parity(redis.Redis(port=port), "stream", rows)
        return {"rows": rows, "seconds_with_making_the_rows": round(seconds, 1), "client_peak_mib": child.end()}


def main() -> int:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", type=int, default=0)
    parser.add_argument("--feast", help="a Python with feast[redis] and pyarrow: materialises 100,000 rows to the same server")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.child:
        ours(words.child, words.port, words.rows)
        return 0
    kept = protocol.RESULTS / "publish.json"
    before: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    if words.large:
        protocol.write("publish", before | {"large": large(words.large)})
        return 0
    found: dict[str, Any] = {
        "rows": words.rows,
        "value_bytes": len(peers.value(0)),
        "machine": protocol.machine("redis", "pyarrow", "numpy"),
    }
    found["machine"]["server"] = subprocess.run(
        [str(find_server()), "--version"], capture_output=True, text=True, check=True
    ).stdout.strip()
    found |= {name: before[name] for name in ("large", "feast") if name in before}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        place = pipe_file(folder, words.rows)
        with server(folder) as port:
            found["no persistence"] = compare(port, words.rows, words.rounds, place, look=True)
            if words.feast:
                found["feast"] = feast(words.feast, port, folder)
        with server(folder, "--appendonly", "yes", "--appendfsync", "everysec") as port:
            found["append-only file, everysec"] = compare(port, words.rows, words.rounds, place, look=False)
    protocol.write("publish", found)
    return 0


def feast(python: str, port: int, folder: Path) -> dict[str, Any]:
    """Feast's own writing of 100,000 rows to the same server, and ours of as many."""
    done = subprocess.run(
        [python, str(HERE / "_feast_peer.py"), str(port), "100000", str(folder / "feast")], capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    redis.Redis(port=port).flushall()
    child = Arm(sys.executable, "publish.py", "--child", "protocol", "--port", port, "--rows", 100_000)
    found["ours_s"] = [round(float(child.line("go")), 3)]
    for _ in range(len(found["materialize_s"]) - 1):
        redis.Redis(port=port).flushall()
        found["ours_s"].append(round(float(child.line("go")), 3))
    child.end()
    return found


if __name__ == "__main__":
    raise SystemExit(main())
