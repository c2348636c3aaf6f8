"""What moves a score: the tables against shap itself, and what is not explained."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.tree import DecisionTreeClassifier

from penstock.config.training import TrainingConfig
from penstock.errors import RefusedError
from penstock.training.artefact import MODEL_FILE, REASONS_FILE, load, model_digest, read_explanation, write_inputs
from penstock.training.contributions import MAX_SPLITS, Explanation, from_json
from penstock.training.explain import explain
from penstock.training.fit import Fitted, fit
from penstock.training.inputs import from_pandas
from penstock.training.parts import parts_of
from penstock.training.rows import labelled_rows
from training_rows import FEATURES, LOGISTIC, config, made

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import shap

LINEAR: dict[str, Any] = {
    "estimator": "sklearn.linear_model.LogisticRegression",
    "params": {"max_iter": 300},
    "space": {},
    "search": {"trials": 1},
    "preprocessing": {"impute": "median"},
}


def boosted(leaves: int, **more: Any) -> TrainingConfig:
    params = {"early_stopping": False, "max_iter": 20, "max_leaf_nodes": leaves, "min_samples_leaf": 10}
    return config(params=params, space={}, search={"trials": 1}, **more)


def trained(given_: TrainingConfig) -> Fitted:
    return fit(labelled_rows(made(6), key=["customer_id"]), FEATURES, given_, horizon=30, seconds=lambda: 0.0)


def explained(fitted: Fitted) -> tuple[Explanation, Any, NDArray[np.float64]]:
    """The explanation as it is read back, the model's parts, and the prepared matrix of rows that were not trained on."""
    train, other = (from_pandas(made(weeks, seed=seed), fitted.inputs) for weeks, seed in ((6, 7), (2, 4)))
    explanation = from_json(explain(fitted.model, fitted.inputs, train).to_json())
    parts = parts_of(fitted.model)
    assert parts is not None
    return explanation, parts, parts.transform(other)


def by_shap(values: NDArray[np.float64], explanation: Explanation, inputs: int) -> NDArray[np.float64]:
    """shap's values of the matrix's columns, summed to the inputs they come from: inputs x rows."""
    summed = np.zeros((inputs, len(values)))
    for column, source in enumerate(explanation.sources):
        summed[source] += values[:, column]
    return summed


@pytest.fixture(scope="module", params=[2, 5, MAX_SPLITS + 1])
def trees(request: pytest.FixtureRequest) -> tuple[Fitted, Explanation, Any, NDArray[np.float64]]:
    fitted = trained(boosted(request.param))
    return fitted, *explained(fitted)


def test_the_tables_give_what_shap_gives_missing_numbers_and_categories_included(trees: Any) -> None:
    fitted, explanation, parts, matrix = trees
    assert np.isnan(matrix).any()
    asked = shap.TreeExplainer(parts.estimator, feature_perturbation="tree_path_dependent").shap_values(matrix, check_additivity=False)
    found = explanation.contributions(matrix, len(fitted.inputs.names))
    np.testing.assert_allclose(found, by_shap(asked, explanation, len(found)), rtol=0, atol=1e-8)


def test_base_and_contributions_add_up_to_the_margin(trees: Any) -> None:
    fitted, explanation, parts, matrix = trees
    found = explanation.contributions(matrix, len(fitted.inputs.names)).sum(axis=0) + explanation.base
    np.testing.assert_allclose(found, parts.estimator.decision_function(matrix), rtol=0, atol=1e-7)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_row_adds_up_also_exactly_on_a_threshold(trees: Any, data: st.DataObject) -> None:
    fitted, explanation, parts, matrix = trees
    edges = sorted({t for tree in explanation.trees for t in tree.thresholds})
    value = st.one_of(st.sampled_from(edges), st.just(float("nan")), st.floats(-0.5, 1.5))
    row = np.array([data.draw(st.lists(value, min_size=matrix.shape[1], max_size=matrix.shape[1]))])
    found = explanation.contributions(row, len(fitted.inputs.names)).sum() + explanation.base
    assert found == pytest.approx(parts.estimator.decision_function(row)[0], abs=1e-7)


def test_rows_are_explained_alike_in_whatever_batches_they_come(trees: Any) -> None:
    fitted, explanation, _, matrix = trees
    inputs = len(fitted.inputs.names)
    parts_ = [explanation.contributions(matrix[at : at + 7], inputs) for at in range(0, len(matrix), 7)]
    assert np.concatenate(parts_, axis=1).tobytes() == explanation.contributions(matrix, inputs).tobytes()


