"""Which rows are unscored: cursors, new versions, backfills."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.scoring.plan import Plan, Scored, decide

FIRST, SECOND, THIRD = (datetime(2011, 9, day, tzinfo=UTC) for day in (5, 12, 19))
NOBODY = Scored(-1, None)


def test_without_a_production_model_nothing_is_scored_and_the_plan_says_so() -> None:
    plan = decide(None, 0, SECOND, 7, NOBODY)
    assert plan.empty
    assert plan.reason == "no Production model yet"


def test_without_features_nothing_is_scored() -> None:
    plan = decide(1, 1, None, -1, NOBODY)
    assert plan.empty
    assert plan.reason == "no feature rows yet"


def test_the_first_version_scores_the_newest_as_of_whole() -> None:
    assert decide(1, 1, SECOND, 7, NOBODY) == Plan(1, 1, SECOND, -1, 7, False)


def test_the_next_week_s_rows_are_those_committed_since_the_cursor() -> None:
    assert decide(1, 1, THIRD, 9, Scored(7, SECOND)) == Plan(1, 1, THIRD, 7, 9, False)


@pytest.mark.parametrize("cursor", [9, 10])
def test_nothing_committed_since_means_nothing_to_do(cursor: int) -> None:
    plan = decide(1, 1, THIRD, 9, Scored(cursor, THIRD))
    assert plan.empty
    assert plan.reason == "no unscored rows"


def test_a_new_version_scores_the_newest_as_of_again_though_the_old_one_has() -> None:
    assert decide(2, 2, THIRD, 9, Scored(-1, THIRD)) == Plan(2, 2, THIRD, -1, 9, False)


def test_an_as_of_older_than_the_newest_scored_one_is_a_backfill() -> None:
    plan = decide(2, 2, SECOND, 9, Scored(-1, THIRD))
    assert plan.backfill
    assert not plan.empty
    assert not decide(2, 2, THIRD, 9, Scored(-1, SECOND)).backfill


def test_a_backfill_that_was_done_is_not_done_again() -> None:
    """`scoring.run` gives the cursor that this very backfill left."""
    assert decide(2, 2, SECOND, 9, Scored(9, THIRD)).empty


def test_an_older_as_of_is_not_backfilled_by_a_version_that_has_scored_all_there_is() -> None:
    assert decide(1, 1, SECOND, 9, Scored(9, THIRD)).empty


def test_a_version_that_comes_back_by_rollback_takes_up_at_its_own_cursor_under_its_new_promotion() -> None:
    assert decide(1, 3, THIRD, 9, Scored(7, THIRD)) == Plan(1, 3, THIRD, 7, 9, False)


INSTANTS = st.none() | st.sampled_from([FIRST, SECOND, THIRD])


@given(st.none() | st.integers(1, 3), INSTANTS, st.integers(-1, 5), st.integers(-1, 5), INSTANTS)
def test_a_plan_never_goes_back_and_an_empty_one_always_says_why(
    version: int | None, newest: datetime | None, to: int, cursor: int, scored: datetime | None
) -> None:
    plan = decide(version, 1, newest, to, Scored(cursor, scored))
    assert plan.empty == bool(plan.reason)
    if not plan.empty:
        assert plan.after < plan.to == to
        assert (plan.version, plan.as_of) == (version, newest)
        assert version is not None
        assert newest is not None
        assert plan.backfill == (scored is not None and newest < scored)
        done = Scored(plan.to, newest if scored is None else max(scored, newest))
        assert decide(version, 1, newest, to, done).empty, "the same run again finds nothing"
