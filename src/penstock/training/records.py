"""What the model store takes and gives: frozen values, so that nobody else needs MLflow to speak of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from penstock.kinds import CLASSIFICATION, Kind
from penstock.training.contributions import UNEXPLAINED, Explanation
from penstock.training.inputs import Inputs

TRAINING_ID, CANDIDATE, STAGE = "penstock.training_id", "penstock.candidate", "penstock.stage"
"""Tags of runs and of versions in MLflow."""


@dataclass(frozen=True)
class InputTable:
    """A table that a training read, at one version."""

    name: str
    version: int
    digest: str = ""
    role: str = "training"


@dataclass(frozen=True)
class TrialFacts:
    """One trial of a candidate's search, logged as a run of its own beneath the training's."""

    candidate: str
    number: int
    """From 1, within the candidate."""
    params: Mapping[str, Any]
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class TrainingFacts:
    """Everything a training run logs of one candidate. Paths are inside the run's artefacts; figures are matplotlib Figures.

    The chosen candidate's carry the trials of all, and the facts of the others, which are logged beneath it.
    """

    pipeline: str
    candidate: str
    training_id: str
    model: Any
    inputs: Inputs
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    tables: Sequence[InputTable]
    tags: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    code_version: str = ""
    explanation: Explanation = UNEXPLAINED
    kind: Kind = CLASSIFICATION
    trials: Sequence[TrialFacts] = ()
    others: Sequence[TrainingFacts] = ()


@dataclass(frozen=True)
class TrainedRun:
    """A finished training run, or that of one of its other candidates, and the model that it logged."""

    run_id: str
    model_id: str
    digest: str
    metrics: Mapping[str, float]
    params: Mapping[str, str]
    tags: Mapping[str, str]

    @property
    def model_uri(self) -> str:
        """The model's address in MLflow."""
        return f"models:/{self.model_id}"

    @property
    def training_id(self) -> str:
        """The training's id; another candidate's ends with its name."""
        return self.tags[TRAINING_ID]

    @property
    def candidate(self) -> str:
        """The candidate's name."""
        return self.tags[CANDIDATE]


@dataclass(frozen=True)
class Version:
    """One registered version."""

    name: str
    version: int
    run_id: str
    digest: str
    promotion: int
    """The number under which it last became production; 0 when it never did."""
    replaced: int | None
    """The version that it then replaced."""
    tags: Mapping[str, str]

    @property
    def stage(self) -> str:
        """`staging`, `production` or `archived`; empty for a version that was never put anywhere."""
        return self.tags.get(STAGE, "")

    @property
    def uri(self) -> str:
        """The version's address in MLflow."""
        return f"models:/{self.name}/{self.version}"


@dataclass(frozen=True)
class LocalModel:
    """A model's folder on this machine, its digest checked."""

    path: Path
    digest: str
    inputs: Inputs
    kind: Kind = CLASSIFICATION

    @property
    def columns(self) -> tuple[str, ...]:
        """The feature columns in the model's order: numbers first, then categories."""
        return self.inputs.names


@dataclass(frozen=True)
class Store:
    """Where MLflow is. `prefix` goes before a pipeline's name in the registry (`catalog.schema.` in Unity Catalog)."""

    tracking_uri: str
    registry_uri: str
    folder: Path
    """Holds downloaded models and, for a local store, the artefacts of new experiments."""
    prefix: str = ""

    @property
    def place(self) -> str:
        """The tracking address for messages, without a user or password."""
        parts = urlsplit(self.tracking_uri)
        return f"{parts.scheme}://{parts.hostname or ''}{parts.path}" if parts.scheme else self.tracking_uri
