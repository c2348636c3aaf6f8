"""Training runs in MLflow: each logged whole with its trials and candidates nested in it, found by its training id.

Every effect can be repeated: a training counts only when its run is FINISHED, which is its last step; what a kill left
unfinished is deleted with all that is nested in it before the training is logged again. MLflow's telemetry, progress
bars and log lines are off.
"""

from __future__ import annotations

import logging
import math
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import packages_distributions
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
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from sqlalchemy.exc import SQLAlchemyError

from penstock.errors import FailedError, ServiceError
from penstock.training.artefact import TRUSTED_TYPES, load, model_digest, require_known_types, write_inputs
from penstock.training.records import CANDIDATE, TRAINING_ID, InputTable, Store, TrainedRun, TrainingFacts, TrialFacts

PIPELINE, DIGEST, _MODEL_ID = "penstock.pipeline", "penstock.model_digest", "penstock.model_id"
_KIND, _PARENT = "penstock.kind", MLFLOW_PARENT_RUN_ID
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
def asking(store: Store, what: str) -> Iterator[None]:
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


def sqlite_file(uri: str) -> Path | None:
    """The file of a SQLite address; None for any other."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


class TrainingRuns:
    """The training runs of one MLflow. Methods raise ServiceError when it does not answer."""

    def __init__(self, store: Store, client: MlflowClient) -> None:
        self.store = store
        self._client = client

    def find_run(self, pipeline: str, training_id: str) -> TrainedRun | None:
        """The finished run of a training, or None. Unfinished runs of the same training, left by a kill, are deleted."""
        with asking(self.store, "looking for a training run"):
            runs = self._search(pipeline, f"tags.`{TRAINING_ID}` = '{_quoted(training_id)}'", "attributes.start_time ASC")
            finished = [run for run in runs if run.info.status == "FINISHED"]
            for run in [run for run in runs if run.info.status != "FINISHED"]:
                self._discard(pipeline, run)
            return _trained(finished[0]) if finished else None

    def newest_run(self, pipeline: str, as_of: str) -> TrainedRun | None:
        """The training that finished last among those for an `as_of` (YYYY-MM-DD) not after the given one; None without any."""
        return next((run for run in self.runs(pipeline) if run.tags.get("penstock.as_of", "9999") <= as_of), None)

    def runs(self, pipeline: str) -> tuple[TrainedRun, ...]:
        """All finished trainings, each as its chosen candidate, the newest first; none when the pipeline was never trained."""
        where = f"attributes.status = 'FINISHED' and tags.`{_KIND}` = 'training'"
        with asking(self.store, "reading the training runs"):
            return tuple(map(_trained, self._search(pipeline, where, "attributes.start_time DESC")))

    def candidates(self, pipeline: str, training: TrainedRun) -> dict[str, TrainedRun]:
        """The candidates of a finished training by name: the chosen one first, the others in the configuration's order."""
        where = f"tags.`{_PARENT}` = '{training.run_id}' and tags.`{_KIND}` = 'candidate'"
        with asking(self.store, "reading a training's candidates"):
            others = map(_trained, self._search(pipeline, where, "attributes.start_time ASC"))
            return {run.candidate: run for run in (training, *others)}

    def _search(self, pipeline: str, where: str, order: str) -> list[Any]:
        experiment = self._client.get_experiment_by_name(self._experiment(pipeline))
        found: list[Any] = []
        token = None
        while experiment is not None:
            page = self._client.search_runs([experiment.experiment_id], where, order_by=[order], page_token=token)
            found += page
            token = page.token
            if not token:
                break
        return found

    def _discard(self, pipeline: str, run: Any) -> None:
        """Delete a run and what is nested in it, innermost first, so that a kill in between leaves the run to be found again."""
        for nested in self._search(pipeline, f"tags.`{_PARENT}` = '{run.info.run_id}'", "attributes.start_time ASC"):
            self._discard(pipeline, nested)
        model_id = run.data.tags.get(_MODEL_ID)
        if model_id:
            self._client.delete_logged_model(model_id)
        self._client.delete_run(run.info.run_id)

    def log_training(self, facts: TrainingFacts) -> TrainedRun:
        """Log a training whole, its trials and other candidates nested in it, and finish its run last.

        A finished run of the same training id is returned as it is. Raises RefusedError, before anything is logged, for
        a model of types that could not be loaded again.
        """
        known = self.find_run(facts.pipeline, facts.training_id)
        if known is not None:
            return known
        for one in (facts, *facts.others):
            require_known_types(one.model)
        with asking(self.store, "logging a training run"):
            experiment_id = self._experiment_id(facts.pipeline)
            run_id = self._log_run(experiment_id, facts, {_KIND: "training"})
            for trial in facts.trials:
                self._log_trial(experiment_id, run_id, facts, trial)
            for other in facts.others:
                nested = self._log_run(experiment_id, other, {_KIND: "candidate", _PARENT: run_id})
                self._client.set_terminated(nested, "FINISHED")
            self._client.set_terminated(run_id, "FINISHED")
            return _trained(self._client.get_run(run_id))

    def _log_run(self, experiment_id: str, facts: TrainingFacts, kind: Mapping[str, str]) -> str:
        """A run with a candidate's facts and model, not finished yet. Gives its id."""
        tags = {
            TRAINING_ID: facts.training_id,
            CANDIDATE: facts.candidate,
            PIPELINE: facts.pipeline,
            "mlflow.source.git.commit": facts.code_version,
            **facts.tags,
            **kind,
        }
        run_id = str(self._client.create_run(experiment_id, tags=tags, run_name=facts.training_id).info.run_id)
        self._log_facts(run_id, facts)
        self._client.set_tag(run_id, DIGEST, self._log_model(experiment_id, run_id, facts))
        return run_id

    def _log_trial(self, experiment_id: str, parent: str, facts: TrainingFacts, trial: TrialFacts) -> None:
        """A trial as a finished run in three calls. It has no training id: nothing looks for it but its parent."""
        name = f"{trial.candidate}-{trial.number}"
        tags = {_KIND: "trial", _PARENT: parent, CANDIDATE: trial.candidate, PIPELINE: facts.pipeline}
        run_id = self._client.create_run(experiment_id, tags=tags, run_name=name).info.run_id
        self._client.log_batch(run_id, metrics=_metrics(trial.metrics), params=_params(trial.params))
        self._client.set_terminated(run_id, "FINISHED")

    def _log_facts(self, run_id: str, facts: TrainingFacts) -> None:
        params, numbers = _params(facts.params), _metrics(facts.metrics)
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
            experiment_id, name=facts.pipeline, source_run_id=run_id, tags={TRAINING_ID: facts.training_id}
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
                signature=_signature(facts),
                pip_requirements=_requirements(facts),
                pyfunc_predict_fn=facts.kind.predicts,
            )
            write_inputs(folder, facts.inputs, facts.explanation, facts.kind)
            digest = model_digest(folder)
            load(folder, digest)  # what cannot be opened later must not be logged now
            self._client.log_model_artifacts(logged.model_id, str(folder))
        self._client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
        self._client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
        return digest

    def add_texts(self, run_id: str, texts: Mapping[str, str]) -> None:
        """Add texts (a model card, verdicts) to a run's artefacts; the same path is written over."""
        with asking(self.store, "adding to a training run"):
            for path, text in texts.items():
                self._client.log_text(run_id, text, path)

    def read_text(self, run_id: str, path: str) -> str:
        """A text among a run's artefacts. Raises ServiceError when it is not there."""
        with asking(self.store, f"reading {path} of a training run"), tempfile.TemporaryDirectory() as folder:
            return Path(self._client.download_artifacts(run_id, path, folder)).read_text(encoding="utf-8")

    def _experiment(self, pipeline: str) -> str:
        remote = self.store.tracking_uri.startswith("databricks")
        return f"/Shared/penstock/{pipeline}" if remote else f"penstock/{pipeline}"

    def _experiment_id(self, pipeline: str) -> str:
        name = self._experiment(pipeline)
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        local = sqlite_file(self.store.tracking_uri) is not None
        place = (self.store.folder / "artifacts" / pipeline).resolve().as_uri() if local else None
        return str(self._client.create_experiment(name, artifact_location=place))


