"""Tiles, features, outcomes and the as-of join give what a brute-force recomputation from the raw rows gives.

Hypothesis draws small histories: files that come late, twice, corrected or emptied, with ties, nulls and events around
midnight and around a change of the clocks. Spark judges all of them in one job, each with its own number in the key, so
that a hundred histories cost what one costs. A failure names the smallest history that differs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

import oracle
from oracle import Row, Version
from penstock.config.model import View
from penstock.features import asof, instants, spec, tiles

pytestmark = pytest.mark.spark

WINDOWS: dict[str, int | None] = {"1d": 1, "3d": 3, "all": None}
NAMED = list(WINDOWS)
MONEY = "decimal(12,3)"
HORIZON = 3
AGGREGATES = [
    {"name": "events_seen", "function": "count"},
    {"name": "sales", "function": "count", "when": "sale"},
    {"name": "total", "function": "sum", "of": "amount", "type": "decimal(18,3)", "when": "sale"},
    {"name": "quantity", "function": "sum", "of": "qty"},
    {"name": "mean_amount", "function": "mean", "of": "amount", "type": "decimal(18,3)", "when": "sale"},
    {"name": "mean_qty", "function": "mean", "of": "qty"},
    {"name": "low", "function": "min", "of": "qty"},
    {"name": "high", "function": "max", "of": "amount", "type": MONEY, "when": "sale"},
    {"name": "spread", "function": "std", "of": "qty"},
    {"name": "spread_amount", "function": "std", "of": "amount", "type": "decimal(18,3)"},
    {"name": "first_item", "function": "first", "of": "item", "type": "string"},
    {"name": "last_item", "function": "last", "of": "item", "type": "string"},
    {"name": "last_amount", "function": "last", "of": "amount", "type": MONEY, "when": "sale"},
    {"name": "items", "function": "count_distinct", "of": "item"},
    {"name": "sale_items", "function": "count_distinct", "of": "item", "when": "sale"},
    {"name": "sale_set", "function": "collect_set", "of": "item", "when": "sale"},
    {"name": "qty_set", "function": "collect_set", "of": "qty"},
    {"name": "days", "function": "active_days", "when": "sale"},
]


def view(delay: int) -> View:
    """Every aggregate function, over every window, for the entity (case_no, customer)."""
    return View.model_validate(
        {
            "name": "seen",
            "source": "shop",
            "entity": ["case_no", "customer"],
            "event_time": "at",
            "availability_delay_days": delay,
            "where": "kind <> 'void'",
            "events": {"sale": "qty > 0"},
            "aggregates": [
                *({**a, "windows": NAMED} for a in AGGREGATES),
                {"name": "recency_days", "function": "days_since_last", "when": "sale"},
                {"name": "tenure_days", "function": "days_since_first"},
            ],
            "derived": [{"name": "share", "expression": "sales_1d / nullif(sales_all, 0)"}],
        }
    )


@dataclass(frozen=True)
class Place:
    """A time zone, the first of ten days around a change of its clocks, and the days at which features are asked."""

    zone: str
    first: date

    def day(self, n: int) -> date:
        return self.first + timedelta(days=n)

    @property
    def as_ofs(self) -> dict[datetime, date]:
        return {oracle.midnight(self.day(n), self.zone).astimezone(UTC): self.day(n) for n in (2, 4, 5, 6, 9)}


PLACES = (
    Place("Europe/London", date(2011, 3, 23)),  # 27 March has 23 hours
    Place("America/Sao_Paulo", date(2011, 10, 12)),  # 16 October begins at 01:00
)


@dataclass(frozen=True)
class History:
    """The versions of some files, in the commits that brought them, and their rows."""

    versions: tuple[Version, ...]
    rows: tuple[Row, ...]


def histories(place: Place) -> st.SearchStrategy[History]:
    """Up to three commits of up to two files each; a file that comes again is a correction. Known times grow from commit to commit."""
    start = oracle.midnight(place.first, place.zone).astimezone(UTC)
    # Minutes after a local midnight, some of them just around the next one.
    minutes = st.sampled_from([0, 1, 59, 60, 61, 600, 600, 1379, 1380, 1381, 1439])
    instants = st.builds(
        lambda d, m, us: start + timedelta(days=d, minutes=m, microseconds=us), st.integers(0, 8), minutes, st.sampled_from([0, 0, 1])
    )
    money = st.none() | st.sampled_from([Decimal(t) for t in ("0.000", "0.001", "0.003", "1.100", "1.100", "-2.250", "123456.789")])
    facts = st.tuples(
        st.sampled_from(["a", "a", "a", "b", "a`b", None]),
        st.sampled_from([True] * 9 + [False]).flatmap(lambda dated: instants if dated else st.none()),
        st.sampled_from(["buy", "buy", "buy", "buy", "void", None]),
        money,
        st.sampled_from([None, 0, 1, 1, 2, -1, 80_995]),
        st.sampled_from([None, "x", "y", "y", "ö", ""]),
    )

    @st.composite
    def build(draw: st.DrawFn) -> History:
        versions, rows = [], []
        earliest = 1
        for commit in range(draw(st.integers(1, 3))):
            times = st.integers(earliest, earliest + 3)
            last = earliest
            for file in draw(st.lists(st.sampled_from(["f", "g", "h"]), min_size=1, max_size=2, unique=True)):
                n = draw(times)
                # Mostly a local midnight, as declared by a file's name; a late file is known at any instant.
                at = oracle.midnight(place.day(n), place.zone).astimezone(UTC) + draw(
                    st.sampled_from([timedelta(0), timedelta(0), timedelta(hours=9)])
                )
                version = Version(file, at, commit)
                last = max(last, n)
                versions.append(version)
                rows += [Row(*draw(facts), version) for _ in range(draw(st.sampled_from([0, 1, 2, 3, 5, 8])))]
            earliest = last + 1
        return History(tuple(versions), tuple(rows))

    return build()


def drawn(strategy: st.SearchStrategy[Any], count: int) -> list[Any]:
    """So many examples, the same ones each time."""
    found: list[Any] = []

    @settings(max_examples=count, derandomize=True, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(strategy)
    def collect(example: Any) -> None:
        found.append(example)

    collect()
    return found


def written(place: Place) -> list[History]:
    """The histories that a person would think of first."""
    early, late = (oracle.midnight(place.day(n), place.zone).astimezone(UTC) for n in (2, 5))
    noon = oracle.midnight(place.day(1), place.zone).astimezone(UTC) + timedelta(hours=12)
    first, second = Version("f", early, 0), Version("f", late, 1)

    def row(version: Version, customer: str | None = "a", **other: Any) -> Row:
        return Row(
            **{
                "customer": customer,
                "at": noon,
                "kind": "buy",
                "amount": Decimal("1.500"),
                "qty": 1,
                "item": "x",
                "version": version,
                **other,
            }
        )

    return [
        History((), ()),
        History((first,), ()),
        History((first,), (row(first),)),
        History((first,), (row(first), row(first))),  # exact duplicates are two events
        History((first, second), (row(first), row(second, qty=2))),  # corrected
        History((first, second), (row(first), row(second, "b"))),  # the correction takes a customer's day away
        History((first, second), (row(first), row(second, None))),  # and leaves no row that concerns the view
        History((first, second), (row(first),)),  # or no row at all
        History((first, Version("g", late, 1)), (row(first), row(Version("g", late, 1), qty=5))),  # late file of the same day
        History((first,), (row(first, item="y"), row(first, item="x", qty=None, amount=None))),  # tie in time
    ]


@dataclass(frozen=True)
class Judged:
    """The histories of a place as frames: all rows, all file versions, and the tiles made commit by commit."""

    place: Place
    cases: list[History]
    rows: DataFrame
    versions: DataFrame
    tiles: DataFrame


def frames(spark: SparkSession, cases: Sequence[History]) -> tuple[DataFrame, DataFrame]:
    """Landed rows, and file versions, each with its `commit`. Files of different cases have different names."""
    rows = [
        (n, r.customer, r.at, r.kind, r.amount, r.qty, r.item, f"{n}/{r.version.file}", r.version.known_at, r.version.commit)
        for n, case in enumerate(cases)
        for r in case.rows
    ]
    ddl = f"case_no int, customer string, at timestamp, kind string, amount {MONEY}, qty int, item string"
    landed = spark.createDataFrame(rows, f"{ddl}, _file string, _known_at timestamp, commit int")
    listed = [(f"{n}/{v.file}", v.known_at, v.commit) for n, case in enumerate(cases) for v in case.versions]
    return landed, spark.createDataFrame(listed, "_file string, _known_at timestamp, commit int")


def tiles_of(landed: DataFrame, listed: DataFrame, after: int, to: int, zone: str) -> DataFrame:
    """The tiles that the commits in (`after`, `to`] make, by the stage's own functions."""
    seen = view(0)
    everything = tiles.events(landed.where(F.col("commit") <= to), seen, zone)
    versions = tiles.file_versions(listed.where(F.col("commit") <= to))
    arrived = listed.where(F.col("commit").between(after + 1, to))
    added = everything.where(F.col("commit") > after)
    changed = tiles.touched(added, arrived, everything, versions, seen.entity)
    # The stage hands over the replaced versions alone.
    return tiles.new_tiles(added, changed, everything, versions.where("__replaced_at IS NOT NULL"), seen)


