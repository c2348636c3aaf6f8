"""The model store: training runs, registered versions and the alias `production`; the only importer of MLflow.

Every effect can be repeated: a training run counts only when it is FINISHED and is found again by its training id, a
run registers once, and an alias moves only to a higher promotion number. All calls go through `MlflowClient` with
explicit addresses; MLflow's telemetry, progress bars and log lines are off.
"""

from __future__ import annotations

import errno
import logging
import math
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import mlflow
import mlflow.sklearn
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput, LoggedModelStatus, Metric, Param
from mlflow.environment_variables import (
    MLFLOW_DISABLE_TELEMETRY,
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR,
    MLFLOW_HTTP_REQUEST_MAX_RETRIES,
    MLFLOW_HTTP_REQUEST_TIMEOUT,
)
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.models.signature import ModelSignature
from mlflow.telemetry.client import set_telemetry_client
from mlflow.types.schema import ColSpec, Schema, TensorSpec
from sqlalchemy.exc import SQLAlchemyError

from penstock.errors import FailedError, RefusedError, ServiceError
from penstock.training.artefact import (
    TRUSTED_TYPES,
    Loaded,
    check_digest,
    load,
    model_digest,
    read_inputs,
    require_known_types,
    write_inputs,
)
from penstock.training.inputs import Inputs
from penstock.training.records import InputTable, LocalModel, Store, TrainedRun, TrainingFacts, Version

PRODUCTION = "production"
_TRAINING_ID, _PIPELINE, _DIGEST, _MODEL_ID = "penstock.training_id", "penstock.pipeline", "penstock.model_digest", "penstock.model_id"
_PROMOTION, _REPLACED = "penstock.promotion", "penstock.replaced"
_LIBRARIES = ("scikit-learn", "skops", "numpy", "scipy", "pandas", "pyarrow")

# MLflow reads these again at each use; an operator's own setting stands, except that nothing is reported home.
for _variable, _value in (
    (MLFLOW_DISABLE_TELEMETRY, "true"),
    (MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR, "false"),
    (MLFLOW_HTTP_REQUEST_MAX_RETRIES, "3"),
    (MLFLOW_HTTP_REQUEST_TIMEOUT, "30"),
):
    if _variable is MLFLOW_DISABLE_TELEMETRY or not _variable.is_set():  # type: ignore[no-untyped-call]
        _variable.set(_value)  # type: ignore[no-untyped-call]
set_telemetry_client()  # type: ignore[no-untyped-call]
for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.ERROR)


@contextmanager
def _asking(store: Store, what: str) -> Iterator[None]:
    """Any failure of MLflow, its database or its disk becomes a ServiceError with the place and no further detail."""
    try:
        yield
    except MlflowException as error:
        raise _unanswered(store, what, str(error.error_code)) from error
    except SQLAlchemyError as error:
        raise _unanswered(store, what, f"a database that answers {type(error).__name__}") from error
    except OSError as error:
        raise _unanswered(store, what, error.strerror or type(error).__name__) from error


def _unanswered(store: Store, what: str, got: str) -> ServiceError:
    return ServiceError(
        f"MLflow at {store.place}, {what}",
        got=got,
        expected="an answer",
        left="What was logged before stays; a training run that is not finished does not count.",
        next="see that the store can be reached and written, then run again",
    )


def _sqlite_file(uri: str) -> Path | None:
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


