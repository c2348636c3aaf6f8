"""The checks of feature rows: before they are written, and once more over the rows that a training reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from penstock import clock
from penstock.config.model import View
from penstock.errors import DataError
from penstock.lake import tables
from penstock.stage import Run

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


@dataclass(frozen=True)
class CheckResult:
    """A check over `rows` feature rows: how many break it, and for how many it is null (`not_known`); null of no rows at all."""

    name: str
    holds: str
    rows: int
    broken: int
    not_known: int
    passed: bool | None
    """None where there was no row to check."""


def require(run: Run, rows: DataFrame, view: View, feature_table: tables.Table) -> None:
    """Keys, ranges and row counts of each cohort. Raises DataError with every check that failed; nothing is written then."""
    from pyspark.sql import functions as F

    null_key = F.expr(" OR ".join(f"`{name}` IS NULL" for name in view.entity))
    facts = [F.count("*").alias("n"), F.count_if(null_key).alias("null_key"), F.count_distinct(*view.entity).alias("entities")]
    counted = rows.groupBy(F.unix_micros("as_of").alias("at")).agg(*facts, *_broken(view)).orderBy("at").collect()
    cohorts = [(clock.local_day(clock.from_epoch(row["at"]), run.contract.timezone), row) for row in counted]
    found = list(faults(view, cohorts, _last_count(run, feature_table)))
    if found:
        raise DataError(
            f"checks of {feature_table.name}",
            got="; ".join(found),
            expected="none broken",
            left="No feature row was written",
            next="correct the source, or pipelines/…: features.checks",
        )


def faults(view: View, cohorts: Sequence[tuple[date, Any]], last: int | None) -> Iterator[str]:
    """What is wrong with cohorts, oldest first: each a day and its counts by name; `last` is the row count of the cohort before them."""
    for day, row in cohorts:
        if row["null_key"] or row["entities"] != row["n"]:
            yield f"{day}: {row['null_key']} rows without a key, {row['n'] - row['null_key'] - row['entities']} repeated keys"
        yield from (f"{day}: {row[check.name]} rows break {check.name} ({check.holds})" for check in view.checks if row[check.name])
        if last and abs(row["n"] - last) / last > view.max_row_count_change:
            yield f"{day}: {row['n']} rows, the last cohort had {last}"
        last = row["n"]


def results(rows: DataFrame, view: View) -> tuple[CheckResult, ...]:
    """Every check of the view over some of its rows, in one pass."""
    from pyspark.sql import functions as F

    if not view.checks:
        return ()
    nulls = [F.count_if(F.expr(check.holds).isNull()).alias(f"{check.name}__null") for check in view.checks]
    return judged(view, rows.agg(F.count("*").alias("n"), *_broken(view), *nulls).collect()[0].asDict())


def judged(view: View, counts: Mapping[str, int]) -> tuple[CheckResult, ...]:
    """The results from counts: `n` rows, and for each check how many break it (`NAME`) and how many are null (`NAME__null`)."""
    n = counts["n"]
    return tuple(
        CheckResult(c.name, c.holds, n, counts[c.name], counts[f"{c.name}__null"], None if n == 0 else counts[c.name] == 0)
        for c in view.checks
    )


def _broken(view: View) -> list[Column]:
    from pyspark.sql import functions as F

    return [F.count_if(~F.coalesce(F.expr(check.holds), F.lit(True))).alias(check.name) for check in view.checks]


def _last_count(run: Run, feature_table: tables.Table) -> int | None:
    from pyspark.sql import functions as F

    if not run.lake.exists(feature_table):
        return None
    found = run.lake.read(feature_table).groupBy("as_of").count().agg(F.max_by("count", "as_of")).collect()[0][0]
    return None if found is None else int(found)