@pytest.fixture(scope="module", params=PLACES, ids=lambda place: place.zone)
def judged(request: pytest.FixtureRequest, spark: SparkSession) -> Judged:
    place: Place = request.param
    cases = [*written(place), *drawn(histories(place), 90)]
    landed, listed = frames(spark, cases)
    steps = [tiles_of(landed, listed, n - 1, n, place.zone) for n in range(3)]
    appended = steps[0].unionByName(steps[1]).unionByName(steps[2])
    return Judged(place, cases, landed, listed, spark.createDataFrame(appended.toArrow(), appended.schema))


def rows_of(frame: DataFrame) -> list[dict[str, Any]]:
    """Rows with aware instants, whatever the machine's time zone."""
    found: list[dict[str, Any]] = frame.toArrow().to_pylist()
    return found


def same(expected: Any, got: Any) -> bool:
    """Equal; floating point to what a sum of squares can hold."""
    if isinstance(expected, float) and isinstance(got, float):
        return abs(expected - got) <= 1e-6 + 1e-9 * abs(expected)
    return bool(expected == got)


def smallest(cases: Sequence[History], wrong: dict[int, list[str]]) -> str:
    """The smallest history that differs, and how; and the columns that differ anywhere."""
    columns = sorted({fault.split(": got")[0].split()[-1] for faults in wrong.values() for fault in faults})
    number = min(wrong, key=lambda n: (len(cases[n].rows), len(cases[n].versions), n))
    return f"{len(wrong)} of {len(cases)} differ, in {', '.join(columns)}; case {number}: {cases[number]}\n" + "\n".join(wrong[number][:12])


