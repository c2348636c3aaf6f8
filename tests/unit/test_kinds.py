"""A regression through the very same functions as a classification: labels, estimators, measures, gates, baselines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import skops.io
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from penstock import metrics
from penstock.config.training import Baseline, Candidate, Gates, TrainingConfig
from penstock.errors import ConfigError, DataError, FailedError
from penstock.kinds import CLASSIFICATION, KINDS, REGRESSION, Draws, of
from penstock.registry import gates as g
from penstock.scoring.predict import score_batch
from penstock.training import compare, evaluate
from penstock.training.artefact import MODEL_FILE, load, model_digest, read_inputs, write_inputs
from penstock.training.explain import explain
from penstock.training.fit import Fitted, best_of, fit, fit_candidates
from penstock.training.inputs import from_pandas
from penstock.training.model import estimator_faults
from penstock.training.plots import importances_of, plots
from penstock.training.rows import Rows, labelled_rows
from training_rows import FEATURES, made

DRAWS = Draws(200, 0.95, 1)
LIMITS = Gates(bootstrap_rounds=200, min_gain=0.02, max_bias=0.1, min_segment_rows=100)
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)


def amounts(weeks: int = 12, customers: int = 150, seed: int = 7) -> pd.DataFrame:
    """The rows of `made` with an amount for label: what the signal and the orders bring, and some noise."""
    frame = made(weeks, customers, seed)
    noise = np.random.default_rng(seed).normal(size=len(frame))
    return frame.assign(label=200 + 30 * frame["signal"] + 10 * frame["orders"] + 5 * noise)


def config(**given_: object) -> TrainingConfig:
    """As a regression's pipeline would have it after its defaults were filled in."""
    fixed = {
        "candidates": [
            {
                "name": "boosting",
                "estimator": "sklearn.ensemble.HistGradientBoostingRegressor",
                "params": {"early_stopping": False, "max_iter": 30},
                "space": {"learning_rate": [0.1, 0.3], "max_leaf_nodes": [4, 8]},
            },
            {
                "name": "ridge",
                "estimator": "sklearn.linear_model.Ridge",
                "space": {"alpha": [1.0, 10.0]},
                "preprocessing": {"impute": "median", "scale": "standard"},
                "select": {"share": 0.5},
            },
        ],
        "calibration": {"method": "none"},
        "search": {"trials": 2, "folds": 2},
        "baselines": [{"name": "median", "constant": "median"}, {"name": "orders", "column": "orders"}],
    }
    return TrainingConfig.model_validate(fixed | given_)


def rows(frame: pd.DataFrame) -> Rows:
    return labelled_rows(frame, key=["customer_id"], kind=REGRESSION)


@pytest.fixture(scope="module")
def fitted() -> tuple[Fitted, ...]:
    return fit_candidates(rows(amounts()), FEATURES, config(), horizon=30, seconds=lambda: 0.0)


def test_a_kind_is_found_by_its_name_and_equals_only_itself() -> None:
    assert {name: of(name).name for name in KINDS} == {name: name for name in ("classification", "regression", "ranking")}
    assert REGRESSION == of("regression") != CLASSIFICATION
    assert REGRESSION.ordered(2.0) < REGRESSION.ordered(1.0)
    assert CLASSIFICATION.ordered(0.7) > CLASSIFICATION.ordered(0.6)


@pytest.mark.parametrize("label", [None, float("nan"), float("inf"), -float("inf")])
def test_a_label_that_is_no_finite_number_is_refused(label: float | None) -> None:
    frame = amounts(2)
    frame.loc[3, "label"] = label
    with pytest.raises(DataError, match="1 of 300 missing, NaN or infinite"):
        rows(frame)
    with pytest.raises(DataError, match="neither 0 nor 1"):
        labelled_rows(amounts(2), key=["customer_id"])


def test_labels_are_doubles_and_of_no_use_when_all_are_the_same() -> None:
    assert rows(amounts(2)).label.dtype == np.float64
    with pytest.raises(DataError, match="one value only: all 1800 labels are 3"):
        fit(rows(amounts().assign(label=3.0)), FEATURES, config(), horizon=30, seconds=lambda: 0.0)


