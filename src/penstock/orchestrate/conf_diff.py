"""What changed between two configurations, and what of it breaks: pure, over loaded values.

A change breaks when something that was made before (files, landed rows, features, labels, models) does not fit any more,
or when values that keep their name mean something else from now on. Expressions are compared without their white space.
Compared are contracts, features, labels, population and schedule: what stands elsewhere breaks no row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from penstock.config.label import Schedule
from penstock.config.model import Pipeline, View
from penstock.features import spec
from penstock.lake.contract import Column, Contract, RowRule
from penstock.lake.expressions import names_in, normalised


@dataclass(frozen=True)
class Change:
    """One change: the file under the configuration folder, the key in it, and what it means in words."""

    breaking: bool
    file: str
    key: str
    what: str


@dataclass(frozen=True)
class Side:
    """One configuration folder: its pipelines and its contracts, by name."""

    pipelines: Mapping[str, Pipeline]
    contracts: Mapping[str, Contract]


def differences(old: Side, new: Side) -> tuple[Change, ...]:
    """All changes from `old` to `new`, contracts first, then pipelines, each in the order of names and of the data's way."""
    found: list[Change] = []
    for name in sorted(old.contracts.keys() | new.contracts.keys()):
        before, after = old.contracts.get(name), new.contracts.get(name)
        file = f"contracts/{name}.yml"
        if before is None or after is None:
            found.append(_whole(file, "contract", gone=after is None))
        else:
            found += contract_changes(file, before, after)
    for name in sorted(old.pipelines.keys() | new.pipelines.keys()):
        was, now = old.pipelines.get(name), new.pipelines.get(name)
        file = f"pipelines/{name}.yml"
        if was is None or now is None:
            found.append(_whole(file, "pipeline", gone=now is None))
        else:
            found += pipeline_changes(file, was, now)
    return tuple(found)


def contract_changes(file: str, old: Contract, new: Contract) -> Iterator[Change]:
    """What a source delivers and since when it counts as known."""
    yield from _columns(file, old, new)
    yield from _value(file, "customProperties.timezone", old.timezone, new.timezone, "local days are others, and so is every as_of")
    known = "the instants at which rows count as known move, so that features at one as_of would be made from other rows"
    yield from _value(file, "customProperties.knownTime.file", old.file_pattern, new.file_pattern, "files of the old name are refused")
    yield from _value(file, "customProperties.knownTime.column", old.known_column, new.known_column, known)
    if "delta" in {old.file_format, new.file_format}:
        kind = "a table's days do not take the place of files: they need a source of another name"
        yield from _value(file, "schema.physicalType", old.file_format, new.file_format, kind)
    if old.file_format == new.file_format == "delta":
        other = "days whose rows are not the same there land again"
        yield from _value(file, "schema.physicalName", old.table_name, new.table_name, other, breaking=False)
    yield from _value(file, "slaProperties.latency", old.latency_days, new.latency_days, known)
    yield from _rules(file, old, new)
    closed = [_list((*c.closed_weekdays, *map(str, c.closed_days))) for c in (old, new)]
    yield from _value(file, "customProperties.calendar", closed[0], closed[1], "other days may be without a file", breaking=False)
    for key, name in (
        ("slaProperties.freshness", "freshness_days"),
        ("slaProperties.retention", "retention_days"),
        ("customProperties.maxRejectedShare", "max_rejected_share"),
        ("customProperties.censorAfter", "censor_after_days"),
    ):
        yield from _value(file, key, getattr(old, name), getattr(new, name), "", breaking=False)


def pipeline_changes(file: str, old: Pipeline, new: Pipeline) -> Iterator[Change]:
    """What features, labels, the population and the grid of `as_of`s mean."""
    yield from _value(file, "source", old.source, new.source, "all comes from other rows")
    yield from _features(file, old.features, new.features)
    yield from _schedule(file, old.schedule, new.schedule)
    yield from _population(file, old, new)
    yield from _label(file, old, new)


# -- contracts --------------------------------------------------------------------------------------------------------


