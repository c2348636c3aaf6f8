"""Tiles become features at any set of `as_of`s, in one pass; and the as-of join for any other spine.

For one `as_of` each tile is read once and there is one shuffle. For several, a tile stands only beside those that a window
of its reaches, and all that looks at the whole history is merged before it stands beside any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from penstock import clock
from penstock.config.model import Aggregate, Facts, View
from penstock.features.instants import Mixed, everywhere, mixed
from penstock.features.spec import EVENTS, NOTHING, Output, feature_columns, folded, merged, outputs, states

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_KNOWN_UNTIL = "__known_until"
_SEEN = "__seen"
"""The last day that a row speaks of: a tile's own hop, or the last one of the days that were merged."""

Asked = tuple[datetime, date, datetime]
"""An `as_of`, the local day that begins at it, and the instant by which facts must have been known."""


def as_of_days(like: DataFrame, as_ofs: Mapping[datetime, date]) -> DataFrame:
    """A small frame of (`as_of`, `__day`): each instant and the local day that begins at it."""
    return like.sparkSession.createDataFrame(sorted(as_ofs.items()), "as_of timestamp, __day date")


def reached(tiles: DataFrame, asked: Sequence[Asked], days: tuple[int | None, int]) -> DataFrame:
    """The tiles that some `as_of` may look at.

    Parameters: `days` = (from, to) bounds of the hop relative to the `as_of`'s day, half-open; from None = since ever.
    Features look at (None, 0), a label of 30 days at (0, 30).
    """
    from pyspark.sql import functions as F

    first, end = days
    near = (F.col("hop") < F.lit(max(day for _, day, _ in asked) + timedelta(days=end))) & (
        F.col("known_at") <= F.lit(max(by for _, _, by in asked))
    )
    if first is not None:
        near = near & (F.col("hop") >= F.lit(min(day for _, day, _ in asked) + timedelta(days=first)))
    return tiles.where(near)


