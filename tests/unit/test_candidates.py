"""Several candidates side by side: searched on the same folds, fitted with their own preprocessing, chosen without the holdout."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.pipeline import Pipeline

from penstock import metrics
from penstock.errors import ConfigError, RefusedError
from penstock.training.artefact import load, model_digest, require_known_types, write_inputs
from penstock.training.fit import Fitted, best_of, fit, fit_candidates
from penstock.training.rows import labelled_rows
from training_rows import BOOSTING, FEATURES, LOGISTIC, config, made

XGBOOST = {"name": "xgboost", "estimator": "xgboost.XGBClassifier", "params": {"n_estimators": 20, "max_depth": 3}}
LIGHTGBM = {"name": "lightgbm", "estimator": "lightgbm.LGBMClassifier", "params": {"n_estimators": 20, "num_leaves": 4}}
FRESH = labelled_rows(made(1, 500, seed=99), key=["customer_id"])


def fitted(*candidates: dict[str, object], **given: object) -> tuple[Fitted, ...]:
    rows = labelled_rows(made(), key=["customer_id"])
    return fit_candidates(rows, FEATURES, config(candidates=list(candidates), **given), horizon=30, seconds=lambda: 0.0)


@pytest.fixture(scope="module")
def both() -> tuple[Fitted, ...]:
    return fitted(BOOSTING, LOGISTIC)


def test_every_candidate_is_searched_and_fitted_and_ranks_rows_it_has_not_seen(both: tuple[Fitted, ...]) -> None:
    assert [one.candidate.name for one in both] == ["boosting", "logistic"]
    assert [len(one.searched.trials) for one in both] == [3, 2]
    assert len({one.searched.folds for one in both}) == 1
    for one in both:
        assert (metrics.roc_auc(FRESH.label, one.scores(FRESH)).value or 0) > 0.75
        assert (metrics.expected_calibration_error(FRESH.label, one.scores(FRESH)).value or 1) < 0.1


def test_a_candidate_is_the_same_bit_for_bit_whoever_stands_beside_it(both: tuple[Fitted, ...]) -> None:
    (alone,) = fitted(BOOSTING)
    assert alone.scores(FRESH).tobytes() == both[0].scores(FRESH).tobytes()
    assert alone.searched == both[0].searched
    again = fitted(LOGISTIC, BOOSTING)
    assert again[0].scores(FRESH).tobytes() == both[1].scores(FRESH).tobytes()


def test_the_best_mean_over_the_folds_is_chosen_and_the_first_of_equals(both: tuple[Fitted, ...]) -> None:
    means = [one.searched.figure for one in both]
    assert None not in means
    assert best_of(both).searched.figure == max(means)  # type: ignore[type-var]
    assert best_of(both[::-1]) is best_of(both)
    rows = labelled_rows(made(), key=["customer_id"])
    given = config(candidates=[BOOSTING, {**BOOSTING, "name": "twin"}])
    assert fit(rows, FEATURES, given, horizon=30, seconds=lambda: 0.0).candidate.name == "boosting"


def test_one_choice_is_tried_when_there_is_another_candidate_to_compare_it_with() -> None:
    fixed = {"name": "fixed", "params": {"max_iter": 5, "early_stopping": False}}
    (alone,) = fitted(fixed)
    assert (alone.searched.trials, alone.searched.figure) == ((), None)
    first, second = fitted(fixed, {**fixed, "name": "other"})
    assert first.searched.figure == second.searched.figure is not None


def test_a_history_too_short_for_folds_chooses_the_first_candidate() -> None:
    rows = labelled_rows(made(3), key=["customer_id"])
    found = fit_candidates(rows, FEATURES, config(candidates=[LOGISTIC, BOOSTING]), horizon=30, seconds=lambda: 0.0)
    assert best_of(found).candidate.name == "logistic"
    assert all("too short for a fold" in one.searched.note for one in found)


def test_every_candidate_gets_its_first_trial_however_late_it_is() -> None:
    ticks = iter(range(1000))
    rows = labelled_rows(made(), key=["customer_id"])
    given = config(candidates=[{**LOGISTIC, "name": f"c{at}"} for at in range(5)], search={"trials": 2, "seconds": 0.5})
    found = fit_candidates(rows, FEATURES, given, horizon=30, seconds=lambda: float(next(ticks)))
    assert [len(one.searched.trials) for one in found] == [2, 1, 1, 1, 1]
    assert [one.searched.was_cut for one in found] == [False, True, True, True, True]


@pytest.mark.parametrize("split", ["group", "random"])
def test_folds_that_are_not_by_time_say_so(split: str) -> None:
    (found,) = fitted(LOGISTIC, search={"folds": 3, "split": split})
    assert found.searched.folds == 3
    assert found.searched.note.startswith(f"Folds by {split}, not by time")


def test_a_linear_candidate_is_scaled_weighted_and_gets_the_chosen_share_of_its_columns(both: tuple[Fitted, ...]) -> None:
    model = both[1].model
    assert isinstance(model, CalibratedClassifierCV)
    pipeline = model.calibrated_classifiers_[0].estimator
    assert isinstance(pipeline, Pipeline)
    assert list(pipeline.named_steps) == ["inputs", "estimator"]
    estimator = pipeline.named_steps["estimator"]
    assert estimator.class_weight == "balanced"
    names = pipeline.named_steps["inputs"].get_feature_names_out()
    assert estimator.coef_.shape == (1, len(names))
    columns = pipeline.named_steps["inputs"].named_steps["columns"].get_feature_names_out()
    assert (len(names), len(columns)) == (3, 6)
    assert "numbers__noise" not in names
    assert {"numbers__signal", "numbers__orders"} <= set(names)


def test_quantiles_make_the_score_blind_to_how_long_a_tail_is() -> None:
    frame = made()
    stretched = frame.assign(signal=np.exp(3 * frame["signal"]))
    candidate = {**LOGISTIC, "preprocessing": {"impute": "median", "scale": "quantile", "clip": "none"}, "select": None}
    given = config(candidates=[candidate])
    one, other = (
        fit(labelled_rows(rows, key=["customer_id"]), FEATURES, given, horizon=30, seconds=lambda: 0.0) for rows in (frame, stretched)
    )
    fresh = labelled_rows(made(1, 500, seed=99).assign(signal=lambda f: np.exp(3 * f["signal"])), key=["customer_id"])
    assert np.corrcoef(one.scores(FRESH), other.scores(fresh))[0, 1] > 0.999


def test_a_candidate_may_use_only_its_own_features() -> None:
    (found,) = fitted({**BOOSTING, "features": ["signal", "country"]})
    assert found.inputs.names == ("signal", "country")


def test_a_class_weight_that_an_estimator_does_not_take_is_a_fault() -> None:
    with pytest.raises(ConfigError, match=r"bayes: class_weight: got balanced, and sklearn.naive_bayes.GaussianNB takes none"):
        fitted({"name": "bayes", "estimator": "sklearn.naive_bayes.GaussianNB", "class_weight": "balanced"})


def test_the_faults_of_all_candidates_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        fitted({**BOOSTING, "params": {"depth": 3}}, {**LOGISTIC, "space": {"c": [1]}})
    assert len(caught.value.faults) == 2


@pytest.mark.parametrize("candidate", [BOOSTING, LOGISTIC, XGBOOST, LIGHTGBM], ids=lambda c: c["name"])
def test_a_model_is_saved_without_pickle_and_scores_bit_for_bit_alike_when_loaded(
    candidate: dict[str, object], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (one,), (again,) = fitted(candidate), fitted(candidate)
    assert one.scores(FRESH).tobytes() == again.scores(FRESH).tobytes()
    assert (metrics.roc_auc(FRESH.label, one.scores(FRESH)).value or 0) > 0.7
    require_known_types(one.model)
    skops.io.dump(one.model, tmp_path / "model.skops")
    write_inputs(tmp_path, one.inputs)
    loaded = load(tmp_path, model_digest(tmp_path))
    assert Fitted(one.candidate, loaded.model, loaded.inputs, one.searched, one.rows).scores(FRESH).tobytes() == one.scores(FRESH).tobytes()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("library", "candidate"), [("xgboost", XGBOOST), ("lightgbm", LIGHTGBM)])
def test_a_library_that_is_not_installed_is_told_with_the_command_in_training_and_in_scoring(
    library: str, candidate: dict[str, object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (one,) = fitted(candidate)
    skops.io.dump(one.model, tmp_path / "model.skops")
    write_inputs(tmp_path, one.inputs)
    for name in [name for name in sys.modules if name.split(".")[0] == library]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(RefusedError, match=f"a model of {library}, which is not installed here"):
        load(tmp_path, model_digest(tmp_path))
    with pytest.raises(ConfigError, match=rf"{library}: estimator: .* is not installed.*pip install 'penstock\[boosting\]'"):
        fitted(candidate)
