"""The profile as one HTML file: no script, no network, the style sheet of the pipeline's page."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from penstock.profiling.charts import chart_of, value_text
from penstock.profiling.subjects import REACH, SHARES, ColumnProfile, SourceProfile
from penstock.report import figures
from penstock.report.page import policy, templates
from penstock.report.plots import Chart

_DAY = len("2011-09-05")


@dataclass(frozen=True)
class Shown:
    """One column as the page tells it: texts, and its chart unless it is personal."""

    column: ColumnProfile
    nulls: str
    distinct: str
    low: str
    high: str
    mean: str
    outliers: str
    quantiles: tuple[tuple[str, str], ...]
    chart: Chart | None


def render(profile: SourceProfile) -> str:
    """The whole page as HTML text; the same profile gives the same text."""
    environment = templates()
    style = environment.get_template("style.css.j2").render()
    columns = [shown(column, profile) for column in profile.columns]
    return environment.get_template("source.html.j2").render(
        profile=profile,
        columns=columns,
        drifted=[one for one in columns if one.column.drift is not None and one.column.drift.state.value == "drifted"],
        reach=f"{REACH:g}",
        style=Markup(style),  # noqa: S704 - our own package file, not data
        policy=policy(style),
    )


def shown(column: ColumnProfile, profile: SourceProfile) -> Shown:
    """The column's figures as texts; empty where its kind has none."""
    bounds, kind = column.bounds, column.subject.kind
    beyond = "" if kind != "number" else "not evaluable" if column.outliers is None else _counted(column.outliers, profile.rows)
    ranged = kind in {"number", "time"}
    whole = bounds.quantiles if ranged else ()
    return Shown(
        column=column,
        nulls=_counted(bounds.nulls, profile.rows),
        distinct=f"≈ {figures.count(bounds.distinct)}" if bounds.distinct else "0",
        low=value_text(column, bounds.low) if ranged else "",
        high=value_text(column, bounds.high) if ranged else "",
        mean=value_text(column, bounds.mean) if kind == "number" else "",
        outliers=beyond,
        quantiles=tuple(
            (f"{100 * share:g} %", value_text(column, value)[: _DAY if kind == "time" else None])
            for share, value in zip(SHARES, whole, strict=False)
        ),
        chart=chart_of(column, profile.span),
    )


def _counted(count: int, rows: int) -> str:
    return f"{figures.count(count)} ({figures.share(count / rows)})" if count else "0"
