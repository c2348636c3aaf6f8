"""The model store: models, registered versions and the aliases `staging` and `production`, over the training runs.

Every effect can be repeated: a run registers once, and an alias moves only to a higher promotion number. All calls go
through `MlflowClient` with explicit addresses.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from penstock.errors import RefusedError
from penstock.registry.training_runs import DIGEST, PIPELINE, TrainingRuns, asking, sqlite_file
from penstock.training.artefact import Loaded, check_digest, load, read_inputs
from penstock.training.records import STAGE, LocalModel, Store, TrainedRun, Version

PRODUCTION, STAGING = "production", "staging"
_PROMOTION, _REPLACED = "penstock.promotion", "penstock.replaced"


class ModelStore(TrainingRuns):
    """Runs, models, versions and aliases of one MLflow. Methods raise ServiceError when it does not answer."""

    @classmethod
    def open(cls, tracking_uri: str, registry_uri: str, folder: Path, *, prefix: str = "") -> ModelStore:
        """Open the store; a local SQLite database is made in an empty place, which takes two seconds.

        A database that is missing while `folder` still holds models is a ServiceError: a new one would read as
        "no model was ever promoted".
        """
        store = Store(tracking_uri, registry_uri, folder, prefix)
        database = sqlite_file(tracking_uri)
        with asking(store, "opening the store"):
            if database is not None and not database.is_file() and folder.is_dir() and any(folder.iterdir()):
                raise FileNotFoundError(errno.ENOENT, "no database beside the models")
            folder.mkdir(parents=True, exist_ok=True)
            # Models are downloaded through module functions of MLflow that know only the process's own addresses.
            mlflow.set_tracking_uri(tracking_uri)
            mlflow.set_registry_uri(registry_uri)
            client = MlflowClient(tracking_uri, registry_uri)
            client.search_experiments(max_results=1)
        return cls(store, client)

    # -- models ------------------------------------------------------------------------------------------------------

    def local_model(self, source: TrainedRun | Version) -> LocalModel:
        """The model's folder, kept by digest under the store's folder, downloaded whole when it is not there.

        Raises RefusedError when what is there has another digest than the run logged.
        """
        folder = self.store.folder / "cache" / source.digest
        if not folder.is_dir():
            self._download(source, folder)
        return LocalModel(folder, source.digest, *read_inputs(folder, source.digest))

    def _download(self, source: TrainedRun | Version, folder: Path) -> None:
        uri = source.model_uri if isinstance(source, TrainedRun) else source.uri
        with asking(self.store, f"downloading {uri}"):
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
        every = {DIGEST: run.digest, PIPELINE: pipeline, **tags}
        with asking(self.store, "registering a version"):
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
        with asking(self.store, f"reading version {version} of {pipeline}"):
            return _version(self._client.get_model_version(self.registered_name(pipeline), str(version)))

    def versions(self, pipeline: str) -> tuple[Version, ...]:
        """All versions, oldest first; none when the pipeline has no registered model."""
        with asking(self.store, f"reading the versions of {pipeline}"):
            found = self._client.search_model_versions(f"name = '{self.registered_name(pipeline)}'")
            # A search may give tags that lag; the version itself does not.
            return tuple(self.version(pipeline, number) for number in sorted(int(v.version) for v in found))

    def production(self, pipeline: str, *, alias: str = PRODUCTION) -> Version | None:
        """The version under the alias, or None when there is none."""
        name = self.registered_name(pipeline)
        with asking(self.store, f"reading the alias {alias} of {pipeline}"):
            if not self._is_registered(name):
                return None
            number = self._client.get_registered_model(name).aliases.get(alias)
            return self.version(pipeline, int(number)) if number is not None else None

    def previous(self, pipeline: str) -> Version | None:
        """The version that production replaced, to which a rollback returns; None when it replaced none."""
        now = self.production(pipeline)
        return self.version(pipeline, now.replaced) if now is not None and now.replaced else None

    def set_staging(self, pipeline: str, version: int) -> Version:
        """Put the alias `staging` on a version that passed the gates; one that waited there in vain is tagged archived.

        The same call again changes nothing. The alias stays when the version goes on to production.
        """
        name, now, live = self.registered_name(pipeline), self.production(pipeline, alias=STAGING), self.production(pipeline)
        with asking(self.store, "moving the alias"):
            if now is not None and now.version != version and (live is None or live.version != now.version):
                self._set_tags(name, now.version, {STAGE: "archived"})
            if live is None or live.version != version:
                self._set_tags(name, version, {STAGE: "staging"})
            self._client.set_registered_model_alias(name, STAGING, str(version))
        return self.version(pipeline, version)

    def set_production(self, pipeline: str, version: int, promotion: int, tags: Mapping[str, str] | None = None) -> Version:
        """Move the alias to `version` under a promotion number, higher than that of any move before; a rollback is a move too.

        The version that it replaces is tagged archived. The same call again changes nothing, and ends one that was cut
        short. A lower number, from a run that somebody overtook, is refused.
        """
        now = self.production(pipeline)
        same = now is not None and (now.version, now.promotion) == (version, promotion)
        if now is not None and same and now.stage == "production":
            return now
        if now is not None and promotion <= now.promotion and not same:
            raise RefusedError(
                f"promotion number for version {version} of {pipeline}",
                got=str(promotion),
                expected=f"more than {now.promotion}, under which version {now.version} became production",
                left="The alias was not moved.",
                next="penstock status PIPELINE",
            )
        name = self.registered_name(pipeline)
        replaced = None if now is None else now.replaced if now.version == version else now.version
        with asking(self.store, "moving the alias"):
            # On its way a version is tagged `staging`, whatever it was: only the last tag says that nothing is left to do.
            self._set_tags(name, version, {STAGE: "staging"})
            self._set_tags(name, version, {_PROMOTION: str(promotion), _REPLACED: str(replaced or ""), **(tags or {})})
            self._client.set_registered_model_alias(name, PRODUCTION, str(version))
            if replaced:
                self._set_tags(name, replaced, {STAGE: "archived"})
            self._set_tags(name, version, {STAGE: "production"})
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


def _version(found: Any) -> Version:
    tags = dict(found.tags)
    replaced = int(tags[_REPLACED]) if tags.get(_REPLACED) else None
    return Version(found.name, int(found.version), found.run_id, tags.get(DIGEST, ""), int(tags.get(_PROMOTION) or 0), replaced, tags)
