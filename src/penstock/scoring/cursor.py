"""Where scoring stands, read from the newest rows alone where these can tell: a history ten times as long costs no more.

Tables are appended in order of `as_of`, so that Delta's statistics leave nearly all files of a long history unread.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from penstock import clock
from penstock.scoring.plan import Scored

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

COHORTS = 4
"""How many cohorts back counts as newest: as many scheduled runs may be missed before the whole table is read."""


def newest_as_of(features: DataFrame, until: datetime, reach: timedelta) -> datetime | None:
    """The newest `as_of` of feature rows, not after `until`; looked for in the `reach` before it, and only then everywhere."""
    from pyspark.sql import functions as F

    known = features.where(F.col("as_of") <= F.lit(until))
    for rows in (known.where(F.col("as_of") > F.lit(until - reach)), known):
        found = rows.agg(F.unix_micros(F.max("as_of"))).collect()[0][0]
        if found is not None:
            return clock.from_epoch(found)
    return None


def scored(predictions: DataFrame, version: int, newest: datetime, reach: timedelta) -> Scored:
    """What the predictions say of a model version, when `newest` is the newest `as_of` with features.

    A version's regular scores grow in `as_of` and in `_to_version` together, so that those of its newest `as_of` hold its
    cursor: when it has some in the `reach` before `newest` or later, they and what stands beside them say all. Else the
    rows of this version are read, in all files that hold any; what others scored further back is older than `newest` anyway.
    """
    from pyspark.sql import functions as F

    regular = ~F.col("backfill")
    recent = predictions.where(F.col("as_of") > F.lit(newest - reach))
    own = F.col("model_version") == version
    row = recent.agg(
        F.max(F.when(own & _counts(newest), F.col("_to_version"))).alias("cursor"),
        F.unix_micros(F.max(F.when(regular, F.col("as_of")))).alias("newest"),
        F.count_if(own & regular).alias("regular"),
    ).collect()[0]
    cursor = row["cursor"]
    if not row["regular"]:
        cursor = predictions.where(own & _counts(newest)).agg(F.max("_to_version")).collect()[0][0]
    return Scored(-1 if cursor is None else int(cursor), None if row["newest"] is None else clock.from_epoch(row["newest"]))


def _counts(newest: datetime) -> Column:
    """A backfill moves the cursor of its own `as_of` alone: the same run again finds it done, and a newer one is still to be scored."""
    from pyspark.sql import functions as F

    return ~F.col("backfill") | (F.col("as_of") == F.lit(newest))
