"""The features stage: new landed rows become tiles, and each `as_of` of the schedule that has none yet gets its rows.

It does so for each version of the view that is kept: the configuration's, and the one that the Production model was trained
on. The cursors are in the outputs, so that a version whose tables are new is filled from the first landed row on.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from penstock import clock
from penstock.config.model import Facts
from penstock.features import asof, catalog, checks, pairs, tiles, versions
from penstock.features.versions import ViewVersion
from penstock.lake import tables
from penstock.landing.freshness import require_fresh
from penstock.stage import Report, Run

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


@dataclass(frozen=True)
class Tiling:
    """Landed versions in (`after`, `to`] of a source, of which `events` rows of `hops` (first and last day) concern the view, become tiles."""

    source: str
    after: int
    to: int
    events: int
    hops: tuple[date, date] | None


@dataclass(frozen=True)
class Work:
    """What a version of the view needs: tiles, of its own source first and then of those that it joins, and feature rows of `days`."""

    version: int
    tilings: tuple[Tiling, ...]
    days: tuple[date, ...]


@dataclass(frozen=True)
class Plan:
    """Each kept version's work; `described` is the catalogue's revision to write of the configuration's version, 0 for none."""

    described: int
    work: tuple[Work, ...]


def view_tables(run: Run) -> tuple[tables.Table, tables.Table]:
    """The tiles table and the feature table of the version that the configuration means."""
    return versions.view_tables(run, versions.current(run))


def plan(run: Run) -> Plan:
    """What is to be made. Raises StaleError when the source is behind its promise, UsageError for a changed entity."""
    require_fresh(run)
    return Plan(_revision(run), tuple(_work(run, version) for version in versions.kept(run)))


def apply(run: Run, chosen: Plan) -> Report:
    """Describe a new version, then for each: append the tiles, check the feature rows, append them."""
    kept = {version.number: version for version in versions.kept(run)}
    counts, outputs, filled = {"tiles": 0, "features": 0}, dict[str, int](), []
    if chosen.described:
        outputs[tables.FEATURE_CATALOG.name] = _describe(run, chosen.described)
    for work in chosen.work:
        tiled, rows, written = _fill(run, kept[work.version], work)
        counts = {"tiles": counts["tiles"] + tiled, "features": counts["features"] + rows}
        outputs |= written
        if written:
            filled.append((work, tiled, rows))
    read = {tiling.source: tiling.to for work in chosen.work for tiling in work.tilings}
    inputs = {"landing" if source == run.pipeline.source else f"landing_{source}": to for source, to in read.items()}
    if not outputs:
        return Report("features", "nothing", "up to date", inputs=inputs)
    named = len(kept) > 1 or max(kept) > 1
    text = "; ".join(_told(*done, named=named) for done in filled) or "described anew"
    return Report("features", "done", text, counts, inputs, outputs)


def _told(work: Work, tiled: int, rows: int, *, named: bool) -> str:
    days = f"{len(work.days)} as_of{'s' if len(work.days) != 1 else ''}"
    return f"{f'version {work.version}: ' if named else ''}{tiled:,} tiles, {rows:,} rows for {days}"


def _work(run: Run, version: ViewVersion) -> Work:
    _, feature_table = versions.view_tables(run, version)
    run.lake.check_definition(feature_table)
    done = _existing(run, feature_table)
    schedule = run.pipeline.schedule
    wanted = clock.weekly(schedule.first, run.day, schedule.every_days)
    tilings = tuple(_tiling(run, version, facts) for facts in (version.view, *version.view.joined))
    return Work(version.number, tilings, tuple(day for day in wanted if day not in done))


def _tiling(run: Run, version: ViewVersion, facts: Facts) -> Tiling:
    after, to = _cursor(run, versions.tile_table(run, version, facts)), run.lake.version(tables.landing(facts.source, []))
    count, hops = _concerned(run, version, facts, after, to) if to > after else (0, None)
    return Tiling(facts.source, after, to, count, hops)


