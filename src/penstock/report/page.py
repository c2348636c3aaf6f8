"""The self-contained HTML page of one pipeline: no script, no network, one style sheet inside.

The page's content security policy forbids everything but its own style sheet (by digest) and its inline icon, so that
nothing which comes in with a name from somebody's data can load or run, even if escaping failed.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from penstock.report import figures, measures
from penstock.report.charts import weekly
from penstock.report.data import ModelRow, ReportData
from penstock.report.model_charts import of_model
from penstock.report.plots import Chart
from penstock.worth import MEANING

_FILTERS: dict[str, Callable[[Any], str]] = {
    "count": figures.count,
    "metric": figures.metric,
    "share": figures.share,
    "ratio": figures.ratio,
    "amount": figures.amount,
    "profit_bounds": lambda one: figures.bounds(one.low, one.high),
    "seconds": figures.seconds,
    "day": figures.day,
    "instant": figures.instant,
    "word": figures.word,
    "whole": figures.whole,
    "tenths": figures.tenths,
    "cell": str,
}


def render(data: ReportData) -> str:
    """The whole page as HTML text; the same data give the same text."""
    environment = templates()
    style = environment.get_template("style.css.j2").render()
    return environment.get_template("page.html.j2").render(
        data=data,
        style=Markup(style),  # noqa: S704 - our own package file, not data
        policy=policy(style),
        meaning=MEANING,
        shown=measures.of(data.kind),
        week_charts=weekly(data),
        models=_models(data),
    )


def _models(data: ReportData) -> list[tuple[ModelRow, tuple[Chart, ...]]]:
    """Each version with its charts, the newest first."""
    pairs = [(model, of_model(model, place, data)) for place, model in enumerate(data.models, start=1)]
    return pairs[::-1]


def policy(style: str) -> str:
    """The content security policy of a page with this style sheet: it loads nothing, from nowhere."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


@cache
def templates() -> Environment:
    """The templates of all pages, with the writers of figures as filters."""
    environment = Environment(
        loader=PackageLoader("penstock.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update({name: _dashed(show) for name, show in _FILTERS.items()})
    environment.filters["shown"] = lambda holder, column: _dashed(column.of)(holder)
    environment.filters["figure"] = lambda value, shown: _dashed(shown.primary.write)(value)
    environment.filters["bounds"] = lambda cohort, shown: _dashed(shown.bounds)(cohort)
    environment.filters["between"] = lambda one, shown: _dashed(lambda it: shown.between(it.low, it.high))(one)
    return environment


def _dashed(show: Callable[[Any], str]) -> Callable[[Any], str]:
    """The same writer for the page: its dash says in words that the figure is not known."""

    def shown(value: Any) -> str:
        text = show(value)
        return Markup('<abbr class="unknown" title="not known yet">–</abbr>') if text == figures.UNKNOWN else text

    return shown
