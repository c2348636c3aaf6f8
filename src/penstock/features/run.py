"""The features stage: new landed rows become tiles, and each `as_of` of the schedule that has none yet gets its rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from penstock import clock
from penstock.errors import DataError
from penstock.features import asof, spec, tiles
from penstock.lake import tables
from penstock.landing.freshness import require_fresh
from penstock.stage import Report, Run

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


@dataclass(frozen=True)
class Plan:
    """Landed versions in (`after`, `to`], of which `events` rows concern the view, become tiles; then `days` get their rows."""

    after: int
    to: int
    events: int
    days: tuple[date, ...]


def view_tables(run: Run) -> tuple[tables.Table, tables.Table]:
    """The tiles table and the feature table of the run's view."""
    view = run.pipeline.features
    states = [(s.name, s.type) for s in spec.tile_states(view)]
    meaning = spec.definition(view, [run.contract.timezone])
    return tables.tiles(view.name, run.key, states), tables.features(view.name, run.key, spec.feature_columns(view), meaning)


def plan(run: Run) -> Plan:
    """What is to be made. Raises StaleError when the source is behind its promise, UsageError for a changed definition."""
    require_fresh(run)
    tile_table, feature_table = view_tables(run)
    run.lake.check_definition(feature_table)
    landed = tables.landing(run.pipeline.source, [])
    after, to = _cursor(run, tile_table), run.lake.version(landed)
    count = _concerned(run, after, to) if to > after else 0
    done = _existing(run, feature_table)
    schedule = run.pipeline.schedule
    wanted = clock.weekly(schedule.first, run.day, schedule.every_days)
    return Plan(after, to, count, tuple(day for day in wanted if day not in done))


def apply(run: Run, chosen: Plan) -> Report:
    """Append the tiles, check the feature rows, append them."""
    from pyspark.sql import functions as F

    tile_table, feature_table = view_tables(run)
    view = run.pipeline.features
    outputs, counts = {}, {"tiles": 0, "features": 0}
    if chosen.events:
        frame = _new_tiles(run, chosen)
        span = {"_from_version": F.lit(chosen.after + 1), "_to_version": F.lit(chosen.to), "run_id": F.lit(run.run_id)}
        done = run.append("view", tile_table, "features", (chosen.after, chosen.to), frame.withColumns(span))
        outputs[tile_table.name], counts["tiles"] = done.version, done.rows
        run.progress.step("features.tiled", done.rows)
    if chosen.days:
        version = run.lake.version(tile_table)
        as_ofs = {run.instant(day): day for day in chosen.days}
        made = asof.features(run.lake.read(tile_table, version), view, as_ofs, run.contract.timezone)
        rows = run.staged(f"features-{view.name}", made)
        run.progress.step("features.made")
        _check(run, rows, feature_table)
        run.progress.step("features.checked")
        span = {"_from_version": F.lit(version), "_to_version": F.lit(version), "run_id": F.lit(run.run_id)}
        done = run.append("view", feature_table, "features", chosen.days, rows.withColumns(span))
        outputs[feature_table.name], counts["features"] = done.version, done.rows
        run.progress.step("features.appended", done.rows)
    if not outputs:
        return Report("features", "nothing", "up to date", inputs={"landing": chosen.to})
    text = f"{counts['tiles']:,} tiles, {counts['features']:,} rows for {len(chosen.days)} as_of{'s' if len(chosen.days) != 1 else ''}"
    return Report("features", "done", text, counts, {"landing": chosen.to}, outputs)


def _cursor(run: Run, tile_table: tables.Table) -> int:
    """The landed version up to which tiles were made, as the tiles themselves say."""
    from pyspark.sql import functions as F

    if not run.lake.exists(tile_table):
        return -1
    found = run.lake.read(tile_table).agg(F.max("_to_version")).collect()[0][0]
    return -1 if found is None else int(found)


def _existing(run: Run, feature_table: tables.Table) -> set[date]:
    if not run.lake.exists(feature_table):
        return set()
    found = run.lake.read(feature_table).select(_epoch("as_of")).distinct().collect()
    return {clock.local_day(clock.from_epoch(row[0]), run.contract.timezone) for row in found}


def _epoch(column: str) -> Column:
    """Instants leave Spark as numbers: a collected timestamp would be turned into the machine's own time zone."""
    from pyspark.sql import functions as F

    return F.unix_micros(column)


