"""Candidates and their features are those of a plain recomputation, and know nothing of what came at or after the `as_of`."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from penstock.config.candidates import FEATURES, Candidates, Factors, OwnHistory, Popular, Together
from penstock.features.candidates.build import Staged, candidates
from penstock.features.candidates.factors import numbered

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.spark

Taken = tuple[str, str, date, str]
"""Shop and customer (the key), the day, the item."""
Answer = dict[tuple[str, str, datetime, str], dict[str, Any]]
KEY = ("shop", "customer")
DAYS = [date(2024, 3, 20), date(2024, 4, 3), date(2024, 4, 29)]
AS_OFS = {datetime(d.year, d.month, d.day, tzinfo=UTC): d for d in DAYS}
COUNTRY = {"a": "north", "b": "north", "c": "south", "d": None}
SOURCES = Candidates(
    items="taken",
    together=Together(limit=2, window_days=60, basket=4, neighbours=3, least=2),
    own=OwnHistory(limit=4, decay_days=40),
    factors=None,
    group=Popular(limit=2, window_days=90),
    popular=Popular(limit=3, window_days=28),
    rising=Popular(limit=2, window_days=7),
    sold_within_days=20,
    limit=8,
)
LEARNED = SOURCES.model_copy(update={"factors": Factors(limit=3, rank=3, iterations=3, decay_days=60)})


def history(seed: int = 1) -> list[Taken]:
    """Four customers in two shops with their favourites; some items are not sold after March."""
    draw = random.Random(seed)
    rows = set()
    for shop in "XY":
        for customer in COUNTRY:
            liked = draw.sample(range(14), 5)
            for _ in range(draw.randint(3, 9)):
                day = date(2024, 1, 1) + timedelta(days=draw.randint(0, 140))
                for item in [*draw.sample(liked, 3), draw.randint(0, 13)]:
                    if item < 10 or day < date(2024, 4, 1):
                        rows.add((shop, customer, day, f"p{item:02d}"))
    return sorted(rows)


@dataclass(frozen=True)
class Shop:
    """Runs `candidates` over rows, with its steps staged in files."""

    spark: SparkSession
    folder: Path

    def staged(self, name: str) -> Staged:
        def write(step: str, frame: DataFrame) -> DataFrame:
            place = str(self.folder / name / step)
            frame.write.mode("overwrite").parquet(place)
            return self.spark.read.schema(frame.schema).parquet(place)

        return write

    def log(self, rows: Sequence[Taken]) -> DataFrame:
        return self.spark.createDataFrame(list(rows), "shop string, customer string, hop date, item string")

    def groups(self, rows: Sequence[Taken], as_ofs: Mapping[datetime, date]) -> DataFrame:
        asked = sorted({(s, c, at, COUNTRY[c]) for s, c, hop, _ in rows for at, day in as_ofs.items() if hop < day}, key=str)
        return self.spark.createDataFrame(asked, "shop string, customer string, as_of timestamp, country string")

    def ask(
        self,
        rows: Sequence[Taken],
        declared: Candidates,
        as_ofs: Mapping[datetime, date] = AS_OFS,
        name: str = "run",
        asked: Sequence[Taken] | None = None,
    ) -> Answer:
        groups = self.groups(rows if asked is None else asked, as_ofs)
        found = candidates(self.log(rows), groups, as_ofs, KEY, "country", declared, self.staged(name)).collect()
        # Spark hands instants over in this process's local time.
        answer = {(r["shop"], r["customer"], r["as_of"].astimezone(UTC), r["item"]): r.asDict() for r in found}
        assert len(answer) == len(found), "a pair stands twice"
        return answer


@pytest.fixture
def shop(spark: SparkSession, tmp_path: Path) -> Shop:
    return Shop(spark, tmp_path)


# ---- the oracle ----


def best(strength: Mapping[str, float], limit: int) -> list[str]:
    return sorted((i for i, s in strength.items() if s > 0), key=lambda i: (-strength[i], i))[:limit]


def takers(rows: Sequence[Taken], day: date, days: int, new: bool = False) -> dict[str, float]:
    """In the last so many days, of each item; or those whose first time lies there."""
    met: dict[tuple[str, str, str], list[date]] = {}
    for s, c, hop, item in rows:
        met.setdefault((s, c, item), []).append(hop)
    near = [pair for pair, hops in met.items() if (min(hops) if new else max(hops)) >= day - timedelta(days=days)]
    return {item: float(sum(pair[2] == item for pair in near)) for item in {r[3] for r in rows}}


def together(past: Sequence[Taken], day: date, offered: set[str], declared: Together) -> dict[tuple[str, str], dict[str, float]]:
    """Of each customer the sum of cosines of each offered item with the customer's newest."""
    last: dict[tuple[str, str], dict[str, date]] = {}
    for s, c, hop, item in past:
        last.setdefault((s, c), {})[item] = max(hop, last.get((s, c), {}).get(item, hop))
    baskets = {
        who: sorted((i for i, d in items.items() if (day - d).days <= declared.window_days), key=lambda i: (-items[i].toordinal(), i))[
            : declared.basket
        ]
        for who, items in last.items()
    }
    support = {i: sum(i in basket for basket in baskets.values()) for i in {i for basket in baskets.values() for i in basket}}
    near: dict[str, list[tuple[str, float]]] = {}
    for own, takers_ in support.items():
        both = {i: sum(own in basket and i in basket for basket in baskets.values()) for i in support if i != own and i in offered}
        cosine = {i: n / math.sqrt(support[i] * takers_) for i, n in both.items() if n >= declared.least}
        near[own] = sorted(cosine.items(), key=lambda pair: (-pair[1], pair[0]))[: declared.neighbours]
    found: dict[tuple[str, str], dict[str, float]] = {}
    for who, basket in baskets.items():
        sums: dict[str, float] = {}
        for own in basket:
            for item, cosine_ in near[own]:
                sums[item] = sums.get(item, 0.0) + cosine_
        found[who] = sums
    return found


