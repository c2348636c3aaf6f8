"""The profile of a source without Spark: bins, fences, spans, counts, drift and the page."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.cli import main
from penstock.errors import UsageError
from penstock.lake.contract import Contract, load_contract
from penstock.profiling.aggregate import ROW, bounds_of
from penstock.profiling.charts import labels_of
from penstock.profiling.command import summary
from penstock.profiling.measure import profile_of, span_of
from penstock.profiling.page import render
from penstock.profiling.subjects import (
    BARS,
    PRESENT,
    SHARES,
    Bounds,
    SourceProfile,
    Span,
    Subject,
    bin_keys,
    bins_of,
    counts_of,
    fences_of,
    subjects_of,
)

AMOUNT = Subject("amount", "decimal(12,2)", "number")
PIECES = Subject("pieces", "int", "number")
DAYS = [date(2023, 1, 2) + timedelta(days=n) for n in range(10)]
SECRET = "10042"


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    from shop import CONTRACT

    path: Path = tmp_path_factory.mktemp("contract") / "shop_orders.yml"
    path.write_text(CONTRACT, encoding="utf-8")
    return load_contract(path)


def bounds(values: Sequence[float]) -> Bounds:
    ordered = sorted(values)
    quantiles = tuple(ordered[max(0, math.ceil(share * len(ordered)) - 1)] for share in SHARES)
    return Bounds(0, 0, len(set(values)), ordered[0], ordered[-1], sum(values) / len(values), None, quantiles)


def place(value: float, edges: Sequence[float]) -> int:
    return sum(edge <= value for edge in edges)


def profile(contract: Contract, *, after: int = 500, amounts_after: str = "3") -> SourceProfile:
    """1,000 rows before the dividing day; `after` rows from it on, all in one bin of the amount."""
    known = {
        "order_no": Bounds(0, 0, 1400, top=("O1", "<script>alert(1)</script>")),
        "customer_id": Bounds(25, 0, 150),
        "ordered_at": Bounds(0, 0, 900, 1.6725e9, 1.6735e9, quantiles=tuple(1.6725e9 + 1e5 * n for n in range(7))),
        "amount": Bounds(0, 0, 80, -50.0, 400.0, 20.0, 9.0, (-5.0, 1.0, 10.0, 20.0, 30.0, 60.0, 90.0)),
        "country": Bounds(0, 0, 2, top=("United Kingdom", "France")),
    }
    found = [known[c.name] for c in contract.columns]
    per_side = {
        False: [
            {"=O1": 10, "=<script>alert(1)</script>": 5, "OTHER": 985},
            {f"={PRESENT}": 980, "NULL": 20},
            {"5": 1000},
            {"0": 10, "3": 90, "9": 890, "25": 10},
            {"=France": 500, "=United Kingdom": 500},
        ],
        True: [
            {"OTHER": after},
            {f"={PRESENT}": after - 5, "NULL": 5},
            {"9": after},
            {amounts_after: after},
            {"=France": after // 2, "=United Kingdom": after - after // 2},
        ],
    }
    rows = [
        {"after": side, "column": number, "bin": label, "rows": count, "repeats": 0}
        for side, columns in per_side.items() for number, labels in enumerate(columns) for label, count in labels.items()
    ]  # fmt: skip
    rows.append({"after": False, "column": ROW, "bin": None, "rows": 1000 + after, "repeats": 7})
    return profile_of(contract, Span(DAYS[0], DAYS[-1], DAYS[5]), 10, found, rows)


# -- bins and fences --------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-1e9, 1e9).map(lambda x: round(x, 3)), min_size=2, max_size=60))
def test_the_counts_beyond_the_ends_are_the_outliers_whatever_the_values(values: list[float]) -> None:
    known = bounds(values)
    fences, bins = fences_of(AMOUNT, known), bins_of(AMOUNT, known)
    counted = Counter(place(value, bins.edges) for value in values)
    assert len(bins.edges) <= BARS + 1
    assert list(bins.edges) == sorted(set(bins.edges))
    if fences is not None:
        assert counted[0] == sum(value < fences[0] for value in values)
        assert counted[len(bins.edges)] == sum(value > fences[1] for value in values)


def test_few_whole_numbers_have_a_bin_each() -> None:
    bins = bins_of(PIECES, bounds([1, 2, 2, 3, 4, 6]))
    assert bins.edges == (0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5)


@given(st.integers(-500, 500), st.integers(0, 400))
def test_bins_of_whole_numbers_hold_every_number_once_and_end_where_the_numbers_do(low: int, length: int) -> None:
    edges = bins_of(Subject("on_day", "date", "time"), bounds(range(low, low + length + 1))).edges
    assert (edges[0], edges[-1]) == (low - 0.5, low + length + 0.5)
    assert len(edges) <= BARS + 1
    widths = [b - a for a, b in itertools.pairwise(edges)]
    assert len(set(widths[:-1])) <= 1
    assert widths[-1] <= widths[0]


def test_fences_are_not_known_where_half_of_the_values_are_one() -> None:
    assert fences_of(PIECES, bounds([1] * 9 + [1000])) is None
    assert fences_of(Subject("at", "timestamp", "time"), bounds([1, 2, 3, 400])) is None
    assert fences_of(PIECES, Bounds(10, 0, 0)) is None


def test_a_column_without_any_value_has_one_bin_and_its_nulls() -> None:
    bins = bins_of(AMOUNT, Bounds(10, 0, 0))
    assert counts_of(bins, {"NULL": 10}) == (0, 10, 0)
    assert list(bin_keys(bins)) == ["0", "NULL", "NaN"]


def test_a_label_that_the_bins_do_not_have_is_an_error_and_not_lost() -> None:
    with pytest.raises(ValueError, match="1 labels"):
        counts_of(bins_of(PIECES, bounds([1, 2, 3])), {"77": 1})


def test_the_bounds_of_column_one_and_column_eleven_are_kept_apart() -> None:
    subjects = [Subject(f"c{n}", "int", "number") for n in range(12)]
    row = {f"{name}_{n}": value for n in range(12) for name, value in {"nulls": n, "nans": 0, "distinct": 100 + n, "low": float(n), "high": n + 1.0, "quantiles": [float(n)] * 7}.items()}  # fmt: skip
    assert [(b.nulls, b.low) for b in bounds_of({"rows": 5, **row}, subjects)] == [(n, float(n)) for n in range(12)]


def test_a_value_that_stands_there_once_is_no_category() -> None:
    row = {
        "rows": 4,
        "nulls_0": 0,
        "distinct_0": 3,
        "top_0": [{"item": "b", "count": 1}, {"item": "c", "count": 2}, {"item": "a", "count": 2}],
    }
    (found,) = bounds_of(row, [Subject("code", "string", "category")])
    assert found.top == ("a", "c")


# -- days -------------------------------------------------------------------------------------------------------------


def test_without_a_date_the_days_are_divided_in_the_middle() -> None:
    assert span_of(DAYS, None, None, None) == (Span(DAYS[0], DAYS[9], DAYS[5]), 10)
    assert span_of(DAYS, DAYS[2], DAYS[6], None) == (Span(DAYS[2], DAYS[5], DAYS[4]), 4)


def test_the_day_after_the_last_is_left_out_and_against_divides() -> None:
    assert span_of(DAYS, None, DAYS[8], DAYS[1]) == (Span(DAYS[0], DAYS[7], DAYS[1]), 8)


@pytest.mark.parametrize(("start", "end", "against"), [(None, None, DAYS[0]), (None, DAYS[4], DAYS[4]), (date(2024, 1, 1), None, None)])
def test_a_side_without_days_is_a_wrong_question(start: date | None, end: date | None, against: date | None) -> None:
    with pytest.raises(UsageError, match="2023-01-0"):
        span_of(DAYS, start, end, against)


# -- the profile and its page -----------------------------------------------------------------------------------------


def test_rows_sides_and_repeated_rows_are_counted(contract: Contract) -> None:
    found = profile(contract)
    assert (found.rows, found.rows_after, found.repeated) == (1500, 500, 7)
    assert all(sum(column.counts) == 1500 for column in found.columns)
    assert {c.subject.name: c.outliers for c in found.columns} == {
        "order_no": None,
        "customer_id": None,
        "ordered_at": None,
        "amount": 20,
        "country": None,
    }


def test_a_shift_is_drift_and_the_same_shares_are_none_and_times_are_left_out(contract: Contract) -> None:
    states = {c.subject.name: c.drift.state.value if c.drift else None for c in profile(contract).columns}
    assert states == {"order_no": "ok", "customer_id": "ok", "ordered_at": None, "amount": "drifted", "country": "ok"}
    assert summary(profile(contract))[1].endswith(": amount")


def test_too_few_rows_on_one_side_are_not_good_news(contract: Contract) -> None:
    states = {c.drift.state.value for c in profile(contract, after=50).columns if c.drift}
    assert states == {"insufficient_data"}
    assert "? not evaluable" in render(profile(contract, after=50))


def test_a_personal_column_shows_counts_and_no_value(contract: Contract) -> None:
    (personal,) = [s for s in subjects_of(contract) if s.kind == "personal"]
    found = profile(contract)
    leaked = replace(found, columns=tuple(replace(c, bounds=replace(c.bounds, top=(SECRET,), low=10042.0, quantiles=(10042.0,) * 7)) if c.subject == personal else c for c in found.columns))  # fmt: skip
    page = render(leaked)
    assert SECRET not in page
    assert "10,042" not in page
    assert bins_of(personal, Bounds(0, 0, 5, top=(SECRET,))).categories == (PRESENT,)
    assert "25 (1.7" in page


def test_the_page_loads_nothing_and_escapes_what_stands_in_the_data(contract: Contract) -> None:
    page = render(profile(contract))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"""(src|href)=["'](?!#|data:,)""", page)
    assert page.count("<svg class=") == 4
    assert render(profile(contract)) == page


def test_every_count_has_a_name(contract: Contract) -> None:
    for column in profile(contract).columns:
        names = labels_of(column)
        assert len(names) == len(set(names)) == column.bins.size


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["online_retial"], "source: got 'online_retial'"),
        (["online_retail", "--from", "yesterday"], "--from: got 'yesterday', expected a day"),
        (["online_retail", "--against", "2011-13-01"], "--against: got '2011-13-01', expected a day"),
    ],
)
def test_a_wrong_word_is_told_before_spark_starts(words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", *words, "--lake", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_lake_that_is_not_there_is_not_profiled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "online_retail", "--lake", str(tmp_path / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err
