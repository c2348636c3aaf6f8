"""The labels stage: cohorts that are due mature, new ones begin pending, and corrected files revise.

Outcomes are of the configuration's version of the view, or of rows of a source of their own. When the version is another than
before, every cohort is looked at again: labels that turn out the same stay, matured ones that do not are revised.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from penstock import clock
from penstock.config import kinds
from penstock.errors import UsageError
from penstock.features import versions
from penstock.features.run import view_tables
from penstock.labels import define, heard
from penstock.labels.heard import Heard
from penstock.labels.mature import Cohort, affected, standing
from penstock.labels.origin import Hops, Origin, origin_of
from penstock.labels.treatment import Contacts, contacts_of, with_treated
from penstock.lake import tables
from penstock.landing.freshness import landed_days
from penstock.stage import Report, Run

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


_EVER = (date.min, date.max)


@dataclass(frozen=True)
class Plan:
    """The cohorts to look at, at these versions of the view and of what tells of outcomes; `missing` are days whose files hold cohorts back.

    `treated` is what is known of treatments, None without a source of them; `heard` the outcomes to set beside the labels, None
    where labels have no source of their own or it says nothing new.
    """

    view_version: int
    features: int
    outcomes: int
    cohorts: tuple[Cohort, ...]
    waiting: int
    missing: tuple[date, ...]
    treated: Contacts | None = None
    heard: Heard | None = None


@dataclass(frozen=True)
class _Settled:
    """What the table says of a cohort: a revised one counts as matured; `untold` when of a row no treatment is known."""

    state: str
    untold: bool


def plan(run: Run) -> Plan:
    """Which cohorts are new, due, or touched by what came since the labels were last made."""
    number, origin = versions.current(run).number, origin_of(run)
    _, feature_table = view_tables(run)
    features, outcomes = run.lake.version(feature_table), origin.version(run)
    if features < 0:
        return Plan(number, features, outcomes, (), 0, ())
    settled, cursor, told = _settled(run, number)
    hops = _new(run, origin, cursor, outcomes) if cursor is not None else _EVER if settled else None
    days = _cohort_days(run, feature_table, features)
    treated = contacts_of(run, told, days)
    landed = landed_days(run, origin.source)
    chosen, waiting, missing = [], 0, set[date]()
    for day in days:
        now = _standing(run, origin, day, landed)
        waiting += now.state == "pending"
        if now.state == "pending" and run.as_of >= _due(run, day):
            missing |= set(now.missing)
        was = settled.get(day)
        touched = was is not None and was.state != "pending" and affected(day, run.pipeline.label, hops)
        retold = was is not None and treated is not None and treated.concerns(day, untold=was.untold)
        if was is None or not origin.is_settled(was.state, now.state) or touched or retold:
            chosen.append(now)
    return Plan(number, features, outcomes, tuple(chosen), waiting, tuple(sorted(missing)), treated, heard.plan(run, origin, outcomes))


def apply(run: Run, chosen: Plan) -> Report:
    """One MERGE of the labels that change and one of the outcomes that stand otherwise; none when nothing does."""
    inputs = {"features": chosen.features, "outcomes": chosen.outcomes}
    counts, outputs = _label(run, chosen) if chosen.cohorts else ({}, {})
    text = ", ".join(f"{counts[state]:,} {state}" for state in ("pending", "matured", "revised", "censored") if counts.get(state))
    if chosen.heard is not None:
        found, version = heard.apply(run, chosen.heard)
        if found:
            outputs |= version
            text = "; ".join(
                part for part in (text, "outcomes: " + ", ".join(f"{n:,} {name}" for name, n in sorted(found.items()))) if part
            )
            counts = {**counts, **{f"outcomes_{name}": n for name, n in found.items()}}
    if not outputs:
        return Report("labels", "nothing", _waiting(chosen, "no label changed" if chosen.cohorts else "up to date"), inputs=inputs)
    return Report("labels", "done", _waiting(chosen, text), counts, inputs, outputs)


def _label(run: Run, chosen: Plan) -> tuple[dict[str, int], dict[str, int]]:
    """Counts by state of the labels that were written, and the table's version; empty when none was."""
    from pyspark.sql import functions as F

    table = tables.labels(run.pipeline.name, run.key, kinds.LABEL_TYPES[run.pipeline.kind])
    run.lake.create(table)
    changed = run.staged(f"labels-{run.pipeline.name}", _changes(run, chosen, table))
    counts = {row["state"]: row["count"] for row in changed.groupBy("state").count().collect()}
    if not counts:
        return {}, {}
    span = {"_from_version": F.lit(0), "_to_version": F.lit(chosen.outcomes), "run_id": F.lit(run.run_id)}
    span |= {"view_version": F.lit(chosen.view_version), "definition": F.lit(define.definition(run.pipeline.label))}
    span["_treated_version"] = F.lit(chosen.treated.to if chosen.treated else None).cast("bigint")
    done = run.lake.merge(table, changed.withColumns(span), [c for c in table.column_names if c not in table.key])
    run.progress.step("labels.merged", done.rows)
    return counts, {table.name: done.version}


