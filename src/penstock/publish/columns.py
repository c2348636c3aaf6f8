"""Arrow columns as the texts that JSON has for them, whole columns at a time and byte for byte what the standard library writes.

Rows that Arrow would write otherwise (a quote to escape, a number with an exponent, a tie to round) are few and are written
by Python, one by one. What cannot be published is a DataError that counts rows and shows none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from penstock.errors import DataError, UsageError
from penstock.publish.packing import rounded
from penstock.publish.record import key_text

Numbers = npt.NDArray[np.float64]
_ESCAPED = r'["\\\x00-\x1f]'
_MICROS = 1_000_000
_LEFT = "The published set is as it was"


def key_texts(columns: Sequence[Any]) -> Any:
    """`record.key_text` of each row, from one column a part. DataError for empty parts and for text that is not valid Unicode."""
    if not all(pa.types.is_integer(c.type) or _is_text(c.type) for c in columns):
        types = sorted({str(c.type) for c in columns})
        raise UsageError("entity key", got=f"columns of {', '.join(types)}", expected="text or whole numbers")
    empty = _any([pc.is_null(c) for c in columns])
    refuse(empty, "entity keys to publish", "a part that is null", "a value in every key column")
    parts = [valid_texts(c, "entity keys to publish") for c in columns]
    if len(parts) == 1:
        (plain,) = parts
        written = pc.starts_with(plain, "[")
    else:
        plain = joined('["', *_between(parts, '","'), '"]')
        written = _any([pc.match_substring_regex(part, _ESCAPED) for part in parts])
    return _replaced(plain, written, lambda at: key_text(tuple(part[at].as_py() for part in parts)))


def valid_texts(column: Any, what: str) -> Any:
    """A column as text. DataError for bytes that are no UTF-8."""
    found = pc.cast(column, pa.string())
    try:
        found.validate(full=True)
    except pa.ArrowInvalid:
        wrong = pa.array([not _is_utf8(value.as_py()) for value in pc.cast(found, pa.binary())])
        refuse(wrong, what, "text that is not valid Unicode", "text that UTF-8 can hold")
        raise  # it was not the text
    return found


def json_texts(column: Any, what: str) -> Any:
    """Each text as JSON. DataError for null."""
    refuse(pc.is_null(column), what, "null", "text")
    found = valid_texts(column, what)
    return _replaced(joined('"', found, '"'), pc.match_substring_regex(found, _ESCAPED), lambda at: _json(found[at].as_py()))


def numbers(column: Any, what: str) -> Numbers:
    """A column as finite numbers. DataError for null, NaN and infinity."""
    found = pc.cast(column, pa.float64())
    refuse(pc.invert(pc.fill_null(pc.is_finite(found), False)), what, "null, NaN or infinity", "a finite number")
    values: Numbers = found.to_numpy(zero_copy_only=False)
    return values


def rounded_numbers(values: Numbers, digits: int) -> Numbers:
    """`packing.rounded` of each number."""
    power = 10.0**digits
    with np.errstate(over="ignore"):  # what overflows is among the doubtful
        scaled = values * power
    found: Numbers = np.rint(scaled) / power + 0.0
    # Below 2**31 the product is wrong by less than a millionth: only there may a tie be taken for none, or none for a tie.
    fraction = np.abs(scaled - np.floor(scaled, where=np.isfinite(scaled), out=np.zeros_like(scaled)))
    doubtful = (np.abs(fraction - 0.5) < 1e-6) | ~(np.abs(scaled) < 2**31)
    for at in np.flatnonzero(doubtful):
        found[at] = rounded(float(values[at]), digits)
    return found


def number_texts(values: Numbers) -> Any:
    """`repr` of each finite number."""
    size = np.abs(values)
    text = pc.cast(pa.array(values), pa.string())
    whole = pa.array((size < 1e9) & (values == np.trunc(values)))
    text = pc.if_else(whole, joined(text, ".0"), text)
    by_python = (size >= 1e9) | ((size < 1e-4) & (size > 0))
    return _replaced(text, pa.array(by_python), lambda at: repr(float(values[at])))


def second_texts(micros: Any, what: str) -> Any:
    """Whole seconds of microseconds since 1970, as text. DataError for null."""
    refuse(pc.is_null(micros), what, "null", "an instant")
    whole = np.floor_divide(pc.cast(micros, pa.int64()).to_numpy(zero_copy_only=False), _MICROS)
    return pc.cast(pa.array(whole), pa.string())


def joined(*parts: Any) -> Any:
    """The texts of each row, one after the other; a part may be one text for all rows."""
    return pc.binary_join_element_wise(*parts, "")


def lists_of(texts: Any, lists: Any) -> Any:
    """The texts of each list's elements, with commas; `texts` are those of the flattened lists, of which none is null."""
    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), texts), ",")


def refuse(wrong: Any, what: str, got: str, expected: str) -> None:
    """DataError if any row is wrong; it counts them."""
    count = pc.sum(wrong).as_py() or 0
    if count:
        raise DataError(what, got=f"{got} in {count:,} of {len(wrong):,} rows of a batch", expected=expected, left=_LEFT)


def _replaced(texts: Any, mask: Any, text: Callable[[int], str]) -> Any:
    """The texts, those of the marked rows written anew."""
    places = np.flatnonzero(mask.to_numpy(zero_copy_only=False))
    if not len(places):
        return texts
    return pc.replace_with_mask(texts, mask, pa.array([text(int(at)) for at in places], pa.string()))


def _any(masks: Sequence[Any]) -> Any:
    found, *others = masks
    for mask in others:
        found = pc.or_(found, mask)
    return found


def _between(parts: Sequence[Any], mark: str) -> list[Any]:
    return [piece for part in parts for piece in (mark, part)][1:]


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
