"""The k items of the greatest inner product with each user, exact and the same on every machine, in numpy alone.

Multiplying matrices in single precision is fast, but its last bits depend on the library, the number of threads and the
shape of the blocks. So it only finds the candidates: every item within the rounding error's bound of the k-th best.
Those few are scored again in double precision, pair by pair, and that score, rounded to single precision, is what counts.

Selecting would cost more than multiplying if each row were partitioned. Instead the k-th greatest of some hundreds of maxima
bounds the k-th best score from below (k different items reach it), and one comparison leaves little more than k candidates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from penstock.errors import DataError, UsageError

Factors = NDArray[np.float32]
Indices = NDArray[np.int32]

USERS_A_BLOCK, ITEMS_A_BLOCK, SCORES_A_BLOCK = 64, 32_768, 1 << 19
"""At least so many users and at most so many items at a time, 8 MiB of scores; more users for fewer items, up to 2 MiB.

With 20,000 items 32 to 128 users measured alike and 256 slower by a fifth, as the scores left the cache; with 200,000 items 32
users were slower by a quarter, as all items are read from memory for each block of users.
"""
ITEMS_A_MAXIMUM = 32
PAIRS_AT_ONCE = 1 << 20
"""Numbers of double precision at a time when candidates are scored again: many equal scores make many candidates."""
GREATEST = 1e38
"""Greater scores are refused: sums on the way to them might leave single precision."""


class Excluded(NamedTuple):
    """The items that each user is not shown: user u's are `indices[indptr[u]:indptr[u + 1]]`, in any order, repeated or not."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int64]


class Top(NamedTuple):
    """The best items of each user, best first, equal scores by item index; after `counts` places index -1 and score -inf."""

    indices: Indices
    """int32 [users, k]."""
    scores: Factors
    """float32 [users, k]: the inner product in double precision, rounded once."""
    counts: Indices
    """int32 [users]: k, or how many items were left."""


@dataclass(frozen=True)
class _Found:
    """Pairs of user and item with their scores."""

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    score: Factors

    def beside(self, other: _Found) -> _Found:
        """The pairs of both."""
        return _Found(
            np.concatenate((self.user, other.user)), np.concatenate((self.item, other.item)), np.concatenate((self.score, other.score))
        )

    def at(self, order: NDArray[np.int64]) -> _Found:
        """The pairs at these places."""
        return _Found(self.user[order], self.item[order], self.score[order])


