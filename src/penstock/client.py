"""What an application imports to read what was published: needs redis alone, no Spark, no pandas, no pydantic.

with ScoreReader("redis://…", "churn") as reader:
    published = reader.get("17850")   # PublishedScore(score=0.62, band='medium', as_of=…, version='3', …, reasons=(…)) or None

`AsyncScoreReader` is the same with `await`; `FeatureReader` and `AsyncFeatureReader` read a feature view that is published.
redis is imported, and the connection made, by the first call and not by the import of this module: an application that
wants this behind it when it starts calls `info()` there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast
from urllib.parse import urlencode

from penstock.errors import ServiceError, UsageError
from penstock.publish.address import Address, parse
from penstock.publish.features import PublishedFeatures
from penstock.publish.items import PublishedItems, Recommended
from penstock.publish.reading import Command, Reading, Steps
from penstock.publish.record import Key, PublishedScore, key_text
from penstock.publish.subject import NothingPublishedError, PublishedInfo, Subject, TooOldError, features_of, longest, scores_of

if TYPE_CHECKING:
    import redis
    import redis.asyncio

__all__ = [
    "AsyncFeatureReader",
    "AsyncScoreReader",
    "FeatureReader",
    "Key",
    "NothingPublishedError",
    "Published",
    "PublishedFeatures",
    "PublishedInfo",
    "PublishedItems",
    "PublishedScore",
    "Recommended",
    "ScoreReader",
    "TooOldError",
]

Published = PublishedScore | PublishedItems
"""What a pipeline publishes: scores, or for a ranking items; one kind in one generation."""

A = TypeVar("A")
T = TypeVar("T")
Age = timedelta | float | None
"""A greatest age, as a timedelta or in seconds; None is any."""


class _Reader(Generic[A]):
    """What the readers share: the steps, and a connection that is made when it is first needed."""

    def __init__(self, server: object, subject: Subject, *, cache_seconds: float, max_age: Age, timeout: float) -> None:
        self._address = parse(server) if isinstance(server, str) else None
        self._timeout, self._max_age, self._making = timeout, longest(max_age), Lock()
        # Any: redis's own annotations leave its raw commands untyped
        self._client: Any = None if self._address else server
        self._reading = Reading(subject, cache_seconds)

    def _steps(self, texts: dict[Key, str], group: str | None, max_age: Age) -> Steps[dict[Key, A | None]]:
        found = yield from self._reading.find(list(texts.values()), group, longest(max_age) or self._max_age)
        return dict(zip(texts, cast("list[A | None]", found), strict=True))


class _BlockingReader(_Reader[A]):
    """Runs the steps over a blocking connection."""

    def get(self, key: Key, *, group: str | None = None, max_age: Age = None) -> A | None:
        """What is published for one entity, or else the fallback of `group`, or everybody's; None when there is none of these.

        Raises NothingPublishedError when there is no set at all, TooOldError when it speaks for an instant longer ago than
        `max_age` (or the reader's own), ServiceError when Redis does not answer.
        """
        return self._run(self._steps({key: key_text(key)}, group, max_age))[key]

    def get_many(self, keys: Iterable[Key], *, group: str | None = None, max_age: Age = None) -> dict[Key, A | None]:
        """The same for several entities, all of one generation. Raises as `get`."""
        return self._run(self._steps({key: key_text(key) for key in keys}, group, max_age))

    def info(self) -> PublishedInfo:
        """The published set as a whole. Raises NothingPublishedError and ServiceError."""
        return self._run(self._reading.info())

    def generation(self) -> str:
        """The name of the published set. Raises as `info`."""
        return self._run(self._reading.generation())

    def close(self) -> None:
        """Close the connections that this reader has opened; a client handed in stays open."""
        if self._address and self._client is not None:
            self._client.close()

    def __enter__(self) -> Self:
        """The reader itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        self.close()

    def _run(self, steps: Steps[T]) -> T:
        with _answered(self._reading.subject.name):
            try:
                commands = next(steps)
                while True:
                    commands = steps.send(self._ask(commands))
            except StopIteration as end:
                return cast("T", end.value)

    def _connect(self) -> None:
        with self._making:  # threads that share a reader share its connections
            if self._client is None:
                self._client = _blocking(cast("Address", self._address), self._timeout)

    def _ask(self, commands: Iterable[Command]) -> list[Any]:
        """One round trip, in a cluster one to each node."""
        if self._client is None:
            self._connect()
        first, *others = commands
        if not others:
            return [self._client.execute_command(*first)]
        pipe = self._client.pipeline(transaction=False)
        for command in (first, *others):
            pipe.execute_command(*command)
        return cast("list[Any]", pipe.execute())


class _AwaitingReader(_Reader[A]):
    """Runs the same steps over an asynchronous connection; the docstrings of `_BlockingReader` hold."""

    async def get(self, key: Key, *, group: str | None = None, max_age: Age = None) -> A | None:
        """As `ScoreReader.get`."""
        return (await self._run(self._steps({key: key_text(key)}, group, max_age)))[key]

    async def get_many(self, keys: Iterable[Key], *, group: str | None = None, max_age: Age = None) -> dict[Key, A | None]:
        """As `ScoreReader.get_many`."""
        return await self._run(self._steps({key: key_text(key) for key in keys}, group, max_age))

    async def info(self) -> PublishedInfo:
        """As `ScoreReader.info`."""
        return await self._run(self._reading.info())

    async def generation(self) -> str:
        """As `ScoreReader.generation`."""
        return await self._run(self._reading.generation())

    async def close(self) -> None:
        """Close the connections that this reader has opened; a client handed in stays open."""
        if self._address and self._client is not None:
            await self._client.aclose()

    async def __aenter__(self) -> Self:
        """The reader itself."""
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        await self.close()

    async def _run(self, steps: Steps[T]) -> T:
        with _answered(self._reading.subject.name):
            try:
                commands = next(steps)
                while True:
                    commands = steps.send(await self._ask(commands))
            except StopIteration as end:
                return cast("T", end.value)

    async def _ask(self, commands: Iterable[Command]) -> list[Any]:
        if self._client is None:
            self._client = _asynchronous(cast("Address", self._address), self._timeout)
        first, *others = commands
        if not others:
            return [await self._client.execute_command(*first)]
        pipe = self._client.pipeline(transaction=False)
        for command in (first, *others):
            pipe.execute_command(*command)
        return cast("list[Any]", await pipe.execute())


class ScoreReader(_BlockingReader[Published]):
    """Reads what one pipeline has published: one round trip a call while the pointer is cached, two otherwise, one more for a gap.

    `cache_seconds` is for how long a new generation may go unseen; a set is always read whole, cached or not. A key that is
    missing under a cached pointer is looked for under the pointer of that moment before it counts as missing, and so is a
    set that is older than `max_age`. A reader may be shared by threads.
    """

    def __init__(
        self,
        server: str | redis.Redis | redis.RedisCluster,
        pipeline: str,
        *,
        cache_seconds: float = 1.0,
        max_age: Age = None,
        timeout: float = 5.0,
    ) -> None:
        """`server` is an address (`publish.address` says which) or a client that returns bytes (`decode_responses` off); `timeout` in seconds, for connecting and for each answer."""
        super().__init__(server, scores_of(pipeline), cache_seconds=cache_seconds, max_age=max_age, timeout=timeout)


class AsyncScoreReader(_AwaitingReader[Published]):
    """`ScoreReader` with `await`; one for each event loop."""

    def __init__(
        self,
        server: str | redis.asyncio.Redis | redis.asyncio.RedisCluster,
        pipeline: str,
        *,
        cache_seconds: float = 1.0,
        max_age: Age = None,
        timeout: float = 5.0,
    ) -> None:
        """As `ScoreReader`."""
        super().__init__(server, scores_of(pipeline), cache_seconds=cache_seconds, max_age=max_age, timeout=timeout)


class FeatureReader(_BlockingReader[PublishedFeatures]):
    """Reads a feature view that is published, as `ScoreReader` reads scores: `get(key)["orders_30d"]`, `get(key).as_of`."""

    def __init__(
        self,
        server: str | redis.Redis | redis.RedisCluster,
        view: str,
        *,
        cache_seconds: float = 1.0,
        max_age: Age = None,
        timeout: float = 5.0,
    ) -> None:
        """As `ScoreReader`."""
        super().__init__(server, features_of(view), cache_seconds=cache_seconds, max_age=max_age, timeout=timeout)


class AsyncFeatureReader(_AwaitingReader[PublishedFeatures]):
    """`FeatureReader` with `await`; one for each event loop."""

    def __init__(
        self,
        server: str | redis.asyncio.Redis | redis.asyncio.RedisCluster,
        view: str,
        *,
        cache_seconds: float = 1.0,
        max_age: Age = None,
        timeout: float = 5.0,
    ) -> None:
        """As `ScoreReader`."""
        super().__init__(server, features_of(view), cache_seconds=cache_seconds, max_age=max_age, timeout=timeout)


def _blocking(address: Address, timeout: float) -> Any:
    import redis
    from redis.backoff import NoBackoff
    from redis.cluster import ClusterNode
    from redis.retry import Retry

    return _connected(address, timeout, redis, ClusterNode, Retry(NoBackoff(), 1))


def _asynchronous(address: Address, timeout: float) -> Any:
    import redis.asyncio
    from redis.asyncio.cluster import ClusterNode
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    return _connected(address, timeout, redis.asyncio, ClusterNode, Retry(NoBackoff(), 1))


def _connected(address: Address, timeout: float, library: Any, node: Any, retry: Any) -> Any:
    """A client of the library's blocking or asynchronous half: they call everything alike. Connections are tried once more, since a server may have been restarted since the last call."""
    common = {"socket_connect_timeout": timeout, "socket_timeout": timeout, "protocol": 2}
    try:
        if address.kind == "server":
            return library.Redis.from_url(address.url, retry=retry, **common)
        common |= library.connection.parse_url(f"redis://?{urlencode(address.options)}")
    except ValueError:
        # `from None`: the library's message may quote a part of the address, and with it the password
        raise UsageError("Redis address", got="a malformed option", expected="those that redis-py takes in an address") from None
    if address.tls:
        common["ssl"] = True
    if address.kind == "cluster":
        nodes = [node(host, port) for host, port in address.nodes]
        return library.RedisCluster(startup_nodes=nodes, **common, **address.credentials)
    apart = {**common, **address.sentinel_credentials}
    sentinel = library.Sentinel(address.nodes, sentinel_kwargs=apart, db=address.db, **common, **address.credentials)
    return sentinel.master_for(address.service, retry=retry)


@contextmanager
def _answered(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        from redis.exceptions import RedisClusterException, RedisError, ResponseError

        if isinstance(error, ResponseError):
            raise ServiceError(what, got=f"the answer {str(error)[:200]!r}", next="see to the Redis server") from error
        if isinstance(error, RedisError | RedisClusterException):
            raise ServiceError(what, got=f"no answer ({type(error).__name__})", next="start Redis, repeat") from error
        raise
