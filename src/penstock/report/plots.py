"""Lines and bars over days: the drawing, its legend and the same figures as a table, all from one list of series.

A `Chart` is a drawing for the eye and rows of text for everybody else; both come from the same values, so they cannot
differ.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup

from penstock.report import figures, svg
from penstock.report.data import known

Row = tuple[str, ...]
Value = float | None
Dated = tuple[tuple[date, str | None], ...]

_LABEL = 44.0  # room that the longest label of a day needs
REFERENCE = "ref"
"""The style of a series to compare with: a thin dashed line without dots."""


@dataclass(frozen=True)
class Key:
    """One entry of a legend: the style of its line or bar (`shape`), and its name."""

    series: str
    name: str
    shape: str = "line"


@dataclass(frozen=True)
class Chart:
    """A drawing, its legend and its figures; `name` is unique in the page."""

    name: str
    title: str
    summary: str
    drawing: Markup
    legend: tuple[Key, ...]
    columns: Row
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Series:
    """One value a day, None where it is unknown, with its style and name."""

    key: Key
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Story:
    """What a chart is called, what it says when empty, and how its numbers are written in its table and along its axis."""

    name: str
    title: str
    subject: str
    unit: str
    empty: str
    write: Callable[[Value], str]
    axis: Callable[[Sequence[float]], list[str]]


@dataclass(frozen=True)
class Backdrop:
    """What stands behind the series: the model version of each day, an interval around the first series, a level."""

    versions: Dated
    bounds: tuple[tuple[Value, Value], ...] = ()
    floor: Value = None
    from_zero: bool = False


def finite(value: Value) -> Value:
    """None for what cannot be drawn."""
    return value if known(value) else None


def lines(story: Story, series: tuple[Series, ...], behind: Backdrop) -> Chart:
    """Lines over the days of `behind.versions`, broken where a value is unknown."""
    days, seen = _days(behind), _seen(series)
    if not seen:
        return _empty(story, series, behind)
    edges = [v for pair in behind.bounds for v in pair if v is not None and known(v)]
    levels = [*seen, *edges, *([0.0] if behind.from_zero else []), *([behind.floor] if behind.floor is not None else [])]
    steps = svg.ticks(min(levels), max(levels))
    y, x = svg.Scale(steps[0], steps[-1], svg.BOTTOM, svg.TOP), _x_scale(days, 8)
    parts = [svg.y_axis(y, steps, story.axis(steps)), _x_axis(days, x), *_marks(behind.versions, x)]
    parts.append(_interval(days, behind.bounds, x, y))
    parts += [_line(story, days, one, x, y) for one in reversed(series)]
    if behind.floor is not None:
        parts.append(svg.level(y(behind.floor), f"floor {behind.floor:g}"))
    return _chart(story, series, behind, parts)


def bars(story: Story, series: tuple[Series, ...], behind: Backdrop, *, stacked: bool = False) -> Chart:
    """Bars from zero for each day, side by side, or `stacked` where the series are parts of one whole."""
    days, seen = _days(behind), _seen(series)
    if not seen:
        return _empty(story, series, behind)
    tops = [sum(one.values[i] or 0.0 for one in series) for i in range(len(days))] if stacked else seen
    steps = svg.ticks(0.0, max(*tops, 1.0))
    slot = (svg.RIGHT - svg.LEFT) / (len(days) + 1)
    y, x = svg.Scale(steps[0], steps[-1], svg.BOTTOM, svg.TOP), _x_scale(days, slot * 0.75)
    closest = min((x(b.toordinal()) - x(a.toordinal()) for a, b in itertools.pairwise(days)), default=slot)
    width = min(slot * 0.7, closest * 0.9, 40.0) / (1 if stacked else len(series))
    parts = [svg.y_axis(y, steps, story.axis(steps))]
    for i, day in enumerate(days):
        base = 0.0
        for place, one in enumerate(series):
            value = one.values[i]
            if value is not None:
                left = x(day.toordinal()) + (-width / 2 if stacked else (place - len(series) / 2) * width)
                parts.append(
                    svg.bar((left, y(base + value)), (width, y(base) - y(base + value)), one.key.series, _words(story, day, one, value))
                )
                base += value if stacked else 0.0
    return _chart(story, series, behind, [*parts, _x_axis(days, x), *_marks(behind.versions, x)])


def range_of(values: Sequence[Value], write: Callable[[Value], str]) -> str:
    """`0.70 to 0.75, newest 0.71`, or that nothing is known."""
    numbers = [value for value in values if value is not None]
    return f"{write(min(numbers))} to {write(max(numbers))}, newest {write(numbers[-1])}" if numbers else "nothing known yet"


def changes(versions: Dated) -> tuple[tuple[date, str], ...]:
    """The first day of each version but the first one; days without a version do not count."""
    told = [(day, version) for day, version in versions if version]
    return tuple(after for before, after in itertools.pairwise(told) if after[1] != before[1])


def _chart(story: Story, series: tuple[Series, ...], behind: Backdrop, parts: Sequence[Markup]) -> Chart:
    told = f"{story.subject}, {len(behind.versions)} {story.unit}s: {range_of(series[0].values, story.write)}."
    keys = tuple(one.key for one in series if any(value is not None for value in one.values))
    picture = svg.drawing(story.name, story.title, told, parts)
    return Chart(story.name, story.title, told, picture, keys, *_table(story, series, behind))


def _empty(story: Story, series: tuple[Series, ...], behind: Backdrop) -> Chart:
    picture = svg.drawing(story.name, story.title, story.empty, [svg.nothing(story.empty)])
    return Chart(story.name, story.title, story.empty, picture, (), *_table(story, series, behind))


def _table(story: Story, series: tuple[Series, ...], behind: Backdrop) -> tuple[Row, tuple[Row, ...]]:
    """The same numbers as text, one row a day."""
    head = (story.unit, *(one.key.name for one in series), "model")
    body = tuple(
        (figures.day(day), *(story.write(one.values[i]) for one in series), figures.word(version))
        for i, (day, version) in enumerate(behind.versions)
    )
    return head, body


def _days(behind: Backdrop) -> tuple[date, ...]:
    return tuple(day for day, _ in behind.versions)


def _seen(series: Sequence[Series]) -> list[float]:
    return [value for one in series for value in one.values if value is not None]


def _words(story: Story, day: date, one: Series, value: Value) -> str:
    return f"{figures.day(day)}, {one.key.name}: {story.write(value)}"


def _x_scale(days: Sequence[date], margin: float) -> svg.Scale:
    return svg.Scale(days[0].toordinal(), days[-1].toordinal(), svg.LEFT + margin, svg.RIGHT - margin)


def _x_axis(days: Sequence[date], x: svg.Scale) -> Markup:
    """At most five days are labelled, evenly, the first and the last among them."""
    count = min(len(days), 5)
    even = sorted({round(i * (len(days) - 1) / max(count - 1, 1)) for i in range(count)})
    places = _apart(even, [x(day.toordinal()) for day in days])
    long = (days[-1] - days[0]).days > 350
    labels = [figures.short_month(days[i]) if long else figures.short_day(days[i]) for i in places]
    return svg.x_axis([x(days[i].toordinal()) for i in places], labels)


def _apart(places: Sequence[int], at: Sequence[float]) -> list[int]:
    """The places whose labels do not stand on one another, the first and the last always among them."""
    kept = [places[0]]
    for place in places[1:-1]:
        if at[place] - at[kept[-1]] >= _LABEL and at[places[-1]] - at[place] >= _LABEL:
            kept.append(place)
    return kept if len(places) == 1 else [*kept, places[-1]]


def _marks(versions: Dated, x: svg.Scale) -> list[Markup]:
    """Lines at the new versions; a label that would stand on the one before is left out."""
    parts, free = [], 0.0
    for day, version in changes(versions):
        place, label = x(day.toordinal()), _short_version(version)
        half = 3.6 * len(label)
        fits = place - half > free
        parts.append(svg.mark(place, label if fits else ""))
        free = place + half if fits else free
    return parts


def _short_version(version: str) -> str:
    """`v2`; a longer name is cut, because the table below the chart has it whole."""
    name = f"v{version}" if version.isdigit() else version
    return name if len(name) <= 10 else name[:9] + "…"


def _line(story: Story, days: Sequence[date], one: Series, x: svg.Scale, y: svg.Scale) -> Markup:
    points = [(x(day.toordinal()), None if value is None else y(value)) for day, value in zip(days, one.values, strict=True)]
    words = [_words(story, day, one, value) for day, value in zip(days, one.values, strict=True)]
    dotted = one.key.series != REFERENCE or sum(value is not None for value in one.values) == 1
    return svg.line(points, one.key.series, dots=words if dotted else ())


def _interval(days: Sequence[date], bounds: Sequence[tuple[Value, Value]], x: svg.Scale, y: svg.Scale) -> Markup:
    """The interval as a band, or as a whisker where only one day has one."""
    inside = [
        (x(day.toordinal()), y(low), y(high))
        for day, (low, high) in zip(days, bounds, strict=False)
        if low is not None and high is not None and known(low) and known(high)
    ]
    if len(inside) == 1:
        return svg.whisker(*inside[0], "s1")
    return svg.band([(at, low) for at, low, _ in inside], [(at, high) for at, _, high in inside], "s1")
