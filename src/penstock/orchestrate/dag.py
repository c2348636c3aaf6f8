"""The one DAG, as data: which stage follows which, the modules that hold them, and the tables that each appends to."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

from penstock.config.model import Pipeline
from penstock.stage import STAGES, Report, Run, source_job


class StageModule(Protocol):
    """What every stage's `run.py` offers."""

    def plan(self, run: Run) -> Any:
        """Read and decide."""

    def apply(self, run: Run, chosen: Any) -> Report:
        """Do what was decided."""


@dataclass(frozen=True)
class Node:
    """One stage: its verb, its module, the stages it waits for, and the leases it writes under."""

    verb: str
    module: str
    after: tuple[str, ...]
    leases: tuple[str, ...]

    def load(self) -> StageModule:
        """The stage's module; imported when it is needed."""
        return cast("StageModule", import_module(f"penstock.{self.module}.run"))


DAG = (
    Node("land", "landing", (), ("source",)),
    Node("features", "features", ("land",), ("view",)),
    Node("labels", "labels", ("features",), ("pipeline",)),
    Node("monitor", "monitoring", ("labels",), ("pipeline",)),
    Node("train", "training", ("monitor",), ("pipeline",)),
    Node("promote", "registry", ("train",), ("pipeline",)),
    Node("score", "scoring", ("promote",), ("pipeline",)),
    Node("publish", "publish", ("score",), ("pipeline",)),
)
assert tuple(node.verb for node in DAG) == STAGES


def node(verb: str) -> Node:
    """The stage with this verb."""
    return next(n for n in DAG if n.verb == verb)


def leases(verbs: tuple[str, ...], pipeline: Pipeline) -> tuple[str, ...]:
    """The kinds of job under whose leases some stages write, each once; of `source` one for each source of the pipeline."""
    kinds = dict.fromkeys(kind for verb in verbs for kind in node(verb).leases)
    return tuple(job for kind in kinds for job in ([source_job(s) for s in pipeline.sources] if kind == "source" else [kind]))
