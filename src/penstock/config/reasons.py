"""The words of reasons: templates over feature columns, checked when the configuration is read.

A template is text with names in braces, `last purchase {recency_days} days ago`: columns of the view, and `value`,
`window` and `description` for what the reason is about. Names only: an attribute, an index or a conversion is refused,
so that no template reaches anything but the row's own features.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from string import Formatter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.config.model import Aggregate, Derived, View

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_FORMAT = re.compile(r",?(\.[0-6]f)?|\.[0-6]%")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST = 160
_SHOWS_VALUES = {"min", "max", "first", "last", "sum", "mean", "collect_set"}


@dataclass(frozen=True)
class Template:
    """`literals` have one part more than `fields` has (name, format): literal, field, literal, …, literal."""

    literals: tuple[str, ...]
    fields: tuple[tuple[str, str], ...]

    def with_own(self, own: Mapping[str, str], column: str) -> Template:
        """The same with `own` words written out and `value` standing for the column."""
        literals, fields = [self.literals[0]], []
        for (name, form), literal in zip(self.fields, self.literals[1:], strict=True):
            if name in own:
                literals[-1] += own[name] + literal
            else:
                fields.append((column if name == "value" else name, form))
                literals.append(literal)
        return Template(tuple(literals), tuple(fields))


def parse(text: str) -> Template:
    """The template in a text. Raises ValueError, with the fault in words, for anything but names and plain number formats."""
    if not text.strip() or len(text) > _LONGEST or not text.isprintable():
        raise ValueError(f"got {text[:_LONGEST]!r}, expected one line of at most {_LONGEST} characters")
    literals, fields = [""], []
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f"got {text!r}, in which {error}; expected names in braces") from None
    for literal, name, form, conversion in parts:
        literals[-1] += literal
        if name is None:
            continue
        if not _NAME.fullmatch(name) or conversion:
            raise ValueError(f"got {{{name}}}, expected the name of a column alone, such as {{recency_days}}")
        if not _FORMAT.fullmatch(form or ""):
            raise ValueError(f"got the format {form!r}, expected one such as .0f, ,.2f or .0%")
        fields.append((name, form or ""))
        literals.append("")
    return Template(tuple(literals), tuple(fields))


@dataclass(frozen=True)
class ColumnWords:
    """What is said of one column: the first template whose columns are all known; the last one needs none."""

    column: str
    templates: tuple[Template, ...]


@dataclass(frozen=True)
class Subject:
    """One thing that a reason can be about: an aggregate with all its windows, or a derived column, and what counts with it."""

    own: tuple[ColumnWords, ...]
    counted: tuple[str, ...]
    """Columns whose contributions are summed: its own, and those declared `reason_with` it."""


def subjects(view: View, personal: Collection[str] = ()) -> tuple[Subject, ...]:
    """What reasons can be about, in the view's order. The values of columns made from `personal` ones are never told."""
    hidden = told_of_persons(view, personal)
    declared = view.declared()
    with_it: dict[str, list[str]] = {}
    for entry in declared:
        with_it.setdefault(entry.reason_with or entry.name, []).extend(column for column, _ in _columns(entry))
    return tuple(
        Subject(tuple(_words(entry, column, window, hidden) for column, window in _columns(entry)), tuple(with_it[entry.name]))
        for entry in declared
        if entry.reason_with is None
    )


def told_of_persons(view: View, personal: Collection[str]) -> frozenset[str]:
    """Columns of the view that repeat a value of a personal column of the source, itself or by way of another column."""
    hidden: set[str] = set()
    for entry in (*view.aggregates, *(a for part in view.joined for a in part.aggregates)):
        if entry.function in _SHOWS_VALUES and set(_WORD.findall(entry.of or "")) & set(personal):
            hidden.update(column for column, _ in _columns(entry))
    for derived in view.derived:
        if set(_WORD.findall(derived.expression)) & hidden:
            hidden.add(derived.name)
    return frozenset(hidden)


def faults(view: View, personal: Collection[str] = ()) -> Iterator[str]:
    """What is wrong with the view's reasons, as sentences."""
    columns = set(view.column_names())
    hidden = told_of_persons(view, personal)
    declared = view.declared()
    names = {entry.name for entry in declared if entry.reason_with is None}
    for entry in declared:
        if entry.reason_with is not None and entry.reason_with not in names:
            yield f"reason_with in {entry.name}: got {entry.reason_with}, expected an aggregate or derived column that speaks for itself"
        if entry.reason_with is not None and entry.reason:
            yield f"reason in {entry.name}: it speaks with {entry.reason_with} and needs no words of its own"
        used = {name for text in entry.reason for name, _ in parse(text).fields}
        unknown = sorted(used - columns - {"value", "window", "description"})
        if unknown:
            yield f"reason in {entry.name}: got {', '.join(unknown)}, expected columns of the view {view.name}, value, window or description"
        shown = sorted((used | ({column for column, _ in _columns(entry)} if "value" in used else set())) & hidden)
        if shown:
            yield f"reason in {entry.name}: got {', '.join(shown)}, which tells of a person, expected other columns"


def _columns(entry: Aggregate | Derived) -> tuple[tuple[str, str], ...]:
    windows = getattr(entry, "windows", ())
    return tuple((f"{entry.name}_{w}", w) for w in windows) or ((entry.name, ""),)


def _words(entry: Aggregate | Derived, column: str, window: str, hidden: Collection[str]) -> ColumnWords:
    about = entry.description or entry.name.replace("_", " ")
    days = window.removesuffix("d")
    own = {
        "description": about,
        "window": "all history" if window in {"all", ""} else f"the last {days} days" if days != "1" else "the last day",
    }
    over = " in {window}" if window else ""
    if column in hidden:
        texts: tuple[str, ...] = ("{description}" + over,)
    else:
        texts = (*entry.reason, "{description}" + over + ": {value}", "{description}" + over + ": not known")
    return ColumnWords(column, tuple(parse(text).with_own(own, column) for text in texts))
