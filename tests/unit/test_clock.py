"""Instants and local days: the day that a user types, the clocks' changes, half-open windows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import clock
from penstock.errors import UsageError

# São Paulo and Beirut have days that begin at 01:00; Lord Howe moves by half an hour; Kathmandu is 5:45 ahead.
ZONES = ("UTC", "Europe/London", "America/Sao_Paulo", "Asia/Beirut", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Auckland")
DAYS = st.dates(date(1995, 1, 1), date(2037, 12, 31))


def test_a_typed_day_is_a_date() -> None:
    assert clock.parse_day("2011-09-05") == date(2011, 9, 5)


@pytest.mark.parametrize(
    "text", ["", "2011-9-5", "20110905", "2011-02-30", " 2011-09-05", "2011-09-05T00:00", "yesterday", "２０１１-09-05", "0000-01-01"]
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected a day as YYYY-MM-DD\. Next: penstock run PIPELINE --as-of 2011-09-05") as caught:
        clock.parse_day(text)
    assert caught.value.exit_code == 2


def test_a_day_in_london_begins_an_hour_earlier_in_summer() -> None:
    assert clock.midnight(date(2011, 3, 27), "Europe/London") == datetime(2011, 3, 27, tzinfo=UTC)
    assert clock.midnight(date(2011, 3, 28), "Europe/London") == datetime(2011, 3, 27, 23, tzinfo=UTC)
    assert clock.midnight(date(2011, 10, 30), "Europe/London") == datetime(2011, 10, 29, 23, tzinfo=UTC)
    assert clock.midnight(date(2011, 10, 31), "Europe/London") == datetime(2011, 10, 31, tzinfo=UTC)


def test_a_day_that_begins_at_one_o_clock_begins_then() -> None:
    assert clock.midnight(date(2011, 10, 16), "America/Sao_Paulo") == datetime(2011, 10, 16, 3, tzinfo=UTC)


def test_the_last_microsecond_before_midnight_belongs_to_the_day_before() -> None:
    begins = clock.midnight(date(2011, 3, 28), "Europe/London")
    assert clock.local_day(begins, "Europe/London") == date(2011, 3, 28)
    assert clock.local_day(begins - timedelta(microseconds=1), "Europe/London") == date(2011, 3, 27)


@given(DAYS, st.sampled_from(ZONES))
def test_midnight_and_local_day_are_inverse_in_every_zone(day: date, zone: str) -> None:
    begins = clock.midnight(day, zone)
    assert begins.tzinfo is UTC
    assert clock.local_day(begins, zone) == day
    assert clock.local_day(begins - timedelta(microseconds=1), zone) == day - timedelta(days=1)


@given(DAYS, DAYS, st.integers(1, 400))
def test_a_schedule_holds_every_nth_day_from_its_first_up_to_and_including_the_last(first: date, last: date, every: int) -> None:
    found = clock.weekly(first, last, every)
    assert list(found) == [first + timedelta(days=n) for n in range(0, (last - first).days + 1, every)]


def test_a_schedule_that_has_not_begun_is_empty() -> None:
    assert clock.weekly(date(2011, 3, 7), date(2011, 3, 6)) == ()
    assert clock.weekly(date(2011, 3, 7), date(2011, 3, 7)) == (date(2011, 3, 7),)


def test_a_window_leaves_its_last_day_out() -> None:
    assert clock.days_between(date(2011, 2, 27), date(2011, 3, 1)) == (date(2011, 2, 27), date(2011, 2, 28))
    assert clock.days_between(date(2011, 3, 1), date(2011, 3, 1)) == ()
    assert clock.days_between(date(2011, 3, 2), date(2011, 3, 1)) == ()


@given(st.integers(-(2**51), 2**52))
def test_microseconds_since_1970_are_exact_also_before_it(micros: int) -> None:
    instant = clock.from_epoch(micros)
    assert (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) == micros
    assert instant.tzinfo is UTC


def test_now_is_aware_and_in_utc_and_the_stopwatch_only_runs_forward() -> None:
    assert clock.now().tzinfo is UTC
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)
    assert clock.stopwatch() <= clock.stopwatch()
