"""What type a column of text has: whole numbers, decimals with point or comma, dates and times in any usual order, or just text.

A type is told only when every value is of it. Numbers with leading zeros are names and stay text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import product

import pyarrow as pa
import pyarrow.compute as pc

from penstock.lake.expressions import GRAMMAR
from penstock.landing.layout import dating_of
from penstock.landing.parts import days_of

_WHOLE = r"\A[+-]?(0|[1-9][0-9]*)\z"
_POINT = r"\A[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?\z"
_COMMA = r"\A[+-]?([0-9]{1,3}(\.[0-9]{3})+|[0-9]+)(,[0-9]+)?\z"
_BOOLEAN = r"\A(?i:true|false|yes|no)\z"
_DATES = (
    "yyyy-MM-dd",
    "yyyy/MM/dd",
    "dd.MM.yyyy",
    "d.M.yyyy",
    "dd/MM/yyyy",
    "d/M/yyyy",
    "MM/dd/yyyy",
    "M/d/yyyy",
    "dd-MM-yyyy",
    "MM-dd-yyyy",
)
_TIMES = ("HH:mm:ss", "HH:mm", "H:mm:ss", "H:mm", "HH:mm:ss.SSSSSS", "HH:mm:ss.SSSSSSSSS", "hh:mm:ss a", "hh:mm a", "h:mm:ss a", "h:mm a")
_ZONES = ("", "XXX", "XX", " XXX", " XX", " 'UTC'")
_MAX_INT = 200_000_000  # ten times more still fits 32 bits
_MAX_SCALE, _MAX_DIGITS = 9, 18


@dataclass(frozen=True)
class Kind:
    """A column's type in the lake; for dates and times how they are written; for numbers the decimal sign."""

    type: str
    format: str | None = None
    has_offset: bool = False
    in_utc: bool = False
    comma: bool = False
    note: str = ""
    missing: tuple[str, ...] = ()
    """Texts that stand for no value where all others are of the type, such as `NaN`."""


TEXT = Kind("string")

_NO_VALUE = r"\A(?i:nan|n/?a|null|none|nil|#n/a|\\n|-|\?)\z"


def kind_of(values: pa.Array) -> Kind:
    """The type of distinct, non-null texts. Words for no value do not hinder a number or a date."""
    words = no_values(values)
    rest = pc.filter(values, pc.invert(pc.is_in(values, pa.array(words, pa.string()))))
    found = _kind_of_all(values) if not words or len(rest) == 0 else _kind_of_all(rest)
    return TEXT if found.type == "string" else replace(found, missing=words)


def no_values(values: pa.Array) -> tuple[str, ...]:
    """Those of distinct texts that usually stand for no value."""
    return tuple(sorted(pc.filter(values, pc.match_substring_regex(values, _NO_VALUE)).to_pylist()))


def without(column: pa.Array | pa.ChunkedArray, words: Sequence[str]) -> pa.Array | pa.ChunkedArray:
    """The texts with null in place of some words."""
    return pc.if_else(pc.is_in(column, pa.array(words, pa.string())), pa.scalar(None, pa.string()), column) if words else column


def _kind_of_all(values: pa.Array) -> Kind:
    if len(values) == 0:
        return TEXT
    if _all(values, _BOOLEAN):
        return Kind("boolean")
    if _all(values, _WHOLE):
        return _whole(values)
    for comma, pattern in ((False, _POINT), (True, _COMMA)):
        if _all(values, pattern):
            return TEXT if _has_leading_zeros(values) else _decimal(values, comma=comma)
    return time_of(values) or TEXT


def time_of(values: pa.Array, *, compact: bool = False) -> Kind | None:
    """The date or time format of distinct texts; None when there is none. `compact` lets 20230131 be a date."""
    fits = [(day, form) for day, form in _candidates(values[0].as_py(), compact) if _fits(values, form)]
    if not fits:
        return None
    # 03/04/2023 may be either; the one with which the table spans less time is the likelier one.
    spans = [(_span(values, form), at) for at, (_, form) in enumerate(fits)]
    day, form = fits[min(spans)[1]]
    others = sorted(
        {other for other, _ in fits if other.replace("d", "").replace("M", "") == day.replace("d", "").replace("M", "")} - {day}
    )
    swapped = [other for other in others if _day_first(other) != _day_first(day)]
    note = f"every value would also be a date as {swapped[0]}: make sure" if swapped else ""
    clock = form.removeprefix(day)
    return Kind("timestamp" if clock else "date", form, "X" in clock, "'UTC'" in clock, note=note)


