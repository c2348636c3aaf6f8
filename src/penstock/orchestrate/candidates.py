"""`penstock candidates`: what a training tried, beside the champion and the heuristics, from MLflow alone: no Spark is started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.errors import UsageError
from penstock.training import compare, dataset
from penstock.training.compare import Contender

if TYPE_CHECKING:
    from penstock.registry.store import ModelStore


@dataclass(frozen=True)
class Standing:
    """A candidate's run in MLflow, and the version that it was registered as, with the stage of that."""

    candidate: str
    run_id: str
    version: int | None
    stage: str


@dataclass(frozen=True)
class Candidates:
    """The newest training's comparison; every line was judged on the same `holdout_rows` rows. `confidence` is that of all bounds."""

    pipeline: str
    training_id: str
    as_of: str
    holdout_rows: int
    holdout_days: tuple[str, ...]
    confidence: float
    contenders: tuple[Contender, ...]
    standings: tuple[Standing, ...]
    production_version: int | None
    notes: tuple[str, ...]
    next_action: str


def collect(models: ModelStore, pipeline: str, confidence: float) -> Candidates:
    """Read what the newest training logged. Raises UsageError when there is no training yet."""
    training = models.newest_run(pipeline, "9999-12-31")
    if training is None:
        raise UsageError(
            f"candidates of {pipeline}", got="no finished training", expected="one", next=f"penstock train {pipeline} --as-of DATE"
        )
    record = dataset.record_from_json(models.read_text(training.run_id, dataset.RECORD))
    versions = {version.run_id: version for version in models.versions(pipeline)}
    standings = []
    for name, run in models.candidates(pipeline, training).items():
        version = versions.get(run.run_id)
        standings.append(Standing(name, run.run_id, version.version if version else None, version.stage if version else ""))
    production = models.production(pipeline)
    return Candidates(
        pipeline=pipeline,
        training_id=training.training_id,
        as_of=str(record.as_of),
        holdout_rows=record.holdout_rows,
        holdout_days=tuple(map(str, record.holdout_days)),
        confidence=confidence,
        contenders=compare.from_json(models.read_text(training.run_id, compare.COMPARISON)),
        standings=tuple(standings),
        production_version=production.version if production else None,
        notes=record.notes,
        next_action=next_action(pipeline, str(record.as_of), standings),
    )


def next_action(pipeline: str, as_of: str, standings: list[Standing]) -> str:
    """What a person who would rather have another candidate does."""
    others = [standing for standing in standings[1:] if standing.version is None]
    if not others:
        return f"penstock promote {pipeline} --approve VERSION --by NAME, for a registered version that is not Production"
    return f"penstock promote {pipeline} --as-of {as_of} --candidate {others[0].candidate}, to have another one judged by the gates"


_HEAD = ("", "folds", "AUC", "", "AP", "", "Brier", "", "ECE", "lift", "profit/list", "", "weakest segment", "size", "cost/row", "")


def lines(found: Candidates) -> list[str]:
    """The comparison as a table."""
    days = found.holdout_days
    told = [
        f"pipeline   {found.pipeline}",
        f"training   {found.training_id}",
        f"judged on  {found.holdout_rows:,} rows of {len(days)} cohorts, {days[0]} to {days[-1]}; {found.confidence:.0%} intervals",
        "",
    ]
    standing = {one.candidate: one for one in found.standings}
    rows = [_HEAD, *(_row(one, standing.get(one.name), found.production_version) for one in found.contenders)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(_HEAD))]
    left = {0, 12, 15}
    for row in rows:
        cells = [cell.ljust(width) if at in left else cell.rjust(width) for at, (cell, width) in enumerate(zip(row, widths, strict=True))]
        told.append("  ".join(cells).rstrip())
    told += ["", *(f"note       {note}" for note in found.notes), f"next       {found.next_action}"]
    return told


def _row(one: Contender, standing: Standing | None, production: int | None) -> tuple[str, ...]:
    is_candidate = one.kind == "candidate"
    mark = _mark(one, standing if is_candidate else None, production)
    return (
        one.name if is_candidate else f"{one.kind} {one.name}",
        _number(one.fold_auc),
        *_measure(one, "auc"),
        *_measure(one, "average_precision"),
        *_measure(one, "brier"),
        _number(one.figures["calibration_error"].value if "calibration_error" in one.figures else None),
        _number(one.figures["lift_10"].value if "lift_10" in one.figures else None, 2),
        *_measure(one, compare.PROFIT, 0),
        f"{_number(one.weakest_auc)} {one.weakest_segment}" if one.weakest_auc is not None else "-",
        f"{one.cost.size_bytes / 1024:,.0f} KiB" if one.cost else "-",
        f"{one.cost.row_micros:.1f} µs" if one.cost else "-",
        mark,
    )


def _measure(one: Contender, name: str, digits: int = 3) -> tuple[str, str]:
    figure = one.figures.get(name)
    if figure is None or figure.value is None:
        return "-", ""
    bounds = "" if figure.low is None or figure.high is None else f"{_number(figure.low, digits)}–{_number(figure.high, digits)}"
    return _number(figure.value, digits), bounds


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _mark(one: Contender, standing: Standing | None, production: int | None) -> str:
    """What happened to it, in a few words."""
    if one.kind == "champion":
        return one.note or ("production" if one.name == f"version {production}" else "production at that training")
    marks = ["chosen"] if one.chosen else []
    if standing is not None and standing.version is not None:
        marks.append(f"version {standing.version}" + (f", {standing.stage}" if standing.stage else ""))
    return "; ".join([*marks, one.note] if one.note else marks)
