"""How a published set is read, without any connection: steps that yield commands, take the replies, and return the answer.

`client.py` runs the same steps over a blocking and over an asynchronous connection. What one list of commands asks for is
one round trip. What is remembered of a generation is one frozen value that is replaced whole, so that threads and tasks may
share a reader. In a cluster the replies of one round trip come from several nodes in no order; therefore nothing is
concluded from a pointer that was not asked for in a round trip after the values.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from penstock import clock
from penstock.errors import FailedError, RefusedError, ServiceError, UsageError
from penstock.publish.features import PublishedFeatures, decode_features
from penstock.publish.items import PublishedItems, decode_items
from penstock.publish.layout import Keyspace, Pointer, bucket_of, parse_pointer
from penstock.publish.packing import Format
from penstock.publish.reasons import LIST_FIELD, Sentence, decode_list, field_of
from penstock.publish.reasons import decode as decode_reasons
from penstock.publish.record import PublishedScore, decode
from penstock.publish.served import Facts, Mode, Shape, fallback_field, parse_facts

T = TypeVar("T")
Command = tuple[Any, ...]
Steps = Generator[Sequence[Command], list[Any], T]
Answer = PublishedScore | PublishedItems | PublishedFeatures
NOT_PUBLISHED = "not in the published set"
_TRIES = 5
_GROUPS = 1_000


class NothingPublishedError(RefusedError):
    """No generation of this pipeline is in Redis: not the same as a key without a value."""


class TooOldError(RefusedError):
    """What is published speaks for an instant longer ago than the caller accepts."""

    retry = True


@dataclass(frozen=True, slots=True)
class PublishedInfo:
    """The published set as a whole: `count` is its fields, `created` when it was written, `age` the time from `as_of` to the reading."""

    pipeline: str
    generation: str
    as_of: datetime
    model_version: str
    count: int
    created: datetime
    source: str
    shape: Shape
    format: Format
    mode: Mode
    columns: tuple[str, ...]
    age: timedelta


@dataclass(frozen=True, slots=True)
class Subject:
    """What a reader reads: its keys in Redis, its name in messages, the shapes that it understands, and the reader of the others."""

    keys: Keyspace
    name: str
    shapes: tuple[Shape, ...]
    other: str
    publish: str


@dataclass(frozen=True, slots=True)
class _Known:
    """What a reader remembers of the generation that it met last; `facts` None is "not asked yet", a group without fallback holds None."""

    pointer: Pointer
    read_at: float
    facts: Facts | None = None
    sentences: tuple[Sentence, ...] | None = None
    fallbacks: Mapping[str, bytes | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Round:
    """What one round trip brought: values and reasons in the order of the texts, and the pointer where it was asked for."""

    known: _Known
    values: list[bytes | None]
    reasons: list[bytes | None]
    pointer: Pointer | None


def scores_of(pipeline: str) -> Subject:
    """A pipeline's scores or items."""
    name = f"scores of {pipeline} in Redis"
    return Subject(Keyspace(pipeline), name, ("score", "items"), "FeatureReader", f"penstock run {pipeline} --as-of DATE")


def features_of(view: str) -> Subject:
    """A feature view's newest rows."""
    name = f"features of {view} in Redis"
    return Subject(Keyspace(f"view-{view}"), name, ("features",), "ScoreReader", f"publish the view {view}")


def longest(age: timedelta | float | None) -> timedelta | None:
    """A greatest age, in seconds when it is a number. UsageError when it is not positive."""
    found = age if isinstance(age, timedelta) or age is None else timedelta(seconds=age)
    if found is not None and found <= timedelta():
        raise UsageError("max_age", got=str(age), expected="more than 0, as seconds or a timedelta")
    return found


