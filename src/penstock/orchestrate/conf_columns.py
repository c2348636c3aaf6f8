"""Which columns the expressions of a pipeline and a contract may name, and those that they name in vain: pure, no Spark.

Names are compared as Spark does, without regard to case. Whether an expression parses is Spark's to say, when a run begins.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping

from penstock.config.model import Facts, Pipeline
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


def pipeline_faults(pipeline: Pipeline, contracts: Mapping[str, Contract]) -> Iterator[Fault]:
    """Columns that the pipeline names, in lists and in expressions, and that nothing before them gives."""
    view = pipeline.features
    yield from _facts_faults("features", view, contracts[view.source])
    for n, part in enumerate(view.joined):
        yield from _facts_faults(f"features.joined.{n}", part, contracts[part.source], contracts[view.source])
    columns = [*view.entity, "as_of", *view.aggregate_columns(), *(name for part in view.joined for name in part.aggregate_columns())]
    for at, derived in enumerate(view.derived):
        yield from _unknown(f"features.derived.{at}.expression", derived.expression, columns)
        columns.append(derived.name)
    for at, check in enumerate(view.checks):
        yield from _unknown(f"features.checks.{at}.holds", check.holds, columns)
    yield from _unknown("population", pipeline.population, columns)
    yield from _label_faults(pipeline, contracts)


def _facts_faults(where: str, facts: Facts, contract: Contract, keyed: Contract | None = None) -> Iterator[Fault]:
    """`keyed` is the contract whose types the entity's columns must have, when it is another."""
    types = dict(contract.lake_columns)
    source = [*types, *_META]
    yield from _key_faults(f"{where}.entity", facts.entity, contract, keyed or contract)
    yield from _time_faults(f"{where}.event_time", facts.event_time, contract)
    yield from _unknown(f"{where}.where", facts.where, source)
    for name, condition in facts.events.items():
        yield from _unknown(f"{where}.events.{name}", condition, source)
    for at, aggregate in enumerate(facts.aggregates):
        if aggregate.of is not None:
            yield from _unknown(f"{where}.aggregates.{at}.of", aggregate.of, source)


def _label_faults(pipeline: Pipeline, contracts: Mapping[str, Contract]) -> Iterator[Fault]:
    view, label, treated = pipeline.features, pipeline.label, pipeline.treated
    if label.source is None:
        yield from _unknown("label.expression", label.expression, [*view.entity, "as_of", *horizon_columns(view)])
    else:
        contract = contracts[label.source]
        yield from _key_faults("label.source", view.entity, contract, contracts[view.source])
        for key, name in (("event_time", label.event_time), ("about", label.about)):
            if name is not None:
                yield from _time_faults(f"label.{key}", name, contract)
        yield from _unknown("label.expression", label.expression, [name for name, _ in contract.lake_columns])
    if treated is not None:
        contract = contracts[treated.source]
        yield from _key_faults("treated.source", view.entity, contract, contracts[view.source])
        yield from _time_faults("treated.event_time", treated.event_time, contract)
        yield from _unknown("treated.when", treated.when, [name for name, _ in contract.lake_columns])


def _key_faults(key: str, entity: Iterable[str], contract: Contract, keyed: Contract) -> Iterator[Fault]:
    types, wanted = dict(contract.lake_columns), dict(keyed.lake_columns)
    for name in entity:
        yield from _absent(key, [name], types)
        if types.get(name) != wanted.get(name) and name in types and name in wanted:
            yield key, f"got {name} as {types[name]} in {contract.name}, expected {wanted[name]} as in {keyed.name}"


def _time_faults(key: str, name: str, contract: Contract) -> Iterator[Fault]:
    types = dict(contract.lake_columns)
    yield from _absent(key, [name], types)
    if (kind := types.get(name, "timestamp")) not in {"timestamp", "date"}:
        yield key, f"got {name}, a {kind}, expected a timestamp or a date"


def _unknown(key: str, expression: str, known: Iterable[str]) -> Iterator[Fault]:
    yield from _absent(key, columns_named(expression), known)


def _absent(key: str, names: Iterable[str], known: Iterable[str]) -> Iterator[Fault]:
    there = [name.casefold() for name in known]
    for name in names:
        if name.casefold() not in there:
            near = difflib.get_close_matches(name.casefold(), there, n=3, cutoff=0.6)
            shown = near or [n for n in there if not n.startswith("_")][:8]
            yield key, f"names {name}, expected a column that is there{': ' if near else ', such as '}{', '.join(shown)}"