def _fill(run: Run, version: ViewVersion, work: Work) -> tuple[int, int, dict[str, int]]:
    """Tiles, feature rows, and the tables' new versions."""
    from pyspark.sql import functions as F

    _, feature_table = versions.view_tables(run, version)
    tiled = made = 0
    outputs = {}
    for facts, tiling in zip((version.view, *version.view.joined), work.tilings, strict=True):
        if tiling.events:
            tile_table = versions.tile_table(run, version, facts)
            frame = _new_tiles(run, version, facts, tiling)
            span = {"_from_version": F.lit(tiling.after + 1), "_to_version": F.lit(tiling.to), "run_id": F.lit(run.run_id)}
            done = run.append("view", tile_table, "features", (tiling.after, tiling.to), frame.withColumns(span))
            outputs[tile_table.name], tiled = done.version, tiled + done.rows
            run.progress.step("features.tiled", done.rows)
    if work.days:
        rows, at = _rows(run, version, work)
        run.progress.step("features.made")
        checks.require(run, rows, version.view, feature_table)
        run.progress.step("features.checked")
        outputs |= pairs.append(run, version, run.lake.read(versions.view_tables(run, version)[0], at), rows, work.days, at)
        span = {"_from_version": F.lit(at), "_to_version": F.lit(at), "run_id": F.lit(run.run_id)}
        done = run.append("view", feature_table, "features", work.days, rows.withColumns(span))
        outputs[feature_table.name], made = done.version, done.rows
        run.progress.step("features.appended", done.rows)
    return tiled, made, outputs


def _rows(run: Run, version: ViewVersion, work: Work) -> tuple[DataFrame, int]:
    """The feature rows of the days, and the version of the tiles of the view's own source that they are made of."""
    tile_table, feature_table = versions.view_tables(run, version)
    joined = versions.joined_tables(run, version)
    for table in joined:
        run.lake.create(table)  # a source may have landed without a row of anybody
    at = run.lake.version(tile_table)
    as_ofs = {run.instant(day): day for day in work.days}
    tiled, others = run.lake.read(tile_table, at), [run.lake.read(table) for table in joined]
    return run.staged(feature_table.name, asof.features(tiled, version.view, as_ofs, run.contract.timezone, others)), at


def _revision(run: Run) -> int:
    """The revision under which the catalogue has yet to describe the configuration's version; 0 when it says it all."""
    version = versions.current(run)
    told = [f.entry for f in versions.listed(run) if f.entry.version == version.number]
    last = max((entry.revision for entry in told), default=0)
    meant = catalog.entries(run.pipeline, run.configuration.contracts, version.number, last)
    return 0 if set(told) == set(meant) else last + 1


def _describe(run: Run, revision: int) -> int:
    table, version = tables.FEATURE_CATALOG, versions.current(run)
    meant = [asdict(entry) for entry in catalog.entries(run.pipeline, run.configuration.contracts, version.number, revision)]
    own = {"as_of": run.as_of, "created_at": clock.now(), "run_id": run.run_id}
    rows = [tuple(_listed((entry | own)[name]) for name in table.column_names) for entry in meant]
    identity = [version.tag, revision]
    frame = run.lake.spark.createDataFrame(rows, ", ".join(f"`{name}` {kind}" for name, kind in table.columns))
    done = run.append("view", table, "features", identity, frame)
    versions.forget(run)
    return done.version


