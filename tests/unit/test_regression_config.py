"""What fits a regression's configuration: its own defaults, and every key of the other kind as a fault in words."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import shop
from penstock.config.load import load
from penstock.config.model import Pipeline
from penstock.errors import ConfigError
from penstock.orchestrate.conf_check import check

CHANGED: dict[str, Any] = {
    "kind": "regression",
    "purpose": {"question": "How much will each customer spend in the next 14 days?", "owner": "tests"},
    "label": {"view": "tiny_activity", "horizon_days": 14, "expression": "coalesce(spend, 0)", "positive": "pounds spent"},
    "training": {
        "candidates": [{"name": "boosting", "params": {"max_iter": 20}}],
        "baselines": [{"name": "median", "constant": "median"}, {"name": "recent", "column": "spend_42d"}],
    },
    "monitoring": {},
    "publish": {},
}


def written(folder: Path, **parts: Any) -> Path:
    """A configuration folder with the shop's pipeline as a regression, and `parts` over it."""
    conf = shop.write_conf(folder / "conf")
    path = conf / "pipelines" / "tiny.yml"
    tree = yaml.safe_load(path.read_text(encoding="utf-8")) | CHANGED | parts
    path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    return conf


def faults(folder: Path, **parts: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(written(folder, **parts), "local", "tiny")
    shutil.rmtree(folder / "conf")
    return "; ".join(caught.value.faults)


def training(**parts: Any) -> dict[str, Any]:
    return {"training": CHANGED["training"] | parts}


def test_a_regression_has_defaults_of_its_own(tmp_path: Path) -> None:
    conf = written(tmp_path)
    pipeline: Pipeline = load(conf, "local", "tiny").pipeline
    assert pipeline.training.candidates[0].estimator == "sklearn.ensemble.HistGradientBoostingRegressor"
    assert pipeline.training.calibration.method == "none"
    assert (pipeline.publish.bands, pipeline.stakes) == ((), None)
    rules = pipeline.monitoring
    assert (rules.performance.metric, rules.performance.max_loss, rules.calibration.floor, rules.label_rate.floor) == ("mae", 0.1, 0.1, 0.1)
    assert check(conf, "tiny").faults == ()


def test_what_is_given_is_kept(tmp_path: Path) -> None:
    monitoring = {"performance": {"max_loss": 0.3}, "label_rate": {"floor": 0.5}}
    bands = [{"name": "low", "lower": float("-inf")}, {"name": "high", "lower": 100}]
    pipeline = load(written(tmp_path, monitoring=monitoring, publish={"bands": bands}), "local", "tiny").pipeline
    assert (pipeline.monitoring.performance.max_loss, pipeline.monitoring.label_rate.floor) == (0.3, 0.5)
    assert [band.lower for band in pipeline.publish.bands] == [float("-inf"), 100]


def test_a_classification_is_the_default_and_keeps_its_own(tmp_path: Path) -> None:
    pipeline = load(shop.write_conf(tmp_path / "conf"), "local", "tiny").pipeline
    assert (pipeline.kind, pipeline.training.calibration.method, pipeline.monitoring.performance.metric) == (
        "classification",
        "sigmoid",
        "auc",
    )
    assert pipeline.monitoring.performance.max_loss == 0.02


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"kind": "forecast"}, "kind: got 'forecast', Input should be 'classification', 'regression' or 'ranking'"),
        (
            {"purpose": CHANGED["purpose"] | {"worth": {"currency": "GBP", "right": 3, "wrong": -2}}},
            "purpose: worth: got amounts of right and wrong decisions, which need a probability",
        ),
        (training(calibration={"method": "sigmoid"}), "training: calibration.method: got sigmoid, which makes probabilities"),
        (training(calibration={"method": "isotonic"}), "training: calibration.method: got isotonic, which makes probabilities"),
        (
            training(candidates=[{"name": "a", "estimator": "sklearn.linear_model.Ridge", "class_weight": "balanced"}]),
            "candidates: a: class_weight: got balanced, expected none: a regression has no classes",
        ),
        (
            training(baselines=[{"name": "recent", "column": "spend_42d", "higher_means": "positive"}]),
            "baselines: recent: higher_means: got positive, expected none",
        ),
        (training(baselines=[{"name": "nothing"}]), "nothing: expected either a column or a constant"),
        (training(gates={"max_calibration_error": 0.1}), "gates.max_calibration_error: got a bound for probabilities, expected max_bias"),
        ({"monitoring": {"performance": {"metric": "auc"}}}, "monitoring: performance.metric: got auc, expected mae in a regression"),
    ],
)
def test_what_does_not_fit_a_regression_is_a_fault(tmp_path: Path, parts: dict[str, Any], words: str) -> None:
    assert words in faults(tmp_path, **parts)


def test_all_that_does_not_fit_is_told_at_once(tmp_path: Path) -> None:
    said = faults(tmp_path, **training(calibration={"method": "sigmoid"}, gates={"max_calibration_error": 0.1}))
    assert "calibration.method" in said
    assert "max_bias" in said


def test_a_classifier_in_a_regression_is_told_by_the_check(tmp_path: Path) -> None:
    conf = written(tmp_path, **training(candidates=[{"name": "a", "estimator": "sklearn.linear_model.LogisticRegression"}]))
    assert "which is no regressor, expected one" in "; ".join(check(conf, "tiny").faults)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"baselines": [{"name": "median", "constant": "median"}]}, "constant: got median, which ranks nothing"),
        ({"baselines": [{"name": "recent", "column": "spend_42d"}]}, "baselines: recent: higher_means: missing"),
        ({"gates": {"max_bias": 0.1}}, "gates.max_bias: got a bound for values, expected max_calibration_error"),
    ],
)
def test_what_does_not_fit_a_classification_is_a_fault(tmp_path: Path, part: dict[str, Any], words: str) -> None:
    baselines = {"baselines": [{"name": "recent", "column": "spend_42d", "higher_means": "negative"}]}
    assert words in faults(tmp_path, kind="classification", training={**baselines, **part})
