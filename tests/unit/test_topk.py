"""The best k items: what a plain sort of all exact scores gives, whatever the blocks, the ties and what is hidden."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from penstock.errors import DataError, UsageError
from penstock.topk.kernel import Excluded, Factors, Top, top_k


def plain(users: Factors, items: Factors, k: int, hidden: NDArray[np.bool_]) -> list[list[tuple[int, float]]]:
    """All scores in double precision, rounded once, sorted by score and then index."""
    found = []
    for user, own in zip(users, hidden, strict=True):
        scores = np.multiply(user, items, dtype=np.float64).sum(axis=1).astype(np.float32)
        ranked = sorted((-float(score), at) for at, score in enumerate(scores) if not own[at])
        found.append([(at, -negative) for negative, at in ranked[:k]])
    return found


def listed(top: Top) -> list[list[tuple[int, float]]]:
    rows = zip(top.indices.tolist(), top.scores.tolist(), top.counts.tolist(), strict=True)
    return [list(zip(indices[:n], scores[:n], strict=True)) for indices, scores, n in rows]


def csr(hidden: NDArray[np.bool_]) -> Excluded:
    return Excluded(np.concatenate(([0], np.cumsum(hidden.sum(axis=1)))), np.nonzero(hidden)[1])


def drawn(users: int, items: int, factors: int, seed: int = 0) -> tuple[Factors, Factors]:
    draw = np.random.default_rng(seed)
    return draw.standard_normal((users, factors), dtype=np.float32), draw.standard_normal((items, factors), dtype=np.float32)


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """Small catalogues in which ties, near ties, zero users, hidden and withdrawn items abound."""
    n, m, f = draw(st.integers(0, 9)), draw(st.integers(0, 70)), draw(st.integers(1, 9))
    seed, kind = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from(("integers", "real", "near", "equal", "wide")))
    rng = np.random.default_rng(seed)
    if kind == "integers":
        users, items = rng.integers(-2, 3, (n, f)), rng.integers(-2, 3, (m, f))
    elif kind == "equal":
        users, items = rng.normal(size=(n, f)), np.repeat(rng.normal(size=(1, f)), m, axis=0)
    elif kind == "near":  # differences of a few last bits, which single precision sums confuse
        users, items = rng.normal(size=(n, f)), rng.normal(size=(1, f)) * (1 + rng.integers(-3, 4, (m, f)) * 2.0**-23)
    else:
        scale = 10.0 ** rng.integers(-18, 18, (1, f)) if kind == "wide" else 1.0
        users, items = rng.normal(size=(n, f)) * scale, rng.normal(size=(m, f))
    share = draw(st.sampled_from((0.0, 0.3, 0.95, 1.0)))
    return {
        "users": users.astype(np.float32),
        "items": items.astype(np.float32),
        "k": draw(st.integers(1, 30)),
        "hidden": rng.random((n, m)) < share,
        "withdrawn": rng.random(m) < draw(st.sampled_from((0.0, 0.5, 1.0))),
        "block": (draw(st.integers(1, 12)), draw(st.integers(1, 80))),
    }


@settings(max_examples=400, deadline=None)
@given(cases())
def test_the_best_are_those_of_a_plain_sort_whatever_the_blocks(case: dict[str, Any]) -> None:
    users, items, k, withdrawn = case["users"], case["items"], case["k"], case["withdrawn"]
    found = top_k(users, items, k, excluded=csr(case["hidden"]), withdrawn=withdrawn, block=case["block"])
    expected = plain(users, items, k, case["hidden"] | withdrawn)
    assert listed(found) == expected
    assert found.counts.tolist() == [len(row) for row in expected]
    after = np.arange(k) >= found.counts[:, None]
    assert (found.indices[after] == -1).all()
    assert np.isneginf(found.scores[after]).all()
    assert not np.isnan(found.scores).any()


@pytest.mark.parametrize(("users", "items", "factors"), [(40, 5_000, 64), (3, 40_000, 10), (1, 1, 1), (1, 300, 200)])
def test_larger_catalogues_agree_with_the_plain_sort_too(users: int, items: int, factors: int) -> None:
    u, v = drawn(users, items, factors)
    assert listed(top_k(u, v, 20)) == plain(u, v, 20, np.zeros((users, items), dtype=np.bool_))


def test_blocks_threads_and_the_company_of_other_users_change_no_bit() -> None:
    users, items = drawn(130, 3_000, 33)
    whole = top_k(users, items, 15)
    for block in ((1, 3_000), (7, 1_000), (130, 17), (64, 2_999)):
        assert all(np.array_equal(a, b) for a, b in zip(whole, top_k(users, items, 15, block=block), strict=True)), block
    with threadpool_limits(limits=1):
        assert all(np.array_equal(a, b) for a, b in zip(whole, top_k(users, items, 15), strict=True))
    alone = top_k(users[77:78], items, 15)
    assert all(np.array_equal(a[77:78], b) for a, b in zip(whole, alone, strict=True))


def test_equal_scores_stand_by_item_index_and_a_user_of_zeros_gets_the_first_items() -> None:
    items = np.ones((1_000, 4), np.float32)
    users = np.stack([np.ones(4), np.zeros(4), -np.zeros(4)]).astype(np.float32)
    hidden = np.zeros((3, 1_000), dtype=np.bool_)
    hidden[:, 1] = True
    found = top_k(users, items, 3, excluded=csr(hidden), withdrawn=np.arange(1_000) == 2)
    assert found.indices.tolist() == [[0, 3, 4]] * 3
    assert found.scores.tolist() == [[4.0] * 3, [0.0] * 3, [0.0] * 3]
    assert not np.signbit(found.scores).any()


def test_scores_too_small_for_single_precision_are_ties_at_zero_without_a_sign() -> None:
    found = top_k(np.array([[1e-30]], np.float32), np.array([[-1e-30], [1e-30], [-1e-38]], np.float32), 3)
    assert found.indices.tolist() == [[0, 1, 2]]
    assert found.scores.tolist() == [[0.0, 0.0, 0.0]]
    assert not np.signbit(found.scores).any()


def test_items_that_single_precision_confuses_are_told_apart() -> None:
    """The sums 1e8 + 1 - 1e8 and 1e8 + 2 - 1e8 are both zero in single precision in one order and not in another."""
    users = np.ones((1, 3), np.float32)
    items = np.array([[1e8, value, -1e8] for value in (1, 3, 2)], np.float32)
    found = top_k(users, items, 3)
    assert found.indices.tolist() == [[1, 2, 0]]
    assert found.scores.tolist() == [[3.0, 2.0, 1.0]]


def test_no_users_no_items_and_everything_withdrawn_give_no_place() -> None:
    users, items = drawn(3, 5, 2)
    assert top_k(users[:0], items, 4).indices.shape == (0, 4)
    assert top_k(users, items[:0], 4).counts.tolist() == [0, 0, 0]
    assert top_k(users, items, 4, withdrawn=np.ones(5, dtype=np.bool_)).counts.tolist() == [0, 0, 0]
    assert top_k(users, items, 4, excluded=csr(np.ones((3, 5), dtype=np.bool_))).counts.tolist() == [0, 0, 0]
    assert top_k(users, items, 9).counts.tolist() == [5, 5, 5]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("side", ["users", "items"])
def test_factors_without_a_finite_score_are_refused(bad: float, side: str) -> None:
    users, items = np.full((3, 2), 2, np.float32), np.full((5, 2), 2, np.float32)
    (users if side == "users" else items)[1, 1] = bad
    with pytest.raises(DataError, match="factors of users and items: got a number that is not finite"):
        top_k(users, items, 2)


def test_a_factor_that_is_not_finite_is_refused_beside_a_user_of_zeros() -> None:
    with pytest.raises(DataError, match="not finite"):
        top_k(np.zeros((1, 1), np.float32), np.array([[np.inf]], np.float32), 1)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"k": 0}, "k of the best items: got 0, expected 1 or more"),
        ({"users": np.ones((2, 4), np.float32)}, r"users \(2, 4\) and items \(5, 3\)"),
        ({"items": np.ones((5, 3))}, "float32 and float64, expected float32"),
        ({"withdrawn": np.zeros(4, dtype=np.bool_)}, r"withdrawn items: got shape \(4,\)"),
        ({"excluded": Excluded(np.array([0, 1]), np.array([0]))}, r"ascending bounds of 2 users"),
        ({"excluded": Excluded(np.array([0, 2, 1]), np.array([0]))}, r"ascending bounds of 2 users"),
        ({"excluded": Excluded(np.array([0, 1, 1]), np.array([5]))}, "indices 5 to 5, expected 0 to 4"),
        ({"excluded": Excluded(np.array([0, 1, 1]), np.array([-1]))}, "indices -1 to -1, expected 0 to 4"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(changed: dict[str, Any], said: str) -> None:
    call = {"users": np.ones((2, 3), np.float32), "items": np.ones((5, 3), np.float32), "k": 2} | changed
    with pytest.raises((DataError, UsageError), match=said):
        top_k(**call)