def compared(
    cases: Sequence[History], got: list[dict[str, Any]], expected: Callable[[History], dict[tuple[Any, ...], dict[str, Any]]], at: str
) -> None:
    """Assert that got rows, by case, customer and `at`, are the expected ones."""
    by_case: dict[int, dict[tuple[Any, ...], dict[str, Any]]] = {n: {} for n in range(len(cases))}
    for row in got:
        place = by_case[row["case_no"]]
        key = (row["customer"], row[at])
        assert key not in place, f"{key} of case {row['case_no']} has two rows: {cases[row['case_no']]}"
        place[key] = row
    wrong: dict[int, list[str]] = {}
    for n, case in enumerate(cases):
        want = expected(case)
        faults = [f"rows: got {sorted(by_case[n])}, expected {sorted(want)}"] if set(want) != set(by_case[n]) else []
        for key in set(want) & set(by_case[n]):
            have = by_case[n][key]
            faults += [f"{key} {c}: got {have[c]!r}, expected {v!r}" for c, v in want[key].items() if not same(v, have[c])]
        if faults:
            wrong[n] = faults
    assert not wrong, smallest(cases, wrong)


def test_the_drawn_histories_hold_what_they_are_meant_to_hold(judged: Judged) -> None:
    cases = judged.cases
    assert any(len({v.file for v in c.versions}) < len(c.versions) for c in cases[10:]), "corrected files"
    assert any(len({r.at for r in c.rows}) < len(c.rows) for c in cases[10:]), "ties"
    assert any(len({v.commit for v in c.versions}) == 3 for c in cases[10:]), "three commits"
    lost = [c for c in cases[10:] if set(c.versions) - {r.version for r in c.rows if oracle.is_event(r)} and len(c.versions) > 1]
    assert lost, "versions without an event"


