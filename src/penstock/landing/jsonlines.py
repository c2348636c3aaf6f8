"""JSON lines: one object a line, in UTF-8. Numbers keep the digits that stand in the file; an absent key is null, and so is empty text.

A line that is no object of plain values has no values at all: it is malformed, and goes to quarantine with the reason.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from penstock.landing.layout import Layout, Tally
from penstock.landing.streams import Hashed, Source, plain

_ROWS = 65_536


def scan(source: Source, raw: Hashed, layout: Layout, tally: Tally) -> None:
    """Counts into `tally`; its header is every key that stands in the file, in order of first sight."""
    del layout
    keys, first = dict[str, None](), ""
    for number, found in _lines(source, raw, tally):
        tally.rows = number
        if isinstance(found, dict):
            keys |= dict.fromkeys(found)
            tally.header = tuple(keys)
        else:
            first = first or f"row {number}: {found}"
    if tally.rows and not keys and tally.fault is None:
        told = f" ({first})" if first else ""
        tally.fault = f"holds no JSON object of plain values{told}; write one a line, without nested ones"


def blocks(source: Source, raw: Hashed, layout: Layout, tally: Tally) -> Iterator[pa.RecordBatch]:
    """The columns as text, block by block, without the malformed lines, which are told in `tally`."""
    kept: list[dict[str, str | None]] = []
    for number, found in _lines(source, raw, tally):
        if isinstance(found, str):
            tally.malformed[number] = found
            continue
        kept.append(found)
        if len(kept) == _ROWS:
            yield _batch(kept, layout)
            kept = []
    if kept or tally.malformed:
        yield _batch(kept, layout)


def _batch(rows: list[dict[str, str | None]], layout: Layout) -> pa.RecordBatch:
    columns = [pa.array([row.get(name) or None for row in rows], pa.string()) for name in layout.physical]
    return pa.RecordBatch.from_arrays(columns, names=list(layout.physical))


def _lines(source: Source, raw: Hashed, tally: Tally) -> Iterator[tuple[int, dict[str, str | None] | str]]:
    """(row number, its values or why it has none); a fault of the file as a whole ends it."""
    number = 0
    try:
        for line in io.TextIOWrapper(plain(raw, source.name), encoding="utf-8-sig"):
            text = line.strip()
            if not text:
                continue
            if number == 0 and text.startswith("["):
                tally.fault = "is a JSON array, expected one object a line; jq -c '.[]' makes them"
                return
            number += 1
            yield number, _values(text)
    except UnicodeDecodeError as error:
        tally.fault = f"is not UTF-8: byte 0x{error.object[error.start]:02X} after row {number}; save it as UTF-8"


def _values(text: str) -> dict[str, str | None] | str:
    try:
        found = json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}"
    if not isinstance(found, dict):
        return f"expected an object, got {_kind(found)}"
    nested = [name for name, value in found.items() if isinstance(value, dict | list)]
    if nested:
        return f"expected plain values, got {_kind(found[nested[0]])} for {nested[0]!r}"
    return {name: ("true" if value else "false") if isinstance(value, bool) else value for name, value in found.items()}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _refuse(word: str) -> str:
    raise ValueError(f"{word} is no number")


def _kind(value: object) -> str:
    return {dict: "an object", list: "a list", str: "a text or number", bool: "true or false"}.get(type(value), "null")
