from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import DataError
from penstock.training.split import entity_folds, expanding_folds, holdout

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
