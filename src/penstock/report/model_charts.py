"""The charts of one model version: calibration, cumulative gains and importances, from its holdout."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from penstock.report import figures, svg
from penstock.report.charts import thousands
from penstock.report.data import Acting, ModelRow, ReportData, known
from penstock.report.plots import REFERENCE, Chart, Key, Row

MOST_IMPORTANT = 10
"""So many features have a bar; the table below the chart has them all."""

_UNKNOWN = "Not known for this version"
_MOST_DOTS = 24
_SQUARE = (0.0, 0.25, 0.5, 0.75, 1.0)


def of_model(model: ModelRow, place: int, data: ReportData) -> tuple[Chart, ...]:
    """The charts of one version; `place` makes their names unique in the page, `data` says what is predicted."""
    own = _OF_KIND[data.kind](model, place, data.outcome)
    told = (*own, _importances(model, f"importances-{place}", data.importance_unit))
    return told if model.acting is None else (*told, _profit(model.acting, f"profit-{place}"))


def _of_classes(model: ModelRow, place: int, outcome: str) -> tuple[Chart, ...]:
    return _calibration(model, f"calibration-{place}", outcome), _gain(model, f"gain-{place}", outcome)


def _of_values(model: ModelRow, place: int, outcome: str) -> tuple[Chart, ...]:
    return (_values(model, f"values-{place}", outcome),)


def _of_lists(model: ModelRow, place: int, outcome: str) -> tuple[Chart, ...]:  # noqa: ARG001 - what its lists find is in the table
    return ()


_OF_KIND = {"classification": _of_classes, "regression": _of_values, "ranking": _of_lists}


def _values(model: ModelRow, name: str, outcome: str) -> Chart:
    """Mean label by mean score of groups of holdout rows, in the label's unit."""
    points = [p for p in model.calibration if known(p.predicted) and known(p.observed)]
    columns = ("predicted", "observed", "rows")
    rows = tuple((figures.value(p.predicted), figures.value(p.observed), figures.count(p.rows)) for p in points)
    title = f"Observed by predicted {outcome}"
    if not points:
        return Chart(name, title, _UNKNOWN, svg.drawing(name, title, _UNKNOWN, [svg.nothing(_UNKNOWN)]), (), columns, rows)
    told = (
        f"Holdout rows in {len(points)} groups by predicted {outcome}, against the observed mean; MAE {figures.value(model.holdout.mae)}."
    )
    ends = [value for p in points for value in (p.predicted, p.observed)]
    steps = svg.ticks(min(0.0, *ends), max(ends))
    x, y = svg.Scale(steps[0], steps[-1], svg.LEFT, svg.RIGHT - 12), svg.Scale(steps[0], steps[-1], svg.BOTTOM, svg.TOP)
    words = tuple(f"{p} predicted, {o} observed, {r} rows" for p, o, r in rows)
    parts = [
        svg.y_axis(y, steps, thousands(steps)),
        svg.x_axis([x(v) for v in steps], thousands(steps)),
        svg.line([(x(steps[0]), y(steps[0])), (x(steps[-1]), y(steps[-1]))], REFERENCE),
        svg.line([(x(p.predicted), y(p.observed)) for p in points], "s1", dots=words if len(points) <= _MOST_DOTS else ()),
    ]
    keys = (Key("s1", "observed"), Key(REFERENCE, "perfect"))
    return Chart(name, title, told, svg.drawing(name, title, told, parts), keys, columns, rows)


def _calibration(model: ModelRow, name: str, outcome: str) -> Chart:
    points = [p for p in model.calibration if known(p.predicted) and known(p.observed)]
    rows = tuple((figures.share(p.predicted), figures.share(p.observed), figures.count(p.rows)) for p in points)
    words = tuple(f"{p} predicted, {o} observed, {r} rows" for p, o, r in rows)
    groups = f"Holdout rows in {len(points)} groups by predicted {outcome} probability, against the observed share"
    told = f"{groups}; expected calibration error {figures.metric(model.holdout.ece)}."
    keys = (Key("s1", "observed"), Key(REFERENCE, "perfect"))
    at = tuple((p.predicted, p.observed) for p in points)
    title = f"Calibration: observed by predicted {outcome} rate"
    return _square(_Curve(name, title, told, at, words, keys, ("predicted", "observed", "rows"), rows))


def _gain(model: ModelRow, name: str, outcome: str) -> Chart:
    points = [p for p in model.gain if known(p.contacted) and known(p.reached)]
    rows = tuple((figures.share(p.contacted), figures.share(p.reached)) for p in points)
    words = tuple(f"{c} contacted reach {r}" for c, r in rows)
    told = f"Share of all {outcome} reached when the highest scores are contacted first; lift in the first tenth {figures.ratio(model.holdout.lift)}."
    keys = (Key("s1", "by score"), Key(REFERENCE, "at random"))
    at = tuple((p.contacted, p.reached) for p in points)
    title = f"Gain: share of {outcome} reached by share contacted"
    return _square(_Curve(name, title, told, at, words, keys, ("contacted", "reached"), rows))


