"""The page in a real headless Chromium: silent console, every chart drawn, no overflow, dark mode, no network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import chromium
from penstock.report.data import Drift, ReportData
from penstock.report.page import render
from report_sample import report

BROWSER = chromium.find()
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on the PATH: apt-get install -y chromium")

OPEN_ALL = "document.querySelectorAll('details').forEach(d => d.open = true)"
# For each chart: its id, whether its box is visible, and how many of its shapes have an extent on the screen.
CHARTS = """[...document.querySelectorAll('svg.plot')].map(plot => {
  const box = plot.getBoundingClientRect();
  const drawn = [...plot.querySelectorAll('path.line, rect.bar, circle.dot')].filter(shape => {
    const b = shape.getBoundingClientRect();
    const style = getComputedStyle(shape);
    return Math.max(b.width, b.height) > 0 && (style.fill !== 'none' || style.stroke !== 'none');
  }).length;
  const inside = [...plot.querySelectorAll('text')].every(text => {
    const b = text.getBoundingClientRect();
    return b.left >= box.left - 1 && b.right <= box.right + 1 && b.top >= box.top - 1 && b.bottom <= box.bottom + 1;
  });
  const smallest = Math.min(...[...plot.querySelectorAll('text')].map(text => text.getBoundingClientRect().height));
  return {id: plot.closest('figure').id, width: box.width, height: box.height, drawn, inside, smallest};
})"""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
WEEKLY = ("auc", "rates", "brier", "drift", "landed", "scored", "profit")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Page]:
    assert BROWSER is not None
    with chromium.Page(BROWSER, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return write(report(), tmp_path)


def write(data: ReportData, folder: Path) -> Path:
    path = folder / "churn.html"
    path.write_text(render(data), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [390, 768, 1280, 1920])
def test_every_chart_is_drawn_and_the_page_does_not_overflow_at_width(page: chromium.Page, written: Path, width: int) -> None:
    page.complaints.clear()
    page.open(written, width=width)
    page.evaluate(OPEN_ALL)
    charts = page.evaluate(CHARTS)
    assert [chart["id"] for chart in charts[: len(WEEKLY)]] == list(WEEKLY)
    assert len(charts) == 15
    for chart in charts:
        assert min(chart["width"] / 250, chart["height"] / 120, chart["smallest"] / 10) > 1, chart
        assert chart["drawn"] > 0, chart
        assert chart["inside"], chart
    assert page.evaluate(OVERFLOW) == 0
    assert page.complaints == []


@pytest.mark.parametrize("weeks", [0, 1, 60])
def test_no_weeks_one_week_and_sixty_weeks_fit_a_phone(page: chromium.Page, tmp_path: Path, weeks: int) -> None:
    page.complaints.clear()
    page.open(write(report(weeks), tmp_path), width=390)
    page.evaluate(OPEN_ALL)
    charts = page.evaluate(CHARTS)
    assert all(chart["height"] > 120 and chart["inside"] for chart in charts), charts
    assert all(chart["drawn"] > 0 for chart in charts if chart["id"] in ("landed", "scored", "drift")) == (weeks > 0)
    assert page.evaluate(OVERFLOW) == 0
    assert page.complaints == []


def test_long_names_and_big_numbers_do_not_widen_the_page(page: chromium.Page, tmp_path: Path) -> None:
    data = report()
    long = "a_feature_with_a_name_that_does_not_want_to_end_180d" * 3
    week = replace(
        data.weeks[0], rows_landed=123_456_789_012, drift=(Drift(long, 0.3),), decision=long, reasons=(long,), production_version=long
    )
    page.open(write(replace(data, pipeline=long, purpose=long, weeks=(week, *data.weeks[1:])), tmp_path), width=390)
    page.evaluate(OPEN_ALL)
    assert page.evaluate(OVERFLOW) == 0


def test_dark_mode_is_dark_and_its_text_has_contrast(page: chromium.Page, written: Path) -> None:
    # Relative luminance of the body's background, of its text and of a chart's text, as WCAG 2 defines it.
    script = """['backgroundColor', 'color'].map(name => getComputedStyle(document.documentElement)[name])
      .concat([getComputedStyle(document.querySelector('.plot text')).fill, getComputedStyle(document.querySelector('figure')).backgroundColor])
      .map(color => color.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
      .map(([r, g, b]) => 0.2126 * r + 0.7152 * g + 0.0722 * b)"""
    shots = []
    for dark in (False, True):
        page.open(written, dark=dark)
        paper, ink, label, card = page.evaluate(script)
        assert (paper < 0.05) == dark
        for text, ground in ((ink, paper), (label, card)):
            assert (max(text, ground) + 0.05) / (min(text, ground) + 0.05) >= 4.5
        shots.append(page.screenshot())
    assert shots[0] != shots[1]


def test_the_week_table_scrolls_sideways_on_a_phone_only(page: chromium.Page, written: Path) -> None:
    script = "[...document.querySelectorAll('.weeks')].map(box => box.scrollWidth > box.clientWidth)"
    page.open(written, width=1280)
    assert page.evaluate(script) == [False] * 4
    page.open(written, width=390)
    assert page.evaluate(script)[0]


def test_the_header_row_stays_in_sight_while_the_weeks_scroll(page: chromium.Page, tmp_path: Path) -> None:
    page.open(write(report(60), tmp_path))
    script = """(() => { const box = document.querySelector('.weeks'); box.scrollTop = 900;
      return [box.scrollTop, box.querySelector('thead th').getBoundingClientRect().top - box.getBoundingClientRect().top]; })()"""
    scrolled, offset = page.evaluate(script)
    assert scrolled == 900
    assert abs(offset) < 2


def test_nothing_but_the_file_is_requested_and_a_script_that_got_in_does_not_run(page: chromium.Page, tmp_path: Path) -> None:
    path = write(report(), tmp_path)
    page.requests.clear()
    page.open(path)
    assert set(page.requests) <= {path.as_uri(), "data:,"}
    page.complaints.clear()
    spoilt = path.read_text(encoding="utf-8").replace(
        "<main>", "<main><script>window.ran = true</script><img src='http://127.0.0.1:9/x.png'>"
    )
    path.write_text(spoilt, encoding="utf-8")
    page.open(path)
    assert page.evaluate("window.ran === undefined")
    assert len(page.complaints) == 2
    assert all("Content Security Policy" in complaint for complaint in page.complaints)
