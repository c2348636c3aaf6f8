"""Made labelled rows for the tests of training: a signal in two columns, noise in the rest, customers that repeat."""

from __future__ import annotations

import numpy as np
import pandas as pd

from penstock.config.training import Candidate, TrainingConfig

FEATURES = ("signal", "noise", "orders", "country")
MONDAYS = pd.date_range("2011-03-07", periods=12, freq="7D", tz="Europe/London").tz_convert("UTC")


def made(weeks: int = 12, customers: int = 150, seed: int = 7) -> pd.DataFrame:
    """Weekly cohorts across the change of clocks, of the same customers each."""
    draw = np.random.default_rng(seed)
    parts = []
    for as_of in MONDAYS[:weeks]:
        signal, orders = draw.normal(size=customers), draw.integers(0, 9, customers)
        chance = 1 / (1 + np.exp(-1.5 * signal + 0.3 * (orders - 4)))
        part = pd.DataFrame({"customer_id": [str(10_000 + i) for i in range(customers)], "as_of": as_of, "signal": signal})
        part["noise"] = np.where(draw.random(customers) < 0.2, np.nan, draw.normal(size=customers))
        part["orders"] = orders
        part["country"] = draw.choice(["United Kingdom", "France", "Malta"], customers, p=[0.9, 0.095, 0.005])
        part["label"] = (draw.random(customers) < chance).astype(int)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


BOOSTING = {
    "name": "boosting",
    "params": {"early_stopping": False, "max_iter": 20},
    "space": {"learning_rate": [0.1, 0.3], "max_leaf_nodes": [4, 8]},
}
LOGISTIC = {
    "name": "logistic",
    "estimator": "sklearn.linear_model.LogisticRegression",
    "space": {"C": [1.0, 0.01]},
    "preprocessing": {"impute": "median", "scale": "standard"},
    "class_weight": "balanced",
    "select": {"share": 0.5},
}


def config(**given: object) -> TrainingConfig:
    """A small search of one candidate, quick to fit; a key of a candidate (but `features`) changes that one."""
    own = {key: given.pop(key) for key in list(given) if key in set(Candidate.model_fields) - {"features"}}
    fixed = {
        "candidates": [{**BOOSTING, **own}],
        "search": {"trials": 3, "folds": 2},
        "baselines": [{"name": "orders", "column": "orders", "higher_means": "negative"}],
    }
    return TrainingConfig.model_validate({**fixed, **given})
