"""What an application imports to read published scores: needs redis alone, no Spark, no pandas, no pydantic.

with ScoreReader("redis://…", "churn") as reader:
published = reader.get("17850")   # PublishedScore(score=0.62, band='medium', as_of=…, version='3', …, reasons=(…)) or None
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import redis
from redis.exceptions import RedisError, ResponseError

from penstock.clock import stopwatch
from penstock.errors import RefusedError, ServiceError, UsageError
from penstock.publish.layout import Keyspace, Pointer, bucket_of, parse_pointer
from penstock.publish.reasons import LIST_FIELD, Sentence, decode_list, field_of
from penstock.publish.reasons import decode as decode_reasons
from penstock.publish.record import Key, PublishedScore, decode, key_text

__all__ = ["Key", "NothingPublishedError", "PublishedScore", "ScoreReader"]

_TRIES = 5


class NothingPublishedError(RefusedError):
    """No generation of this pipeline is in Redis: not the same as a key without a score."""


class ScoreReader:
    """Reads one pipeline's published scores; two round trips a call, one while the pointer is cached.

    `cache_seconds` is for how long a new generation may go unseen; a set is always read whole, cached or not, except
    that a cached one older than the last two publications may be gone, which is noticed and answered from the newest.
    """

    def __init__(self, server: str | redis.Redis, pipeline: str, *, cache_seconds: float = 0.0) -> None:
        """`server` is an address or a client that returns bytes (`decode_responses` off)."""
        self._opened_here = isinstance(server, str)
        # Any: redis's own annotations leave its raw commands untyped
        self._client: Any = _client(server) if isinstance(server, str) else server
        self._keys = Keyspace(pipeline)
        self._cache_seconds = cache_seconds
        self._cached: tuple[float, Pointer] | None = None
        self._sentences: tuple[str, tuple[Sentence, ...]] = ("", ())

    def get(self, key: Key) -> PublishedScore | None:
        """The score of one entity; None when the published set has none for it (unknown, out of population, control group).

        Raises NothingPublishedError when there is no set at all, ServiceError when Redis does not answer.
        """
        return self.get_many((key,))[key]

    def get_many(self, keys: Iterable[Key]) -> dict[Key, PublishedScore | None]:
        """The scores of several entities, all of one generation. Raises as `get`."""
        texts = {key: key_text(key).encode() for key in keys}
        with _answered(self._keys.pipeline):
            pointer = self._pointer()
            for _ in range(_TRIES):
                values, reasons, sentences = self._values(pointer, list(texts.values()))
                if None not in values and (sentences is not None or not any(reasons)):
                    break
                newer = self._read_pointer()
                # The same generation before and after: it was there all the time, and the key is not in it.
                if newer.generation == pointer.generation:
                    break
                pointer = newer
            else:
                raise ServiceError(
                    f"scores of {self._keys.pipeline}", got=f"{_TRIES} generations in one call", expected="one", next="repeat"
                )
        found = zip(texts, values, reasons, strict=True)
        return {key: None if value is None else _score(value, why, pointer.generation, sentences) for key, value, why in found}

    def generation(self) -> str:
        """The name of the published set. Raises as `get`."""
        with _answered(self._keys.pipeline):
            return self._read_pointer().generation

    def close(self) -> None:
        """Close the connections that this reader has opened; a client handed in stays open."""
        if self._opened_here:
            self._client.close()

    def __enter__(self) -> Self:
        """The reader itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        self.close()

    def _pointer(self) -> Pointer:
        if self._cached is not None and stopwatch() - self._cached[0] < self._cache_seconds:
            return self._cached[1]
        return self._read_pointer()

    def _read_pointer(self) -> Pointer:
        pointer = parse_pointer(self._client.execute_command("HGETALL", self._keys.pointer))
        if pointer is None:
            self._cached = None
            name = self._keys.pipeline
            raise NothingPublishedError(f"scores of {name} in Redis", got="nothing published", next=f"penstock run {name} --as-of DATE")
        self._cached = (stopwatch(), pointer)
        return pointer

    def _values(self, pointer: Pointer, texts: list[bytes]) -> tuple[list[bytes | None], list[bytes | None], tuple[Sentence, ...] | None]:
        """Scores, reasons and the generation's sentences, all in one round trip; the sentences are asked for once a generation."""
        known = self._sentences[1] if self._sentences[0] == pointer.generation else None
        pipe = self._client.pipeline(transaction=False)
        for text in texts:
            bucket = self._keys.bucket(pointer.generation, bucket_of(text, pointer.buckets))
            # Both by one command: they are in one bucket, and are there or gone together.
            pipe.execute_command("HMGET", bucket, text, field_of(text.decode()))
        if known is None:
            pipe.execute_command("HGET", self._keys.bucket(pointer.generation, bucket_of(LIST_FIELD.encode(), pointer.buckets)), LIST_FIELD)
        found: list[Any] = pipe.execute()
        if known is None and (told := found.pop()) is not None:
            known = decode_list(told)
            self._sentences = (pointer.generation, known)
        return [score for score, _ in found], [why for _, why in found], known


def _score(value: bytes, reasons: bytes | None, generation: str, sentences: tuple[Sentence, ...] | None) -> PublishedScore:
    score = decode(value, generation)
    # Without its list a generation is being dropped, or damaged: the score is whole all the same.
    return score if reasons is None or sentences is None else replace(score, reasons=decode_reasons(reasons, sentences))


def _client(url: str) -> redis.Redis:
    try:
        return redis.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=5, protocol=2)
    except ValueError:
        # `from None`: the library's message may quote a part of the address, and with it the password
        raise UsageError("Redis address", got="a malformed address", expected="redis://, rediss:// or unix://") from None


@contextmanager
def _answered(pipeline: str) -> Iterator[None]:
    try:
        yield
    except ResponseError as error:
        raise ServiceError(
            f"scores of {pipeline} in Redis", got=f"the answer {str(error)[:200]!r}", next="see to the Redis server"
        ) from error
    except RedisError as error:
        raise ServiceError(
            f"scores of {pipeline} in Redis", got=f"no answer ({type(error).__name__})", next="start Redis, repeat"
        ) from error
