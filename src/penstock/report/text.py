"""The week-by-week table for a terminal: aligned plain text of at most 120 columns that needs no colour."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from penstock.report import figures, measures
from penstock.report.data import KEEP, Cohort, ReportData, WeekRow
from penstock.report.measures import Shown

WIDTH = 120


@dataclass(frozen=True)
class _Column:
    """A heading with the width of its widest expected value; words go left, numbers right."""

    head: str
    width: int
    left: bool = False


_BEFORE = (
    _Column("as of", 10, left=True),
    _Column("landed", 9),
    _Column("quarantined", 11),
    _Column("scored", 9),
    _Column("published", 9),
    _Column("matured", 9),
)
_DECISION = _Column("decision", 14, left=True)
_BOTH = 29
"""The two measures and the drift share so many letters, whatever the kind."""
_OF_KIND = {"classification": 5, "regression": 7, "ranking": 6}
"""Width of a measure's column."""
_GAP = "  "


def week_table(data: ReportData) -> str:
    """The table, then the reasons of every decision other than to keep the model; ends with a newline."""
    if not data.weeks:
        return f"{_clean(data.pipeline)}: no weekly run yet.\n"
    week_measures = measures.of(data.kind).week
    width = _OF_KIND[data.kind]
    drift = _Column("drift (PSI)", _BOTH - len(week_measures) * width, left=True)
    columns = (*_BEFORE, *(_Column(one.head, width) for one in week_measures), drift, _DECISION)
    lines = [_line(tuple(column.head for column in columns), columns), _line(tuple("-" * column.width for column in columns), columns)]
    for week in data.weeks:
        lines.extend(_line(cells, columns) for cells in _rows(week, week_measures, drift.width))
    reasons = [line for week in data.weeks for line in _reasons(week)]
    if reasons:
        lines += ["", *reasons]
    return "\n".join([*lines, "", f"{figures.UNKNOWN} not known yet", ""])


def _rows(week: WeekRow, shown: Sequence[Shown], drift: int) -> list[tuple[str, ...]]:
    """The week's line, and a line of its own for each further cohort that matured in the same run."""
    first, *further = week.matured or (None,)
    head = (
        figures.day(week.as_of),
        figures.count(week.rows_landed),
        figures.count(week.quarantined),
        figures.count(week.scored),
        figures.count(week.published),
    )
    tail = (_drift(week, drift), figures.word(week.decision))
    return [head + _outcome(first, shown) + tail, *(("",) * len(head) + _outcome(cohort, shown) + ("", "") for cohort in further)]


def _outcome(cohort: Cohort | None, shown: Sequence[Shown]) -> tuple[str, ...]:
    metrics = None if cohort is None else cohort.metrics
    return (figures.count(metrics.rows if metrics else None), *(one.of(metrics) for one in shown))


def _drift(week: WeekRow, width: int) -> str:
    """Feature and PSI; a long name is cut so that the number always stays."""
    worst = week.worst_drift
    if worst is None:
        return figures.UNKNOWN
    number = figures.ratio(worst.psi)
    return f"{_cut(_clean(worst.feature), width - len(number) - 1)} {number}"


def _line(cells: tuple[str, ...], columns: Sequence[_Column]) -> str:
    padded = []
    for column, cell in zip(columns, cells, strict=True):
        text = _cut(_clean(cell), column.width)
        padded.append(text.ljust(column.width) if column.left else text.rjust(column.width))
    return _GAP.join(padded).rstrip()


def _reasons(week: WeekRow) -> list[str]:
    if not week.reasons or week.decision == KEEP:
        return []
    start = f"{figures.day(week.as_of)}{_GAP}"
    told = f"{figures.word(week.decision)}: {'; '.join(reason.removesuffix('.') for reason in week.reasons)}."
    return textwrap.wrap(_clean(told), WIDTH, initial_indent=start, subsequent_indent=" " * len(start))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _clean(text: str) -> str:
    """Without control characters: a name from somebody's data must not move the terminal's cursor."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
