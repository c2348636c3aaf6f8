"""Which generations Redis keeps, whether they are whole, and the dropping of those that nobody needs: by computed names, never by KEYS or SCAN."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from penstock.publish.connect import Client, ask, table
from penstock.publish.facts import text_of
from penstock.publish.generation import Claim
from penstock.publish.layout import WRITER, Keyspace, Pointer

ASK_NAMES = 5_000
WRONG = "wrong"
"""In the facts of a generation: what an audit found. It counts as not whole, and the next publisher writes it anew."""


def each(client: Client, commands: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
    """The replies to many commands of one key each; in a cluster they go to their nodes."""
    todo = iter(commands)
    while batch := list(islice(todo, ASK_NAMES)):
        pipe = client.pipeline(transaction=False)
        for command in batch:
            ask(pipe, *command)
        yield from pipe.execute()


def unlink(client: Client, names: Iterable[str]) -> None:
    """Remove keys by name, one command each, since the buckets of a cluster lie in different slots."""
    for _ in each(client, (("UNLINK", name) for name in names)):
        pass


def fields(client: Client, keys: Keyspace, generation: str, buckets: int, mode: str) -> int:
    """Fields of a generation, exactly; the writer's mark that mode `changes` puts into a bucket is none."""
    total = sum(each(client, (("HLEN", name) for name in keys.buckets(generation, buckets))))
    if mode == "changes":
        total -= sum(each(client, (("HEXISTS", name, WRITER) for name in keys.buckets(generation, buckets))))
    return int(total)


def whole_meta(client: Client, keys: Keyspace, generation: str) -> dict[bytes, bytes] | None:
    """The facts of a generation that was verified, still has every field, and that no audit found wrong; None otherwise."""
    meta = table(client, keys.meta(generation))
    if (
        meta
        and WRONG.encode() not in meta
        and fields(client, keys, generation, int(meta[b"buckets"]), text_of(meta, "mode")) == int(meta[b"count"])
    ):
        return meta
    return None


def drop_leftovers(client: Client, keys: Keyspace, claim: Claim, pointer: Pointer | None) -> tuple[str, ...]:
    """Drop registered generations that are neither current nor previous nor begun under a newer lease; returns their names."""
    # The claimed generation, when not the one readers see, is about to be written anew: what a killed run left of it goes.
    kept = {pointer.generation, pointer.previous} - ({claim.generation} - {pointer.generation}) if pointer else set()
    dropped = []
    for name, entry in sorted(table(client, keys.registry).items()):
        generation, (fence, buckets) = name.decode(), map(int, entry.split())
        if generation in kept or fence > claim.fence:
            continue
        # The registry's entry goes last: killed in between, the next publisher drops the rest.
        unlink(client, keys.buckets(generation, buckets))
        unlink(client, (keys.meta(generation),))
        ask(client, "HDEL", keys.registry, generation)
        dropped.append(generation)
    return tuple(name for name in dropped if name != claim.generation)


def begun(client: Client, keys: Keyspace) -> int:
    """The highest lease number that has begun to publish."""
    return int(ask(client, "GET", keys.fence) or 0)
