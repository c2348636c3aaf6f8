from __future__ import annotations

import numpy as np
import pytest

from penstock.config.training import Gates
from penstock.registry import gates as g

LIMITS = Gates(bootstrap_rounds=200, min_gain=0.01, min_segment_rows=100)


def judged(rows: int = 800, noise: float = 0.5) -> tuple[g.Judged, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(2)
    truth = draw.normal(size=rows)
    chance = 1 / (1 + np.exp(-2 * truth))
    label = (draw.random(rows) < chance).astype(np.int64)
    return g.Judged(label, chance, np.arange(rows).astype(str).astype(object)), truth, truth + draw.normal(size=rows) * noise


def test_a_clear_gain_over_the_best_heuristic_passes_with_its_numbers() -> None:
    good, _, noisy = judged(noise=2.0)
    verdict = g.beats_heuristics(good, {"weak": np.zeros(800), "strong": noisy}, LIMITS, seed=1)
    assert verdict.passed
    assert "the best heuristic, strong" in verdict.sentence
    assert verdict.numbers["low"] > 0.01
    assert verdict.numbers["heuristic_auc"] > 0.5


def test_a_gain_whose_lower_bound_is_under_the_margin_is_refused() -> None:
    good, truth, _ = judged()
    verdict = g.beats_heuristics(good, {"same": truth}, LIMITS, seed=1)
    assert not verdict.passed
    assert "is not above 0.01" in verdict.sentence


@pytest.mark.parametrize("heuristics", [{}, {"broken": np.full(800, np.nan)}])
def test_no_heuristic_or_a_broken_one_is_not_known_and_not_passed(heuristics: dict[str, np.ndarray]) -> None:
    verdict = g.beats_heuristics(judged()[0], heuristics, LIMITS, seed=1)
    assert not verdict.passed
    assert verdict.sentence.startswith("Not known")


def test_too_few_holdout_rows_pass_no_gate() -> None:
    good, _, noisy = judged(50, noise=9.0)
    assert not g.beats_heuristics(good, {"weak": noisy}, LIMITS, seed=1).passed
    assert not g.not_worse_than_champion(good, g.Champion("1", noisy), LIMITS, seed=1).passed
    assert not g.is_calibrated(good, LIMITS).passed


def test_a_champion_that_is_better_refuses_and_one_that_is_worse_does_not() -> None:
    good, truth, noisy = judged(noise=3.0)
    assert g.not_worse_than_champion(good, g.Champion("3", noisy), LIMITS, seed=1).passed
    worse = g.Judged(good.label, 1 / (1 + np.exp(-noisy)), good.entity)
    verdict = g.not_worse_than_champion(worse, g.Champion("3", truth), LIMITS, seed=1)
    assert not verdict.passed
    assert "champion 3" in verdict.sentence


def test_no_champion_passes_and_a_champion_without_scores_does_not() -> None:
    good = judged()[0]
    silent = g.Champion("3", None, "its artefact is gone")
    assert g.not_worse_than_champion(good, None, LIMITS, seed=1).passed
    assert g.no_segment_loses(good, None, {}, LIMITS).passed
    assert not g.not_worse_than_champion(good, silent, LIMITS, seed=1).passed
    assert not g.no_segment_loses(good, silent, {}, LIMITS).passed


def test_a_large_segment_that_loses_refuses_and_a_small_one_is_not_judged() -> None:
    good, truth, _ = judged()
    half = np.arange(800) < 200
    spoilt = np.where(half, 1 - good.score, good.score)
    candidate = g.Judged(good.label, spoilt, good.entity)
    verdict = g.no_segment_loses(candidate, g.Champion("1", truth), {"a": half, "b": ~half}, LIMITS)
    assert not verdict.passed
    assert "in a (" in verdict.sentence
    small = np.arange(800) < 60
    verdict = g.no_segment_loses(candidate, g.Champion("1", truth), {"a": small, "b": ~half}, LIMITS)
    assert verdict.passed
    assert "1 have fewer than 100 rows" in verdict.sentence


def test_a_large_segment_of_one_class_is_not_known_and_not_passed() -> None:
    good, truth, _ = judged()
    verdict = g.no_segment_loses(good, g.Champion("1", truth), {"ones": good.label == 1}, LIMITS)
    assert not verdict.passed
    assert "not known in ones" in verdict.sentence.lower()


def test_calibration_is_judged_by_its_error() -> None:
    good = judged(4000)[0]
    assert g.is_calibrated(good, LIMITS).passed
    assert not g.is_calibrated(g.Judged(good.label, good.score**3, good.entity), LIMITS).passed


def test_feature_checks_must_be_there_be_made_and_pass() -> None:
    made = g.Check("nulls", True)
    assert g.features_are_checked([made]).passed
    assert not g.features_are_checked([]).passed
    assert not g.features_are_checked([made, g.Check("range", None)]).passed
    assert "failed: range" in g.features_are_checked([made, g.Check("range", False)]).sentence


def test_deployed_scores_must_be_the_training_ones() -> None:
    scores = np.array([0.1, 0.5])
    assert g.is_deployable(scores, scores.copy(), LIMITS).passed
    for other in (scores + 1e-6, np.array([0.1]), np.array([0.1, np.nan])):
        assert not g.is_deployable(scores, other, LIMITS).passed
    assert not g.is_deployable(np.array([]), np.array([]), LIMITS).passed


def test_no_verdict_at_all_is_no_pass() -> None:
    passed = g.Verdict("a", True, {}, "")
    assert not g.all_passed([])
    assert g.all_passed([passed])
    assert not g.all_passed([passed, g.Verdict("b", False, {}, "")])
