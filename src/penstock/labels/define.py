"""The label of each member of a cohort, as frames: population, value of the outcome, state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.config import kinds
from penstock.config.label import Label
from penstock.config.load import digest_of
from penstock.config.model import Pipeline
from penstock.features.asof import horizon_columns
from penstock.features.spec import NOTHING
from penstock.labels.mature import Cohort
from penstock.lake.expressions import normalised

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


UNSAID = "unsaid"
"""The state of a member of whom nothing is said though its cohort has matured. It is written as censored; a cohort that is censored
for its missing files takes no label back, and this does."""


def definition(label: Label) -> str:
    """A digest of the question that a label answers; words and the days to wait for late files are no part of it."""
    return digest_of(label.model_dump(mode="json", exclude={"positive", "delay_days"}) | {"expression": normalised(label.expression)})


def members(features: DataFrame, pipeline: Pipeline) -> DataFrame:
    """Key and `as_of` of the feature rows that belong to the population."""
    from pyspark.sql import functions as F

    return features.where(F.expr(pipeline.population)).select(*pipeline.features.entity, "as_of")


def standing_members(population: DataFrame, standings: DataFrame) -> DataFrame:
    """Each member with its cohort's `state` and `matured_at`; `standings` has them by `as_of`."""
    from pyspark.sql import functions as F

    return population.join(F.broadcast(standings), on="as_of", how="inner")


def labelled(standing: DataFrame, outcomes: DataFrame, pipeline: Pipeline) -> DataFrame:
    """Each member once, with `label`, `state` and `matured_at`; a label only where the cohort has matured.

    `outcomes` are the view's aggregates over the horizon, without a row for an entity that had no event.
    """
    from pyspark.sql import functions as F

    view, key = pipeline.features, [*pipeline.features.entity, "as_of"]
    joined = standing.join(outcomes, on=key, how="left")
    # An entity without an event in the horizon has counts and sums of nothing: zero, not unknown.
    for name, aggregate in horizon_columns(view).items():
        if aggregate.function in NOTHING:
            joined = joined.withColumn(name, F.coalesce(F.col(name), F.expr(NOTHING[aggregate.function])))
    outcome = F.expr(pipeline.label.expression).cast(kinds.LABEL_TYPES[pipeline.kind])
    value = F.when(F.col("state") == "matured", outcome)
    return joined.select(*key, value.alias("label"), "state", "matured_at")


def labelled_by_rows(standing: DataFrame, said: DataFrame, pipeline: Pipeline) -> DataFrame:
    """The same from what a source says: `said` has `value` and `since`, when it became known, for each (entity, `as_of`) that it speaks of.

    Of whom nothing was said by the time the cohort matured is labelled 0 where the configuration says so, else `unsaid`: censored
    until something is said.
    """
    from pyspark.sql import functions as F

    key = [*pipeline.features.entity, "as_of"]
    joined = standing.join(said, on=key, how="left")
    matured, spoken = F.col("state") == "matured", F.col("value").isNotNull()
    absent = F.lit(0.0 if pipeline.label.absent == "negative" else None).cast("double")
    label = F.when(matured, F.coalesce("value", absent))
    state = F.when(matured & label.isNull(), UNSAID).otherwise(F.col("state"))
    since = F.when(matured & spoken, F.greatest("matured_at", "since")).otherwise(F.col("matured_at"))
    return joined.select(*key, label.alias("label"), state.alias("state"), since.alias("matured_at"))


def standings_frame(like: DataFrame, cohorts: Sequence[tuple[Cohort, object]]) -> DataFrame:
    """A small frame of (`as_of`, `state`, `matured_at`) from (cohort, instant) pairs."""
    rows = [(instant, cohort.state, cohort.since) for cohort, instant in cohorts]
    return like.sparkSession.createDataFrame(rows, "as_of timestamp, state string, matured_at timestamp")


def changes(desired: DataFrame, current: DataFrame, key: Sequence[str]) -> DataFrame:
    """The rows to write: new members, those whose state moved, matured labels that turned out otherwise (`revised`), and new word of a treatment."""
    from pyspark.sql import functions as F

    columns = ("label", "state", "revision", "matured_at", "treated")
    was = current.select(*key, *(F.col(c).alias(f"__{c}") for c in columns))
    both = desired.join(was, on=list(key), how="left")
    settled = F.col("__state").isin("matured", "revised")
    differs = settled & F.col("state").isin("matured", UNSAID) & ~F.col("label").eqNullSafe(F.col("__label"))
    state = F.when(F.col("state") == UNSAID, "censored").otherwise(F.col("state"))
    moved = F.col("__state").isNull() | (~settled & (state != F.col("__state")))
    told = ~F.col("treated").eqNullSafe(F.col("__treated"))
    return both.where(moved | differs | told).select(
        *key,
        F.when(moved | differs, F.col("label")).otherwise(F.col("__label")).alias("label"),
        F.when(differs, F.lit("revised")).when(moved, state).otherwise(F.col("__state")).alias("state"),
        F.when(moved, F.col("matured_at")).otherwise(F.col("__matured_at")).alias("matured_at"),
        F.when(differs, F.col("__revision") + 1).when(moved, F.lit(0)).otherwise(F.col("__revision")).alias("revision"),
        "treated",
    )
