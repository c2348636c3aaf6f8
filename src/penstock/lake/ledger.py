"""The ledger: one row for each stage of a run, all of an invocation in one append. It reports; cursors stand in the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from penstock import clock
from penstock.lake.delta import Lake, Txn
from penstock.lake.tables import LEDGER


@dataclass(frozen=True)
class Entry:
    """What one stage of one run did."""

    stage: str
    status: str
    message: str = ""
    inputs: Mapping[str, int] = field(default_factory=dict)
    outputs: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class Invocation:
    """What all entries of one run share."""

    run_id: str
    pipeline: str
    job: str
    as_of: datetime | None
    code_version: str
    configuration: str


def record(lake: Lake, run: Invocation, entries: Sequence[Entry]) -> None:
    """Append the entries, once for the run."""
    finished = clock.now()
    rows = [
        (
            run.run_id,
            run.pipeline,
            run.job,
            entry.stage,
            run.as_of,
            entry.status,
            entry.message,
            dict(entry.inputs),
            dict(entry.outputs),
            dict(entry.counts),
            entry.seconds,
            run.code_version,
            run.configuration,
            finished,
        )
        for entry in entries
    ]
    ddl = ", ".join(f"{name} {kind}" for name, kind in LEDGER.columns)
    lake.append(LEDGER, lake.spark.createDataFrame(rows, ddl), Txn(f"ledger/{run.run_id}", 1, "ledger", run.run_id))
