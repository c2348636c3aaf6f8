"""A regression's cohorts from sums: the same numbers as from the rows, and the rules over them."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock import metrics
from penstock.config.monitoring import MonitoringConfig, PerformanceConfig, RateConfig
from penstock.kinds import CLASSIFICATION, REGRESSION
from penstock.monitoring import outcomes
from penstock.monitoring.bins import make_bins
from penstock.monitoring.decide import Decision, Evidence, Production, Retrain, decide
from penstock.monitoring.performance import CohortState
from penstock.monitoring.profile import ALL, count_table, make_profile
from penstock.monitoring.reference import Reference, ValueReference, reference_to_json
from penstock.monitoring.rows import performance_rows
from penstock.monitoring.values import SUMS, ValuePerformance, values_by_segment

CONFIG = MonitoringConfig(
    performance=PerformanceConfig(metric="mae", max_loss=0.1, min_rows=50),
    calibration=RateConfig(floor=0.1, min_rows=50),
    label_rate=RateConfig(floor=0.1, min_rows=50, action="alert"),
)
PROMOTED = date(2011, 8, 29)
FIRST = date(2011, 9, 5)
REFERENCE = ValueReference(2000, mae=20.0, mae_se=0.4, label_mean=100.0, label_sd=50.0, label_size=100.0, mean_predicted=101.0)


def rows(count: int = 400, *, factor: float = 1.0, noise: float = 25.0, seed: int = 3) -> pd.DataFrame:
    """Outcomes of a mean of about 100, and scores that were `factor` times too high."""
    draw = np.random.default_rng(seed)
    label = draw.gamma(4.0, 25.0, count)
    return pd.DataFrame(
        {"label": label, "score": factor * label + draw.normal(0, noise, count), "country": draw.choice(["uk", "fr"], count, p=[0.8, 0.2])}
    )


def summed(frame: pd.DataFrame, *by: str) -> pd.DataFrame:
    """What Spark's aggregates of `sums` give, made by pandas."""
    error = (frame["score"] - frame["label"]).abs()
    wide = frame.assign(rows=1, label2=frame["label"] ** 2, error=error, error2=error**2, least=frame["label"], most=frame["label"])
    how = dict.fromkeys(SUMS[:-2], "sum") | {"least": "min", "most": "max"}
    grouped = wide.groupby(list(by)) if by else wide.groupby(lambda _: 0)
    return grouped.agg(how).reset_index()


def measured(frame: pd.DataFrame, *segments: str) -> tuple[ValuePerformance, ...]:
    return values_by_segment(FIRST, "3", summed(frame, *segments), CONFIG, segments)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4), st.sampled_from("abc")), min_size=60, max_size=90))
def test_the_sums_give_the_figures_of_the_rows(found: list[tuple[float, float, str]]) -> None:
    frame = pd.DataFrame(found, columns=["label", "score", "country"])
    whole = values_by_segment(FIRST, "3", summed(frame, "country"), CONFIG)[0]
    label, score = frame["label"].to_numpy(), frame["score"].to_numpy()
    error = np.abs(score - label)
    assert whole.state == CohortState.EVALUATED
    assert whole.mae.value == pytest.approx(error.mean(), rel=1e-9, abs=1e-9)
    assert whole.mae_se.value == pytest.approx(error.std() / np.sqrt(len(error)), rel=1e-5, abs=1e-4)
    assert whole.rmse.value == pytest.approx(metrics.root_mean_squared_error(label, score).value, rel=1e-9, abs=1e-9)
    assert whole.bias.value == pytest.approx(metrics.mean_bias(label, score).value, rel=1e-6, abs=1e-6)
    if np.std(label) > 1e-3:
        assert whole.r2.value == pytest.approx(metrics.r2(label, score).value, rel=1e-5, abs=1e-5)


def test_each_segment_has_its_own_figures_and_the_whole_comes_first() -> None:
    frame = rows()
    found = measured(frame, "country")
    assert [one.segment for one in found] == [ALL, "country=fr", "country=uk"]
    french = frame[frame["country"] == "fr"]
    assert found[1].rows == len(french)
    assert found[1].mae.value == pytest.approx((french["score"] - french["label"]).abs().mean())
    assert (found[0].mae.low or 0) < (found[0].mae.value or 0) < (found[0].mae.high or 0)


def test_too_few_rows_and_numbers_that_are_none_are_no_evidence() -> None:
    few = measured(rows(20))[0]
    assert (few.state, few.reason) == (CohortState.INSUFFICIENT, "20 rows, 50 are needed")
    spoilt = summed(rows(), "country")
    spoilt.loc[0, "error"] = np.nan  # as Spark sums, which keeps NaN
    broken = values_by_segment(FIRST, "3", spoilt, CONFIG)[0]
    assert (broken.state, broken.mae.value) == (CohortState.INSUFFICIENT, None)
    assert "NaN or infinite" in broken.reason
    flat = measured(rows().assign(label=7.0))[0]
    assert (flat.r2.value, flat.r2.reason) == (None, "all labels are the same")
    assert flat.mae.known