def _requirements(facts: TrainingFacts) -> list[str]:
    """What loading the model takes, as installed here; a booster's package may go by another name than its module."""
    booster = str(facts.params.get("estimator", "")).partition(".")[0]
    more = packages_distributions()[booster][:1] if booster in {"xgboost", "lightgbm"} else []
    return [f"{name}=={installed_version(name)}" for name in ("mlflow", *_LIBRARIES, *more)]


def _params(values: Mapping[str, Any]) -> list[Param]:
    return [Param(name, str(value)[:6000]) for name, value in sorted(values.items())]


def _metrics(values: Mapping[str, float]) -> list[Metric]:
    return [Metric(_metric_name(name), float(value), 0, 0) for name, value in sorted(values.items()) if math.isfinite(value)]


def _metric_name(name: str) -> str:
    """A name that MLflow takes: a segment's value may hold any character."""
    return re.sub(r"[^A-Za-z0-9_\-. :/]", "_", name)


def _quoted(text: str) -> str:
    if "'" in text or "\\" in text:
        raise FailedError("training id", got="a quote in it", expected="letters, digits and -_.:/")
    return text


def _trained(run: Any) -> TrainedRun:
    tags = dict(run.data.tags)
    return TrainedRun(run.info.run_id, tags[_MODEL_ID], tags[DIGEST], dict(run.data.metrics), dict(run.data.params), tags)


def _dataset(table: InputTable) -> DatasetInput:
    digest = (table.digest or f"version-{table.version}")[:36]
    source = f'{{"delta_table_name": "{table.name}", "delta_table_version": {table.version}}}'
    return DatasetInput(Dataset(table.name, digest, "delta_table", source), [InputTag("mlflow.data.context", table.role)])


def _signature(facts: TrainingFacts) -> ModelSignature:
    inputs = facts.inputs
    columns: list[ColSpec | TensorSpec] = [ColSpec("double", name, required=False) for name in inputs.numeric]
    columns += [ColSpec("string", name, required=False) for name in inputs.categorical]
    return ModelSignature(inputs=Schema(columns), outputs=Schema([TensorSpec(np.dtype(np.float64), facts.kind.outputs)]))
