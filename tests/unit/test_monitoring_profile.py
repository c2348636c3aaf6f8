"""The frozen profile: what falls into which bin, that counts of parts add up, and that JSON loses nothing."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.config.monitoring import DriftConfig
from penstock.errors import DataError
from penstock.monitoring.bins import Bins, bin_index, make_bins
from penstock.monitoring.profile import ALL, count_table, counts_from_rows, from_json, make_profile, merge, rows_from_counts, to_json

CONFIG = DriftConfig(bins=4, top_categories=2)
numbers = st.lists(st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.integers(-3, 3).map(float)), max_size=40)
texts = st.lists(st.one_of(st.none(), st.sampled_from(["UK", "France", "", "Niue", "üé"])), max_size=40)


def table(x: list[float | None], c: list[str | None]) -> pa.Table:
    n = min(len(x), len(c))
    return pa.table({"x": pa.array(x[:n], pa.float64(), from_pandas=False), "c": pa.array(c[:n], pa.string())})


@given(numbers, texts, st.integers(0, 40))
@settings(deadline=None)
def test_counts_of_two_parts_add_up_to_the_counts_of_the_whole(x: list[float | None], c: list[str | None], cut: int) -> None:
    whole = table(x, c)
    profile = make_profile(whole, ["x", "c"], CONFIG, segments=["c"], effective_rows=10)
    left, right = whole.slice(0, cut), whole.slice(cut)
    parts = merge(count_table(profile.bins, left, ["c"]), count_table(profile.bins, right, ["c"]))
    assert parts == profile.counts
    assert merge(count_table(profile.bins, right, ["c"]), count_table(profile.bins, left, ["c"])) == profile.counts
    assert all(sum(profile.counts[ALL, f]) == whole.num_rows for f in ("x", "c"))


@given(numbers, texts)
@settings(deadline=None)
def test_json_and_rows_give_the_same_profile_and_counts_back(x: list[float | None], c: list[str | None]) -> None:
    profile = make_profile(table(x, c), ["x", "c"], CONFIG, segments=["c"], effective_rows=10)
    assert from_json(to_json(profile)) == profile
    assert to_json(from_json(to_json(profile))) == to_json(profile)
    rows = [tuple(r.values()) for r in rows_from_counts(profile.counts).to_pylist()]
    assert counts_from_rows(profile, reversed(rows)) == profile.counts


@given(numbers)
@settings(deadline=None)
def test_every_value_lies_in_the_bin_whose_edges_enclose_it(x: list[float | None]) -> None:
    column = pa.array(x, pa.float64(), from_pandas=False)
    bins = make_bins("x", column, CONFIG)
    for value, index in zip(x, bin_index(bins, column), strict=True):
        if value is None:
            assert bins.labels[index] == "NULL"
        elif math.isnan(value):
            assert bins.labels[index] == "NaN"
        else:
            low, high = (-math.inf, *bins.edges)[index], (*bins.edges, math.inf)[index]
            assert low <= value < high or (value == high == math.inf)


def test_nan_null_and_infinities_are_told_apart() -> None:
    bins = Bins("x", "numeric", edges=(0.0, 1.0))
    column = pa.array([None, math.nan, math.inf, -math.inf, -0.0, 1.0], pa.float64(), from_pandas=False)
    assert [bins.labels[i] for i in bin_index(bins, column)] == ["NULL", "NaN", ">= 1", "< 0", "[0, 1)", ">= 1"]


def test_a_spike_gets_a_bin_for_itself() -> None:
    values = [0.0] * 70 + list(np.linspace(0.01, 5, 30))
    bins = make_bins("returns", pa.array(values), CONFIG)
    counts = np.bincount(bin_index(bins, pa.array(values)), minlength=bins.size)
    assert dict(zip(bins.labels, counts, strict=True))["0"] == 70


def test_a_constant_column_sees_whatever_else_comes() -> None:
    bins = make_bins("x", pa.array([7.0] * 50), CONFIG)
    assert [bins.labels[i] for i in bin_index(bins, pa.array([7.0, 6.9, 7.1]))] == ["7", "< 7", f">= {bins.edges[-1]:g}"]


@pytest.mark.parametrize("column", [pa.array([None] * 9, pa.float64()), pa.array([], pa.float64()), pa.array([math.nan] * 9)])
def test_a_column_without_any_value_still_has_bins_for_values_that_come_later(column: pa.Array) -> None:
    bins = make_bins("x", column, CONFIG)
    assert bins.labels == ("any", "NULL", "NaN")
    assert bin_index(bins, pa.array([3.0, None], pa.float64())).tolist() == [0, 1]


def test_rare_unseen_and_null_categories_are_three_things() -> None:
    bins = make_bins("c", pa.array(["UK"] * 5 + ["France"] * 3 + ["Eire"] * 2 + [None]), CONFIG)
    found = bin_index(bins, pa.array(["UK", "France", "Eire", "Atlantis", None, ""]))
    assert [bins.labels[i] for i in found] == ["=UK", "=France", "OTHER", "UNSEEN", "NULL", "UNSEEN"]


def test_a_feature_with_too_many_categories_calls_a_stranger_other() -> None:
    bins = make_bins("c", pa.array([f"c{i}" for i in range(3000)]), CONFIG)
    assert bins.is_open
    assert bins.labels[bin_index(bins, pa.array(["never seen"]))[0]] == "OTHER"


def test_decimals_integers_and_booleans_are_numbers() -> None:
    for column in (pa.array([1, 2, None], pa.int32()), pa.array([True, False, None]), pa.array([1, 2, None]).cast(pa.decimal128(21, 2))):
        bins = make_bins("x", column, CONFIG)
        assert bins.kind == "numeric"
        assert bins.labels[bin_index(bins, column)[2]] == "NULL"


def test_a_missing_column_and_text_in_a_numeric_feature_are_refused_by_name() -> None:
    profile = make_profile(table([1.0, 2.0], ["UK", "UK"]), ["x"], CONFIG, effective_rows=2)
    with pytest.raises(DataError, match="profiled feature x"):
        count_table(profile.bins, pa.table({"y": [1.0]}))
    with pytest.raises(DataError, match="feature x: got type string"):
        count_table(profile.bins, pa.table({"x": ["1.0"]}))


def test_the_digest_follows_the_content() -> None:
    one = make_profile(table([1.0, 2.0], ["UK", "UK"]), ["x"], CONFIG, effective_rows=2)
    two = make_profile(table([1.0, 2.5], ["UK", "UK"]), ["x"], CONFIG, effective_rows=2)
    assert one.digest == from_json(to_json(one)).digest != two.digest


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"format": 2}), json.dumps({"format": 1, "bins": [{}]})])
def test_a_damaged_profile_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="reference profile"):
        from_json(text)
