"""A definition that is changed between two runs: the old rows, scores and model keep theirs, and the next model gets the new."""

from __future__ import annotations

import json
import shutil
import sqlite3
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

import shop
from clients import Clients, words

WEEK = shop.HISTORY + timedelta(days=7)
AFTER = shop.HISTORY + timedelta(days=14)
BASKET = '{name: basket_42d, expression: "spend_42d / nullif(orders_42d, 0)"}'
IN_PENCE = '{name: basket_42d, expression: "100 * spend_42d / nullif(orders_42d, 0)", description: "pence an order", tags: [money]}'
OLD, NEW = "features_tiny_activity", "features_tiny_activity_v2"
MANUAL = ("--set", "promotion.approval=manual")


@pytest.fixture(scope="module")
def changed(shop_conf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same configuration with one column that means something else."""
    conf = tmp_path_factory.mktemp("changed") / "conf"
    shutil.copytree(shop_conf, conf)
    file = conf / "pipelines" / "tiny.yml"
    text = file.read_text(encoding="utf-8")
    assert BASKET in text
    file.write_text(text.replace(BASKET, IN_PENCE), encoding="utf-8")
    return conf


def of_day(rows: list[dict[str, Any]], day: date | None = None, **wanted: object) -> dict[str, dict[str, Any]]:
    """Rows by customer: of one `as_of` (its local midnight is in summer time), with the values wanted."""
    kept = [r for r in rows if day is None or (r["as_of"] + timedelta(hours=1)).date() == day]
    return {row["customer_id"]: row for row in kept if all(row[name] == value for name, value in wanted.items())}


def tags(lake: Path) -> dict[int, str]:
    with sqlite3.connect(f"file:{lake / 'mlflow' / 'mlflow.db'}?mode=ro", uri=True) as db:
        return dict(db.execute("SELECT version, value FROM model_version_tags WHERE key = 'penstock.features'").fetchall())


def artefact(lake: Path, name: str) -> list[Any]:
    """What the newest training run logged under a name."""
    newest = max((lake / "mlflow" / "artifacts").rglob(name), key=lambda path: path.stat().st_mtime_ns)
    found: list[Any] = json.loads(newest.read_text(encoding="utf-8"))
    return found


@pytest.mark.slow
def test_a_changed_definition_is_backfilled_beside_the_old_one_which_the_old_model_goes_on_using(
    clients: Clients, shop_conf: Path, changed: Path, history: Path, tmp_path: Path
) -> None:
    lake, unchanged = (shop.copy_lake(history, tmp_path / name / "lake") for name in ("changed", "unchanged"))
    for each in (lake, unchanged):
        shop.write_days(each / "landing", shop.HISTORY, AFTER - timedelta(days=1))
    before = {name: shop.canonical(lake, name) for name in (OLD, "predictions_tiny")}
    labels = of_day(shop.rows(lake, "labels_tiny"), shop.HISTORY - timedelta(days=28), state="matured")

    # The run in which it changed, killed between the two versions' tables and begun again. A person has yet to approve.
    again = words("run", lake, changed, *MANUAL, as_of=WEEK)
    clients.killed("features.appended", *again)
    clients.killed("score.appended", *again)
    clients.run(*again)
    clients.run(*words("run", unchanged, shop_conf, *MANUAL, as_of=WEEK))

    old, new = shop.rows(lake, OLD), shop.rows(lake, NEW)
    assert set(before[OLD]) < set(shop.canonical(lake, OLD))
    assert len(old) == len(new)
    pence = {(r["customer_id"], r["as_of"]): r["basket_42d"] for r in new}
    pounds = {(r["customer_id"], r["as_of"]): r["basket_42d"] for r in old}
    assert pence == {key: None if value is None else pytest.approx(100 * value) for key, value in pounds.items()}
    # The old model scores the new week with its own features: as had nobody changed anything.
    assert set(before["predictions_tiny"]) < set(shop.canonical(lake, "predictions_tiny"))
    assert shop.canonical(lake, "predictions_tiny") == shop.canonical(unchanged, "predictions_tiny")
    assert of_day(shop.rows(lake, "predictions_tiny"), WEEK, model_version=1)
    # What came of past weeks is what it was: the outcome's own meaning did not change.
    still = of_day(shop.rows(lake, "labels_tiny"), shop.HISTORY - timedelta(days=28), state="matured")
    assert labels
    assert {c: (r["label"], r["revision"]) for c, r in still.items()} == {c: (r["label"], r["revision"]) for c, r in labels.items()}
    # The monitoring asked for a model of the new version, and its gates had the champion's scores.
    decisions = shop.rows(lake, "decisions")
    assert [r["rule"] for r in decisions if r["kind"] == "retrain" and r["outcome"] == "yes"] == ["definition"]
    verdicts = {v["gate"]: v for v in json.loads([r for r in decisions if r["kind"] == "gate"][-1]["evidence"])}
    assert "difference" in verdicts["not_worse_than_champion"]
    versions = tags(lake)
    assert sorted(v.split(":")[0] for v in versions.values()) == ["tiny_activity@v1", "tiny_activity@v2"]
    listed = {(r["version"], r["column"]): r for r in shop.rows(lake, "feature_catalog")}
    assert {r["definition"] for r in listed.values()} == {v.split(":")[1] for v in versions.values()}
    assert listed[1, "orders_14d"]["meaning"] == listed[2, "orders_14d"]["meaning"]
    assert listed[1, "basket_42d"]["meaning"] != listed[2, "basket_42d"]["meaning"]
    # The training kept what its features are, and what their checks said of the rows that it read.
    kept = {r["column"]: r for r in artefact(lake, "feature_metadata.json")}
    assert (kept["basket_42d"]["version"], kept["basket_42d"]["tags"]) == (2, ["money"])
    assert [(c["name"], c["broken"], c["passed"], c["rows"] > 0) for c in artefact(lake, "feature_checks.json")] == [
        ("windows_nested", 0, True, True)
    ]
    # People find both.
    found = json.loads(clients.run("features", "MONEY", "--json", "--conf", str(changed), "--lake", str(lake)).out)
    assert [(r["column"], r["version"]) for r in found] == [("basket_42d", 2)]

    # Approved, the new model scores the next week with its version's rows, and the old version rests.
    clients.run(*words("promote", lake, changed, "--approve", str(max(versions)), "--by", "tests"))
    rested = shop.versions(lake)[OLD]
    clients.run(*words("run", lake, changed, *MANUAL, as_of=AFTER))
    assert shop.versions(lake)[OLD] == rested
    assert {r["model_version"] for r in of_day(shop.rows(lake, "predictions_tiny"), AFTER).values()} == {2}

    # A model without a version that is known is not scored with any.
    with sqlite3.connect(lake / "mlflow" / "mlflow.db") as db:
        db.execute("DELETE FROM model_version_tags WHERE key = 'penstock.features' AND version = 2")
    done = clients.run(*words("score", lake, changed, as_of=AFTER), code=3)
    assert "no tag penstock.features" in done.err
