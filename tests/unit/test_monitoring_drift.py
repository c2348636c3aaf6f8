"""Drift: silent when nothing moved, loud when something did, and neither when nothing can be known."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, wasserstein_distance

from penstock.config.monitoring import DriftConfig
from penstock.errors import DataError
from penstock.monitoring import distances, drift
from penstock.monitoring.drift import DriftFinding, DriftState, find_drift
from penstock.monitoring.profile import ALL, Profile, count_table, make_profile

CONFIG = DriftConfig()
vectors = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=2, max_size=20).filter(
    lambda v: sum(a for a, _ in v) > 0 and sum(b for _, b in v) > 0
)


def profile_of(**columns: list[object] | np.ndarray) -> Profile:
    reference = pa.table(columns)
    return make_profile(reference, list(columns), CONFIG, effective_rows=reference.num_rows)


def only(profile: Profile, config: DriftConfig = CONFIG, **columns: list[object] | np.ndarray) -> DriftFinding:
    (finding,) = find_drift(profile, count_table(profile.bins, pa.table(columns)), config)
    return finding


@pytest.mark.parametrize(("k", "n", "m"), [(200, 1000, 1000), (200, 20_000, 2000), (10, 200, 200), (30, 1000, 1000)])
def test_without_drift_the_bound_passes_zero_no_more_often_than_it_says_and_the_floor_never(k: int, n: int, m: int) -> None:
    rng = np.random.default_rng(k + n)
    shares = (1 / np.arange(1, k + 1)) / (1 / np.arange(1, k + 1)).sum()
    tests = [distances.homogeneity(rng.multinomial(n, shares), rng.multinomial(m, shares)) for _ in range(300)]
    assert np.mean([t.p_value(0.0) <= 0.05 for t in tests]) <= 0.09  # 0.05 and three standard errors
    assert not any(t.lower_bound(0.95) >= CONFIG.floor for t in tests)


def test_the_plain_index_would_have_alarmed_every_time_where_the_bound_is_silent() -> None:
    rng = np.random.default_rng(1)
    plain = [distances.psi(rng.multinomial(1000, [1 / 200] * 200), rng.multinomial(1000, [1 / 200] * 200)) for _ in range(50)]
    assert min(plain) > 0.2


@pytest.mark.parametrize(("k", "n", "m"), [(10, 2000, 2000), (50, 3000, 2000), (10, 300, 300)])
def test_the_lower_bound_is_below_the_true_index_as_often_as_it_says(k: int, n: int, m: int) -> None:
    rng = np.random.default_rng(k)
    p = np.full(k, 1 / k)
    q = np.exp(rng.normal(0, 0.35, k))
    q = q / q.sum()
    true = float(((q - p) * np.log(q / p)).sum())
    lows = [distances.homogeneity(rng.multinomial(n, p), rng.multinomial(m, q)).lower_bound(0.95) for _ in range(300)]
    assert np.mean(np.array(lows) <= true) >= 0.91


def test_the_bound_and_the_p_value_say_the_same() -> None:
    test = distances.homogeneity([300, 300, 400], [500, 300, 200])
    low = test.lower_bound(0.95)
    assert low > 0
    assert test.p_value(low) == pytest.approx(0.05, abs=1e-6)


@given(vectors)
@settings(deadline=None)
def test_distances_agree_with_scipy_and_with_their_ranges(pairs: list[tuple[int, int]]) -> None:
    a, b = [x for x, _ in pairs], [y for _, y in pairs]
    assert distances.jensen_shannon(a, b) == pytest.approx(jensenshannon(a, b, base=2), abs=1e-7)
    assert 0 <= distances.kolmogorov_smirnov(a, b) <= 1 + 1e-12
    assert distances.psi(a, b) == pytest.approx(distances.psi(b, a))
    assert distances.psi(a, a) == pytest.approx(0)


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(1, 500)), min_size=2, max_size=20))
@settings(deadline=None)
def test_the_statistic_never_claims_more_than_the_index(pairs: list[tuple[int, int]]) -> None:
    a, b = np.array([x for x, _ in pairs]), np.array([y for _, y in pairs])
    p, q = a / a.sum(), b / b.sum()
    test = distances.homogeneity(a, b)
    assert test.statistic / test.scale <= float(((q - p) * np.log(q / p)).sum()) + 1e-9


def test_pearson_is_scipys_when_every_bin_expects_enough() -> None:
    a, b = [300, 250, 400], [90, 100, 60]
    assert distances.homogeneity(a, b).pearson == pytest.approx(chi2_contingency([a, b], correction=False).statistic)


def test_wasserstein_is_the_shift_and_close_to_that_of_the_raw_values() -> None:
    rng = np.random.default_rng(2)
    before, after = rng.uniform(0, 10, 20_000), rng.uniform(1, 9, 20_000)
    finding = only(profile_of(x=before), x=after)
    assert finding.wasserstein == pytest.approx(wasserstein_distance(before, after), rel=0.1)


def test_a_real_shift_is_found_and_the_same_data_is_ok() -> None:
    rng = np.random.default_rng(4)
    profile = profile_of(x=rng.normal(size=5000))
    assert only(profile, x=rng.normal(size=2000)).state == DriftState.OK
    shifted = only(profile, x=rng.normal(0.6, 1, 2000))
    assert shifted.state == DriftState.DRIFTED
    assert shifted.psi is not None
    assert shifted.psi_low is not None
    assert CONFIG.floor <= shifted.psi_low < shifted.psi


def test_a_higher_confidence_asks_more_than_false_discovery_control_does() -> None:
    profile = profile_of(country=["UK"] * 500 + ["France"] * 500)
    now = ["UK"] * 290 + ["France"] * 110
    usual, strict = (only(profile, DriftConfig(confidence=c), country=now) for c in (0.95, 0.9999))
    assert (usual.state, strict.state) == (DriftState.DRIFTED, DriftState.OK)
    assert strict.q_value == usual.q_value


def test_an_unseen_category_drifts_and_its_share_is_told() -> None:
    profile = profile_of(country=["UK"] * 900 + ["France"] * 100)
    finding = only(profile, country=["UK"] * 700 + ["Atlantis"] * 300)
    assert finding.state == DriftState.DRIFTED
    assert finding.unseen_share == pytest.approx(0.3)
    assert finding.psi is not None
    assert math.isfinite(finding.psi)
    assert finding.ks is None


def test_an_empty_reference_bin_gives_a_finite_index() -> None:
    assert math.isfinite(distances.psi([0, 500, 500], [300, 400, 300]))


def test_nulls_are_seen_even_when_the_surviving_values_are_alike() -> None:
    rng = np.random.default_rng(5)
    profile = profile_of(x=rng.normal(size=4000))
    values = pa.array([None if i % 2 else float(v) for i, v in enumerate(rng.normal(size=2000))], pa.float64())
    finding = only(profile, x=values)
    assert (finding.state, finding.null_share) == (DriftState.DRIFTED, 0.5)


def test_nan_where_training_had_null_is_drift() -> None:
    profile = profile_of(x=pa.array([None] * 500 + [1.0] * 500, pa.float64()))
    assert only(profile, x=pa.array([None] * 500 + [1.0] * 500, pa.float64())).state == DriftState.OK
    assert only(profile, x=pa.array([math.nan] * 500 + [1.0] * 500, pa.float64())).state == DriftState.DRIFTED


def test_an_all_null_and_a_constant_column_are_ok_while_they_stay_so() -> None:
    nothing = profile_of(x=pa.array([None] * 500, pa.float64()))
    assert only(nothing, x=pa.array([None] * 500, pa.float64())).state == DriftState.OK
    assert only(nothing, x=[1.0] * 500).state == DriftState.DRIFTED
    constant = profile_of(x=[7.0] * 500)
    assert only(constant, x=[7.0] * 500).state == DriftState.OK
    assert only(constant, x=[7.0] * 250 + [8.0] * 250).state == DriftState.DRIFTED


@pytest.mark.parametrize("rows", [0, 10, 199])
def test_too_few_rows_are_insufficient_however_far_off_they_are(rows: int) -> None:
    finding = only(profile_of(x=np.arange(1000.0)), x=pa.array([1e9] * rows, pa.float64()))
    assert finding.state == DriftState.INSUFFICIENT
    assert finding.psi is None
    assert f"{rows} rows now" in finding.reason


def test_a_ten_row_segment_a_vanished_and_a_new_one_are_insufficient_while_the_whole_is_judged() -> None:
    reference = pa.table({"x": np.arange(1000.0), "c": ["UK"] * 600 + ["Eire"] * 400})
    profile = make_profile(reference, ["x"], CONFIG, segments=["c"], effective_rows=1000)
    now = pa.table({"x": np.arange(1000.0), "c": ["UK"] * 10 + ["Niue"] * 990})
    states = {f.segment: f.state for f in find_drift(profile, count_table(profile.bins, now, ["c"]), CONFIG)}
    insufficient = dict.fromkeys(("c=UK", "c=Eire", "c=Niue"), DriftState.INSUFFICIENT)
    assert states == {ALL: DriftState.OK, **insufficient}


def test_history_that_only_grows_is_reported_but_never_drifted() -> None:
    for name in ("tenure_days", "orders_all"):
        finding = only(profile_of(**{name: np.arange(1000.0)}), **{name: np.arange(1000.0) + 5000})
        assert finding.state == DriftState.UNBOUNDED
        assert finding.psi is not None
        assert finding.psi > 1


def test_a_reference_that_repeats_its_entities_is_worth_fewer_rows() -> None:
    reference = pa.table({"x": np.tile(np.arange(300.0), 20)})
    few, many = (make_profile(reference, ["x"], CONFIG, effective_rows=n) for n in (300, 6000))
    now = pa.table({"x": np.random.default_rng(0).choice(np.arange(80.0, 300.0), 300)})
    low = [find_drift(p, count_table(p.bins, now), CONFIG)[0].psi_low or 0 for p in (few, many)]
    assert 0 < low[0] < low[1]


def test_a_p_value_that_is_nan_is_never_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = profile_of(x=np.arange(1000.0))
    monkeypatch.setattr(distances.Homogeneity, "p_value", lambda _self, _floor: math.nan)
    assert only(profile, x=np.arange(1000.0)).state == DriftState.INSUFFICIENT


def test_a_lower_bound_that_is_nan_is_never_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = profile_of(x=np.arange(1000.0))
    monkeypatch.setattr(drift, "psi", lambda _a, _b: math.nan)
    assert only(profile, x=np.arange(1000.0)).state == DriftState.INSUFFICIENT


def test_benjamini_hochberg_gives_the_textbook_answer_in_the_order_given() -> None:
    assert distances.benjamini_hochberg([0.04, 0.01, 0.03, 0.005]) == pytest.approx((0.04, 0.02, 0.04, 0.02))
    assert distances.benjamini_hochberg([]) == ()
    with pytest.raises(DataError, match="NaN"):
        distances.benjamini_hochberg([0.1, math.nan])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0.01, 0.5))
def test_benjamini_hochberg_rejects_exactly_what_the_step_up_procedure_rejects(p: list[float], rate: float) -> None:
    ranked = sorted(p)
    passing = [x for i, x in enumerate(ranked, 1) if x * len(p) / i <= rate]
    cut = max(passing, default=-1.0)
    assert [q <= rate for q in distances.benjamini_hochberg(p)] == [x <= cut for x in p]


def test_many_features_without_drift_raise_no_alarm_even_at_a_tiny_floor() -> None:
    rng = np.random.default_rng(7)
    names = [f"f{i}" for i in range(40)]
    config, alarms = DriftConfig(floor=1e-9), 0
    for _ in range(20):
        reference = pa.table({n: rng.normal(size=1000) for n in names})
        profile = make_profile(reference, names, config, effective_rows=1000)
        now = pa.table({n: rng.normal(size=1000) for n in names})
        found = find_drift(profile, count_table(profile.bins, now), config)
        alarms += any(f.state == DriftState.DRIFTED for f in found)
    assert alarms <= 4  # false discovery control at 0.05: one run in twenty; uncontrolled it is nine in ten
