"""The worth of a list: the threshold is the best one, realised is what the outcomes say, and an interval knows its entities."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import metrics, worth
from penstock.config.purpose import Stakes
from penstock.config.training import Gates
from penstock.publish.record import band_of

STAKES = Stakes(3.5, -6.5, "GBP", "profit of the mailing", 500.0)
GATES = Gates(bootstrap_rounds=300)

amounts = st.floats(0.01, 1e4)
chances = st.lists(st.floats(0, 1), min_size=1, max_size=40).map(np.array)


def exact(right: float = 3.5, wrong: float = -6.5) -> Stakes:
    """Stakes whose list is not moved by rounding."""
    return Stakes(right, wrong, "GBP", digits=12)


@given(chances, amounts, amounts, st.floats(0, 1.01))
def test_no_other_threshold_expects_more_than_the_break_even_one(score: np.ndarray, right: float, loss: float, other: float) -> None:
    stakes = exact(right, -loss)
    best = worth.profit(score, worth.acted_on(score, stakes), stakes)
    # The threshold is rounded to nine places: a row in between loses next to nothing.
    slack = 1e-8 * (right + loss) * score.size
    assert worth.profit(score, score >= other, stakes) <= best + slack
    assert best >= -slack


@given(st.lists(st.integers(0, 100), min_size=1, max_size=20), amounts, amounts)
def test_realised_equals_expected_when_the_scores_come_true_to_the_row(parts: list[int], right: float, loss: float) -> None:
    stakes = exact(right, -loss)
    score = np.repeat(np.array(parts) / 100, 100)
    label = np.concatenate([np.arange(100) < part for part in parts]).astype(np.int64)
    acted = worth.acted_on(score, stakes)
    assert math.isclose(worth.profit(label, acted, stakes), worth.profit(score, acted, stakes), rel_tol=1e-9, abs_tol=1e-6 * (right + loss))


def test_realised_is_expected_on_average_when_outcomes_are_drawn_from_the_scores() -> None:
    draw = np.random.default_rng(3)
    score = draw.random(500)
    acted = worth.acted_on(score, STAKES)
    found = np.array([worth.profit(draw.random(500) < score, acted, STAKES) for _ in range(2000)])
    assert abs(found.mean() - worth.profit(score, acted, STAKES)) < 4 * found.std() / math.sqrt(2000)


def test_a_contact_at_the_threshold_is_worth_nothing_and_one_above_it_something() -> None:
    below, at, above = worth.value_of([0.64, 0.65, 0.66], STAKES)
    assert below < 0 < above
    assert at == pytest.approx(0, abs=1e-12)


@given(st.floats(0, 1), amounts, amounts)
def test_the_high_band_is_the_list(score: float, right: float, loss: float) -> None:
    stakes = Stakes(right, -loss, "GBP")
    rounded = float(np.round(score, stakes.digits))
    if 0 < stakes.threshold < 1:
        assert (band_of(rounded, stakes.bands()) == "high") == bool(worth.acted_on([score], stakes)[0])


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9)), min_size=1, max_size=60), st.integers(0, 10))
def test_the_curve_goes_from_nobody_to_everybody_by_way_of_the_list(rows: list[tuple[int, int]], cut: int) -> None:
    label, score = np.array([y for y, _ in rows]), np.array([s / 10 for _, s in rows])
    curve = worth.profit_curve(label, score, STAKES, lists=2)
    assert curve[0] == (0.0, 0.0)
    assert curve[-1][1] == pytest.approx(worth.profit(label, np.ones(len(rows), dtype=bool), STAKES) / 2)
    listed = score >= cut / 10
    reached = worth.profit_of_best(label, score, float(listed.mean()), STAKES)
    assert reached == pytest.approx(worth.profit(label, listed, STAKES), abs=1e-6)


def test_rows_tied_at_the_cut_count_in_proportion_and_their_order_does_not_matter() -> None:
    label = np.array([1, 0, 1, 0])
    assert worth.profit_of_best(label, np.zeros(4), 0.5, STAKES) == worth.profit_of_best(label[::-1], np.zeros(4), 0.5, STAKES) == -3.0


def test_a_customers_weeks_stand_or_fall_together_so_repeated_rows_narrow_no_interval() -> None:
    draw = np.random.default_rng(5)
    label, acted = draw.integers(0, 2, 200), np.ones(200, dtype=bool)
    names = np.array([str(i) for i in range(200)], dtype=object)
    stakes, drawn = exact(), {"rounds": 400, "confidence": 0.95, "seed": 1}
    once = worth.realised_interval(label, acted, names, stakes, **drawn)
    weeks = worth.realised_interval(np.tile(label, 4), np.tile(acted, 4), np.tile(names, 4), stakes, **drawn)
    assert (weeks.value, weeks.low, weeks.high) == pytest.approx(tuple(4 * v for v in (once.value, once.low, once.high)))
    rows = worth.realised_interval(np.tile(label, 4), np.tile(acted, 4), np.arange(800).astype(str).astype(object), stakes, **drawn)
    assert weeks.high - weeks.low > 1.5 * (rows.high - rows.low)


def test_a_list_of_few_has_a_profit_and_no_interval() -> None:
    names = np.array([str(i) for i in range(29)], dtype=object)
    found = worth.realised_interval(np.ones(29), np.ones(29, dtype=bool), names, STAKES, rounds=100, confidence=0.95, seed=1)
    assert (found.value, found.low) == (pytest.approx(29 * 3.5), None)
    assert "29 entities on the list, 30 are needed" in found.reason
    assert worth.rate_profit(29, 29, STAKES).low is None
    assert worth.rate_profit(0, 0, STAKES).value == 0.0


def test_the_bounds_of_one_cohort_are_those_of_its_rate() -> None:
    found, rate = worth.rate_profit(70, 100, STAKES), metrics.rate_interval(70, 100)
    assert found.value == pytest.approx(70 * 3.5 - 30 * 6.5)
    assert (found.low, found.high) == pytest.approx(tuple(100 * (r * 10 - 6.5) for r in (rate.low, rate.high)))


def test_a_holdouts_worth_is_that_of_one_of_its_lists_beside_equally_long_ones() -> None:
    draw = np.random.default_rng(1)
    score = draw.random(400)
    label = (draw.random(400) < score).astype(np.int64)
    entity = np.array([str(i % 200) for i in range(400)], dtype=object)
    orders = {"same": score * 7 - 3, "noise": draw.random(400)}
    found = worth.judge_list(label, score, entity, STAKES, GATES, lists=2, seed=1, others={"blind": score * np.nan}, orders=orders)
    acted = score >= 0.65
    assert found.contacts == acted.sum()
    assert found.realised.value == pytest.approx(worth.profit(label, acted, STAKES) / 2)
    assert found.expected.value == pytest.approx(worth.profit(score, acted, STAKES) / 2)
    assert found.others["same"].value == pytest.approx(found.realised.value)
    assert found.others["noise"].value < found.realised.value
    assert found.others["blind"].value is None
    assert found.realised.low < found.realised.value < found.realised.high
    numbers = found.numbers()
    assert numbers["nobody"] == 0.0
    assert numbers["threshold"] == 0.65
    assert "list.blind" not in numbers
    assert all(math.isfinite(value) for value in numbers.values())


@pytest.mark.parametrize("score", [np.array([0.7, np.nan]), np.array([])])
def test_what_cannot_be_judged_is_unknown_and_never_zero(score: np.ndarray) -> None:
    label = np.ones(score.size, dtype=np.int64)
    found = worth.judge_list(label, score, label.astype(str).astype(object), STAKES, GATES, lists=1, seed=1)
    assert (found.expected.value, found.realised.value, found.everybody.value) == (None, None, None)
    assert "not known" in worth.told(found, 0.95)
    assert worth.profit_curve(label, score, STAKES) == ()


@pytest.mark.parametrize(
    ("value", "text"), [(1234.4, "GBP 1,234"), (-12.5, "GBP -12.50"), (99.999, "GBP 100"), (0.0, "GBP 0.00"), (-1500, "GBP -1,500")]
)
def test_money_is_written_with_its_currency(value: float, text: str) -> None:
    assert worth.money(value, "GBP") == text


@pytest.mark.parametrize(
    ("value", "text"), [(500.0, "target GBP 500 reached"), (499.9, "target GBP 500 not reached"), (None, "target GBP 500: not known")]
)
def test_a_target_is_reached_not_reached_or_not_known(value: float | None, text: str) -> None:
    assert worth.reached(value, STAKES) == text


def test_every_draw_counts_as_many_entities_as_there_are_and_rows_of_one_alike() -> None:
    entity = np.array(["b", "a", "b", "c"], dtype=object)
    for weight in metrics.entity_draws(entity, 20, 1):
        assert weight[0] == weight[2]
        assert weight[0] + weight[1] + weight[3] == 3
