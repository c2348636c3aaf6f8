"""The candidates of a view's new `as_of`s: which items may be shown to whom, made from its tiles and appended before the feature rows.

A feature row says that its `as_of` is done, so that a run killed between the two appends finds the candidates there, and
makes only the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from penstock import clock
from penstock.features import versions
from penstock.features.candidates.build import candidates
from penstock.features.versions import ViewVersion
from penstock.lake import tables
from penstock.lake.session import many_rows
from penstock.stage import Run

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from penstock.config.model import View

_GROUP = "__group"


def append(run: Run, version: ViewVersion, tiles: DataFrame, rows: DataFrame, days: Sequence[date], at: int) -> dict[str, int]:
    """Add the candidates for the entities of feature rows; gives the table's new version, and nothing where they are there already.

    `tiles` are those of version `at` of their table, of which the rows are made.
    """
    from pyspark.sql import functions as F

    if version.view.candidates is None:
        return {}
    declared, table = version.view.candidates, versions.candidate_table(run, version)
    as_ofs = {run.instant(day): day for day in days if day not in _existing(run, table)}
    if not as_ofs:
        return {}
    with many_rows(run.lake.spark):
        found = None
        for number, some in enumerate(_together(tiles, version.view, as_ofs, run.contract.timezone)):
            log = history(tiles, version.view, some, run.contract.timezone)
            groups = rows.where(F.col("as_of").isin([F.lit(instant) for instant in some]))
            group = F.lit(None).cast("string") if declared.group_by is None else F.col(declared.group_by).cast("string")
            asked = groups.select(*version.view.entity, "as_of", group.alias(_GROUP))
            made = candidates(log, asked, some, version.view.entity, _GROUP, declared, partial(_staged, run, f"{table.name}-{number}"))
            found = made if found is None else found.unionByName(made)
        assert found is not None
        kept = run.staged(table.name, found)
        run.progress.step("features.paired")
        span = {"_from_version": F.lit(at), "_to_version": F.lit(at), "run_id": F.lit(run.run_id)}
        done = run.append("view", table, "features", days, kept.withColumns(span))
        run.progress.step("features.candidates_appended", done.rows)
    return {table.name: done.version}


def _staged(run: Run, prefix: str, name: str, frame: DataFrame) -> DataFrame:
    return run.staged(f"{prefix}-{name}", frame)


def history(tiles: DataFrame, view: View, as_ofs: Mapping[datetime, date], timezone: str) -> DataFrame:
    """Who chose what on which day, each once, as known at the last of the `as_ofs`: key, `hop`, `item`."""
    day = max(as_ofs.values())
    return _chosen(tiles, view, day, clock.midnight(day - timedelta(days=view.availability_delay_days), timezone))


def _chosen(tiles: DataFrame, view: View, until: date, known_by: datetime) -> DataFrame:
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    assert view.candidates is not None
    known = tiles.where((F.col("hop") < F.lit(until)) & (F.col("known_at") <= F.lit(known_by)))
    last = Window.partitionBy(*view.entity, "hop").orderBy(F.desc("known_at")).rowsBetween(Window.unboundedPreceding, Window.currentRow)
    valid = known.withColumn("__last", F.row_number().over(last)).where("__last = 1")
    return valid.select(*view.entity, "hop", F.explode(f"{view.candidates.items}__values").alias(tables.ITEM[0]))


def chosen_before(tiles: DataFrame, view: View, as_ofs: Mapping[datetime, date], known_by: datetime) -> DataFrame:
    """The items that anybody had chosen before each `as_of`, as is known at `known_by`: `as_of`, `__known` (array of text)."""
    from pyspark.sql import functions as F

    log = _chosen(tiles, view, max(as_ofs.values()), known_by).groupBy(tables.ITEM[0]).agg(F.min("hop").alias("__first"))
    when = tiles.sparkSession.createDataFrame(sorted(as_ofs.items()), "as_of timestamp, __day date")
    beside = log.join(F.broadcast(when), on=F.col("__first") < F.col("__day"), how="inner")
    return beside.groupBy("as_of").agg(F.collect_set(tables.ITEM[0]).alias("__known"))


def _together(tiles: DataFrame, view: View, as_ofs: Mapping[datetime, date], timezone: str) -> list[dict[datetime, date]]:
    """The `as_of`s that may be looked at in one pass, since all saw the same of the days before them; else each alone."""
    from pyspark.sql import functions as F

    if len(as_ofs) == 1:
        return [dict(as_ofs)]
    delay = timedelta(days=view.availability_delay_days)
    asked = [(day, clock.midnight(day - delay, timezone)) for day in as_ofs.values()]
    when = tiles.sparkSession.createDataFrame(asked, "__day date, __by timestamp")
    newest = max(by for _, by in asked)
    # A tile that some as_of could not know yet, though its day was over, and that a later one knows.
    later = tiles.where(F.col("known_at") <= F.lit(newest)).join(
        F.broadcast(when), on=(F.col("hop") < F.col("__day")) & (F.col("known_at") > F.col("__by")), how="left_semi"
    )
    return [dict(as_ofs)] if later.isEmpty() else [{instant: day} for instant, day in sorted(as_ofs.items())]


def _existing(run: Run, table: tables.Table) -> set[date]:
    from pyspark.sql import functions as F

    if not run.lake.exists(table):
        return set()
    found = run.lake.read(table).select(F.unix_micros("as_of")).distinct().collect()
    return {clock.local_day(clock.from_epoch(row[0]), run.contract.timezone) for row in found}
