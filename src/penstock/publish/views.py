"""What leaves the lake as tables: the newest score of each entity, and the flat table that CRM tools read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from penstock.config.publish import PublishConfig
from penstock.lake.tables import Column
from penstock.publish.answers import Shown

if TYPE_CHECKING:
    from pyspark.sql import Column as SparkColumn
    from pyspark.sql import DataFrame


def latest(
    cohort: DataFrame, current: DataFrame, key: Sequence[str], as_of: datetime, promotion: int, config: PublishConfig, shown: Shown
) -> DataFrame:
    """What the latest table should say: the whole newest cohort, and a tombstone for each active entity that has left it.

    Parameters: `cohort` holds all answers of one `as_of` by the Production version; `current` is the table as it is. Who has
    a newer row than this cohort has not left it.
    """
    from pyspark.sql import functions as F

    columns = [*key, "as_of", "model_version", "promotion", *shown.latest_business, "reasons"]
    fresh = cohort.withColumns({**shown.published(config), "promotion": F.lit(promotion), "is_active": F.lit(True)})
    active = current.where(F.col("is_active") & (F.col("as_of") <= F.lit(as_of)))
    gone = active.join(cohort.select(*key), on=list(key), how="left_anti").withColumn("is_active", F.lit(False))
    return fresh.select(*columns).unionByName(gone.select(*columns))


def latest_changes(desired: DataFrame, current: DataFrame, key: Sequence[str], at: datetime, shown: Shown) -> DataFrame:
    """The rows of `desired` that are new, newer by (`as_of`, promotion), or the same age with another business value."""
    from pyspark.sql import functions as F

    both = desired.join(_before(current, key, ("as_of", "promotion", *shown.latest_business)), on=list(key), how="left")
    age = F.struct("as_of", "promotion")
    was = F.struct(F.col("__as_of").alias("as_of"), F.col("__promotion").alias("promotion"))
    write = F.col("__as_of").isNull() | (age > was) | ((age == was) & _differs(shown.latest_business))
    return both.where(write).select(*desired.columns).withColumn("updated_at", F.lit(at))


def crm_changes(published: DataFrame, current: DataFrame, key: Sequence[str], at: datetime, column: str, shown: Shown) -> DataFrame:
    """The rows of the CRM table that have to change, from the latest table as it is now; `column` is the answer's there.

    An entity of the control group is never contacted: it is left out, or tombstoned when it was there before.
    `updated_at` is the clock or one microsecond after the row's last one, whichever is later, so that it only grows.
    """
    from pyspark.sql import functions as F

    contactable = F.col("is_active") & ~F.col("is_control")
    business = shown.crm_business(column)
    values = [value.alias(name) for name, value in shown.crm_values(column).items()]
    desired = published.select(*key, *values, contactable.alias("is_active"))
    both = desired.join(_before(current, key, (*business, "updated_at")), on=list(key), how="left")
    new = F.col("__is_active").isNull()
    grown = F.greatest(F.lit(at), F.col("__updated_at") + F.expr("INTERVAL '0.000001' SECOND"))
    # A row that stays a tombstone is not touched, whatever its score does.
    gone_already = ~F.col("is_active") & ~F.coalesce(F.col("__is_active"), F.lit(False))
    write = ~gone_already & (new | _differs(business))
    return both.where(write).select(*desired.columns, grown.alias("updated_at"))


def _before(current: DataFrame, key: Sequence[str], columns: Sequence[str]) -> DataFrame:
    from pyspark.sql import functions as F

    return current.select(*key, *(F.col(c).alias(f"__{c}") for c in columns))


def _differs(columns: Sequence[str]) -> SparkColumn:
    from pyspark.sql import functions as F

    different = F.lit(False)
    for name in columns:
        different = different | ~F.col(name).eqNullSafe(F.col(f"__{name}"))
    return different


def key_names(key: Sequence[Column]) -> tuple[str, ...]:
    """The names of key columns."""
    return tuple(name for name, _ in key)