class ModelStore:
    """Runs, versions and the alias of one MLflow. Methods raise ServiceError when it does not answer."""

    def __init__(self, store: Store, client: MlflowClient) -> None:
        self.store = store
        self._client = client

    @classmethod
    def open(cls, tracking_uri: str, registry_uri: str, folder: Path, *, prefix: str = "") -> ModelStore:
        """Open the store; a local SQLite database is made in an empty place, which takes two seconds.

        A database that is missing while `folder` still holds models is a ServiceError: a new one would read as
        "no model was ever promoted".
        """
        store = Store(tracking_uri, registry_uri, folder, prefix)
        database = _sqlite_file(tracking_uri)
        with _asking(store, "opening the store"):
            if database is not None and not database.is_file() and folder.is_dir() and any(folder.iterdir()):
                raise FileNotFoundError(errno.ENOENT, "no database beside the models")
            folder.mkdir(parents=True, exist_ok=True)
            # Models are downloaded through module functions of MLflow that know only the process's own addresses.
            mlflow.set_tracking_uri(tracking_uri)
            mlflow.set_registry_uri(registry_uri)
            client = MlflowClient(tracking_uri, registry_uri)
            client.search_experiments(max_results=1)
        return cls(store, client)

    # -- runs --------------------------------------------------------------------------------------------------------

    def find_run(self, pipeline: str, training_id: str) -> TrainedRun | None:
        """The finished run of a training, or None. Unfinished runs of the same training, left by a kill, are deleted."""
        with _asking(self.store, "looking for a training run"):
            runs = self._search(pipeline, f"tags.`{_TRAINING_ID}` = '{_quoted(training_id)}'", "attributes.start_time ASC")
            finished = [run for run in runs if run.info.status == "FINISHED"]
            for run in [run for run in runs if run.info.status != "FINISHED"]:
                self._discard(run)
            return _trained(finished[0]) if finished else None

    def newest_run(self, pipeline: str, as_of: str) -> TrainedRun | None:
        """The training that finished last among those for an `as_of` (YYYY-MM-DD) not after the given one; None without any."""
        return next((run for run in self.runs(pipeline) if run.tags.get("penstock.as_of", "9999") <= as_of), None)

    def runs(self, pipeline: str) -> tuple[TrainedRun, ...]:
        """All finished trainings, the newest first; none when the pipeline was never trained."""
        with _asking(self.store, "reading the training runs"):
            return tuple(map(_trained, self._search(pipeline, "attributes.status = 'FINISHED'", "attributes.start_time DESC")))

    def _search(self, pipeline: str, where: str, order: str) -> list[Any]:
        experiment = self._client.get_experiment_by_name(self._experiment(pipeline))
        return [] if experiment is None else list(self._client.search_runs([experiment.experiment_id], where, order_by=[order]))

    def _discard(self, run: Any) -> None:
        model_id = run.data.tags.get(_MODEL_ID)
        if model_id:
            self._client.delete_logged_model(model_id)
        self._client.delete_run(run.info.run_id)

    def log_training(self, facts: TrainingFacts) -> TrainedRun:
        """Log a training whole, and finish its run last; a finished run of the same training id is returned as it is.

        Raises RefusedError, before anything is logged, for a model of types that could not be loaded again.
        """
        known = self.find_run(facts.pipeline, facts.training_id)
        if known is not None:
            return known
        require_known_types(facts.model)
        with _asking(self.store, "logging a training run"):
            experiment_id = self._experiment_id(facts.pipeline)
            tags = {
                _TRAINING_ID: facts.training_id,
                _PIPELINE: facts.pipeline,
                "mlflow.source.git.commit": facts.code_version,
                **facts.tags,
            }
            run_id = self._client.create_run(experiment_id, tags=tags, run_name=facts.training_id).info.run_id
            self._log_facts(run_id, facts)
            digest = self._log_model(experiment_id, run_id, facts)
            self._client.set_tag(run_id, _DIGEST, digest)
            self._client.set_terminated(run_id, "FINISHED")
            return _trained(self._client.get_run(run_id))

    def _log_facts(self, run_id: str, facts: TrainingFacts) -> None:
        params = [Param(name, str(value)[:6000]) for name, value in sorted(facts.params.items())]
        numbers = [Metric(_metric_name(name), float(value), 0, 0) for name, value in sorted(facts.metrics.items()) if math.isfinite(value)]
        for at in range(0, len(params), 100):
            self._client.log_batch(run_id, params=params[at : at + 100])
        for at in range(0, len(numbers), 1000):
            self._client.log_batch(run_id, metrics=numbers[at : at + 1000])
        self._client.log_inputs(run_id, [_dataset(table) for table in facts.tables])
        for path, text in facts.texts.items():
            self._client.log_text(run_id, text, path)
        for path, figure in facts.figures.items():
            self._client.log_figure(run_id, figure, path)

    def _log_model(self, experiment_id: str, run_id: str, facts: TrainingFacts) -> str:
        """Save the model to a folder, take its digest, upload it, and tie it to the run. Gives the digest."""
        logged = self._client.create_logged_model(
            experiment_id, name=facts.pipeline, source_run_id=run_id, tags={_TRAINING_ID: facts.training_id}
        )
        self._client.set_tag(run_id, _MODEL_ID, logged.model_id)
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent) / "model"
            mlflow.sklearn.save_model(
                facts.model,
                str(folder),
                mlflow_model=Model(artifact_path=logged.artifact_location, run_id=run_id, model_id=logged.model_id),
                serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_SKOPS,
                skops_trusted_types=sorted(TRUSTED_TYPES),
                signature=_signature(facts.inputs),
                pip_requirements=[f"{name}=={installed_version(name)}" for name in ("mlflow", *_LIBRARIES)],
                pyfunc_predict_fn="predict_proba",
            )
            write_inputs(folder, facts.inputs, facts.explanation)
            digest = model_digest(folder)
            load(folder, digest)  # what cannot be opened later must not be logged now
            self._client.log_model_artifacts(logged.model_id, str(folder))
        self._client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
        self._client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
        return digest

    def add_texts(self, run_id: str, texts: Mapping[str, str]) -> None:
        """Add texts (a model card, verdicts) to a run's artefacts; the same path is written over."""
        with _asking(self.store, "adding to a training run"):
            for path, text in texts.items():
                self._client.log_text(run_id, text, path)

    def read_text(self, run_id: str, path: str) -> str:
        """A text among a run's artefacts. Raises ServiceError when it is not there."""
        with _asking(self.store, f"reading {path} of a training run"), tempfile.TemporaryDirectory() as folder:
            return Path(self._client.download_artifacts(run_id, path, folder)).read_text(encoding="utf-8")

    # -- models ------------------------------------------------------------------------------------------------------

    def local_model(self, source: TrainedRun | Version) -> LocalModel:
        """The model's folder, kept by digest under the store's folder, downloaded whole when it is not there.

        Raises RefusedError when what is there has another digest than the run logged.
        """
        folder = self.store.folder / "cache" / source.digest
        if not folder.is_dir():
            self._download(source, folder)
        return LocalModel(folder, source.digest, read_inputs(folder, source.digest))

    def _download(self, source: TrainedRun | Version, folder: Path) -> None:
        uri = source.model_uri if isinstance(source, TrainedRun) else source.uri
        with _asking(self.store, f"downloading {uri}"):
            folder.parent.mkdir(parents=True, exist_ok=True)
            part = Path(tempfile.mkdtemp(dir=folder.parent, prefix="part-"))
            try:
                got = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(part)))
                check_digest(got, source.digest)
                got.rename(folder)
            finally:
                shutil.rmtree(part, ignore_errors=True)

    def load_model(self, source: TrainedRun | Version) -> Loaded:
        """The model itself, its digest and types checked before anything of it is built (`penstock.training.artefact`)."""
        return load(self.local_model(source).path, source.digest)

    # -- registry ----------------------------------------------------------------------------------------------------

    def register(self, pipeline: str, run: TrainedRun, tags: Mapping[str, str], *, description: str = "") -> Version:
        """The version of a run: made on the first call, found on the next ones (tags are then set again)."""
        name = self.registered_name(pipeline)
        every = {_DIGEST: run.digest, _PIPELINE: pipeline, **tags}
        with _asking(self.store, "registering a version"):
            self._ensure_registered(name)
            known = self._client.search_model_versions(f"name = '{name}' and run_id = '{run.run_id}'")
            if known:
                first = min(int(found.version) for found in known)
                self._set_tags(name, first, every)
                return self.version(pipeline, first)
            made = self._client.create_model_version(
                name, run.model_uri, run_id=run.run_id, tags=every, description=description, model_id=run.model_id
            )
            return self.version(pipeline, int(made.version))

    def version(self, pipeline: str, version: int) -> Version:
        """A version's facts. Raises ServiceError when there is no such version."""
        with _asking(self.store, f"reading version {version} of {pipeline}"):
            return _version(self._client.get_model_version(self.registered_name(pipeline), str(version)))

    def versions(self, pipeline: str) -> tuple[Version, ...]:
        """All versions, oldest first; none when the pipeline has no registered model."""
        with _asking(self.store, f"reading the versions of {pipeline}"):
            found = self._client.search_model_versions(f"name = '{self.registered_name(pipeline)}'")
            # A search may give tags that lag; the version itself does not.
            return tuple(self.version(pipeline, number) for number in sorted(int(v.version) for v in found))

    def production(self, pipeline: str, *, alias: str = PRODUCTION) -> Version | None:
        """The version under the alias, or None when there is none."""
        name = self.registered_name(pipeline)
        with _asking(self.store, f"reading the alias {alias} of {pipeline}"):
            if not self._is_registered(name):
                return None
            number = self._client.get_registered_model(name).aliases.get(alias)
            return self.version(pipeline, int(number)) if number is not None else None

    def previous(self, pipeline: str) -> Version | None:
        """The version that production replaced, to which a rollback returns; None when it replaced none."""
        now = self.production(pipeline)
        return self.version(pipeline, now.replaced) if now is not None and now.replaced else None

    def set_production(self, pipeline: str, version: int, promotion: int, tags: Mapping[str, str] | None = None) -> Version:
        """Move the alias to `version` under a promotion number, higher than that of any move before; a rollback is a move too.

        The same call again changes nothing. A lower number, from a run that somebody overtook, is refused.
        """
        now = self.production(pipeline)
        if now is not None and (now.version, now.promotion) == (version, promotion):
            return now
        if now is not None and promotion <= now.promotion:
            raise RefusedError(
                f"promotion number for version {version} of {pipeline}",
                got=str(promotion),
                expected=f"more than {now.promotion}, under which version {now.version} became production",
                left="The alias was not moved.",
                next="penstock status PIPELINE",
            )
        name = self.registered_name(pipeline)
        replaced = None if now is None else now.replaced if now.version == version else now.version
        with _asking(self.store, "moving the alias"):
            # The tags first: a kill in between leaves a version that is tagged and not production, and the same call ends it.
            self._set_tags(name, version, {_PROMOTION: str(promotion), _REPLACED: str(replaced or ""), **(tags or {})})
            self._client.set_registered_model_alias(name, PRODUCTION, str(version))
        return self.version(pipeline, version)

    def registered_name(self, pipeline: str) -> str:
        """The registered model's name of a pipeline."""
        return f"{self.store.prefix}{pipeline}"

    # -- small things ------------------------------------------------------------------------------------------------

    def _set_tags(self, name: str, version: int, tags: Mapping[str, str]) -> None:
        for key, value in sorted(tags.items()):
            self._client.set_model_version_tag(name, str(version), key, value)

    def _is_registered(self, name: str) -> bool:
        try:
            self._client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        return True

    def _ensure_registered(self, name: str) -> None:
        if self._is_registered(name):
            return
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _experiment(self, pipeline: str) -> str:
        remote = self.store.tracking_uri.startswith("databricks")
        return f"/Shared/penstock/{pipeline}" if remote else f"penstock/{pipeline}"

    def _experiment_id(self, pipeline: str) -> str:
        name = self._experiment(pipeline)
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        local = _sqlite_file(self.store.tracking_uri) is not None
        place = (self.store.folder / "artifacts" / pipeline).resolve().as_uri() if local else None
        return str(self._client.create_experiment(name, artifact_location=place))