@pytest.mark.parametrize(("delay", "few"), [(0, instants.FEW), (1, 0)], ids=["few days mixed", "delayed, too many days mixed"])
def test_features_equal_a_recomputation_from_the_raw_rows(judged: Judged, monkeypatch: pytest.MonkeyPatch, delay: int, few: int) -> None:
    place = judged.place
    monkeypatch.setattr(instants, "FEW", few)
    got = rows_of(asof.features(judged.tiles, view(delay), place.as_ofs, place.zone))
    assert len(got) > 200

    def expected(case: History) -> dict[tuple[Any, ...], dict[str, Any]]:
        return {
            (customer, instant): columns
            for instant, day in place.as_ofs.items()
            for customer, columns in oracle.features(case.rows, case.versions, day, place.zone, delay, WINDOWS).items()
        }

    compared(judged.cases, got, expected, "as_of")


def test_outcomes_equal_a_recomputation_from_the_raw_rows(judged: Judged) -> None:
    place = judged.place
    as_ofs = {at: day for at, day in place.as_ofs.items() if day < place.day(6)}
    known_by = oracle.midnight(place.day(7), place.zone).astimezone(UTC)
    got = rows_of(asof.outcomes(judged.tiles, view(0), as_ofs, known_by, HORIZON))
    # A day that lost its last event leaves a row of nothing, which says the same as none.
    got = [row for row in got if row["events_seen"]]
    assert len(got) > 80

    def expected(case: History) -> dict[tuple[Any, ...], dict[str, Any]]:
        return {
            (customer, instant): columns
            for instant, day in as_ofs.items()
            for customer, columns in oracle.outcomes(case.rows, case.versions, day, place.zone, known_by, HORIZON).items()
        }

    compared(judged.cases, got, expected, "as_of")


