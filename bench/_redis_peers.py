"""Peers of bench/publish.py that need redis-py alone, so that they run in an environment with hiredis: `python _redis_peers.py ARM PORT ROWS`.

Prepares its data, says `ready`, then answers each line `go` with the seconds it took and `end` with its peak memory.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import redis

PIPELINE = 2_000
MSET = 2_000


def key(number: int) -> str:
    """As in bench/publish.py, with the name that every key needs when there are no buckets."""
    return f"ps:{{churn}}:g1:{17_000_000 + number}"


def value(number: int) -> bytes:
    """60 bytes, as in bench/publish.py."""
    return b'[0.%04d,"medium",1315180800,"3",1315180800]%s' % (number % 10_000, b"%017d" % number)


def by_pipeline(client: redis.Redis, keys: list[str], values: list[bytes]) -> None:
    """SET in pipelines without transaction."""
    for start in range(0, len(keys), PIPELINE):
        pipe = client.pipeline(transaction=False)
        for name, content in zip(keys[start : start + PIPELINE], values[start : start + PIPELINE], strict=True):
            pipe.set(name, content)
        assert all(pipe.execute())


def by_mset(client: redis.Redis, keys: list[str], values: list[bytes]) -> None:
    """MSET of 2,000 pairs."""
    for start in range(0, len(keys), MSET):
        assert client.mset(dict(zip(keys[start : start + MSET], values[start : start + MSET], strict=True)))


def peak_kib() -> int:
    """The most memory that this process had resident; `ru_maxrss` would count what its parent had before the exec."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1])


def serve(run: Callable[[], object]) -> None:
    """The line protocol that bench/publish.py speaks with its arms."""
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "go":
            began = time.perf_counter()
            run()
            print(time.perf_counter() - began, flush=True)
        else:
            print(peak_kib(), flush=True)


if __name__ == "__main__":
    import hiredis  # noqa: F401 - without it the peer would not be at its best

    arm, port, rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    client = redis.Redis(port=port)
    names, contents = [key(n) for n in range(rows)], [value(n) for n in range(rows)]
    serve(lambda: {"set": by_pipeline, "mset": by_mset}[arm](client, names, contents))