def nearly_time(values: pa.Array) -> tuple[str, str, int] | None:
    """(format, shape of a text that is none, number of such) where most of distinct texts are times; None where they are not."""
    forms = {form for text in values[:20].to_pylist() for _, form in _candidates(text, compact=False)}
    best = min(((_misfits(values, form), form) for form in sorted(forms)), key=lambda found: len(found[0]), default=None)
    if best is None or 2 * len(best[0]) >= len(values):
        return None
    return best[1], shape(best[0][0]), len(best[0])


def decimals_of(type_: str) -> tuple[int, int] | None:
    """(precision, scale) of a decimal type."""
    if not type_.startswith("decimal"):
        return None
    precision, scale = type_.removeprefix("decimal(").rstrip(")").split(",")
    return int(precision), int(scale)


def numbers(values: pa.Array, kind: Kind) -> pa.Array:
    """Texts of a numeric kind as doubles."""
    text = pc.replace_substring(pc.replace_substring(values, ".", ""), ",", ".") if kind.comma else values
    return text.cast(pa.float64())


def shape(text: str) -> str:
    """A value's form without the value: digits become 9, letters a."""
    return "".join("9" if c.isdigit() else "a" if c.isalpha() else c for c in text[:40])


def column_sql(name: str) -> str:
    """A column within an expression: quoted where SQL has the word for itself."""
    return f"`{name}`" if name in GRAMMAR else name


def absent_sql(name: str, words: Sequence[str]) -> str:
    """A column's text without words that stand for no value, as SQL; a backslash stands for itself."""
    quoted = [f"r'{word}'" if "\\" in word else f"'{word}'" for word in words]
    return reduce(lambda sql, word: f"nullif({sql}, {word})", quoted, column_sql(name))


def _day_first(form: str) -> bool:
    return form.find("d") < form.find("M")


def _candidates(sample: str, compact: bool) -> Iterator[tuple[str, str]]:
    """Formats that the sample fits, dates before times."""
    days = ("yyyyMMdd", *_DATES) if compact else _DATES
    forms = [(day, day) for day in days]
    forms += [(day, f"{day}{sep}{clock}{zone}") for day, sep, clock, zone in product(days, (" ", "'T'"), _TIMES, _ZONES)]
    one = pa.array([sample])
    return ((day, form) for day, form in forms if _all(one, dating_of("", form, "UTC", "UTC").regex))


def _fits(values: pa.Array, form: str) -> bool:
    dating = dating_of("", form, "UTC", "UTC")
    return _all(values, dating.regex) and None not in days_of(values, dating)


def _misfits(values: pa.Array, form: str) -> list[str]:
    days = days_of(values, dating_of("", form, "UTC", "UTC"))
    return [text for text, day in zip(values.to_pylist(), days, strict=True) if day is None]


def _span(values: pa.Array, form: str) -> int:
    days = [day for day in days_of(values, dating_of("", form, "UTC", "UTC")) if day is not None]
    return (max(days) - min(days)).days


def _whole(values: pa.Array) -> Kind:
    longest = pc.max(pc.utf8_length(values)).as_py()
    if longest > _MAX_DIGITS:
        return TEXT
    found = pc.min_max(pc.replace_substring(values, "+", "").cast(pa.int64())).as_py()
    return Kind("int" if max(-found["min"], found["max"]) <= _MAX_INT else "bigint")


def _decimal(values: pa.Array, *, comma: bool) -> Kind:
    if pc.any(pc.match_substring_regex(values, "[eE]")).as_py():
        return Kind("double", comma=comma)
    parts = pc.extract_regex(values, rf"\A[+-]?(?P<whole>[0-9.]*?)(?:[{',' if comma else '.'}](?P<decimals>[0-9]*))?\z")
    whole, scale = (pc.max(pc.utf8_length(pc.struct_field(parts, name))).as_py() or 0 for name in ("whole", "decimals"))
    if scale > _MAX_SCALE or whole > _MAX_DIGITS:
        return Kind("double", comma=comma)
    return Kind(f"decimal({min(whole + scale + 4, 38)},{scale})", comma=comma)


def _has_leading_zeros(values: pa.Array) -> bool:
    return bool(pc.any(pc.match_substring_regex(values, r"\A[+-]?0[0-9]")).as_py())


def _all(values: pa.Array, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(values, pattern)).as_py())
