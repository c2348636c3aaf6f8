"""The configuration as frozen values: settings of the place it runs in, and one pipeline's whole story.

`load.py` reads and merges the files; this module says what may stand in them. Window lengths are whole days
(`30d`) or `all`; expressions are Spark SQL over the columns named beside them and are parsed by Spark before use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from penstock.config import kinds, reasons
from penstock.config.candidates import Candidates
from penstock.config.label import Label, Schedule, Treated
from penstock.config.monitoring import MonitoringConfig
from penstock.config.publish import Band, PublishConfig
from penstock.config.purpose import Purpose, Stakes
from penstock.config.ranking import Ranking
from penstock.config.training import TrainingConfig
from penstock.config.types import Expression, Name, Reasons, SqlType, TableName, Window
from penstock.config.values import Frozen

_VERSIONED = re.compile(r".*_v[0-9]+")


class Described(Frozen):
    """What people ask of a feature before they use it; no part of its meaning, so that a change of it makes no new version."""

    description: str = ""
    owner: str = ""
    """Who answers for it; the view's owner for a column without one, the pipeline's for a view without one."""
    tags: tuple[str, ...] = ()
    """Words to find it by. A column has those of its view as well."""
    restrictions: tuple[str, ...] = ()
    """What it must not be used for, or needs leave for: `pii`, `not for pricing`. A column has those of its view as well."""


AggregateFunction = Literal[
    "count",
    "sum",
    "mean",
    "min",
    "max",
    "std",
    "first",
    "last",
    "count_distinct",
    "collect_set",
    "days_since_last",
    "days_since_first",
    "active_days",
]
"""`collect_set` gives the different values themselves, as text in order; it is for labels and candidates, and no model takes it."""


class Aggregate(Described):
    """One aggregation of events. With `windows` it gives a column `NAME_WINDOW` each, without them one column `NAME` over all history."""

    name: Name
    function: AggregateFunction
    of: Expression | None = None
    """The value that is aggregated, over the source's columns; not for count, active_days and the days_since functions."""
    when: Name | None = None
    """Which events count: a key of the view's `events`; all of them when absent."""
    windows: tuple[Window, ...] = ()
    type: SqlType | None = None
    """Spark SQL type of sums (`decimal(18,3)` keeps money exact), minima, maxima, first and last; double when absent."""
    reason: Reasons = ()
    """How a reason is worded that is about this column; made from the description and the value when absent."""
    reason_with: Name | None = None
    """Another aggregate or derived column in whose reason this one is counted, when the two say the same."""

    @model_validator(mode="after")
    def _value_fits_function(self) -> Aggregate:
        needs = self.function in {"sum", "mean", "min", "max", "std", "first", "last", "count_distinct", "collect_set"}
        if needs != (self.of is not None):
            raise ValueError(f"`of` in {self.name}: {self.function} takes {'a value' if needs else 'none'}")
        if self.function.startswith("days_since") and self.windows:
            raise ValueError(f"`windows` in {self.name}: {self.function} looks at all history and takes none")
        return self


class Derived(Described):
    """A column computed from the view's other columns, in the order given."""

    name: Name
    expression: Expression
    type: SqlType = "double"
    reason: Reasons = ()
    reason_with: Name | None = None


class FeatureCheck(Frozen):
    """A condition that every feature row must meet before the rows are written."""

    name: Name
    holds: Expression


