from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from penstock.config.training import Baseline, Segment
from penstock.errors import DataError
from penstock.intervals import Ranked, auc_difference, score_intervals
from penstock.metrics import Interval
from penstock.training import evaluate as ev
from penstock.training.plots import plots
from penstock.training.rows import labelled_rows
from training_rows import made


def test_too_few_rows_and_one_class_are_states_and_not_numbers() -> None:
    few = ev.evaluate(np.array([0, 1]), np.array([0.2, 0.8]), min_rows=10)
    one = ev.evaluate(np.ones(20, dtype=np.int64), np.full(20, 0.5))
    none = ev.evaluate(np.array([], dtype=np.int64), np.array([]))
    nan = ev.evaluate(np.array([0, 1]), np.array([np.nan, 0.5]))
    assert [e.state for e in (few, one, none, nan)] == ["too_few_rows", "one_class", "too_few_rows", "invalid"]
    for e in (few, one, none, nan):
        assert not e.known
        assert e.primary.value is None
        assert e.primary.reason
        assert set(e.numbers()) == {"rows"}


def test_a_known_evaluation_has_every_measure() -> None:
    e = ev.evaluate(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    assert e.primary.value == 0.75
    assert all(m.known for m in e.measures().values())


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4), st.integers(0, 3)), min_size=4, max_size=60))
def test_the_weighted_auc_equals_that_of_repeated_rows(rows: list[tuple[int, int, int]]) -> None:
    label, score, weight = (np.array(part) for part in zip(*rows, strict=True))
    repeated_label, repeated_score = np.repeat(label, weight), np.repeat(score, weight)
    found = Ranked.of(label, score.astype(float)).auc(weight)
    if len(set(repeated_label)) < 2:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(roc_auc_score(repeated_label, repeated_score), abs=1e-12)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4), st.integers(0, 3)), min_size=4, max_size=60))
def test_the_weighted_average_precision_equals_that_of_repeated_rows(rows: list[tuple[int, int, int]]) -> None:
    label, score, weight = (np.array(part) for part in zip(*rows, strict=True))
    repeated_label, repeated_score = np.repeat(label, weight), np.repeat(score, weight)
    found = Ranked.of(label, score.astype(float)).average_precision(weight)
    if not repeated_label.sum():
        assert np.isnan(found)
    else:
        assert found == pytest.approx(average_precision_score(repeated_label, repeated_score), abs=1e-12)


def test_intervals_hold_the_value_of_the_whole_and_brier_asks_for_probabilities() -> None:
    label, good, _, entity = judged()
    chance = 1 / (1 + np.exp(-good))
    found = score_intervals(label, chance, entity, rounds=300, confidence=0.95, seed=5)
    whole = ev.evaluate(label, chance)
    for name, interval in found.items():
        assert interval.value == pytest.approx(whole.measures()[name].value, abs=1e-12)
        assert (interval.low or 1) < (interval.value or 0) < (interval.high or 0)
    assert found["auc"].low == difference(label, chance, np.zeros(400), entity).low + 0.5  # type: ignore[operator]
    ranks = score_intervals(label, good, entity, rounds=100, confidence=0.95, seed=5)
    assert (ranks["brier"].value, ranks["brier"].reason) == (None, "the scores are no probabilities")
    assert ranks["auc"].known
    one_class = score_intervals(np.ones(400, dtype=np.int64), chance, entity, rounds=100, confidence=0.95, seed=5)
    assert not any(interval.known for interval in one_class.values())


def judged(weeks: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(1)
    truth = draw.normal(size=400)
    label = (truth + draw.normal(size=400) > 0).astype(np.int64)
    entity = np.array([str(i) for i in range(400)], dtype=object)
    good, bad = truth + draw.normal(size=400) * 0.2, draw.normal(size=400)
    return np.tile(label, weeks), np.tile(good, weeks), np.tile(bad, weeks), np.tile(entity, weeks)


def difference(*arrays: np.ndarray) -> Interval:
    return auc_difference(*arrays, rounds=300, confidence=0.95, seed=5)


def test_a_better_score_has_an_interval_above_zero_and_the_same_every_time() -> None:
    label, good, bad, entity = judged()
    found = difference(label, good, bad, entity)
    assert found.low is not None
    assert 0 < found.low < (found.value or 0) < (found.high or 0)
    assert found == difference(label, good, bad, entity)
    assert (difference(label, good, good, entity).low, difference(label, good, good, entity).high) == (0.0, 0.0)


def test_repeating_the_weeks_of_the_same_customers_is_no_new_evidence() -> None:
    once, fourfold = difference(*judged(1)), difference(*judged(4))
    assert (once.high or 0) - (once.low or 0) == pytest.approx((fourfold.high or 0) - (fourfold.low or 0), rel=1e-9)


def test_a_difference_of_one_class_or_one_entity_is_not_known() -> None:
    label, good, bad, entity = judged()
    assert not difference(np.ones_like(label), good, bad, entity).known
    assert not difference(label, good, bad, np.full(400, "a", dtype=object)).known


def test_segments_are_values_or_bins_and_nulls_their_own() -> None:
    frame = made(1, 6).assign(orders=[0, 1, 2, 5, 9, np.nan], country=["A", "A", None, "B", "B", "B"])
    masks = ev.segments_of(frame, [Segment(column="orders", edges=(1, 5)), Segment(column="country")])
    assert {name: int(mask.sum()) for name, mask in masks.items()} == {
        "orders=[-inf, 1)": 1, "orders=[1, 5)": 2, "orders=[5, inf)": 2, "orders=null": 1,
        "country=A": 2, "country=B": 3, "country=null": 1,
    }  # fmt: skip
    with pytest.raises(DataError, match=r"training\.segments column nowhere"):
        ev.segments_of(frame, [Segment(column="nowhere")])


def test_weeks_are_in_order_and_a_mean_with_an_unknown_week_is_unknown() -> None:
    rows = labelled_rows(made(3), key=["customer_id"])
    weeks = ev.by_week(rows, np.random.default_rng(0).random(len(rows)))
    assert [w.subject for w in weeks] == ["as_of=2011-03-07", "as_of=2011-03-14", "as_of=2011-03-21"]
    assert ev.mean_primary(weeks).known
    assert not ev.mean_primary(ev.by_week(rows, np.full(len(rows), 0.5), min_rows=1000)).known
    assert not ev.mean_primary(()).known


def test_a_heuristic_points_the_declared_way_and_nulls_rank_lowest() -> None:
    rows = labelled_rows(made(1, 4).assign(orders=[1, 8, np.nan, 3]), key=["customer_id"])
    found = ev.baseline_scores(rows, [Baseline(name="few", column="orders", higher_means="negative")])["few"]
    assert np.argsort(-found).tolist() == [0, 3, 1, 2]


def test_plots_are_drawn_without_global_state_and_none_for_one_class() -> None:
    label, good, _, _ = judged()
    figures = plots(label, 1 / (1 + np.exp(-good)), importances={"a": 0.1, "b": 0.0})
    assert sorted(figures) == [f"plots/{n}.png" for n in ("calibration", "gain", "importances", "precision_recall", "roc")]
    assert plots(np.ones(5, dtype=np.int64), np.full(5, 0.5)) == {}