@pytest.mark.parametrize(
    ("kind", "path", "words"),
    [
        (REGRESSION, "sklearn.linear_model.LogisticRegression", "which is no regressor"),
        (REGRESSION, "sklearn.preprocessing.StandardScaler", "which is no regressor"),
        (CLASSIFICATION, "sklearn.linear_model.Ridge", "which gives no probabilities"),
        (REGRESSION, "sklearn.linear_model.Nothing", "expected the dotted path of an estimator"),
    ],
)
def test_an_estimator_of_the_other_kind_is_a_fault(kind: object, path: str, words: str) -> None:
    assert words in "; ".join(estimator_faults(Candidate(name="a", estimator=path), kind))  # type: ignore[arg-type]


@settings(max_examples=60)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=40))
def test_the_errors_are_those_of_scikit_learn(pairs: list[tuple[float, float]]) -> None:
    label, score = (np.array(part) for part in zip(*pairs, strict=True))
    assert metrics.mean_absolute_error(label, score).value == pytest.approx(mean_absolute_error(label, score), rel=1e-9, abs=1e-9)
    assert metrics.root_mean_squared_error(label, score).value == pytest.approx(root_mean_squared_error(label, score), rel=1e-9, abs=1e-9)
    assert metrics.mean_bias(label, score).value == pytest.approx(np.mean(score) - np.mean(label), rel=1e-6, abs=1e-6)
    if np.ptp(label):
        assert metrics.r2(label, score).value == pytest.approx(r2_score(label, score), rel=1e-9, abs=1e-9)


def test_what_cannot_be_judged_says_why() -> None:
    flat, score = np.full(5, 2.0), np.array([1.0, 2, 3, 2, 1])
    assert metrics.r2(flat, score).reason == "all labels are the same, so there is no variance to explain"
    assert metrics.relative_bias(np.zeros(5), score).reason.startswith("all labels are 0")
    for broken in (np.full(5, np.nan), np.full(5, np.inf), np.zeros(4), np.zeros(0)):
        found = evaluate.evaluate(flat[: broken.size] if not broken.size else flat, broken, kind=REGRESSION)
        assert not found.known
        assert found.primary.value is None
        assert found.primary.reason
        assert set(found.numbers()) == {"rows"}


def test_bounds_hold_the_value_and_a_gain_is_a_share_of_the_others_error() -> None:
    data = rows(amounts(2))
    score, other = data.label + np.tile([3.0, -3.0], 150), data.label + np.tile([6.0, -6.0], 150)
    bounds = REGRESSION.intervals(data.label, data.label + np.random.default_rng(1).normal(size=300), data.entity, DRAWS)
    assert set(bounds) == {"mae", "rmse", "bias"}
    assert all((one.low or 0) < (one.value or 0) < (one.high or 0) for one in bounds.values())
    saved = REGRESSION.advantage(data.label, score, other, data.entity, DRAWS)
    assert (saved.value, saved.low, saved.high) == (pytest.approx(0.5), pytest.approx(0.5), pytest.approx(0.5))
    assert REGRESSION.margin(3.0, 6.0) == pytest.approx(0.5)
    assert not REGRESSION.advantage(data.label, score, data.label, data.entity, DRAWS).known  # of no error nothing can be saved
    one = np.full(300, "a", dtype=object)
    assert not REGRESSION.advantage(data.label, score, other, one, DRAWS).known


def judged(offset: float = 0.0, noise: float = 1.0) -> tuple[g.Judged, np.ndarray]:
    draw = np.random.default_rng(2)
    label = draw.gamma(2.0, 50.0, size=800)
    score = label + offset + draw.normal(size=800) * 10 * noise
    return g.Judged(label, score, np.arange(800).astype(str).astype(object), REGRESSION), label + draw.normal(size=800) * 20


def test_the_gates_speak_of_the_error_and_pass_a_clear_gain() -> None:
    good, worse = judged()
    verdict = g.beats_heuristics(good, {"median": np.full(800, 80.0), "strong": worse}, LIMITS, seed=1)
    assert verdict.passed
    assert verdict.sentence.startswith("MAE ")
    assert "the best heuristic, strong" in verdict.sentence
    assert "of its MAE" in verdict.sentence
    assert 0.4 < verdict.numbers["difference"] < 0.6
    assert {"mae", "heuristic_mae", "min_gain"} <= set(verdict.numbers)
    assert g.not_worse_than_champion(good, g.Champion("1", worse), LIMITS, seed=1).passed
    assert g.no_segment_loses(good, g.Champion("1", worse), {"a": good.label > 50}, LIMITS).passed


