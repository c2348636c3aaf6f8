"""What the report is made of, as it was read: plain rows of the lake's tables and a few values of MLflow.

Rows are mappings with the tables' own column names; instants are replaced by `day`, the local day of the `as_of`
(`decided_at` and `finished_at` stay instants, in UTC). Nothing here knows Spark or MLflow, so that all shaping is tested without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from penstock.config.model import Pipeline
from penstock.lake.contract import Contract
from penstock.training.compare import Contender
from penstock.training.dataset import Record
from penstock.training.records import TrainedRun, Version

Row = Mapping[str, Any]
Rows = Sequence[Row]


@dataclass(frozen=True)
class Training:
    """A finished training run, the record of what it was made from, and whom it was compared with (a chosen candidate's alone)."""

    run: TrainedRun
    record: Record
    contenders: tuple[Contender, ...] = ()


@dataclass(frozen=True)
class Models:
    """What MLflow holds for the pipeline, each oldest first; `production` is the version under the alias."""

    trainings: tuple[Training, ...] = ()
    versions: tuple[Version, ...] = ()
    production: Version | None = None


@dataclass(frozen=True)
class Arrived:
    """Another source than the pipeline's own, its contract, and the last day that its files cover."""

    source: str
    contract: Contract
    newest: date | None


@dataclass(frozen=True)
class Gathered:
    """All rows of one pipeline. A table that does not exist yet has no rows.

    `ledger`: day, run_id, job, stage, status, message, counts, seconds, finished_at.
    `measures`: day, kind (performance, kpi, drift), subject, name, value, state, model_version; of the whole, no segment.
    `decisions`: day, kind, subject, outcome, reasons, model_version, promotion, decided_by, decided_at.
    `files`: day (of the run that landed them), files, accepted, rejected, newest (the last day that they cover).
    `cohorts`: day, rows of the feature table. `checks`: name, count. `scores`: day, model_version, promotion, rows, control, and where the purpose names amounts
    contacts and expected (profit); backfills aside. `alerts`: day, message.
    `outcomes`: standing, count. `treated`: treated (true, false or None), count, of the labelled rows.
    """

    pipeline: Pipeline
    contract: Contract
    others: tuple[Arrived, ...] = ()
    outcomes: Rows = ()
    treated: Rows = ()
    ledger: Rows = ()
    measures: Rows = ()
    decisions: Rows = ()
    files: Rows = ()
    cohorts: Rows = ()
    checks: Rows = ()
    scores: Rows = ()
    alerts: Rows = ()
    models: Models = field(default_factory=Models)
    unscored: int | None = None
    code_version: str = ""
