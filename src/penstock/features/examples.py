"""What a model takes, a row each: an entity's features, or where its view has candidates, those of each (entity, item) beside them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from penstock.features import versions
from penstock.features.versions import ViewVersion
from penstock.lake import tables
from penstock.lake.session import many_rows
from penstock.stage import Run

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def within(run: Run) -> tuple[tables.Column, ...]:
    """The columns that tell the rows of one entity and `as_of` apart: the item, or none."""
    return () if run.pipeline.features.candidates is None else (tables.ITEM,)


def key(run: Run) -> tuple[tables.Column, ...]:
    """The columns that tell a row from every other."""
    return (*run.key, ("as_of", "timestamp"), *within(run))


def read(run: Run) -> AbstractContextManager[None]:
    """For a query over examples inside: of (entity, item) there are so many that a local session compiles it."""
    return nullcontext() if run.pipeline.features.candidates is None else many_rows(run.lake.spark)


def of(run: Run, rows: DataFrame, version: ViewVersion) -> DataFrame:
    """The examples of some feature rows of a version: the rows themselves, or their candidates with the rows' columns."""
    if version.view.candidates is None:
        return rows
    own = ("_from_version", "_to_version", "run_id")
    pairs = run.lake.read(versions.candidate_table(run, version)).drop(*own)
    return rows.drop(*own).join(pairs, on=[*(name for name, _ in run.key), "as_of"], how="inner")
