"""The comparison of candidates, champion and heuristics: its figures, its text, its table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from penstock.config.purpose import Stakes
from penstock.kinds import CLASSIFICATION
from penstock.metrics import Interval, Measure
from penstock.orchestrate.candidates import Candidates, Standing, lines, next_action
from penstock.training import compare, evaluate
from penstock.training.compare import Contender, Cost, Figure
from penstock.training.fit import fit
from penstock.training.rows import labelled_rows
from penstock.worth import ListWorth
from training_rows import FEATURES, config, made

ROWS = labelled_rows(made(2, 400, seed=5), key=["customer_id"])
GIVEN = config(
    segments=[{"column": "country"}], gates={"bootstrap_rounds": 100, "min_segment_rows": 60, "min_rows": 100, "calibration_bins": 5}
)
SCORE = fit(labelled_rows(made(), key=["customer_id"]), FEATURES, GIVEN, horizon=30, seconds=lambda: 0.0).scores(ROWS)


def test_the_figures_are_those_of_the_evaluation_with_bounds_around_them() -> None:
    found = compare.figures(ROWS, SCORE, GIVEN)
    whole = evaluate.evaluate(ROWS.label, SCORE, bins=5).measures()
    assert {name: figure.value for name, figure in found.items()} == {name: whole[name].value for name in CLASSIFICATION.compared}
    for name in ("auc", "average_precision", "brier"):
        assert (found[name].low or 1) < (found[name].value or 0) < (found[name].high or 0)


def test_a_holdout_too_small_to_judge_has_no_figures_and_no_bounds() -> None:
    few = ROWS.where(np.arange(len(ROWS)) < 50)
    assert set(compare.figures(few, SCORE[:50], GIVEN).values()) == {Figure(None)}


def test_a_heuristic_has_figures_of_ranking_alone() -> None:
    (line,) = compare.heuristics(ROWS, GIVEN)
    assert (line.kind, line.name, line.cost) == ("heuristic", "orders", None)
    assert set(line.figures) == {"auc", "average_precision", "lift_10"}
    assert (line.figures["auc"].value or 0) > 0.6


def test_a_heuristic_s_list_is_worth_what_was_found_beside_the_candidate_s() -> None:
    known = Measure(120.0)
    listed = ListWorth(Stakes(3.5, -6.5, "GBP"), 800, 2, 300, known, Interval(150.0, 100.0, 200.0), known, {"orders": Measure(90.0)})
    assert compare.profit(listed) == {"profit": Figure(150.0, 100.0, 200.0)}
    assert compare.profit(None) == {}
    (line,) = compare.heuristics(ROWS, GIVEN, listed)
    assert line.figures["profit"] == Figure(90.0)


def test_the_weakest_segment_is_among_those_large_enough() -> None:
    name, auc = compare.weakest(ROWS, SCORE, GIVEN)
    assert name in {"country=France", "country=United Kingdom"}
    assert auc == min(e.primary.value for e in evaluate.by_segment(ROWS, SCORE, GIVEN.segments, min_rows=60) if e.primary.value is not None)
    assert compare.weakest(ROWS, SCORE, replace_gates(min_segment_rows=10_000)) == ("", None)


def replace_gates(**given: object) -> object:
    return GIVEN.model_copy(update={"gates": GIVEN.gates.model_copy(update=given)})


def test_the_cost_of_a_row_is_the_median_of_three_passes() -> None:
    ticks = iter((0.0, 1.0, 2.0, 4.0, 5.0, 14.0))
    assert compare.row_micros(lambda: None, 100, lambda: next(ticks)) == pytest.approx(20_000)


LINES = (
    Contender(
        "candidate",
        "boosting",
        "sklearn.ensemble.X",
        chosen=True,
        fold_figure=0.75,
        trials=6,
        figures={
            "auc": Figure(0.7436, 0.73, 0.76),
            "brier": Figure(0.2),
            "calibration_error": Figure(0.031),
            "profit": Figure(1234.6, 1000, 1500),
        },
        weakest_segment="market=abroad",
        weakest_figure=0.701,
        cost=Cost(300 * 1024, 4.26),
    ),
    Contender("candidate", "logistic", "sklearn.linear_model.Y", fold_figure=0.74, trials=3),
    Contender("champion", "version 1", note="the rows have no spend_30d"),
    Contender("heuristic", "recency", figures={"auc": Figure(0.7)}),
)
FOUND = Candidates(
    pipeline="churn",
    training_id="t1",
    as_of="2011-10-24",
    holdout_rows=8000,
    holdout_days=("2011-08-29", "2011-09-19"),
    confidence=0.95,
    contenders=LINES,
    standings=(Standing("boosting", "r1", 2, "production"), Standing("logistic", "r2", None, "")),
    production_version=2,
    notes=("Cut after 2 of 6 trials.",),
    next_action="none",
)


def test_a_comparison_is_the_same_after_it_was_text() -> None:
    assert compare.from_json(compare.to_json(LINES)) == LINES
    older = compare.to_json(LINES).replace('"fold_figure"', '"fold_auc"').replace('"weakest_figure"', '"weakest_auc"')
    assert compare.from_json(older) == LINES, "comparisons that were logged before are read as well"


def test_the_table_says_what_is_known_of_each_and_what_is_not() -> None:
    told = lines(FOUND)
    table = {line.split("  ")[0]: " ".join(line.split()) for line in told}
    assert table["boosting"] == (
        "boosting 0.750 0.744 0.730–0.760 - 0.200 0.031 - 1,235 1,000–1,500 0.701 market=abroad 300 KiB 4.3 µs chosen; version 2, production"
    )
    assert table["logistic"] == "logistic 0.740 - - - - - - - - -"
    assert table["champion version 1"] == "champion version 1 - - - - - - - - - - the rows have no spend_30d"
    assert table["heuristic recency"] == "heuristic recency - 0.700 - - - - - - - -"
    assert "judged on  8,000 rows of 2 cohorts, 2011-08-29 to 2011-09-19; 95% intervals" in told
    assert "note       Cut after 2 of 6 trials." in told


def test_a_champion_that_was_replaced_since_is_told_so() -> None:
    known = replace(FOUND, contenders=(replace(LINES[2], note=""),))
    assert lines(known)[-4].endswith("production at that training")
    assert lines(replace(known, production_version=1))[-4].endswith("production")


def test_the_next_action_names_a_candidate_that_no_gate_has_let_through() -> None:
    assert next_action("churn", "2011-10-24", list(FOUND.standings)) == (
        "penstock promote churn --as-of 2011-10-24 --candidate logistic, to have another one judged by the gates"
    )
    assert "--approve VERSION" in next_action("churn", "2011-10-24", [FOUND.standings[0]])
