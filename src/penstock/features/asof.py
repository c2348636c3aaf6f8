"""Tiles become features at any set of `as_of`s, in one pass with one shuffle; and the as-of join for any other spine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from penstock import clock
from penstock.config.model import Aggregate, Facts, View
from penstock.features.spec import COUNTED, EVENTS, Output, feature_columns, merged, outputs

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_KNOWN_UNTIL = "__known_until"


def instants(like: DataFrame, as_ofs: Mapping[datetime, date]) -> DataFrame:
    """A small frame of (`as_of`, `__day`): each instant and the local day that begins at it."""
    return like.sparkSession.createDataFrame(sorted(as_ofs.items()), "as_of timestamp, __day date")


def as_known(tiles: DataFrame, key: Sequence[str], when: DataFrame, days: tuple[int | None, int]) -> DataFrame:
    """Each tile beside each `as_of` at which it is the one that counts: known by then, and not yet replaced.

    Parameters: `when` has (`as_of`, `__day`, `__known_by`), the last being the instant by which facts must have been known;
    `days` = (from, to) bounds of the hop relative to the `as_of`'s day, half-open; from None = since ever. Features look at
    (None, 0), a label of 30 days at (0, 30).
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    following = Window.partitionBy(*key, "hop").orderBy("known_at").rowsBetween(1, 1)
    spans = tiles.withColumn(_KNOWN_UNTIL, F.first("known_at").over(following))
    first, end = days
    fits: Column = F.col("hop") < F.date_add(F.col("__day"), end)
    if first is not None:
        fits = fits & (F.col("hop") >= F.date_add(F.col("__day"), first))
    by = F.col("__known_by")
    known = (F.col("known_at") <= by) & (F.col(_KNOWN_UNTIL).isNull() | (F.col(_KNOWN_UNTIL) > by))
    return spans.join(F.broadcast(when), on=fits & known, how="inner")


def features(tiles: DataFrame, view: View, as_ofs: Mapping[datetime, date], timezone: str, joined: Sequence[DataFrame] = ()) -> DataFrame:
    """One row for each entity with a tile by each `as_of`: key, `as_of`, and all feature columns.

    `joined` are the tiles of the sources that the view joins, in its order. Each is looked at as it was known at the `as_of`;
    it adds columns and never a row.
    """
    from pyspark.sql import functions as F

    base = aggregated(tiles, view, as_ofs, timezone)
    for part, part_tiles in zip(view.joined, joined, strict=True):
        known = aggregated(part_tiles, part, as_ofs, timezone)
        base = base.join(known, on=[*part.entity, "as_of"], how="left")
        # Of whom a source says nothing, nothing happened there: none, not unknown.
        zeros = [o for o in outputs(part) if o.aggregate.function in COUNTED]
        base = base.withColumns({o.name: F.coalesce(F.col(o.name), F.lit(0).cast(o.type)) for o in zeros})
    for derived in view.derived:
        base = base.withColumn(derived.name, F.expr(derived.expression).cast(derived.type))
    return base.select(*view.entity, "as_of", *(name for name, _ in feature_columns(view)))


def aggregated(tiles: DataFrame, view: Facts, as_ofs: Mapping[datetime, date], timezone: str) -> DataFrame:
    """One row for each entity with a tile by each `as_of`: key, `as_of`, and the aggregates of one source."""
    from pyspark.sql import functions as F

    # Local days, as windows are: a day later is not 24 hours later when the clocks change.
    delay = timedelta(days=view.availability_delay_days)
    known = [(at, day, clock.midnight(day - delay, timezone)) for at, day in sorted(as_ofs.items())]
    when = tiles.sparkSession.createDataFrame(known, "as_of timestamp, __day date, __known_by timestamp")
    rows = as_known(tiles, view.entity, when, (None, 0))
    columns = [F.expr(_over_window(o, timezone)).cast(o.type).alias(o.name) for o in outputs(view)]
    base = rows.groupBy(*view.entity, "as_of", "__day").agg(F.sum(EVENTS).alias("__events"), *columns).where("__events > 0")
    return base.select(*view.entity, "as_of", *(o.name for o in outputs(view)))


