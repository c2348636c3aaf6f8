"""A ranking's cohorts from sums: the same numbers as from the lists, and the rule over them."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from penstock import lists
from penstock.config.monitoring import MonitoringConfig, PerformanceConfig, RateConfig
from penstock.kinds import RANKING
from penstock.monitoring import outcomes
from penstock.monitoring.decide import Decision, Evidence, Production, Retrain, decide
from penstock.monitoring.listed import SUMS, ListPerformance, lists_by_segment
from penstock.monitoring.performance import CohortState
from penstock.monitoring.profile import ALL
from penstock.monitoring.reference import ListReference, reference_to_json
from penstock.monitoring.rows import performance_rows

LENGTH = 4
CONFIG = MonitoringConfig(
    performance=PerformanceConfig(metric="recall", max_loss=0.02, min_rows=50),
    calibration=RateConfig(action="off"),
    label_rate=RateConfig(action="off"),
)
FIRST, PROMOTED = date(2011, 9, 5), date(2011, 8, 29)


def entity(chosen: list[int], shown: list[int], instead: list[int]) -> dict[str, float]:
    return oracle.list_sums(chosen, shown, instead, LENGTH)


def cohort(count: int = 400, *, knows: float = 0.6, seed: int = 3) -> pd.DataFrame:
    """Entities of two countries who choose three of twelve items; each list shows each of them with the chance `knows`."""
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        chosen = draw.choice(12, 3, replace=False).tolist()
        rest = [n for n in range(12) if n not in chosen]
        shown = [n for n in chosen if draw.random() < knows]
        shown += rest[: LENGTH - len(shown)]
        country = "uk" if draw.random() < 0.8 else "fr"
        found.append({**entity(chosen, shown, draw.permutation(12)[:LENGTH].tolist()), "country": country})
    return pd.DataFrame(found)


def summed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.groupby("country")[list(SUMS)].sum().reset_index()


def measured(frame: pd.DataFrame, *segments: str) -> tuple[ListPerformance, ...]:
    return lists_by_segment(FIRST, "3", summed(frame), CONFIG, segments)


ITEMS = st.lists(st.integers(0, 9), max_size=6, unique=True)
CASES = st.lists(st.tuples(ITEMS, ITEMS.map(lambda items: items[:LENGTH])), min_size=1, max_size=8)


@settings(max_examples=100)
@given(CASES)
def test_the_sums_give_the_figures_that_a_training_has_of_the_same_lists(cases: list[tuple[list[int], list[int]]]) -> None:
    """The monitoring's recall and NDCG are those of `lists`, or no cohort could be compared with the holdout."""
    sums = pd.DataFrame([{**entity(chosen, shown, shown), "country": "uk"} for chosen, shown in cases])
    whole = lists_by_segment(FIRST, "3", summed(sums), CONFIG)[0]
    rows = [
        (case, item, item in chosen, len(chosen), LENGTH - at if item in shown else -item)
        for case, (chosen, shown) in enumerate(cases)
        for at, item in enumerate([*shown, *(n for n in range(10, 20))])
    ]
    case, item, hit, total, score = (np.array(column) for column in zip(*rows, strict=True))
    # What stands behind the list fills it up with items that nobody chose.
    label = lists.cases(chosen=hit, case=case, item=item, total=total, places=np.full(len(rows), LENGTH), common=np.full(len(rows), 0.1))
    expected = lists.measures(label, score.astype(float))
    assert (whole.rows, whole.recall.value) == (int(expected["cases"].value or 0), pytest.approx(expected["recall"].value))
    if whole.rows:
        assert whole.ndcg.value == pytest.approx(expected["ndcg"].value)
        assert whole.hit_rate.value == pytest.approx(expected["hit_rate"].value)
        assert (whole.heuristic_recall.value, whole.heuristic_ndcg.value) == (whole.recall.value, whole.ndcg.value)


def test_the_error_is_that_of_a_mean_and_the_bounds_hold_the_value() -> None:
    frame = cohort()
    whole = measured(frame)[0]
    assert whole.state == CohortState.EVALUATED
    assert whole.recall_se.value == pytest.approx(frame["recall"].std(ddof=0) / np.sqrt(len(frame)))
    assert (whole.recall.low or 0) < (whole.recall.value or 0) < (whole.recall.high or 0)
    assert whole.chosen.value == 3.0
    assert (whole.heuristic_recall.value or 0) < (whole.recall.value or 0)


def test_each_segment_has_its_own_figures_and_the_whole_comes_first() -> None:
    frame = cohort()
    found = measured(frame, "country")
    assert [one.segment for one in found] == [ALL, "country=fr", "country=uk"]
    french = frame[frame["country"] == "fr"]
    assert (found[1].rows, found[1].recall.value) == (len(french), pytest.approx(french["recall"].mean()))
    assert found[0].rows == sum(one.rows for one in found[1:])


