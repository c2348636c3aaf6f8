"""Which files are new and since when each is known: late, twice, out of order, corrected, and taken back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.clock import midnight
from penstock.errors import DataError, UsageError
from penstock.lake.contract import Contract, known_time, load_contract
from penstock.landing.arrivals import Arrival, Found, decide, look

CONTRACT = load_contract(Path(__file__).parents[2] / "conf" / "contracts" / "online_retail.yml")
MICRO = timedelta(microseconds=1)


def day(n: int) -> date:
    return date(2011, 9, 1) + timedelta(days=n)


def at(n: int) -> datetime:
    """The `as_of` of day n: the instant from which the file of the day before is known."""
    return midnight(day(n), CONTRACT.timezone)


def file(n: int, content: str = "c1") -> Found:
    """The file of day n."""
    name = f"{day(n)}.csv"
    return Found(name, f"/landing/{name}", content, day(n), known_time(CONTRACT, name))


class Lake:
    """What the files table says of the landings so far."""

    def __init__(self) -> None:
        self.landed: dict[str, str] = {}
        self.last: datetime | None = None
        self.history: list[Arrival] = []

    def land(self, as_of: datetime, *found: Found) -> tuple[Arrival, ...]:
        arrivals = decide(found, self.landed, self.last, as_of)
        self.landed |= {a.file.name: a.file.digest for a in arrivals}
        self.last = max([as_of, *(a.known_at for a in arrivals), *([self.last] if self.last else [])])
        self.history += arrivals
        return arrivals


def test_the_first_landing_has_no_late_file_however_old_its_files_are() -> None:
    found = Lake().land(at(30), file(0), file(1), file(29))
    assert [(a.known_at, a.late) for a in found] == [(at(1), False), (at(2), False), (at(30), False)]


def test_a_file_that_came_in_time_is_known_from_the_instant_that_its_name_declares() -> None:
    lake = Lake()
    lake.land(at(7), *(file(n) for n in range(7)))
    assert lake.land(at(14), *(file(n) for n in range(14))) == tuple(Arrival(file(n), at(n + 1), False) for n in range(7, 14))


def test_the_same_file_twice_lands_once() -> None:
    lake = Lake()
    lake.land(at(7), file(6))
    assert lake.land(at(7), file(6)) == ()
    assert lake.land(at(14), file(6)) == ()


def test_a_late_file_is_known_at_the_as_of_of_the_run_that_landed_it() -> None:
    lake = Lake()
    lake.land(at(7), file(5))
    assert lake.land(at(14), file(5), file(6)) == (Arrival(file(6), at(14), True),)


def test_files_out_of_order_are_late_only_where_a_landing_has_passed_them() -> None:
    lake = Lake()
    lake.land(at(7), file(6))
    found = {a.file.day: a for a in lake.land(at(14), file(13), file(6), file(3), file(9))}
    assert {d: a.late for d, a in found.items()} == {day(13): False, day(3): True, day(9): False}
    assert found[day(3)].known_at == at(14)
    assert found[day(9)].known_at == at(10)


def test_a_corrected_file_is_known_from_the_run_that_found_it_not_from_its_day() -> None:
    lake = Lake()
    lake.land(at(7), file(6))
    assert lake.land(at(14), file(6, "c2")) == (Arrival(file(6, "c2"), at(14), True),)


def test_a_file_taken_back_to_its_earlier_content_lands_again_as_the_newest_version() -> None:
    lake = Lake()
    lake.land(at(7), file(6))
    lake.land(at(14), file(6, "c2"))
    assert lake.land(at(21), file(6)) == (Arrival(file(6), at(21), True),)
    assert lake.land(at(28), file(6)) == ()


def test_a_late_file_found_by_the_same_as_of_run_again_is_known_just_after_it() -> None:
    """The features of this `as_of` are made: the file must not become known at an instant that they spoke for."""
    lake = Lake()
    lake.land(at(7), file(5))
    assert lake.land(at(7), file(5), file(6)) == (Arrival(file(6), at(7) + MICRO, True),)
    assert lake.land(at(7), file(5, "c2"), file(6)) == (Arrival(file(5, "c2"), at(7) + 2 * MICRO, True),)


def test_a_file_found_by_a_run_for_an_earlier_as_of_is_not_known_back_then() -> None:
    lake = Lake()
    lake.land(at(14), file(13))
    assert lake.land(at(7), file(3)) == (Arrival(file(3), at(14) + MICRO, True),)


def test_a_landing_that_found_nothing_makes_what_comes_after_it_late() -> None:
    lake = Lake()
    assert lake.land(at(7)) == ()
    assert lake.land(at(8), file(6)) == (Arrival(file(6), at(8), True),)


STEP = st.tuples(st.integers(0, 2), st.dictionaries(st.integers(0, 12), st.sampled_from(["c1", "c2", "c3"]), max_size=5))


@given(st.lists(STEP, max_size=6))
def test_known_times_grow_from_landing_to_landing_and_no_landing_reaches_back(steps: list[tuple[int, dict[int, str]]]) -> None:
    lake, present, now = Lake(), dict[int, str](), 1
    for wait, delivered in steps:
        now, present = now + wait, present | delivered
        before = lake.last
        readable = [file(n, content) for n, content in sorted(present.items()) if known_time(CONTRACT, f"{day(n)}.csv") <= at(now)]
        arrivals = lake.land(at(now), *readable)
        assert before is None or all(a.known_at > before for a in arrivals), "an instant that was spoken for stays as it is"
        assert all(a.known_at >= a.file.declared for a in arrivals)
        assert all(a.late == (a.known_at != a.file.declared) for a in arrivals if a.file.declared != at(now))
        assert {f.name: f.digest for f in readable}.items() <= lake.landed.items()
        assert lake.land(at(now), *readable) == ()
    versions = [(a.file.name, a.known_at) for a in lake.history]
    assert len(set(versions)) == len(versions), "two contents of a file are never known from the same instant"


# ---- the folder ----


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("2011-09-05.csv", "2011-09-06.csv.gz", "2011-09-07.csv", ".2011-09-04.csv.part", "_SUCCESS"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    (tmp_path / "archive").mkdir()
    return tmp_path


def test_the_folder_gives_readable_files_in_order_and_passes_over_hidden_ones(folder: Path) -> None:
    found = look(str(folder), CONTRACT, midnight(date(2011, 9, 7), CONTRACT.timezone))
    assert [f.name for f in found] == ["2011-09-05.csv", "2011-09-06.csv.gz"]
    assert [f.declared for f in found] == [known_time(CONTRACT, f.name) for f in found]
    assert len({f.digest for f in found}) == 2


def test_a_digest_follows_the_content_and_nothing_else(folder: Path) -> None:
    as_of = midnight(date(2011, 9, 10), CONTRACT.timezone)
    before = {f.name: f.digest for f in look(str(folder), CONTRACT, as_of)}
    (folder / "2011-09-05.csv").touch()
    (folder / "2011-09-07.csv").write_text("other", encoding="utf-8")
    after = {f.name: f.digest for f in look(str(folder), CONTRACT, as_of)}
    assert {name for name in before if before[name] != after[name]} == {"2011-09-07.csv"}


def test_two_files_of_one_day_are_refused(folder: Path) -> None:
    (folder / "2011-09-06.csv").write_text("x", encoding="utf-8")
    with pytest.raises(DataError, match=r"got another file of 2011-09-06, expected one file a day\. Nothing landed"):
        look(str(folder), CONTRACT, midnight(date(2011, 9, 10), CONTRACT.timezone))


def test_a_name_that_the_contract_does_not_know_is_refused(folder: Path) -> None:
    (folder / "orders.csv").write_text("x", encoding="utf-8")
    with pytest.raises(DataError, match=r"orders\.csv"):
        look(str(folder), CONTRACT, midnight(date(2011, 9, 10), CONTRACT.timezone))


def test_a_missing_folder_says_where_files_are_expected(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected .*nowhere.*deliver files there"):
        look(str(tmp_path / "nowhere"), CONTRACT, at(7))


def test_the_contract_used_here_knows_a_file_one_day_after_its_own() -> None:
    assert isinstance(CONTRACT, Contract)
    assert known_time(CONTRACT, "2011-09-05.csv") == datetime(2011, 9, 5, 23, tzinfo=UTC)