def oracle(rows: Sequence[Taken], declared: Candidates) -> Answer:
    answer: Answer = {}
    for at, day in AS_OFS.items():
        past = [r for r in rows if r[2] < day]
        offered = {r[3] for r in past if (day - r[2]).days <= declared.sold_within_days}
        of = {n: takers(past, day, n) for n in (7, 28, 90)}
        new = takers(past, day, 28, new=True)
        nearby = together(past, day, offered, declared.together) if declared.together else {}
        active = len({r[:2] for r in past if (day - r[2]).days <= 90})
        for s, c in sorted({r[:2] for r in past}):
            mine = [r for r in past if r[:2] == (s, c)]
            visits = sorted({r[2] for r in mine})
            near = [r for r in past if COUNTRY[r[1]] == COUNTRY[c] and COUNTRY[c] is not None]
            group = {n: takers(near, day, n) for n in (28, 90)}
            decay = {n: {i: sum(math.exp(-(day - r[2]).days / n) for r in mine if r[3] == i) for i in offered} for n in (30, 40, 120)}
            lists = {
                "own": best(decay[40], declared.own.limit) if declared.own else [],
                "together": [],
                "group": best({i: group[90].get(i, 0) for i in offered}, declared.group.limit) if declared.group else [],
                "popular": best({i: of[28][i] for i in offered}, declared.popular.limit) if declared.popular else [],
                "rising": best({i: of[7][i] for i in offered}, declared.rising.limit) if declared.rising else [],
            }
            close = nearby.get((s, c), {})
            # Equal sums of cosines differ in their last bit by the order of adding.
            lists["together"] = best({i: round(v, 9) for i, v in close.items()}, declared.together.limit) if declared.together else []
            taken: dict[str, str] = {}
            for name, items in lists.items():
                for item in items:
                    taken.setdefault(item, name)
            for item, source in list(taken.items())[: declared.limit]:
                hops = sorted(r[2] for r in mine if r[3] == item)
                last = max(r[2] for r in past if r[3] == item)
                met = [[r[2] for r in past if r[:2] == who and r[3] == item] for who in {r[:2] for r in past if r[3] == item}]
                after = sum(v > hops[-1] for v in visits) if hops else None
                answer[s, c, at, item] = {
                    "source": source,
                    "own_days": len(hops),
                    "own_recent_30d": decay[30][item],
                    "own_recent_120d": decay[120][item],
                    "own_days_since_last": (day - hops[-1]).days if hops else None,
                    "own_days_between": (hops[-1] - hops[0]).days / (len(hops) - 1) if len(hops) > 1 else None,
                    "own_visits_since_last": after,
                    "own_visit_share": len(hops) / sum(v >= hops[0] for v in visits) if hops else None,
                    "together_score": close.get(item, 0.0),
                    "together_rank": lists["together"].index(item) + 1 if item in lists["together"] else None,
                    "factor_score": None,
                    "own_rank": lists["own"].index(item) + 1 if item in lists["own"] else None,
                    "factor_rank": None,
                    "item_takers_7d": of[7][item],
                    "item_takers_28d": of[28][item],
                    "item_takers_90d": of[90][item],
                    "item_new_takers_28d": new[item],
                    "item_trend_7d": (of[7][item] * 4 + 1) / (of[28][item] + 1),
                    "item_trend_28d": (of[28][item] * 90 / 28 + 1) / (of[90][item] + 1),
                    "item_days_since_last": (day - last).days,
                    "item_common": of[90][item] / active,
                    "own_then_popular": decay[120][item] + of[28][item] * 1e-9,
                    "item_repeat_share": sum(len(m) > 1 for m in met) / len(met),
                    "group_takers_28d": group[28].get(item, 0),
                    "group_takers_90d": group[90].get(item, 0),
                }
    return answer


