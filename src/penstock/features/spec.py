"""What a view's aggregates need in a tile, and how tiles give them over a window: pure text, no Spark.

A tile holds for each aggregate a *mergeable* state (a sum, a set, an extreme with its time), so that any window of
whole hops is a merge of tiles. States are named `AGGREGATE__PART`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from penstock.config.load import digest_of
from penstock.config.model import Aggregate, Facts, View
from penstock.lake.expressions import names_in, normalised
from penstock.lake.tables import Column

EVENT_TIME = "__event_time"
"""The event's instant, in the frame from which tiles are made."""

LIVE = "__live"
"""Whether the event is valid at the tile's `known_at`, in that frame."""

EVENTS = "events"
"""The tile column that counts its events; a day that lost them all has 0."""

NOTHING = {"count": "0", "sum": "0", "count_distinct": "0", "active_days": "0", "collect_set": "CAST(array() AS array<string>)"}
"""What functions give where there is no event, as text; the others are null there."""


@dataclass(frozen=True)
class State:
    """One column of a tile: name, type, and the aggregate expression over an entity-day's events."""

    name: str
    type: str
    expression: str


@dataclass(frozen=True)
class Output:
    """One feature column: name, type, the aggregate it comes from, and its window in days (None: all history)."""

    name: str
    type: str
    aggregate: Aggregate
    days: int | None


def states(aggregate: Aggregate, view: Facts) -> tuple[State, ...]:
    """The tile columns of an aggregate. `sum(CASE …)` and its kin skip nulls, as SQL does."""
    when = f"({LIVE} AND ({view.events[aggregate.when]}))" if aggregate.when else LIVE
    value, kind = f"({aggregate.of})", aggregate.type or "double"
    chosen = f"CASE WHEN {when} THEN {value} END"
    number = f"CAST({chosen} AS {kind})"
    at = f"CASE WHEN {when} THEN {EVENT_TIME} END"

    def state(part: str, type_: str, expression: str) -> State:
        return State(f"{aggregate.name}__{part}", type_, expression)

    count = state("n", "bigint", f"count(CASE WHEN {when} AND {value} IS NOT NULL THEN 1 END)")
    total = state("sum", kind, f"sum({number})")
    match aggregate.function:
        case "count":
            return (state("n", "bigint", f"count(CASE WHEN {when} THEN 1 END)"),)
        case "active_days":
            return (state("n", "bigint", f"CAST(coalesce(bool_or({when}), false) AS bigint)"),)
        case "sum":
            return (total,)
        case "mean":
            return (total, count)
        case "std":
            # The cast comes before the product: whole numbers would overflow, and a product has twice the decimals.
            return (total, state("squares", _squares(kind), f"sum({number} * {number})"), count)
        case "min" | "max":
            return (state(aggregate.function, kind, f"{aggregate.function}({number})"),)
        case "count_distinct":
            # A 64-bit hash of the value: sets of fixed-width numbers merge fast, and two of a million values meet once in 10^7 sets.
            # The hash of a null is a number like any other, so nulls are left out by hand.
            hashed = f"CASE WHEN {when} AND {value} IS NOT NULL THEN xxhash64({value}) END"
            return (state("set", "array<bigint>", f"array_sort(collect_set({hashed}))"),)
        case "collect_set":
            return (state("values", "array<string>", f"array_sort(collect_set(CAST({chosen} AS string)))"),)
        case "first" | "last":
            order = "min" if aggregate.function == "first" else "max"
            # Ties in time are broken by the value itself, so that the same rows give the same answer in any order.
            pair = (
                f"{order}(CASE WHEN {when} AND {value} IS NOT NULL THEN struct({EVENT_TIME} AS at, CAST({value} AS {kind}) AS value) END)"
            )
            return (state("pair", f"struct<at:timestamp,value:{kind}>", pair),)
        case "days_since_last":
            return (state("at", "timestamp", f"max({at})"),)
        case "days_since_first":
            return (state("at", "timestamp", f"min({at})"),)


def tile_states(view: Facts) -> tuple[State, ...]:
    """All tile columns of a view's own source, or of a joined one, in order."""
    return (State(EVENTS, "bigint", f"count_if({LIVE})"), *(s for a in view.aggregates for s in states(a, view)))


def outputs(view: Facts) -> tuple[Output, ...]:
    """The aggregate feature columns that come from a view's own source, or from a joined one, in table order."""
    return tuple(Output(name, _type(a), a, _days(window)) for a in view.aggregates for name, window in _named(a))


def feature_columns(view: View) -> tuple[Column, ...]:
    """Names and types of all feature columns, derived ones last."""
    made = (*outputs(view), *(o for part in view.joined for o in outputs(part)))
    return (*((o.name, o.type) for o in made), *((d.name, d.type) for d in view.derived))


