from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from penstock.config.purpose import Stakes
from penstock.config.training import Gates
from penstock.registry import gates as g
from penstock.worth import ListWorth, judge_list

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
    assert not g.is_level(good, LIMITS).passed


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
    assert g.is_level(good, LIMITS).passed
    assert not g.is_level(g.Judged(good.label, good.score**3, good.entity), LIMITS).passed


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


STAKES = Stakes(3.5, -6.5, "GBP", "profit of the mailing", 40.0)


def listed(score: np.ndarray, label: np.ndarray, stakes: Stakes = STAKES, **others: np.ndarray) -> ListWorth:
    entity = np.arange(len(label)).astype(str).astype(object)
    return judge_list(label, score, entity, stakes, LIMITS, lists=4, seed=1, others=others)


def test_a_list_that_pays_passes_and_tells_its_profit_beside_everybodys_and_the_target() -> None:
    good = judged()[0]
    verdict = g.acting_pays(listed(good.score, good.label), None, LIMITS)
    assert verdict.passed
    assert verdict.sentence.startswith("profit of the mailing: GBP ")
    for words in ("a list (95% interval GBP ", "rows at 0.65 or more", "target GBP 40.00 reached", "acting on everybody GBP -", "above 0"):
        assert words in verdict.sentence
    assert verdict.numbers["realised_low"] > 0
    assert verdict.numbers["everybody"] < 0
    assert verdict.numbers["threshold"] == 0.65


def test_a_list_that_may_as_well_lose_is_refused_although_the_target_is_only_told() -> None:
    good = judged()[0]
    chance = np.random.default_rng(4).permutation(good.score)
    verdict = g.acting_pays(listed(chance, good.label), None, LIMITS)
    assert not verdict.passed
    assert "the lower bound is not above 0" in verdict.sentence
    high = replace(STAKES, target=1e9)
    missed = g.acting_pays(listed(good.score, good.label, high), None, LIMITS)
    assert missed.passed
    assert "target GBP 1,000,000,000 not reached" in missed.sentence


def test_a_list_that_brings_much_less_than_the_champions_or_than_everybody_is_refused() -> None:
    good = judged()[0]
    champion = g.Champion("3", good.score)
    timid = np.where(good.score > 0.9, good.score, 0.3)
    verdict = g.acting_pays(listed(timid, good.label, champion=good.score), champion, LIMITS)
    assert verdict.numbers["realised_low"] > 0
    assert not verdict.passed
    assert "over 10% less than champion 3's list" in verdict.sentence
    assert g.acting_pays(listed(good.score, good.label, champion=good.score), champion, LIMITS).passed
    cheap = Stakes(9.0, -1.0, "GBP")
    against_all = g.acting_pays(listed(np.where(good.score > 0.5, good.score, 0.05), good.label, cheap), None, LIMITS)
    assert not against_all.passed
    assert "over 10% less than acting on everybody" in against_all.sentence


def test_an_unknown_profit_is_not_passed_and_says_why() -> None:
    good = judged()[0]
    blind = good.score * np.nan
    nobody = g.acting_pays(listed(good.score / 10, good.label), None, LIMITS)
    assert not nobody.passed
    assert "nobody is on the list" in nobody.sentence
    cases = {
        "no list of champion 3": g.acting_pays(listed(good.score, good.label), g.Champion("3", None, "gone"), LIMITS),
        "800 scores are NaN": g.acting_pays(listed(good.score, good.label, champion=blind), g.Champion("3", blind), LIMITS),
        "scores are NaN": g.acting_pays(listed(blind, good.label), None, LIMITS),
        "50 rows, 200 are needed": g.acting_pays(listed(good.score[:50], good.label[:50]), None, LIMITS),
        "entities on the list, 30 are needed": g.acting_pays(
            listed(np.where(np.arange(800) < 20, 0.9, 0.1), np.ones(800, dtype=np.int64)), None, LIMITS
        ),
    }
    for words, verdict in cases.items():
        assert not verdict.passed
        assert verdict.sentence.startswith("Not known")
        assert words in verdict.sentence