def _listed(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value  # Spark takes no tuple for an array


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


def _added(run: Run, source: str, after: int, to: int) -> DataFrame:
    """The landed rows of versions in (`after`, `to`]; from the first one on they are the table itself, however old its feed is."""
    landed = tables.landing(source, [])
    return run.lake.read(landed, to) if after < 0 else run.lake.changes(landed, after, to)


def _replaced(run: Run, source: str, after: int, to: int) -> tuple[tuple[str, datetime, datetime | None, bool], ...]:
    """(file, known at, replaced at, without rows) of the file versions that are no more, or that never had an accepted row.

    They are few, and most runs have none: Spark then leaves out every join with them.
    """
    from pyspark.sql import functions as F

    files = run.lake.read(tables.files(source))
    added = _added(run, source, after, to)
    # The files table is written after the rows it tells of; between the two a killed landing's rows speak for themselves.
    landed = tiles.file_versions(files, added).join(files.select("_file", "_known_at", "accepted"), on=["_file", "_known_at"], how="left")
    odd = landed.where(F.col("__replaced_at").isNotNull() | (F.col("accepted") == 0))
    rows = odd.select(
        "_file", F.unix_micros("_known_at"), F.unix_micros("__replaced_at"), F.coalesce(F.col("accepted") == 0, F.lit(False))
    ).collect()
    return tuple(sorted((r[0], clock.from_epoch(r[1]), None if r[2] is None else clock.from_epoch(r[2]), r[3]) for r in rows))


def _changes(
    run: Run, version: ViewVersion, facts: Facts, after: int, to: int, hops: tuple[date, date] | None
) -> tuple[DataFrame, DataFrame, DataFrame, DataFrame]:
    """Added events, the keys of the tiles that they or replaced rows change, events as of version `to`, and the replaced file versions.

    The events are all of them, or those around the days `hops` of the added ones when no file was replaced.
    """
    landed = tables.landing(facts.source, [])
    odd = _replaced(run, facts.source, after, to)
    spark = run.lake.spark
    replaced = spark.createDataFrame([row[:3] for row in odd if row[2]], "_file string, _known_at timestamp, __replaced_at timestamp")
    # A correction whose every row was refused has no landed row to be found by, and still takes the earlier rows away.
    silent = spark.createDataFrame([row[:2] for row in odd if row[3]], "_file string, _known_at timestamp")
    added = _added(run, facts.source, after, to)
    everything = tiles.events(run.lake.read(landed, to), facts, run.contract.timezone)
    if hops is not None and not odd:
        everything = _around(facts, everything, hops)
    own = tiles.events(added, facts, run.contract.timezone)
    arrived = added.select("_file", "_known_at").unionByName(silent)
    changed = tiles.touched(own, arrived, everything, replaced, facts.entity)
    tile_table = versions.tile_table(run, version, facts)
    if any(row[3] for row in odd) and run.lake.exists(tile_table):
        changed = changed.join(run.lake.read(tile_table), on=[*facts.entity, "hop", "known_at"], how="left_anti")
    return own, changed, everything, replaced


def _around(facts: Facts, events: DataFrame, hops: tuple[date, date]) -> DataFrame:
    """Events of some days and a few hours more, by a condition that Delta can skip files by: a week's tiles need no year's rows."""
    from pyspark.sql import functions as F

    time = facts.event_time
    if dict(events.dtypes)[time] != "timestamp":
        return events
    # Midnights of the session's time zone, which no other is further than a day away from.
    first, end = F.date_sub(F.lit(hops[0]), 1).cast("timestamp"), F.date_add(F.lit(hops[1]), 2).cast("timestamp")
    return events.where((F.col(time) >= first) & (F.col(time) < end))


def _concerned(run: Run, version: ViewVersion, facts: Facts, after: int, to: int) -> tuple[int, tuple[date, date] | None]:
    """How many added rows concern the view, and their days; where none does, a corrected file may still have taken rows away."""
    from pyspark.sql import functions as F

    added = tiles.events(_added(run, facts.source, after, to), facts, run.contract.timezone)
    count, first, last = added.agg(F.count("*"), F.min("hop"), F.max("hop")).collect()[0]
    if count:
        return count, (first, last)
    return _changes(run, version, facts, after, to, None)[1].count(), None


def _new_tiles(run: Run, version: ViewVersion, facts: Facts, tiling: Tiling) -> DataFrame:
    added, changed, everything, replaced = _changes(run, version, facts, tiling.after, tiling.to, tiling.hops)
    if tiling.events < tiles.MANY:
        return tiles.tiles(changed, everything, replaced, facts)
    return tiles.new_tiles(added, changed, everything, replaced, facts)