def test_the_gates_refuse_no_gain_a_better_champion_a_losing_segment_and_a_bias() -> None:
    good, worse = judged()
    poor = g.Judged(good.label, worse, good.entity, REGRESSION)
    assert not g.beats_heuristics(good, {"same": good.score}, LIMITS, seed=1).passed
    assert not g.beats_heuristics(poor, {"median": np.full(800, np.nan)}, LIMITS, seed=1).passed
    assert not g.not_worse_than_champion(poor, g.Champion("1", good.score), LIMITS, seed=1).passed
    assert not g.no_segment_loses(poor, g.Champion("1", good.score), {"a": good.label > 50}, LIMITS).passed
    assert g.is_level(good, LIMITS).gate == "is_unbiased"
    assert g.is_level(good, LIMITS).passed
    high = g.is_level(judged(offset=15.0)[0], LIMITS)
    assert not high.passed
    assert high.numbers["relative_bias"] > high.numbers["max_bias"] == 0.1
    few = g.Judged(good.label[:50], good.score[:50], good.entity[:50], REGRESSION)
    assert not any(verdict.passed for verdict in (g.is_level(few, LIMITS), g.beats_heuristics(few, {"m": worse[:50]}, LIMITS, seed=1)))


def test_candidates_are_chosen_by_the_least_error_over_the_folds(fitted: tuple[Fitted, ...]) -> None:
    best = best_of(fitted)
    figures = [one.searched.figure for one in fitted]
    assert best.searched.figure == min(figures)  # type: ignore[type-var]
    for one in fitted:
        assert one.searched.figure == min(trial.figure for trial in one.searched.trials)


def test_a_model_foretells_better_than_its_baselines_and_a_missing_column_falls_back(fitted: tuple[Fitted, ...]) -> None:
    fresh = rows(amounts(2, 300, seed=99))
    centre = REGRESSION.centre(rows(amounts()).label)
    heuristics = evaluate.by_baseline(fresh, config().baselines, centre)
    for one in fitted:
        own = evaluate.evaluate(fresh.label, one.scores(fresh), kind=REGRESSION).primary.value
        assert own is not None
        assert own < 0.7 * min(e.primary.value or 0 for e in heuristics.values())
    holes = rows(amounts(1, 4).assign(orders=[1, 8, np.nan, 3]))
    assert evaluate.baseline_scores(holes, [Baseline(name="orders", column="orders")], 7.5)["orders"].tolist() == [1, 8, 7.5, 3]


def test_contenders_have_the_kinds_measures_with_bounds(fitted: tuple[Fitted, ...]) -> None:
    fresh, given_ = rows(amounts(2, 300, seed=99)), config(gates={"bootstrap_rounds": 100}, segments=[{"column": "country"}])
    found = compare.figures(fresh, fitted[0].scores(fresh), given_)
    assert tuple(found) == ("mae", "rmse", "r2", "bias")
    assert found["mae"].low is not None
    segment, figure = compare.weakest(fresh, fitted[0].scores(fresh), config(segments=[{"column": "orders", "edges": [4]}]))
    errors = {e.subject: e.primary.value for e in evaluate.by_segment(fresh, fitted[0].scores(fresh), given_.segments)}
    assert segment.startswith("orders=")
    assert figure is not None
    assert errors
    lines = compare.heuristics(fresh, given_, centre=200.0)
    assert [line.name for line in lines] == ["median", "orders"]
    assert compare.from_json(compare.to_json(lines)) == lines


def test_the_pictures_and_the_importances_are_of_values(fitted: tuple[Fitted, ...]) -> None:
    fresh = rows(amounts(2, 300, seed=99))
    found = importances_of(fitted[0], fresh, seed=1)
    assert found["signal"] > found["noise"]
    drawn = plots(fresh.label, fitted[0].scores(fresh), kind=REGRESSION, importances=found)
    assert set(drawn) == {"plots/values.png", "plots/errors.png", "plots/importances.png"}
    assert plots(fresh.label, np.full(len(fresh), np.nan), kind=REGRESSION) == {}


