"""Does Redis say of a feature view what the lake says? A hashed sample of keys, every column, read back as applications read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from penstock.clock import from_epoch
from penstock.errors import FailedError, ServiceError
from penstock.publish.connect import Client
from penstock.publish.features import PublishedFeatures, plain
from penstock.publish.kept import each
from penstock.publish.packing import seconds
from penstock.publish.reading import Reading, Steps
from penstock.publish.record import key_text
from penstock.publish.subject import features_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

SAMPLE = 100
"""Keys that are compared: those with the smallest hashes, so that every audit of a set takes the same."""
NO_VALUE, UNREADABLE = "no value", "a value that cannot be read"


@dataclass(frozen=True)
class Audit:
    """`rows` were compared, `different` of them had something else in Redis, in these columns (or all of them: `NO_VALUE`, `UNREADABLE`)."""

    rows: int
    different: int
    columns: tuple[str, ...]


def audited(client: Client, view: str, offline: DataFrame, key: Sequence[str], as_of: datetime) -> Audit:
    """The sample's rows of `offline` (the key's columns and the features) beside what readers of the view get for them now."""
    expected = sampled(offline, key)
    texts = [key_text(tuple(row[name] for name in key)) for row in expected]
    columns = [name for name in offline.columns if name not in key]
    faults = [
        list(differing({name: row[name] for name in columns}, as_of, found))
        for row, found in zip(expected, _read(client, view, texts), strict=True)
    ]
    return Audit(len(expected), sum(map(bool, faults)), tuple(dict.fromkeys(name for found in faults for name in found)))


def sampled(offline: DataFrame, key: Sequence[str]) -> list[dict[str, Any]]:
    """The rows with the smallest hashes of their keys; instants aware, in UTC."""
    from pyspark.sql import functions as F

    instants = [name for name, kind in offline.dtypes if kind == "timestamp"]
    lowest = offline.orderBy(F.xxhash64(*key), *key).limit(SAMPLE)
    columns = [F.unix_micros(name).alias(name) if name in instants else F.col(name) for name in offline.columns]
    rows: list[dict[str, Any]] = lowest.select(*columns).toArrow().to_pylist()
    return [row | {name: from_epoch(row[name]) for name in instants if row[name] is not None} for row in rows]


def differing(offline: Mapping[str, object], as_of: datetime, found: PublishedFeatures | str | None) -> Iterator[str]:
    """The columns in which a published row is not the offline one; pure.

    Numbers must be equal to the last digit, decimals as text, instants to the second that is published, lists in order.
    """
    if found is None or isinstance(found, str):
        yield found or NO_VALUE
        return
    if found.as_of != from_epoch(seconds(as_of) * 1_000_000):
        yield "as_of"
    for name, value in offline.items():
        if name not in found.values or not _same(plain(value), found.values[name]):
            yield name
    yield from (name for name in found.values if name not in offline)


def _same(expected: object, found: object) -> bool:
    # True is equal to 1 in Python, and is not the same feature.
    return expected == found and isinstance(expected, bool) == isinstance(found, bool)


def _read(client: Client, view: str, texts: Sequence[str]) -> list[PublishedFeatures | str | None]:
    """What a reader gets; one that it cannot decode must not hide the others."""
    reading = Reading(features_of(view), cache_seconds=60)
    try:
        return list(_answers(client, reading.find(texts, None, None)))
    except FailedError as error:
        if isinstance(error, ServiceError):
            raise
    return [_one(client, reading, text) for text in texts]


def _one(client: Client, reading: Reading, text: str) -> PublishedFeatures | str | None:
    try:
        (found,) = _answers(client, reading.find([text], None, None))
    except FailedError as error:
        if isinstance(error, ServiceError):
            raise
        return UNREADABLE
    return found


def _answers(client: Client, steps: Steps[Any]) -> list[PublishedFeatures | None]:
    """Run a reader's steps over the publisher's own connection."""
    try:
        commands = next(steps)
        while True:
            commands = steps.send(list(each(client, commands)))
    except StopIteration as end:
        found: list[PublishedFeatures | None] = end.value
        return found
