"""How a published set is read, without any connection: steps that yield commands, take the replies, and return the answer.

`client.py` runs the same steps over a blocking and over an asynchronous connection. What one list of commands asks for is
one round trip. What is remembered of a generation is one frozen value that is replaced whole, so that threads and tasks may
share a reader. In a cluster the replies of one round trip come from several nodes in no order; therefore nothing is
concluded from a pointer that was not asked for in a round trip after the values.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypeVar

from penstock import clock
from penstock.errors import ServiceError
from penstock.publish.layout import Pointer, bucket_of, parse_pointer
from penstock.publish.reasons import LIST_FIELD, Sentence, decode_list, field_of
from penstock.publish.served import Facts, fallback_field, parse_facts
from penstock.publish.subject import Answer, PublishedInfo, Subject, TooOldError, answer, standing_in, with_reasons

T = TypeVar("T")
Command = tuple[Any, ...]
Steps = Generator[Sequence[Command], list[Any], T]
_TRIES = 5
_GROUPS = 1_000


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
                return self.subject.told(pointer.generation, facts, clock.now())
            pointer = yield from self._pointer()  # dropped meanwhile, or never written
        raise self.subject.without_facts(pointer.generation)

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
            too_old = self._too_old(known, max_age)
            if too_old is not None or not _is_complete(found):
                # Neither a gap nor an age is believed under a pointer read before: the set may have been dropped since.
                pointer = yield from self._pointer()
                # And an age not by facts read before, where a generation is written on.
                outdated = too_old is not None and known.facts is remembered and remembered is not None and remembered.mode == "changes"
                if pointer != known.pointer or outdated:
                    known = _Known(pointer, clock.stopwatch())
                    continue
            if too_old is not None:
                raise too_old
            return self._answers(known, found, groups)
        raise ServiceError(self.subject.name, got=f"{_TRIES} generations in one call", expected="one", next="repeat")

    def _pointer(self) -> Steps[Pointer]:
        (reply,) = yield [("HGETALL", self._keys.pointer)]
        return self._pointed(reply)

    def _pointed(self, reply: Any) -> Pointer:
        pointer = parse_pointer(_table(reply))
        if pointer is None:
            self._known = None
            raise self.subject.nothing()
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

    def _answers(self, known: _Known, found: _Round, groups: tuple[str, ...]) -> list[Answer | None]:
        facts, generation, now = known.facts, known.pointer.generation, clock.now()
        if facts is None:
            raise self.subject.without_facts(generation)
        self.subject.check(facts)
        fallbacks = ((known.fallbacks[group], group) for group in groups)
        taken, group = next((one for one in fallbacks if one[0] is not None), (None, ""))
        fallback = None if taken is None or None not in found.values else standing_in(answer(generation, facts, taken, now), group)
        return [
            fallback if value is None else with_reasons(answer(generation, facts, value, now), why, known.sentences)
            for value, why in zip(found.values, found.reasons, strict=True)
        ]

    def _too_old(self, known: _Known, max_age: timedelta | None) -> TooOldError | None:
        if max_age is None or known.facts is None:
            return None
        return self.subject.too_old(known.pointer.generation, known.facts, clock.now(), max_age)


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


def _table(reply: Any) -> Mapping[bytes, bytes]:
    """A hash read whole: a table already, or, where the client leaves replies as they are, names and values in turn."""
    return reply if isinstance(reply, Mapping) else dict(zip(reply[::2], reply[1::2], strict=True))