def _columns(file: str, old: Contract, new: Contract) -> Iterator[Change]:
    before, after = {c.name: c for c in old.columns}, {c.name: c for c in new.columns}
    headers = {c.physical_name: c.name for c in new.columns if c.name not in before}
    renamed = {c.name: headers[c.physical_name] for c in old.columns if c.name not in after and c.physical_name in headers}
    for name, column in before.items():
        key = f"schema.{name}"
        if name in renamed:
            yield Change(True, file, key, f"renamed to {renamed[name]}: what names it finds it no more")
            yield from _column(file, f"schema.{renamed[name]}", column, after[renamed[name]])
        elif name not in after:
            yield Change(True, file, key, "removed: what names it finds it no more, and files that have it are refused")
        else:
            yield from _column(file, key, column, after[name])
    for name in after:
        if name not in before and name not in renamed.values():
            yield Change(True, file, f"schema.{name}", "new: files without it are refused; it is null in the rows that landed before")


def _column(file: str, key: str, old: Column, new: Column) -> Iterator[Change]:
    """A column that both have."""
    yield from _value(file, f"{key}.physicalName", old.physical_name, new.physical_name, "files with the old header are refused")
    types = [c.type.replace(" ", "") for c in (old, new)]
    yield from _value(file, f"{key}.physicalType", types[0], types[1], "the landed rows have the old type, and landing refuses the new")
    transforms = [_layout(c.transform) for c in (old, new)]
    yield from _value(file, f"{key}.transformLogic", transforms[0], transforms[1], "the same text gives another value")
    if old.type in {"date", "timestamp"} or new.type in {"date", "timestamp"}:
        yield from _value(file, f"{key}.logicalTypeOptions.format", old.format, new.format, "the same text is another time, or none")
    if new.type == "timestamp":
        yield from _value(file, f"{key}.logicalTypeOptions.defaultTimezone", old.timezone, new.timezone, "the same text is another instant")
    nulls = (
        "rows without it are refused from now on"
        if new.required
        else "it may be null from now on, which its readers were promised not to meet"
    )
    yield from _value(file, f"{key}.required", old.required, new.required, nulls)
    for name in ("pattern", "min_length", "max_length", "minimum", "maximum", "exclusive_minimum", "exclusive_maximum"):
        yield from _value(
            file, f"{key}.{_camel(name)}", getattr(old, name), getattr(new, name), "other rows may be refused", breaking=False
        )
    if old.is_personal != new.is_personal:
        yield Change(new.is_personal, file, f"{key}.tags", "personal from now on" if new.is_personal else "personal no more")


def _rules(file: str, old: Contract, new: Contract) -> Iterator[Change]:
    key = "quality"
    before, after = {r.name: r for r in old.row_rules}, {r.name: r for r in new.row_rules}
    yield from _named(file, f"schema.{key}", {n: _rule(r) for n, r in before.items()}, {n: _rule(r) for n, r in after.items()})
    batch = [{rule.name: rule.model_dump_json(exclude={"description"}) for rule in c.batch_rules} for c in (old, new)]
    yield from _named(file, f"schema.{key}", batch[0], batch[1])


def _rule(rule: RowRule) -> str:
    return f"{rule.severity}: {normalised(rule.condition)}"


def _named(file: str, key: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Change]:
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            what = "removed" if name not in new else "new" if name not in old else "changed"
            yield Change(False, file, f"{key}.{name}", f"{what}: other rows may be refused or counted")


# -- pipelines --------------------------------------------------------------------------------------------------------


def _features(file: str, old: View, new: View) -> Iterator[Change]:
    yield from _value(file, "features.name", old.name, new.name, "another view: no row, label or model of the old one is carried over")
    before, after = spec.shared_meaning(old), spec.shared_meaning(new)
    every = "every column means something else, and the view gets a new version"
    refused = "rows, labels and scores are kept by it: a lake of the old one refuses the new; give the view and the pipeline new names"
    for key in before:
        yield from _value(file, f"features.{key}", before[key], after[key], refused if key == "entity" else every)
    yield from _joined(file, old, new)
    meanings = spec.column_meanings(old), spec.column_meanings(new)
    for name, meaning in meanings[0].items():
        key = f"features.{name}"
        if name not in meanings[1]:
            yield Change(True, file, key, "gone: a model that reads it has to be trained anew")
        elif meanings[1][name] != meaning:
            yield Change(True, file, key, "means something else: the view gets a new version, and models wait for a training on it")
    for name in meanings[1]:
        if name not in meanings[0]:
            yield Change(False, file, f"features.{name}", "new: the view gets a new version, which the next model is trained on")
    words = [view.model_dump(include={"checks", "max_row_count_change"}) for view in (old, new)]
    if words[0] != words[1]:
        yield Change(False, file, "features.checks", "changed: other feature rows may be refused")


