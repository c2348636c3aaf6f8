"""Where a published generation lies in Redis: key names, bucket numbers and the pointer; pure and import-light.

ps:{PIPELINE:b}:GEN        hash: key text → value, for keys with crc32 mod BUCKETS = b (each bucket in one cluster slot), and beside
                           it `[r]KEY` → the entity's reasons; in one bucket also `[t]`, see `publish.reasons`; `[v]` → the
                           last writer's lease where a bucket was changed in place
ps:{PIPELINE}:current      hash: the pointer, see `Pointer`
ps:{PIPELINE}:fence        the highest lease number that has begun to publish
ps:{PIPELINE}:generations  hash: generation → "FENCE BUCKETS" of everything that may exist; says what to drop
ps:{PIPELINE}:gen:GEN      hash: facts of a whole generation, written after it was verified
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from zlib import crc32

from penstock.errors import FailedError, UsageError

BESIDE = "[r]"
"""Begins the field of an entity's reasons; no key text begins so (`record.key_text`)."""
WRITER = "[v]"
"""In a bucket that mode `changes` has written into: the lease number of the last that did."""

_PIPELINE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_GENERATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Keyspace:
    """The names of one pipeline's keys. The four control keys share a cluster slot, so that a script may use them together."""

    pipeline: str

    def __post_init__(self) -> None:
        """Refuse a name that could change the cluster slot or reach another pipeline."""
        if not _PIPELINE.fullmatch(self.pipeline):
            raise UsageError("pipeline", got=repr(self.pipeline), expected="a letter, then letters, digits, _ or -")

    @property
    def pointer(self) -> str:
        """Name of the pointer that readers follow."""
        return f"ps:{{{self.pipeline}}}:current"

    @property
    def fence(self) -> str:
        """Name of the highest lease number that has begun."""
        return f"ps:{{{self.pipeline}}}:fence"

    @property
    def registry(self) -> str:
        """Name of the list of generations that may exist."""
        return f"ps:{{{self.pipeline}}}:generations"

    def meta(self, generation: str) -> str:
        """Name of the facts of one generation."""
        return f"ps:{{{self.pipeline}}}:gen:{generation}"

    def bucket(self, generation: str, number: int) -> str:
        """Name of one bucket."""
        return f"ps:{{{self.pipeline}:{number}}}:{generation}"

    def buckets(self, generation: str, count: int) -> Iterator[str]:
        """Names of buckets 0 … count-1."""
        return (self.bucket(generation, number) for number in range(count))


@dataclass(frozen=True, slots=True)
class Pointer:
    """What readers follow: the current generation and its number of buckets, the lease that moved it, and the way back.

    `moved_by` is `publish` or `rollback`; `previous` is "" when there is no generation to go back to.
    """

    generation: str
    buckets: int
    fence: int
    moved_by: str
    previous: str = ""
    previous_buckets: int = 0


def check_generation(generation: str) -> str:
    """The name itself. Raises UsageError for one that does not stand alone in a key."""
    if not _GENERATION.fullmatch(generation):
        raise UsageError("generation", got=repr(generation), expected="up to 64 letters, digits, '.', '_' or '-'")
    return generation


def buckets_for(count: int, bucket_fields: int = 100) -> int:
    """Number of buckets for `count` fields at about `bucket_fields` each, at least one.

    Redis keeps a hash compact up to `hash-max-listpack-entries` fields (128 in some versions, 512 in others): with 100
    on average nearly all buckets stay under either.
    """
    return max(1, -(-count // bucket_fields))


def bucket_of(field: bytes, buckets: int) -> int:
    """The bucket of a key's UTF-8 text, and of what stands beside it: the same in every process and language."""
    return crc32(field.removeprefix(BESIDE.encode())) % buckets


def parse_pointer(fields: Mapping[bytes, bytes]) -> Pointer | None:
    """The pointer in a hash read whole; None when nothing is published. FailedError when it was not written by a publisher."""
    if not fields:
        return None
    try:
        return Pointer(
            generation=fields[b"generation"].decode(),
            buckets=int(fields[b"buckets"]),
            fence=int(fields[b"fence"]),
            moved_by=fields[b"moved_by"].decode(),
            previous=fields[b"previous"].decode(),
            previous_buckets=int(fields[b"previous_buckets"]),
        )
    except (KeyError, ValueError) as error:
        raise FailedError(
            "pointer of the published generation",
            got=f"{len(fields)} fields that cannot be read",
            expected="generation, buckets, fence, moved_by, previous, previous_buckets",
            left="The buckets are as they were",
            next="delete the pointer in Redis, then penstock publish PIPELINE",
        ) from error
