"""What every stage's `run.py` shares: the run it works for, and what it hands back.

A stage has two functions: `plan(run)` reads and decides, and gives a frozen value; `apply(run, plan)` does just that
and gives a `Report`. `--dry-run` prints the plan and stops there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from penstock import clock
from penstock.config.load import Configuration, digest_of
from penstock.config.model import Pipeline, Settings
from penstock.lake.contract import Contract
from penstock.lake.delta import Committed, Lake, Txn
from penstock.lake.lease import Lease
from penstock.lake.tables import Column, Table
from penstock.progress import Progress

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from redis import Redis

    from penstock.kinds import Kind
    from penstock.registry.store import ModelStore

STAGES = ("land", "features", "labels", "monitor", "train", "promote", "score", "publish")
"""The order of a scheduled run. A stage's place, from 1, is also the step of its appends within a lease."""


class Services(Protocol):
    """The services outside the lake, opened when first asked for."""

    def models(self) -> ModelStore:
        """MLflow."""

    def redis(self) -> Redis:
        """Redis."""

    def redis_address(self) -> str:
        """Where that client connects to, for whoever connects elsewhere, such as a worker of Spark; it may hold a password."""


@dataclass(frozen=True)
class Run:
    """One run of one pipeline for one `as_of`: everything a stage may use."""

    configuration: Configuration
    lake: Lake
    services: Services
    landing: str
    work: str
    as_of: datetime
    run_id: str
    leases: Mapping[str, Lease]
    progress: Progress
    code_version: str
    requested: bool = False
    """A person asked for this very stage (`penstock train`), so it does not wait for the monitoring's word."""
    memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What was read once and holds for the whole run; who changes it in the lake takes it out."""
    allowed: frozenset[Literal["empty", "drop"]] = frozenset()
    """What a person allows a publication to do to its readers this once."""
    candidate: str | None = None
    """The candidate of the newest training that a person wants judged in place of the one that training chose."""

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline's configuration."""
        return self.configuration.pipeline

    @property
    def kind(self) -> Kind:
        """What the pipeline predicts."""
        from penstock import kinds  # scikit-learn's metrics take a second to import, and most commands need none

        return kinds.of(self.pipeline.kind)

    @property
    def settings(self) -> Settings:
        """The place's settings."""
        return self.configuration.settings

    @property
    def contract(self) -> Contract:
        """The contract of the pipeline's own source."""
        return self.configuration.contract

    def contract_of(self, source: str) -> Contract:
        """The contract of one of the pipeline's sources."""
        return self.configuration.contracts[source]

    @property
    def day(self) -> date:
        """The local day that begins at `as_of`."""
        return clock.local_day(self.as_of, self.contract.timezone)

    @property
    def key(self) -> tuple[Column, ...]:
        """The entity's key columns with their types, as the contract gives them."""
        types = {c.name: c.type for c in self.contract.columns}
        return tuple((name, types[name]) for name in self.pipeline.features.entity)

    @property
    def jobs(self) -> dict[str, str]:
        """The lease that each kind of table is written under."""
        return jobs_of(self.pipeline)

    def instant(self, day: date) -> datetime:
        """The instant at which a local day begins."""
        return clock.midnight(day, self.contract.timezone)

    def txn(self, job: str, table: Table, stage: str, plan: Any) -> Txn:
        """The transaction of a stage's append to a table."""
        return self.leases[self.jobs[job]].txn(table, STAGES.index(stage) + 1, digest_of({"plan": plan, "table": table.name}))

    def staged(self, name: str, frame: DataFrame) -> DataFrame:
        """The frame's rows as they are now, computed once and kept in the work folder until the next run of the stage.

        For what is read several times (checked, counted, written): Spark would compute it each time, and a cached frame
        is not to be had on every platform.
        """
        place = f"{self.work}/{name}"
        frame.write.mode("overwrite").parquet(place)
        return self.lake.spark.read.schema(frame.schema).parquet(place)

    def append(self, job: str, table: Table, stage: str, plan: Any, frame: DataFrame) -> Committed:
        """Append to a table under the job's lease."""
        return self.lake.append(table, frame, self.txn(job, table, stage, plan))


def jobs_of(pipeline: Pipeline) -> dict[str, str]:
    """Lease names: sources and a view may be shared by pipelines, so they have leases of their own."""
    sources = {source_job(source): f"source/{source}" for source in pipeline.sources}
    return {**sources, "view": f"view/{pipeline.features.name}", "pipeline": f"pipeline/{pipeline.name}"}


def source_job(source: str) -> str:
    """The kind of the job that lands a source."""
    return f"source:{source}"


@dataclass(frozen=True)
class Report:
    """What a stage did: `done`, or `nothing` when all was up to date."""

    stage: str
    status: str
    summary: str
    counts: Mapping[str, int] = field(default_factory=dict)
    inputs: Mapping[str, int] = field(default_factory=dict)
    outputs: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
