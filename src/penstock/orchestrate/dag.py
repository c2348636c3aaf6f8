"""The one DAG, as data: which stage follows which, the modules that hold them, and the tables that each appends to."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
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


@contextmanager
def loading(verbs: tuple[str, ...]) -> Iterator[None]:
    """Import the stages' modules beside what is done in the block: MLflow, scikit-learn and SciPy take three seconds.

    What cannot be imported is told to whoever needs it, not here. After the block nothing is imported any more.
    """
    import pyspark.sql  # noqa: F401 - its modules import each other, which two threads at once must not meet half-way

    def imported() -> None:
        for verb in verbs:
            with suppress(Exception):
                node(verb).load()

    with ThreadPoolExecutor(max_workers=1) as beside:
        beside.submit(imported)
        yield


def leases(verbs: tuple[str, ...], pipeline: Pipeline) -> tuple[str, ...]:
    """The kinds of job under whose leases some stages write, each once; of `source` one for each source of the pipeline.

    A view that is online is published under its own lease: pipelines that share it publish it in turn.
    """
    kinds = dict.fromkeys(kind for verb in verbs for kind in node(verb).leases)
    if "publish" in verbs and pipeline.features.publish == "online":
        kinds["view"] = None
    return tuple(job for kind in kinds for job in ([source_job(s) for s in pipeline.sources] if kind == "source" else [kind]))