def merged(output: Output, within: Callable[[int | None], str], days_since: str) -> str:
    """The aggregate expression over tiles for one output.

    Parameters: `within` gives the condition, a template with `{hop}`, that a tile lies in so many days (None: all);
    `days_since` is an expression template with `{at}`, giving whole local days from an instant to `as_of`.
    """
    a = output.aggregate
    in_window = within(output.days)

    def part(name: str) -> str:
        return f"CASE WHEN {in_window.format(hop='hop')} THEN {a.name}__{name} END"

    n = f"coalesce(sum({part('n')}), 0)"
    match a.function:
        case "count" | "active_days":
            return n
        case "sum":
            return f"coalesce(sum({part('sum')}), 0)"
        case "mean":
            return f"CAST(sum({part('sum')}) AS double) / nullif({n}, 0)"
        case "std":
            mean = f"CAST(sum({part('sum')}) AS double) / nullif({n}, 0)"
            variance = f"CAST(sum({part('squares')}) AS double) / nullif({n}, 0) - ({mean}) * ({mean})"
            # Rounding may take it under zero; greatest() alone would also make a zero of the null of an empty window.
            return f"CASE WHEN {n} > 0 THEN sqrt(greatest({variance}, 0D)) END"
        case "min" | "max":
            return f"{a.function}({part(a.function)})"
        case "count_distinct":
            # One list for the widest window, which all windows share: to collect the sets for each costs a third of the pass.
            widest = _widest(a)
            reach = "true" if widest is None else within(widest).format(hop="hop")
            sets = f"collect_list(CASE WHEN {reach} THEN struct(hop, {a.name}__set AS members) END)"
            return f"size(array_distinct(flatten(transform(filter({sets}, t -> {in_window.format(hop='t.hop')}), t -> t.members))))"
        case "collect_set":
            return f"array_sort(array_distinct(flatten(collect_list({part('values')}))))"
        case "first":
            return f"min({part('pair')}).value"
        case "last":
            return f"max({part('pair')}).value"
        case "days_since_last":
            return days_since.format(at=f"max({part('at')})")
        case "days_since_first":
            return days_since.format(at=f"min({part('at')})")


def folded(aggregate: Aggregate, view: Facts) -> dict[str, str]:
    """The aggregate expressions that merge the states of several tiles into one state, by state name."""
    extreme = {"min": "min", "first": "min", "days_since_first": "min"}.get(aggregate.function, "max")
    found = {}
    for state in states(aggregate, view):
        match state.name.removeprefix(f"{aggregate.name}__"):
            case "n" | "sum" | "squares":
                found[state.name] = f"sum({state.name})"
            case "set" | "values":
                found[state.name] = f"array_distinct(flatten(collect_list({state.name})))"
            case _:
                found[state.name] = f"{extreme}({state.name})"
    return found


def definition(view: View, timezone: str) -> str:
    """A digest of what the view's rows mean.

    Neither words for people, checks and names of events count, nor the order of columns or keys and the white space of
    expressions: rows made under two files with the same digest are the same, by column name. Another digest for a view that
    is there is another version of it, which costs a backfill: what is added here counts from then on for every lake.
    """
    meaning = {"name": view.name, "timezone": timezone, **shared_meaning(view), "columns": column_meanings(view)}
    if view.candidates is not None:
        meaning["candidates"] = view.candidates.model_dump(mode="json")
    return digest_of(meaning)


def shared_meaning(view: Facts) -> dict[str, str | int]:
    """The keys of a view, or of a joined source, that every one of its columns depends on, without layout."""
    return {
        "source": view.source,
        "entity": ", ".join(view.entity),
        "event_time": view.event_time,
        "availability_delay_days": view.availability_delay_days,
        "where": normalised(view.where),
    }


def column_meanings(view: View) -> dict[str, str]:
    """A digest of each feature column's own meaning, by name; a derived column's changes with those of the columns it names."""
    found = {output.name: digest_of(_meaning(view, output)) for output in outputs(view)}
    for part in view.joined:
        found |= {output.name: digest_of([*_meaning(part, output), shared_meaning(part)]) for output in outputs(part)}
    for derived in view.derived:
        named = {name: found[name] for name in names_in(derived.expression) if name in found}
        found[derived.name] = digest_of([normalised(derived.expression), derived.type.replace(" ", ""), named])
    return found


def _meaning(view: Facts, output: Output) -> list[object]:
    a = output.aggregate
    when = normalised(view.events[a.when]) if a.when else None
    kinds = [kind.replace(" ", "") for kind in (output.type, a.type or "double")]
    return [a.name, a.function, normalised(a.of) if a.of else None, when, kinds, output.days]


def _squares(kind: str) -> str:
    """The type that holds the sum of a type's squares exactly, or double."""
    found = re.fullmatch(r"decimal\((\d+),\s*(\d+)\)", kind)
    return f"decimal(38,{min(2 * int(found[2]), 18)})" if found else "double"


def _named(a: Aggregate) -> tuple[tuple[str, str], ...]:
    return tuple((f"{a.name}_{w}", w) for w in a.windows) or ((a.name, "all"),)


def _widest(a: Aggregate) -> int | None:
    days = [_days(window) for _, window in _named(a)]
    return None if None in days else max(d for d in days if d is not None)


def _days(window: str) -> int | None:
    return None if window == "all" else int(window.removesuffix("d"))


def _type(a: Aggregate) -> str:
    if a.function in {"count", "count_distinct", "active_days"}:
        return "bigint"
    if a.function.startswith("days_since"):
        return "int"
    if a.function in {"mean", "std"}:
        return "double"
    if a.function == "collect_set":
        return "array<string>"
    return a.type or "double"
