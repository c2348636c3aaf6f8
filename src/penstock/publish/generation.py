"""The values that pass through a publication: the lake's facts, the claim under a lease, the running tally, the report; pure."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Literal

from penstock.publish.layout import Keyspace

SAMPLE_ROWS = 64
SAMPLE_BYTES = 256 * 1024
MAX_VALUE_BYTES = 524_288
Row = tuple[str, bytes]
"""Field and value: key text (`record.key_text`) and score (`record.encode`), or what `publish.reasons` keeps beside them."""


@dataclass(frozen=True)
class PublishFacts:
    """What the lake says about a generation; `count` is its fields: an entity's score is one, its reasons another. `source` names what it was read from, such as `predictions_churn@17`.

    `entities` is how many entities those fields are of, where the caller knows; without it the guard against a drop
    compares fields. `shape`, `format` and `columns` say how a value is read, `mode` whether the generation is written
    once or changed in place, `cursor` (mode `changes`) which Delta version its values were read from.
    """

    count: int
    as_of: datetime
    model_version: str
    source: str
    created: datetime
    bucket_fields: int = 100
    entities: int | None = None
    shape: Literal["score", "items", "features"] = "score"
    format: Literal["json", "msgpack"] = "json"
    columns: tuple[str, ...] = ()
    mode: Literal["whole", "changes"] = "whole"
    cursor: int | None = None


@dataclass(frozen=True)
class Guards:
    """What is refused before readers could see it: an empty set, a drop of entities by more than a share, values too long for a cache."""

    allow_empty: bool = False
    allow_drop: bool = False
    max_drop: float = 0.5
    max_value_bytes: int = MAX_VALUE_BYTES
    command: str = ""
    """What a person repeats to publish this, for messages; `penstock publish PIPELINE --as-of DATE` when empty."""


Outcome = Literal["published", "changed", "switched", "repeated", "rolled back"]


@dataclass(frozen=True)
class PublishReport:
    """What was done: `published` wrote a set, `changed` wrote into the set that readers see, `switched` only moved the pointer to a whole one, `repeated` did nothing,
    `rolled back` went to the previous set.

    `digest` identifies keys and values in any order; `dropped` are generations removed; `warnings` are sentences.
    """

    pipeline: str
    generation: str
    outcome: Outcome
    fence: int
    count: int
    buckets: int
    digest: str
    previous: str
    dropped: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tally:
    """What has been written so far: rows, new fields by Redis's replies, and the rows with the smallest hashes as a sample.

    `digest` is the sum of the rows' hashes (`wire.row_hashes`) modulo 2**64, so that the order does not matter. `too_long`
    counts rows that were not written since their value is over the bound.
    """

    rows: int = 0
    added: int = 0
    digest: int = 0
    too_long: int = 0
    lowest: tuple[tuple[int, bytes, bytes], ...] = ()

    def __add__(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(
            self.rows + other.rows,
            self.added + other.added,
            (self.digest + other.digest) % 2**64,
            self.too_long + other.too_long,
            _lowest(self.lowest + other.lowest),
        )


def _lowest(sample: tuple[tuple[int, bytes, bytes], ...]) -> tuple[tuple[int, bytes, bytes], ...]:
    """The rows with the smallest hashes: SAMPLE_ROWS at most, fewer of long values, one at least. Samples of many partitions meet in one process."""
    chosen = heapq.nsmallest(SAMPLE_ROWS, sample)
    sizes = accumulate(len(value) for _, _, value in chosen)
    return tuple(row for at, (row, size) in enumerate(zip(chosen, sizes, strict=True)) if at == 0 or size <= SAMPLE_BYTES)


@dataclass(frozen=True)
class Claim:
    """One publisher's claim: which generation, under which lease, in how many buckets."""

    generation: str
    fence: int
    floor: int
    buckets: int


@dataclass(frozen=True)
class Target:
    """All that a writer needs to know beside the server's address, small enough to travel to a worker."""

    keys: Keyspace
    claim: Claim
    max_value_bytes: int = MAX_VALUE_BYTES

    def control(self) -> tuple[str | int, ...]:
        """Keys and arguments of the scripts that hold the fence."""
        keys, claim = self.keys, self.claim
        return (keys.pointer, keys.fence, keys.registry, claim.fence, claim.floor, claim.generation, claim.buckets)
