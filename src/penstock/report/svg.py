"""The few SVG parts that our charts are made of: scales, axes, lines, bars and marks.

Every colour, width and dash comes from a CSS class of the page, so one drawing serves light, dark and print. A drawing is
370 × 210 units with text of 12 units: readable when a phone shows it at 330 pixels. Points carry a `<title>`, which
browsers show on hover without any script.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 370.0, 210.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 358.0, 18.0, 182.0
"""The plot's area inside the drawing; labels of the axes stand left of and below it, marks above it."""

Point = tuple[float, float | None]
_STEPS = (1, 2, 2.5, 5, 10, 20, 25, 50, 100)
_HAIR = 1e-9
EMPTY = Markup("")


@dataclass(frozen=True)
class Scale:
    """A straight line from values to units of the drawing; a domain without length maps to the middle."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where `value` stands."""
        if self.high == self.low:
            return (self.start + self.end) / 2
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(low: float, high: float, most: int = 5) -> tuple[float, ...]:
    """At most `most` (3 or more) round values, in steps of 1, 2, 2.5 or 5 times a power of ten, that enclose [low, high]."""
    if high - low < max(1e-12, _HAIR * max(abs(low), abs(high))):
        pad = abs(low) * 0.1 or 1.0
        low, high = low - pad, high + pad
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(factor * power for factor in _STEPS if _count(low, high, factor * power) <= most)
    first = math.floor(low / step + _HAIR)
    return tuple((first + i) * step for i in range(_count(low, high, step)))


def _count(low: float, high: float, step: float) -> int:
    """How many multiples of `step` enclose [low, high]."""
    return math.ceil(high / step - _HAIR) - math.floor(low / step + _HAIR) + 1


def decimals(values: Sequence[float]) -> int:
    """The digits behind the point that tell all these round values apart without loss."""
    return next((digits for digits in range(10) if all(math.isclose(round(v, digits), v, abs_tol=1e-12) for v in values)), 10)


def join(parts: Sequence[Markup]) -> Markup:
    """Parts in a row."""
    return Markup("").join(parts)


def text(x: float, y: float, words: str, *, anchor: str = "start", kind: str = "tick") -> Markup:
    """A label; `anchor` is start, middle or end."""
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(kind, x, y, anchor, words)


def y_axis(scale: Scale, values: Sequence[float], labels: Sequence[str]) -> Markup:
    """Grid lines across the plot with their labels at the left."""
    rule = Markup('<line class="grid" x1="{:.1f}" x2="{:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
    return join(
        [rule.format(LEFT, RIGHT, y=scale(v)) + text(LEFT - 6, scale(v) + 4, w, anchor="end") for v, w in zip(values, labels, strict=True)]
    )


def x_axis(positions: Sequence[float], labels: Sequence[str]) -> Markup:
    """Tick marks and labels below the plot; the outermost labels are kept inside the drawing."""
    mark = Markup('<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{:.1f}" y2="{:.1f}"/>')
    parts = [Markup('<line class="axis" x1="{:.1f}" x2="{:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>').format(LEFT, RIGHT, y=BOTTOM)]
    for x, words in zip(positions, labels, strict=True):
        half = 3.4 * len(words)
        centre = min(max(x, half), WIDTH - half)
        parts.append(mark.format(BOTTOM, BOTTOM + 4, x=x) + text(centre, BOTTOM + 18, words, anchor="middle"))
    return join(parts)


def line(points: Sequence[Point], series: str, *, dots: Sequence[str] = ()) -> Markup:
    """A line through the points, broken where y is None; with `dots`, a dot on each point titled by its text."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is None:
            runs.append([])
        else:
            runs[-1].append((x, y))
    parts = [Markup('<path class="line {}" d="{}"/>').format(series, path(run)) for run in runs if len(run) > 1]
    for (x, y), words in zip(points, dots, strict=False):
        if y is not None:
            dot = Markup('<circle class="dot {}" cx="{:.1f}" cy="{:.1f}" r="3.2"><title>{}</title></circle>')
            parts.append(dot.format(series, x, y, words))
    return join(parts)


def path(points: Sequence[tuple[float, float]]) -> str:
    """The path data of straight lines through the points."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def band(lower: Sequence[tuple[float, float]], upper: Sequence[tuple[float, float]], series: str) -> Markup:
    """The area between two lines of the same length; nothing for fewer than two points."""
    if len(lower) < 2:
        return EMPTY
    return Markup('<path class="band {}" d="{}Z"/>').format(series, path([*lower, *reversed(upper)]))


def whisker(x: float, low: float, high: float, series: str) -> Markup:
    """A vertical line between two heights."""
    return Markup('<line class="whisker {}" x1="{x:.1f}" x2="{x:.1f}" y1="{:.1f}" y2="{:.1f}"/>').format(series, low, high, x=x)


def bar(corner: tuple[float, float], size: tuple[float, float], series: str, words: str) -> Markup:
    """A filled rectangle from its upper left corner, `size` = (width, height), titled by its text.

    It is never thinner than a hairline, so that a small number is seen.
    """
    box = Markup('<rect class="bar {}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>')
    return box.format(series, *corner, max(size[0], 0.8), max(size[1], 0.8), words)


def mark(x: float, words: str) -> Markup:
    """A vertical line with its label above the plot."""
    rule = Markup('<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{:.1f}" y2="{:.1f}"/>').format(TOP - 4, BOTTOM, x=x)
    return rule + text(min(x, RIGHT - 8), TOP - 7, words, anchor="middle", kind="marker")


def level(y: float, words: str) -> Markup:
    """A horizontal line across the plot with its label at the left, above it."""
    rule = Markup('<line class="mark" x1="{:.1f}" x2="{:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>').format(LEFT, RIGHT, y=y)
    return rule + text(LEFT + 4, y - 4, words, kind="marker")


def nothing(words: str) -> Markup:
    """What stands in the plot when there is nothing to draw."""
    frame = Markup('<rect class="void" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="4"/>')
    height = BOTTOM - TOP
    return frame.format(LEFT, TOP, RIGHT - LEFT, height) + text((LEFT + RIGHT) / 2, TOP + height / 2 + 4, words, anchor="middle")


def drawing(name: str, title: str, summary: str, parts: Sequence[Markup]) -> Markup:
    """The whole picture, named and described for those who cannot see it; `name` is its id in the page."""
    head = Markup(
        '<svg class="plot" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-labelledby="{name}-title {name}-summary">'
        '<title id="{name}-title">{}</title><desc id="{name}-summary">{}</desc>'
    ).format(WIDTH, HEIGHT, title, summary, name=name)
    return head + join(parts) + Markup("</svg>")
