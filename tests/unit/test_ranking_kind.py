"""A ranking through the very same functions as the other kinds: labels, the fit, what is judged, and gates that refuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import skops.io

from penstock import lists
from penstock.config.training import Gates, TrainingConfig
from penstock.errors import ConfigError, DataError
from penstock.kinds import CLASSIFICATION, RANKING, Draws, of
from penstock.kinds.ranking import CHOSEN, COMMON, PLACES
from penstock.registry import gates as g
from penstock.scoring.predict import score_batch
from penstock.training import compare, evaluate
from penstock.training.artefact import MODEL_FILE, load, model_digest, read_inputs, write_inputs
from penstock.training.explain import explain
from penstock.training.fit import Fitted, best_of, fit, fit_candidates
from penstock.training.inputs import from_pandas
from penstock.training.plots import importances_of, plots
from penstock.training.rows import Rows, labelled_rows
from penstock.training.split import folds_of
from training_rows import MONDAYS

LENGTH, ITEMS = 3, 15
FEATURES = ("age", "popular", "country")
DRAWS = Draws(200, 0.95, 1)
LIMITS = Gates(bootstrap_rounds=200, min_gain=0.005, min_coverage=0.5, min_segment_rows=50)


def offered(weeks: int = 8, customers: int = 40, seed: int = 7) -> pd.DataFrame:
    """Each customer's candidates each week: who has had an item for about 10 days buys it, whatever is popular."""
    draw = np.random.default_rng(seed)
    count = weeks * customers * ITEMS
    frame = pd.DataFrame(
        {
            "as_of": np.repeat(MONDAYS[:weeks], customers * ITEMS),
            "customer_id": np.tile(np.repeat([f"c{n:03}" for n in range(customers)], ITEMS), weeks),
            "item": np.tile([f"i{n:02}" for n in range(ITEMS)], weeks * customers),
            "age": draw.uniform(0, 30, count),
        }
    )
    frame["popular"] = np.tile(np.arange(ITEMS, 0, -1.0), weeks * customers)
    frame["country"] = np.where(frame["customer_id"].str[-1].isin(list("012")), "FR", "UK")
    frame["label"] = (draw.random(count) < np.where((frame["age"] - 10).abs() < 3, 0.6, 0.03)).astype(float)
    elsewhere = draw.integers(0, 2, weeks * customers)  # items chosen that were no candidates
    frame[CHOSEN] = frame.groupby(["as_of", "customer_id"])["label"].transform("sum").astype(int) + np.repeat(elsewhere, ITEMS)
    frame[PLACES], frame[COMMON] = LENGTH, frame["popular"] / 100
    return frame[frame[CHOSEN] > 0].reset_index(drop=True)


def rows(frame: pd.DataFrame) -> Rows:
    return labelled_rows(frame, key=["customer_id"], within=["item"], kind=RANKING)


def config(**given: object) -> TrainingConfig:
    """As a ranking's pipeline would have it after its defaults were filled in."""
    candidate = {"name": "boosting", "params": {"early_stopping": False, "max_iter": 25}, "space": {"max_leaf_nodes": [4, 8]}}
    fixed: dict[str, Any] = {
        "candidates": [candidate],
        "calibration": {"method": "none"},
        "search": {"trials": 2, "folds": 2},
        "baselines": [
            {"name": "popular", "column": "popular", "higher_means": "positive"},
            {"name": "newest", "column": "age", "higher_means": "negative"},
        ],
    }
    return TrainingConfig.model_validate(fixed | given)


@pytest.fixture(scope="module")
def fitted() -> tuple[Fitted, ...]:
    return fit_candidates(rows(offered()), FEATURES, config(), horizon=8, seconds=lambda: 0.0)


@pytest.fixture(scope="module")
def fresh() -> Rows:
    return rows(offered(3, 80, seed=99))


def judged(data: Rows, score: np.ndarray) -> g.Judged:
    return g.Judged(data.label, score, data.entity, RANKING)


def heuristics(data: Rows) -> dict[str, np.ndarray]:
    return evaluate.baseline_scores(data, config().baselines)


# -- rows --------------------------------------------------------------------------------------------------------------


def test_a_ranking_is_a_kind_of_its_own() -> None:
    assert RANKING == of("ranking") != CLASSIFICATION
    assert (RANKING.primary, RANKING.is_higher_better, RANKING.predicts) == ("recall", True, "predict_proba")


