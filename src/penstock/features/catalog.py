"""The catalogue of features: what each column of each version of a view is, for people who search; pure but for `read`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from penstock import clock
from penstock.config.model import Aggregate, Derived, Pipeline
from penstock.features import spec
from penstock.lake.contract import Contract
from penstock.lake.expressions import names_in
from penstock.lake.tables import FEATURE_CATALOG

if TYPE_CHECKING:
    from penstock.lake.delta import Lake


@dataclass(frozen=True)
class Entry:
    """One column of one version of a view. `definition` is the version's digest, `meaning` the column's own.

    `declaration` is the whole view as JSON, from which its version can go on being computed; `revision` counts the times
    that its words changed and its meaning did not.
    """

    view: str
    version: int
    column: str
    revision: int
    kind: str
    type: str
    description: str
    owner: str
    tags: tuple[str, ...]
    restrictions: tuple[str, ...]
    source: str
    source_columns: tuple[str, ...]
    computed: str
    meaning: str
    definition: str
    declaration: str


@dataclass(frozen=True)
class Found:
    """An entry as the catalogue holds it, with the instant at which its version was made."""

    entry: Entry
    created_at: datetime


def entries(pipeline: Pipeline, contracts: Mapping[str, Contract], version: int, revision: int) -> tuple[Entry, ...]:
    """The rows of a pipeline's view under a version number, in table order."""
    view = pipeline.features
    meanings, definition = spec.column_meanings(view), spec.definition(view, contracts[pipeline.source].timezone)
    declaration = view.model_dump_json(exclude={"publish"})  # where rows are read is no part of what they are
    origins: dict[str, frozenset[str]] = {}
    sources: dict[str, str] = {}

    def entry(name: str, kind: str, type_: str, column: Aggregate | Derived, computed: str) -> Entry:
        return Entry(
            view=view.name,
            version=version,
            column=name,
            revision=revision,
            kind=kind,
            type=type_,
            description=column.description,
            owner=column.owner or view.owner or pipeline.purpose.owner,
            tags=_once(view.tags, column.tags),
            restrictions=_once(view.restrictions, column.restrictions),
            source=sources[name],
            source_columns=tuple(sorted(origins[name])),
            computed=computed,
            meaning=meanings[name],
            definition=definition,
            declaration=declaration,
        )

    made = []
    for facts in (view, *view.joined):
        known = {c.name for c in contracts[facts.source].columns}
        shared = _columns(known, facts.where) | {facts.event_time}
        for output in spec.outputs(facts):
            a = output.aggregate
            when = facts.events[a.when] if a.when else None
            origins[output.name], sources[output.name] = frozenset(shared | _columns(known, a.of or "", when or "")), facts.source
            made.append(entry(output.name, "aggregate", output.type, a, _computed(a, when, output.days)))
    for derived in view.derived:
        named = sorted(names_in(derived.expression) & origins.keys())
        origins[derived.name] = frozenset().union(*(origins[name] for name in named))
        sources[derived.name] = ", ".join(dict.fromkeys(sources[name] for name in named)) or view.source
        made.append(entry(derived.name, "derived", derived.type, derived, " ".join(derived.expression.split())))
    return tuple(made)


def search(found: Iterable[Found], text: str = "", *, every_version: bool = False) -> tuple[Found, ...]:
    """The entries in which every word of `text` stands (in name, view, description, owner or tags; upper or lower case), by view and column.

    Of a column that several versions have, the newest alone unless `every_version`.
    """
    wanted = text.casefold().split()
    newest: dict[tuple[str, str, int], Found] = {}
    for one in sorted(found, key=lambda f: f.entry.version):
        newest[one.entry.view, one.entry.column, one.entry.version if every_version else 0] = one
    return tuple(one for _, one in sorted(newest.items()) if all(word in _searched(one.entry) for word in wanted))


def read(lake: Lake, view: str | None = None) -> tuple[Found, ...]:
    """The newest revision of every version, of one view or all; none while no catalogue is there."""
    from pyspark.sql import functions as F

    if not lake.exists(FEATURE_CATALOG):
        return ()
    rows = lake.read(FEATURE_CATALOG)
    rows = rows if view is None else rows.where(F.col("view") == view)
    ages = rows.groupBy("view", "version").agg(F.max("revision").alias("revision"), F.unix_micros(F.min("created_at")).alias("created"))
    newest = rows.drop("created_at").join(ages, on=["view", "version", "revision"], how="inner")
    return tuple(Found(_entry(row.asDict()), clock.from_epoch(row["created"])) for row in newest.collect())


def _entry(row: dict[str, Any]) -> Entry:
    values: dict[str, Any] = {f.name: row[f.name] for f in fields(Entry)}
    return Entry(**(values | {name: tuple(value) for name, value in values.items() if isinstance(value, list)}))


def _columns(known: set[str], *expressions: str) -> set[str]:
    return {name for text in expressions for name in names_in(text)} & known


def _once(*parts: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for part in parts for word in part))


def _computed(a: Aggregate, when: str | None, days: int | None) -> str:
    where = f" where {' '.join(when.split())}" if when else ""
    over = f" over {days} days" if days else " over all history"
    return f"{a.function}({' '.join((a.of or '').split())}){where}{over}"


def _searched(entry: Entry) -> str:
    return "\n".join((entry.column, entry.view, entry.description, entry.owner, *entry.tags)).casefold()
