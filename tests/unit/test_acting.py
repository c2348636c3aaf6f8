"""What a training logs of acting on its holdout's lists, and that the record brings the curve back."""

from __future__ import annotations

import json
from datetime import date

import numpy as np
import pytest

import training_rows
from penstock.config.load import conf_folder, load
from penstock.config.training import Baseline
from penstock.training.acting import acting_on, kpi_metrics, profit_by_share
from penstock.training.dataset import Record, record_from_json
from penstock.training.rows import Rows, labelled_rows
from penstock.worth import acted_on, profit

CHURN = load(conf_folder(None), "local", "churn").pipeline
ORDERS = (Baseline(name="orders", column="orders", higher_means="negative"),)
PIPELINE = CHURN.model_copy(update={"training": CHURN.training.model_copy(update={"baselines": ORDERS})})
BARE = PIPELINE.model_copy(update={"purpose": PIPELINE.purpose.model_copy(update={"kpi": None, "worth": None})})


def holdout() -> tuple[Rows, np.ndarray]:
    rows = labelled_rows(training_rows.made(weeks=3), key=["customer_id"])
    score = 1 / (1 + np.exp(-1.5 * rows.frame["signal"].to_numpy() + 0.3 * (rows.frame["orders"].to_numpy() - 4)))
    return rows, score


def test_a_training_logs_its_profit_a_list_beside_the_heuristics_everybodys_and_nobodys() -> None:
    rows, score = holdout()
    logged = kpi_metrics(acting_on(PIPELINE, rows, score))
    stakes = PIPELINE.stakes
    assert stakes is not None
    assert logged["kpi.lists"] == 3
    assert logged["kpi.contacts"] == acted_on(score, stakes).sum()
    assert logged["kpi.realised"] == pytest.approx(profit(rows.label, acted_on(score, stakes), stakes) / 3)
    assert logged["kpi.realised_low"] < logged["kpi.realised"] < logged["kpi.realised_high"]
    assert logged["kpi.list.orders"] < logged["kpi.realised"]
    assert logged["kpi.everybody"] == pytest.approx(profit(rows.label, np.ones(len(rows), dtype=bool), stakes) / 3)
    assert (logged["kpi.nobody"], logged["kpi.threshold"]) == (0.0, 0.7)
    assert {"kpi.expected", "kpi.right", "kpi.wrong"} <= set(logged)


def test_without_amounts_a_training_logs_no_kpi_and_keeps_no_curve() -> None:
    rows, score = holdout()
    assert acting_on(BARE, rows, score) is None
    assert kpi_metrics(None) == {}
    assert profit_by_share(BARE, rows, score) == ()


def test_the_record_keeps_the_curve_and_one_written_before_there_was_any_is_read_too() -> None:
    rows, score = holdout()
    curve = profit_by_share(PIPELINE, rows, score)
    assert len(curve) == 21
    record = Record("churn", date(2011, 8, 29), 3, 2, (date(2011, 3, 7),), (date(2011, 7, 4),), 10, 5, "d", profit=curve)
    assert record_from_json(record.to_json()) == record
    old = json.loads(record.to_json())
    del old["profit"]
    assert record_from_json(json.dumps(old)).profit == ()