def test_rows_are_in_order_of_item_whatever_order_they_came_in_and_an_item_stands_once_a_list() -> None:
    frame = offered(2, 5)
    data = rows(frame.sample(frac=1.0, random_state=3))
    assert data.frame[["as_of", "customer_id", "item"]].equals(rows(frame).frame[["as_of", "customer_id", "item"]])
    assert np.array_equal(data.label, rows(frame).label)
    assert len(set(data.names())) == 5 * ITEMS, "each of its as_of"
    with pytest.raises(DataError, match="1 that repeat an entity at the same as_of"):
        rows(pd.concat([frame, frame.iloc[[7]]]))
    with pytest.raises(DataError, match="neither 0 nor 1"):
        rows(frame.assign(label=frame["label"].where(frame.index != 3)))


def test_what_belongs_to_a_row_goes_with_it_through_every_part_of_the_rows() -> None:
    data = rows(offered(3, 20))
    masks = (data.day == data.day.max(), (data.frame["country"] == "FR").to_numpy(), data.entity == "c003")
    for mask in masks:
        part = data.where(mask)
        whole = rows(data.frame[mask])
        for name in ("chosen", "total", "places", "common"):
            assert np.array_equal(part.label[name], whole.label[name])
        assert RANKING.figure(part.label, part.frame["age"].to_numpy()) == RANKING.figure(whole.label, whole.frame["age"].to_numpy())


@pytest.mark.parametrize("split", ["time", "group", "random"])
def test_no_fold_cuts_a_list_in_two(split: Any) -> None:
    data = rows(offered())
    for fold in folds_of(data.day, data.entity, split=split, folds=3, horizon=8, seed=1):
        for mask in (fold.train, *fold.tests):
            cases = data.label["case"]
            assert not set(cases[mask]) & set(cases[~mask])


def test_what_is_learned_is_whether_an_item_was_chosen_and_nothing_is_learned_where_all_are_alike() -> None:
    data = rows(offered(2, 5))
    assert data.target.dtype == np.int64
    assert data.target.tolist() == data.frame["label"].tolist()
    with pytest.raises(DataError, match="one class only"):
        fit(rows(offered(4).assign(label=0.0)), FEATURES, config(), horizon=8, seconds=lambda: 0.0)
    regressor = config(candidates=[{"name": "a", "estimator": "sklearn.linear_model.Ridge"}])
    with pytest.raises(ConfigError, match="which gives no probabilities"):
        fit(data, FEATURES, regressor, horizon=8, seconds=lambda: 0.0)


# -- the fit and its figures -------------------------------------------------------------------------------------------


def test_trials_are_chosen_by_recall_and_the_model_finds_more_than_the_rules(fitted: tuple[Fitted, ...], fresh: Rows) -> None:
    best = best_of(fitted)
    assert best.searched.figure == max(trial.figure for trial in best.searched.trials)
    own = evaluate.evaluate(fresh.label, best.scores(fresh), kind=RANKING)
    rules = evaluate.by_baseline(fresh, config().baselines)
    assert own.known
    assert (own.primary.value or 0) > 0.15 + max(e.primary.value or 1 for e in rules.values())
    assert tuple(own.named) == RANKING.judged
    assert set(RANKING.compared) <= set(RANKING.titles) | {"cases"}


def test_too_few_are_counted_in_lists_and_not_in_rows(fitted: tuple[Fitted, ...]) -> None:
    data = rows(offered(1, 40))
    lists_, score = RANKING.count(data.label), fitted[0].scores(data)
    assert len(data) == lists_ * ITEMS > 200 > lists_
    few = evaluate.evaluate(data.label, score, kind=RANKING, min_rows=200)
    assert (few.state, few.rows, few.primary.value) == ("too_few_rows", lists_, None)
    assert few.primary.reason == f"{lists_} rows, 200 are needed"
    assert evaluate.evaluate(data.label, score, kind=RANKING, min_rows=lists_).known
    small = judged(data, score)
    assert len(small) == lists_
    verdicts = [g.beats_heuristics(small, heuristics(data), LIMITS, seed=1), g.is_level(small, LIMITS)]
    verdicts.append(g.not_worse_than_champion(small, g.Champion("1", score), LIMITS, seed=1))
    assert not any(v.passed for v in verdicts)
    assert all(f"{lists_} rows, 200 are needed" in v.sentence for v in verdicts)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_scores_that_are_none_are_no_evidence(fresh: Rows, broken: float) -> None:
    score = np.where(np.arange(len(fresh)) == 5, broken, 0.5)
    found = evaluate.evaluate(fresh.label, score, kind=RANKING)
    assert (found.state, found.primary.value) == ("invalid", None)
    assert set(found.numbers()) == {"rows"}
    assert not g.beats_heuristics(judged(fresh, score), heuristics(fresh), LIMITS, seed=1).passed
    assert not g.is_level(judged(fresh, score), LIMITS).passed


