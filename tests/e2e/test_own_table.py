"""Pipelines by configuration alone: from a generated subscription table to published scores of both kinds, through `penstock init`."""

from __future__ import annotations

import gzip
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

import shop
import subscriptions
from clients import Clients, words
from penstock.cli import main
from penstock.client import ScoreReader
from penstock.publish.redis import connect
from penstock.publish.server import private_server

LATER = date(2024, 10, 31)


def deliver(lake: Path, last: date) -> None:
    """The whole table up to a day, under the name that it always has."""
    folder = lake / "landing" / "subscriptions"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "subscriptions.csv.gz").write_bytes(gzip.compress(subscriptions.csv_text(last).encode(), mtime=0))


def amounts_are_foretold_too(clients: Clients, tmp_path: Path, table: Path, as_of: date) -> None:
    """A regression over the same landing, by one more `penstock init`: its files lie beside the classification's."""
    conf, lake = tmp_path / "conf", tmp_path / "lake"
    key = ("--entity", "Tenant", "Customer No", "--event-time", "Day", "--timezone", subscriptions.TIMEZONE)
    assert main(["init", "spend", "--source", str(table), *key, "--predict", "Amount", "--conf", str(tmp_path / "second")]) == 0
    text = (tmp_path / "second" / "pipelines" / "spend.yml").read_text(encoding="utf-8")
    (conf / "pipelines" / "spend.yml").write_text(text.replace("owner: unknown", "owner: finance@tests.example"), encoding="utf-8")
    assert main(["conf", "check", "--conf", str(conf)]) == 0
    changes = ("--set", "pipeline.publish.control_share=0.1", "--set", "pipeline.training.search.trials=1")
    ran = clients.run(*words("run", lake, conf, *changes, as_of=as_of, pipeline="spend"))
    assert "holdout MAE" in ran.err

    scored = [row for row in shop.rows(lake, "predictions_spend_latest") if row["is_active"]]
    assert len(scored) > subscriptions.CUSTOMERS / 2
    assert all(row["score"] > 1 and row["band"] == "" for row in scored)  # amounts of a week, and no bands
    crm = {(row["tenant"], row["customer_no"]): row for row in shop.rows(lake, "crm_spend") if row["is_active"]}
    assert all(row["probability"] is not None for row in shop.rows(lake, "crm_usage"))
    with private_server(lake / "_redis") as server:
        client = connect(server.url)
        reader = ScoreReader(client, "spend")
        for row in scored:
            published = reader.get((row["tenant"], row["customer_no"]))
            assert published is not None
            assert (published.provenance == "fallback") == row["is_control"]
            if not row["is_control"]:
                assert published.score == pytest.approx(crm[row["tenant"], row["customer_no"]]["value"], abs=1e-4)
                assert published.score == pytest.approx(row["score"], abs=1e-4)
        client.close()
    # Those who used more lately are foretold more: the values are no noise.
    features = {
        (row["tenant"], row["customer_no"]): row for row in shop.rows(lake, "features_spend_activity") if row["as_of"] == scored[0]["as_of"]
    }
    spent = [float(features[row["tenant"], row["customer_no"]]["amount_sum_7d"] or 0) for row in scored]
    assert np.corrcoef(spent, [row["score"] for row in scored])[0, 1] > 0.3


def test_a_subscription_table_comes_to_published_scores_by_configuration_only(
    clients: Clients, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf, lake = tmp_path / "conf", tmp_path / "lake"
    deliver(lake, subscriptions.LAST)
    table = lake / "landing" / "subscriptions" / "subscriptions.csv.gz"
    key = ("--entity", "Tenant", "Customer No", "--event-time", "Day")
    assert main(["init", "usage", "--source", str(table), *key, "--timezone", subscriptions.TIMEZONE, "--conf", str(conf)]) == 0
    as_of = subscriptions.LAST + timedelta(days=1)
    assert f"penstock run usage --as-of {as_of}" in capsys.readouterr().out

    # What a person would edit: an owner, the control group, and a shorter search.
    pipeline = conf / "pipelines" / "usage.yml"
    pipeline.write_text(
        pipeline.read_text(encoding="utf-8").replace("owner: unknown", "owner: subscriptions@tests.example"), encoding="utf-8"
    )
    assert main(["conf", "check", "--conf", str(conf)]) == 0
    changes = ("--set", "pipeline.publish.control_share=0.1", "--set", "pipeline.training.search.trials=1")
    ran = clients.run(*words("run", lake, conf, *changes, as_of=as_of, pipeline="usage"))
    assert "300 days" in ran.err

    scored = [row for row in shop.rows(lake, "predictions_usage_latest") if row["is_active"]]
    assert len(scored) > subscriptions.CUSTOMERS / 2
    assert {(row["tenant"], row["customer_no"] % 3) for row in scored} == {("north", 1), ("south", 2), ("west", 0)}
    with private_server(lake / "_redis") as server:
        client = connect(server.url)
        reader = ScoreReader(client, "usage")
        for row in scored:
            published = reader.get((row["tenant"], row["customer_no"]))
            assert published is not None
            assert (published.provenance == "fallback") == row["is_control"]
            assert row["is_control"] or published.score == pytest.approx(row["score"], abs=1e-4)
        client.close()
    assert any(row["is_control"] for row in scored)

    amounts_are_foretold_too(clients, tmp_path, table, as_of)

    # Dates west of Greenwich stay the days that they are, and amounts the numbers that they were.
    tiles = shop.rows(lake, "tiles_usage_activity")
    assert {row["hop"] for row in tiles} == {day for _, _, day, _, _ in subscriptions.rows()}
    total = sum(round(100 * amount) for *_, amount in subscriptions.rows())
    assert sum(int(100 * row["amount_sum__sum"]) for row in tiles) == total

    # The whole table again, with three more days and under the same name: only these land.
    deliver(lake, LATER - timedelta(days=1))
    again = clients.run(*words("land", lake, conf, as_of=LATER, pipeline="usage"))
    assert "3 days" in again.err
    files = shop.rows(lake, "files_subscriptions")
    assert len(files) == 303
    assert not any(row["late"] for row in files)
