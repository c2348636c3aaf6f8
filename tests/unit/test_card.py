from __future__ import annotations

from dataclasses import replace

import numpy as np

from penstock.registry.card import CardFacts, card
from penstock.registry.gates import Verdict
from penstock.training.evaluate import evaluate
from penstock.training.records import InputTable

FACTS = CardFacts(
    pipeline="churn",
    question="Who will not buy?",
    owner="crm@shop",
    positive="no purchase in 30 days",
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
