"""Reasons in a Spark pass: for published rows only, and beside scores that they do not touch."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import skops.io
from pyspark.sql import SparkSession

from penstock.config.model import View
from penstock.config.publish import PublishConfig
from penstock.config.reasons import subjects
from penstock.scoring import run as scoring
from penstock.scoring.reasons import Wording
from penstock.training.artefact import MODEL_FILE, model_digest, write_inputs
from penstock.training.explain import explain
from penstock.training.fit import fit
from penstock.training.inputs import from_pandas
from penstock.training.records import LocalModel
from penstock.training.rows import labelled_rows
from training_rows import FEATURES, config, made

pytestmark = pytest.mark.spark

VIEW = View.model_validate(
    {
        "name": "v",
        "source": "s",
        "entity": ["customer_id"],
        "event_time": "at",
        "aggregates": [
            {"name": "orders", "function": "count", "reason": "{orders} orders, {age:.0f} years, {town}"},
            {"name": "country", "function": "last", "of": "country", "type": "string"},
            {"name": "town", "function": "last", "of": "town", "type": "string"},
        ],
        "derived": [{"name": name, "expression": "orders"} for name in ("signal", "noise", "age")],
    }
)


def test_published_rows_get_reasons_the_control_group_none_and_the_scores_stay(spark: SparkSession, tmp_path: Path) -> None:
    fitted = fit(labelled_rows(made(6), key=["customer_id"]), FEATURES, config(), horizon=30, seconds=lambda: 0.0)
    skops.io.dump(fitted.model, tmp_path / MODEL_FILE)
    write_inputs(tmp_path, fitted.inputs, explain(fitted.model, fitted.inputs, from_pandas(made(6), fitted.inputs)))
    model = LocalModel(tmp_path, model_digest(tmp_path), fitted.inputs)
    frame = made(1, 120, seed=4).assign(age=44.4, town="Ulm").drop(columns="label")
    rows = spark.createDataFrame(frame).selectExpr("*", "CAST(age AS decimal(5,1)) AS age_").drop("age").withColumnRenamed("age_", "age")
    run: Any = SimpleNamespace(
        key=(("customer_id", "string"),),
        pipeline=SimpleNamespace(kind="classification", publish=PublishConfig(control_share=0.3), features=VIEW),
    )
    with_words = scoring.explained(run, rows, model, Wording(subjects(VIEW)).of(model.columns))
    found = with_words.join(rows.select("customer_id", scoring.control(run).alias("control")), on="customer_id", how="left")
    told = {row["customer_id"]: row for row in found.toArrow().to_pylist()}
    plain = {row["customer_id"]: row["score"] for row in scoring.explained(run, rows, model, None).toArrow().to_pylist()}
    assert {name: row["score"] for name, row in told.items()} == plain
    assert 0 < sum(row["control"] for row in told.values()) < 120
    assert all((row["reasons"] is None) == row["control"] for row in told.values())
    texts = [text for row in told.values() for text in row["reasons"] or ()]
    assert any(text.endswith(" orders, 44 years, Ulm") for text in texts)
    assert not any(name in text for name, row in told.items() for text in row["reasons"] or ())
