"""What leaves the lake as tables: the newest score of each entity, and the flat table that CRM tools read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from penstock.config.publish import PublishConfig
from penstock.lake.tables import Column

if TYPE_CHECKING:
    from pyspark.sql import Column as SparkColumn
    from pyspark.sql import DataFrame

LATEST_BUSINESS = ("score", "band", "is_control", "is_active")
"""Columns of the latest table whose change is a change for its readers; `score` is rounded as declared."""
CRM_REASONS = ("reason_1", "reason_2", "reason_3")
"""Words, and no business values: they are written with the score that they belong to, and do not move a row by themselves."""
CRM_BUSINESS = ("risk_band", "is_active")
"""Columns of the CRM table whose change moves a row, beside the score's own."""


def band(score: SparkColumn, config: PublishConfig) -> SparkColumn:
    """The name of the last band whose lower bound the rounded score reaches; empty without bands."""
    from pyspark.sql import functions as F

    named = F.lit("")
    for name, lower in config.bounds():
        named = F.when(score >= F.lit(float(lower)), F.lit(name)).otherwise(named)
    return named


def latest(cohort: DataFrame, current: DataFrame, key: Sequence[str], as_of: datetime, promotion: int, config: PublishConfig) -> DataFrame:
    """What the latest table should say: the whole newest cohort, and a tombstone for each active entity that has left it.

    Parameters: `cohort` holds all scores of one `as_of` by the Production version; `current` is the table as it is. Who has
    a newer row than this cohort has not left it.
    """
    from pyspark.sql import functions as F

    rounded = F.round(F.col("score"), config.digits)
    columns = [*key, "as_of", "score", "model_version", "promotion", "band", "is_control", "is_active", "reasons"]
    fresh = cohort.withColumns({"score": rounded, "band": band(rounded, config), "promotion": F.lit(promotion), "is_active": F.lit(True)})
    active = current.where(F.col("is_active") & (F.col("as_of") <= F.lit(as_of)))
    gone = active.join(cohort.select(*key), on=list(key), how="left_anti").withColumn("is_active", F.lit(False))
    return fresh.select(*columns).unionByName(gone.select(*columns))


def latest_changes(desired: DataFrame, current: DataFrame, key: Sequence[str], at: datetime) -> DataFrame:
    """The rows of `desired` that are new, newer by (`as_of`, promotion), or the same age with another business value."""
    from pyspark.sql import functions as F

    both = desired.join(_before(current, key, ("as_of", "promotion", *LATEST_BUSINESS)), on=list(key), how="left")
    age = F.struct("as_of", "promotion")
    was = F.struct(F.col("__as_of").alias("as_of"), F.col("__promotion").alias("promotion"))
    write = F.col("__as_of").isNull() | (age > was) | ((age == was) & _differs(LATEST_BUSINESS))
    return both.where(write).select(*desired.columns).withColumn("updated_at", F.lit(at))


def crm_changes(published: DataFrame, current: DataFrame, key: Sequence[str], at: datetime, value: str = "probability") -> DataFrame:
    """The rows of the CRM table that have to change, from the latest table as it is now; `value` is the score's column there.

    An entity of the control group is never contacted: it is left out, or tombstoned when it was there before.
    `updated_at` is the clock or one microsecond after the row's last one, whichever is later, so that it only grows.
    """
    from pyspark.sql import functions as F

    contactable = F.col("is_active") & ~F.col("is_control")
    words = [F.get("reasons", at).alias(name) for at, name in enumerate(CRM_REASONS)]
    business = (value, *CRM_BUSINESS)
    score, band_ = F.col("score").alias(value), F.col("band").alias("risk_band")
    desired = published.select(*key, score, band_, *words, contactable.alias("is_active"))
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