# -- the artefact and the scoring path ---------------------------------------------------------------------------------


def saved(folder: Path, one: Fitted) -> str:
    """The model's folder as the store makes it; its digest."""
    skops.io.dump(one.model, folder / MODEL_FILE)
    write_inputs(folder, one.inputs, explain(one.model, one.inputs, from_pandas(amounts(), one.inputs)), one.kind)
    return model_digest(folder)


@pytest.mark.parametrize("at", [0, 1])
def test_a_saved_regressor_scores_a_batch_as_it_did_in_training_and_explains_it(
    fitted: tuple[Fitted, ...], tmp_path: Path, at: int
) -> None:
    one, frame = fitted[at], amounts(1, 50, seed=3)
    digest = saved(tmp_path, one)
    assert read_inputs(tmp_path, digest) == (one.inputs, REGRESSION)
    loaded = load(tmp_path, digest)
    names = {"customer_id", *one.inputs.names}
    batch = pa.RecordBatch.from_pandas(frame[[name for name in frame.columns if name in names]])
    score = score_batch(loaded, batch, np.empty((50, len(one.inputs.numeric)), order="F"))
    assert score.tolist() == one.scores(rows(frame)).tolist()
    assert loaded.explanation.why_none == ""
    assert loaded.explanation.least == pytest.approx(0.01 * np.std(one.scores(rows(amounts()))), rel=1e-6)
    assert loaded.parts is not None
    matrix = np.asarray(loaded.parts.transform(from_pandas(frame, one.inputs)), dtype=np.float64)
    moved = loaded.explanation.contributions(matrix, len(one.inputs.names)).sum(axis=0)
    assert (loaded.explanation.base + moved).tolist() == pytest.approx(score.tolist(), rel=1e-6)  # in the label's own unit


def test_a_regressor_with_a_log_link_has_no_reasons_and_says_why() -> None:
    candidate = {
        "name": "poisson",
        "estimator": "sklearn.linear_model.PoissonRegressor",
        "params": {"max_iter": 300},
        "preprocessing": {"impute": "median", "scale": "standard"},
    }
    one = fit(rows(amounts()), FEATURES, config(candidates=[candidate]), horizon=30, seconds=lambda: 0.0)
    assert (one.scores(rows(amounts(1))) > 0).all()
    assert "multiplies" in explain(one.model, one.inputs, from_pandas(amounts(), one.inputs)).why_none


def test_a_score_that_is_no_number_stops_the_batch(fitted: tuple[Fitted, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, frame = fitted[1], amounts(1, 5, seed=3)
    loaded = load(tmp_path, saved(tmp_path, one))
    assert loaded.parts is not None
    monkeypatch.setattr(loaded.parts.head, "coef_", np.full_like(loaded.parts.head.coef_, np.inf))
    batch = pa.RecordBatch.from_pandas(frame[list(one.inputs.names)])
    with pytest.raises(FailedError, match="NaN or infinite"):
        score_batch(loaded, batch, np.empty((5, len(one.inputs.numeric)), order="F"))


def test_a_fit_of_the_wrong_kind_is_refused_before_anything_is_fitted() -> None:
    with pytest.raises(ConfigError, match="which is no regressor"):
        fit(rows(amounts(2)), FEATURES, config(candidates=[{"name": "a"}]), horizon=30, seconds=lambda: 0.0)


@pytest.mark.parametrize("estimator", ["xgboost.XGBRegressor", "lightgbm.LGBMRegressor"])
def test_boosted_regressors_of_other_libraries_load_back(estimator: str, tmp_path: Path) -> None:
    pytest.importorskip(estimator.split(".", maxsplit=1)[0])
    candidate = {"name": "other", "estimator": estimator, "params": {"n_estimators": 5, "max_depth": 3}}
    one = fit(rows(amounts(6)), FEATURES, config(candidates=[candidate]), horizon=30, seconds=lambda: 0.0)
    loaded = load(tmp_path, saved(tmp_path, one))
    assert "no fast explainer" in loaded.explanation.why_none
    frame = from_pandas(amounts(1), one.inputs)
    assert loaded.kind.scores(loaded.model, frame).tolist() == one.kind.scores(one.model, frame).tolist()
