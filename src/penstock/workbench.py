"""A lake opened for a notebook: its tables, features at any instants, trained models, scores and runs; nothing here writes a table.

`penstock.open` makes one. What can be large (tables, features, scores) is a Spark frame, what is small (runs, candidates)
a pandas frame. Instants are UTC in both.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from penstock import wiring
from penstock.config.load import Configuration, conf_folder, load, pipeline_names
from penstock.config.model import View
from penstock.errors import UsageError
from penstock.features import catalog
from penstock.features.asof import as_of_join
from penstock.features.spec import definition
from penstock.lake import tables
from penstock.lake.delta import Lake
from penstock.wiring import House, Words

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame

    from penstock.training.records import TrainedRun, Version


@dataclass(frozen=True, repr=False)
class Workbench:
    """An open lake. Close it, or use it as a context manager: it holds a Spark session, started when first needed."""

    words: Words
    _house: House
    _connections: ExitStack = field(compare=False)

    @classmethod
    def open(cls, words: Words) -> Workbench:
        """Open the lake that the words name. Raises UsageError when there is none, ConfigError for a faulty configuration."""
        wiring.existing_lake(words)
        names = pipeline_names(conf_folder(words.conf))
        with ExitStack() as stack:
            house = stack.enter_context(wiring.house(words, next(iter(names), "")))
            return cls(words, house, stack.pop_all())

    def close(self) -> None:
        """End the Spark session; a second call does nothing."""
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<lake {self.words.lake}, env {self.words.env}>"

    # -- tables --------------------------------------------------------------------------------------------------------

    def tables(self) -> tuple[str, ...]:
        """The names that `table` takes: the lake's tables, then its views."""
        from penstock.orchestrate.query import register

        return register(self._lake)

    def table(self, name: str, version: int | None = None) -> DataFrame:
        """A table's or a view's rows, as a Spark frame; a table also as it was at one of its versions.

        Raises UsageError for a name or a version that is not there.

        >>> lake.table("predictions_churn").where("role = 'champion'")  # doctest: +SKIP
        >>> lake.table("features_customer_activity", version=0).count()  # doctest: +SKIP
        """
        lake = self._lake
        if lake.exists(name):
            newest = lake.version(name)
            if version is not None and not 0 <= version <= newest:
                raise UsageError(f"version of {name}", got=str(version), expected=f"0 to {newest}")
            return lake.read(name, version)
        known = self.tables()
        if name not in known:
            raise UsageError("table", got=repr(name), expected=f"one of {', '.join(known)}", next=_nearest(name, known))
        if version is not None:
            raise UsageError(f"version of {name}", got=str(version), expected="none: a view has no versions, its tables have")
        return lake.spark.table(name)

    # -- features ------------------------------------------------------------------------------------------------------

    def feature_set(
        self, views: str | Sequence[str], spine: DataFrame | pd.DataFrame, *, at: str = "as_of", max_age: timedelta | None = None
    ) -> DataFrame:
        """Each row of `spine` once, with the newest features at or before its instant: what was known then, nothing later.

        Parameters: `views` are feature views by name; `spine`, a Spark or pandas frame, has each view's entity columns and the
        timestamp column `at` (without a time zone it is UTC); `max_age` is how old a feature row may be. Gives the spine's
        columns, and for each view `VIEW_as_of` (which feature row was taken) and its feature columns; nulls where there was
        none. Raises UsageError for an unknown view, missing columns, other types, and names that clash.

        >>> spine = pd.DataFrame({"customer_id": ["12347"], "as_of": pd.to_datetime(["2011-08-01 09:30"])})  # doctest: +SKIP
        >>> lake.feature_set("customer_activity", spine, max_age=timedelta(days=7))  # doctest: +SKIP
        """
        names = (views,) if isinstance(views, str) else tuple(views)
        owners = [self._owner(name) for name in names]
        found = [owner.pipeline.features for owner in owners]
        left = spine if hasattr(spine, "sparkSession") else _spark_frame(self._lake, spine, at)
        rights = [self._features(owner) for owner in owners]
        _require_spine(left, found, rights, at)
        for view, right in zip(found, rights, strict=True):
            left = as_of_join(left, right, view.entity, at, "as_of", max_age)
        return left

    def _owner(self, name: str) -> Configuration:
        """A configuration that declares the view."""
        every = [self._configuration(pipeline) for pipeline in pipeline_names(self._house.configuration.folder)]
        views = {one.pipeline.features.name: one for one in every}
        if name not in views:
            raise UsageError("feature view", got=repr(name), expected=f"one of {', '.join(views)}", next=_nearest(name, tuple(views)))
        return views[name]

    def _features(self, owner: Configuration) -> DataFrame:
        """The rows of the version of the view that the configuration means."""
        from pyspark.sql import functions as F

        view = owner.pipeline.features
        numbers = {found.entry.definition: found.entry.version for found in catalog.read(self._lake, view.name)}
        table = tables.features(view.name, (), (), "", numbers.get(definition(view, owner.contract.timezone), 1)).name
        if not self._lake.exists(table):
            raise UsageError(f"table {table}", got="none", expected="one", next="penstock features PIPELINE --as-of DATE")
        rows = self._lake.read(table)
        columns = [name for name in rows.columns if name not in {*view.entity, "as_of", "_from_version", "_to_version", "run_id"}]
        return rows.select(*view.entity, "as_of", F.col("as_of").alias(f"{view.name}_as_of"), *columns)

    # -- models, scores, runs ------------------------------------------------------------------------------------------

    def candidates(self, pipeline: str) -> pd.DataFrame:
        """Every finished training, the newest first: its version where it was registered, and its figures on the holdout.

        Columns: training_id, as_of (the day it was trained for), version, promotion (0: never in Production),
        in_production, estimator, reason, one for each of the kind's main figures on the holdout and its `rows` (NaN: not known), run_id. No rows before the first training.

        >>> lake.candidates("churn")[["version", "in_production", "auc"]]  # doctest: +SKIP
        """
        import pandas as pd

        from penstock import kinds

        declared = self._configuration(pipeline).pipeline
        name, figures = declared.name, ("rows", *kinds.of(declared.kind).titles)
        columns = ("training_id", "as_of", "version", "promotion", "in_production", "estimator", "reason", *figures, "run_id")
        if not self._has_models():  # opening the store would make an empty one
            return pd.DataFrame(columns=columns)
        with warnings.catch_warnings():  # MLflow imports a progress bar for notebooks, and never shows it
            warnings.filterwarnings("ignore", message="IProgress not found")
            store = self._house.models()
        now = store.production(name)
        versions = {version.run_id: version for version in store.versions(name)}
        rows = [_candidate(run, versions.get(run.run_id), now, figures) for run in store.runs(name)]
        return pd.DataFrame(rows, columns=columns).astype({"version": "Int64"})

    def scores(self, pipeline: str) -> DataFrame:
        """The newest score of each entity, as a Spark frame; `is_active` is false for who has left the population.

        Raises UsageError while nothing has been published.

        >>> lake.scores("churn").where("is_active").orderBy("score", ascending=False).limit(10)  # doctest: +SKIP
        """
        table = tables.predictions_latest(self._configuration(pipeline).pipeline.name, ()).name
        if not self._lake.exists(table):
            raise UsageError(f"scores of {pipeline}", got="none yet", expected=table, next=f"penstock run {pipeline} --as-of DATE")
        return self._lake.read(table)

    def runs(self) -> pd.DataFrame:
        """The ledger, the newest run first: one row a stage of a run, with its counts, versions read and written, and seconds.

        >>> lake.runs().groupby("stage")["seconds"].mean()  # doctest: +SKIP
        """
        import pandas as pd

        if not self._lake.exists(tables.LEDGER):
            return pd.DataFrame(columns=tables.LEDGER.column_names)
        rows = self._lake.read(tables.LEDGER).toArrow().to_pandas(maps_as_pydicts="strict")
        return rows.sort_values("finished_at", ascending=False, kind="stable", ignore_index=True)

    # -- small things --------------------------------------------------------------------------------------------------

    @property
    def _lake(self) -> Lake:
        return self._house.lake()

    def _configuration(self, pipeline: str) -> Configuration:
        return load(self._house.configuration.folder, self.words.env, pipeline)

    def _has_models(self) -> bool:
        return self._house.configuration.settings.mlflow.tracking_uri is not None or (self._house.root / "mlflow" / "mlflow.db").is_file()


