"""Lists of items against a plain recomputation, and what of them is not known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from penstock import lists
from penstock.lists import CASE, Lists, Records

DRAWN = {"rounds": 200, "confidence": 0.95, "seed": 3}
MEASURES = ("cases", "recall", "ndcg", "hit_rate", "coverage", "novelty")


@dataclass(frozen=True)
class Row:
    """One candidate item of one case."""

    case: int
    item: int
    chosen: bool
    score: float
    common: float


def records(rows: Sequence[Row], total: dict[int, int], places: int) -> Records:
    return lists.cases(
        chosen=np.array([r.chosen for r in rows], dtype=np.int8),
        case=np.array([r.case for r in rows], dtype=np.int64),
        item=np.array([r.item for r in rows], dtype=np.int64),
        total=np.array([total[r.case] for r in rows], dtype=np.int32),
        places=np.full(len(rows), places, dtype=np.int16),
        common=np.array([r.common for r in rows]),
    )


def scores(rows: Sequence[Row]) -> np.ndarray:
    return np.array([r.score for r in rows], dtype=np.float64)


def made(
    chosen: Sequence[int], score: Sequence[float], *, total: int | None = None, places: int = 2, case: int = 0
) -> tuple[Records, np.ndarray]:
    """One case, its items in the order given."""
    rows = [Row(case, at, bool(one), s, 0.5) for at, (one, s) in enumerate(zip(chosen, score, strict=True))]
    return records(rows, {case: sum(chosen) if total is None else total}, places), scores(rows)


def recomputed(rows: Sequence[Row], total: dict[int, int], places: int) -> dict[str, float]:
    """The measures from their definitions, row by row."""
    recall, ndcg, hit, shown = [], [], [], []
    for case in sorted({r.case for r in rows}):
        own = sorted((r for r in rows if r.case == case), key=lambda r: -r.score)[:places]  # sorted() keeps the order of equals
        shown += own
        if not total[case]:
            continue
        found = [at for at, r in enumerate(own) if r.chosen]
        possible = min(places, total[case])
        recall.append(len(found) / possible)
        ndcg.append(sum(1 / log2(at + 2) for at in found) / sum(1 / log2(at + 2) for at in range(possible)))
        hit.append(float(bool(found)))
    return {
        "cases": float(len(recall)),
        "recall": float(np.mean(recall)),
        "ndcg": float(np.mean(ndcg)),
        "hit_rate": float(np.mean(hit)),
        "coverage": len({r.item for r in shown}) / len({r.item for r in rows}),
        "novelty": float(np.mean([-log2(max(r.common, 1e-4)) for r in shown])),
    }


@st.composite
def many(draw: st.DrawFn) -> tuple[list[Row], dict[int, int], int]:
    """Some cases whose rows stand in any order, with ties, and items chosen that are no candidates."""
    rows: list[Row] = []
    total = {}
    for case in range(draw(st.integers(1, 5))):
        items = draw(st.lists(st.integers(0, 7), min_size=1, max_size=6, unique=True))
        own = [Row(case, item, draw(st.booleans()), draw(st.sampled_from([0.0, 0.25, 0.5, 2.0])), item / 7) for item in items]
        total[case] = sum(r.chosen for r in own) + draw(st.integers(0, 3))
        rows += own
    return draw(st.permutations(rows)), total, draw(st.integers(1, 4))


@settings(max_examples=200)
@given(many())
def test_the_measures_are_those_of_a_plain_recomputation(given_: tuple[list[Row], dict[int, int], int]) -> None:
    rows, total, places = given_
    label, score = records(rows, total, places), scores(rows)
    found = lists.measures(label, score)
    assert tuple(found) == MEASURES
    if not any(total.values()):
        assert {m.reason for m in found.values()} == {"nobody chose anything"}
        return
    assert {name: m.value for name, m in found.items()} == pytest.approx(recomputed(rows, total, places), abs=1e-12)
    assert lists.recall(label, score).value == found["recall"].value


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 10**6)), min_size=2, max_size=12, unique_by=lambda pair: pair[1]), st.integers(1, 12)
)
def test_the_ndcg_of_a_case_is_that_of_scikit_learn(pairs: list[tuple[bool, int]], places: int) -> None:
    chosen, score = [int(c) for c, _ in pairs], [float(s) for _, s in pairs]
    if not any(chosen):
        chosen[0] = 1
    label, score_ = made(chosen, score, places=places)
    assert Lists.made(label, score_).values["ndcg"][0] == pytest.approx(ndcg_score([chosen], [score], k=places), abs=1e-12)


def test_of_equal_scores_the_rows_that_come_first_are_shown() -> None:
    label, score = made([0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5])
    assert Lists.made(label, score).shown.tolist() == [0, 1]
    assert lists.recall(label, score).value == 0.0
    label, score = made([0, 0, 1, 1], [0.5, 0.4, 0.5, 0.5])
    assert Lists.made(label, score).shown.tolist() == [0, 2]
    assert lists.recall(label, score).value == 0.5


def test_the_denominator_is_the_lists_length_or_what_was_chosen_whichever_is_less() -> None:
    assert lists.recall(*made([1, 1, 1, 1], [4, 3, 2, 1])).value == 1.0  # four chosen, two places
    assert lists.recall(*made([0, 1, 0, 0], [4, 3, 2, 1])).value == 1.0  # one chosen
    assert lists.recall(*made([1], [4], places=20)).value == 1.0  # fewer candidates than places


def test_an_item_chosen_that_is_no_candidate_is_not_forgiven() -> None:
    assert lists.recall(*made([1, 0], [2, 1], total=2)).value == 0.5
    nothing = lists.measures(*made([0, 0], [2, 1], total=3))
    assert (nothing["recall"].value, nothing["ndcg"].value, nothing["hit_rate"].value, nothing["cases"].value) == (0.0, 0.0, 0.0, 1.0)


def test_a_case_that_chose_nothing_is_no_evidence_but_its_list_is_shown() -> None:
    (one, first), (none, second) = made([1, 0, 0], [3, 2, 1], places=1), made([0, 0, 0], [1, 2, 3], places=1, case=1)
    label, score = np.concatenate([one, none]), np.concatenate([first, second])
    found = lists.measures(label, score)
    assert (found["cases"].value, found["recall"].value) == (1.0, 1.0)
    assert found["coverage"].value == pytest.approx(2 / 3)


def test_what_cannot_be_judged_says_why_and_is_no_number() -> None:
    label, score = made([1, 0], [2, 1])
    entity = np.array(["a", "b"], dtype=object)
    silent, _ = made([0, 0], [2, 1])
    broken = [
        (np.empty(0, dtype=CASE), np.empty(0), "no rows"),
        (label, np.array([np.nan, 1.0]), "some scores are NaN or infinite"),
        (label, np.array([np.inf, 1.0]), "some scores are NaN or infinite"),
        (silent, score, "nobody chose anything"),
    ]
    for rows, found, why in broken:
        assert {(m.value, m.reason) for m in lists.measures(rows, found).values()} == {(None, why)}
        assert lists.recall(rows, found).reason == why
        assert {(i.value, i.low, i.reason) for i in lists.intervals(rows, found, entity[: len(rows)], **DRAWN).values()} == {
            (None, None, why)
        }
        assert lists.recall_difference(rows, found, found, entity[: len(rows)], **DRAWN).reason == why
    assert lists.recall_difference(label, score, np.array([np.nan, 1.0]), entity, **DRAWN).reason == "some scores are NaN or infinite"


def crowd(cases: int = 60, items: int = 12, seed: int = 5) -> tuple[Records, np.ndarray, np.ndarray]:
    """Records of entities with two cases each, a score that knows something, and the entity of each row."""
    draw = np.random.default_rng(seed)
    rows = [Row(case, item, False, draw.random(), 0.1) for case in range(cases) for item in range(items)]
    rows = [Row(r.case, r.item, bool(draw.random() < 0.1 + 0.4 * r.score), r.score, r.common) for r in rows]
    total = {case: sum(r.chosen for r in rows if r.case == case) for case in range(cases)}
    return records(rows, total, 3), scores(rows), np.array([f"e{r.case // 2}" for r in rows], dtype=object)


def test_bounds_hold_the_value_and_narrow_with_more_entities() -> None:
    label, score, entity = crowd()
    bounds, values = lists.intervals(label, score, entity, **DRAWN), lists.measures(label, score)
    assert set(bounds) == {"recall", "ndcg", "hit_rate"}
    for name, one in bounds.items():
        assert one.value == pytest.approx(values[name].value)
        assert one.low is not None
        assert one.high is not None
        assert one.low < (one.value or 0) < one.high
    wide = lists.intervals(*crowd(600), **DRAWN)["recall"]
    assert (wide.high or 0) - (wide.low or 0) < 0.6 * ((bounds["recall"].high or 0) - (bounds["recall"].low or 0))
    assert lists.intervals(label, score, entity, **DRAWN) == bounds, "the same seed draws the same"


def test_bounds_are_over_entities_and_not_over_cases_or_rows() -> None:
    """Two entities with all their cases alike: the bounds are as wide as the two lie apart."""
    good, bad = made([1, 0, 0], [3, 2, 1], places=1), made([0, 0, 1], [3, 2, 1], places=1)
    label = np.concatenate([good[0]] * 20 + [bad[0]] * 20)
    label["case"] = np.repeat(np.arange(40), 3)
    score, entity = np.tile(good[1], 40), np.repeat(np.array(["a", "b"], dtype=object), 60)
    one = lists.intervals(label, score, entity, **DRAWN)["recall"]
    assert (one.value, one.low, one.high) == (0.5, 0.0, 1.0)


def test_the_difference_of_the_same_scores_is_exactly_nothing_and_a_better_order_is_above_it() -> None:
    label, score, entity = crowd()
    same = lists.recall_difference(label, score, score.copy(), entity, **DRAWN)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    better = lists.recall_difference(label, score, -score, entity, **DRAWN)
    worse = lists.recall_difference(label, -score, score, entity, **DRAWN)
    assert (better.low or 0) > 0 > (worse.high or 0)
    assert (better.value, better.low, better.high) == pytest.approx((-(worse.value or 0), -(worse.high or 0), -(worse.low or 0)))
    mine, theirs = lists.recall(label, score).value, lists.recall(label, -score).value
    assert better.value == pytest.approx((mine or 0) - (theirs or 0))


def test_one_entity_that_chose_is_no_evidence_for_bounds_whoever_else_was_there() -> None:
    (one, first), (none, second) = made([1, 0], [2, 1]), made([0, 0], [2, 1], case=1)
    label, score = np.concatenate([one, none]), np.concatenate([first, second])
    alone, both = np.array(["a"] * 4, dtype=object), np.array(["a", "a", "b", "b"], dtype=object)
    for entity in (alone, both):
        bounds = lists.intervals(label, score, entity, **DRAWN)["recall"]
        assert (bounds.value, bounds.reason) == (None, "1 entity, two are needed to draw from")
        assert lists.recall_difference(label, score, score, entity, **DRAWN).reason == "1 entity, two are needed to draw from"


@settings(max_examples=50)
@given(many(), st.integers(0, 31))
def test_a_mask_of_whole_cases_takes_all_that_belongs_to_them(given_: tuple[list[Row], dict[int, int], int], which: int) -> None:
    rows, total, places = given_
    kept = {case for case in total if which >> case & 1}
    mask = np.array([r.case in kept for r in rows])
    part = lists.measures(records(rows, total, places)[mask], scores(rows)[mask])
    if sum(total[case] for case in kept):
        assert part["recall"].value == pytest.approx(recomputed([r for r in rows if r.case in kept], total, places)["recall"])
    else:
        assert part["recall"].value is None
