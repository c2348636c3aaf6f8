"""Publishes generations in a process of its own, for tests that kill it or race it: ADDRESS GENERATION FENCE COUNT SECONDS_A_BATCH."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from penstock.publish import content
from penstock.publish import redis as publisher
from penstock.publish.generation import PublishFacts, Row
from penstock.publish.record import PublishedScore, encode, key_text

AS_OF = datetime(2011, 9, 4, 23, tzinfo=UTC)


def rows(count: int, generation: str, pause: float = 0.0) -> Iterator[Row]:
    """`count` rows whose values differ from generation to generation, and name it as their version."""
    for number in range(count):
        if pause and number % content.BATCH_ROWS == 0:
            time.sleep(pause)
        yield key_text(number), encode(PublishedScore(number / count, "low", AS_OF, generation, AS_OF))


def facts(count: int, source: str = "predictions_churn@1") -> PublishFacts:
    """Facts of such rows."""
    return PublishFacts(count, AS_OF, "3", source, AS_OF)


if __name__ == "__main__":
    url, name, lease, size, seconds = sys.argv[1:]
    content.BATCH_ROWS = 500
    publisher.publish(
        publisher.connect(url), "churn", name, rows(int(size), name, float(seconds)), fence=int(lease), facts=facts(int(size))
    )
