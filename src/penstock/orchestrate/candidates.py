"""`penstock candidates`: what a training tried, beside the champion and the heuristics, from MLflow alone: no Spark is started."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from penstock.errors import UsageError
from penstock.report import figures
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
    kind: str = "classification"
    """What is predicted, which says what the measures are."""


def collect(models: ModelStore, pipeline: str, confidence: float, kind: str = "classification") -> Candidates:
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
        kind=kind,
    )


def next_action(pipeline: str, as_of: str, standings: list[Standing]) -> str:
    """What a person who would rather have another candidate does."""
    others = [standing for standing in standings[1:] if standing.version is None]
    if not others:
        return f"penstock promote {pipeline} --approve VERSION --by NAME, for a registered version that is not Production"
    return f"penstock promote {pipeline} --as-of {as_of} --candidate {others[0].candidate}, to have another one judged by the gates"


@dataclass(frozen=True)
class _Column:
    """A measure's column: its head, how it is written, and whether its bounds stand beside it."""

    name: str
    head: str
    write: Callable[[float | None], str]
    bounds: bool = True


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _value(value: float | None) -> str:
    """A figure of any size: `0.4321`, `43.21`, `12,345`."""
    return "-" if value is None else figures.value(value)


_COLUMNS = {
    "classification": (
        _Column("auc", "AUC", _number),
        _Column("average_precision", "AP", _number),
        _Column("brier", "Brier", _number),
        _Column("calibration_error", "ECE", _number, bounds=False),
        _Column("lift_10", "lift", partial(_number, digits=2), bounds=False),
        _Column(compare.PROFIT, "profit/list", partial(_number, digits=0)),
    ),
    "regression": (
        _Column("mae", "MAE", _value),
        _Column("rmse", "RMSE", _value),
        _Column("r2", "R2", _number, bounds=False),
        _Column("bias", "bias", _value),
    ),
    "ranking": (
        _Column("recall", "recall", _number),
        _Column("ndcg", "NDCG", _number),
        _Column("hit_rate", "hits", _number),
        _Column("coverage", "coverage", _number, bounds=False),
        _Column("novelty", "novelty", partial(_number, digits=1), bounds=False),
    ),
}


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
    columns = _COLUMNS[found.kind]
    measures = [head for column in columns for head in ((column.head, "") if column.bounds else (column.head,))]
    head = ("", "folds", *measures, "weakest segment", "size", "cost/row", "")
    rows = [head, *(_row(one, standing.get(one.name), found.production_version, columns) for one in found.contenders)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
    left = {0, len(head) - 4, len(head) - 1}
    for row in rows:
        cells = [cell.ljust(width) if at in left else cell.rjust(width) for at, (cell, width) in enumerate(zip(row, widths, strict=True))]
        told.append("  ".join(cells).rstrip())
    told += ["", *(f"note       {note}" for note in found.notes), f"next       {found.next_action}"]
    return told


def _row(one: Contender, standing: Standing | None, production: int | None, columns: Sequence[_Column]) -> tuple[str, ...]:
    write = columns[0].write
    is_candidate = one.kind == "candidate"
    mark = _mark(one, standing if is_candidate else None, production)
    return (
        one.name if is_candidate else f"{one.kind} {one.name}",
        write(one.fold_figure),
        *(cell for column in columns for cell in _measure(one, column)),
        f"{write(one.weakest_figure)} {one.weakest_segment}" if one.weakest_figure is not None else "-",
        f"{one.cost.size_bytes / 1024:,.0f} KiB" if one.cost else "-",
        f"{one.cost.row_micros:.1f} µs" if one.cost else "-",
        mark,
    )


def _measure(one: Contender, column: _Column) -> tuple[str, ...]:
    figure = one.figures.get(column.name, compare.Figure(None))
    known = figure.low is not None and figure.high is not None
    bounds = f"{column.write(figure.low)}–{column.write(figure.high)}" if known else ""
    return (column.write(figure.value), bounds) if column.bounds else (column.write(figure.value),)


def _mark(one: Contender, standing: Standing | None, production: int | None) -> str:
    """What happened to it, in a few words."""
    if one.kind == "champion":
        return one.note or ("production" if one.name == f"version {production}" else "production at that training")
    marks = ["chosen"] if one.chosen else []
    if standing is not None and standing.version is not None:
        marks.append(f"version {standing.version}" + (f", {standing.stage}" if standing.stage else ""))
    return "; ".join([*marks, one.note] if one.note else marks)
