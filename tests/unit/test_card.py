from __future__ import annotations

from dataclasses import replace

import numpy as np

from penstock.config.purpose import Stakes
from penstock.config.training import Gates
from penstock.registry.card import CardFacts, card
from penstock.registry.gates import Verdict
from penstock.training.evaluate import evaluate
from penstock.training.records import InputTable
from penstock.worth import judge_list

FACTS = CardFacts(
    pipeline="churn",
    question="Who will not buy?",
    owner="crm@shop",
    score_is="the probability of: no purchase in 30 days",
    as_of="2011-08-29",
    training_id="churn-2011-08-29",
    run_id="r1",
    digest="d" * 64,
    code_version="0.1.0",
    estimator="sklearn.X",
    params={"b": 2, "a": 1},
    calibration="sigmoid",
    features=("orders_30d",),
    tables=(InputTable("features_customer_activity", 7),),
    trained_on="13 cohorts",
    judged_on="4 cohorts",
    overall=evaluate(np.array([0, 1]), np.array([0.2, 0.9])),
    segments=(evaluate(np.array([1]), np.array([0.9]), subject="country=A|B", min_rows=5),),
    verdicts=(Verdict("is_calibrated", False, {}, "Error 0.2 is above <0.05>."),),
)


def test_the_card_says_what_was_refused_and_what_is_not_known() -> None:
    text = card(FACTS)
    assert "| is_calibrated | **refused** | Error 0.2 is above &lt;0.05&gt;. |" in text
    assert "too few rows | not known | not known" in text
    assert "features_customer_activity at version 7" in text
    assert "a=1, b=2" in text
    assert text == card(FACTS)


def test_names_from_data_cannot_break_the_table_or_the_page() -> None:
    text = card(FACTS)
    assert "country=A\\|B" in text
    assert "<script>" not in card(replace(FACTS, question="<script>x</script>"))


def test_a_card_without_verdicts_says_so() -> None:
    assert "No gate has judged this model." in card(replace(FACTS, verdicts=()))


def test_the_card_shows_the_purpose_and_the_kpi_beside_the_statistics() -> None:
    label, score = np.repeat([1, 0], [75, 25]), np.full(100, 0.8)
    entity = np.arange(100).astype(str).astype(object)
    stakes = Stakes(3.5, -6.5, "GBP", "profit of the mailing", 200.0)
    found = judge_list(label, score, entity, stakes, Gates(bootstrap_rounds=100), lists=1, seed=1, orders={"order_count": score})
    text = card(replace(FACTS, decision="Send mail.", acting=found))
    for line in (
        "- Decision: Send mail.",
        "- Acting is worth: GBP 3.50 on a right one, GBP -6.50 on a wrong one; not acting nothing",
        "- Threshold: 0.65, where acting breaks even; 100 of 100 rows reach it",
        "- KPI: profit of the mailing, a list (the mean of 1)",
        "- Expected: GBP 150",
        "- Realised: GBP 100 (GBP ",
        "- Target: GBP 200 not reached",
        "- Acting on everybody: GBP 100",
        "- Lists of others: order count GBP 100",
    ):
        assert line in text
    assert text.index("## Purpose") < text.index("## Verdicts")
    assert "## Purpose" not in card(FACTS)
