"""The page and the terminal table as functions of their input: same figures, unknown as a dash, nothing executed."""

from __future__ import annotations

import itertools
import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import date, timedelta
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.report import figures, svg
from penstock.report.charts import weekly
from penstock.report.data import CalibrationPoint, Cohort, Count, Drift, Importance, Metrics, Now, ReportData, WeekRow, from_json, to_json
from penstock.report.model_charts import of_model
from penstock.report.page import render
from penstock.report.plots import changes
from penstock.report.text import WIDTH, week_table
from report_sample import report

EMPTY = ReportData("churn", "Who leaves?", date(2011, 9, 5))
VOID = {"meta", "link", "br", "img"}


class Reader(HTMLParser):
    """Collects the tables of a page as texts, all tags, and whether every tag is closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self._open: list[str] = []
        self._label, self._row, self._cell = "", [], None
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self._open.append(tag)
        if dict(attrs).get("role") == "region":
            self._label = dict(attrs)["aria-label"] or ""
            self.tables[self._label] = []
        elif tag == "tr":
            self._row = []
        elif tag in ("td", "th"):
            self._cell = []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag in ("td", "th") and self._cell is not None:
            self._row.append(" ".join(" ".join(self._cell).split()))
            self._cell = None
        elif tag == "tr":
            self.tables[self._label].append(self._row)

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)


def test_every_figure_of_a_week_stands_in_its_row_of_the_page() -> None:
    data = report()
    rows = Reader(render(data)).tables["Week by week"][1:]
    assert len(rows) == len(data.weeks)
    for week, row in zip(data.weeks, rows, strict=True):
        cohort = week.matured[0] if week.matured else None
        drift = week.worst_drift
        assert drift is not None
        assert drift.feature != "tenure_days"
        assert row == [
            week.as_of.isoformat(),
            f"{week.rows_landed:,} {week.files} files",
            f"{week.quarantined:,}",
            f"{week.feature_rows:,}",
            f"{week.scored:,}",
            f"{week.published:,} {week.withheld_control} control",
            f"{cohort.metrics.rows:,} of {cohort.as_of}" if cohort else "–",
            f"{cohort.metrics.auc:.3f}" if cohort else "–",
            f"{cohort.metrics.brier:.3f}" if cohort else "–",
            f"{drift.psi:.2f} {drift.feature}",
            " ".join([week.decision or "–", *week.reasons]),
            week.production_version,
            f"{week.seconds:.1f}",
        ]


def test_every_figure_of_a_matured_week_and_of_a_model_stands_in_the_page() -> None:
    data = report()
    tables = Reader(render(data)).tables
    for cohort, row in zip(data.cohorts, tables["Matured weeks"][1:], strict=True):
        m = cohort.metrics
        expected = [f"{m.rows:,}", f"{m.auc:.3f}", f"{cohort.auc_low:.3f} to {cohort.auc_high:.3f}", f"{m.average_precision:.3f}"]
        expected += [f"{m.brier:.3f}", f"{m.ece:.3f}", f"{m.lift:.2f}", f"{cohort.observed_rate:.1%}", f"{cohort.predicted_rate:.1%}"]
        assert [row[0], row[1]] == [cohort.as_of.isoformat(), cohort.model_version]
        assert [cell.replace("\u00a0", "").replace(" %", "%") for cell in row[2:]] == expected
    newest, oldest = tables["Model versions"][1:]
    assert (newest[0], newest[3], newest[10], oldest[0], oldest[10]) == ("2", "36,902", "5 of 5", "1", "4 of 5")
    assert newest[9] == "795 everybody -310"
    assert [row[:2] for row in tables["Gates of version 1"][1:]][1] == ["not worse than champion", "? not evaluable"]
    assert ["rows landed", "541,909"] in tables["What the contract counted in the landed rows"]
    assert ["rows not yet judged", "–"] in tables["What the contract counted in the landed rows"]
    assert [row[1] for row in tables["What the checks of the newest run said"][1:]] == [
        "✓ passed",
        "✓ passed",
        "✗ failed",
        "? not evaluable",
    ]


def test_the_page_opens_with_the_purpose_and_shows_every_list_expected_and_realised() -> None:
    data = report()
    page = render(data)
    assert page.index('id="purpose"') < page.index('id="now"')
    assert "profit of the weekly mailing, GBP a list; owner crm@shop.example" in page
    assert "where acting breaks even: 3.50 for a right one, -6.50 for a wrong one" in page
    lists = Reader(page).tables["Lists"][1:]
    assert lists[0] == ["2011-09-05", "1", "evaluated", "1,800", "760", "812", "790", "550 to 1,030", "75.0 %", "77.0 %"]
    assert lists[-1] == ["2011-12-05", "2", "pending", "2,320", "877", "955", "–", "–", "–", "–"]
    assert len(lists) == len(data.lists) == 14


@pytest.mark.parametrize(("target", "said"), [(100.0, "✓ reached"), (500.0, "✗ not reached")])
def test_the_target_is_told_as_reached_or_not_by_the_newest_matured_list(target: float, said: str) -> None:
    data = report()
    assert data.kpi is not None
    assert data.newest_realised is not None
    assert data.newest_realised.realised == 110.0
    page = render(replace(data, kpi=replace(data.kpi, target=target)))
    assert said in page[page.index('id="purpose"') : page.index('id="now"')]
    pending = render(replace(data, lists=tuple(replace(one, realised=None) for one in data.lists)))
    assert "? not known yet" in pending


def test_without_amounts_the_page_says_nothing_of_money() -> None:
    data = report()
    page = render(replace(data, kpi=None, lists=(), models=tuple(replace(model, acting=None) for model in data.models)))
    for word in ("purpose", "GBP", "rofit", "Lists"):
        assert word not in page


def test_a_model_shows_its_profit_by_share_contacted() -> None:
    chart = of_model(report().models[1], 1, report())[-1]
    assert chart.title == "Profit a list by share contacted, GBP"
    assert "42.0\u00a0% of the rows and brings 795" in chart.summary
    assert chart.rows[0] == ("0.0\u00a0%", "0.00")
    assert chart.rows[-1] == ("100.0\u00a0%", "-310")


def test_a_charts_table_holds_the_values_that_were_drawn() -> None:
    data = report()
    auc, rates, brier, drift, landed, scored, profit = weekly(data)
    assert [row[1] for row in auc.rows] == [f"{c.metrics.auc:.3f}" for c in data.cohorts]
    assert [row[2] for row in auc.rows] == ["0.748"] * 7 + ["0.739"] * 2
    assert [row[1] for row in brier.rows] == [f"{c.metrics.brier:.3f}" for c in data.cohorts]
    assert [row[1] for row in rates.rows] == [figures.share(c.observed_rate) for c in data.cohorts]
    assert [row[1:3] for row in landed.rows] == [(f"{w.rows_landed:,}", f"{w.quarantined:,}") for w in data.weeks]
    assert [row[1:] for row in scored.rows] == [(f"{w.scored:,}", f"{w.published:,}", w.production_version) for w in data.weeks]
    assert [row[1:4] for row in profit.rows] == [(figures.amount(one.realised), figures.amount(one.expected), "500") for one in data.lists]
    assert drift.columns[1] == "orders_30d"
    assert "tenure_days" not in drift.columns
    titles = re.findall(r"<rect class=\"bar s1\".*?<title>(.*?)</title>", str(landed.drawing))
    assert titles == [f"{w.as_of}, landed: {w.rows_landed:,}" for w in data.weeks]


def test_a_points_height_is_its_value() -> None:
    chart = weekly(report())[0]
    heights = [float(y) for y in re.findall(r'<circle class="dot s1"[^>]*cy="([\d.]+)"', str(chart.drawing))]
    values = [float(row[1]) for row in chart.rows]
    assert len(heights) == len(values) == 9
    slope = (heights[1] - heights[0]) / (values[1] - values[0])
    assert slope < 0
    assert heights == pytest.approx([heights[0] + slope * (value - values[0]) for value in values], abs=1.5)


def test_what_is_not_known_is_a_titled_dash_and_never_zero() -> None:
    week = WeekRow(date(2011, 9, 5), scored=0)
    page = render(replace(EMPTY, weeks=(week,)))
    row = Reader(page).tables["Week by week"][1]
    assert row == ["2011-09-05", "– – files", "–", "–", "0", "– – control", "–", "–", "–", "–", "–", "–", "–"]
    assert '<abbr class="unknown" title="not known yet">–</abbr>' in page
    assert week_table(replace(EMPTY, weeks=(week,))).splitlines()[2].split() == ["2011-09-05", "–", "–", "0"] + ["–"] * 6


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_or_not_finite_is_written_as_unknown_and_never_drawn(value: float | None) -> None:
    for write in (figures.count, figures.metric, figures.share, figures.ratio, figures.amount, figures.seconds):
        assert write(value) == "–"
    cohort = Cohort(date(2011, 9, 5), Metrics(rows=10, auc=value, brier=value), "1", value, value, value, value)
    week = WeekRow(date(2011, 10, 10), rows_landed=1, matured=(cohort,), drift=(Drift("spend", value),), seconds=value)
    page = render(replace(EMPTY, weeks=(week,), drift_floor=value))
    assert week.worst_drift is None
    assert "nan" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL).lower().split(">")
    assert ">inf" not in page
    assert 'd="M' not in str(weekly(replace(EMPTY, weeks=(week,)))[0].drawing)


def test_zero_alerts_and_unknown_alerts_are_told_apart() -> None:
    assert "nothing to act on" in render(replace(EMPTY, now=Now(open_alerts=())))
    assert "nobody has looked yet" in render(EMPTY)


def test_markup_in_any_name_is_shown_and_not_executed() -> None:
    evil = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'&"
    data = report()
    week = replace(data.weeks[6], decision=evil, reasons=(evil,), production_version=evil, drift=(Drift(evil, 0.5),), matured=())
    model = replace(
        data.models[0], version=evil, standing=evil, approved_by=evil, best_heuristic=evil, importances=(Importance(evil, 1.0),)
    )
    model = replace(model, gates=(replace(model.gates[0], name=evil, sentence=evil),))
    facts = replace(data.data, contract=(Count(evil, 1),), quarantine=(Count(evil, 1),))
    now = Now((replace(data.now.freshness[0], source=evil, promise=evil),), 0, (evil,), evil)
    kpi = replace(data.kpi, name=evil, currency=evil, owner=evil)
    lists = (replace(data.lists[0], model_version=evil, state=evil),)
    spoilt = ReportData(
        evil, evil, data.as_of, evil, evil, data.production, now, (data.weeks[5], week), (model,), facts, 0.2, evil, kpi, lists
    )
    page = render(spoilt)
    tags = set(Reader(page).tags)
    assert not tags & {"script", "img", "iframe", "object", "form"}
    assert "&lt;script&gt;" in page
    assert "<script" not in page


def test_the_page_has_no_script_no_style_attribute_and_forbids_the_network() -> None:
    page = render(report())
    assert "default-src 'none'; style-src 'sha256-" in page.replace("&#39;", "'")
    assert not re.search(r"<script|\sstyle=|\son[a-z]+=|https?:|@import|url\(", page)
    assert set(re.findall(r'(?:href|src)="([^"]*)"', page)) == {"data:,", "#purpose", "#now", "#weeks", "#model", "#data"}


@pytest.mark.parametrize("weeks", [0, 1, 2, 14, 60])
def test_any_number_of_weeks_makes_a_whole_page_and_well_formed_charts(weeks: int) -> None:
    data = report(weeks)
    reader = Reader(render(data))
    assert len(reader.tables["Week by week"]) == 1 + max(weeks, 1)
    for chart in (*weekly(data), *of_model(data.models[0], 1, data)):
        root = ET.fromstring(str(chart.drawing))
        assert root.find("title") is not None
        assert root.find("desc") is not None
        numbers = [float(n) for box in root.iter() for k, n in box.attrib.items() if k in ("x", "x1", "x2", "cx", "y", "y1", "y2", "cy")]
        assert all(-1 <= number <= svg.WIDTH + 1 for number in numbers)
    names = [chart.name for chart in weekly(data)]
    assert len(set(names)) == len(names)


def test_an_empty_report_says_so_everywhere() -> None:
    page = render(EMPTY)
    for sentence in ("No weekly run yet.", "No week has matured yet", "No model has been trained yet.", "None known yet.", "No run yet"):
        assert sentence in page
    assert week_table(EMPTY) == "churn: no weekly run yet.\n"


@pytest.mark.parametrize("weeks", [1, 14, 60])
def test_the_terminal_table_is_aligned_and_fits_120_columns(weeks: int) -> None:
    lines = week_table(report(weeks)).splitlines()
    assert max(len(line) for line in lines) <= WIDTH
    rule = lines[1]
    gaps = [i for i, letter in enumerate(rule) if letter == " "]
    for line in (lines[0], *lines[2 : 2 + weeks]):
        assert all(line.ljust(WIDTH)[i] == " " for i in gaps), line


def test_the_terminal_table_has_the_weeks_figures_and_the_reasons_of_a_retraining() -> None:
    data = report()
    text = week_table(data)
    week = data.weeks[6]
    line = next(line for line in text.splitlines() if line.startswith(week.as_of.isoformat()))
    auc, brier = week.matured[0].metrics.auc, week.matured[0].metrics.brier
    assert line.split() == [
        *(week.as_of.isoformat(), f"{week.rows_landed:,}", str(week.quarantined), f"{week.scored:,}", f"{week.published:,}"),
        *("1,930", f"{auc:.3f}", f"{brier:.3f}", "orders_30d", "0.21", "retrain"),
    ]
    assert f"{week.as_of}  retrain: {week.reasons[0]}" in text


def test_days_of_a_file_are_counted_as_days_and_nothing_in_quarantine_is_no_unknown() -> None:
    data = replace(report(1), deliveries="day", data=replace(report(1).data, quarantine=()))
    tables = Reader(render(data)).tables
    assert tables["Week by week"][1][1].endswith(" 6 days")
    assert tables["Rows set aside, by reason"][1:] == [["None."]]
    assert Reader(render(EMPTY)).tables["Rows set aside, by reason"][1:] == [["None known yet."]]


def test_reasons_are_one_sentence_of_the_terminal() -> None:
    week = WeekRow(date(2011, 10, 17), decision="first model", reasons=("No model is there.", "Version 1 became Production."))
    assert "2011-10-17  first model: No model is there; Version 1 became Production.\n" in week_table(replace(EMPTY, weeks=(week,)))


def test_two_cohorts_that_mature_in_one_run_are_both_in_the_terminal_table() -> None:
    cohorts = tuple(
        Cohort(date(2011, 9, 5) + timedelta(days=7 * i), Metrics(rows=1_000 + i, auc=0.7 + i / 100, brier=0.2)) for i in range(2)
    )
    lines = week_table(replace(EMPTY, weeks=(WeekRow(date(2011, 10, 17), matured=cohorts),))).splitlines()
    assert "1,000  0.700" in lines[2]
    assert lines[3].split() == ["1,001", "0.710", "0.200"]


def test_long_and_hostile_names_keep_the_terminal_table_whole() -> None:
    week = WeekRow(
        date(2011, 9, 5),
        drift=(Drift("a_very_long_feature_name_90d\x1b[2J", 12.34),),
        decision="retrain\nnow and for ever",
        reasons=("x" * 300,),
    )
    text = week_table(replace(EMPTY, weeks=(week,)))
    assert "\x1b" not in text
    assert "12.34" in text
    assert max(len(line) for line in text.splitlines()) <= WIDTH


def test_the_input_survives_json() -> None:
    assert from_json(to_json(report())) == report()
    assert from_json(to_json(replace(EMPTY, drift_floor=math.nan))).drift_floor is None


def test_the_same_input_gives_the_same_page() -> None:
    assert render(report()) == render(report())


def test_a_version_change_is_marked_on_its_first_day_only() -> None:
    days = [date(2011, 9, 5) + timedelta(days=7 * i) for i in range(5)]
    assert changes(tuple(zip(days, [None, "1", None, "2", "2"], strict=True))) == ((days[3], "2"),)


@given(st.floats(-1e9, 1e9), st.floats(0, 1e9), st.integers(3, 8))
def test_ticks_enclose_the_values_and_are_few_and_even(low: float, length: float, most: int) -> None:
    high = low + length
    steps = svg.ticks(low, high, most)
    slack = 1e-6 * max(abs(low), abs(high), 1.0)
    assert 2 <= len(steps) <= most
    assert steps[0] <= low + slack
    assert steps[-1] >= high - slack
    gaps = [b - a for a, b in itertools.pairwise(steps)]
    assert max(gaps) - min(gaps) <= slack
    assert min(gaps) > 0


def test_a_regression_has_its_own_columns_and_charts_and_none_of_the_others() -> None:
    data = of_values(report())
    page, table = Reader(render(data)), week_table(data)
    assert {"MAE", "Bias"} <= set(page.tables["Week by week"][0])
    assert page.tables["Matured weeks"][0][3:9] == ["MAE", "95 % interval", "RMSE", "R2", "Bias", "Observed mean"]
    assert page.tables["Matured weeks"][1][3:8] == ["1,515", "1,428 to 1,597", "1,830", "0.078", "-154.9"]
    assert "Best heuristic MAE" in page.tables["Model versions"][0]
    assert [chart.name for chart in weekly(data)][:3] == ["mae", "means", "bias"]
    assert [chart.name for chart in of_model(data.models[0], 1, data)][:2] == ["values-1", "importances-1"]
    for word in ("AUC", "Brier"):
        assert word not in render(data)
        assert word not in table
    assert max(map(len, table.splitlines())) <= 120
    assert "1,515" in table


def of_values(data: ReportData) -> ReportData:
    """The report as that of a regression: the same weeks and models with errors in place of probabilities."""
    holdout = Metrics(rows=462, mae=1515.2, rmse=1830.4, r2=0.078, bias=-154.93)
    weeks = tuple(
        replace(w, reasons=(), matured=tuple(Cohort(c.as_of, holdout, "1", None, None, 1900.0, 1745.1, 1428.2, 1597.4) for c in w.matured))
        for w in data.weeks
    )
    points = tuple(CalibrationPoint(900.0 + 200 * n, 880.0 + 210 * n, 46) for n in range(10))
    models = tuple(replace(m, holdout=holdout, contenders=(), gates=(), acting=None, gain=(), calibration=points) for m in data.models)
    made = replace(data.production, holdout=holdout) if data.production else None
    unit = "rise of MAE when shuffled"
    return replace(data, kind="regression", weeks=weeks, models=models, production=made, kpi=None, lists=(), importance_unit=unit)
