"""Reasons in Redis: their sentences once for the whole generation, and for each entity only numbers that fill them.

Beside an entity's score lies, in a field called `[r]KEY`, a JSON array such as `[3,"64","18",7,"2"]`: each whole number
begins a reason and is a line of the generation's list of sentences, which lies in the field `[t]`; the texts after it
fill the sentence's gaps. So a value keeps under the 64 bytes up to which Redis keeps a hash compact, and the sentences
are written, verified, switched and dropped together with the scores. No key text begins with `[r]` or `[t]`
(`record.key_text`). A sentence of no known pattern stands there whole, under the number -1. Pure and import-light.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from penstock.errors import FailedError
from penstock.publish.layout import BESIDE

LIST_FIELD = "[t]"
_WHOLE = ("", "")
Sentence = tuple[str, ...]
"""Its parts around the gaps: ("last purchase ", " days ago")."""


def field_of(key_text: str) -> str:
    """The field of an entity's reasons."""
    return f"{BESIDE}{key_text}"


class Coder:
    """Turns sentences into numbers and back, by one generation's list."""

    def __init__(self, sentences: Iterable[Sentence]) -> None:
        """`sentences` in any order; the list is sorted, so that the same ones give the same bytes."""
        self.sentences: tuple[Sentence, ...] = tuple(sorted(set(sentences)))
        parts = [f"(?P<s{n}>{'(.+?)'.join(map(re.escape, sentence))})" for n, sentence in enumerate(self.sentences)]
        self._pattern = re.compile("|".join(parts)) if parts else None
        self._coded = lru_cache(maxsize=50_000)(self._code)

    def encode_list(self) -> bytes:
        """The list as the value of `LIST_FIELD`."""
        return json.dumps([list(s) for s in self.sentences], separators=(",", ":"), ensure_ascii=False).encode()

    def encode(self, reasons: Sequence[str]) -> bytes:
        """The value for an entity's field."""
        return json.dumps([part for text in reasons for part in self._coded(text)], separators=(",", ":"), ensure_ascii=False).encode()

    def _code(self, text: str) -> tuple[int | str, ...]:
        found = self._pattern.fullmatch(text) if self._pattern else None
        if found is None or found.lastgroup is None:
            return (-1, text)
        number = int(found.lastgroup[1:])
        first = found.re.groupindex[found.lastgroup]
        return (number, *(found[first + 1 + gap] for gap in range(len(self.sentences[number]) - 1)))


def decode_list(value: bytes) -> tuple[Sentence, ...]:
    """The sentences in a value of `LIST_FIELD`. Raises FailedError for what `encode_list` cannot have written."""
    try:
        found = json.loads(value)
        return tuple(tuple(_text(part) for part in sentence) for sentence in found)
    except (ValueError, TypeError) as error:
        raise _unreadable(value) from error


def decode(value: bytes, sentences: Sequence[Sentence]) -> tuple[str, ...]:
    """The reasons in a value of `Coder.encode`. Raises FailedError for what it cannot have written with this list."""
    try:
        texts: list[str] = []
        gaps: list[str] = []
        parts = json.loads(value)
        if not isinstance(parts, list):
            raise _unreadable(value)
        for part in parts:
            if isinstance(part, int) and not gaps and -1 <= part < len(sentences):
                first, *gaps = _WHOLE if part == -1 else sentences[part]
                texts.append(first)
            elif isinstance(part, str) and gaps:
                texts[-1] += part + gaps.pop(0)
            else:
                raise _unreadable(value)
    except (ValueError, TypeError) as error:
        raise _unreadable(value) from error
    if gaps:
        raise _unreadable(value)
    return tuple(texts)


def _text(part: object) -> str:
    if not isinstance(part, str):
        raise TypeError
    return part


def _unreadable(value: bytes) -> FailedError:
    return FailedError(
        "published reasons",
        got=f"{len(value)} bytes that cannot be read",
        expected="what a publisher of this version writes",
        left="The scores are served as they are",
        next="penstock publish PIPELINE",
    )
