"""One chart a column: a histogram of the rows before and from the dividing date on, or the categories by share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from markupsafe import Markup

from penstock.profiling.subjects import ColumnProfile, Span
from penstock.report import figures, svg
from penstock.report.charts import per_cent
from penstock.report.plots import Chart, Key, Row

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NONE = "No value"
_OTHERS = "all others"
_NAMES = 18
_SLOT = 30.0
_TICKS = 5


def chart_of(column: ColumnProfile, span: Span) -> Chart | None:
    """The column's chart; None for a personal column, of which no value is shown."""
    if column.subject.kind == "personal":
        return None
    return _categories(column, span) if column.subject.kind == "category" else _histogram(column, span)


def value_text(column: ColumnProfile, value: float | None) -> str:
    """A number or time of the column as text; the dash where there is none."""
    if value is None:
        return figures.UNKNOWN
    if column.subject.type == "date":
        return figures.day(_EPOCH + timedelta(days=value))
    if column.subject.type == "timestamp":
        return figures.instant(_EPOCH + timedelta(seconds=value))
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:,.4g}"


def labels_of(column: ColumnProfile) -> tuple[str, ...]:
    """One readable name for each count of the column."""
    if column.subject.kind in {"category", "personal"}:
        named = tuple(column.bins.categories)
        return (*named, _OTHERS, "never seen", "null")
    edges = column.bins.edges
    if not edges:
        return ("any", "null", "NaN")
    half = 0.5 if column.subject.is_whole else 0.0  # the edges of whole numbers stand between two of them
    low = [value_text(column, edge + half) for edge in edges]
    high = [value_text(column, edge - half) for edge in edges]
    inner = (a if a == b else f"{a} to {b}" for a, b in zip(low, high[1:], strict=False))
    return (f"under {low[0]}", *inner, f"over {high[-1]}", "null", "NaN")


def _sides(column: ColumnProfile, span: Span) -> tuple[tuple[Key, tuple[int, ...], int], ...]:
    """(legend, counts, rows) of each side that has rows."""
    sides = (("s1", f"before {span.divide}", column.before), ("s2", f"from {span.divide} on", column.after))
    return tuple((Key(style, name, "bar"), counts, sum(counts)) for style, name, counts in sides if sum(counts))


def _table(column: ColumnProfile, span: Span, first: str) -> tuple[Row, tuple[Row, ...]]:
    sides = _sides(column, span)
    head = (first, *(text for key, _, _ in sides for text in (key.name, "share")))
    shown = [place for place, count in enumerate(column.counts) if count]
    names = labels_of(column)
    body = tuple(
        (names[place], *(text for _, counts, rows in sides for text in (figures.count(counts[place]), figures.share(counts[place] / rows))))
        for place in shown
    )
    return head, body


def _histogram(column: ColumnProfile, span: Span) -> Chart:
    """Bars by share of the side's rows, side by side; the outermost two are what lies beyond the ends, nulls are told in the table."""
    name, title = f"column-{column.subject.name}", f"{column.subject.name}: share of rows"
    sides, bins = _sides(column, span), len(column.bins.edges) + 1
    columns, rows = _table(column, span, "value")
    shares = [[count / total for count in counts[:bins]] for _, counts, total in sides]
    if not column.bins.edges or not sides:
        return Chart(name, title, _NONE, svg.drawing(name, title, _NONE, [svg.nothing(_NONE)]), (), columns, rows)
    steps = svg.ticks(0.0, max(max(side) for side in shares) or 1.0)
    y = svg.Scale(steps[0], steps[-1], svg.BOTTOM, svg.TOP)
    slot = (svg.RIGHT - svg.LEFT) / bins
    parts = [svg.y_axis(y, steps, per_cent(steps))]
    labels = labels_of(column)
    for (key, _, _), side, shift in zip(sides, shares, (0, 1), strict=False):
        width = slot * 0.84 / len(sides)
        for place, share in enumerate(side):
            if share:
                left = svg.LEFT + slot * (place + 0.08) + shift * width
                words = f"{labels[place]}, {key.name}: {figures.share(share)}"
                parts.append(svg.bar((left, y(share)), (width, y(0) - y(share)), key.series, words))
    parts.append(_ends(column, slot))
    told = f"{bins} bins; median {value_text(column, _median(column))}, {figures.count(column.bounds.nulls)} nulls."
    return Chart(name, title, told, svg.drawing(name, title, told, parts), tuple(key for key, _, _ in sides), columns, rows)


def _ends(column: ColumnProfile, slot: float) -> Markup:
    """The axis below the bars: labels at a few edges, evenly; where a bin is one whole number its label stands in the middle."""
    edges = column.bins.edges
    half = 0.5 if column.subject.is_whole else 0.0
    single = column.subject.is_whole and edges[1] - edges[0] == 1
    last = len(edges) - (2 if single else 1)
    places = sorted({round(i * last / (_TICKS - 1)) for i in range(_TICKS)})
    at = [svg.LEFT + slot * (place + (1.5 if single else 1.0)) for place in places]
    values = [edges[place] + (half if place < len(edges) - 1 else -half) for place in places]
    return svg.x_axis(at, [_short(column, value) for value in values])


def _short(column: ColumnProfile, value: float) -> str:
    if column.subject.kind == "time":
        unit = timedelta(days=value) if column.subject.type == "date" else timedelta(seconds=value)
        return figures.short_month((_EPOCH + unit).date())
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def _median(column: ColumnProfile) -> float | None:
    return column.bounds.quantiles[len(column.bounds.quantiles) // 2] if column.bounds.quantiles else None


def _categories(column: ColumnProfile, span: Span) -> Chart:
    """Lying bars by share of all rows, the most frequent first; all others have one unless it would dwarf the rest."""
    name, title = f"column-{column.subject.name}", f"{column.subject.name}: share of rows"
    columns, rows = _table(column, span, "value")
    total = sum(column.counts)
    shown = [(label, count) for label, count in zip(labels_of(column), column.counts, strict=True) if count]
    if not shown:
        return Chart(name, title, _NONE, svg.drawing(name, title, _NONE, [svg.nothing(_NONE)]), (), columns, rows)
    ranked = sorted(shown[: len(column.bins.categories)], key=lambda entry: -entry[1])[:8]
    ranked += [entry for entry in shown if entry[0] in {_OTHERS, "null"}]
    told = f"{len(ranked)} of the bars' values; {', '.join(label for label, _ in ranked[:3])} lead."
    return Chart(name, title, told, svg.drawing(name, title, told, _lying(ranked, total)), (), columns, rows)


def _lying(ranked: Sequence[tuple[str, int]], total: int) -> list[Markup]:
    start, pitch = 156.0, min(_SLOT, (svg.HEIGHT - 12) / max(len(ranked), 4))
    drawn = [count for label, count in ranked if label != _OTHERS or count <= total / 2] or [total]
    x = svg.Scale(0.0, max(drawn) / total, start, svg.RIGHT - 46)
    parts: list[Markup] = []
    for place, (label, count) in enumerate(ranked):
        middle, share = 6 + pitch * (place + 0.5), count / total
        short = label if len(label) <= _NAMES else label[: _NAMES - 1] + "…"
        parts.append(svg.text(start - 8, middle + 4, short, anchor="end", kind="label"))
        if share > x.high:
            parts.append(svg.text(start, middle + 4, figures.share(share)))
            continue
        size = (x(share) - start, pitch * 0.64)
        parts.append(svg.bar((start, middle - pitch * 0.32), size, "s1", f"{label}: {figures.count(count)}"))
        parts.append(svg.text(x(share) + 6, middle + 4, figures.share(share)))
    return parts
