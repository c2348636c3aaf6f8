"""What a pipeline says it is for: amounts that make a decision, and the bands that follow from them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from penstock.config.load import conf_folder, load
from penstock.config.purpose import Purpose, Worth
from penstock.errors import ConfigError

CONF = conf_folder(None)
CAMPAIGN = {"currency": "GBP", "contact_cost": 6.5, "margin_saved": 100, "share_saved": 0.1}


def churn(*overrides: str) -> Any:
    return load(CONF, "local", "churn", overrides).pipeline


def test_a_campaigns_words_give_the_worth_of_a_right_and_a_wrong_contact() -> None:
    assert Worth.model_validate(CAMPAIGN).amounts() == (3.5, -6.5)
    stakes = Purpose.model_validate({"question": "?", "owner": "o", "worth": CAMPAIGN}).stakes(4)
    assert stakes is not None
    assert (stakes.threshold, stakes.kpi, stakes.target) == (0.65, "profit of the list", None)


@given(st.floats(0.01, 1e6), st.floats(1e-4, 1), st.floats(0.001, 0.999))
def test_a_campaign_breaks_even_at_its_cost_over_what_it_saves(margin: float, share: float, part: float) -> None:
    cost = part * share * margin
    worth = Worth.model_validate({"currency": "GBP", "contact_cost": cost, "margin_saved": margin, "share_saved": share})
    stakes = Purpose(question="?", owner="o", worth=worth).stakes(4)
    assert stakes is not None
    assert stakes.threshold == pytest.approx(part, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"contact_cost": 10}, "must lie between 0 and 1"),
        ({"contact_cost": 12}, "got -2 for acting on a 1"),
        ({"contact_cost": 0}, "must lie between 0 and 1"),
        ({"contact_cost": 1e-12}, "must lie between 0 and 1"),
        ({"contact_cost": -1}, "got 11 for acting on a 1 and 1 for acting on a 0"),
        ({"share_saved": 0}, "expected a share above 0 and at most 1"),
        ({"share_saved": 10}, "expected a share above 0 and at most 1"),
        ({"share_saved": -0.1, "margin_saved": -100}, "expected a share"),
        ({"margin_saved": float("inf")}, "finite"),
        ({"margin_saved": None}, "expected either right and wrong, or contact_cost, margin_saved and share_saved"),
        ({"right": 3}, "expected either"),
        ({"right": 3, "wrong": -2}, "expected either"),
        ({"currency": "pounds"}, "pattern"),
        ({"price": 1}, "Extra inputs"),
    ],
)
def test_amounts_that_make_no_decision_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Worth.model_validate(CAMPAIGN | change)


@pytest.mark.parametrize(("right", "wrong"), [(0, -1), (1, 0), (-1, -2), (1, 2)])
def test_neutral_amounts_need_a_gain_and_a_loss(right: float, wrong: float) -> None:
    with pytest.raises(ValidationError, match="expected above 0 and below 0"):
        Worth.model_validate({"currency": "EUR", "right": right, "wrong": wrong})
    assert Worth.model_validate({"currency": "EUR", "right": 3, "wrong": -2}).amounts() == (3, -2)


def test_bands_follow_from_the_amounts() -> None:
    found = churn()
    assert found.publish.bounds() == (("low", 0.0), ("medium", 0.35), ("high", 0.7)) == found.stakes.bands()
    assert churn("pipeline.purpose.worth.contact_cost=8").publish.bounds()[-1] == ("high", 0.8)
    assert (found.stakes.kpi, found.stakes.target, found.stakes.digits) == ("profit of the weekly mailing", 1000.0, 4)


def test_the_configurations_digest_moves_with_the_amounts() -> None:
    assert load(CONF, "local", "churn").digest != load(CONF, "local", "churn", ["pipeline.purpose.worth.contact_cost=8"]).digest


def test_bands_of_ones_own_must_show_the_list() -> None:
    own = churn("pipeline.publish.bands=[{name: leave, lower: 0}, {name: mail, lower: 0.7}, {name: call, lower: 0.9}]")
    assert [name for name, _ in own.publish.bounds()] == ["leave", "mail", "call"]
    with pytest.raises(ConfigError, match=r"publish: bands: got lower bounds \[0.0, 0.75\], expected one at 0.7"):
        churn("pipeline.publish.bands=[{name: leave, lower: 0}, {name: mail, lower: 0.75}]")


def test_without_amounts_the_bands_are_those_of_publish_and_there_is_no_kpi() -> None:
    found = churn("pipeline.purpose={question: who, owner: me}")
    assert found.stakes is None
    assert found.publish.bounds() == (("low", 0.0), ("medium", 0.4), ("high", 0.7))
    with pytest.raises(ConfigError, match="purpose: kpi: got no worth beside it"):
        churn("pipeline.purpose.worth=null")