def _profit(acting: Acting, name: str) -> Chart:
    """Profit a list by the share contacted; the upright line is where the list ends."""
    points = [p for p in acting.curve if known(p.contacted) and known(p.profit)]
    columns, rows = (
        ("contacted", f"profit, {acting.currency}"),
        tuple((figures.share(p.contacted), figures.amount(p.profit)) for p in points),
    )
    title = f"Profit a list by share contacted, {acting.currency}"
    if not points:
        return Chart(name, title, _UNKNOWN, svg.drawing(name, title, _UNKNOWN, [svg.nothing(_UNKNOWN)]), (), columns, rows)
    told = f"Profit a list when the highest scores are contacted first: the list has {figures.share(acting.share)} of the rows and brings {figures.amount(acting.realised)}."
    profits = [p.profit for p in points]
    steps = svg.ticks(min(0.0, *profits), max(0.0, *profits))
    x, y = svg.Scale(0, 1, svg.LEFT, svg.RIGHT - 12), svg.Scale(steps[0], steps[-1], svg.BOTTOM, svg.TOP)
    words = tuple(f"{share} contacted bring {profit}" for share, profit in rows)
    parts = [
        svg.y_axis(y, steps, thousands(steps)),
        svg.x_axis([x(v) for v in _SQUARE], [f"{100 * v:.0f} %" for v in _SQUARE]),
        svg.line([(x(0), y(0)), (x(1), y(points[-1].profit))], REFERENCE),
        svg.line([(x(p.contacted), y(p.profit)) for p in points], "s1", dots=words if len(points) <= _MOST_DOTS else ()),
        *([svg.mark(x(acting.share), "list")] if acting.share is not None and known(acting.share) else []),
    ]
    keys = (Key("s1", "by score"), Key(REFERENCE, "at random"))
    return Chart(name, title, told, svg.drawing(name, title, told, parts), keys, columns, rows)


@dataclass(frozen=True)
class _Curve:
    """A curve in the unit square: its points, their words and the same as rows of a table."""

    name: str
    title: str
    summary: str
    points: tuple[tuple[float, float], ...]
    words: tuple[str, ...]
    legend: tuple[Key, ...]
    columns: Row
    rows: tuple[Row, ...]


def _square(curve: _Curve) -> Chart:
    """The curve against the diagonal; dots only while they can be told apart."""
    if not curve.points:
        picture = svg.drawing(curve.name, curve.title, _UNKNOWN, [svg.nothing(_UNKNOWN)])
        return Chart(curve.name, curve.title, _UNKNOWN, picture, (), curve.columns, curve.rows)
    x, y = svg.Scale(0, 1, svg.LEFT, svg.RIGHT - 12), svg.Scale(0, 1, svg.BOTTOM, svg.TOP)
    labels = [f"{100 * v:.0f} %" for v in _SQUARE]
    parts = [
        svg.y_axis(y, _SQUARE, labels),
        svg.x_axis([x(v) for v in _SQUARE], labels),
        svg.line([(x(0), y(0)), (x(1), y(1))], REFERENCE),
        svg.line([(x(a), y(b)) for a, b in curve.points], "s1", dots=curve.words if len(curve.points) <= _MOST_DOTS else ()),
    ]
    picture = svg.drawing(curve.name, curve.title, curve.summary, parts)
    return Chart(curve.name, curve.title, curve.summary, picture, curve.legend, curve.columns, curve.rows)


def _importances(model: ModelRow, name: str, unit: str) -> Chart:
    ranked = sorted((one for one in model.importances if known(one.value)), key=lambda one: -one.value)
    rows = tuple((one.feature, f"{one.value:.4f}") for one in ranked)
    title, columns = f"Importances: {unit}", ("feature", unit)
    if not ranked:
        return Chart(name, title, _UNKNOWN, svg.drawing(name, title, _UNKNOWN, [svg.nothing(_UNKNOWN)]), (), columns, rows)
    top = ranked[:MOST_IMPORTANT]
    told = f"The {len(top)} most important of {len(ranked)} features: {', '.join(one.feature for one in top[:3])} lead."
    start, pitch = 156.0, (svg.HEIGHT - 12) / max(len(top), 4)
    x = svg.Scale(0.0, max(top[0].value, 1e-12), start, svg.RIGHT - 42)
    parts: list[Markup] = []
    for place, one in enumerate(top):
        middle = 6 + pitch * (place + 0.5)
        parts += [
            svg.text(start - 8, middle + 4, _cut(one.feature), anchor="end", kind="label"),
            svg.bar(
                (start, middle - pitch * 0.32), (x(max(one.value, 0.0)) - start, pitch * 0.64), "s1", f"{one.feature}: {one.value:.4f}"
            ),
            svg.text(x(max(one.value, 0.0)) + 6, middle + 4, f"{one.value:.3f}"),
        ]
    return Chart(name, title, told, svg.drawing(name, title, told, parts), (), columns, rows)


def _cut(name: str) -> str:
    return name if len(name) <= 21 else name[:20] + "…"