class Facts(Described):
    """What one source says of an entity over time: events that become tiles, and what is aggregated of them at any `as_of`."""

    name: Name
    source: Name
    entity: tuple[Name, ...] = Field(min_length=1)
    event_time: Name
    availability_delay_days: int = Field(default=0, ge=0, le=365)
    """Days between an event's known time and its use in features, on top of what the source declares."""
    where: Expression = "true"
    events: dict[Name, Expression] = Field(default_factory=dict)
    """Named row conditions over the source's columns, used by `when`."""
    aggregates: tuple[Aggregate, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _events_are_named(self) -> Facts:
        if _VERSIONED.fullmatch(self.name) or "__" in self.name:
            raise ValueError(
                f"`name`: got {self.name}, expected one without __ that does not end in _v and a number: tables of parts and versions are named so"
            )
        unknown = [a.when for a in self.aggregates if a.when and a.when not in self.events]
        if unknown:
            raise ValueError(f"`when` in {self.name}: got {', '.join(unknown)}, expected one of {', '.join(self.events)}")
        return self

    def aggregate_columns(self) -> tuple[str, ...]:
        """The columns of the aggregates, by window, in table order."""
        return tuple(n for a in self.aggregates for n in ([f"{a.name}_{w}" for w in a.windows] or [a.name]))


class Joined(Facts):
    """What another source says of the view's entity, as it was known at each `as_of`.

    `entity` are columns of the view's entity, all or some of them, under the same names in this source's contract. An entity
    that the source says nothing of has counts and sums of zero and is null in all else.
    """


class View(Facts):
    """A feature view: one entity's events as tiles, and from them the features at any `as_of`, with what other sources know of it."""

    joined: tuple[Joined, ...] = ()
    candidates: Candidates | None = None
    """Items beside each entity: with them a model takes a row for each (entity, item), which has the view's columns and the candidates' own."""
    derived: tuple[Derived, ...] = ()
    checks: tuple[FeatureCheck, ...] = ()
    max_row_count_change: float = Field(default=0.5, gt=0)
    """A cohort whose row count differs from the last one by more than this share stops the run."""
    publish: Literal["online"] | None = None
    """`online`: the newest rows are in Redis as well, where applications read them (`FeatureReader`); in the lake alone when absent.
    No part of the view's meaning, and of no version of it."""

    @model_validator(mode="after")
    def _names_fit(self) -> View:
        parts = [j.name for j in self.joined]
        if repeated := sorted({n for n in parts if parts.count(n) > 1}):
            raise ValueError(f"`joined` of {self.name}: {', '.join(repeated)} stands twice")
        for part in self.joined:
            if odd := [n for n in part.entity if n not in self.entity]:
                raise ValueError(
                    f"`entity` in {part.name}: got {', '.join(odd)}, expected columns of the view's entity: {', '.join(self.entity)}"
                )
        names = [*self.entity, "as_of", *self.column_names()]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"columns of view {self.name}: {', '.join(twice)} named more than once")
        if self.candidates is not None:
            sets = [a.name for a in self.aggregates if a.function == "collect_set"]
            if self.candidates.items not in sets:
                raise ValueError(
                    f"candidates.items: got {self.candidates.items}, expected an aggregate of {self.name} with collect_set: {', '.join(sets) or 'there is none'}"
                )
            if self.candidates.group_by is not None and self.candidates.group_by not in self.plain_columns():
                raise ValueError(f"candidates.group_by: got {self.candidates.group_by}, expected a column of {self.name}")
            if both := sorted({"item", *(name for name, _ in self.candidates.columns())} & set(names)):
                raise ValueError(f"columns of view {self.name}: got {', '.join(both)}, which its candidates have, expected other names")
        wrong = list(reasons.faults(self))
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def declared(self) -> tuple[Aggregate | Derived, ...]:
        """All that columns are made of, in table order."""
        return (*self.aggregates, *(a for part in self.joined for a in part.aggregates), *self.derived)

    def column_names(self) -> tuple[str, ...]:
        """Feature columns in table order: aggregates (by window), those of the joined sources, then derived ones."""
        joined = (name for part in self.joined for name in part.aggregate_columns())
        return (*self.aggregate_columns(), *joined, *(d.name for d in self.derived))

    def plain_columns(self) -> tuple[str, ...]:
        """The view's own columns that are a number or text."""
        sets = {name for a in self.aggregates if a.function == "collect_set" for name in ([f"{a.name}_{w}" for w in a.windows] or [a.name])}
        return tuple(name for name in self.column_names() if name not in sets)

    def example_columns(self) -> tuple[str, ...]:
        """The columns that a model may take: the view's that are a number or text, and those of its candidates."""
        own = self.plain_columns()
        return own if self.candidates is None else (*own, *self.candidates.taken())