# ---- the tests ----


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_candidates_and_features_are_those_of_a_plain_recomputation(shop: Shop, seed: int) -> None:
    rows = history(seed)
    found, expected = shop.ask(rows, SOURCES), oracle(rows, SOURCES)
    assert found.keys() == expected.keys()
    assert {v["source"] for v in expected.values()} == {"own", "together", "group", "popular", "rising"}
    for pair, features in expected.items():
        assert found[pair]["source"] == features.pop("source"), pair
        known = {name: value for name, value in features.items() if value is not None}
        assert {name for name in FEATURES if found[pair][name] is not None} == known.keys(), pair
        assert {name: found[pair][name] for name in known} == pytest.approx(known, rel=1e-9), pair


def test_what_comes_at_or_after_the_as_of_changes_nothing(shop: Shop) -> None:
    rows = history()
    at, day = sorted(AS_OFS.items())[1]
    before = [r for r in rows if r[2] < day]
    later = [(s, c, day + timedelta(days=n), item) for s, c in (("X", "a"), ("Z", "b")) for n, item in ((0, "p13"), (3, "new"))]
    only = shop.ask(before, LEARNED, {at: day}, "only")
    with_later = shop.ask([*rows, *later], LEARNED, {at: day}, "later", asked=before)
    among_others = shop.ask([*rows, *later], LEARNED, name="others", asked=before)
    assert "factors" in {v["source"] for v in only.values()}
    assert with_later == only
    assert {pair: v for pair, v in among_others.items() if pair[2] == at} == only


@pytest.mark.slow
def test_each_source_keeps_to_its_limit_and_all_to_theirs(shop: Shop) -> None:
    declared = LEARNED.model_copy(update={"limit": 5})
    found = shop.ask(history(), declared)
    for who in {pair[:3] for pair in found}:
        mine = [v for pair, v in found.items() if pair[:3] == who]
        assert len(mine) <= 5
        assert sum(v["own_rank"] is not None for v in mine) <= 4
        assert sum(v["factor_rank"] is not None for v in mine) <= 3


def test_an_item_that_nobody_took_lately_is_no_candidate(shop: Shop) -> None:
    last = {item: max(r[2] for r in history() if r[3] == item) for item in {r[3] for r in history()}}
    gone = {item for item, day in last.items() if (DAYS[-1] - day).days > SOURCES.sold_within_days}
    offered = {pair[3] for pair in shop.ask(history(), LEARNED) if pair[2] == list(AS_OFS)[-1]}
    assert gone
    assert offered
    assert not gone & offered


@pytest.mark.slow
def test_the_factors_rank_by_their_score(shop: Shop) -> None:
    found = shop.ask(history(), LEARNED.model_copy(update={"limit": 100}))
    for who in {pair[:3] for pair in found}:
        mine = [(v["factor_rank"], v["factor_score"]) for pair, v in found.items() if pair[:3] == who]
        ranked = [score for _, score in sorted((rank, score) for rank, score in mine if rank is not None)]
        assert len(ranked) == 3
        assert ranked == pytest.approx(sorted(ranked, reverse=True), rel=1e-6)
        assert all(score <= ranked[-1] + 1e-6 for rank, score in mine if rank is None)


@pytest.mark.parametrize("kept", [lambda r: r[:2] == ("X", "a"), lambda r: r[3] == "p03"], ids=["one customer", "one product"])
def test_where_there_is_nothing_to_factorise_the_other_sources_still_bring(shop: Shop, kept: Callable[[Taken], bool]) -> None:
    rows = [r for r in history() if kept(r)]
    found = shop.ask(rows, LEARNED)
    assert found
    assert "factors" not in {v["source"] for v in found.values()}
    assert all(v["factor_score"] is None and v["factor_rank"] is None for v in found.values())


def test_an_empty_log_gives_an_empty_frame_with_all_columns(shop: Shop) -> None:
    groups = shop.groups(history(), AS_OFS)
    for name, asked in (("nobody", groups.where("false")), ("all", groups)):
        frame = candidates(shop.log([]), asked, AS_OFS, KEY, "country", LEARNED, shop.staged(name))
        assert frame.columns == [*KEY, "as_of", "item", "source", *FEATURES]
        assert {frame.schema[name].dataType.simpleString() for name in FEATURES} == {"double"}
        assert frame.count() == 0


def test_names_have_numbers_of_their_own_that_other_instants_do_not_change(spark: SparkSession) -> None:
    early, late = ([(f"n{n:03d}", day) for n in range(0, 300, step)] for step, day in ((3, "2024-01-01"), (1, "2024-02-01")))
    both = numbered(spark.createDataFrame([*early, *late], "item string, as_of string"), ["item", "as_of"], "number").collect()
    alone = numbered(spark.createDataFrame(early, "item string, as_of string"), ["item", "as_of"], "number").collect()
    assert len({(r["as_of"], r["number"]) for r in both}) == len(both) == 400
    assert {r for r in both if r["as_of"] == "2024-01-01"} == set(alone)
