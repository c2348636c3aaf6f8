"""The whole demo of one pipeline, from an empty folder, on the real shop's data. The ranking's has a market of its own (`test_recommend.py`)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pytest

import shop

pytestmark = [pytest.mark.slow, pytest.mark.spark]

WEEKS = [date(2011, 9, 5) + timedelta(days=7 * n) for n in range(14)]


@dataclass(frozen=True)
class Demo:
    """What the demo left and said."""

    lake: Path
    out: str
    err: str


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """`penstock demo --pipeline churn` in a folder of its own, with nothing set."""
    folder = tmp_path_factory.mktemp("demo")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PENSTOCK_") or k == "PENSTOCK_CACHE"}
    done = subprocess.run(
        [sys.executable, "-m", "penstock.cli", "demo", "--pipeline", "churn", "--weeks", "14"],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=1800, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return Demo(folder / "lakehouse", done.stdout, done.stderr)


def _day(row: dict[str, object]) -> date:
    return (row["as_of"] + timedelta(hours=2)).date()  # type: ignore[operator]  # London's midnight is 23:00 or 0:00 UTC


def test_every_week_is_scored_and_told_in_the_table(demo: Demo) -> None:
    scored = {_day(row) for row in shop.rows(demo.lake, "predictions_churn")}
    assert scored == {date(2011, 8, 29), *WEEKS}
    for week in WEEKS:
        assert str(week) in demo.out


def test_the_monitoring_decides_a_retraining_before_the_end(demo: Demo) -> None:
    decisions = [row for row in shop.rows(demo.lake, "decisions") if row["kind"] == "retrain"]
    retrained = {_day(row): row["rule"] for row in decisions if row["outcome"] == "yes"}
    assert retrained, [(_day(row), row["outcome"]) for row in decisions]
    assert min(retrained) < WEEKS[-1]
    versions = {row["model_version"] for row in shop.rows(demo.lake, "predictions_churn")}
    assert 1 in versions


def test_no_prediction_stands_twice(demo: Demo) -> None:
    keys = [(row["customer_id"], row["as_of"], row["model_version"]) for row in shop.rows(demo.lake, "predictions_churn")]
    assert len(keys) == len(set(keys)) > 14 * 1500


def test_no_customer_of_the_control_group_is_in_the_crm_table_or_in_redis(demo: Demo) -> None:
    from penstock.client import ScoreReader
    from penstock.publish.server import private_server

    scores = shop.rows(demo.lake, "predictions_churn")
    control = {row["customer_id"] for row in scores if row["is_control"]}
    newest = {row["customer_id"] for row in scores if _day(row) == WEEKS[-1]}
    assert 0.03 < len(control & newest) / len(newest) < 0.07
    assert not control & {row["customer_id"] for row in shop.rows(demo.lake, "crm_churn")}
    with private_server(demo.lake / "_redis") as server, ScoreReader(server.url, "churn") as reader:
        found = reader.get_many(sorted(newest))
    assert {key for key, score in found.items() if score is not None and score.provenance == "scored"} == newest - control


def test_realised_quality_is_measured_for_every_cohort_that_has_matured(demo: Demo) -> None:
    told = {row["subject"]: row["value"] for row in shop.rows(demo.lake, "metrics")
            if row["kind"] == "performance" and row["name"] == "auc" and row["segment"] == "all"}  # fmt: skip
    matured = [date(2011, 8, 29), *(week for week in WEEKS if week + timedelta(days=31) <= date(2011, 12, 10))]
    assert sorted(told) == [str(day) for day in matured]
    assert sum(told.values()) / len(told) > 0.70


def test_there_is_one_page_that_needs_nothing_else(demo: Demo) -> None:
    page = (demo.lake / "reports" / "churn.html").read_text(encoding="utf-8")
    assert page.count("<svg") > 3
    assert not re.search(r"""(src|href)=["']https?:""", page)
    assert re.findall(r"<(?:script|link)[^>]+(?:src|href)=\"(?!data:)", page) == []


def test_the_run_times_are_told(demo: Demo) -> None:
    assert re.search(r"The whole loop took \d+ s", demo.err)
    seconds = [float(s) for s in re.findall(r"\((\d+\.\d) s\)", demo.err)]
    assert len(seconds) == 8 * 15 + 4