def test_contenders_have_the_kinds_measures_with_bounds(fitted: tuple[Fitted, ...], fresh: Rows) -> None:
    given = config(gates={"bootstrap_rounds": 100, "min_rows": 20, "min_segment_rows": 20}, segments=[{"column": "country"}])
    found = compare.figures(fresh, fitted[0].scores(fresh), given)
    assert tuple(found) == ("recall", "ndcg", "hit_rate", "coverage", "novelty")
    assert found["recall"].low is not None
    assert found["recall"].low < (found["recall"].value or 0) < (found["recall"].high or 0)
    lines = compare.heuristics(fresh, given)
    assert [line.name for line in lines] == ["popular", "newest"]
    assert tuple(lines[0].figures) == RANKING.compared_of_baselines
    assert compare.from_json(compare.to_json(lines)) == lines
    segment, figure = compare.weakest(fresh, fitted[0].scores(fresh), given)
    assert segment in {"country=FR", "country=UK"}
    assert figure is not None


def test_a_missing_value_of_a_rule_ranks_last() -> None:
    data = rows(offered(1, 3))
    data.frame.loc[0, "popular"] = np.nan
    score = heuristics(data)["popular"]
    assert score[0] < score[1:].min()
    assert np.isfinite(score).all()
    assert (heuristics(data)["newest"] == -data.frame["age"]).all()


def test_the_pictures_and_the_importances_are_of_lists(fitted: tuple[Fitted, ...], fresh: Rows) -> None:
    found = importances_of(fitted[0], fresh, seed=1)
    assert found["age"] > max(found["popular"], found["country"])
    drawn = plots(fresh.label, fitted[0].scores(fresh), kind=RANKING, importances=found)
    assert set(drawn) == {"plots/recall.png", "plots/importances.png"}
    assert plots(fresh.label, np.full(len(fresh), np.nan), kind=RANKING) == {}
    assert fresh.label["places"].tolist() == [LENGTH] * len(fresh), "shorter lists were those of a copy"


# -- the gates ---------------------------------------------------------------------------------------------------------


def test_a_model_that_orders_at_random_is_refused(fresh: Rows) -> None:
    for seed in range(5):
        chance = judged(fresh, np.random.default_rng(seed).random(len(fresh)))
        verdict = g.beats_heuristics(chance, heuristics(fresh), LIMITS, seed=1)
        assert not verdict.passed
        assert verdict.numbers["low"] <= LIMITS.min_gain
        assert "the lower bound is not above 0.005" in verdict.sentence


def test_a_model_that_only_repeats_the_best_rule_is_refused(fresh: Rows) -> None:
    rules = heuristics(fresh)
    best = max(rules, key=lambda name: RANKING.figure(fresh.label, rules[name]).value or 0)
    for same in (rules[best], RANKING.as_score(rules[best]), rules[best] * 1e-6):
        verdict = g.beats_heuristics(judged(fresh, same), rules, LIMITS, seed=1)
        assert not verdict.passed
        assert (verdict.numbers["difference"], verdict.numbers["low"], verdict.numbers["high"]) == (0.0, 0.0, 0.0)
    assert not g.beats_heuristics(judged(fresh, rules[best]), rules, replace_gain(0.0), seed=1).passed, "no gain is none"


def replace_gain(gain: float) -> Gates:
    return LIMITS.model_copy(update={"min_gain": gain})


def test_a_model_that_knows_passes_against_the_best_rule_and_not_against_itself(fitted: tuple[Fitted, ...], fresh: Rows) -> None:
    score, rules = fitted[0].scores(fresh), heuristics(fresh)
    verdict = g.beats_heuristics(judged(fresh, score), rules, LIMITS, seed=1)
    assert verdict.passed
    best = max(rules, key=lambda name: RANKING.figure(fresh.label, rules[name]).value or 0)
    assert f"the best heuristic, {best}" in verdict.sentence
    assert {"recall", "heuristic_recall", "difference", "low", "high", "min_gain"} <= set(verdict.numbers)
    assert not g.beats_heuristics(judged(fresh, score), {**rules, "oracle": fresh.target.astype(float)}, LIMITS, seed=1).passed
    assert not g.beats_heuristics(judged(fresh, score), {}, LIMITS, seed=1).passed
    assert not g.beats_heuristics(judged(fresh, score), {**rules, "broken": np.full(len(fresh), np.nan)}, LIMITS, seed=1).passed