def _metric_name(name: str) -> str:
    """A name that MLflow takes: a segment's value may hold any character."""
    return re.sub(r"[^A-Za-z0-9_\-. :/]", "_", name)


def _quoted(text: str) -> str:
    if "'" in text or "\\" in text:
        raise FailedError("training id", got="a quote in it", expected="letters, digits and -_.:/")
    return text


def _trained(run: Any) -> TrainedRun:
    tags = dict(run.data.tags)
    return TrainedRun(run.info.run_id, tags[_MODEL_ID], tags[_DIGEST], dict(run.data.metrics), dict(run.data.params), tags)


def _version(found: Any) -> Version:
    tags = dict(found.tags)
    replaced = int(tags[_REPLACED]) if tags.get(_REPLACED) else None
    return Version(found.name, int(found.version), found.run_id, tags.get(_DIGEST, ""), int(tags.get(_PROMOTION) or 0), replaced, tags)


def _dataset(table: InputTable) -> DatasetInput:
    digest = (table.digest or f"version-{table.version}")[:36]
    source = f'{{"delta_table_name": "{table.name}", "delta_table_version": {table.version}}}'
    return DatasetInput(Dataset(table.name, digest, "delta_table", source), [InputTag("mlflow.data.context", table.role)])


def _signature(inputs: Inputs) -> ModelSignature:
    columns: list[ColSpec | TensorSpec] = [ColSpec("double", name, required=False) for name in inputs.numeric]
    columns += [ColSpec("string", name, required=False) for name in inputs.categorical]
    return ModelSignature(inputs=Schema(columns), outputs=Schema([TensorSpec(np.dtype(np.float64), (-1, 2))]))