class Reading:
    """The steps of one reader, and what it remembers between calls."""

    def __init__(self, subject: Subject, cache_seconds: float) -> None:
        self.subject = subject
        self._keys = subject.keys
        self._cache_seconds = cache_seconds
        self._known: _Known | None = None

    def generation(self) -> Steps[str]:
        """The name of what is published now."""
        pointer = yield from self._pointer()
        return pointer.generation

    def info(self) -> Steps[PublishedInfo]:
        """What is published now."""
        pointer = yield from self._pointer()
        for _ in range(_TRIES):
            (reply,) = yield [("HGETALL", self._keys.meta(pointer.generation))]
            facts = parse_facts(_table(reply))
            if facts is not None:
                return self._told(pointer.generation, facts)
            pointer = yield from self._pointer()  # dropped meanwhile, or never written
        raise self._without_facts(pointer)

    def find(self, texts: Sequence[str], group: str | None, max_age: timedelta | None) -> Steps[list[Answer | None]]:
        """The values under these key texts, all of one generation; what is not there is the fallback of `group`, or everybody's."""
        fields = [text.encode() for text in texts]
        groups = tuple(dict.fromkeys((group or "", "")))
        known = self._known
        settled = known is not None and clock.stopwatch() - known.read_at < self._cache_seconds
        if known is None:
            pointer, settled = (yield from self._pointer()), True
            known = _Known(pointer, clock.stopwatch())
        elif not settled and known.facts is not None and known.facts.mode == "changes":
            known = _Known(known.pointer, known.read_at)  # the same name, but not the same facts and fallbacks
        for _ in range(_TRIES):
            remembered = known.facts
            found = yield from self._round(known, fields, groups, with_pointer=not settled)
            if found.pointer is not None and found.pointer != known.pointer:
                known, settled = _Known(found.pointer, clock.stopwatch()), True
                continue
            known = found.known
            if not settled:
                known, settled = replace(known, read_at=clock.stopwatch()), True
            self._known = known
            too_old = self._too_old(known, max_age) is not None
            if too_old or not _is_complete(found):
                # Neither a gap nor an age is believed under a pointer read before: the set may have been dropped since.
                pointer = yield from self._pointer()
                # And an age not by facts read before, where a generation is written on.
                outdated = too_old and known.facts is remembered and remembered is not None and remembered.mode == "changes"
                if pointer != known.pointer or outdated:
                    known = _Known(pointer, clock.stopwatch())
                    continue
            return self._answers(known, found, groups, max_age)
        raise ServiceError(self.subject.name, got=f"{_TRIES} generations in one call", expected="one", next="repeat")

    def _pointer(self) -> Steps[Pointer]:
        (reply,) = yield [("HGETALL", self._keys.pointer)]
        return self._pointed(reply)

    def _pointed(self, reply: Any) -> Pointer:
        pointer = parse_pointer(_table(reply))
        if pointer is None:
            self._known = None
            raise NothingPublishedError(self.subject.name, got="nothing published", next=self.subject.publish)
        return pointer

    def _round(self, known: _Known, fields: list[bytes], groups: tuple[str, ...], *, with_pointer: bool) -> Steps[_Round]:
        """One round trip: the values, what is not known yet of the generation, and the pointer if it is to be read anew."""
        # Reasons lie in the same bucket; as long as the shape is not known they are asked for as well.
        beside = "score" in self.subject.shapes and (known.facts is None or known.facts.shape == "score")
        commands, places = self._value_commands(known, fields, (b"", _BESIDE) if beside else (b"",))
        takes: list[Callable[[_Known, Any], _Known]] = []
        if known.facts is None:
            commands += [("HGETALL", self._keys.meta(known.pointer.generation)), self._once(known, LIST_FIELD)]
            takes += [lambda it, reply: replace(it, facts=parse_facts(_table(reply))), _with_sentences]
        for group in groups:
            if group not in known.fallbacks:
                commands.append(self._once(known, fallback_field(group)))
                takes.append(_with_fallback(group))
        if with_pointer:
            commands.append(("HGETALL", self._keys.pointer))
        replies = (yield commands) if commands else []
        values, reasons = _placed(replies, places, len(fields))
        pointer = self._pointed(replies[-1]) if with_pointer else None
        for take, reply in zip(takes, replies[len(places) :], strict=False):
            known = take(known, reply)
        return _Round(known, values, reasons, pointer)

    def _value_commands(self, known: _Known, fields: list[bytes], prefixes: tuple[bytes, ...]) -> tuple[list[Command], list[list[int]]]:
        """One command for each bucket, and which of the fields each asks for."""
        buckets: dict[int, list[int]] = {}
        for at, text in enumerate(fields):
            buckets.setdefault(bucket_of(text, known.pointer.buckets), []).append(at)
        commands: list[Command] = [
            ("HMGET", self._keys.bucket(known.pointer.generation, number), *[prefix + fields[at] for prefix in prefixes for at in places])
            for number, places in buckets.items()
        ]
        return commands, list(buckets.values())

    def _once(self, known: _Known, name: str) -> Command:
        return ("HGET", self._keys.bucket(known.pointer.generation, bucket_of(name.encode(), known.pointer.buckets)), name)

    def _answers(self, known: _Known, found: _Round, groups: tuple[str, ...], max_age: timedelta | None) -> list[Answer | None]:
        facts = known.facts
        if facts is None:
            raise self._without_facts(known.pointer)
        self._understood(facts)
        too_old = self._too_old(known, max_age)
        if too_old is not None:
            raise too_old
        now = clock.now()
        return [
            self._fallback(known, facts, groups, now) if value is None else _answer(known, facts, value, why, now)
            for value, why in zip(found.values, found.reasons, strict=True)
        ]

    def _fallback(self, known: _Known, facts: Facts, groups: tuple[str, ...], now: datetime) -> Answer | None:
        for group in groups:
            value = known.fallbacks[group]
            if value is not None:
                return replace(_answer(known, facts, value, None, now), provenance="fallback", why=NOT_PUBLISHED, group=group)
        return None

    def _told(self, generation: str, facts: Facts) -> PublishedInfo:
        return PublishedInfo(
            self._keys.pipeline,
            generation,
            facts.as_of,
            facts.model_version,
            facts.count,
            facts.created,
            facts.source,
            facts.shape,
            facts.format,
            facts.mode,
            facts.columns,
            clock.now() - facts.as_of,
        )

    def _too_old(self, known: _Known, max_age: timedelta | None) -> TooOldError | None:
        if max_age is None or known.facts is None:
            return None
        age = clock.now() - known.facts.as_of
        if age <= max_age:
            return None
        return TooOldError(
            self.subject.name,
            got=f"generation {known.pointer.generation} as of {known.facts.as_of:%Y-%m-%d %H:%M %Z}, {_span(age)} ago",
            expected=f"at most {_span(max_age)}",
            left="Nothing was read from it",
            next=self.subject.publish,
        )

    def _understood(self, facts: Facts) -> None:
        if facts.shape not in self.subject.shapes:
            raise UsageError(
                self.subject.name,
                got=f"values of shape {facts.shape}",
                expected=" or ".join(self.subject.shapes),
                next=f"read them with {self.subject.other}",
            )

    def _without_facts(self, pointer: Pointer) -> FailedError:
        return FailedError(
            self.subject.name,
            got=f"no facts of generation {pointer.generation}",
            expected="those that its publisher wrote",
            left="Its values were not read",
            next=self.subject.publish,
        )


