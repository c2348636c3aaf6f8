"""When to train again: every rule at its edges, what is not known, and how often the same evidence may ask."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from penstock.config.monitoring import DriftConfig, MonitoringConfig, Persistence, RateConfig
from penstock.metrics import Interval, Measure
from penstock.monitoring.decide import Attempt, Decision, DriftLook, Evidence, Production, Retrain, decide
from penstock.monitoring.drift import DriftFinding, DriftState
from penstock.monitoring.performance import CohortPerformance, CohortState, measure_by_segment, measure_cohort
from penstock.monitoring.profile import ALL
from penstock.monitoring.reference import Reference
from penstock.monitoring.rows import decision_rows, drift_rows, performance_rows

CONFIG = MonitoringConfig()
PROMOTED = date(2011, 8, 29)
PRODUCTION = Production("3", PROMOTED, Reference(2000, auc=0.75, auc_se=0.01, base_rate=0.68, mean_predicted=0.67))
FIRST = date(2011, 9, 5)


def cohort(
    week: int = 0, *, gap: float = 0.0, auc: float = 0.75, rows: int = 2000, version: str = "3", segment: str = ALL
) -> CohortPerformance:
    """A cohort whose scores said 0.67 and whose outcomes missed that by `gap`; standard errors are 0.01."""
    unknown, rate = Measure(None, "not needed here"), 0.67 + gap
    return CohortPerformance(
        FIRST + timedelta(weeks=week), version, segment, CohortState.EVALUATED, rows, int(rows * 0.67),
        Interval(auc, auc - 0.02, auc + 0.02), Measure(0.01), Interval(rate, rate - 0.02, rate + 0.02), Measure(0.67),
        Measure(gap), Measure(0.01), unknown, unknown, unknown, unknown, unknown,
    )  # fmt: skip


def look(week: int, drifted: int, features: int = 10, *, score: DriftState = DriftState.OK) -> DriftLook:
    states = [DriftState.DRIFTED] * drifted + [DriftState.OK] * (features - drifted)
    found = [DriftFinding(f"f{i}", ALL, s, 2000, 2000, psi=0.3, psi_low=0.2) for i, s in enumerate(states)]
    return DriftLook(FIRST + timedelta(weeks=week), "3", (*found, DriftFinding("score", ALL, score, 2000, 2000, psi=0.3, psi_low=0.2)))


def run(*cohorts: CohortPerformance, as_of: date | None = None, config: MonitoringConfig = CONFIG, **evidence: Any) -> Decision:
    """The decision at the weekly run that first sees the newest cohort, or at `as_of`."""
    given = {"drift": (), "attempts": (), "horizon_days": 30} | evidence
    newest = max((c.as_of for c in cohorts), default=FIRST)
    return decide(as_of or newest + timedelta(days=35), PRODUCTION, Evidence(cohorts=cohorts, **given), config)


BAD, FINE = {"gap": -0.08}, {"gap": -0.01}


@pytest.mark.parametrize(
    ("cohorts", "answer", "rule"),
    [
        ([], Retrain.INSUFFICIENT, ""),
        ([FINE, FINE, FINE], Retrain.NO, ""),
        ([BAD], Retrain.NO, ""),  # one odd week does not decide
        ([BAD, BAD], Retrain.YES, "calibration"),
        ([BAD, FINE, BAD], Retrain.YES, "calibration"),
        ([BAD, BAD, FINE], Retrain.NO, ""),  # the newest is fine again
        ([BAD, FINE, FINE, BAD], Retrain.NO, ""),  # older than the newest three
        ([{"gap": 0.08}, {"gap": 0.08}], Retrain.YES, "calibration"),  # too low is as wrong as too high
        ([{"gap": -0.04}] * 3, Retrain.NO, ""),  # over the floor, the lower bound (0.024) is not
        ([{"gap": -0.047}] * 3, Retrain.YES, "calibration"),  # the lower bound is 0.0306
        ([{"auc": 0.72}] * 3, Retrain.NO, ""),  # a loss of 0.03, at least 0.007
        ([{"auc": 0.70}] * 3, Retrain.YES, "performance"),  # a loss of 0.05, at least 0.027
        ([{"auc": 0.80}] * 3, Retrain.NO, ""),  # better than at training
        ([{"auc": 0.70, "gap": -0.08}] * 2, Retrain.YES, "performance"),
        ([{**BAD, "rows": 199}] * 3, Retrain.INSUFFICIENT, ""),
        ([{**BAD, "segment": "country=UK"}] * 3, Retrain.INSUFFICIENT, ""),  # a segment does not decide
        ([{**BAD, "version": "2"}] * 3, Retrain.INSUFFICIENT, ""),  # what an older version did says nothing of this one
        ([{"gap": math.nan}, {"gap": math.nan}], Retrain.NO, ""),
    ],
)
def test_rules_over_cohorts(cohorts: list[dict[str, Any]], answer: Retrain, rule: str) -> None:
    decision = run(*(cohort(week, **kind) for week, kind in enumerate(cohorts)))
    assert (decision.retrain, decision.rule) == (answer, rule)
    assert decision.trains == (answer == Retrain.YES)
    assert all(reason.endswith(".") for reason in decision.reasons)


def test_the_reason_holds_the_numbers() -> None:
    decision = run(cohort(0, **BAD), cohort(1, **BAD))
    assert decision.reasons[0] == "Rule calibration holds: train again."
    sentence = next(r for r in decision.reasons if r.startswith("Calibration"))
    for part in ("cohort 2011-09-12", "observed rate 0.590", "the scores said 0.670", "-0.080", "at least 0.064", "2 of the 2 newest"):
        assert part in sentence
    assert decision.evidence["outcome_days_shared"] == 23


def test_no_production_version_asks_for_the_first_model() -> None:
    decision = decide(FIRST, None, Evidence((), (), (), 30), CONFIG)
    assert (decision.retrain, decision.version, decision.trains) == (Retrain.FIRST_MODEL, None, True)


def test_a_cohort_whose_horizon_has_not_passed_is_not_looked_at() -> None:
    cohorts = (cohort(0, **BAD), cohort(1, **BAD))
    assert run(*cohorts, as_of=FIRST + timedelta(days=7 + 29)).retrain == Retrain.NO
    assert run(*cohorts, as_of=FIRST + timedelta(days=7 + 30)).retrain == Retrain.YES


def test_a_nan_is_neither_quiet_nor_firing() -> None:
    states = {v.rule: v.state for v in run(cohort(0, gap=math.nan), cohort(1, gap=math.nan)).verdicts}
    assert states["calibration"] == "insufficient_data"


def test_a_label_rate_that_the_scores_foresaw_alerts_and_does_not_train() -> None:
    unlike = Production("3", PROMOTED, Reference(2000, 0.75, 0.01, base_rate=0.80, mean_predicted=0.8))
    decision = decide(date(2011, 10, 17), unlike, Evidence((cohort(0), cohort(1)), (), (), 30), CONFIG)
    assert decision.retrain == Retrain.NO
    assert [a.rule for a in decision.alerts] == ["label_rate"]
    strict = MonitoringConfig(label_rate=RateConfig(action="retrain"))
    assert decide(date(2011, 10, 17), unlike, Evidence((cohort(0), cohort(1)), (), (), 30), strict).rule == "label_rate"


def test_a_rule_switched_off_does_nothing() -> None:
    off = MonitoringConfig(calibration=RateConfig(action="off"))
    assert run(cohort(0, **BAD), cohort(1, **BAD), config=off).retrain == Retrain.NO


@pytest.mark.parametrize(
    ("looks", "answer"),
    [
        ([look(0, 3), look(1, 3), look(2, 3)], Retrain.YES),
        ([look(0, 2), look(1, 2), look(2, 2)], Retrain.INSUFFICIENT),  # 2 of 10 is below the share
        ([look(0, 3), look(1, 3)], Retrain.INSUFFICIENT),  # three of four are needed
        ([look(0, 3), look(1, 3), look(2, 0), look(3, 3)], Retrain.YES),
        ([look(0, 3), look(1, 3), look(2, 3), look(3, 0)], Retrain.INSUFFICIENT),
        ([look(w, 0, score=DriftState.DRIFTED) for w in range(3)], Retrain.YES),
        ([look(w, 0, 0, score=DriftState.DRIFTED) for w in range(3)], Retrain.INSUFFICIENT),
    ],
)
def test_drift_decides_by_its_share_and_persistence_even_before_any_label(looks: list[DriftLook], answer: Retrain) -> None:
    assert run(drift=tuple(looks)).retrain == answer


def test_unbounded_features_and_segments_do_not_count_in_drift() -> None:
    def grown(week: int) -> DriftLook:
        extra = [DriftFinding(f"x{i}_all", ALL, DriftState.UNBOUNDED, 2000, 2000, psi=9.0, psi_low=8.0) for i in range(30)]
        part = [DriftFinding(f"f{i}", "country=UK", DriftState.DRIFTED, 2000, 2000, psi=9.0, psi_low=8.0) for i in range(10)]
        return DriftLook(FIRST + timedelta(weeks=week), "3", (*look(week, 0).findings, *extra, *part))

    assert run(drift=tuple(grown(w) for w in range(4))).retrain == Retrain.INSUFFICIENT


def test_drift_seen_after_the_as_of_or_against_another_profile_is_left_out() -> None:
    looks = tuple(look(w, 9) for w in range(3))
    assert run(drift=looks, as_of=FIRST + timedelta(weeks=1)).retrain == Retrain.INSUFFICIENT
    others = tuple(DriftLook(x.as_of, "2", x.findings) for x in looks)
    assert run(drift=others).retrain == Retrain.INSUFFICIENT


def test_every_drifted_feature_of_the_newest_look_alerts() -> None:
    alerts = run(drift=(look(0, 9), look(1, 2))).alerts
    assert [a.text.split(":")[0] for a in alerts if a.rule == "drift"] == ["f0", "f1"]


def test_after_a_promotion_no_rule_trains_before_the_cooldown_is_over() -> None:
    looks = tuple(look(w, 9) for w in range(4))
    early = run(drift=looks, as_of=PROMOTED + timedelta(days=27))
    assert (early.retrain, early.rule) == (Retrain.NO, "drift")
    assert "promoted on 2011-08-29" in early.reasons[0]
    assert run(drift=looks, as_of=PROMOTED + timedelta(days=28)).retrain == Retrain.YES


@pytest.mark.parametrize(
    ("refused", "days", "answer"),
    [
        ([0], 27, Retrain.NO),
        ([0], 28, Retrain.YES),
        ([0, 28], 28 + 55, Retrain.NO),  # the second refusal in a row doubles the wait
        ([0, 28], 28 + 56, Retrain.YES),
        ([0, 28, 84, 196], 196 + 111, Retrain.NO),
        ([0, 28, 84, 196], 196 + 112, Retrain.YES),  # and no wait is longer than this
    ],
)
def test_evidence_whose_candidate_was_refused_does_not_train_every_week(refused: list[int], days: int, answer: Retrain) -> None:
    start = date(2011, 11, 7)
    attempts = tuple(Attempt(start + timedelta(days=d), "refused") for d in refused)
    decision = run(cohort(0, **BAD), cohort(1, **BAD), as_of=start + timedelta(days=days), attempts=attempts)
    assert decision.retrain == answer
    assert ("refused" in decision.reasons[0]) == (answer == Retrain.NO)


def test_a_run_repeated_at_the_same_as_of_decides_the_same_after_its_own_refusal() -> None:
    day = date(2011, 11, 7)
    cohorts = (cohort(0, **BAD), cohort(1, **BAD))
    before, after = run(*cohorts, as_of=day), run(*cohorts, as_of=day, attempts=(Attempt(day, "refused"),))
    assert (before.retrain, before.reasons) == (after.retrain, after.reasons) == (Retrain.YES, before.reasons)


def test_refusals_before_the_present_version_was_promoted_are_forgotten() -> None:
    old = Attempt(PROMOTED - timedelta(days=1), "refused")
    assert run(cohort(0, **BAD), cohort(1, **BAD), as_of=date(2011, 10, 17), attempts=(old,) * 5).retrain == Retrain.YES


def test_the_order_in_which_evidence_is_handed_over_does_not_matter() -> None:
    cohorts = [cohort(w, **kind) for w, kind in enumerate([BAD, BAD, FINE])]
    assert run(*cohorts) == run(*reversed(cohorts))


def test_outcomes_that_do_not_come_raise_an_alert() -> None:
    due = PROMOTED + timedelta(days=30 + 8)
    assert "labels_overdue" not in [a.rule for a in run(as_of=due - timedelta(days=1)).alerts]
    assert [a.rule for a in run(as_of=due + timedelta(days=14)).alerts] == ["labels_overdue"]
    stopped = run(cohort(0), as_of=date(2011, 12, 5))
    assert [a.rule for a in stopped.alerts] == ["labels_overdue"]
    assert stopped.retrain == Retrain.INSUFFICIENT
    assert "2011-09-05" in stopped.alerts[0].text
    assert not run(cohort(0), cohort(1), as_of=FIRST + timedelta(days=7 + 35)).alerts


def test_a_newest_cohort_that_cannot_be_judged_is_not_covered_up_by_a_good_older_one() -> None:
    one_class = measure_cohort(FIRST + timedelta(weeks=1), "3", [1] * 300, [0.5] * 300, min_rows=200)
    decision = run(cohort(0), one_class)
    assert decision.retrain == Retrain.INSUFFICIENT
    assert "Cohort 2011-09-12 cannot be judged: one class only" in decision.reasons[0]
    assert [a.rule for a in decision.alerts] == ["cohort_not_judged"]


def test_a_badly_calibrated_segment_alerts_at_a_confidence_shared_among_the_segments() -> None:
    parts = [cohort(12, segment=f"c={i}", gap=-0.05) for i in range(40)]
    alone = run(cohort(12), parts[0], as_of=date(2012, 1, 2))
    assert [a.segment for a in alone.alerts] == ["c=0"]
    assert not run(cohort(12), *parts, as_of=date(2012, 1, 2)).alerts


def test_configuration_refuses_more_hits_than_looks_and_unknown_keys() -> None:
    with pytest.raises(ValidationError, match="k=4 of n=3"):
        Persistence(k=4, n=3)
    with pytest.raises(ValidationError, match="binz"):
        DriftConfig.model_validate({"binz": 3})


# -- performance and rows ---------------------------------------------------------------------------------------------


def joined(rows: int = 2000) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    score = rng.uniform(size=rows)
    return pd.DataFrame({"score": score, "label": (rng.uniform(size=rows) < score).astype(int), "country": ["UK", None] * (rows // 2)})


def test_performance_is_told_for_the_whole_and_for_each_segment_even_null() -> None:
    found = measure_by_segment(FIRST, "3", joined(), CONFIG, ["country"])
    assert [(p.segment, p.rows) for p in found] == [(ALL, 2000), ("country=NULL", 1000), ("country=UK", 1000)]
    assert found[0].auc.value == pytest.approx(0.83, abs=0.03)
    assert abs(found[0].gap.value or 1) < 0.03


def test_a_grouped_cohort_gives_the_metrics_of_its_rows() -> None:
    rows = joined().assign(score=lambda f: f["score"].round(2)).drop(columns="country")
    grouped = rows.groupby(["score", "label"]).size().reset_index(name="count")
    (one,), (two,) = (measure_by_segment(FIRST, "3", f, CONFIG) for f in (rows, grouped))
    for name in ("brier", "gap", "gap_se", "ece", "lift", "average_precision", "auc_se"):
        assert getattr(one, name).value == pytest.approx(getattr(two, name).value), name
    assert one.auc.value == pytest.approx(two.auc.value)


@pytest.mark.parametrize(
    ("label", "score", "reason"),
    [
        ([], [], "no rows"),
        ([1] * 300, [0.5] * 300, "one class only"),
        ([1, 0] * 150, [math.nan] * 300, "NaN"),
        ([1, 0] * 5, [0.1, 0.2] * 5, "10 rows, 200 are needed"),
    ],
)
def test_a_cohort_that_cannot_be_judged_is_insufficient_and_never_decides(label: list[int], score: list[float], reason: str) -> None:
    found = measure_cohort(FIRST, "3", label, score, min_rows=200)
    assert found.state == CohortState.INSUFFICIENT
    assert reason in found.reason
    assert run(found).retrain == Retrain.INSUFFICIENT
    assert all(r.value is None or math.isfinite(r.value) for r in performance_rows([found]))
    assert all(r.state != "evaluated" for r in performance_rows([found]))


def test_rows_hold_each_number_once_and_details_as_json() -> None:
    performances = measure_by_segment(FIRST, "3", joined(), CONFIG, ["country"])
    decision = run(*performances, drift=(look(0, 3),))
    rows = (*performance_rows(performances), *drift_rows(look(0, 3).findings, "3"), *decision_rows(decision))
    keys = [(r.kind, r.subject, r.segment, r.name) for r in rows]
    assert len(set(keys)) == len(keys)
    assert {r.kind for r in rows} == {"performance", "drift", "decision"}
    assert all(json.loads(r.detail)["model_version"] == "3" for r in rows)
    by_key = dict(zip(keys, rows, strict=True))
    assert by_key["performance", "2011-09-05", ALL, "auc"].value == performances[0].auc.value
    assert by_key["drift", "f0", ALL, "psi"].state == "drifted"
    assert by_key["decision", "performance", ALL, "effect"].value == pytest.approx(0.75 - (performances[0].auc.value or 0))


def test_a_drift_row_without_a_number_still_tells_its_state() -> None:
    (row,) = drift_rows([DriftFinding("x", ALL, DriftState.INSUFFICIENT, 10, 2000, reason="10 rows now")], "3")
    assert (row.name, row.value, row.state) == ("psi", None, "insufficient_data")
    assert json.loads(row.detail)["reason"] == "10 rows now"


def test_a_model_of_another_definition_is_trained_anew_at_once_but_not_again_after_a_refusal() -> None:
    outdated = replace(PRODUCTION, outdated="Version 3 was trained on version 1 of v, the configuration means version 2 of v.")
    evidence = Evidence(cohorts=(), drift=(), attempts=(), horizon_days=30)
    day = PROMOTED + timedelta(days=1)
    found = decide(day, outdated, evidence, CONFIG)
    assert (found.retrain, found.rule) == (Retrain.YES, "definition")
    assert "version 2 of v" in found.reasons[0]
    refused = replace(evidence, attempts=(Attempt(day, "refused"),))
    assert decide(day + timedelta(days=7), outdated, refused, CONFIG).retrain == Retrain.NO
    assert decide(day + timedelta(days=CONFIG.cooldown_days), outdated, refused, CONFIG).retrain == Retrain.YES
