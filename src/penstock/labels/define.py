"""The label of each member of a cohort, as frames: population, outcome over the horizon, state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.config.model import Pipeline
from penstock.features.asof import horizon_columns
from penstock.features.spec import COUNTED
from penstock.labels.mature import Cohort

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def members(features: DataFrame, pipeline: Pipeline) -> DataFrame:
    """Key and `as_of` of the feature rows that belong to the population."""
    from pyspark.sql import functions as F

    return features.where(F.expr(pipeline.population)).select(*pipeline.features.entity, "as_of")


def labelled(population: DataFrame, outcomes: DataFrame, standings: DataFrame, pipeline: Pipeline) -> DataFrame:
    """Each member once, with `label`, `state` and `matured_at`; a label only where the cohort has matured.

    Parameters: `outcomes` are the view's aggregates over the horizon, without a row for an entity that had no event;
    `standings` has (`as_of`, `state`, `matured_at`).
    """
    from pyspark.sql import functions as F

    view, key = pipeline.features, [*pipeline.features.entity, "as_of"]
    joined = population.join(F.broadcast(standings), on="as_of", how="inner").join(outcomes, on=key, how="left")
    # An entity without an event in the horizon has counts and sums of nothing: zero, not unknown.
    for name, aggregate in horizon_columns(view).items():
        if aggregate.function in COUNTED:
            joined = joined.withColumn(name, F.coalesce(F.col(name), F.lit(0)))
    value = F.when(F.col("state") == "matured", F.expr(pipeline.label.expression).cast("double"))
    return joined.select(*key, value.alias("label"), "state", "matured_at")


def standings_frame(like: DataFrame, cohorts: Sequence[tuple[Cohort, object]]) -> DataFrame:
    """A small frame of (`as_of`, `state`, `matured_at`) from (cohort, instant) pairs."""
    rows = [(instant, cohort.state, cohort.since) for cohort, instant in cohorts]
    return like.sparkSession.createDataFrame(rows, "as_of timestamp, state string, matured_at timestamp")


def changes(desired: DataFrame, current: DataFrame, key: Sequence[str]) -> DataFrame:
    """The rows to write: new members, those whose state moved, and matured labels whose value turned out otherwise (`revised`)."""
    from pyspark.sql import functions as F

    was = current.select(*key, *(F.col(c).alias(f"__{c}") for c in ("label", "state", "revision", "matured_at")))
    both = desired.join(was, on=list(key), how="left")
    settled = F.col("__state").isin("matured", "revised")
    differs = settled & (F.col("state") == "matured") & ~F.col("label").eqNullSafe(F.col("__label"))
    moved = F.col("__state").isNull() | (~settled & (F.col("state") != F.col("__state")))
    return both.where(moved | differs).select(
        *key,
        "label",
        F.when(differs, F.lit("revised")).otherwise(F.col("state")).alias("state"),
        F.when(differs, F.col("__matured_at")).otherwise(F.col("matured_at")).alias("matured_at"),
        F.when(differs, F.col("__revision") + 1).otherwise(F.lit(0)).alias("revision"),
    )