_BESIDE = field_of("").encode()


def _placed(replies: list[Any], places: list[list[int]], count: int) -> tuple[list[bytes | None], list[bytes | None]]:
    values: list[bytes | None] = [None] * count
    reasons: list[bytes | None] = [None] * count
    for bucket, reply in zip(places, replies, strict=False):
        for at, value in zip(bucket, reply, strict=False):
            values[at] = value
        for at, value in zip(bucket, reply[len(bucket) :], strict=False):  # none, where reasons were not asked for
            reasons[at] = value
    return values, reasons


def _with_sentences(known: _Known, reply: bytes | None) -> _Known:
    return replace(known, sentences=None if reply is None else decode_list(reply))


def _with_fallback(group: str) -> Callable[[_Known, Any], _Known]:
    def take(known: _Known, reply: bytes | None) -> _Known:
        # Groups come from the application: a caller who invents them must not fill its memory.
        kept = known.fallbacks if len(known.fallbacks) < _GROUPS else {"": known.fallbacks[""]}
        return replace(known, fallbacks={**kept, group: reply})

    return take


def _is_complete(found: _Round) -> bool:
    """Whether nothing is missing that may only be missing because the set is being dropped."""
    known = found.known
    return known.facts is not None and None not in found.values and (known.sentences is not None or not any(found.reasons))


def _answer(known: _Known, facts: Facts, value: bytes, reasons: bytes | None, now: datetime) -> Answer:
    generation = known.pointer.generation
    if facts.shape == "items":
        return decode_items(value, generation, facts.format, now)
    if facts.shape == "features":
        return decode_features(value, facts.columns, generation, facts.format, now)
    score = decode(value, generation, facts.format, now)
    # Without its list a generation is being dropped, or damaged: the score is whole all the same.
    if reasons is None or known.sentences is None:
        return score
    return replace(score, reasons=decode_reasons(reasons, known.sentences))


def _table(reply: Any) -> Mapping[bytes, bytes]:
    """A hash read whole: a table already, or, where the client leaves replies as they are, names and values in turn."""
    return reply if isinstance(reply, Mapping) else dict(zip(reply[::2], reply[1::2], strict=True))


def _span(time: timedelta) -> str:
    return f"{time / timedelta(days=1):.1f} days" if time >= timedelta(days=2) else f"{time.total_seconds():,.0f} s"