class Promotion(Frozen):
    """Who moves the alias `production` after the gates have passed."""

    approval: Literal["manual", "policy"] = "manual"


class Pipeline(Frozen):
    """One prediction problem, in the data's order."""

    name: Name
    kind: kinds.KindName = "classification"
    """What a score is: the probability of a label of 1, in a regression the number itself; in a ranking it orders an entity's items."""
    purpose: Purpose
    source: Name
    features: View
    schedule: Schedule
    population: Expression
    label: Label
    treated: Treated | None = None
    ranking: Ranking | None = None
    """Of a ranking alone, which has it with its defaults."""
    training: TrainingConfig
    monitoring: MonitoringConfig
    publish: PublishConfig

    @property
    def feature_sources(self) -> tuple[str, ...]:
        """The sources that features are made of, each once, the pipeline's own first."""
        return tuple(dict.fromkeys((self.source, *(part.source for part in self.features.joined))))

    @property
    def sources(self) -> tuple[str, ...]:
        """All sources that the pipeline lands, each once, the pipeline's own first."""
        more = (self.label.source, self.treated.source if self.treated else None)
        return tuple(dict.fromkeys((*self.feature_sources, *(name for name in more if name))))

    @property
    def stakes(self) -> Stakes | None:
        """What one decision is worth; None where the purpose does not say."""
        return self.purpose.stakes(self.publish.digits)

    @field_validator("purpose", "training", "monitoring", "publish")
    @classmethod
    def _fits_the_kind(cls, given: Any, info: ValidationInfo) -> Any:
        """Each part with the defaults of the kind, or what does not fit it."""
        kind, part = info.data.get("kind"), getattr(kinds, str(info.field_name))
        return given if kind is None else part(kind, given)

    @field_validator("publish")
    @classmethod
    def _bands_come_from_the_purpose(cls, publish: PublishConfig, info: ValidationInfo) -> PublishConfig:
        """Without bands of its own a purpose with amounts gives them; bands of its own must show the list."""
        purpose: Purpose | None = info.data.get("purpose")
        stakes = purpose.stakes(publish.digits) if purpose else None
        if stakes is None:
            return publish
        if "bands" not in publish.model_fields_set:
            return publish.model_copy(update={"bands": tuple(Band(name=name, lower=lower) for name, lower in stakes.bands())})
        if not any(abs(band.lower - stakes.threshold) < 0.5 * 10**-publish.digits for band in publish.bands):
            raise ValueError(
                f"bands: got lower bounds {[band.lower for band in publish.bands]}, "
                f"expected one at {stakes.threshold:g}, where purpose.worth breaks even, or no bands: they then follow from it"
            )
        return publish

    @model_validator(mode="after")
    def _parts_fit(self) -> Pipeline:
        if self.features.source != self.source:
            raise ValueError(f"features.source: got {self.features.source}, expected {self.source}")
        if self.label.view is not None and self.label.view != self.features.name:
            raise ValueError(f"label.view: got {self.label.view}, expected {self.features.name}")
        if faults := list(self._unlike_the_kind()):
            raise ValueError("; ".join(faults))
        columns, plain = set(self.features.example_columns()), set(self.features.plain_columns())
        named = {
            "training.baselines": [b.column for b in self.training.baselines if b.column],
            "training.features": list(self.training.features or ()),
            "training.exclude": list(self.training.exclude),
            "training.candidates": [name for c in self.training.candidates for name in c.features or ()],
        }
        # These put entities into groups: by a column of the items one list would be in several.
        grouping = {
            "training.segments": [s.column for s in self.training.segments],
            "monitoring.segments": list(self.monitoring.segments),
            "publish.fallback": [self.publish.fallback.by] if self.publish.fallback.by else [],
        }
        unknown = [f"{where}: {name}" for where, names in named.items() for name in names if name not in columns]
        unknown += [f"{where}: {name}" for where, names in grouping.items() for name in names if name not in plain]
        if unknown:
            raise ValueError(f"columns that the view {self.features.name} does not have: {', '.join(unknown)}")
        return self

    @property
    def lists(self) -> Ranking:
        """How the lists of a ranking are made."""
        return self.ranking or Ranking()

    @property
    def control_baseline(self) -> str:
        """The column by which the control group's lists are ordered, in a ranking."""
        named = {b.name: b.column for b in self.training.baselines}
        return str(named[self.lists.control or self.training.baselines[0].name])

    def _unlike_the_kind(self) -> Iterator[str]:
        """What belongs to rankings alone, and is here without one; or is missing in one."""
        if self.kind != "ranking":
            if self.features.candidates is not None:
                yield f"features.candidates: got items to choose from, expected none in a {self.kind}"
            if self.ranking is not None:
                yield f"ranking: got a list's length, expected none in a {self.kind}"
            return
        if self.features.candidates is None:
            yield "features.candidates: missing, expected where the items of a ranking come from"
        if self.label.view is None:
            yield "label.source: got rows of outcomes, expected label.view in a ranking: the items chosen within the horizon"
        names = [b.name for b in self.training.baselines]
        if self.lists.control is not None and self.lists.control not in names:
            yield f"ranking.control: got {self.lists.control}, expected one of training.baselines: {', '.join(names)}"


