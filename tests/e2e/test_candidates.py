"""A person looks at what a training tried, and has another candidate judged than the one it chose."""

from __future__ import annotations

import json
from pathlib import Path

import shop
from clients import Clients, words

CANDIDATES = """[
  {name: boosting, params: {early_stopping: false, max_iter: 20, min_samples_leaf: 20}, space: {max_leaf_nodes: [4, 6]}},
  {name: logistic, estimator: sklearn.linear_model.LogisticRegression, space: {C: [1.0, 0.01]}, class_weight: balanced,
   preprocessing: {impute: median, scale: quantile}, select: {share: 0.7}}]"""


def test_another_candidate_than_the_chosen_one_goes_through_the_gates_and_is_production(
    clients: Clients, shop_conf: Path, history: Path, tmp_path: Path
) -> None:
    lake = shop.copy_lake(history, tmp_path / "lake")
    more = ("--set", f"pipeline.training.candidates={CANDIDATES}")
    clients.run(*words("train", lake, shop_conf, *more, as_of=shop.HISTORY))
    look = words("candidates", lake, shop_conf, *more)
    found = json.loads(clients.run(*look, "--json").out)
    lines = {line["name"]: line for line in found["contenders"]}
    assert list(lines) == ["boosting", "logistic", "version 1", "tenure"]
    assert {line["figures"]["auc"]["value"] is not None for line in lines.values()} == {True}
    assert [lines[name]["trials"] for name in ("boosting", "logistic")] == [2, 2]
    best = max(("boosting", "logistic"), key=lambda name: lines[name]["fold_figure"])
    assert [name for name, line in lines.items() if line["chosen"]] == [best]
    (other,) = {"boosting", "logistic"} - {best}
    assert dict(shop.registry(lake)["runs"]) == {"candidate": 1, "training": 2, "trial": 4}

    judge = ("promote", lake, shop_conf, *more, "--candidate")
    refused = clients.run(*words(*judge, "forest", as_of=shop.HISTORY), code=2)
    assert "got forest, expected one of" in refused.err
    clients.run(*words(*judge, other, as_of=shop.HISTORY))
    done = shop.registry(lake)
    assert done["alias"] == [("tiny", "production", 2), ("tiny", "staging", 2)]
    assert {(version, value) for version, key, value in done["tags"] if key == "penstock.stage"} == {(1, "archived"), (2, "production")}
    clients.run(*words(*judge, other, as_of=shop.HISTORY))
    assert shop.registry(lake) == done, "judged once"

    told = clients.run(*look).out
    (line,) = (line for line in told.splitlines() if line.startswith(other))
    assert line.endswith("version 2, production")
    clients.run(*words("score", lake, shop_conf, *more, as_of=shop.HISTORY))
    assert 2 in {row["model_version"] for row in shop.rows(lake, "predictions_tiny")}
    clients.run(*words("rollback", lake, shop_conf, *more))
    back = shop.registry(lake)
    assert back["alias"] == [("tiny", "production", 1), ("tiny", "staging", 2)]
    assert {(version, value) for version, key, value in back["tags"] if key == "penstock.stage"} == {(1, "production"), (2, "archived")}