def _joined(file: str, old: View, new: View) -> Iterator[Change]:
    """Whole sources that are joined or not; what their columns mean is told column by column."""
    before, after = ({part.name: part.source for part in view.joined} for view in (old, new))
    for name in sorted(before.keys() | after.keys()):
        key, gone = f"features.joined.{name}", name not in after
        if name not in before or gone:
            yield Change(gone, file, key, "gone: so are its columns" if gone else f"new: columns from {after[name]}")
        else:
            yield from _value(file, f"{key}.source", before[name], after[name], "its columns come from other rows")


def _schedule(file: str, old: Schedule, new: Schedule) -> Iterator[Change]:
    grid = "the as_ofs lie on another grid than those that have features, labels and scores"
    yield from _value(file, "schedule.every_days", old.every_days, new.every_days, grid)
    shift = (new.first - old.first).days
    same = new.every_days == old.every_days and shift % old.every_days == 0
    why = ("earlier as_ofs are filled" if shift < 0 else "as_ofs before it are made no more") if same else grid
    yield from _value(file, "schedule.first", old.first, new.first, why, breaking=not same)


def _population(file: str, old: Pipeline, new: Pipeline) -> Iterator[Change]:
    changed = list(_value(file, "population", normalised(old.population), normalised(new.population), "others are scored and labelled"))
    yield from changed
    others = _other_meanings(new.population, spec.column_meanings(old.features), spec.column_meanings(new.features))
    if others and not changed:
        yield Change(True, file, "population", f"others are scored and labelled, as {', '.join(others)} means something else")


def _label(file: str, old: Pipeline, new: Pipeline) -> Iterator[Change]:
    before, after = old.label, new.label
    other = "labels made before are of another question, and so are the models trained on them: a lake of the old one refuses the new"
    yield from _value(file, "label.source", before.source, after.source, other)
    for key in ("event_time", "about", "absent"):
        yield from _value(file, f"label.{key}", getattr(before, key), getattr(after, key), other)
    expression = list(_value(file, "label.expression", normalised(before.expression), normalised(after.expression), other))
    yield from expression
    others = [] if after.source else _other_meanings(after.expression, _outcomes(old), _outcomes(new))
    if others and not expression:
        yield Change(True, file, "label.expression", f"{', '.join(others)} means something else: matured labels are revised")
    yield from _value(file, "label.horizon_days", before.horizon_days, after.horizon_days, other)
    yield from _value(file, "label.delay_days", before.delay_days, after.delay_days, "cohorts mature at another time", breaking=False)
    told = "what was done is told from other rows, or over other days"
    yield from _value(file, "treated", _treated(old), _treated(new), told, breaking=False)
    yield from _value(file, "label.positive", before.positive, after.positive, "words for people", breaking=False)


def _treated(pipeline: Pipeline) -> str | None:
    told = pipeline.treated
    return None if told is None else f"{told.source} by {told.event_time} where {normalised(told.when)} within {told.within_days} days"


def _outcomes(pipeline: Pipeline) -> dict[str, str]:
    """What each aggregate means over a horizon, by its own name: its columns' meaning but for their windows."""
    view = pipeline.features
    whole = view.model_copy(update={"aggregates": tuple(a.model_copy(update={"windows": ()}) for a in view.aggregates), "derived": ()})
    shared = repr(sorted(spec.shared_meaning(view).items()))
    return {name: meaning + shared for name, meaning in spec.column_meanings(whole).items()}


def _other_meanings(expression: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """The names in an expression that both sides know and that mean something else."""
    return sorted(name for name in names_in(expression) if name in old and name in new and old[name] != new[name])


# -- words ------------------------------------------------------------------------------------------------------------


def _value(file: str, key: str, old: object, new: object, why: str, *, breaking: bool = True) -> Iterator[Change]:
    if old != new:
        yield Change(breaking, file, key, f"{_shown(old)} → {_shown(new)}{f': {why}' if why else ''}")


def _whole(file: str, kind: str, *, gone: bool) -> Change:
    return Change(gone, file, kind, "removed: what it made stays and goes on no more" if gone else "new")


def _shown(value: object) -> str:
    return "none" if value is None or value == "" else str(value).lower() if isinstance(value, bool) else str(value)


def _layout(expression: str | None) -> str | None:
    return None if expression is None else normalised(expression)


def _list(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return "logicalTypeOptions." + first + "".join(part.capitalize() for part in rest)
