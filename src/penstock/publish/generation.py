"""The values that pass through a publication: the lake's facts, the claim under a lease, the running tally, the report; pure."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Literal

SAMPLE_ROWS = 64
Row = tuple[str, bytes]
"""Field and value: key text (`record.key_text`) and score (`record.encode`), or what `publish.reasons` keeps beside them."""


@dataclass(frozen=True)
class PublishFacts:
    """What the lake says about a generation; `count` is its fields: an entity's score is one, its reasons another. `source` names what it was read from, such as `predictions_churn@17`."""

    count: int
    as_of: datetime
    model_version: str
    source: str
    created: datetime
    bucket_fields: int = 100


Outcome = Literal["published", "switched", "repeated", "rolled back"]


@dataclass(frozen=True)
class PublishReport:
    """What was done: `published` wrote a set, `switched` only moved the pointer to a whole one, `repeated` did nothing,
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


@dataclass
class Tally:
    """What has been streamed so far: rows, new fields by Redis's replies, and the rows with the smallest hashes as a sample."""

    rows: int = 0
    added: int = 0
    digest: int = 0
    lowest: list[tuple[int, str, bytes]] = field(default_factory=list)

    def take(self, key: str, value: bytes) -> None:
        """Count one row."""
        mark = int.from_bytes(blake2b(value, digest_size=8, key=blake2b(key.encode(), digest_size=32).digest()).digest(), "big")
        self.rows += 1
        self.digest = (self.digest + mark) % 2**64
        if len(self.lowest) < SAMPLE_ROWS:
            heapq.heappush(self.lowest, (-mark, key, value))
        elif -mark > self.lowest[0][0]:
            heapq.heapreplace(self.lowest, (-mark, key, value))


@dataclass(frozen=True)
class Claim:
    """One publisher's claim: which generation, under which lease, in how many buckets."""

    generation: str
    fence: int
    floor: int
    buckets: int
