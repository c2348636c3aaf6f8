"""What the lake says of a whole generation, as readers find it beside the values; pure and import-light."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeVar, get_args

from penstock.errors import FailedError, UsageError
from penstock.publish.packing import FORMATS, Format, text

Shape = Literal["score", "items", "features"]
Mode = Literal["whole", "changes"]
_SHAPES: tuple[Shape, ...] = get_args(Shape)
_MODES: tuple[Mode, ...] = get_args(Mode)
T = TypeVar("T", bound=str)
FALLBACK = "[f]"
"""The field of the value for entities without one; no key text begins so (`record.key_text`)."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One generation: its number of fields, what its values are and speak for, and since when it is there.

    `columns` are the names of features, in the order of the values; empty for other shapes. A generation of mode `changes`
    is written on under the same name, so that its facts change too.
    """

    count: int
    as_of: datetime
    model_version: str
    source: str
    created: datetime
    shape: Shape = "score"
    format: Format = "json"
    columns: tuple[str, ...] = ()
    mode: Mode = "whole"


def fallback_field(group: str = "") -> str:
    """The field of the fallback of a group; of everybody's without one. UsageError for text that UTF-8 cannot hold."""
    try:
        group.encode()
    except (UnicodeEncodeError, AttributeError):
        raise UsageError("group", got="no text that UTF-8 can hold", expected="the name of a group") from None
    return f"{FALLBACK}{group}"


def parse_facts(fields: Mapping[bytes, bytes]) -> Facts | None:
    """The facts in a hash read whole; None when there are none. FailedError when no publisher of this version can have written them."""
    if not fields:
        return None
    try:
        named = {name.decode(): value.decode() for name, value in fields.items()}
        return Facts(
            int(named["count"]),
            _aware(named["as_of"]),
            named["model_version"],
            named["source"],
            _aware(named["created"]),
            _one_of(_SHAPES, named.get("shape", "score")),
            _one_of(FORMATS, named.get("format", "json")),
            tuple(text(column) for column in json.loads(named.get("columns", "[]"))),
            _one_of(_MODES, named.get("mode", "whole")),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise FailedError(
            "facts of the published generation",
            got=f"{len(fields)} fields that cannot be read",
            expected="those of a publisher of this version",
            left="Its values are as they were",
            next="install the version of penstock that published it, or penstock publish PIPELINE",
        ) from error


def _aware(written: str) -> datetime:
    found = datetime.fromisoformat(written)
    if found.tzinfo is None:
        raise ValueError
    return found


def _one_of(known: tuple[T, ...], written: str) -> T:
    return known[known.index(written)]  # a word that is none of them is a ValueError
