"""The KPI of the published lists: pending, then evaluated or too few; the control group is on no list."""

from __future__ import annotations

import json
from datetime import date

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import metrics
from penstock.config.purpose import Stakes
from penstock.metrics import Measure
from penstock.monitoring.kpi import KpiState, came, foretold, judged
from penstock.monitoring.rows import kpi_rows

DAY = date(2011, 9, 5)
STAKES = Stakes(3.5, -6.5, "GBP", "profit of the mailing", 100.0)


def rows(*groups: tuple[float, int, int, bool]) -> pd.DataFrame:
    """(score, label, count, is_control), as they leave Spark."""
    frame = pd.DataFrame(groups, columns=["score", "label", "count", "is_control"])
    return frame.assign(acted=frame["score"].round(4) >= STAKES.threshold, day=DAY, model_version=2)


LIST = rows((0.8, 1, 60, False), (0.8, 0, 20, False), (0.3, 1, 100, False), (0.3, 0, 200, False), (0.8, 1, 6, True), (0.9, 0, 2, True))


def test_a_published_list_is_pending_with_what_is_expected_of_its_contacts_alone() -> None:
    found = foretold(DAY, "2", LIST, STAKES)
    assert (found.state, found.rows, found.contacts) == (KpiState.PENDING, 380, 80)
    assert found.expected.value == pytest.approx(80 * (0.8 * 3.5 - 0.2 * 6.5))
    assert found.realised.value is None
    assert found.per_contact.value == pytest.approx(1.5)


def test_a_matured_list_has_its_profit_with_bounds_and_both_rates() -> None:
    found = came(DAY, "2", LIST, STAKES, min_rows=200)
    assert (found.state, found.contacts) == (KpiState.EVALUATED, 80)
    assert found.realised.value == pytest.approx(60 * 3.5 - 20 * 6.5)
    assert found.realised.low < found.realised.value < found.realised.high
    assert found.list_rate.value == 0.75
    assert found.control_rate == metrics.rate_interval(6, 8)


def test_expected_is_the_same_before_and_after() -> None:
    assert came(DAY, "2", LIST, STAKES, min_rows=1).expected == foretold(DAY, "2", LIST, STAKES).expected


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1), st.integers(1, 50), st.booleans()), min_size=1, max_size=30))
def test_the_control_group_moves_no_profit(groups: list[tuple[float, int, int, bool]]) -> None:
    everybody, published = rows(*groups), [group for group in groups if not group[3]]
    if published:
        with_control, without = (came(DAY, "1", frame, STAKES, min_rows=1) for frame in (everybody, rows(*published)))
        assert (with_control.realised, with_control.expected, with_control.rows) == (without.realised, without.expected, without.rows)


def test_too_few_rows_and_faulty_scores_are_insufficient_and_show_no_profit() -> None:
    few = came(DAY, "2", LIST, STAKES, min_rows=381)
    broken = came(DAY, "2", rows((float("nan"), 1, 500, False)), STAKES, min_rows=200)
    assert (few.state, broken.state) == (KpiState.INSUFFICIENT, KpiState.INSUFFICIENT)
    assert few.reason == "380 rows, 381 are needed"
    assert (few.realised.value, broken.realised.value, broken.expected.value) == (None, None, None)


def test_a_list_with_nobody_on_it_brought_nothing_and_a_short_one_has_no_bounds() -> None:
    nobody = came(DAY, "2", rows((0.2, 1, 300, False)), STAKES, min_rows=200)
    assert (nobody.realised.value, nobody.realised.low, nobody.per_contact.value) == (0.0, None, None)
    short = came(DAY, "2", rows((0.8, 1, 10, False), (0.2, 0, 300, False)), STAKES, min_rows=200)
    assert (short.state, short.realised.value, short.realised.low) == (KpiState.EVALUATED, pytest.approx(35.0), None)


def test_lists_are_told_one_by_one_in_order_of_time() -> None:
    earlier = LIST.assign(day=date(2011, 8, 29), model_version=1)
    found = list(judged(pd.concat([LIST, earlier], ignore_index=True), STAKES, 200))
    assert [(k.as_of, k.model_version) for k in found] == [(date(2011, 8, 29), "1"), (DAY, "2")]


def test_rows_of_a_pending_list_have_no_realised_profit_and_those_of_a_matured_one_say_what_it_means() -> None:
    pending = {row.name: row for row in kpi_rows([foretold(DAY, "2", LIST, STAKES)])}
    assert set(pending) == {"rows", "contacts", "threshold", "expected", "per_contact", "target"}
    assert {row.state for row in pending.values()} == {"pending"}
    assert {(row.kind, row.subject, row.segment) for row in pending.values()} == {("kpi", "2011-09-05", "all")}
    done = {row.name: row for row in kpi_rows([came(DAY, "2", LIST, STAKES, min_rows=200)])}
    assert done["realised"].value == pytest.approx(80.0)
    detail = json.loads(done["realised"].detail)
    assert (detail["kpi"], detail["currency"], detail["right"], detail["wrong"]) == ("profit of the mailing", "GBP", 3.5, -6.5)
    assert "no measured effect" in detail["means"]
    assert {row.state for row in done.values()} == {"evaluated"}


def test_every_value_is_a_double_or_null_as_the_table_wants_it() -> None:
    found = [foretold(DAY, "2", LIST, STAKES), came(DAY, "2", LIST, STAKES, min_rows=200), came(DAY, "2", LIST, STAKES, min_rows=9999)]
    assert {type(row.value) for row in kpi_rows(found)} == {float, type(None)}


def test_a_number_that_is_not_known_is_null_with_a_state_of_its_own() -> None:
    short = rows((0.8, 1, 10, False), (0.2, 0, 300, False))
    done = {row.name: row for row in kpi_rows([came(DAY, "2", short, STAKES, min_rows=200)])}
    assert (done["realised_low"].value, done["realised_low"].state) == (None, "not_evaluable")
    assert "10 on the list, 30 are needed" in json.loads(done["realised_low"].detail)["reason"]
    assert (done["control_rate"].value, done["control_rate"].state) == (None, "not_evaluable")
    few = {row.name: row for row in kpi_rows([came(DAY, "2", short, STAKES, min_rows=1000)])}
    assert (few["realised"].value, few["realised"].state) == (None, "insufficient_data")


def test_where_it_is_told_the_treated_shares_of_list_and_controls_stand_beside_the_rates() -> None:
    told = LIST.assign(treated=[True, False, None, None, None, True])
    found = came(DAY, "2", told, STAKES, min_rows=200)
    assert found.treated == Measure(60 / 80)
    assert found.control_treated == Measure(1.0), "two controls were written to, and of six it is not known"
    named = {row.name: row for row in kpi_rows([found])}
    assert (named["treated_share"].value, named["treated_share"].state) == (0.75, "evaluated")
    unknown = came(DAY, "2", LIST.assign(treated=None), STAKES, min_rows=200)
    assert unknown.treated == Measure(None, "of nobody is it known")
    assert {row.state for row in kpi_rows([unknown]) if row.name == "treated_share"} == {"not_evaluable"}
    assert foretold(DAY, "2", told, STAKES).treated is None
    assert came(DAY, "2", LIST, STAKES, min_rows=200).treated is None