def _changes(run: Run, chosen: Plan, table: tables.Table) -> DataFrame:
    from pyspark.sql import functions as F

    _, feature_table = view_tables(run)
    as_ofs = {run.instant(cohort.day): cohort.day for cohort in chosen.cohorts}
    at = [F.lit(instant) for instant in as_ofs]
    rows = run.lake.read(feature_table, chosen.features).where(F.col("as_of").isin(at))
    standings = define.standings_frame(rows, [(cohort, run.instant(cohort.day)) for cohort in chosen.cohorts])
    standing = define.standing_members(define.members(rows, run.pipeline), standings)
    desired = (
        origin_of(run).labelled(run, standing, chosen.outcomes, as_ofs)
        if chosen.outcomes >= 0
        else _unsaid(standing, kinds.LABEL_TYPES[run.pipeline.kind])
    )
    desired = with_treated(run, desired, chosen.treated, as_ofs)
    return define.changes(desired, run.lake.read(table).where(F.col("as_of").isin(at)), table.key)


def _unsaid(standing: DataFrame, kind: str) -> DataFrame:
    """Before anything was ever said: cohorts stand, and have no label."""
    from pyspark.sql import functions as F

    return standing.withColumn("label", F.lit(None).cast(kind))


def _standing(run: Run, origin: Origin, day: date, landed: dict[date, datetime]) -> Cohort:
    return standing(day, run.pipeline.label, run.contract_of(origin.source), landed, run.as_of, run.day, _due(run, day))


def _due(run: Run, day: date) -> datetime:
    label = run.pipeline.label
    return run.instant(day + timedelta(days=label.horizon_days + label.delay_days))


def _cohort_days(run: Run, feature_table: tables.Table, version: int) -> list[date]:
    from pyspark.sql import functions as F

    rows = run.lake.read(feature_table, version).where(F.col("as_of") <= F.lit(run.as_of))
    found = rows.select(F.unix_micros("as_of")).distinct().collect()
    return sorted(clock.local_day(clock.from_epoch(row[0]), run.contract.timezone) for row in found)


def _settled(run: Run, view_version: int) -> tuple[dict[date, _Settled], int | None, int]:
    """What the table says of each cohort, the version of the outcomes that the last labelling read, and that of the treatments (-1: none).

    Raises UsageError when its labels answer another question.

    The former is None unless the newest cohort is wholly of this version of the view: what another one made since has to be looked
    at again, and its tiles count their own versions.
    """
    from pyspark.sql import functions as F

    table = tables.labels(run.pipeline.name, run.key)
    if not run.lake.exists(table):
        return {}, None, -1
    state = F.when(F.col("state") == "revised", "matured").otherwise(F.col("state"))
    rows = (
        run.lake.read(table)
        .groupBy(F.unix_micros("as_of").alias("at"))
        .agg(
            F.max(state).alias("state"),
            F.bool_or(F.col("treated").isNull()).alias("untold"),
            F.max(F.when(F.col("view_version") == view_version, F.col("_to_version"))).alias("to"),
            F.max("_treated_version").alias("treated"),
            F.max("definition").alias("definition"),
            F.bool_and(F.col("view_version") == view_version).alias("own"),
        )
        .collect()
    )
    _require_same_question(run, {row["definition"] for row in rows})
    days = {clock.local_day(clock.from_epoch(row["at"]), run.contract.timezone): _Settled(row["state"], row["untold"]) for row in rows}
    told = max((row["treated"] for row in rows if row["treated"] is not None), default=-1)
    newest = max(rows, key=lambda row: int(row["at"]), default=None)
    if newest is None or not newest["own"]:
        return days, None, told
    return days, max(row["to"] for row in rows if row["to"] is not None), told


def _require_same_question(run: Run, definitions: set[str]) -> None:
    """Labels of two questions in one table would train one model, and judge another's scores."""
    if definitions <= {define.definition(run.pipeline.label)}:
        return
    raise UsageError(
        f"label of pipeline {run.pipeline.name}",
        got="another question than that of its labels, scores and models",
        expected="the label that they were made for",
        left="Nothing was written",
        next="restore it (penstock conf diff shows what changed), or give the pipeline a new name",
    )


def _new(run: Run, origin: Origin, after: int, to: int) -> Hops | None:
    """First and last day of what came after the cursor; all days when nothing could be read before."""
    if to <= after:
        return None
    return origin.changed_hops(run, after, to) if after >= 0 else _EVER


def _waiting(chosen: Plan, text: str) -> str:
    if not chosen.missing:
        return text
    return f"{text}; cohorts wait for {len(chosen.missing)} missing files, the first {chosen.missing[0]}"