def run(*frames: pd.DataFrame, reference: ValueReference = REFERENCE) -> Decision:
    cohorts = tuple(
        one
        for week, frame in enumerate(frames)
        for one in values_by_segment(FIRST + timedelta(weeks=week), "3", summed(frame, "country"), CONFIG, ["country"])
    )
    as_of = FIRST + timedelta(weeks=len(frames) - 1, days=35)
    return decide(as_of, Production("3", PROMOTED, reference), Evidence(cohorts, (), (), 30), CONFIG)


@pytest.mark.parametrize(
    ("frames", "answer", "rule"),
    [
        ([{}, {}], Retrain.NO, ""),
        ([{"noise": 45.0}, {"noise": 45.0}], Retrain.YES, "performance"),
        ([{"noise": 45.0}], Retrain.NO, ""),  # one odd week does not decide
        ([{"factor": 1.4, "noise": 1.0}] * 2, Retrain.YES, "performance"),
        ([{"count": 20, "noise": 90.0}] * 2, Retrain.INSUFFICIENT, ""),
    ],
)
def test_the_rules_over_the_errors(frames: list[dict[str, float]], answer: Retrain, rule: str) -> None:
    decision = run(*(rows(**{"seed": week, **kind}) for week, kind in enumerate(frames)))  # type: ignore[arg-type]
    assert (decision.retrain, decision.rule) == (answer, rule)
    assert all(reason.endswith(".") for reason in decision.reasons)


def test_a_bias_and_another_mean_are_told_as_shares_of_the_holdouts_mean() -> None:
    calm = ValueReference(2000, mae=60.0, mae_se=1.0, label_mean=100.0, label_sd=50.0, label_size=100.0, mean_predicted=101.0)
    decision = run(rows(factor=1.4), rows(factor=1.4, seed=4), reference=calm)
    assert decision.rule == "calibration"
    assert "of the holdout's mean size" in " ".join(decision.reasons)
    assert any(alert.segment == "country=uk" for alert in decision.alerts)
    poorer = ValueReference(2000, mae=60.0, mae_se=1.0, label_mean=200.0, label_sd=50.0, label_size=200.0, mean_predicted=200.0)
    decision = run(rows(), rows(seed=4), reference=poorer)
    assert [alert.rule for alert in decision.alerts] == ["label_rate"]
    assert "against 200 at the holdout, -49.9%" in decision.alerts[0].text


def test_a_reference_of_nothing_is_no_look() -> None:
    empty = ValueReference(2000, mae=0.0, mae_se=0.0, label_mean=0.0, label_sd=0.0, label_size=0.0, mean_predicted=0.0)
    cohort = measured(rows())[0]
    assert (empty.performance(cohort), empty.calibration(cohort), empty.label_rate(cohort)) == (None, None, None)


def test_each_kind_reads_its_own_reference_back() -> None:
    label, score = np.array([1.0, 2, 3, 4]), np.array([1.0, 2, 4, 4])
    newest = np.array([False, False, True, True])
    kept = outcomes.of(REGRESSION).reference(label, score, newest)
    assert isinstance(kept, ValueReference)
    assert (kept.rows, kept.mae, kept.label_mean) == (2, 0.25, 2.5)
    assert outcomes.of(REGRESSION).read(reference_to_json(kept)) == kept
    ranked = outcomes.of(CLASSIFICATION).reference(np.array([0, 1, 0, 1]), np.array([0.1, 0.9, 0.2, 0.8]), np.ones(4, dtype=bool))
    assert isinstance(ranked, Reference)
    assert outcomes.of(CLASSIFICATION).read(reference_to_json(ranked)) == ranked


def test_the_metrics_table_has_the_kinds_names() -> None:
    told = performance_rows(measured(rows(), "country"))
    names = {row.name for row in told if row.segment == ALL}
    assert {"rows", "mae", "mae_low", "mae_high", "rmse", "r2", "bias", "observed", "predicted", "gap"} <= names
    assert not {"auc", "brier", "ones"} & names


def test_scores_of_any_size_fall_into_bins_of_their_own_quantiles() -> None:
    import pyarrow as pa

    score = np.random.default_rng(1).gamma(2.0, 500.0, 2000)
    table = pa.table({"score": score})
    bins = make_bins("score", table["score"], CONFIG.drift)
    assert bins.edges[0] == score.min()
    assert max(count_table((bins,), table)[ALL, "score"]) < 300
    assert make_profile(table, ["score"], CONFIG.drift, effective_rows=2000).rows == 2000
