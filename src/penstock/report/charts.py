"""The charts of the weeks: realised AUC and Brier score, rates, drift and volumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from penstock.report import figures, svg
from penstock.report.data import Kpi, Metrics, ReportData, WeekRow, known
from penstock.report.plots import REFERENCE, Backdrop, Chart, Dated, Key, Series, Story, Value, bars, finite, lines

MOST_FEATURES = 4
"""So many features share the drift chart: more lines than that cannot be told apart."""

_NOT_MATURED = "No week has matured yet"
_NO_RUN = "No run yet"
_SIZES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def weekly(data: ReportData) -> tuple[Chart, ...]:
    """The charts of the section Weeks, in reading order; with nothing to draw they say so."""
    told = (*(chart(data) for chart in _OF_KIND[data.kind]), _drift(data), _landed(data), _scored(data))
    return told if data.kpi is None else (*told, _profit(data, data.kpi))


def plain(steps: Sequence[float]) -> list[str]:
    """`0.70`, `0.75`: the steps of an axis, all with as many decimals as they need."""
    return [f"{step:.{svg.decimals(steps)}f}" for step in steps]


def per_cent(steps: Sequence[float]) -> list[str]:
    """`35 %`, from fractions of 1."""
    return [f"{words} %" for words in plain([100 * step for step in steps])]


def thousands(steps: Sequence[float]) -> list[str]:
    """`0`, `500`, `1k`, `1.5M`."""
    return [next((f"{step / size:g}{letter}" for size, letter in _SIZES if abs(step) >= size), f"{step:g}") for step in steps]


def _auc(data: ReportData) -> Chart:
    story = Story("auc", "AUC of matured weeks, 95 % interval", "Realised AUC", "week", _NOT_MATURED, figures.metric, plain)
    realised = Series(Key("s1", "realised"), tuple(finite(c.metrics.auc) for c in data.cohorts))
    bounds = tuple((c.auc_low, c.auc_high) for c in data.cohorts)
    return lines(story, (realised, _at_training(data, lambda metrics: metrics.auc)), Backdrop(_cohorts(data), bounds))


def _brier(data: ReportData) -> Chart:
    story = Story("brier", "Brier score, lower is better", "Realised Brier score", "week", _NOT_MATURED, figures.metric, plain)
    realised = Series(Key("s1", "realised"), tuple(finite(c.metrics.brier) for c in data.cohorts))
    return lines(story, (realised, _at_training(data, lambda metrics: metrics.brier)), Backdrop(_cohorts(data)))


def _rates(data: ReportData) -> Chart:
    title = f"Observed and predicted {data.outcome} rate"
    story = Story("rates", title, f"Observed {data.outcome} rate", "week", _NOT_MATURED, figures.share, per_cent)
    observed = Series(Key("s2", "observed"), tuple(finite(c.observed_rate) for c in data.cohorts))
    predicted = Series(Key("s1", "predicted"), tuple(finite(c.predicted_rate) for c in data.cohorts))
    return lines(story, (observed, predicted), Backdrop(_cohorts(data)))


def _mae(data: ReportData) -> Chart:
    story = Story("mae", "MAE of matured weeks, 95 % interval", "Realised MAE", "week", _NOT_MATURED, figures.value, thousands)
    realised = Series(Key("s1", "realised"), tuple(finite(c.metrics.mae) for c in data.cohorts))
    bounds = tuple((c.mae_low, c.mae_high) for c in data.cohorts)
    return lines(story, (realised, _at_training(data, lambda metrics: metrics.mae)), Backdrop(_cohorts(data), bounds, from_zero=True))


def _bias(data: ReportData) -> Chart:
    story = Story("bias", "Bias: mean of predicted less observed", "Realised bias", "week", _NOT_MATURED, figures.value, thousands)
    realised = Series(Key("s1", "realised"), tuple(finite(c.metrics.bias) for c in data.cohorts))
    return lines(story, (realised, _at_training(data, lambda metrics: metrics.bias)), Backdrop(_cohorts(data)))


def _means(data: ReportData) -> Chart:
    title = f"Observed and predicted mean of {data.outcome}"
    story = Story("means", title, f"Observed mean of {data.outcome}", "week", _NOT_MATURED, figures.value, thousands)
    observed = Series(Key("s2", "observed"), tuple(finite(c.observed_rate) for c in data.cohorts))
    predicted = Series(Key("s1", "predicted"), tuple(finite(c.predicted_rate) for c in data.cohorts))
    return lines(story, (observed, predicted), Backdrop(_cohorts(data)))


def _recall(data: ReportData) -> Chart:
    story = Story("recall", "Recall of matured weeks, 95 % interval", "Realised recall", "week", _NOT_MATURED, figures.metric, plain)
    bounds = tuple((c.recall_low, c.recall_high) for c in data.cohorts)
    series = (*_beside_heuristic(data, "recall"), _at_training(data, lambda metrics: metrics.recall))
    return lines(story, series, Backdrop(_cohorts(data), bounds))


def _ndcg(data: ReportData) -> Chart:
    story = Story("ndcg", "NDCG of matured weeks", "Realised NDCG", "week", _NOT_MATURED, figures.metric, plain)
    return lines(story, (*_beside_heuristic(data, "ndcg"), _at_training(data, lambda metrics: metrics.ndcg)), Backdrop(_cohorts(data)))


def _beside_heuristic(data: ReportData, name: str) -> tuple[Series, Series]:
    """A measure of the model's lists, and of the control group's heuristic for the same entities."""
    own = tuple(finite(getattr(c.metrics, name)) for c in data.cohorts)
    heuristic = tuple(finite(getattr(c.metrics, f"heuristic_{name}")) for c in data.cohorts)
    return Series(Key("s1", "realised"), own), Series(Key("s2", "heuristic"), heuristic)


_OF_KIND: dict[str, tuple[Callable[[ReportData], Chart], ...]] = {
    "classification": (_auc, _rates, _brier),
    "regression": (_mae, _means, _bias),
    "ranking": (_recall, _ndcg),
}


def _drift(data: ReportData) -> Chart:
    title = "Drift against training (PSI)"
    story = Story("drift", title, "PSI of the feature that drifted most", "run", "No drift has been measured yet", figures.ratio, plain)
    series = tuple(
        Series(Key(f"s{place}", feature), tuple(_psi(week, feature) for week in data.weeks))
        for place, feature in enumerate(_most_drifted(data.weeks), start=1)
    )
    return lines(story, series, Backdrop(_runs(data), floor=finite(data.drift_floor), from_zero=True))


def _landed(data: ReportData) -> Chart:
    story = Story("landed", "Rows landed and quarantined", "Rows landed", "run", _NO_RUN, figures.count, thousands)
    landed = Series(Key("s1", "landed", "bar"), tuple(finite(week.rows_landed) for week in data.weeks))
    quarantined = Series(Key("s2", "quarantined", "bar"), tuple(finite(week.quarantined) for week in data.weeks))
    return bars(story, (landed, quarantined), Backdrop(_runs(data)), stacked=True)


def _scored(data: ReportData) -> Chart:
    story = Story("scored", "Rows scored and published", "Rows scored", "run", _NO_RUN, figures.count, thousands)
    scored = Series(Key("s1", "scored", "bar"), tuple(finite(week.scored) for week in data.weeks))
    published = Series(Key("s3", "published", "bar"), tuple(finite(week.published) for week in data.weeks))
    return bars(story, (scored, published), Backdrop(_runs(data)))


def _profit(data: ReportData, kpi: Kpi) -> Chart:
    title = f"{kpi.name[:1].upper()}{kpi.name[1:]}, {kpi.currency} a list"
    story = Story("profit", title, "Realised profit", "list", "No list has been published yet", figures.amount, thousands)
    realised = Series(Key("s1", "realised"), tuple(finite(one.realised) for one in data.lists))
    expected = Series(Key("s2", "expected"), tuple(finite(one.expected) for one in data.lists))
    target = Series(Key(REFERENCE, "target"), tuple(finite(kpi.target) for _ in data.lists))
    bounds = tuple((one.low, one.high) for one in data.lists)
    behind = Backdrop(tuple((one.as_of, one.model_version) for one in data.lists), bounds, from_zero=True)
    return lines(story, (realised, expected, target), behind)


def _cohorts(data: ReportData) -> Dated:
    return tuple((cohort.as_of, cohort.model_version) for cohort in data.cohorts)


def _runs(data: ReportData) -> Dated:
    return tuple((week.as_of, week.production_version) for week in data.weeks)


def _at_training(data: ReportData, take: Callable[[Metrics], Value]) -> Series:
    """For each cohort, what the model that scored it had reached on its holdout."""
    reached = {model.version: finite(take(model.holdout)) for model in data.models}
    values = tuple(reached.get(cohort.model_version or "") for cohort in data.cohorts)
    return Series(Key(REFERENCE, "at training (holdout)"), values)


def _psi(week: WeekRow, feature: str) -> Value:
    return next((finite(one.psi) for one in week.drift if one.feature == feature), None)


def _most_drifted(weeks: tuple[WeekRow, ...]) -> list[str]:
    """The features that may decide something, by their highest PSI, the highest first."""
    highest: dict[str, float] = {}
    for one in (one for week in weeks for one in week.drift if one.decides):
        if one.psi is not None and known(one.psi):
            highest[one.feature] = max(highest.get(one.feature, 0.0), one.psi)
    return sorted(highest, key=lambda feature: (-highest[feature], feature))[:MOST_FEATURES]