def as_known(known: DataFrame, key: Sequence[str], several: Mixed) -> DataFrame:
    """The tiles with the instant from which on each is replaced (null: never); `several` are the days that have tiles of several instants."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    following = Window.partitionBy(*key, "hop").orderBy("known_at").rowsBetween(1, 1)
    replaced = several.within(known).withColumn(_KNOWN_UNTIL, F.first("known_at").over(following))
    return several.without(known).withColumn(_KNOWN_UNTIL, F.lit(None).cast("timestamp")).unionByName(replaced)


def beside(known: DataFrame, asked: Sequence[Asked], fits: Column) -> DataFrame:
    """Each tile beside each `as_of` (and its `__day`) at which it is the one that counts, where `fits` holds of the two."""
    from pyspark.sql import functions as F

    when = known.sparkSession.createDataFrame(list(asked), "as_of timestamp, __day date, __known_by timestamp")
    by = F.col("__known_by")
    counts = (F.col("known_at") <= by) & (F.col(_KNOWN_UNTIL).isNull() | (F.col(_KNOWN_UNTIL) > by))
    return known.join(F.broadcast(when), on=fits & counts, how="inner")


def features(tiles: DataFrame, view: View, as_ofs: Mapping[datetime, date], timezone: str, joined: Sequence[DataFrame] = ()) -> DataFrame:
    """One row for each entity with a tile by each `as_of`: key, `as_of`, and all feature columns.

    `joined` are the tiles of the sources that the view joins, in its order. Each is looked at as it was known at the `as_of`;
    it adds columns and never a row. Runs a query over each source's tiles at once.
    """
    from pyspark.sql import functions as F

    base = aggregated(tiles, view, as_ofs, timezone)
    for part, part_tiles in zip(view.joined, joined, strict=True):
        known = aggregated(part_tiles, part, as_ofs, timezone)
        base = base.join(known, on=[*part.entity, "as_of"], how="left")
        # Of whom a source says nothing, nothing happened there: none, not unknown.
        none = {o: NOTHING[o.aggregate.function] for o in outputs(part) if o.aggregate.function in NOTHING}
        base = base.withColumns({o.name: F.coalesce(F.col(o.name), F.expr(text).cast(o.type)) for o, text in none.items()})
    for derived in view.derived:
        base = base.withColumn(derived.name, F.expr(derived.expression).cast(derived.type))
    return base.select(*view.entity, "as_of", *(name for name, _ in feature_columns(view)))


def aggregated(tiles: DataFrame, view: Facts, as_ofs: Mapping[datetime, date], timezone: str) -> DataFrame:
    """One row for each entity with a tile by each `as_of`: key, `as_of`, and the aggregates of one source."""
    from pyspark.sql import functions as F

    # Local days, as windows are: a day later is not 24 hours later when the clocks change.
    delay = timedelta(days=view.availability_delay_days)
    asked = [(at, day, clock.midnight(day - delay, timezone)) for at, day in sorted(as_ofs.items())]
    near = reached(tiles, asked, (None, 0))
    known = as_known(near, view.entity, mixed(near, view.entity, "known_at"))
    if len(asked) == 1:
        ever, rows = "true", beside(known, asked, F.col("hop") < F.col("__day"))
    else:
        ever, rows = "{hop} IS NULL", _in_reach(known, view, asked)
    columns = [F.expr(_over_window(o, timezone, ever)).cast(o.type).alias(o.name) for o in outputs(view)]
    events = F.expr(f"sum(CASE WHEN {ever.format(hop='hop')} THEN {EVENTS} END)").alias("__events")
    base = rows.groupBy(*view.entity, "as_of", "__day").agg(events, *columns).where("__events > 0")
    return base.select(*view.entity, "as_of", *(o.name for o in outputs(view)))


def _in_reach(known: DataFrame, view: Facts, asked: Sequence[Asked]) -> DataFrame:
    """For several `as_of`s: rows of all history, without a hop, and beside them each tile only where a window reaches it.

    A tile of long ago would else stand beside each `as_of`. All history is merged by the first `as_of` that sees a tile,
    before it stands beside that one and each later one.
    """
    from pyspark.sql import functions as F

    widest = max((o.days for o in outputs(view) if o.days is not None), default=0)
    ever = {o.aggregate.name for o in outputs(view) if o.days is None}
    windowed = {o.aggregate.name for o in outputs(view) if o.days is not None}
    merges = {name: text for a in view.aggregates if a.name in ever for name, text in folded(a, view).items()}
    unasked = [s.name for a in view.aggregates if a.name not in windowed for s in states(a, view)]
    place = F.lit(None).cast("int")
    for n, (_, day, by) in reversed(list(enumerate(asked))):
        place = F.when((F.col("hop") < F.lit(day)) & (F.col("known_at") <= F.lit(by)), n).otherwise(place)
    sums = [F.expr(text).alias(name) for name, text in {EVENTS: f"sum({EVENTS})", **merges}.items()]
    history = known.groupBy(*view.entity, _KNOWN_UNTIL, place.alias("__place")).agg(*sums).where("__place IS NOT NULL")
    seen = F.array(*(F.lit(day - timedelta(days=1)) for _, day, _ in asked))
    since = F.array(*(F.lit(by) for _, _, by in asked))
    rows = history.withColumns({_SEEN: seen[F.col("__place")], "known_at": since[F.col("__place")]}).drop("__place")
    near = known.where(F.col("hop") >= F.lit(asked[0][1] - timedelta(days=widest))).withColumn(_SEEN, F.col("hop")).drop(EVENTS, *unasked)
    # Brought together before they stand beside every `as_of`, which makes many rows of one.
    rows = near.unionByName(rows, allowMissingColumns=True).repartition(*view.entity)
    fits = (F.col(_SEEN) < F.col("__day")) & (F.col("hop").isNull() | (F.col("hop") >= F.date_sub(F.col("__day"), widest)))
    return beside(rows, asked, fits)


def outcomes(tiles: DataFrame, view: View, as_ofs: Mapping[datetime, date], known_by: datetime, horizon_days: int) -> DataFrame:
    """The view's aggregates over the horizon from each `as_of`, as known at `known_by`; entities without an event have no row."""
    from pyspark.sql import functions as F

    # What happened is judged by what is known at the run, not at the `as_of`.
    asked = [(at, day, known_by) for at, day in sorted(as_ofs.items())]
    # A horizon's tiles are few: to sort them costs less than to ask first which need it.
    known = as_known(reached(tiles, asked, (0, horizon_days)), view.entity, everywhere(view.entity))
    fits = (F.col("hop") >= F.col("__day")) & (F.col("hop") < F.date_add(F.col("__day"), horizon_days))
    whole = [Output(a.name, "", a, None) for a in view.aggregates if not a.function.startswith("days_since")]
    rows = beside(known, asked, fits)
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


def _over_window(output: Output, timezone: str, ever: str) -> str:
    def within(days: int | None) -> str:
        return ever if days is None else f"{{hop}} >= date_add(__day, -{days})"

    return merged(output, within, f"datediff(__day, to_date(from_utc_timestamp({{at}}, '{timezone}')))")
