from __future__ import annotations

import pytest
from pydantic import ValidationError

from penstock.config.training import Segment
from training_rows import BOOSTING, config

BASELINE = {"name": "orders", "column": "orders", "higher_means": "negative"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"baselines": [BASELINE, BASELINE]}, "got the names orders, orders, expected each once"),
        ({"baselines": []}, "at least 1 item"),
        ({"params": {"learning_rate": 0.1}}, "learning_rate set more than once"),
        ({"space": {"learning_rate": []}}, "got no values for learning_rate"),
        ({"features": ["a"], "exclude": ["a"]}, "got none that is not excluded"),
        ({"estimators": "x"}, "Extra inputs are not permitted"),
        ({"estimator": "sklearn.__import__.x"}, "begins with sklearn"),
        ({"candidates": []}, "at least 1 item"),
        ({"candidates": [BOOSTING, BOOSTING]}, "got the names boosting, boosting, expected each once"),
        ({"class_weight": "balanced", "space": {"class_weight": ["balanced", None]}}, "class_weight set more than once"),
        ({"select": {"share": 0.5}}, "expected preprocessing.impute: median"),
        ({"search": {"split": "group", "folds": 1}}, "got 1 with split group, expected at least 2"),
        ({"candidates": [{**BOOSTING, "features": ["a", "b"]}], "exclude": ["b"]}, "boosting: features: got b, which training leaves out"),
        ({"candidates": [{**BOOSTING, "features": ["a", "b"]}], "features": ["a"]}, "boosting: features: got b, which training leaves out"),
        ({"holdout_cohorts": 0}, "greater than or equal to 1"),
    ],
)
def test_a_fault_is_named(given: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        config(**given)


def test_segment_edges_must_rise() -> None:
    with pytest.raises(ValidationError, match="expected rising numbers"):
        Segment(column="orders_90d", edges=(5, 2))
