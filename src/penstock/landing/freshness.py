"""Which days of a source have arrived, and whether it is fresh enough to work on: missing files must not read as silence."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from penstock import clock
from penstock.errors import StaleError
from penstock.lake import tables
from penstock.lake.contract import missing_days
from penstock.stage import Run


def landed_days(run: Run, source: str) -> dict[date, datetime]:
    """The days of a source whose file has landed and was known by the run's `as_of`, each with the instant since when."""
    from pyspark.sql import functions as F

    table = tables.files(source)
    if not run.lake.exists(table):
        return {}
    known = run.lake.read(table).where(F.col("_known_at") <= F.lit(run.as_of))
    found = known.groupBy("day").agg(F.unix_micros(F.min("_known_at")).alias("since")).collect()
    return {row["day"]: clock.from_epoch(row["since"]) for row in found}


def overdue(run: Run, source: str, days: dict[date, datetime]) -> tuple[date, ...]:
    """The expected days after the newest landed one whose files should have been here by the `as_of`."""
    contract = run.contract_of(source)
    due = run.day - timedelta(days=contract.latency_days)
    if not days:
        return ()
    return missing_days(contract, days, max(days) + timedelta(days=1), due)


def require_fresh(run: Run) -> None:
    """Raise StaleError when of a source of the features nothing has landed, or more expected files are missing at its end than its contract allows."""
    for source in run.pipeline.feature_sources:
        _require_fresh(run, source)


def _require_fresh(run: Run, source: str) -> None:
    days = landed_days(run, source)
    if not days:
        raise StaleError(
            f"source {source}",
            got="no landed file",
            expected=f"files known by {run.day}",
            left="Nothing was written",
            next=f"put files of earlier days into {run.landing}/{source}, or take a later --as-of",
        )
    late = overdue(run, source, days)
    if len(late) > run.contract_of(source).freshness_days:
        raise StaleError(
            f"source {source} at {run.day}",
            got=f"newest file {max(days)}, {len(late)} expected files missing since",
            expected=f"at most {run.contract_of(source).freshness_days} missing",
            left="Features and scores stay as they were",
            next=f"{_deliver(run, source, late[0])}, or declare closed days in contracts/{source}.yml",
        )


def _deliver(run: Run, source: str, day: date) -> str:
    where = "write the rows of" if run.contract_of(source).file_format == "delta" else "deliver"
    return f"{where} {day} and later to the {'table' if where != 'deliver' else 'landing folder'}"
