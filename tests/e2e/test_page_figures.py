"""The page of a real lake, as a browser shows it, beside the lake's own files: each figure is the one that a table or MLflow holds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import chromium
import shop
from clients import Clients, words

BROWSER = chromium.find()
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on the PATH: apt-get install -y chromium")

# Every table of the page by its label: rows of cells, each the lines of text that stand in it.
TABLES = """Object.fromEntries([...document.querySelectorAll('[role=region]')].map(box => [box.ariaLabel, [...box.querySelectorAll('tr')].map(
  row => [...row.children].map(cell => [...cell.childNodes].map(node => node.textContent.trim()).filter(text => text)))]))"""
FACTS = """Object.fromEntries([...document.querySelectorAll('#purpose dl > div')].map(
  fact => [fact.children[0].textContent, [...fact.children].slice(1).map(one => one.textContent.trim())]))"""
RIGHT, WRONG, THRESHOLD = 3.0, -2.0, 0.4
"""Of the shop's purpose: acting breaks even where p * 3 = (1 - p) * 2."""


@pytest.fixture(scope="module")
def lake(clients: Clients, shop_conf: Path, history: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs: the list of the first one has matured, that of the second has not."""
    made = shop.copy_lake(history, tmp_path_factory.mktemp("page") / "lake")
    shop.second_delivery(made / "landing")
    clients.run(*words("run", made, shop_conf, as_of=shop.NEXT))
    clients.run(*words("report", made, shop_conf))
    return made


@pytest.fixture(scope="module")
def page(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Page]:
    assert BROWSER is not None
    with chromium.Page(BROWSER, tmp_path_factory.mktemp("profile")) as opened:
        opened.open(lake / "reports" / "tiny.html")
        yield opened


def day(instant: datetime) -> date:
    """The shop's day of an instant."""
    whole = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return whole.astimezone(ZoneInfo("Europe/London")).date()


def money(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 99.995 else f"{value:,.2f}"


def scores(lake: Path, as_of: date) -> list[dict[str, Any]]:
    """The published scores of an `as_of`: the champion's, without the withheld ones."""
    champion = [row for row in shop.rows(lake, "predictions_tiny") if row["role"] == "champion" and not row["backfill"]]
    return [row for row in champion if day(row["as_of"]) == as_of and not row["is_control"]]


def listed(published: list[dict[str, Any]]) -> list[float]:
    """The rounded scores that are on the list."""
    return [score for row in published if (score := round(row["score"], 4)) >= THRESHOLD]


def told(lake: Path, as_of: date) -> dict[str, float]:
    """What monitoring's table says of a matured list."""
    found = [row for row in shop.rows(lake, "metrics") if row["kind"] == "kpi" and row["subject"] == str(as_of)]
    return {row["name"]: row["value"] for row in found if row["state"] == "evaluated"}


def test_the_purpose_tells_the_profit_that_scores_and_labels_give(lake: Path, page: chromium.Page) -> None:
    facts = page.evaluate(FACTS)
    newest, first = scores(lake, shop.NEXT), scores(lake, shop.HISTORY)
    on_list = listed(newest)
    assert on_list
    assert facts["Expected of the newest list"] == [
        money(sum(s * RIGHT + (1 - s) * WRONG for s in on_list)),
        f"{len(on_list)} of {len(newest)} published on {shop.NEXT} reach the threshold",
    ]
    label = {row["customer_id"]: row["label"] for row in shop.rows(lake, "labels_tiny") if day(row["as_of"]) == shop.HISTORY}
    outcomes = [label[row["customer_id"]] for row in first if round(row["score"], 4) >= THRESHOLD]
    realised, kpi = sum(RIGHT if outcome else WRONG for outcome in outcomes), told(lake, shop.HISTORY)
    assert kpi["realised"] == pytest.approx(realised)
    assert facts["Realised by the newest matured list"] == [
        money(realised),
        f"list of {shop.HISTORY}, interval {money(kpi['realised_low'])} to {money(kpi['realised_high'])}, expected {money(kpi['expected'])}",
    ]
    assert facts["Target"] == ["50.00", "✓ reached" if realised >= 50 else "✗ not reached"]
    assert facts["Threshold"][0] == f"{THRESHOLD:.3f}"


def test_the_lists_are_those_of_the_predictions_and_of_the_monitoring(lake: Path, page: chromium.Page) -> None:
    rows = page.evaluate(TABLES)["Lists"][1:]
    assert [row[0] for row in rows] == [[str(shop.HISTORY)], [str(shop.NEXT)]]
    for row, as_of, state in zip(rows, (shop.HISTORY, shop.NEXT), ("evaluated", "pending"), strict=True):
        published = scores(lake, as_of)
        (version,) = {str(one["model_version"]) for one in published}
        expected = sum(s * RIGHT + (1 - s) * WRONG for s in listed(published))
        assert row[1:6] == [[version], [state], [str(len(published))], [str(len(listed(published)))], [money(expected)]]
    kpi = told(lake, shop.HISTORY)
    assert rows[0][6:] == [
        [money(kpi["realised"])],
        [f"{money(kpi['realised_low'])} to {money(kpi['realised_high'])}"],
        [f"{100 * kpi['list_rate']:.1f}\u00a0%"],
        [f"{100 * kpi['control_rate']:.1f}\u00a0%"] if "control_rate" in kpi and kpi["control_rate"] is not None else ["–"],
    ]
    assert rows[1][6:] == [["–"]] * 4


def test_the_candidates_are_those_of_the_comparison_in_mlflow(lake: Path, page: chromium.Page) -> None:
    tables = page.evaluate(TABLES)
    shown = [rows[1:] for name, rows in tables.items() if name.startswith("Candidates of ")]
    held = [json.loads(path.read_text(encoding="utf-8")) for path in (lake / "mlflow" / "artifacts").rglob("comparison.json")]
    assert len(held) == len(shown) > 0
    assert sorted(shown) == sorted([[_contender(one) for one in comparison] for comparison in held])


def _contender(one: dict[str, Any]) -> list[list[str]]:
    """A line of the comparison as its row on the page has to be."""

    def figure(name: str, form: str = ".3f") -> str:
        value = one["figures"].get(name, {}).get("value")
        return "–" if value is None else format(value, form)

    auc, profit = one["figures"]["auc"], one["figures"].get("profit", {}).get("value")
    bounds = "–" if auc["low"] is None else f"{auc['low']:.3f} to {auc['high']:.3f}"
    weakest = ["–" if one["weakest_figure"] is None else f"{one['weakest_figure']:.3f}"]
    cost = one["cost"]
    return [
        [one["name"].replace("_", " "), one["kind"] + (", chosen" if one["chosen"] else "")],
        [figure("auc"), bounds],
        [figure("average_precision")],
        [figure("brier")],
        ["–" if profit is None else money(profit)],
        weakest + ([one["weakest_segment"]] if one["weakest_segment"] else []),
        [f"{cost['size_bytes'] / 1024:,.0f}" if cost else "–"],
        [f"{cost['row_micros']:,.1f}" if cost else "–"],
    ]


def test_the_contracts_facts_the_quarantine_and_the_checks_are_those_of_the_files_table(lake: Path, page: chromium.Page) -> None:
    tables = page.evaluate(TABLES)
    files = shop.rows(lake, "files_shop_orders")
    counts = Counter[str]()
    for file in files:
        counts.update(file["checks"])
    shown = {row[0][0]: row[1][0] for row in tables["What the contract counted in the landed rows"][1:]}
    assert {name: shown[name] for name in ("files", "rows landed", "rows in quarantine", "no customer")} == {
        "files": str(len(files)),
        "rows landed": f"{sum(f['accepted'] for f in files):,}",
        "rows in quarantine": str(len(shop.rows(lake, "quarantine_shop_orders"))),
        "no customer": str(counts["no_customer"]),
    }
    assert len(shop.rows(lake, "landing_shop_orders")) == sum(f["accepted"] for f in files)
    reasons = Counter(reason for row in shop.rows(lake, "quarantine_shop_orders") for reason in row["reasons"])
    assert {row[0][0]: row[1][0] for row in tables["Rows set aside, by reason"][1:]} == {
        name.replace("_", " "): str(count) for name, count in reasons.items()
    }
    checks = tables["What the checks of the newest run said"][1:]
    rows = len(shop.rows(lake, "features_tiny_activity"))
    assert checks == [[["windows nested"], ["✓ passed"], [f"orders_14d <= orders_42d: in every one of {rows:,} feature rows"]]]