def outcomes(tiles: DataFrame, view: View, as_ofs: Mapping[datetime, date], known_by: datetime, horizon_days: int) -> DataFrame:
    """The view's aggregates over the horizon from each `as_of`, as known at `known_by`; entities without an event have no row."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    # What happened is judged by what is known at the run, not at the `as_of`: keep each day's last tile, then window it.
    newest = (
        Window.partitionBy(*view.entity, "hop").orderBy(F.col("known_at").desc()).rowsBetween(Window.unboundedPreceding, Window.currentRow)
    )
    in_reach = F.col("hop").between(F.lit(min(as_ofs.values())), F.lit(max(as_ofs.values()) + timedelta(days=horizon_days)))
    last = (
        tiles.where(in_reach & (F.col("known_at") <= F.lit(known_by))).withColumn("__rank", F.row_number().over(newest)).where("__rank = 1")
    )
    fits = (F.col("hop") >= F.col("__day")) & (F.col("hop") < F.date_add(F.col("__day"), horizon_days))
    rows = last.join(F.broadcast(instants(tiles, as_ofs)), on=fits, how="inner")
    whole = [Output(a.name, "", a, None) for a in view.aggregates if not a.function.startswith("days_since")]
    return rows.groupBy(*view.entity, "as_of").agg(*(F.expr(merged(o, lambda _: "true", "")).alias(o.name) for o in whole))


def horizon_columns(view: View) -> dict[str, Aggregate]:
    """The columns that `outcomes` gives, by name."""
    return {a.name: a for a in view.aggregates if not a.function.startswith("days_since")}


def as_of_join(
    spine: DataFrame, right: DataFrame, key: Sequence[str], at: str, right_at: str, max_age: timedelta | None = None
) -> DataFrame:
    """Each spine row once, with the newest `right` row at or before its instant (nulls where there is none, or it is too old).

    A null key or instant is not known, and meets nothing. One union and one window: the right side's columns travel as one struct, so that values of two rows are never mixed.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    values = [c for c in right.columns if c not in {*key, right_at}]
    carried = F.struct(F.col(right_at).alias("__at"), *(F.col(c) for c in values))
    kept = [c for c in spine.columns if c not in {*key, at}]
    empty = F.lit(None)
    left_rows = spine.select(*key, F.col(at).alias("__t"), F.lit(1).alias("__side"), F.struct(*kept, at).alias("__left"))
    # A right row of nobody would meet the spine's rows of nobody, and one of no time would come before all others.
    dated = right.dropna(subset=[*key, right_at])
    right_rows = dated.select(*key, F.col(right_at).alias("__t"), F.lit(0).alias("__side"), carried.alias("__right"))
    both = left_rows.unionByName(right_rows, allowMissingColumns=True)
    # Ties at one instant: the right side first, and among its rows the greatest, so that order by accident decides nothing.
    window = Window.partitionBy(*key).orderBy("__t", "__side", "__right").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    joined = both.withColumn("__right", F.last("__right", ignorenulls=True).over(window)).where("__side = 1")
    fresh = F.col("__right")
    if max_age is not None:
        young = F.col("__right.__at") + F.expr(f"INTERVAL '{int(max_age.total_seconds())}' SECOND") >= F.col("__t")
        fresh = F.when(young, fresh).otherwise(empty)
    named = joined.withColumn("__right", fresh)
    return named.select(
        *(F.col(c) if c in key else F.col(f"__left.{c}").alias(c) for c in spine.columns), *(F.col(f"__right.{c}").alias(c) for c in values)
    )


def _over_window(output: Output, timezone: str) -> str:
    def within(days: int | None) -> str:
        return "true" if days is None else f"{{hop}} >= date_add(__day, -{days})"

    return merged(output, within, f"datediff(__day, to_date(from_utc_timestamp({{at}}, '{timezone}')))")