def test_too_few_lists_and_nobody_who_chose_are_no_evidence() -> None:
    few = measured(cohort(20))[0]
    assert (few.state, few.reason) == (CohortState.INSUFFICIENT, "20 entities that chose anything, 50 are needed")
    silent = pd.DataFrame([{**entity([], [1, 2], [3]), "country": "uk"}] * 200)
    none = measured(silent)[0]
    assert (none.state, none.rows, none.recall.value, none.ndcg.value) == (CohortState.INSUFFICIENT, 0, None, None)
    assert ListReference(100, 0.5, 0.01).performance(none) is None
    nothing = lists_by_segment(FIRST, "3", summed(silent).iloc[:0], CONFIG)[0]
    assert (nothing.state, nothing.rows) == (CohortState.INSUFFICIENT, 0)


def test_sums_that_are_no_number_are_no_evidence() -> None:
    spoilt = summed(cohort())
    spoilt.loc[0, "recall"] = np.nan  # as Spark sums, which keeps NaN
    broken = lists_by_segment(FIRST, "3", spoilt, CONFIG)[0]
    assert (broken.state, broken.recall.value) == (CohortState.INSUFFICIENT, None)
    assert "NaN or infinite" in broken.reason


def test_the_metrics_table_has_the_kinds_names() -> None:
    told = performance_rows(measured(cohort(), "country"))
    names = {row.name for row in told if row.segment == ALL}
    assert names == {
        *("rows", "recall", "recall_low", "recall_high", "recall_se", "ndcg", "hit_rate"),
        *("heuristic_recall", "heuristic_ndcg", "chosen"),
    }


# -- the reference and the rule -------------------------------------------------------------------------------------------


def labels(count: int, hits: int) -> lists.Records:
    """Lists of one place with two candidates each, of which the first `hits` are right, all of one cohort."""
    chosen = np.array([[1, 0] if n < hits else [0, 1] for n in range(count)]).ravel()
    one = np.ones(2 * count)
    return lists.cases(chosen=chosen, case=np.arange(2 * count) // 2, item=np.arange(2 * count) % 2, total=one, places=one, common=one)


def test_the_reference_is_the_recall_of_the_holdout_with_the_luck_of_its_newest_cohort() -> None:
    label, score = np.concatenate([labels(30, 30), labels(20, 10)]), np.tile([1.0, 0.0], 50)
    label["case"] = np.arange(100) // 2
    newest = np.arange(100) >= 60
    kept = outcomes.of(RANKING).reference(label, score, newest)
    assert isinstance(kept, ListReference)
    assert (kept.rows, kept.recall, kept.recall_se) == (20, 0.8, pytest.approx(0.5 / np.sqrt(20)))
    assert outcomes.of(RANKING).read(reference_to_json(kept)) == kept


def test_a_loss_has_the_luck_of_both_sides() -> None:
    whole = measured(cohort())[0]
    loss = ListReference(100, 0.9, 0.03).performance(whole)
    assert loss is not None
    assert loss.effect == pytest.approx(0.9 - (whole.recall.value or 0))
    assert loss.se == pytest.approx(np.hypot(0.03, whole.recall_se.value or 0))
    assert "against 0.900 at the holdout" in loss.text
    reference = ListReference(100, 0.9, 0.03)
    assert (reference.calibration(whole), reference.label_rate(whole)) == (None, None)


def run(*frames: pd.DataFrame, reference: ListReference) -> Decision:
    cohorts = tuple(
        one
        for week, frame in enumerate(frames)
        for one in lists_by_segment(FIRST + timedelta(weeks=week), "3", summed(frame), CONFIG, ["country"])
    )
    as_of = FIRST + timedelta(weeks=len(frames) - 1, days=35)
    return decide(as_of, Production("3", PROMOTED, reference), Evidence(cohorts, (), (), 28), CONFIG)


@pytest.mark.parametrize(
    ("knows", "count", "answer", "rule"),
    [
        ([0.6, 0.6], 400, Retrain.NO, ""),
        ([0.3, 0.3], 400, Retrain.YES, "performance"),
        ([0.6, 0.3], 400, Retrain.NO, ""),  # one odd week does not decide
        ([0.9, 0.9], 400, Retrain.NO, ""),
        ([0.1, 0.1], 20, Retrain.INSUFFICIENT, ""),
    ],
)
def test_a_recall_that_falls_twice_starts_a_training(knows: list[float], count: int, answer: Retrain, rule: str) -> None:
    decision = run(*(cohort(count, knows=one, seed=week) for week, one in enumerate(knows)), reference=ListReference(500, 0.6, 0.01))
    assert (decision.retrain, decision.rule) == (answer, rule)
    assert all(reason.endswith(".") for reason in decision.reasons)


def test_a_holdout_that_could_not_be_judged_is_no_look() -> None:
    decision = run(cohort(), cohort(seed=4), reference=ListReference(0, float("nan"), float("nan")))
    assert decision.retrain == Retrain.INSUFFICIENT
