"""The versions of a view: which there are, which one a model was trained on, and the tables of each.

A definition that means something else (`spec.definition`) is another version with tables of its own. The catalogue gives
versions their numbers, under the view's lease, and keeps each one's declaration; a model names its version in a tag.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from penstock.config.model import Facts, View
from penstock.errors import RefusedError, UsageError
from penstock.features import catalog, spec
from penstock.features.catalog import Found
from penstock.lake import tables
from penstock.stage import Run

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

TAG = "penstock.features"
"""The tag of a training run and of a model version that names the version of the view it was trained on."""

_NAMED = re.compile(r"([a-z][a-z0-9_]{0,62})@v([1-9][0-9]*):([0-9a-f]{16})")
_MEMO = "features.versions"


@dataclass(frozen=True)
class ViewVersion:
    """One version: its number, the digest of its meaning, and the view as it was declared."""

    number: int
    digest: str
    view: View

    @property
    def tag(self) -> str:
        """How a model names it: `customer_activity@v2:0123456789abcdef`."""
        return f"{self.view.name}@v{self.number}:{self.digest}"

    def __str__(self) -> str:
        return f"version {self.number} of {self.view.name}"


def listed(run: Run) -> tuple[Found, ...]:
    """What the catalogue says of the run's view, read once a run."""
    if _MEMO not in run.memo:
        run.memo[_MEMO] = catalog.read(run.lake, run.pipeline.features.name)
    found: tuple[Found, ...] = run.memo[_MEMO]
    return found


def known(run: Run) -> tuple[ViewVersion, ...]:
    """The versions of the run's view that the catalogue lists, oldest first."""
    first = {f.entry.version: f.entry for f in listed(run)}
    return tuple(ViewVersion(number, entry.definition, _declared(entry)) for number, entry in sorted(first.items()))


def forget(run: Run) -> None:
    """After the catalogue was written: what was read of it holds no more."""
    run.memo.pop(_MEMO, None)


def current(run: Run) -> ViewVersion:
    """The version that the configuration means; one that is not in the catalogue yet has the next number.

    Raises UsageError when the view's entity was another before: labels and scores are kept by it.
    """
    view = run.pipeline.features
    digest, before = spec.definition(view, run.contract.timezone), known(run)
    for other in before:
        if other.view.entity != view.entity:
            raise UsageError(
                f"features.entity of {view.name}",
                got=", ".join(view.entity),
                expected=f"{', '.join(other.view.entity)}, by which its rows, labels and scores are kept",
                left="Nothing was written",
                next=f"restore it, or give the view and the pipeline {run.pipeline.name} new names",
            )
    same = next((v for v in before if v.digest == digest), None)
    number = same.number if same else max((v.number for v in before), default=0) + 1
    return ViewVersion(number, digest, view)


def numbered(run: Run, number: int) -> ViewVersion:
    """The version with a number that `current`, `kept` or `of_model` gave before."""
    wanted = current(run)
    return wanted if wanted.number == number else next(v for v in known(run) if v.number == number)


def kept(run: Run) -> tuple[ViewVersion, ...]:
    """The versions that are kept up to date, oldest first: the configuration's, and the one that Production was trained on."""
    wanted = current(run)
    if all(v.digest == wanted.digest for v in known(run)):
        return (wanted,)  # there is no other, and nobody has to be asked
    model = run.services.models().production(run.pipeline.name)
    served = None if model is None else named_by(run, model.tags)
    # After a change of the time zone an older version's days are others: it cannot go on.
    if served is None or spec.definition(served.view, run.contract.timezone) != served.digest:
        return (wanted,)
    return tuple(sorted({v.number: v for v in (served, wanted)}.values(), key=lambda v: v.number))


def named_by(run: Run, tags: Mapping[str, str]) -> ViewVersion | None:
    """The version that a model's tags name; None when they name none, or one that the catalogue does not list."""
    found = _NAMED.fullmatch(tags.get(TAG, ""))
    if found is None or found[1] != run.pipeline.features.name:
        return None
    wanted = current(run)
    everything = {v.number: v for v in (*known(run), wanted)}
    named = everything.get(int(found[2]))
    return named if named is not None and named.digest == found[3] else None


def of_model(run: Run, what: str, tags: Mapping[str, str]) -> ViewVersion:
    """The version that a model was trained on, with its rows in the lake.

    Raises RefusedError when the model names none or its rows are gone: it is never scored with those of another.
    """
    named = named_by(run, tags)
    if named is not None and run.lake.exists(view_tables(run, named)[1]):
        return named
    raise RefusedError(
        f"features of {what}",
        got=f"{tags[TAG]}, whose rows are not in this lake" if TAG in tags else f"no tag {TAG}",
        expected="the version of the view that it was trained on, and its rows",
        left="It was not scored; the last scores stay",
        next=f"penstock train {run.pipeline.name} --as-of {run.day}, or bring the tables back",
    )


def view_tables(run: Run, version: ViewVersion) -> tuple[tables.Table, tables.Table]:
    """The tiles table of the view's own source and the feature table of a version."""
    view = version.view
    columns = spec.feature_columns(view)
    return tile_table(run, version, view), tables.features(view.name, run.key, columns, version.digest, version.number)


def candidate_table(run: Run, version: ViewVersion) -> tables.Table:
    """The table of the items beside each entity, of a version whose view has candidates."""
    assert version.view.candidates is not None
    return tables.candidates(version.view.name, run.key, version.view.candidates.columns(), version.number)


def joined_tables(run: Run, version: ViewVersion) -> tuple[tables.Table, ...]:
    """The tiles tables of the joined sources of a version, in their order."""
    return tuple(tile_table(run, version, part) for part in version.view.joined)


def tile_table(run: Run, version: ViewVersion, facts: Facts) -> tables.Table:
    """The tiles table of a version's own source (`facts` is the view itself) or of one that it joins."""
    name = version.view.name if facts is version.view else f"{version.view.name}__{facts.name}"
    key = [column for column in run.key if column[0] in facts.entity]
    return tables.tiles(name, key, [(s.name, s.type) for s in spec.tile_states(facts)], version.number)


def in_population(run: Run, of: DataFrame, view_version: int) -> DataFrame:
    """Those of a version's feature rows whose entity is in the population at their `as_of`, as the configuration's version has it."""
    from pyspark.sql import functions as F

    if view_version == current(run).number:
        return of.where(F.expr(run.pipeline.population))
    key = [*(name for name, _ in run.key), "as_of"]
    members = rows(run, current(run)).where(F.expr(run.pipeline.population)).select(*key)
    return of.join(members, on=key, how="left_semi")


def rows(run: Run, version: ViewVersion, at: int | None = None) -> DataFrame:
    """A version's feature rows, at a version of their table or the newest. Raises UsageError when there are none yet."""
    _, feature_table = view_tables(run, version)
    if not run.lake.exists(feature_table):
        raise UsageError(
            f"rows of {version}",
            got="none",
            expected=f"the table {feature_table.name}",
            next=f"penstock features {run.pipeline.name} --as-of {run.day}",
        )
    return run.lake.read(feature_table, at)


def _declared(entry: catalog.Entry) -> View:
    try:
        return View.model_validate_json(entry.declaration)
    except ValidationError as error:
        raise UsageError(
            f"declaration of version {entry.version} of {entry.view} in feature_catalog",
            got=f"{error.error_count()} faults",
            expected="a view as this release reads it",
            next="use the release that wrote it, or give the view a new name",
        ) from error