class SparkSettings(Frozen):
    """How to reach Spark."""

    remote: str | None = None
    """`sc://host:port` of a Connect server; a local session when absent."""
    master: str | None = None
    """`local[2]`, `spark://…`; left to spark-submit or the platform when absent."""
    driver_memory: str = "2g"
    java_options: str = ""
    """Options of a local session's Java; empty for Java's own. `-XX:TieredStopAtLevel=1 -XX:+UseSerialGC` keeps its compiler and
    its collector from taking the processors off a short job, and slows one that works for minutes on millions of rows."""
    shuffle_partitions: int = Field(default=2, ge=1)
    snapshot_partitions: int = Field(default=1, ge=1)
    """Partitions of Delta's own log jobs: 1 for a small local lake, 50 is Delta's default."""


class LakeSettings(Frozen):
    """Where the tables are: a folder, or a Unity Catalog schema."""

    catalog: str | None = None
    schema_name: str | None = Field(default=None, alias="schema")
    landing: str | None = None
    """Folder (or URI) that holds one subfolder a source; LAKE/landing when absent."""
    staging: str | None = None
    """Folder (or URI, a volume on Databricks) for what a stage computes once and reads several times; LAKE/_work when absent."""


class MlflowSettings(Frozen):
    """Where MLflow is; a SQLite store in the lake when absent."""

    tracking_uri: str | None = None
    registry_uri: str | None = None


class LeaseSettings(Frozen):
    """When a lease whose holder is silent may be taken over; a local lake's file lock frees it at once."""

    timeout_minutes: int = Field(default=120, ge=1)


class Settings(Frozen):
    """Everything that depends on the place, and the pipelines."""

    env: str
    lake: LakeSettings = LakeSettings()
    spark: SparkSettings = SparkSettings()
    mlflow: MlflowSettings = MlflowSettings()
    leases: LeaseSettings = LeaseSettings()
    promotion: Promotion = Promotion()
    sources: dict[Name, TableName] = Field(default_factory=dict)
    """Source → the catalog's name of its table here, in place of the one in the contract (`schema.physicalName`)."""


class Place(Frozen):
    """Where this invocation works: the resolved lake folder and the configuration folder."""

    root: Path
    conf: Path
