"""Judging scores: known answers, agreement with slow definitions, and the states that are not numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock import metrics

LABEL, SCORE = [0, 0, 1, 1, 0, 1], [0.1, 0.4, 0.35, 0.8, 0.4, 0.9]
pairs = st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5000001, 0.9, 1.0])), min_size=1, max_size=60)


@given(pairs)
@settings(deadline=None)
def test_auc_is_the_share_of_pairs_in_the_right_order_with_ties_as_halves(rows: list[tuple[int, float]]) -> None:
    ones, zeros = [p for y, p in rows if y], [p for y, p in rows if not y]
    measure = metrics.roc_auc(*zip(*rows, strict=True))
    if not ones or not zeros:
        assert measure.value is None
        assert "one class only" in measure.reason
        return
    slow = np.mean([(a > b) + 0.5 * (a == b) for a in ones for b in zeros])
    assert measure.value == pytest.approx(slow)


@given(pairs, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_lift_gain_and_calibration_do_not_depend_on_the_order_of_the_rows(rows: list[tuple[int, float]], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for metric in (metrics.lift_at, metrics.expected_calibration_error, metrics.average_precision, metrics.auc_standard_error):
        before, after = metric(*zip(*rows, strict=True)), metric(*zip(*shuffled, strict=True))
        assert before.known == after.known
        assert before.value == pytest.approx(after.value)


def test_known_answers() -> None:
    assert metrics.brier([1, 0], [0.75, 0.25]).value == pytest.approx(0.0625)
    assert metrics.log_loss([1, 0], [0.5, 0.5]).value == pytest.approx(math.log(2))
    assert metrics.base_rate([1, 0, 0, 1]).value == 0.5
    assert metrics.lift_at([1, 1, 0, 0, 0, 0, 0, 0, 0, 0], np.linspace(1, 0, 10), 0.2).value == pytest.approx(5.0)
    assert metrics.expected_calibration_error([1] * 80 + [0] * 20, [0.5] * 100).value == pytest.approx(0.3)
    assert metrics.gain_curve([1, 0], [0.9, 0.1]).reached == (0.0, 1.0, 1.0)


def test_a_perfectly_calibrated_score_has_little_calibration_error_and_an_overconfident_one_much() -> None:
    rng = np.random.default_rng(3)
    p = rng.uniform(size=20_000)
    y = rng.uniform(size=p.size) < p
    assert (metrics.expected_calibration_error(y, p).value or 1) < 0.02
    assert (metrics.expected_calibration_error(y, np.where(p > 0.5, 0.99, 0.01)).value or 0) > 0.2


@pytest.mark.parametrize(
    ("label", "score", "reason"),
    [
        ([], [], "no rows"),
        ([1, 0], [0.5, math.nan], "NaN or infinite"),
        ([1, 0], [0.5, math.inf], "NaN or infinite"),
        ([1, 2], [0.5, 0.5], "neither 0 nor 1"),
        ([1, math.nan], [0.5, 0.5], "neither 0 nor 1"),
        ([1, 0], [0.5], "do not pair"),
    ],
)
def test_what_cannot_be_judged_has_a_reason_and_no_number(label: list[float], score: list[float], reason: str) -> None:
    for metric in (
        metrics.roc_auc,
        metrics.average_precision,
        metrics.brier,
        metrics.log_loss,
        metrics.expected_calibration_error,
        metrics.lift_at,
    ):
        measure = metric(label, score)
        assert measure.value is None
        assert reason in measure.reason


def test_scores_outside_0_to_1_are_no_probabilities_but_can_still_be_ranked() -> None:
    assert metrics.brier([1, 0], [1.5, 0.2]).reason == "1 scores are outside [0, 1]"
    assert metrics.roc_auc([1, 0], [1.5, 0.2]).value == 1.0


def test_nan_never_gets_into_a_measure() -> None:
    assert metrics.Measure(math.nan).value is None
    assert not metrics.Measure(math.inf).known


def test_the_auc_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    truth, hits = 0.7602, 0  # normal scores one standard deviation apart: Φ(1/√2)
    for _ in range(400):
        y = np.arange(300) < 120
        interval = metrics.auc_interval(y, rng.normal(size=300) + y)
        assert interval.low is not None
        assert interval.high is not None
        hits += interval.low <= truth <= interval.high
    assert 0.92 <= hits / 400 <= 0.98


def test_wilson_interval_stays_inside_0_to_1_and_matches_the_textbook() -> None:
    zero = metrics.rate_interval(0, 10)
    assert (zero.low, zero.value) == (0.0, 0.0)
    assert zero.high == pytest.approx(0.2775, abs=1e-4)
    assert not metrics.rate_interval(0, 0).known
