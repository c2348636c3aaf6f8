from __future__ import annotations

from decimal import Decimal
from itertools import count

import numpy as np
import pandas as pd
import pytest

from penstock import metrics
from penstock.errors import ConfigError, DataError
from penstock.training.fit import Fitted, fit
from penstock.training.inputs import from_pandas
from penstock.training.rows import labelled_rows
from penstock.training.search import candidate_params
from training_rows import FEATURES, config, made


def fitted(frame: pd.DataFrame, features: tuple[str, ...] = FEATURES, **given: object) -> Fitted:
    return fit(labelled_rows(frame, key=["customer_id"]), features, config(**given), horizon=30, seconds=lambda: 0.0)


@pytest.fixture(scope="module")
def known() -> Fitted:
    return fitted(made())


def test_the_model_ranks_rows_that_it_has_not_seen(known: Fitted) -> None:
    fresh = labelled_rows(made(2, 600, seed=99), key=["customer_id"])
    assert (metrics.roc_auc(fresh.label, known.scores(fresh)).value or 0) > 0.75
    assert (metrics.expected_calibration_error(fresh.label, known.scores(fresh)).value or 1) < 0.08


def test_the_same_rows_in_another_order_give_the_same_model_bit_for_bit(known: Fitted) -> None:
    again = fitted(made().sample(frac=1, random_state=3))
    fresh = labelled_rows(made(1, 500, seed=99), key=["customer_id"])
    assert known.scores(fresh).tobytes() == again.scores(fresh).tobytes()
    assert known.searched == again.searched


def test_values_beyond_training_are_held_to_its_range(known: Fitted) -> None:
    frame = from_pandas(made(1, 5), known.inputs)
    edge = frame.assign(signal=made()["signal"].max())
    beyond = frame.assign(signal=1e12)
    linear = fitted(made(), estimator="sklearn.linear_model.LogisticRegression", params={}, space={}, preprocessing={"impute": "median"})
    assert linear.model.predict_proba(edge).tolist() == linear.model.predict_proba(beyond).tolist()


def test_unknown_and_rare_categories_score_alike_and_missing_ones_score(known: Fitted) -> None:
    frame = from_pandas(made(1, 5), known.inputs)
    scores = [known.model.predict_proba(frame.assign(country=c)) for c in ("Malta", "Atlantis")]
    assert scores[0].tolist() == scores[1].tolist()
    assert np.isfinite(known.model.predict_proba(frame.assign(country=np.nan))).all()


def test_decimals_and_booleans_are_numbers() -> None:
    frame = made().assign(spend=[Decimal(i % 7) for i in range(1800)], flag=lambda f: f["orders"] > 3)
    assert fitted(frame, ("signal", "spend", "flag")).inputs.numeric == ("signal", "spend", "flag")


def test_labels_of_one_class_are_refused() -> None:
    with pytest.raises(DataError, match="one class only: all 1800 labels are 1"):
        fitted(made().assign(label=1))


def test_no_rows_are_refused_with_what_to_do() -> None:
    with pytest.raises(DataError, match=r"labelled rows to train on: got none.*Next: penstock labels"):
        fitted(made().iloc[:0])


def test_a_null_label_is_refused_and_counted() -> None:
    with pytest.raises(DataError, match="1 of 1800 neither 0 nor 1"):
        fitted(made().astype({"label": float}).assign(label=lambda f: f["label"].where(f.index != 5)))


def test_a_repeated_entity_is_refused() -> None:
    with pytest.raises(DataError, match="150 that repeat"):
        fitted(pd.concat([made(), made(1)]))


def test_a_column_null_in_all_rows_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="feature noise: got null in all 1800 training rows"):
        fitted(made().assign(noise=np.nan))


def test_an_infinite_number_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="feature signal: got an infinite number"):
        fitted(made().assign(signal=lambda f: f["signal"].where(f.index != 3, np.inf)))


def test_a_missing_feature_column_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="got no spend_30d"):
        fitted(made(), ("signal", "spend_30d"))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("sklearn.ensemble.Nothing", "expected the dotted path of an estimator of sklearn"),
        ("sklearn.nowhere.Forest", "expected the dotted path of an estimator of sklearn"),
        ("sklearn.utils.os.system", "expected the dotted path of an estimator of sklearn"),
        ("sklearn.linear_model.Ridge", "gives no probabilities"),
        ("sklearn.svm.LinearSVC", "gives no probabilities"),
    ],
)
def test_an_unknown_estimator_is_a_fault_in_words(path: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        fitted(made(), estimator=path)


def test_an_estimator_outside_the_allowed_libraries_is_refused_with_the_configuration() -> None:
    with pytest.raises(ValueError, match="begins with sklearn"):
        config(estimator="os.path.join")


def test_an_unknown_parameter_is_a_fault_that_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"training.candidates: boosting: params: got 'depth', expected a parameter of .*max_depth"):
        fitted(made(), params={"depth": 3})


def test_the_first_trial_is_the_first_value_of_every_list_and_none_repeats() -> None:
    given = config(search={"trials": 10}, space={"learning_rate": [0.3, 0.1], "max_leaf_nodes": [8, 4]})
    found = candidate_params(given.candidates[0], given)
    assert found[0] == {"learning_rate": 0.3, "max_leaf_nodes": 8}
    assert len(found) == 4 == len({str(p) for p in found})


def test_a_search_that_time_cut_says_so() -> None:
    ticks = count()
    rows = labelled_rows(made(), key=["customer_id"])
    given = config(search={"trials": 4, "seconds": 0.5}, space={"learning_rate": [0.1, 0.2, 0.3, 0.4]})
    found = fit(rows, FEATURES, given, horizon=30, seconds=lambda: float(next(ticks))).searched
    assert found.was_cut
    assert found.note.startswith("Cut after 2 of 4 trials")


def test_a_history_too_short_for_folds_takes_the_declared_parameters_and_says_so() -> None:
    found = fitted(made(3)).searched
    assert dict(found.best) == {"learning_rate": 0.1, "max_leaf_nodes": 4}
    assert "too short for a fold" in found.note


def test_too_few_entities_to_calibrate_are_refused() -> None:
    with pytest.raises(DataError, match="entities to calibrate on: got 1"):
        fitted(made(12, 1))


@pytest.mark.parametrize("method", ["isotonic", "none"])
def test_other_calibrations_give_probabilities(method: str) -> None:
    rows = labelled_rows(made(), key=["customer_id"])
    scores = fitted(made(), calibration={"method": method}).scores(rows)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_days_keep_their_distance_when_the_clocks_change() -> None:
    assert set(np.diff(np.unique(labelled_rows(made(), key=["customer_id"]).day))) == {7}


def test_composite_keys_that_read_alike_stay_apart() -> None:
    frame = pd.DataFrame({"a": ["x", "x|y"], "b": ["y|z", "z"], "as_of": pd.Timestamp("2011-03-07", tz="UTC"), "label": [0, 1]})
    assert len(set(labelled_rows(frame, key=["a", "b"]).entity)) == 2
