"""Where labels come from: the tiles of the features, or rows of a source of their own. Each origin answers the same questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Protocol

from penstock.features import asof, pairs
from penstock.features.run import view_tables
from penstock.labels import define, said
from penstock.lake import tables
from penstock.stage import Run

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Hops = tuple[date, date]
"""First and last day, both included."""


class Origin(Protocol):
    """What the stage asks. Versions are of the one table that tells what is new."""

    @property
    def source(self) -> str:
        """The source whose files must be there before an absence means anything."""

    def version(self, run: Run) -> int:
        """The newest version; -1 while there is none."""

    def changed_hops(self, run: Run, after: int, to: int) -> Hops | None:
        """The days of which something new was said by versions in (`after`, `to`]; None when nothing was."""

    def labelled(self, run: Run, standing: DataFrame, to: int, as_ofs: Mapping[datetime, date]) -> DataFrame:
        """Each member of `standing` (key, `as_of`, `state`, `matured_at`) with its `label`."""

    def is_settled(self, was: str, now: str) -> bool:
        """Whether a cohort's state in the table is the one that it has now, as far as its label can tell."""


@dataclass(frozen=True)
class OfTiles:
    """Labels from the tiles of the pipeline's own view."""

    source: str

    def version(self, run: Run) -> int:
        """Of the tiles."""
        return run.lake.version(view_tables(run)[0])

    def changed_hops(self, run: Run, after: int, to: int) -> Hops | None:
        """Days of the tiles that came."""
        from pyspark.sql import functions as F

        row = run.lake.changes(view_tables(run)[0], after, to).agg(F.min("hop"), F.max("hop")).collect()[0]
        return None if row[0] is None else (row[0], row[1])

    def labelled(self, run: Run, standing: DataFrame, to: int, as_ofs: Mapping[datetime, date]) -> DataFrame:
        """By the label's expression over the view's aggregates in the horizon."""
        from pyspark.sql import functions as F

        pipeline = run.pipeline
        tiles = run.lake.read(view_tables(run)[0], to)
        outcomes = asof.outcomes(tiles, pipeline.features, as_ofs, run.as_of, pipeline.label.horizon_days)
        found = define.labelled(standing, outcomes, pipeline)
        if pipeline.features.candidates is None:
            return found
        # What nobody had chosen before could not be shown to anybody, so that it is no part of what lists are to find.
        before = pairs.chosen_before(tiles, pipeline.features, as_ofs, run.as_of)
        joined = found.join(F.broadcast(before), on="as_of", how="left")
        return joined.withColumn("label", F.array_intersect("label", F.coalesce("__known", F.array().cast("array<string>")))).drop(
            "__known"
        )

    def is_settled(self, was: str, now: str) -> bool:
        """The same state."""
        return was == now


@dataclass(frozen=True)
class OfRows:
    """Labels from rows of a source of their own."""

    source: str

    def version(self, run: Run) -> int:
        """Of the table of files, which is written last in a landing: what it lists is there."""
        return run.lake.version(tables.files(self.source))

    def changed_hops(self, run: Run, after: int, to: int) -> Hops | None:
        """Days of the rows, old and new, of the files that came."""
        return changed_hops(run, self.source, self.rows(run, to, None), after, to)

    def rows(self, run: Run, to: int, known_by: datetime | None) -> DataFrame:
        """`said.outcomes` of the rows that count at an instant, or of all versions of all files."""
        landed = landed_rows(run, self.source, to, known_by)
        return said.outcomes(landed, run.pipeline.label, run.pipeline.features.entity, run.contract.timezone)

    def labelled(self, run: Run, standing: DataFrame, to: int, as_ofs: Mapping[datetime, date]) -> DataFrame:
        """By the newest row that speaks of an (entity, `as_of`)."""
        pipeline = run.pipeline
        pairs = said.spoken(self.rows(run, to, run.as_of), asof.as_of_days(standing, as_ofs), pipeline.label)
        return define.labelled_by_rows(standing, said.newest(pairs, pipeline.features.entity), pipeline)

    def is_settled(self, was: str, now: str) -> bool:
        """A cohort of whom nobody was spoken is censored in the table, and matured."""
        return was == now or (was == "censored" and now == "matured")


def origin_of(run: Run) -> Origin:
    """The origin that the configuration names."""
    label = run.pipeline.label
    return OfTiles(run.pipeline.source) if label.source is None else OfRows(label.source)


def landed_rows(run: Run, source: str, to: int, known_by: datetime | None) -> DataFrame:
    """Landed rows of the files that version `to` of a source's files lists: those that count at an instant, or all."""
    from pyspark.sql import functions as F

    files, landed = tables.files(source), tables.landing(source, run.contract_of(source).lake_columns)
    run.lake.create(landed)  # every row may have been refused
    listed, rows = run.lake.read(files, to), run.lake.read(landed)
    if known_by is not None:
        return said.valid(rows, listed, F.lit(known_by))
    return rows.join(F.broadcast(listed.select("_file", "_known_at")), on=["_file", "_known_at"], how="left_semi")


def changed_hops(run: Run, source: str, rows: DataFrame, after: int, to: int) -> Hops | None:
    """First and last `hop` of the rows whose files came, anew or again, in versions (`after`, `to`] of a source's files."""
    from pyspark.sql import functions as F

    came = run.lake.changes(tables.files(source), after, to).select("_file").distinct()
    row = rows.join(F.broadcast(came), on="_file", how="left_semi").agg(F.min("hop"), F.max("hop")).collect()[0]
    return None if row[0] is None else (row[0], row[1])
