"""From contributions to sentences: the things that raise a score most, said in the words of the feature metadata.

Works on whole batches: what is added row by row are only the sentences themselves. The same rows give the same words,
in whatever batches they come.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.config.reasons import ColumnWords, Subject, Template
from penstock.training.contributions import LEAST

TOP = 3
_LONGEST_TEXT = 40

Floats = NDArray[np.float64]
Values = Mapping[str, NDArray[Any]]
"""Columns by name: numbers as float64 with NaN for missing, text as objects with None."""


@dataclass(frozen=True)
class Wording:
    """What can be said, and which columns that takes."""

    subjects: tuple[Subject, ...]

    def of(self, inputs: Collection[str]) -> Wording:
        """What can be said of a model with these inputs."""
        return Wording(tuple(s for s in self.subjects if not set(s.counted).isdisjoint(inputs)))

    def columns(self) -> tuple[str, ...]:
        """The columns whose values the sentences show, each once."""
        named = [name for s in self.subjects for own in s.own for t in own.templates for name, _ in t.fields]
        return tuple(dict.fromkeys(named))

    def patterns(self) -> tuple[tuple[str, ...], ...]:
        """Every sentence that can be said, as its parts around the values."""
        return tuple(dict.fromkeys(t.literals for s in self.subjects for own in s.own for t in own.templates))

    def sentences(self, inputs: Sequence[str], contributions: Floats, values: Values, least: float = LEAST) -> list[list[str]]:
        """For each row at most `TOP` sentences, the weightiest first; none where nothing raises the score.

        Parameters: `contributions` is inputs x rows, positive for what raises the score; `values` have one entry a row;
        what raises it by less than `least` is left out.
        """
        told = self.of(inputs).subjects
        rows = contributions.shape[1]
        if not told or not rows:
            return [[] for _ in range(rows)]
        place = {name: at for at, name in enumerate(inputs)}
        weight = np.stack([contributions[[place[c] for c in s.counted if c in place]].sum(axis=0) for s in told], axis=1)
        chosen = _heaviest(weight, least)
        said = np.full((rows, TOP), None, dtype=object)
        for at, subject in enumerate(told):
            row, rank = np.nonzero(chosen == at)
            for words, which in _columns_of(subject, place, contributions, row):
                said[row[which], rank[which]] = _filled(words, values, row[which])
        return [[text for text in texts if text is not None] for texts in said.tolist()]


def _heaviest(weight: Floats, least: float) -> NDArray[np.intp]:
    """Rows x TOP: the columns of the largest weights, the first of equals first; -1 for those under `least`."""
    left, every = weight.copy(), np.arange(len(weight))
    chosen = np.full((len(weight), TOP), -1)
    for rank in range(min(TOP, weight.shape[1])):
        best = left.argmax(axis=1)
        chosen[:, rank] = np.where(left[every, best] >= least, best, -1)
        left[every, best] = -np.inf
    return chosen


def _columns_of(
    subject: Subject, place: Mapping[str, int], contributions: Floats, row: NDArray[np.intp]
) -> list[tuple[ColumnWords, NDArray[np.intp]]]:
    """Which of the subject's columns speaks for which of the rows: the one that contributes most there."""
    own = [words for words in subject.own if words.column in place]
    if not row.size:
        return []
    if len(own) < 2:
        return [((own or subject.own)[0], np.arange(row.size))]
    best = contributions[[place[words.column] for words in own]][:, row].argmax(axis=0)
    return [(words, np.flatnonzero(best == at)) for at, words in enumerate(own) if (best == at).any()]


def _filled(words: ColumnWords, values: Values, row: NDArray[np.intp]) -> list[str]:
    """A sentence for each row: the first template whose columns are all known there."""
    found: list[str] = [""] * row.size
    open_ = np.arange(row.size)
    for template in words.templates:
        if not open_.size:
            break
        shown = [values[name][row[open_]] for name, _ in template.fields]
        known = np.ones(open_.size, dtype=np.bool_)
        for column in shown:
            known &= (
                np.array([value is not None for value in column.tolist()], dtype=np.bool_) if column.dtype == object else ~np.isnan(column)
            )
        cells = [_texts(column[known], form) for column, (_, form) in zip(shown, template.fields, strict=True)]
        for at, text in zip(open_[known].tolist(), _joined(template, cells, int(known.sum())), strict=True):
            found[at] = text
        open_ = open_[~known]
    return found


def _joined(template: Template, cells: list[list[str]], count: int) -> list[str]:
    if not cells:
        return [template.literals[0]] * count
    pattern = "{}".join(literal.replace("{", "{{").replace("}", "}}") for literal in template.literals)
    return list(map(pattern.format, *cells))


def _texts(column: NDArray[Any], form: str) -> list[str]:
    """Values as shown; whole numbers without decimals and others with two when no format is given."""
    if column.dtype == object:
        return [" ".join(str(value).split())[:_LONGEST_TEXT] for value in column.tolist()]
    if form:
        return [_unsigned(text) for text in map(f"{{:{form}}}".format, column.tolist())]
    return [f"{v:,.0f}" if v.is_integer() else _unsigned(f"{v:,.2f}") for v in column.tolist()]


def _unsigned(text: str) -> str:
    """A rounded zero has no sign."""
    return text[1:] if text[0] == "-" and not text.strip("-0.,%") else text