def open_lake(lake: str | Path, env: str, conf: str | Path | None) -> Workbench:
    """`penstock.open` with its defaults filled in."""
    return Workbench.open(Words(env=env, conf=None if conf is None else Path(conf), lake=Path(lake)))


def _candidate(run: TrainedRun, version: Version | None, now: Version | None, figures: Sequence[str]) -> tuple[object, ...]:
    return (
        run.tags.get("penstock.training_id"),
        run.tags.get("penstock.as_of"),
        None if version is None else version.version,
        0 if version is None else version.promotion,
        version is not None and now is not None and version.version == now.version,
        run.params.get("estimator"),
        run.tags.get("penstock.reason"),
        *(run.metrics.get(f"holdout.{name}", float("nan")) for name in figures),
        run.run_id,
    )


def _spark_frame(lake: Lake, spine: Any, at: str) -> DataFrame:
    """A pandas spine in Spark, through Arrow, which keeps missing text and whole numbers as they are. Times without a zone are UTC."""
    import pandas as pd
    import pyarrow as pa

    # Zones are taken off and put on again as UTC: pyarrow reads a column with a zone in a way that pandas 4 will end.
    zoned = [name for name in spine.columns if isinstance(spine[name].dtype, pd.DatetimeTZDtype)]
    plain = spine.assign(**{name: spine[name].dt.tz_convert(None) for name in zoned})
    table = pa.Table.from_pandas(plain, preserve_index=False).replace_schema_metadata(None)
    for name in {*zoned, at} & set(table.column_names):
        if pa.types.is_timestamp(table.column(name).type):
            utc = table.column(name).cast(pa.timestamp("us", "UTC"))
            table = table.set_column(table.column_names.index(name), name, utc)
    return lake.spark.createDataFrame(table)


def _require_spine(spine: DataFrame, views: Sequence[View], rights: Sequence[DataFrame], at: str) -> None:
    """Raise UsageError unless the spine has what the join needs, of the tables' types, and no name would stand twice."""
    has = dict(spine.dtypes)
    for view, right in zip(views, rights, strict=True):
        needs = {name: kind for name, kind in right.dtypes if name in view.entity} | {at: "timestamp"}
        if missing := sorted(needs.keys() - has.keys()):
            raise UsageError(
                f"spine for {view.name}", got=f"no column {', '.join(missing)}", expected=", ".join(needs), next="feature_set(…, at=COLUMN)"
            )
        for name, kind in needs.items():
            if has[name] != kind:
                raise UsageError(f"spine's column {name}", got=has[name], expected=kind, next="convert it before the join")
    entities = {name for view in views for name in view.entity}
    taken = [*has, *(name for right in rights for name in right.columns if name not in {*entities, "as_of"})]
    if twice := sorted({name for name in taken if taken.count(name) > 1}):
        raise UsageError(
            "columns of the feature set",
            got=f"{', '.join(twice)} twice",
            expected="each name once",
            next="rename or drop them in the spine",
        )


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=2)
    return f"perhaps {' or '.join(near)}" if near else ""
