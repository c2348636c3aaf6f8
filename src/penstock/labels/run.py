"""The labels stage: cohorts that are due mature, new ones begin pending, and corrected files revise.

Outcomes are of the configuration's version of the view. When that is another than before, every cohort is looked at again:
labels that turn out the same stay, matured ones that do not are revised.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from penstock import clock
from penstock.features import asof, versions
from penstock.features.run import view_tables
from penstock.labels import define
from penstock.labels.mature import Cohort, affected, standing
from penstock.lake import tables
from penstock.landing.freshness import landed_days
from penstock.stage import Report, Run

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


_EVER = (date.min, date.max)


@dataclass(frozen=True)
class Plan:
    """The cohorts to look at, at these versions of the view and its tables; `missing` are days whose files hold cohorts back."""

    view_version: int
    features: int
    tiles: int
    cohorts: tuple[Cohort, ...]
    waiting: int
    missing: tuple[date, ...]


def plan(run: Run) -> Plan:
    """Which cohorts are new, due, or touched by tiles that came since the labels were last made."""
    number = versions.current(run).number
    tile_table, feature_table = view_tables(run)
    features, tiles = run.lake.version(feature_table), run.lake.version(tile_table)
    if features < 0:
        return Plan(number, features, tiles, (), 0, ())
    settled, cursor = _settled(run, number)
    hops = _EVER if settled and cursor is None else _changed_hops(run, tile_table, -1 if cursor is None else cursor, tiles)
    landed = landed_days(run, run.pipeline.source)
    chosen, waiting, missing = [], 0, set[date]()
    for day in _cohort_days(run, feature_table, features):
        now = _standing(run, day, landed)
        waiting += now.state == "pending"
        if now.state == "pending" and run.as_of >= _due(run, day):
            missing |= set(now.missing)
        was = settled.get(day)
        if was != now.state or (was == "matured" and affected(day, run.pipeline.label, hops)):
            chosen.append(now)
    return Plan(number, features, tiles, tuple(chosen), waiting, tuple(sorted(missing)))


def apply(run: Run, chosen: Plan) -> Report:
    """One MERGE of the rows that change; none when nothing does."""
    from pyspark.sql import functions as F

    inputs = {"features": chosen.features, "tiles": chosen.tiles}
    if not chosen.cohorts:
        return Report("labels", "nothing", _waiting(chosen, "up to date"), inputs=inputs)
    table = tables.labels(run.pipeline.name, run.key)
    run.lake.create(table)
    changed = run.staged(f"labels-{run.pipeline.name}", _changes(run, chosen, table))
    counts = {row["state"]: row["count"] for row in changed.groupBy("state").count().collect()}
    if not counts:
        return Report("labels", "nothing", _waiting(chosen, "no label changed"), inputs=inputs)
    span = {"_from_version": F.lit(0), "_to_version": F.lit(chosen.tiles), "run_id": F.lit(run.run_id)}
    span["view_version"] = F.lit(chosen.view_version)
    done = run.lake.merge(table, changed.withColumns(span), [c for c in table.column_names if c not in table.key])
    run.progress.step("labels.merged", done.rows)
    text = ", ".join(f"{counts[state]:,} {state}" for state in ("pending", "matured", "revised", "censored") if counts.get(state))
    return Report("labels", "done", _waiting(chosen, text), counts, inputs, {table.name: done.version})


def _changes(run: Run, chosen: Plan, table: tables.Table) -> DataFrame:
    from pyspark.sql import functions as F

    tile_table, feature_table = view_tables(run)
    pipeline = run.pipeline
    instants = {run.instant(cohort.day): cohort.day for cohort in chosen.cohorts}
    at = [F.lit(instant) for instant in instants]
    rows = run.lake.read(feature_table, chosen.features).where(F.col("as_of").isin(at))
    outcomes = asof.outcomes(run.lake.read(tile_table, chosen.tiles), pipeline.features, instants, run.as_of, pipeline.label.horizon_days)
    standings = define.standings_frame(rows, [(cohort, run.instant(cohort.day)) for cohort in chosen.cohorts])
    desired = define.labelled(define.members(rows, pipeline), outcomes, standings, pipeline)
    return define.changes(desired, run.lake.read(table).where(F.col("as_of").isin(at)), table.key)


def _standing(run: Run, day: date, landed: dict[date, datetime]) -> Cohort:
    return standing(day, run.pipeline.label, run.contract, landed, run.as_of, run.day, _due(run, day))


def _due(run: Run, day: date) -> datetime:
    label = run.pipeline.label
    return run.instant(day + timedelta(days=label.horizon_days + label.delay_days))


def _cohort_days(run: Run, feature_table: tables.Table, version: int) -> list[date]:
    from pyspark.sql import functions as F

    rows = run.lake.read(feature_table, version).where(F.col("as_of") <= F.lit(run.as_of))
    found = rows.select(F.unix_micros("as_of")).distinct().collect()
    return sorted(clock.local_day(clock.from_epoch(row[0]), run.contract.timezone) for row in found)


def _settled(run: Run, view_version: int) -> tuple[dict[date, str], int | None]:
    """Each cohort's state in the table (a revised one counts as matured), and the tiles version of the last labelling.

    That is None unless the newest cohort is wholly of this version of the view: what another one made since has to be looked at
    again, and its tiles count their own versions.
    """
    from pyspark.sql import functions as F

    table = tables.labels(run.pipeline.name, run.key)
    if not run.lake.exists(table):
        return {}, None
    state = F.when(F.col("state") == "revised", "matured").otherwise(F.col("state"))
    rows = (
        run.lake.read(table)
        .groupBy(F.unix_micros("as_of").alias("at"))
        .agg(
            F.max(state).alias("state"),
            F.max(F.when(F.col("view_version") == view_version, F.col("_to_version"))).alias("to"),
            F.bool_and(F.col("view_version") == view_version).alias("own"),
        )
        .collect()
    )
    days = {clock.local_day(clock.from_epoch(row["at"]), run.contract.timezone): row["state"] for row in rows}
    newest = max(rows, key=lambda row: int(row["at"]), default=None)
    if newest is None or not newest["own"]:
        return days, None
    return days, max(row["to"] for row in rows if row["to"] is not None)


def _changed_hops(run: Run, tile_table: tables.Table, after: int, to: int) -> tuple[date, date] | None:
    """First and last day of the tiles that came after the cursor."""
    from pyspark.sql import functions as F

    if to <= after or after < 0:
        return None
    row = run.lake.changes(tile_table, after, to).agg(F.min("hop"), F.max("hop")).collect()[0]
    return None if row[0] is None else (row[0], row[1])


def _waiting(chosen: Plan, text: str) -> str:
    if not chosen.missing:
        return text
    return f"{text}; cohorts wait for {len(chosen.missing)} missing files, the first {chosen.missing[0]}"