@pytest.mark.parametrize("more", [{}, {"preprocessing": LOGISTIC["preprocessing"], "select": {"share": 0.5}}], ids=["plain", "selected"])
def test_a_linear_model_is_explained_as_shap_does_it(more: dict[str, Any]) -> None:
    fitted = trained(config(**{**LINEAR, **more}))
    explanation, parts, matrix = explained(fitted)
    train = parts.transform(from_pandas(made(6), fitted.inputs))
    assert len(explanation.sources) == matrix.shape[1]
    asked = shap.LinearExplainer(parts.estimator, shap.maskers.Independent(train, max_samples=len(train))).shap_values(matrix)
    found = explanation.contributions(matrix, len(fitted.inputs.names))
    np.testing.assert_allclose(found, by_shap(asked, explanation, len(found)), rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.sum(axis=0) + explanation.base, parts.estimator.decision_function(matrix), atol=1e-9)


def test_each_column_of_a_category_counts_for_the_category() -> None:
    fitted = trained(boosted(4))
    explanation, _, matrix = explained(fitted)
    country = fitted.inputs.names.index("country")
    assert len(explanation.sources) == matrix.shape[1]
    assert explanation.sources.count(country) == matrix.shape[1] - len(fitted.inputs.numeric) > 1


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "none"])
def test_a_model_taken_apart_scores_bit_for_bit_as_whole(method: str) -> None:
    fitted = trained(boosted(4, calibration={"method": method, "folds": 2}))
    frame, parts = from_pandas(made(2, seed=4), fitted.inputs), parts_of(fitted.model)
    assert parts is not None
    assert parts.head.predict_proba(parts.transform(frame)).tobytes() == fitted.model.predict_proba(frame).tobytes()
    assert parts.sign == 1


def test_a_calibration_that_turns_the_order_round_turns_the_reasons_round_too() -> None:
    fitted = trained(boosted(4))
    explanation, _, matrix = explained(fitted)
    calibrator = fitted.model.calibrated_classifiers_[0].calibrators[0]
    calibrator.a_ = -calibrator.a_
    turned = parts_of(fitted.model)
    assert turned is not None
    assert turned.sign == -1
    assert (replace(explanation, sign=-1).contributions(matrix, 4) == -explanation.contributions(matrix, 4)).all()


@pytest.mark.parametrize(
    ("given_", "why"),
    [
        (boosted(MAX_SPLITS + 3), f"trees of {MAX_SPLITS + 3} leaves"),
        (
            config(
                estimator="sklearn.ensemble.RandomForestClassifier",
                params={"n_estimators": 5},
                space={},
                search={"trials": 1},
                preprocessing={"impute": "median"},
            ),
            "RandomForestClassifier",
        ),
    ],
    ids=["large trees", "forest"],
)
def test_a_model_that_is_not_explained_says_why(given_: TrainingConfig, why: str) -> None:
    fitted = trained(given_)
    explanation = from_json(explain(fitted.model, fitted.inputs, from_pandas(made(6), fitted.inputs)).to_json())
    assert why in explanation.why_none
    assert not explanation.trees


def test_a_model_of_an_unknown_shape_is_not_taken_apart_and_not_explained() -> None:
    frame = made(2)[["orders"]]
    bare = DecisionTreeClassifier().fit(frame, made(2)["label"])
    several = CalibratedClassifierCV(DecisionTreeClassifier(), cv=2).fit(frame, made(2)["label"])
    for model in (bare, several):
        assert parts_of(model) is None
    assert "no known shape" in explain(bare, trained(boosted(4)).inputs, frame).why_none


def test_the_explanation_lies_beside_the_model_under_its_digest(tmp_path: Path) -> None:
    fitted = trained(boosted(4))
    explanation = explain(fitted.model, fitted.inputs, from_pandas(made(6), fitted.inputs))
    skops.io.dump(fitted.model, tmp_path / MODEL_FILE)
    write_inputs(tmp_path, fitted.inputs, explanation)
    digest = model_digest(tmp_path)
    assert load(tmp_path, digest).explanation == from_json(explanation.to_json())
    text = (tmp_path / REASONS_FILE).read_text(encoding="utf-8")
    (tmp_path / REASONS_FILE).write_text(text.replace("true", "false", 1), encoding="utf-8")
    with pytest.raises(RefusedError, match="digest"):
        load(tmp_path, digest)


def test_a_model_from_before_reasons_has_none_and_a_broken_file_is_refused(tmp_path: Path) -> None:
    assert "before reasons" in read_explanation(tmp_path).why_none
    for broken in ("{}", "[]", "not json", from_json(explain(*_whole()).to_json()).to_json().replace('"values":[[', '"values":[[0.0],[')):
        (tmp_path / REASONS_FILE).write_text(broken, encoding="utf-8")
        with pytest.raises(RefusedError, match="unreadable"):
            read_explanation(tmp_path)


def _whole() -> tuple[Any, Any, Any]:
    fitted = trained(boosted(4))
    return fitted.model, fitted.inputs, from_pandas(made(6), fitted.inputs)
