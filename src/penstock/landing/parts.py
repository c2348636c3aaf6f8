"""A file whose rows tell their own days, as parts: each day of it lands, and is corrected, as if it had come in a file of its own.

A part is called FILE@DAY. Its digest is over its rows whatever their order, so that a whole export which is delivered again
lands only the days that changed. Rows that tell no day belong to the file's first day, where their fault is found.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

import pyarrow as pa
import pyarrow.compute as pc

from penstock.lake.timeformats import local_day, moment
from penstock.landing.layout import Dating

_GROUPS = ("y", "m", "d", "h", "i", "s", "a", "z")


@dataclass(frozen=True)
class Part:
    """One day's rows of a file."""

    day: date
    digest: str
    rows: int


@dataclass(frozen=True)
class Wanted:
    """A part to land: its name in the lake, and since when it is known."""

    day: date
    name: str
    digest: str
    known_at: datetime


def part_name(file: str, day: date) -> str:
    """What a part is called in the lake."""
    return f"{file}@{day}"


def is_day_of(name: str, file: str) -> bool:
    """Whether a name in the lake is that of a part of this very file, or of a day of this table."""
    return re.fullmatch(re.escape(file) + r"@\d{4}-\d{2}-\d{2}", name, re.ASCII) is not None


def days_of(text: pa.Array, dating: Dating) -> list[date | None]:
    """The local day of each text; None where there is none, or it is no such day."""
    coded = pc.dictionary_encode(text)
    days = [_day(parts, dating) for parts in pc.extract_regex(coded.dictionary, dating.regex).to_pylist()]
    return [None if at is None else days[at] for at in coded.indices.to_pylist()]


def _day(parts: dict[str, str | None] | None, dating: Dating) -> date | None:
    found = None if parts is None else moment({name: parts.get(name) or None for name in _GROUPS})
    if found is None:
        return None
    if found.tzinfo is None and dating.column_zone == dating.zone:
        return found.date()
    try:
        return local_day(found, dating.column_zone, dating.zone)
    except OverflowError:  # the first and last days that there are
        return None


class PartDigests:
    """Gathers rows into parts."""

    def __init__(self, dating: Dating) -> None:
        self._dating = dating
        self._rows: dict[date | None, list[bytes]] = {}

    def add(self, columns: list[pa.Array], dates: pa.Array) -> None:
        """A block of rows: all columns as text, and the one that tells the day among them."""
        whole = pc.binary_join_element_wise(*columns, "\x1f", null_handling="replace", null_replacement="\x00")
        for day, text in zip(days_of(dates, self._dating), whole.to_pylist(), strict=True):
            self._add(day, text)

    def add_malformed(self, errors: Iterable[str]) -> None:
        """Rows that have no values."""
        for error in errors:
            self._add(None, error)

    def _add(self, day: date | None, text: str) -> None:
        self._rows.setdefault(day, []).append(hashlib.blake2b(text.encode(), digest_size=16).digest())

    def parts(self) -> tuple[Part, ...]:
        """The parts in order of day; none when no row tells a day."""
        found = {day: rows for day, rows in self._rows.items() if day is not None}
        if found and None in self._rows:
            found[min(found)] = [*found[min(found)], *self._rows[None]]
        return tuple(Part(day, _digest(rows), len(rows)) for day, rows in sorted(found.items()))


def _digest(rows: list[bytes]) -> str:
    return hashlib.sha256(b"".join(sorted(rows))).hexdigest()
