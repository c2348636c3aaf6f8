"""The labelled rows at recorded table versions, and the record of what a training was made from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from penstock import clock
from penstock.config.candidates import COMMON as COMMON_COLUMN
from penstock.config.load import digest_of
from penstock.errors import DataError
from penstock.features import examples, versions
from penstock.features.versions import ViewVersion
from penstock.kinds.ranking import CHOSEN, COMMON, PLACES
from penstock.lake import tables
from penstock.stage import Run
from penstock.training.rows import Rows, labelled_rows
from penstock.training.split import holdout

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame

RECORD, SCORES = "training.json", "holdout_scores.json"
"""Where a training run keeps what the registry reads."""


@dataclass(frozen=True)
class Record:
    """What a candidate was made from: enough to make its rows again from the tables."""

    pipeline: str
    as_of: date
    features: int
    labels: int
    train_days: tuple[date, ...]
    holdout_days: tuple[date, ...]
    train_rows: int
    holdout_rows: int
    rows_digest: str
    """Of the holdout's (as_of, key) in order: the rows to which the kept scores belong."""
    calibration: tuple[tuple[float, float, int], ...] = ()
    gain: tuple[tuple[float, float], ...] = ()
    importances: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    centre: float | None = None
    """What a constant baseline says, from the training's labels; None where the kind knows none."""
    profit: tuple[tuple[float, float], ...] = ()
    """Share contacted in order of score, and realised profit a list; empty where the purpose names no amounts."""

    def to_json(self) -> str:
        """The record as text."""
        return json.dumps(asdict(self), default=str, indent=1)


def record_from_json(text: str) -> Record:
    """The record that `to_json` wrote."""
    found: dict[str, Any] = json.loads(text)
    for name in ("train_days", "holdout_days"):
        found[name] = tuple(date.fromisoformat(day) for day in found[name])
    for name in ("calibration", "gain", "profit", "notes"):
        found[name] = tuple(tuple(point) if isinstance(point, list) else point for point in found.get(name, ()))
    return Record(**(found | {"as_of": date.fromisoformat(found["as_of"])}))


def labelled(run: Run, features: int, labels: int, days: Sequence[date] | None = None, *, view: ViewVersion | None = None) -> DataFrame:
    """Key, `as_of`, the view's columns and `label` of every row whose outcome was known by the run's `as_of`.

    The rows are of version `view` of the run's view, the configuration's when absent.
    Decimals leave as doubles: the model computes with doubles anyway, and both paths must see the same value.
    """
    from pyspark.sql import functions as F

    version = view or versions.current(run)
    _, feature_table = versions.view_tables(run, version)
    label_table = tables.labels(run.pipeline.name, run.key)
    outcome = _known(run, labels).select(*label_table.key, "label")
    columns = [
        F.col(n).cast("double").alias(n) if kind.startswith("decimal") else F.col(n)
        for n, kind in feature_table.columns
        if not n.startswith("_") and n != "run_id" and not kind.startswith("array")
    ]
    rows = versions.rows(run, version, features).select(*columns)
    if days is not None:
        rows = rows.where(F.col("as_of").isin([F.lit(run.instant(day)) for day in days]))
    return _LABELLED[run.pipeline.kind](run, rows.join(outcome, on=list(label_table.key), how="inner"), version)


def history(run: Run, labels: int) -> tuple[date, ...] | None:
    """The days of the cohorts that a training uses, where the configuration leaves some out; None for all.

    Those between the training cohorts and the holdout are not read: of a ranking they are as many rows as the others.
    """
    from pyspark.sql import functions as F

    config = run.pipeline.training
    if config.history_start is None and config.max_cohorts is None:
        return None
    found = _known(run, labels).select(F.unix_micros("as_of")).distinct().collect()
    days = sorted(clock.local_day(clock.from_epoch(row[0]), run.contract.timezone) for row in found)
    late = [day for day in days if config.history_start is None or day >= config.history_start]
    chosen = tuple(late[-config.max_cohorts :] if config.max_cohorts else late)
    label = run.pipeline.label
    try:
        split = holdout([day.toordinal() for day in chosen], cohorts=config.holdout_cohorts, horizon=label.horizon_days + label.delay_days)
    except DataError:
        return chosen  # too few, which the training tells with its own words
    return tuple(day for day in chosen if day.toordinal() in {*split.train, *split.test})


def _known(run: Run, labels: int) -> DataFrame:
    """The labels that were known by the run's `as_of`."""
    from pyspark.sql import functions as F

    known = F.col("state").isin("matured", "revised") & (F.col("matured_at") <= F.lit(run.as_of)) & F.col("label").isNotNull()
    return run.lake.read(tables.labels(run.pipeline.name, run.key), labels).where(known)


def rows_of(run: Run, frame: pd.DataFrame) -> Rows:
    """The labelled rows of a frame of `labelled`, in order. Raises DataError as `labelled_rows` does."""
    within = [name for name, _ in examples.within(run)]
    return labelled_rows(frame, key=run.pipeline.features.entity, within=within, kind=run.kind)


_PARTS = 16


def _itself(run: Run, rows: DataFrame, version: ViewVersion) -> DataFrame:  # noqa: ARG001 - each row has its label
    return rows


def _items(run: Run, rows: DataFrame, version: ViewVersion) -> DataFrame:
    """A row an item: whether it is among those that the entity chose. Who chose none teaches no order, and is no case."""
    from pyspark.sql import functions as F

    # In parts that the driver takes one after the other: of two, each would be a hundred megabytes, and Spark loses such results.
    pairs = examples.of(run, rows.where(F.size("label") > 0), version).repartition(_PARTS, *(name for name, _ in run.key))
    return pairs.withColumns(
        {
            CHOSEN: F.size("label"),
            PLACES: F.lit(run.pipeline.lists.length),
            COMMON: F.col(COMMON_COLUMN),
            "label": F.array_contains("label", F.col(tables.ITEM[0])).cast("double"),
        }
    )


_LABELLED = {"classification": _itself, "regression": _itself, "ranking": _items}
"""By kind: entities with their labels as the rows that a model learns from and is judged by."""


def rows_digest(as_of: Sequence[object], names: Sequence[object]) -> str:
    """A digest of row keys in order, so that scores can be kept without the keys they belong to."""
    return digest_of([[str(a), str(e)] for a, e in zip(as_of, names, strict=True)])