def top_k(
    users: Factors,
    items: Factors,
    k: int,
    *,
    excluded: Excluded | None = None,
    withdrawn: NDArray[np.bool_] | None = None,
    block: tuple[int, int] | None = None,
) -> Top:
    """The k items of the greatest inner product with each user.

    Parameters: `users` float32 [users, f] and `items` float32 [items, f]; `withdrawn` bool [items], shown to nobody;
    `block` users and items multiplied at a time, which changes the time and nothing else. The memory beyond input and output
    is one turned copy of the items (a second one when some are withdrawn) and a few times the block. Threads are the caller's affair (`threadpoolctl`).
    Raises UsageError for k < 1, DataError for factors that are not finite or do not fit one another, and for exclusions that
    name no user or item.
    """
    _judge(users, items, k, excluded, withdrawn)
    kept = np.arange(len(items)) if withdrawn is None else np.flatnonzero(~withdrawn)
    place = np.full(len(items), -1)
    place[kept] = np.arange(len(kept))
    offered = items if withdrawn is None else items[kept]
    slack = _slack(users, offered)
    turned = np.ascontiguousarray(offered.T)
    wide = min(block[1] if block else ITEMS_A_BLOCK, max(1, len(kept)))
    tall = block[0] if block else max(USERS_A_BLOCK, SCORES_A_BLOCK // wide)
    top = Top(np.full((len(users), k), -1, np.int32), np.full((len(users), k), -np.inf, np.float32), np.zeros(len(users), np.int32))
    room = np.empty(tall * wide, np.float32)
    for begin in range(0, len(users), tall):
        end = min(begin + tall, len(users))
        hidden = None if excluded is None else _hidden(excluded, begin, end, place)
        best = _best(users[begin:end], offered, turned, slack[begin:end], k, hidden, wide, room)
        _fill(top, begin, replace(best, item=kept[best.item]), end - begin)
    return top


def _judge(users: Factors, items: Factors, k: int, excluded: Excluded | None, withdrawn: NDArray[np.bool_] | None) -> None:
    if k < 1:
        raise UsageError("k of the best items", got=str(k), expected="1 or more", next="ask for at least one item")
    faults = []
    if users.ndim != 2 or items.ndim != 2 or users.shape[1] != items.shape[1]:
        faults.append(("factors", f"users {users.shape} and items {items.shape}", "as many factors for users as for items"))
    if users.dtype != np.float32 or items.dtype != np.float32:
        faults.append(("factors", f"{users.dtype} and {items.dtype}", "float32"))
    if withdrawn is not None and withdrawn.shape != items.shape[:1]:
        faults.append(("withdrawn items", f"shape {withdrawn.shape}", f"one of {len(items)} items each"))
    if excluded is not None:
        indptr, indices = excluded
        if indptr.shape != (len(users) + 1,) or indptr[0] != 0 or indptr[-1] != len(indices) or (np.diff(indptr) < 0).any():
            faults.append(("excluded items", f"indptr of {indptr.shape}", f"ascending bounds of {len(users)} users"))
        elif indices.size and not (indices.min() >= 0 and indices.max() < len(items)):
            faults.append(("excluded items", f"indices {indices.min()} to {indices.max()}", f"0 to {len(items) - 1}"))
    for what, got, expected in faults:
        raise DataError(what, got=got, expected=expected, left="Nothing was ranked.", next="correct the call")


def _slack(users: Factors, items: Factors) -> NDArray[np.float64]:
    """How far below the bound a candidate may lie, for each user: four times the error of an inner product, |u||v| f 2^-24.

    Twice for the two items compared; twice again for the rounding of the final score and of the threshold. What is smaller
    than the least normal number may be flushed to zero, hence the constant.
    """
    lengths = [np.sqrt(np.einsum("ij,ij->i", x, x, dtype=np.float64)) for x in (users, items)]
    with np.errstate(invalid="ignore"):
        reach = lengths[0] * lengths[1].max(initial=0.0)
    # NaN compares false and is caught too; the lengths are looked at apart because 0 * inf may hide in no user or no item.
    if not (all(np.isfinite(found).all() for found in lengths) and (reach < GREATEST).all()):
        raise DataError(
            "factors of users and items",
            got="a number that is not finite, or a score that might leave single precision",
            expected=f"finite factors and scores below {GREATEST:g}",
            left="Nothing was ranked.",
            next="train the model anew, with more regularisation if the factors diverge",
        )
    terms = users.shape[1] + 2
    return np.asarray(reach * terms * 2.0**-22 + terms * 2.0**-124 * (reach > 0), dtype=np.float64)


def _hidden(excluded: Excluded, begin: int, end: int, place: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the block and columns of the offered items that its users are not shown."""
    bounds = excluded.indptr[begin : end + 1]
    row = np.repeat(np.arange(end - begin), np.diff(bounds))
    column = place[excluded.indices[bounds[0] : bounds[-1]]]
    return row[column >= 0], column[column >= 0]


def _best(
    users: Factors,
    items: Factors,
    turned: Factors,
    slack: NDArray[np.float64],
    k: int,
    hidden: tuple[NDArray[np.int64], NDArray[np.int64]] | None,
    wide: int,
    room: Factors,
) -> _Found:
    """The best k of each user of the block, by user and rank; items by their place among the offered ones."""
    best = _Found(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    floor = np.full(len(users), -np.inf, np.float32)
    for left in range(0, len(items), wide):
        right = min(left + wide, len(items))
        rough = room[: len(users) * (right - left)].reshape(len(users), right - left)
        np.matmul(users, turned[:, left:right], out=rough)
        # All scores of such a user are zero: without this every item would be a candidate, only for the first ones to be taken.
        rough[slack == 0] = -np.arange(left, right, dtype=np.float32)
        if hidden is not None:
            row, column = hidden
            here = (column >= left) & (column < right)
            rough[row[here], column[here] - left] = -np.inf
        floor = np.maximum(floor, _floor(rough, k))
        lowest = np.maximum((floor - slack).astype(np.float32), np.finfo(np.float32).min)  # what is hidden stays below
        at, column = np.divmod(np.flatnonzero(rough >= lowest[:, None]), right - left)
        more = _Found(at, column + left, _scores(users, items, at, column + left))
        best = _first(best.beside(more), k, len(users))
    return best


def _floor(rough: Factors, k: int) -> Factors:
    """A score that k items of each row reach: the k-th greatest of the maxima of disjoint sets of items; -inf when there are fewer."""
    width = rough.shape[1]
    if width < k:
        return np.full(len(rough), -np.inf, np.float32)
    # Far more maxima than k, so that few of the best share one; neighbours go to different sets, which lets the maximum run over whole rows.
    sets = max(width // ITEMS_A_MAXIMUM, min(width, 8 * k))
    maxima = rough[:, :sets].copy()
    for left in range(sets, width, sets):
        part = rough[:, left : left + sets]
        into = maxima[:, : part.shape[1]]
        np.maximum(into, part, out=into)
    return np.asarray(np.partition(maxima, sets - k, axis=1)[:, sets - k], dtype=np.float32)


def _scores(users: Factors, items: Factors, user: NDArray[np.int64], item: NDArray[np.int64]) -> Factors:
    """Each pair's inner product: products exact in double precision, summed in an order that depends on their number alone."""
    found = np.empty(len(user), np.float32)
    step = max(1, PAIRS_AT_ONCE // max(1, users.shape[1]))
    for at in range(0, len(user), step):
        pairs = slice(at, at + step)
        found[pairs] = np.multiply(users[user[pairs]], items[item[pairs]], dtype=np.float64).sum(axis=1)
    return found


def _first(found: _Found, k: int, users: int) -> _Found:
    """The best k pairs of each user, by user, falling score and rising item."""
    order = np.lexsort((found.item, -found.score, found.user))
    return found.at(order[_rank(found.user[order], users) < k])


def _rank(user: NDArray[np.int64], users: int) -> NDArray[np.int64]:
    """The place of each pair among its user's, from 0; the users ascend."""
    ends = np.cumsum(np.bincount(user, minlength=users))
    begins = np.concatenate(([0], ends))[user]
    return np.asarray(np.arange(len(user)) - begins, dtype=np.int64)


def _fill(top: Top, begin: int, best: _Found, users: int) -> None:
    rank = _rank(best.user, users)
    top.indices[begin + best.user, rank] = best.item
    top.scores[begin + best.user, rank] = best.score + np.float32(0)  # a negative zero is a zero
    top.counts[begin : begin + users] = np.bincount(best.user, minlength=users)
