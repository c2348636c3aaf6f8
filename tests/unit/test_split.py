from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import DataError
from penstock.training.split import entity_folds, expanding_folds, folds_of, holdout

days = st.lists(st.integers(0, 400), min_size=1, max_size=60)


@given(days, st.integers(1, 8), st.integers(1, 60))
def test_no_training_label_window_reaches_a_judged_as_of(as_of: list[int], cohorts: int, horizon: int) -> None:
    try:
        split = holdout(as_of, cohorts=cohorts, horizon=horizon)
    except DataError:
        distinct = sorted(set(as_of))
        assert len(distinct) <= cohorts or distinct[0] + horizon > distinct[-cohorts]
        return
    assert split.test == tuple(sorted(set(as_of))[-cohorts:])
    assert max(split.train) + horizon <= min(split.test)
    left_out = set(as_of) - set(split.train) - set(split.test)
    assert all(day + horizon > min(split.test) for day in left_out)


@given(days, st.integers(1, 5), st.integers(1, 60))
def test_folds_judge_disjoint_later_blocks_by_what_had_matured(as_of: list[int], folds: int, horizon: int) -> None:
    found = expanding_folds(as_of, folds=folds, horizon=horizon)
    judged = [day for split in found for day in split.test]
    assert judged == sorted(set(judged))
    assert len(found) <= folds
    for split in found:
        assert split.train
        assert max(split.train) + horizon <= min(split.test)
    for before, after in itertools.pairwise(found):
        assert set(before.train) <= set(after.train)
    if max(as_of) - min(as_of) >= horizon:
        assert found


@given(st.lists(st.text(max_size=6), min_size=1, max_size=80), st.integers(2, 6), st.randoms())
def test_an_entity_has_one_fold_whatever_the_order_and_the_others(entities: list[str], folds: int, random: object) -> None:
    found = entity_folds(entities, folds)
    assert set(found) <= set(range(folds))
    assert dict(zip(entities, found, strict=True)) == {e: int(entity_folds([e], folds)[0]) for e in entities}


def test_entities_spread_over_the_folds() -> None:
    counts = np.bincount(entity_folds([str(10_000 + i) for i in range(3000)], 3))
    assert counts.min() > 900


def test_too_few_cohorts_are_refused_with_their_number() -> None:
    with pytest.raises(DataError, match=r"got 3 distinct as_of, expected 2 to judge"):
        holdout([0, 7, 14], cohorts=2, horizon=30)


def test_masks_choose_the_rows_of_the_cohorts() -> None:
    as_of = np.array([0, 35, 7, 0, 40])
    split = holdout(as_of, cohorts=2, horizon=30)
    assert split.train_rows(as_of).tolist() == [True, False, False, True, False]
    assert split.test_rows(as_of).tolist() == [False, True, False, False, True]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30)), min_size=1, max_size=80, unique=True), st.integers(2, 4))
def test_folds_by_group_share_no_entity_and_folds_by_row_judge_each_row_once(rows: list[tuple[int, int]], folds: int) -> None:
    day = np.array([row[0] for row in rows])
    entity = np.array([str(row[1]) for row in rows], dtype=object)
    for split in ("group", "random"):
        found = folds_of(day, entity, split=split, folds=folds, horizon=7, seed=1)
        assert (sum(fold.tests[0].astype(int) for fold in found) == 1).all()
        for fold in found:
            assert not (fold.train & fold.tests[0]).any()
            if split == "group":
                assert not set(entity[fold.train]) & set(entity[fold.tests[0]])
    order = np.random.default_rng(0).permutation(len(day))
    for fold, other in zip(
        folds_of(day, entity, split="random", folds=folds, horizon=7, seed=1),
        folds_of(day[order], entity[order], split="random", folds=folds, horizon=7, seed=1),
        strict=True,
    ):
        assert (fold.train[order] == other.train).all()


def test_folds_by_time_judge_each_later_cohort_by_itself() -> None:
    day = np.repeat(np.arange(0, 84, 7), 3)
    entity = np.array([str(at % 3) for at in range(len(day))], dtype=object)
    for fold, split in zip(
        folds_of(day, entity, split="time", folds=2, horizon=14, seed=1), expanding_folds(day, folds=2, horizon=14), strict=True
    ):
        assert tuple(np.unique(day[mask])[0] for mask in fold.tests) == split.test
        assert set(day[fold.train]) == set(split.train)
        assert max(day[fold.train]) + 14 <= min(split.test)
