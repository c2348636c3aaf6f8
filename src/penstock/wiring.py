"""The composition root: from the command line's words to a run with its Spark session, lake, MLflow and Redis.

Nothing is opened before it is needed, so that `penstock get` starts no Spark and `penstock land` no MLflow.
"""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from penstock import __version__, clock
from penstock.config.load import Configuration, conf_folder, environment, load
from penstock.errors import UsageError
from penstock.lake.lease import Lease
from penstock.progress import Progress
from penstock.stage import Run

if TYPE_CHECKING:
    from redis import Redis

    from penstock.lake.delta import Lake
    from penstock.registry.store import ModelStore


@dataclass(frozen=True)
class Words:
    """What a command line says about the place and the configuration."""

    env: str = "local"
    conf: Path | None = None
    lake: Path = Path("lakehouse")
    overrides: tuple[str, ...] = ()


@dataclass
class House:
    """One process's connections, each opened when first asked for and closed with the house."""

    words: Words
    configuration: Configuration
    stack: ExitStack
    _lake: Lake | None = None
    _models: ModelStore | None = None
    _redis: dict[str, Redis] = field(default_factory=dict)
    _addresses: dict[str, str] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        """The lake's folder on this machine: the tables, or with a catalog what stays outside of it."""
        return self.words.lake.absolute()

    @property
    def log(self) -> Path:
        """Where Spark's own output goes."""
        return self.root / "_logs" / "spark.log"

    @property
    def landing(self) -> str:
        """The folder that holds one subfolder a source."""
        return self.configuration.settings.lake.landing or str(self.root / "landing")

    def lake(self) -> Lake:
        """The lake; the first call starts Spark."""
        if self._lake is None:
            self._lake = self._open_lake()
        return self._lake

    def models(self) -> ModelStore:
        """MLflow: a SQLite store in the lake unless the settings name another."""
        if self._models is None:
            from penstock.registry.store import ModelStore

            settings = self.configuration.settings.mlflow
            folder = self.root / "mlflow"
            tracking = settings.tracking_uri or f"sqlite:///{folder / 'mlflow.db'}"
            self._models = ModelStore.open(tracking, settings.registry_uri or tracking, folder)
        return self._models

    def redis(self) -> Redis:
        """Redis: at the address in the pipeline's environment variable, else a private server that keeps its data in the lake."""
        name = self.configuration.pipeline.publish.redis.url_env
        if name not in self._redis:
            from penstock.publish.connect import connect

            client = connect(self.redis_address())
            self.stack.callback(client.close)
            self._redis[name] = client
        return self._redis[name]

    def redis_address(self) -> str:
        """Where Redis is, for whoever connects elsewhere, such as a worker of Spark; it may hold a password."""
        name = self.configuration.pipeline.publish.redis.url_env
        if name not in self._addresses:
            from penstock.publish.server import private_server

            self._addresses[name] = environment(name) or self.stack.enter_context(private_server(self.root / "_redis")).url
        return self._addresses[name]

    def beside(self, pipeline: str) -> House:
        """The house of another pipeline over the same connections."""
        words = self.words
        configuration = load(conf_folder(words.conf), words.env, pipeline, words.overrides)
        return House(words, configuration, self.stack, self.lake(), self.models(), self._redis, self._addresses)

    def _open_lake(self) -> Lake:
        from penstock.lake.delta import Lake
        from penstock.lake.jars import delta_jars
        from penstock.lake.session import open_session
        from penstock.preflight import check_java

        settings = self.configuration.settings
        remote = settings.spark.remote or environment("PENSTOCK_SPARK_REMOTE")
        spark_settings = settings.spark.model_copy(update={"remote": remote})
        self.root.mkdir(parents=True, exist_ok=True)
        local = remote is None and spark_settings.master is not None
        jars: Sequence[Path] = ()
        if local:
            if fault := check_java():
                raise UsageError(fault)
            jars = delta_jars(cache_folder())
        spark = open_session(spark_settings, jars, self.log, self.root / "_scratch")
        self.stack.callback(spark.stop)
        catalog, schema = settings.lake.catalog, settings.lake.schema_name
        if catalog and schema:
            return Lake(spark, None, (catalog, schema))
        return Lake(spark, self.root)


def cache_folder() -> Path:
    """Where things are kept that every lake on this machine may use."""
    return Path(environment("PENSTOCK_CACHE") or Path.home() / ".cache" / "penstock")


@contextmanager
def house(words: Words, pipeline: str) -> Iterator[House]:
    """The connections for one pipeline, closed at the end. Raises ConfigError before anything is opened."""
    configuration = load(conf_folder(words.conf), words.env, pipeline, words.overrides)
    with ExitStack() as stack:
        yield House(words, configuration, stack)


def new_run(
    home: House,
    as_of: datetime,
    progress: Progress,
    *,
    requested: bool = False,
    candidate: str | None = None,
    allowed: frozenset[Literal["empty", "drop"]] = frozenset(),
) -> Run:
    """A run for one `as_of`, not yet holding any lease. The scheduler's own run id (PENSTOCK_RUN_ID) makes its retries the same run."""
    pipeline = home.configuration.pipeline.name
    day = clock.local_day(as_of, home.configuration.contract.timezone)
    leases: Mapping[str, Lease] = {}
    return Run(
        configuration=home.configuration,
        lake=home.lake(),
        services=home,
        landing=home.landing,
        work=home.configuration.settings.lake.staging or str(home.root / "_work"),
        as_of=as_of,
        run_id=environment("PENSTOCK_RUN_ID") or f"{pipeline}-{day:%Y%m%d}-{uuid.uuid4().hex[:8]}",
        leases=leases,
        progress=progress,
        code_version=code_version(),
        requested=requested,
        candidate=candidate,
        allowed=allowed,
    )


def as_of_instant(home: House, text: str) -> datetime:
    """Midnight of the day that was typed, in the source's time zone. Raises UsageError for anything that is no day."""
    return clock.midnight(clock.parse_day(text), home.configuration.contract.timezone)


def code_version() -> str:
    """The package's version, and the commit when it runs from a checkout."""
    here = Path(__file__).parents[2]
    if not (here / ".git").exists():
        return __version__
    found = subprocess.run(["git", "-C", str(here), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return f"{__version__}+g{found.stdout.strip()}" if found.returncode == 0 else __version__


def existing_lake(words: Words) -> None:
    """Raise UsageError when there is no lake yet, for commands that only read."""
    if words.env == "local" and not words.lake.is_dir():
        raise UsageError(
            f"lake {words.lake}",
            got="no such folder",
            expected="a lake that a run has written",
            next="penstock demo or penstock run PIPELINE --as-of DATE makes one; or --lake DIR",
        )
