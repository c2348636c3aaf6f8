"""What the lake has of a source already: present digests, how far landing has come, and what a killed run left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from penstock import clock
from penstock.lake import tables
from penstock.landing.arrivals import Arrival
from penstock.stage import Run


@dataclass(frozen=True)
class Landed:
    """What has landed of a source."""

    digests: Mapping[str, str]
    """File → its present digest."""
    last: datetime | None
    """The instant up to which landing has been done."""
    clean: bool
    """Whether the last landing ended well; else it may have left rows here of which nothing is told yet."""


def look(run: Run, files: tables.Table, *, clean: bool) -> Landed:
    """What the files table of a source says."""
    return Landed(*_known(run, files), clean)


def _known(run: Run, files: tables.Table) -> tuple[dict[str, str], datetime | None]:
    from pyspark.sql import functions as F

    if not run.lake.exists(files):
        return {}, None
    newest = F.max_by("_file_digest", "_known_at").alias("digest")
    reach = F.unix_micros(F.max(F.greatest("landed_as_of", "_known_at"))).alias("reach")
    found = run.lake.read(files).groupBy("_file").agg(newest, reach).collect()
    instants = [clock.from_epoch(row["reach"]) for row in found]
    # A landing that found no file is known from the ledger alone: what came after it is late all the same.
    if run.lake.exists(tables.LEDGER):
        done = (F.col("stage") == "land") & (F.col("status") == "done") & (F.col("pipeline") == run.pipeline.name)
        looked = run.lake.read(tables.LEDGER).where(done).agg(F.unix_micros(F.max("as_of"))).collect()[0][0]
        instants += [] if looked is None else [clock.from_epoch(looked)]
    return {row["_file"]: row["digest"] for row in found}, max(instants, default=None)


def unlisted(run: Run, source: str) -> frozenset[str]:
    """The digests of landed and quarantined rows that the files table does not tell of: a killed landing left them."""
    files, found = tables.files(source), set[str]()
    for table in (tables.quarantine(source, []), tables.landing(source, [])):
        if run.lake.exists(table):
            there = run.lake.read(table).select("_file", "_known_at", "_file_digest").distinct()
            if run.lake.exists(files):
                there = there.join(run.lake.read(files).select("_file", "_known_at"), on=["_file", "_known_at"], how="left_anti")
            found |= {row["_file_digest"] for row in there.collect()}
    return frozenset(found)


def adopt(run: Run, files: tables.Table, table: tables.Table, arrivals: Sequence[Arrival]) -> tuple[tuple[Arrival, ...], frozenset[str]]:
    """After a killed run: the arrivals whose rows are in the table already, under the known time that was given to them then."""
    from pyspark.sql import functions as F

    if not arrivals or not run.lake.exists(table):
        return tuple(arrivals), frozenset()
    digests = {a.file.digest: a for a in arrivals}
    listed = run.lake.read(files).select("_file", "_known_at") if run.lake.exists(files) else None
    there = run.lake.read(table).where(F.col("_file_digest").isin(list(digests))).select("_file", "_file_digest", "_known_at").distinct()
    if listed is not None:
        there = there.join(listed, on=["_file", "_known_at"], how="left_anti")
    given = {
        (r["_file"], r["_file_digest"]): clock.from_epoch(r["at"])
        for r in there.select("_file", "_file_digest", F.unix_micros("_known_at").alias("at")).collect()
    }
    known = [given.get((a.file.name, a.file.digest)) for a in arrivals]
    adopted = tuple(Arrival(a.file, at, at != a.file.declared) if at else a for a, at in zip(arrivals, known, strict=True))
    return adopted, frozenset(a.file.name for a, at in zip(arrivals, known, strict=True) if at)
