"""What was really done to whom: the rows that tell of treatments, beside the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from penstock.features import asof
from penstock.features.tiles import dated
from penstock.labels import said
from penstock.labels.origin import Hops, changed_hops, landed_rows
from penstock.lake import tables
from penstock.lake.contract import missing_days
from penstock.landing.freshness import landed_days
from penstock.stage import Run

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


_EVER = (date.min, date.max)


@dataclass(frozen=True)
class Contacts:
    """Version `to` of the files that tell of treatments (-1: none yet); `hops` are the days of which something new was said.

    Of the cohorts in `complete` all that there is to tell has come.
    """

    to: int
    within_days: int
    hops: Hops | None
    complete: frozenset[date]

    def concerns(self, day: date, *, untold: bool) -> bool:
        """Whether a cohort is to be looked at: something was said of its days, or silence about `untold` members now means that nothing was done."""
        new = self.hops is not None and self.hops[1] >= day and self.hops[0] < day + timedelta(days=self.within_days)
        return new or (untold and day in self.complete)


def contacts_of(run: Run, after: int, days: Sequence[date]) -> Contacts | None:
    """What is known of treatments, with what came after a version; None where the configuration names no source of them.

    `days` are those of the cohorts.
    """
    treated = run.pipeline.treated
    if treated is None:
        return None
    to = run.lake.version(tables.files(treated.source))
    hops = None
    if to > after:
        hops = _EVER if after < 0 else changed_hops(run, treated.source, _rows(run, to, None), after, to)
    contract, landed = run.contract_of(treated.source), landed_days(run, treated.source)
    due = run.day - timedelta(days=contract.latency_days)

    def is_complete(day: date) -> bool:
        last = day + timedelta(days=treated.within_days - 1)
        return bool(landed) and last <= due and not missing_days(contract, landed, day, last)

    return Contacts(to, treated.within_days, hops, frozenset(day for day in days if is_complete(day)))


def with_treated(run: Run, labelled: DataFrame, contacts: Contacts | None, as_ofs: Mapping[datetime, date]) -> DataFrame:
    """The labelled members with `treated`; null where nobody tells."""
    from pyspark.sql import functions as F

    if contacts is None or contacts.to < 0:
        return labelled.withColumn("treated", F.lit(None).cast("boolean"))
    complete = [(instant, day) for instant, day in as_ofs.items() if day in contacts.complete]
    known = labelled.sparkSession.createDataFrame(complete, "as_of timestamp, __day date")
    rows = _rows(run, contacts.to, run.as_of)
    return said.treated(
        labelled, rows, asof.as_of_days(labelled, as_ofs), known, entity=run.pipeline.features.entity, within_days=contacts.within_days
    )


def _rows(run: Run, to: int, known_by: datetime | None) -> DataFrame:
    """Rows that tell of a treatment, with their `hop`."""
    from pyspark.sql import functions as F

    treated = run.pipeline.treated
    assert treated is not None
    landed = landed_rows(run, treated.source, to, known_by).where(F.expr(treated.when))
    return dated(landed, treated.event_time, run.contract.timezone)
