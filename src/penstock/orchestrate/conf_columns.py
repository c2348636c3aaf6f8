"""Which columns the expressions of a pipeline and a contract may name, and those that they name in vain: pure, no Spark.

Names are compared as Spark does, without regard to case. Whether an expression parses is Spark's to say, when a run begins.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from penstock.config.model import Pipeline
from penstock.features.asof import horizon_columns
from penstock.lake.contract import Contract
from penstock.lake.expressions import columns_named

_META = ("_file", "_row", "_file_digest", "_known_at")
_TAKEN = {"run_id"}
"""Columns that landing adds to those of every contract."""

Fault = tuple[str, str]
"""(key, what is wrong with it)"""


def contract_faults(contract: Contract) -> Iterator[Fault]:
    """Columns that the contract's own expressions name and it does not have."""
    own = [column.name for column in contract.columns]
    for at, column in enumerate(contract.columns):
        if column.name in _TAKEN:
            yield (
                f"schema.0.properties.{at}.name",
                f"got {column.name}, expected another name: the lake's own tables have a column of this one",
            )
        if column.transform:
            yield from _unknown(f"schema.0.properties.{at}.transformLogic", column.transform, [*own, *_META])
    for rule in contract.row_rules:
        yield from _unknown(f"schema.0.quality.{rule.name}.implementation", rule.condition, [*own, *_META])


def pipeline_faults(pipeline: Pipeline, contract: Contract) -> Iterator[Fault]:
    """Columns that the pipeline names, in lists and in expressions, and that nothing before them gives."""
    view = pipeline.features
    types = dict(contract.lake_columns)
    source = [*types, *_META]
    for name in view.entity:
        yield from _absent("features.entity", [name], types)
    yield from _absent("features.event_time", [view.event_time], types)
    if (kind := types.get(view.event_time, "timestamp")) not in {"timestamp", "date"}:
        yield "features.event_time", f"got {view.event_time}, a {kind}, expected a timestamp or a date"
    yield from _unknown("features.where", view.where, source)
    for name, condition in view.events.items():
        yield from _unknown(f"features.events.{name}", condition, source)
    columns = [*view.entity, "as_of"]
    for at, aggregate in enumerate(view.aggregates):
        if aggregate.of is not None:
            yield from _unknown(f"features.aggregates.{at}.of", aggregate.of, source)
        columns += [f"{aggregate.name}_{w}" for w in aggregate.windows] or [aggregate.name]
    for at, derived in enumerate(view.derived):
        yield from _unknown(f"features.derived.{at}.expression", derived.expression, columns)
        columns.append(derived.name)
    for at, check in enumerate(view.checks):
        yield from _unknown(f"features.checks.{at}.holds", check.holds, columns)
    yield from _unknown("population", pipeline.population, columns)
    yield from _unknown("label.expression", pipeline.label.expression, [*view.entity, "as_of", *horizon_columns(view)])


def _unknown(key: str, expression: str, known: Iterable[str]) -> Iterator[Fault]:
    yield from _absent(key, columns_named(expression), known)


def _absent(key: str, names: Iterable[str], known: Iterable[str]) -> Iterator[Fault]:
    there = [name.casefold() for name in known]
    for name in names:
        if name.casefold() not in there:
            near = difflib.get_close_matches(name.casefold(), there, n=3, cutoff=0.6)
            shown = near or [n for n in there if not n.startswith("_")][:8]
            yield key, f"names {name}, expected a column that is there{': ' if near else ', such as '}{', '.join(shown)}"
