"""The candidates of every asked entity at each `as_of`, with the features of the pair and of the item."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from functools import reduce
from typing import TYPE_CHECKING

from penstock.config.candidates import FEATURES, Candidates
from penstock.features.candidates import factors, sources, together
from penstock.features.candidates.items import GROUP, ITEM, group_items, items
from penstock.features.candidates.pairs import OWN, pairs, with_own

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Staged = Callable[[str, "DataFrame"], "DataFrame"]
"""Computes a frame once under a name and gives its rows, as `Run.staged` does."""

RANKS = ("own_rank", "together_rank", "factor_rank")
_RANK_OF = {"own_rank": "own", "together_rank": "together", "factor_rank": "factors"}
RULE = "own_then_popular"
"""What a rule without a model would order by: what the entity took most of late, then what all do."""
assert set(FEATURES) == {*OWN, together.SCORE, "factor_score", *RANKS, *ITEM, *GROUP, RULE}


def candidates(
    log: DataFrame, groups: DataFrame, as_ofs: Mapping[datetime, date], key: Sequence[str], group: str, declared: Candidates, staged: Staged
) -> DataFrame:
    """One row for each candidate of each asked entity: key, `as_of`, `item`, `source`, and `FEATURES`.

    Parameters: `log` one row for each entity, day (`hop`) and `item`, of all entities; `groups` key, `as_of` and a string column `group`
    (null: of no group), one row for each entity asked about; `as_ofs` each instant with the local day that begins at it.
    An entity without a past has the candidates of its group and the popular ones. Two frames are staged and, with factors, models
    fitted at once; the rest is computed when the result is read.
    """
    from pyspark.sql import functions as F

    asked = groups.select(*key, "as_of", group).where(F.col("as_of").isin(list(as_ofs)))
    known = staged("candidate_pairs", pairs(log, as_ofs, key, _strengths(declared)))
    offered = items(known, list(key), declared.sold_within_days)
    grouped = group_items(known, asked, list(key), group).join(offered.select("as_of", "item"), on=["as_of", "item"], how="left_semi")
    fitted = factors.fit(known, as_ofs, key, declared.factors) if declared.factors else None
    near = together.scores(known, asked, offered, key, declared.together) if declared.together else None
    near = None if near is None else staged("candidate_together", near)
    brought = _brought(known, asked, offered, grouped, (fitted, near), key, group, declared)
    named = staged("candidate_rows", brought) if brought is not None else _nothing(asked, key)
    rows = with_own(named.join(asked, on=[*key, "as_of"], how="inner"), known, key)
    rows = (
        rows.withColumn(together.SCORE, F.lit(None).cast("double"))
        if near is None
        else rows.join(near, on=[*key, "as_of", "item"], how="left")
    )
    full = factors.with_scores(rows, fitted, key).join(offered, on=["as_of", "item"], how="inner")
    full = full.join(grouped, on=["as_of", group, "item"], how="left")
    zeros = {name: F.coalesce(name, F.lit(0.0)) for name in (*GROUP, together.SCORE)}
    # Fewer take any item in 28 days than would make up for one day of one's own.
    full = full.withColumns(zeros).withColumn(RULE, F.col("own_recent_120d") + F.col("item_takers_28d") * F.lit(1e-9))
    return full.select(*key, "as_of", "item", "source", *FEATURES)


def _strengths(declared: Candidates) -> dict[str, float]:
    """The decays that sources rank by, by column."""
    own = {sources.OWN_STRENGTH: declared.own.decay_days} if declared.own else {}
    return own | ({factors.STRENGTH: declared.factors.decay_days} if declared.factors else {})


def _brought(
    known: DataFrame,
    asked: DataFrame,
    offered: DataFrame,
    grouped: DataFrame,
    made: tuple[factors.Fitted | None, DataFrame | None],
    key: Sequence[str],
    group: str,
    declared: Candidates,
) -> DataFrame | None:
    """What the sources bring, each pair once: key, `as_of`, `item`, `source`, `RANKS`; None when there is no source that could."""
    from pyspark.sql import functions as F

    fitted, near = made
    found: dict[str, DataFrame] = {}
    if declared.own:
        found["own"] = sources.own(known, asked, offered, key, declared.own)
    if declared.together and near is not None:
        found["together"] = sources.first(near, [*key, "as_of"], together.SCORE, declared.together.limit)
    if declared.factors and fitted:
        found["factors"] = factors.nearest(fitted, asked, offered, key, declared.factors.limit)
    if declared.group:
        found["group"] = sources.popular_in_group(asked, grouped, group, declared.group)
    if declared.popular:
        found["popular"] = sources.popular(asked, offered, key, declared.popular)
    if declared.rising:
        found["rising"] = sources.popular(asked, offered, key, declared.rising)
    if not found:
        return None
    columns = [*key, "as_of", "item"]
    parts = [frame.select(*columns, F.lit(place).alias("__place"), F.col("__rank")) for place, frame in enumerate(found.values())]
    every = reduce(lambda one, other: one.unionByName(other), parts)
    names = list(found)
    ranks = [F.min(F.when(F.col("__place") == names.index(s), F.col("__rank"))) if s in names else F.lit(None) for s in _RANK_OF.values()]
    once = every.groupBy(*columns).agg(
        F.min(F.struct("__place", "__rank")).alias("__best"),
        *(rank.cast("double").alias(name) for name, rank in zip(RANKS, ranks, strict=True)),
    )
    order = F.struct("__best", "item")
    return _limited(once.withColumn("__order", order), key, declared.limit).select(
        *columns, F.element_at(F.array(*(F.lit(name) for name in names)), F.col("__best.__place") + 1).alias("source"), *RANKS
    )


def _limited(rows: DataFrame, key: Sequence[str], limit: int) -> DataFrame:
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    order = Window.partitionBy(*key, "as_of").orderBy("__order").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    return rows.withColumn("__number", F.row_number().over(order)).where(F.col("__number") <= limit)


def _nothing(asked: DataFrame, key: Sequence[str]) -> DataFrame:
    from pyspark.sql import functions as F

    empty = {"item": "string", "source": "string", **dict.fromkeys(RANKS, "double")}
    return asked.where(F.lit(False)).select(*key, "as_of", *(F.lit(None).cast(type_).alias(name) for name, type_ in empty.items()))
