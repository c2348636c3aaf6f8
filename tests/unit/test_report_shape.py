"""From plain rows of the lake's tables to the report's values: each figure in its week, nothing unknown as a zero."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from penstock.config.load import conf_folder, load
from penstock.report import evidence, shape
from penstock.report.charts import weekly
from penstock.report.collect import report
from penstock.report.data import Cohort, Count, Drift, Freshness, ReportData, Verdict, WeekRow
from penstock.report.gathered import Arrived, Gathered, Models, Training
from penstock.report.page import render
from penstock.report.text import week_table
from penstock.stage import STAGES
from penstock.training.dataset import Record
from penstock.training.records import TrainedRun, Version

CONF = load(conf_folder(None), "local", "churn")
FIRST, SECOND = date(2011, 8, 29), date(2011, 9, 5)
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def ledger(day: date, run_id: str, stage: str, status: str = "done", **more: Any) -> dict[str, Any]:
    told = {"job": "run", "message": "", "counts": {}, "seconds": 1.0, "finished_at": NOON + timedelta(days=(day - FIRST).days)}
    return {"day": day, "run_id": run_id, "stage": stage, "status": status} | told | more


def whole_run(day: date, run_id: str, **counts: dict[str, int]) -> list[dict[str, Any]]:
    return [ledger(day, run_id, stage, counts=counts.get(stage, {})) for stage in STAGES]


def retrain(day: date, outcome: str, *reasons: str) -> dict[str, Any]:
    about = {"evidence": "{}", "model_version": None, "promotion": None, "decided_by": "monitoring", "decided_at": NOON}
    return {"day": day, "kind": "retrain", "subject": str(day), "outcome": outcome, "reasons": list(reasons)} | about


def gate(day: date, run_id: str, version: int | None, *verdicts: tuple[str, bool, str]) -> dict[str, Any]:
    told = {"evidence": json.dumps([{"gate": n, "passed": p} for n, p, _ in verdicts]), "reasons": [s for _, _, s in verdicts]}
    about = {"promotion": None, "decided_by": "gates", "decided_at": NOON, "model_version": version}
    return {"day": day, "kind": "gate", "subject": run_id, "outcome": "passed" if version else "refused"} | told | about


def promotion(day: date, version: int, number: int, kind: str = "promotion", by: str = "policy: every gate passed") -> dict[str, Any]:
    told = {"day": day, "kind": kind, "subject": f"promotion {number}", "outcome": "production", "reasons": [], "evidence": "{}"}
    return told | {"model_version": version, "promotion": number, "decided_by": by, "decided_at": NOON + timedelta(hours=number)}


def measure(day: date, subject: str, name: str, value: float | None, kind: str = "performance", **more: Any) -> dict[str, Any]:
    return {"day": day, "kind": kind, "subject": subject, "name": name, "value": value, "state": "evaluated", "model_version": 1} | more


def training(run_id: str, day: date, **numbers: float) -> Training:
    record = Record(
        "churn", day, 3, 2, (day,), (day,), 20_000, 8_000, "d", ((0.2, 0.25, 10),), ((0.0, 0.0), (1.0, 1.0)), {"recency_days": 0.02}
    )
    metrics = {"holdout.auc": 0.75, "holdout.rows": 8_000.0, "holdout.calibration_error": 0.03, "holdout.lift_10": 1.4} | numbers
    return Training(TrainedRun(run_id, "m", "d", metrics, {}, {}), record)


def version(number: int, run_id: str, promoted: int = 0, replaced: int | None = None, **tags: str) -> Version:
    return Version("churn", number, run_id, "d", promoted, replaced, {f"penstock.{name}": value for name, value in tags.items()})


def gathered(**parts: Any) -> Gathered:
    return Gathered(**({"pipeline": CONF.pipeline, "contract": CONF.contract} | parts))


def only(found: Gathered) -> Any:
    (week,) = shape.weeks(found)
    return week


# -- weeks ------------------------------------------------------------------------------------------------------------


def test_an_empty_lake_makes_a_page_and_a_table_that_say_so() -> None:
    data = report(gathered())
    assert data.weeks == ()
    assert data.models == ()
    assert data.production is None
    assert data.now.open_alerts is None
    assert data.now.unscored_rows is None
    assert data.now.next_action == "penstock run churn --as-of DATE"
    assert "No weekly run yet." in render(data)
    assert week_table(data) == "churn: no weekly run yet.\n"


def test_a_decision_that_nobody_has_named_yet_is_no_word_of_the_purpose() -> None:
    said = CONF.pipeline.purpose.model_copy(update={"question": "Who leaves?", "decision": "unknown"})
    assert report(gathered(pipeline=CONF.pipeline.model_copy(update={"purpose": said}))).purpose == "Who leaves?"


def test_each_figure_of_a_week_comes_from_its_table() -> None:
    found = gathered(
        ledger=whole_run(FIRST, "a", publish={"published": 95}),
        files=[{"day": FIRST, "files": 6, "accepted": 900, "rejected": 4, "newest": date(2011, 8, 28)}],
        cohorts=[{"day": FIRST, "rows": 140}, {"day": SECOND, "rows": 1}],
        scores=[{"day": FIRST, "model_version": 3, "promotion": 2, "rows": 100, "control": 5}],
        measures=[
            measure(FIRST, "recency_days", "psi", 0.2, "drift"),
            measure(FIRST, "tenure_days", "psi", 2.0, "drift", state="unbounded"),
        ],
        decisions=[retrain(FIRST, "no", "No rule that may start a training holds.")],
    )
    week = only(found)
    assert (week.files, week.rows_landed, week.quarantined, week.feature_rows) == (6, 900, 4, 140)
    assert (week.scored, week.published, week.withheld_control, week.production_version) == (100, 95, 5, "3")
    assert week.drift == (Drift("recency_days", 0.2, decides=True), Drift("tenure_days", 2.0, decides=False))
    assert week.worst_drift == Drift("recency_days", 0.2)
    assert (week.decision, week.seconds) == ("keep", 8.0)


def test_a_stage_that_never_ran_is_unknown_and_one_that_found_nothing_is_zero() -> None:
    stages = [ledger(FIRST, "a", s, counts=c) for s, c in (("land", {"files": 0, "landed": 0, "quarantined": 0}), ("monitor", {}))]
    week = only(gathered(ledger=stages))
    assert (week.files, week.rows_landed, week.quarantined) == (0, 0, 0)
    assert (week.scored, week.published, week.withheld_control, week.feature_rows, week.production_version) == (None,) * 5


def test_a_repeated_run_adds_neither_rows_nor_seconds_to_its_week() -> None:
    once = whole_run(FIRST, "a", publish={"published": 95})
    again = [row | {"run_id": "b", "seconds": 0.4, "counts": {"published": 0}} for row in once]
    assert shape.weeks(gathered(ledger=[*once, *again])) == shape.weeks(gathered(ledger=once))


def test_a_run_killed_after_redis_and_started_again_tells_what_is_published() -> None:
    scores = [{"day": FIRST, "model_version": 1, "promotion": 1, "rows": 100, "control": 5}]
    assert only(gathered(ledger=whole_run(FIRST, "b", publish={"published": 0}), scores=scores)).published == 95


def test_a_cohort_scored_again_under_a_later_promotion_counts_once_and_for_the_later_version() -> None:
    again = [{"day": FIRST, "model_version": v, "promotion": p, "rows": r, "control": 5} for v, p, r in ((2, 1, 90), (1, 2, 100))]
    week = only(gathered(ledger=whole_run(FIRST, "a"), scores=again))
    assert (week.scored, week.production_version) == (100, "1")


def test_stages_run_one_by_one_by_a_scheduler_make_a_week_and_a_lone_backfill_does_not() -> None:
    scheduled = [ledger(FIRST, s, s, job=s) for s in STAGES]
    lone = [ledger(date(2011, 5, 2), "x", "score", job="score"), ledger(SECOND, "y", "promote", job="approve")]
    assert [week.as_of for week in shape.weeks(gathered(ledger=[*lone, *scheduled]))] == [FIRST]


def test_a_week_without_scores_shows_the_version_that_was_in_production_then() -> None:
    runs = [*whole_run(FIRST, "a"), *whole_run(SECOND, "b")]
    moves = [promotion(FIRST, 1, 1), promotion(SECOND, 2, 2), promotion(SECOND, 1, 3, "rollback", "anna")]
    assert [w.production_version for w in shape.weeks(gathered(ledger=runs, decisions=moves))] == ["1", "1"]


# -- cohorts ----------------------------------------------------------------------------------------------------------


def test_a_cohort_is_told_once_in_the_run_that_first_reported_it() -> None:
    values = {"rows": 1900.0, "auc": 0.72, "auc_low": 0.7, "auc_high": 0.74, "observed": 0.4, "predicted": None}
    told = [measure(day, "2011-07-25", name, value) for day in (SECOND, FIRST) for name, value in values.items()]
    first, second = shape.weeks(gathered(ledger=[*whole_run(FIRST, "a"), *whole_run(SECOND, "b")], measures=told))
    assert second.matured == ()
    (cohort,) = first.matured
    assert isinstance(cohort, Cohort)
    assert (cohort.as_of, cohort.model_version, cohort.metrics.rows) == (date(2011, 7, 25), "1", 1900)
    assert (cohort.metrics.auc, cohort.auc_low, cohort.auc_high, cohort.observed_rate) == (0.72, 0.7, 0.74, 0.4)
    assert cohort.predicted_rate is None
    assert cohort.metrics.brier is None


def test_a_cohort_scored_by_two_versions_is_two_rows() -> None:
    told = [measure(FIRST, "2011-07-25", "rows", rows, model_version=v) for v, rows in ((1, 10.0), (2, 20.0))]
    (week,) = shape.weeks(gathered(ledger=whole_run(FIRST, "a"), measures=told))
    assert [(c.model_version, c.metrics.rows) for c in week.matured] == [("1", 10), ("2", 20)]


# -- lists ------------------------------------------------------------------------------------------------------------


def told_of(day: date, subject: date, state: str, model_version: int = 1, **values: float | None) -> list[dict[str, Any]]:
    return [measure(day, str(subject), n, v, "kpi", state=state, model_version=model_version) for n, v in values.items()]


def test_a_list_is_pending_until_the_run_that_first_judged_it() -> None:
    pending = told_of(SECOND, FIRST, "pending", rows=95.0, contacts=40.0, expected=60.0)
    (one,) = shape.lists(gathered(measures=pending))
    assert (one.as_of, one.state, one.rows, one.contacts, one.expected, one.realised) == (FIRST, "pending", 95, 40, 60.0, None)
    later = date(2011, 10, 3)
    done = {"rows": 95.0, "contacts": 40.0, "expected": 60.1, "realised": 50.0, "realised_low": -10.0, "realised_high": 90.0}
    done |= {"list_rate": 0.7, "treated_share": 0.9}
    judged = [*told_of(later, FIRST, "evaluated", **done, control_rate=None), *pending]
    (one,) = shape.lists(gathered(measures=judged))
    assert (one.state, one.expected, one.realised, one.low, one.high) == ("evaluated", 60.1, 50.0, -10.0, 90.0)
    assert (one.list_rate, one.control_rate, one.treated, one.control_treated) == (0.7, None, 0.9, None)


def test_a_list_that_no_run_has_told_of_yet_comes_from_its_scores() -> None:
    scored = {"rows": 100, "control": 5, "contacts": 42, "expected": 63.5}
    scores = [{"day": day, "model_version": v, "promotion": v} | scored for day, v in ((FIRST, 1), (SECOND, 1), (SECOND, 2))]
    found = gathered(measures=told_of(SECOND, FIRST, "pending", rows=95.0, contacts=40.0, expected=60.0), scores=scores)
    first, second = shape.lists(found)
    assert (first.as_of, first.contacts) == (FIRST, 40)
    assert (second.as_of, second.model_version, second.state, second.rows, second.contacts) == (SECOND, "2", "pending", 95, 42)
    assert second.expected == 63.5


def test_the_report_knows_the_purpose_and_what_acting_on_a_models_list_would_have_brought() -> None:
    numbers = {"kpi.threshold": 0.65, "kpi.contacts": 2_000.0, "kpi.realised": 900.0, "kpi.realised_low": 700.0, "kpi.everybody": -50.0}
    made = training("r1", FIRST, **numbers)
    made = replace(made, record=replace(made.record, profit=((0.0, 0.0), (1.0, -50.0))))
    data = report(gathered(models=Models((made, training("r2", SECOND)))))
    assert data.kpi is not None
    assert (data.kpi.name, data.kpi.currency, data.kpi.threshold, data.kpi.target) == ("profit of the weekly mailing", "GBP", 0.7, 1000.0)
    first, second = data.models
    assert first.acting is not None
    assert (first.acting.share, first.acting.realised, first.acting.low, first.acting.high) == (0.25, 900.0, 700.0, None)
    assert [point.profit for point in first.acting.curve] == [0.0, -50.0]
    assert second.acting is None
    assert "everybody -50.00" in render(data)


def test_a_pipeline_without_amounts_has_neither_kpi_nor_lists() -> None:
    bare = load(conf_folder(None), "local", "churn", ["pipeline.purpose={question: who, owner: me}"]).pipeline
    scores = [{"day": FIRST, "model_version": 1, "promotion": 1, "rows": 100, "control": 5}]
    data = report(gathered(pipeline=bare, scores=scores))
    assert (data.kpi, data.lists) == (None, ())


# -- decisions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "word"), [("no", "keep"), ("yes", "retrain"), ("first_model", "first model"), ("insufficient", "insufficient")]
)
def test_the_decision_is_told_in_the_reports_words(outcome: str, word: str) -> None:
    assert only(gathered(ledger=whole_run(FIRST, "a"), decisions=[retrain(FIRST, outcome, "Because.")])).decision == word


def test_too_little_evidence_gives_its_reason_without_each_rules_silence() -> None:
    told = [retrain(FIRST, "insufficient", "Not known.", "Performance: nothing.", "Drift: nothing.")]
    assert only(gathered(ledger=whole_run(FIRST, "a"), decisions=told)).reasons == ("Not known.",)


def test_a_week_tells_what_the_gates_made_of_its_candidate() -> None:
    refused = gate(
        FIRST, "r", None, ("is_deployable", True, "Fine."), ("beats_heuristics", False, "Too close."), ("is_calibrated", False, "No.")
    )
    week = only(gathered(ledger=whole_run(FIRST, "a"), decisions=[retrain(FIRST, "yes", "Holds."), refused]))
    assert (week.decision, week.reasons) == ("retrain", ("Holds.", "The gates refused the candidate: Too close. (1 more)"))
    moved = [retrain(FIRST, "yes", "Holds."), gate(FIRST, "r", 2, ("is_deployable", True, "Fine.")), promotion(FIRST, 2, 2)]
    assert only(gathered(ledger=whole_run(FIRST, "a"), decisions=moved)).reasons[1:] == (
        "Version 2 became Production (policy: every gate passed).",
    )
    approved = [promotion(FIRST, 2, 2, "approval", "anna")]
    assert only(gathered(ledger=whole_run(FIRST, "a"), decisions=approved)).reasons == ("Version 2 became Production (approval by anna).",)


def test_a_run_that_was_stopped_says_so_until_it_has_run_well() -> None:
    stopped = [ledger(FIRST, "a", "land"), ledger(FIRST, "a", "features", "refused", message="source is stale")]
    data = report(gathered(ledger=stopped))
    assert (data.weeks[0].decision, data.weeks[0].reasons) == ("refused", ("features refused: source is stale",))
    assert data.data.checks[0] == Verdict("features", False, "source is stale")
    assert {check.passed for check in data.data.checks[1:]} == {None}
    assert data.now.next_action == "mend what the last run said (source is stale), then penstock run churn --as-of 2011-08-29"
    later = [row | {"finished_at": NOON + timedelta(hours=1)} for row in whole_run(FIRST, "b")]
    assert report(gathered(ledger=[*stopped, *later])).weeks[0].decision is None


# -- models -----------------------------------------------------------------------------------------------------------


def test_every_training_stands_with_its_evidence_in_order_of_time() -> None:
    trainings = (training("r1", FIRST, **{"baseline.recency.auc": 0.6, "baseline.order_count.auc": 0.7}), training("r2", SECOND))
    decisions = [
        gate(FIRST, "r1", 1, ("is_deployable", True, "Fine.")),
        promotion(FIRST, 1, 1),
        gate(SECOND, "r2", None, ("is_calibrated", False, "Not known: few rows.")),
    ]
    now = version(1, "r1", 1)
    data = report(gathered(decisions=decisions, models=Models(trainings, (now,), now)))
    first, second = data.models
    assert (first.version, first.standing, first.approved_by, first.title) == ("1", "production", "policy: every gate passed", "Version 1")
    assert (first.best_heuristic, first.best_heuristic_figure, first.training_rows) == ("order count", 0.7, 20_000)
    assert (first.holdout.rows, first.holdout.auc, first.holdout.ece, first.holdout.lift) == (8_000, 0.75, 0.03, 1.4)
    assert (second.version, second.standing, second.best_heuristic) == ("candidate of 2011-09-05", "refused", None)
    assert second.gates == (Verdict("is calibrated", None, "Not known: few rows."),)
    assert data.production is not None
    assert (data.production.version, data.production.trained_as_of, data.production.promoted_at) == ("1", FIRST, NOON + timedelta(hours=1))
    page = render(data)
    assert "Candidate of 2011-09-05" in page
    assert "Version candidate" not in page


def test_without_any_production_model_the_refused_candidates_are_shown() -> None:
    decisions = [retrain(FIRST, "first_model", "None yet."), gate(FIRST, "r1", None, ("beats_heuristics", False, "Too close."))]
    data = report(gathered(ledger=whole_run(FIRST, "a", score={"scored": 0}), decisions=decisions, models=Models((training("r1", FIRST),))))
    assert data.production is None
    assert data.weeks[0].scored == 0
    assert data.weeks[0].production_version is None
    assert "no model has been promoted yet" in render(data)
    assert "Too close." in render(data)
    assert "first model" in week_table(data)


@pytest.mark.parametrize(
    ("one", "standing"),
    [
        (version(4, "r", 7), "production"),
        (version(3, "r", 6), "previous"),
        (version(2, "r", 5), "retired"),
        (version(5, "r", approval="waiting"), "waiting for approval"),
    ],
)
def test_a_version_stands_where_the_alias_puts_it(one: Version, standing: str) -> None:
    now = version(4, "r4", 7, 3)
    found = gathered(models=Models((training("r", FIRST),), (one,), now))
    assert evidence.models(found)[0].standing == standing


def test_a_training_that_no_gate_has_seen_is_not_called_refused() -> None:
    (row,) = evidence.models(gathered(models=Models((training("r", FIRST),))))
    assert (row.standing, row.gates) == ("not judged yet", ())


def test_the_newest_waiting_version_is_the_next_action() -> None:
    versions = (version(1, "r1", 1), version(2, "r2", approval="waiting"))
    data = report(gathered(ledger=whole_run(FIRST, "a"), models=Models((), versions, versions[0])))
    assert data.now.next_action == "penstock promote churn --approve 2 --by NAME"


# -- data -------------------------------------------------------------------------------------------------------------


def test_facts_and_reasons_are_told_apart_by_the_contract() -> None:
    files = [{"day": FIRST, "files": 2, "accepted": 90, "rejected": 10, "newest": FIRST}]
    counts = {"no_customer": 25, "exact_duplicate": 0, "bad_debt": 3, "unit_price:type": 7, "quantity:range": 0, "parse_error": 0}
    facts = evidence.data_facts(gathered(files=files, checks=[{"name": n, "count": c} for n, c in counts.items()]), FIRST)
    assert facts.contract == (
        *(Count("files", 2), Count("rows landed", 90), Count("rows in quarantine", 10)),
        *(Count("no customer", 25), Count("exact duplicate", 0)),
    )
    assert facts.quarantine == (Count("unit_price: type", 7), Count("bad debt", 3))


def test_feature_checks_passed_only_where_rows_were_written() -> None:
    names = [check.name.replace("_", " ") for check in CONF.pipeline.features.checks]
    assert names
    written = evidence.data_facts(gathered(cohorts=[{"day": FIRST, "rows": 3_351}]), FIRST).checks
    assert [(v.name, v.passed) for v in written] == [(name, True) for name in names]
    assert "3,351 feature rows" in written[0].sentence
    assert {v.passed for v in evidence.data_facts(gathered(), FIRST).checks} == {None}


@pytest.mark.parametrize(
    ("newest", "as_of", "on_time"),
    [
        (date(2011, 9, 4), date(2011, 9, 5), True),
        (date(2011, 9, 2), date(2011, 9, 4), True),  # Saturday is closed
        (date(2011, 9, 1), date(2011, 9, 3), True),  # one missing file is allowed
        (date(2011, 9, 1), date(2011, 9, 5), False),
    ],
)
def test_freshness_counts_expected_files_only(newest: date, as_of: date, on_time: bool) -> None:
    files = [{"day": as_of, "files": 1, "accepted": 1, "rejected": 0, "newest": newest}]
    (found,) = evidence.freshness(gathered(files=files), as_of)
    assert (found.source, found.landed_to, found.on_time) == ("online_retail", newest, on_time)


def test_a_source_that_never_came_is_neither_on_time_nor_late() -> None:
    (found,) = evidence.freshness(gathered(), FIRST)
    assert isinstance(found, Freshness)
    assert (found.landed_to, found.on_time) == (None, None)


def test_every_source_has_a_freshness_of_its_own() -> None:
    days = CONF.contract.model_copy(update={"known_column": "invoice_at", "file_pattern": None, "closed_weekdays": (), "closed_days": ()})
    others = (Arrived("outcomes", days, FIRST - timedelta(days=1)), Arrived("contacts", days, None))
    _, outcomes, contacts = evidence.freshness(gathered(others=others), FIRST)
    assert (outcomes.source, outcomes.landed_to, outcomes.on_time) == ("outcomes", FIRST - timedelta(days=1), True)
    assert outcomes.promise.startswith("rows each open day")
    assert (contacts.source, contacts.on_time) == ("contacts", None)


def test_outcomes_and_treatments_are_counted_among_the_facts() -> None:
    found = gathered(
        outcomes=[{"standing": "matched", "count": 6}, {"standing": "contradicting", "count": 2}],
        treated=[{"treated": None, "count": 5}, {"treated": True, "count": 3}, {"treated": False, "count": 4}],
    )
    assert evidence.data_facts(found, FIRST).contract[3:] == (
        *(Count("outcomes contradicting", 2), Count("outcomes matched", 6)),
        *(Count("labels not treated", 4), Count("labels with treatment not known", 5), Count("labels treated", 3)),
    )


def test_open_alerts_are_known_to_be_none_only_after_somebody_looked() -> None:
    looked = gathered(ledger=whole_run(FIRST, "a"), decisions=[retrain(FIRST, "no")])
    assert report(looked).now.open_alerts == ()
    alerts = [{"day": FIRST, "message": "orders_30d: index 0.3"}]
    assert report(replace(looked, alerts=alerts)).now.open_alerts == ("orders_30d: index 0.3",)


def test_runs_at_uneven_distances_stand_neither_on_one_another_nor_on_their_labels() -> None:
    days = [FIRST, SECOND, date(2011, 9, 12), date(2011, 12, 12)]
    week = WeekRow(FIRST, rows_landed=10, quarantined=0, scored=8, published=7)
    data = ReportData("churn", "Who?", days[-1], weeks=tuple(replace(week, as_of=day) for day in days))
    drawing = str(next(chart for chart in weekly(data) if chart.name == "scored").drawing)
    bars = sorted(
        (float(x), float(width)) for x, width in re.findall(r'<rect class="bar [^"]*" x="([0-9.]+)" y="[0-9.]+" width="([0-9.]+)"', drawing)
    )
    assert len(bars) == 8
    assert all(x + width <= following + 0.2 for (x, width), (following, _) in itertools.pairwise(bars))
    labels = re.findall(r">(\d+ [A-Z][a-z]{2})<", drawing)
    assert labels == ["29 Aug", "12 Dec"]
