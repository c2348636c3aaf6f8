from __future__ import annotations

import pytest
from pydantic import ValidationError

from penstock.config.training import Segment
from training_rows import config

BASELINE = {"name": "orders", "column": "orders", "higher_means": "negative"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"baselines": [BASELINE, BASELINE]}, "got the names orders, orders, expected each once"),
        ({"baselines": []}, "at least 1 item"),
        ({"params": {"learning_rate": 0.1}}, "params and search.space both set learning_rate"),
        ({"search": {"space": {"learning_rate": []}}}, "got no values for learning_rate"),
        ({"features": ["a"], "exclude": ["a"]}, "got none that is not excluded"),
        ({"estimators": "x"}, "Extra inputs are not permitted"),
        ({"estimator": "sklearn.__import__.x"}, "begins with sklearn"),
        ({"holdout_cohorts": 0}, "greater than or equal to 1"),
    ],
)
def test_a_fault_is_named(given: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        config(**given)


def test_segment_edges_must_rise() -> None:
    with pytest.raises(ValidationError, match="expected rising numbers"):
        Segment(column="orders_90d", edges=(5, 2))