def _replaced(run: Run, after: int, to: int) -> tuple[tuple[str, datetime, datetime | None, bool], ...]:
    """(file, known at, replaced at, without rows) of the file versions that are no more, or that never had an accepted row.

    They are few, and most runs have none: Spark then leaves out every join with them.
    """
    from pyspark.sql import functions as F

    files = run.lake.read(tables.files(run.pipeline.source))
    added = run.lake.changes(tables.landing(run.pipeline.source, []), after, to)
    # The files table is written after the rows it tells of; between the two a killed landing's rows speak for themselves.
    versions = tiles.file_versions(files, added).join(files.select("_file", "_known_at", "accepted"), on=["_file", "_known_at"], how="left")
    odd = versions.where(F.col("__replaced_at").isNotNull() | (F.col("accepted") == 0))
    rows = odd.select(
        "_file", F.unix_micros("_known_at"), F.unix_micros("__replaced_at"), F.coalesce(F.col("accepted") == 0, F.lit(False))
    ).collect()
    return tuple(sorted((r[0], clock.from_epoch(r[1]), None if r[2] is None else clock.from_epoch(r[2]), r[3]) for r in rows))


def _changes(run: Run, after: int, to: int) -> tuple[DataFrame, DataFrame, DataFrame, DataFrame]:
    """Added events, the keys of the tiles that they or replaced rows change, all events as of version `to`, and the replaced file versions."""
    view = run.pipeline.features
    landed = tables.landing(run.pipeline.source, [])
    odd = _replaced(run, after, to)
    spark = run.lake.spark
    versions = spark.createDataFrame([row[:3] for row in odd if row[2]], "_file string, _known_at timestamp, __replaced_at timestamp")
    # A correction whose every row was refused has no landed row to be found by, and still takes the earlier rows away.
    silent = spark.createDataFrame([row[:2] for row in odd if row[3]], "_file string, _known_at timestamp")
    added = run.lake.changes(landed, after, to)
    everything = tiles.events(run.lake.read(landed, to), view, run.contract.timezone)
    own = tiles.events(added, view, run.contract.timezone)
    arrived = added.select("_file", "_known_at").unionByName(silent)
    changed = tiles.touched(own, arrived, everything, versions, view.entity)
    tile_table, _ = view_tables(run)
    if any(row[3] for row in odd) and run.lake.exists(tile_table):
        changed = changed.join(run.lake.read(tile_table), on=[*view.entity, "hop", "known_at"], how="left_anti")
    return own, changed, everything, versions


def _concerned(run: Run, after: int, to: int) -> int:
    """How many added rows concern the view; where none does, a corrected file may still have taken rows away."""
    added = tiles.events(run.lake.changes(tables.landing(run.pipeline.source, []), after, to), run.pipeline.features, run.contract.timezone)
    return added.count() or _changes(run, after, to)[1].count()


def _new_tiles(run: Run, chosen: Plan) -> DataFrame:
    _, changed, everything, versions = _changes(run, chosen.after, chosen.to)
    return tiles.tiles(changed, everything, versions, run.pipeline.features)


def _check(run: Run, rows: DataFrame, feature_table: tables.Table) -> None:
    """Keys, ranges and row counts of each cohort. Raises DataError with every check that failed; nothing is written then."""
    from pyspark.sql import functions as F

    view = run.pipeline.features
    null_key = F.expr(" OR ".join(f"`{name}` IS NULL" for name in view.entity))
    checks = [F.count_if(~F.coalesce(F.expr(check.holds), F.lit(True))).alias(check.name) for check in view.checks]
    facts = [F.count("*").alias("n"), F.count_if(null_key).alias("null_key"), F.count_distinct(*view.entity).alias("entities")]
    found = rows.groupBy(_epoch("as_of").alias("at")).agg(*facts, *checks).orderBy("at").collect()
    last = _last_count(run, feature_table)
    faults: list[str] = []
    for row in found:
        day = clock.local_day(clock.from_epoch(row["at"]), run.contract.timezone)
        if row["null_key"] or row["entities"] != row["n"]:
            faults.append(f"{day}: {row['null_key']} rows without a key, {row['n'] - row['null_key'] - row['entities']} repeated keys")
        faults += [f"{day}: {row[check.name]} rows break {check.name} ({check.holds})" for check in view.checks if row[check.name]]
        if last and abs(row["n"] - last) / last > view.max_row_count_change:
            faults.append(f"{day}: {row['n']} rows, the last cohort had {last}")
        last = row["n"]
    if faults:
        got = "; ".join(faults)
        raise DataError(
            f"checks of {feature_table.name}",
            got=got,
            expected="none broken",
            left="No feature row was written",
            next="correct the source, or pipelines/…: features.checks",
        )


def _last_count(run: Run, feature_table: tables.Table) -> int | None:
    from pyspark.sql import functions as F

    if not run.lake.exists(feature_table):
        return None
    found = run.lake.read(feature_table).groupBy("as_of").count().agg(F.max_by("count", "as_of")).collect()[0][0]
    return None if found is None else int(found)
