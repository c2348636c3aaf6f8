"""What a reader of published scores waits, while the published set changes under it, beside plain GET and MGET of redis-py.

    python bench/reading.py        # two minutes; a private server, no lake and no Spark

100,000 entities, a whole new generation every two seconds from a process of its own, and eight readers. They are processes:
eight threads of one process would wait for Python's lock and measure that. Each makes its four kinds of call in a random
order with a pause between them, as requests of customers come, so that the two cores are busy and not saturated; plain keys
with the same bytes lie on the same server and are asked for from the same processes. Every answer is checked: all of one
generation, nothing missing. `start` is what an application pays before its first call, above a bare interpreter.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis

sys.path.insert(0, str(Path(__file__).parent))
import _protocol as protocol

from penstock.client import ScoreReader
from penstock.publish.generation import PublishFacts, Row
from penstock.publish.record import PublishedScore, encode
from penstock.publish.redis import connect, publish
from penstock.publish.server import private_server

ENTITIES, READERS, MANY = 100_000, 8, 50
FLIP_SECONDS, SECONDS, PAUSE = 2.0, 75.0, 0.004
AS_OF = datetime(2011, 12, 4, tzinfo=UTC)
START = {
    "reader": "from penstock.client import ScoreReader; ScoreReader('redis://localhost', 'churn')",
    "redis": "import redis",
    "reader and its first client": "from penstock.client import ScoreReader, _blocking, parse; _blocking(parse('redis://localhost'), 1)",
}


def main() -> int:
    """Start times, then the readers beside the publisher."""
    machine = protocol.machine("redis")
    start = {name: above_bare(code) for name, code in START.items()}
    with private_server() as server:
        with connect(server.url) as client:
            version = client.info("server")["redis_version"]  # type: ignore[index]
            generation(client, 0)
            pipe = client.pipeline(transaction=False)
            for key, value in rows("g0"):
                pipe.set(f"raw:{key}", value)
            pipe.execute()
        found = measured(server.url)
    protocol.write(
        "reading",
        {
            "command": "python bench/reading.py",
            "machine": {**machine, "redis_server": version},
            "entities": ENTITIES,
            "readers": READERS,
            "keys_of_get_many": MANY,
            "pause_ms": PAUSE * 1e3,
            "start_ms": start,
            **found,
        },
    )
    return 0 if not (found["errors"] or found["mixed_generations"]) else 1


def measured(url: str) -> dict[str, Any]:
    """Latencies by kind of call, over all readers, and what went wrong."""
    context = mp.get_context("spawn")
    told: Any = context.Queue()
    stop, ready = context.Event(), context.Barrier(READERS + 1)
    publisher = context.Process(target=flip, args=(url, stop, told))
    readers = [context.Process(target=read, args=(url, n, ready, told)) for n in range(READERS)]
    for process in readers:
        process.start()
    ready.wait()
    publisher.start()
    results = [told.get() for _ in readers]
    stop.set()
    flips = told.get()
    for process in (*readers, publisher):
        process.join()
    return {
        "flips": flips,
        "generations_seen_by_a_reader": round(statistics.median(len(r["seen"]) for r in results)),
        "calls": sum(len(taken) for r in results for taken in r["taken"].values()),
        "errors": sum(r["errors"] for r in results),
        "mixed_generations": sum(r["mixed"] for r in results),
        "ms": {kind: percentiles([t for r in results for t in r["taken"][kind]]) for kind in results[0]["taken"]},
    }


def read(url: str, number: int, ready: Any, told: Any) -> None:
    """One reader, for so many seconds."""
    chance, plain = random.Random(number), redis.Redis.from_url(url, protocol=2)
    taken: dict[str, list[float]] = {name: [] for name in ("get", "plain GET", f"get_many of {MANY}", f"plain MGET of {MANY}")}
    seen: set[str] = set()
    errors = mixed = 0
    with ScoreReader(url, "churn") as reader:
        reader.info(), plain.ping()
        ready.wait()
        end = time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            for kind in chance.sample(list(taken), len(taken)):
                keys = [str(chance.randrange(ENTITIES)) for _ in range(MANY if "many" in kind or "MGET" in kind else 1)]
                raw = [f"raw:{key}" for key in keys]
                began = time.perf_counter()
                try:
                    if kind == "get":
                        found: list[Any] = [reader.get(keys[0])]
                    elif kind == "plain GET":
                        found = [plain.get(raw[0])]
                    elif "many" in kind:
                        found = list(reader.get_many(keys).values())
                    else:
                        found = plain.mget(raw)  # type: ignore[assignment]
                except Exception:  # noqa: BLE001 - whatever it is, it is counted
                    errors += 1
                    continue
                taken[kind].append(time.perf_counter() - began)
                errors += None in found
                if "get" in kind:
                    versions = {name for one in found if one is not None for name in (one.version, one.generation)}
                    mixed += len(versions) > 1
                    seen |= versions
                time.sleep(PAUSE)
    told.put({"taken": taken, "seen": seen, "errors": errors, "mixed": mixed})


def flip(url: str, stop: Any, told: Any) -> None:
    """A new generation every two seconds, written whole, until it is told to stop; says how many there were."""
    count = 0
    with connect(url) as client:
        while not stop.is_set():
            began = time.perf_counter()
            count += 1
            generation(client, count)
            stop.wait(max(FLIP_SECONDS - (time.perf_counter() - began), 0))
    told.put(count)


def generation(client: Any, number: int) -> None:
    """Publish one generation, whose values name it."""
    facts = PublishFacts(ENTITIES, AS_OF, "3", "bench", AS_OF)
    publish(client, "churn", f"g{number}", rows(f"g{number}"), fence=number + 1, facts=facts)


def rows(name: str) -> Iterator[Row]:
    """The fields of a generation: one value with the name in it, and scores of four digits."""
    head, tail = encode(PublishedScore(0.5, "medium", AS_OF, name, AS_OF)).split(b"0.5")
    for at in range(ENTITIES):
        yield str(at), head + b"0.%04d" % (1000 + at % 9000 // 10 * 10 + 1) + tail


def percentiles(taken: list[float]) -> dict[str, float]:
    """Milliseconds."""
    cuts = statistics.quantiles(taken, n=1000, method="inclusive")
    return {"p50": round(cuts[499] * 1e3, 3), "p99": round(cuts[989] * 1e3, 3), "p99.9": round(cuts[998] * 1e3, 3), "calls": len(taken)}


def above_bare(code: str, rounds: int = 11) -> dict[str, float]:
    """Median milliseconds of an interpreter that runs the code, less those of one that runs nothing; they take turns."""
    bare, whole = [], []
    for _ in range(rounds):
        bare.append(interpreter("pass"))
        whole.append(interpreter(code))
    medians = [[statistics.median(part) for part in zip(*times, strict=True)] for times in (bare, whole)]
    return {name: round((after - before) * 1e3, 1) for name, before, after in zip(("wall", "cpu"), *medians, strict=True)}


def interpreter(code: str) -> tuple[float, float]:
    """Wall and CPU seconds of a new interpreter."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    raise SystemExit(main())