def test_a_worse_model_than_the_champion_is_refused_whole_and_by_segment(fitted: tuple[Fitted, ...], fresh: Rows) -> None:
    score = fitted[0].scores(fresh)
    good, poor = judged(fresh, score), judged(fresh, heuristics(fresh)["popular"])
    masks = evaluate.segments_of(fresh.frame, config(segments=[{"column": "country"}]).segments)
    assert g.not_worse_than_champion(good, g.Champion("1", score), LIMITS, seed=1).passed
    assert not g.not_worse_than_champion(poor, g.Champion("1", score), LIMITS, seed=1).passed
    assert g.no_segment_loses(good, g.Champion("1", score), masks, LIMITS).passed
    verdict = g.no_segment_loses(poor, g.Champion("1", score), masks, LIMITS)
    assert not verdict.passed
    assert {"country=FR", "country=UK"} <= set(verdict.numbers)
    in_one = np.where(masks["country=FR"], heuristics(fresh)["popular"], score)
    lost = g.no_segment_loses(judged(fresh, in_one), g.Champion("1", score), masks, LIMITS)
    assert not lost.passed
    assert "country=UK" not in lost.sentence


def test_a_model_that_shows_everybody_the_same_is_refused(fitted: tuple[Fitted, ...], fresh: Rows) -> None:
    level = g.is_level(judged(fresh, heuristics(fresh)["popular"]), LIMITS)
    assert (level.gate, level.passed) == ("covers_catalogue", False)
    assert level.numbers == pytest.approx({"unseen_share": 1 - LENGTH / ITEMS, "max_unseen_share": 0.5})
    assert "20.0% of the candidate items are on somebody's list" in level.sentence
    assert g.is_level(judged(fresh, fitted[0].scores(fresh)), LIMITS).passed
    edge = LIMITS.model_copy(update={"min_coverage": LENGTH / ITEMS})
    assert g.is_level(judged(fresh, heuristics(fresh)["popular"]), edge).passed, "just enough is enough"


def test_one_customer_is_no_evidence(fitted: tuple[Fitted, ...]) -> None:
    data = rows(offered(6, 1))
    alone = judged(data, fitted[0].scores(data))
    few = LIMITS.model_copy(update={"min_rows": 1})
    verdict = g.beats_heuristics(alone, heuristics(data), few, seed=1)
    assert not verdict.passed
    assert "1 entity, two are needed to draw from" in verdict.sentence


def test_one_product_is_shown_to_all_and_beats_no_rule() -> None:
    data = rows(offered(6, 50)[lambda f: f["item"] == "i04"])
    score = data.frame["age"].to_numpy()
    assert lists.measures(data.label, score)["coverage"].value == 1.0
    assert not g.beats_heuristics(judged(data, score), heuristics(data), LIMITS, seed=1).passed


# -- the artefact and the scoring path ---------------------------------------------------------------------------------


def test_a_saved_model_scores_a_batch_as_it_did_in_training(fitted: tuple[Fitted, ...], tmp_path: Path) -> None:
    one, frame = fitted[0], offered(1, 6, seed=3)
    skops.io.dump(one.model, tmp_path / MODEL_FILE)
    write_inputs(tmp_path, one.inputs, explain(one.model, one.inputs, from_pandas(frame, one.inputs)), one.kind)
    digest = model_digest(tmp_path)
    assert read_inputs(tmp_path, digest) == (one.inputs, RANKING)
    batch = pa.RecordBatch.from_pandas(frame[list(one.inputs.names)])
    score = score_batch(load(tmp_path, digest), batch, np.empty((len(frame), len(one.inputs.numeric)), order="F"))
    assert score.tolist() == one.scores(rows(frame)).tolist()


def test_a_seed_decides_everything(fitted: tuple[Fitted, ...], fresh: Rows) -> None:
    shuffled = rows(offered().sample(frac=1.0, random_state=5))
    again = fit_candidates(shuffled, FEATURES, config(), horizon=8, seconds=lambda: 0.0)
    assert np.array_equal(best_of(again).scores(fresh), best_of(fitted).scores(fresh))
    draws = (RANKING.intervals(fresh.label, best_of(fitted).scores(fresh), fresh.entity, replace(DRAWS, seed=s)) for s in (1, 1, 2))
    one, same, other = (found["recall"] for found in draws)
    assert one == same != other
