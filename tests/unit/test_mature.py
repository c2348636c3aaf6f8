"""When a cohort's outcome may be believed: complete files, the delay, missing files, censoring, corrections."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.clock import local_day, midnight
from penstock.config.label import Label
from penstock.labels.mature import Cohort, affected, standing
from penstock.lake.contract import Contract, expected_days, load_contract

CONTRACT = load_contract(Path(__file__).parents[2] / "conf" / "contracts" / "online_retail.yml").model_copy(
    update={"closed_weekdays": ("saturday",), "closed_days": (date(2011, 9, 8),), "censor_after_days": 20, "latency_days": 1}
)
LABEL = Label(view="v", horizon_days=10, delay_days=1, expression="orders = 0")
DAY = date(2011, 9, 5)  # a Monday
END = DAY + timedelta(days=10)
EXPECTED = expected_days(CONTRACT, DAY, END - timedelta(days=1))


def instant(day: date) -> datetime:
    return midnight(day, CONTRACT.timezone)


def files(*missing: date) -> dict[date, datetime]:
    """Every expected file of the weeks around the cohort, known on the day after its own, without those missing."""
    days = expected_days(CONTRACT, DAY - timedelta(days=10), END + timedelta(days=60))
    return {day: instant(day + timedelta(days=1)) for day in days if day not in missing}


def stands(today: date, landed: dict[date, datetime], contract: Contract = CONTRACT, label: Label = LABEL) -> Cohort:
    as_of = instant(today)
    due = instant(DAY + timedelta(days=label.horizon_days + label.delay_days))
    return standing(DAY, label, contract, {d: since for d, since in landed.items() if since <= as_of}, as_of, today, due)


def test_a_cohort_is_pending_until_horizon_and_delay_have_passed_and_matures_that_day() -> None:
    assert stands(DAY, files()).state == "pending"
    assert stands(END, files()).state == "pending"
    assert stands(END + timedelta(days=1), files()) == Cohort(DAY, "matured", instant(END + timedelta(days=1)))


def test_a_longer_delay_holds_a_complete_cohort_back() -> None:
    label = LABEL.model_copy(update={"delay_days": 5})
    assert stands(END + timedelta(days=4), files(), label=label).state == "pending"
    assert stands(END + timedelta(days=5), files(), label=label) == Cohort(DAY, "matured", instant(END + timedelta(days=5)))


def test_matured_is_since_the_outcome_could_be_known_whenever_somebody_looks() -> None:
    late = END + timedelta(days=40)
    assert stands(late, files()).since == stands(END + timedelta(days=1), files()).since


@pytest.mark.parametrize("missing", EXPECTED)
def test_one_missing_file_anywhere_in_the_horizon_keeps_the_cohort_pending(missing: date) -> None:
    found = stands(END + timedelta(days=5), files(missing))
    assert found == Cohort(DAY, "pending", None, (missing,))


def test_a_week_of_missing_files_does_not_read_as_a_week_without_buyers() -> None:
    week = EXPECTED[-5:]
    found = stands(END + timedelta(days=3), files(*week))
    assert (found.state, found.missing) == ("pending", week)


def test_files_before_the_as_of_and_after_the_horizon_do_not_matter() -> None:
    assert stands(END + timedelta(days=1), files(DAY - timedelta(days=1), END)).state == "matured"


def test_days_on_which_the_shop_is_closed_are_not_waited_for() -> None:
    saturday, holiday = date(2011, 9, 10), date(2011, 9, 8)
    assert not {saturday, holiday} & set(EXPECTED)
    assert stands(END + timedelta(days=1), files(saturday, holiday)).state == "matured"


def test_a_late_file_lets_the_cohort_mature_from_the_instant_at_which_it_was_known() -> None:
    arrived = END + timedelta(days=6)
    landed = files() | {EXPECTED[2]: instant(arrived)}
    assert stands(arrived - timedelta(days=1), landed).state == "pending"
    assert stands(arrived, landed) == Cohort(DAY, "matured", instant(arrived))


def test_an_outcome_whose_files_never_come_is_given_up_after_the_contract_s_time_and_not_before() -> None:
    landed = files(EXPECTED[0])
    assert stands(END + timedelta(days=19), landed).state == "pending"
    assert stands(END + timedelta(days=20), landed) == Cohort(DAY, "censored", instant(END + timedelta(days=20)), (EXPECTED[0],))


def test_a_given_up_cohort_matures_after_all_when_its_file_comes() -> None:
    arrived = END + timedelta(days=30)
    assert stands(arrived, files() | {EXPECTED[0]: instant(arrived)}).state == "matured"


def test_a_cohort_without_any_file_is_never_matured() -> None:
    assert stands(END + timedelta(days=1), {}).state == "pending"
    assert stands(END + timedelta(days=99), {}).state == "censored"


@given(st.sets(st.sampled_from(EXPECTED)), st.integers(0, 60), st.integers(0, 30))
def test_a_state_holds_exactly_when_its_conditions_do(missing: set[date], later: int, delay: int) -> None:
    label = LABEL.model_copy(update={"delay_days": delay})
    today = DAY + timedelta(days=later)
    found = stands(today, files(*missing), label=label)
    absent = {d for d in EXPECTED if d in missing or d + timedelta(days=1) > today}
    assert set(found.missing) == (absent if found.state != "matured" else set())
    assert (found.state == "matured") == (not absent and later >= 10 + delay)
    assert (found.state == "censored") == (bool(absent) and later >= 30)
    assert (found.since is None) == (found.state == "pending")
    assert found.since is None or local_day(found.since, CONTRACT.timezone) <= today


@pytest.mark.parametrize(
    ("hops", "expected"),
    [
        (None, False),
        ((DAY, DAY), True),
        ((END - timedelta(days=1), END - timedelta(days=1)), True),
        ((END, END + timedelta(days=3)), False),
        ((DAY - timedelta(days=9), DAY - timedelta(days=1)), False),
        ((DAY - timedelta(days=9), END + timedelta(days=9)), True),
    ],
)
def test_changed_days_concern_a_cohort_when_they_lie_in_its_horizon(hops: tuple[date, date] | None, expected: bool) -> None:
    assert affected(DAY, LABEL, hops) is expected