def test_tiles_made_commit_by_commit_are_the_tiles_made_at_once(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    def keyed(frame: DataFrame) -> dict[tuple[Any, ...], dict[str, Any]]:
        rows = rows_of(frame)
        found = {(r["case_no"], r["customer"], r["hop"], r["known_at"]): r for r in rows}
        assert len(found) == len(rows), "a tile stands twice"
        return found

    monkeypatch.setattr(instants, "FEW", 0)  # and those of which all days are compared by instants
    at_once = keyed(tiles_of(judged.rows, judged.versions, -1, 2, judged.place.zone))
    step_by_step = keyed(judged.tiles)
    assert step_by_step.keys() == at_once.keys()
    assert {key for key, row in step_by_step.items() if row != at_once[key]} == set()


def test_no_feature_row_changes_by_what_became_known_after_it_or_happened_at_or_after_it(judged: Judged) -> None:
    """Each history once more, cut off at an `as_of`: what lies beyond it was never there, and the features are the same."""
    place = judged.place
    instant, day = sorted(place.as_ofs.items())[2]
    listed = judged.versions.where(F.col("_known_at") <= F.lit(instant))
    before = judged.rows.where((F.col("_known_at") <= F.lit(instant)) & (F.col("at") < F.lit(instant)))
    blind = tiles_of(before, listed, -1, 2, place.zone)
    columns = ["case_no", "customer", *(name for name, _ in spec.feature_columns(view(0)))]

    def asked(frame: DataFrame) -> dict[tuple[Any, ...], dict[str, Any]]:
        return {
            (r["case_no"], r["customer"]): r for r in rows_of(asof.features(frame, view(0), {instant: day}, place.zone).select(columns))
        }

    seeing, unseeing = asked(judged.tiles), asked(blind)
    assert len(seeing) > 20
    assert judged.rows.count() > before.count()
    assert seeing == unseeing


def test_mixed_are_the_entity_days_with_another_instant_than_most_of_their_day(spark: SparkSession) -> None:
    early, late = T0, T0 + timedelta(days=3)
    first, second = T0.date(), T0.date() + timedelta(days=1)
    rows = [("a", first, early), ("b", first, early), ("b", first, late), ("a", second, late), ("c", second, late)]
    frame = spark.createDataFrame(rows, "customer string, hop date, known_at timestamp")

    def asked(found: instants.Mixed) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        within, without = ([(r["customer"], r["hop"]) for r in rows_of(part(frame))] for part in (found.within, found.without))
        return sorted(within), sorted(without)

    rest = [("a", first), ("a", second), ("c", second)]
    assert asked(instants.mixed(frame, ["customer"], "known_at")) == ([("b", first)] * 2, rest)
    marked = instants.mixed(frame, ["customer"], "known_at", F.col("customer") == "c")
    assert asked(marked) == ([("b", first)] * 2 + [("c", second)], rest[:2])
    calm = instants.mixed(frame.where("hop > '2011-03-27'"), ["customer"], "known_at")
    assert asked(calm) == ([], sorted((c, d) for c, d, _ in rows))


# ---- the as-of join ----

T0 = datetime(2011, 3, 27, tzinfo=UTC)
MAYBE_KEY = st.sampled_from(["a", "a", "b", None])
MAYBE_TIME = st.sampled_from([None, *(T0 + timedelta(hours=h) for h in (0, 1, 1, 2, 3, 5))])
SPINE = st.lists(st.tuples(MAYBE_KEY, MAYBE_TIME), max_size=6)
RIGHT = st.lists(st.tuples(MAYBE_KEY, MAYBE_TIME, st.sampled_from([None, 1, 2, 3])), max_size=6)


@pytest.mark.parametrize("max_age", [None, timedelta(hours=1), timedelta(0)], ids=str)
def test_the_as_of_join_equals_a_recomputation_and_returns_each_spine_row_once(spark: SparkSession, max_age: timedelta | None) -> None:
    cases = drawn(st.tuples(SPINE, RIGHT), 60)
    spine = [(n, key, at, i) for n, (left, _) in enumerate(cases) for i, (key, at) in enumerate(left)]
    right = [(n, key, at, value) for n, (_, rows) in enumerate(cases) for key, at, value in rows]
    left_frame = spark.createDataFrame(spine, "case_no int, customer string, at timestamp, line int")
    right_frame = spark.createDataFrame(right, "case_no int, customer string, since timestamp, value int")
    joined = asof.as_of_join(left_frame, right_frame, ["case_no", "customer"], "at", "since", max_age)
    assert joined.columns == ["case_no", "customer", "at", "line", "value"]
    got = sorted(((r["case_no"], r["line"]), (r["customer"], r["at"]), r["value"]) for r in rows_of(joined.fillna(-1, ["value"])))
    expected = sorted(
        ((n, i), row, -1 if best is None or best[-1] is None else best[-1])
        for n, (left, rows) in enumerate(cases)
        for i, (row, best) in enumerate(oracle.as_of_join(left, rows, max_age))
    )
    assert [g[0] for g in got] == [e[0] for e in expected], "rows in = rows out"
    differ = [(cases[e[0][0]], g, e) for g, e in zip(got, expected, strict=True) if g != e]
    assert not differ, min(differ, key=lambda d: len(str(d[0])))


def test_the_values_of_one_right_row_travel_together(spark: SparkSession) -> None:
    spine = spark.createDataFrame([("a", T0 + timedelta(hours=9))], "customer string, at timestamp")
    rows = [("a", T0, 1, "old"), ("a", T0 + timedelta(hours=1), None, None)]
    right = spark.createDataFrame(rows, "customer string, since timestamp, value int, word string")
    found = rows_of(asof.as_of_join(spine, right, ["customer"], "at", "since"))
    assert [(r["value"], r["word"]) for r in found] == [(None, None)]


def test_known_times_grow_from_commit_to_commit_as_landing_gives_them() -> None:
    """What the drawn histories rest on: see tests/unit/test_arrivals.py."""
    for case in drawn(histories(PLACES[0]), 30):
        spans = [sorted(v.known_at for v in case.versions if v.commit == c) for c in sorted({v.commit for v in case.versions})]
        assert all(before[-1] < after[0] for before, after in pairwise(spans))
