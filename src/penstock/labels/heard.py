"""The outcomes table: how each row of a label's own source stands beside the labels, counted and kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from penstock.labels import said
from penstock.labels.origin import OfRows, Origin
from penstock.lake import tables
from penstock.stage import Run

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Heard:
    """Versions in (`after`, `to`] of the source's files say something anew of rows of the days from `first` on; None: of no day that there is."""

    source: str
    after: int
    to: int
    first: date | None


def plan(run: Run, origin: Origin, to: int) -> Heard | None:
    """What came since the table was last written; None when nothing did, or labels come from tiles."""
    if not isinstance(origin, OfRows) or to < 0:
        return None
    after = _cursor(run)
    if to <= after:
        return None
    if after < 0:
        return Heard(origin.source, after, to, date.min)
    hops, label = origin.changed_hops(run, after, to), run.pipeline.label
    # Rows of earlier days may speak of the same labels as a new one, and stand otherwise beside it.
    reach = timedelta(days=0 if label.about else label.horizon_days - 1)
    return Heard(origin.source, after, to, hops[0] - reach if hops else None)


def apply(run: Run, chosen: Heard) -> tuple[dict[str, int], dict[str, int]]:
    """Counts by standing of the rows that were written, and the table's version."""
    from pyspark.sql import functions as F

    table = tables.outcomes(run.pipeline.name, run.key)
    run.lake.create(table)
    rows = OfRows(chosen.source).rows(run, chosen.to, run.as_of)
    desired = _concerned(said.standings(rows, *_labels(run, rows), run.pipeline.features.entity), chosen)
    changes = said.standing_changes(desired, _concerned(run.lake.read(table), chosen))
    changed = run.staged(f"outcomes-{run.pipeline.name}", changes)
    counts = {row["standing"]: row["count"] for row in changed.groupBy("standing").count().collect()}
    if not counts:
        return {}, {}
    span = {"_from_version": F.lit(chosen.after + 1), "_to_version": F.lit(chosen.to), "run_id": F.lit(run.run_id)}
    done = run.lake.merge(table, changed.withColumns(span), [c for c in table.column_names if c not in table.key])
    run.progress.step("labels.heard", done.rows)
    return counts, {table.name: done.version}


def _labels(run: Run, rows: DataFrame) -> tuple[DataFrame, DataFrame]:
    """The rows beside the `as_of`s that they speak of, and the members that have labels."""
    from pyspark.sql import functions as F

    labels = run.lake.read(tables.labels(run.pipeline.name, run.key)).where(F.col("as_of") <= F.lit(run.as_of))
    day = F.to_date(F.from_utc_timestamp("as_of", run.contract.timezone))
    instants = labels.select("as_of", day.alias("__day")).distinct()
    return said.spoken(rows, instants, run.pipeline.label), labels


def _concerned(rows: DataFrame, chosen: Heard) -> DataFrame:
    """Rows of the days that something was said of, and those without a day."""
    from pyspark.sql import functions as F

    if chosen.first == date.min:
        return rows
    dayless = F.col("hop").isNull()
    return rows.where(dayless if chosen.first is None else dayless | (F.col("hop") >= F.lit(chosen.first)))


def _cursor(run: Run) -> int:
    from pyspark.sql import functions as F

    table = tables.outcomes(run.pipeline.name, run.key)
    if not run.lake.exists(table):
        return -1
    found = run.lake.read(table).agg(F.max("_to_version")).collect()[0][0]
    return -1 if found is None else int(found)
