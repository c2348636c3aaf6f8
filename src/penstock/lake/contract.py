"""A source's contract as frozen values: columns, rules, calendar, promises; and when its files are expected and known.

Read from an Open Data Contract Standard v3.1 file, whose shape stands in `odcs`. Row rules and transforms are Spark SQL
over one row: a transform sees the raw text of its column under the lake name, a row rule sees the typed columns and
`_file`, `_row` and `_known_at`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from penstock.clock import days_between, midnight
from penstock.config.strict_yaml import parsed
from penstock.config.values import Frozen
from penstock.errors import ConfigError, DataError
from penstock.lake.expressions import check_table_name
from penstock.lake.odcs import Bound, Csv, Custom, Document, Promise, Promises, Property, Quality, SchemaObject
from penstock.lake.timeformats import regex_of

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_M = TypeVar("_M", bound=BaseModel)
_COMPRESSED = r"(?:\.gz|\.zst)?"
_ENDINGS = {"csv": rf"csv{_COMPRESSED}", "json": rf"(?:json|jsonl|ndjson){_COMPRESSED}", "parquet": "parquet"}
_PARQUET_TIME = "yyyy-MM-dd HH:mm:ss[.SSSSSS]"


class Column(Frozen):
    """One column: how it is called in the file and in the lake, its type, and what its values may be."""

    name: str
    physical_name: str
    type: str
    """Spark SQL type in the lake."""
    required: bool
    transform: str | None
    """Spark SQL over the raw text under the lake name; the type is applied after it."""
    pattern: str | None
    """Java regular expression for the whole value."""
    min_length: int | None
    max_length: int | None
    minimum: Bound | None
    maximum: Bound | None
    exclusive_minimum: Bound | None
    exclusive_maximum: Bound | None
    format: str
    """Of dates and timestamps, as in java.time.format.DateTimeFormatter."""
    timezone: str
    """Of timestamps that carry no offset in the file."""
    has_offset: bool
    """Whether a timestamp's text carries its offset."""
    decimal_sign: str
    """`.` or `,`; with a comma, dots may part thousands."""
    classification: str | None
    tags: tuple[str, ...]
    description: str

    @property
    def is_personal(self) -> bool:
        """Whether the column tells of a person, be it by a pseudonym: never shown in messages."""
        return any(tag.casefold().startswith("pii") for tag in self.tags)


class RowRule(Frozen):
    """A named condition on a row: rows that meet it go to quarantine (`error`) or are counted (`info`). Null does not meet it."""

    name: str
    condition: str
    severity: Literal["error", "info"]
    dimension: str | None
    description: str


class BatchRule(Frozen):
    """A comparison of a count over a batch of rows, or of its percentage of the rows, with bounds."""

    name: str
    metric: Literal["nullValues", "duplicateValues", "rowCount"]
    columns: tuple[str, ...]
    unit: Literal["rows", "percent"]
    low: float | None
    high: float | None
    low_open: bool
    high_open: bool
    severity: Literal["error", "info"]
    description: str

    def holds(self, count: int, rows: int) -> bool | None:
        """Whether `count` out of `rows` is within the bounds; None where a percentage of no rows is not known."""
        if self.unit == "percent" and rows == 0:
            return None
        value = 100 * count / rows if self.unit == "percent" else float(count)
        over = self.low is None or value > self.low or (value == self.low and not self.low_open)
        return over and (self.high is None or value < self.high or (value == self.high and not self.high_open))


class Contract(Frozen):
    """What a source promises and how it is read. Two contracts with the same `digest` mean the same."""

    name: str
    version: str
    owner: str
    purpose: str
    timezone: str
    columns: tuple[Column, ...]
    row_rules: tuple[RowRule, ...]
    batch_rules: tuple[BatchRule, ...]
    file_format: Literal["csv", "json", "parquet", "delta"]
    table_name: str | None
    """The catalog's name of a table that is read by its versions; None where it is a folder, and of files."""
    delimiter: str
    file_pattern: str | None
    """A file's name, with `{date}` where its day stands; a compressed file has `.gz` or `.zst` after it."""
    known_column: str | None
    """The column whose local day says since when a row is known, where file names do not."""
    closed_weekdays: tuple[str, ...]
    closed_days: tuple[date, ...]
    latency_days: int
    freshness_days: int
    retention_days: int
    max_rejected_share: float
    censor_after_days: int

    @property
    def digest(self) -> str:
        """16 hex digits of SHA-256 over all that changes rows or decisions; words for people do not count."""
        prose = {"description", "owner", "purpose", "version"}
        tree = _without(self.model_dump(mode="json"), prose)
        return hashlib.sha256(json.dumps(tree, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]

    @property
    def lake_columns(self) -> tuple[tuple[str, str], ...]:
        """(name, Spark SQL type) of each column, in order."""
        return tuple((column.name, column.type) for column in self.columns)


def file_day(contract: Contract, file: str) -> date:
    """The day in a file's name. Raises DataError when the name is not as the contract says."""
    if contract.file_pattern is None:
        raise ValueError(f"files of {contract.name} have no day of their own: each row's {contract.known_column} has")
    before, after = contract.file_pattern.split("{date}")
    found = re.fullmatch(re.escape(before) + r"(\d{4}-\d{2}-\d{2})" + re.escape(after) + _COMPRESSED, file, re.ASCII)
    try:
        return date.fromisoformat(found[1] if found else "")
    except ValueError:
        raise DataError(
            f"name of a landing file of {contract.name}",
            got=repr(file),
            expected=contract.file_pattern.replace("{date}", "2011-09-05"),
            next="rename or remove the file",
        ) from None


def known_time(contract: Contract, file: str) -> datetime:
    """The instant from which a file could be read, in UTC, as its name and the contract's latency declare it. Raises DataError."""
    return known_from(contract, file_day(contract, file))


def known_from(contract: Contract, day: date) -> datetime:
    """The instant from which what a source has of a day could be read, in UTC."""
    return midnight(day + timedelta(days=contract.latency_days), contract.timezone)


def is_file_of(contract: Contract, file: str) -> bool:
    """Whether a file's name ends as files of the contract's format do."""
    return re.search(rf"\.(?:{_ENDINGS[contract.file_format]})\Z", file) is not None


def is_expected(contract: Contract, day: date) -> bool:
    """Whether the source promises a file for this day."""
    return day not in contract.closed_days and _WEEKDAYS[day.weekday()] not in contract.closed_weekdays


def expected_days(contract: Contract, first: date, last: date) -> tuple[date, ...]:
    """The days of [first, last], both included, for which the source promises a file."""
    return tuple(day for day in days_between(first, last + timedelta(days=1)) if is_expected(contract, day))


def missing_days(contract: Contract, present: Collection[date], first: date, last: date) -> tuple[date, ...]:
    """The expected days of [first, last], both included, that are not among those present.

    Where rows tell their day themselves, a day without rows is no missing file: only days after the newest present one are missing.
    """
    if contract.known_column is not None and present:
        first = max(first, max(present) + timedelta(days=1))
    return tuple(day for day in expected_days(contract, first, last) if day not in present)


def load_contract(path: Path) -> Contract:
    """A contract file as a Contract. Raises ConfigError with all faults of the file at once."""
    faults: list[str] = []
    tree = _yaml(path)
    promises_tree = _pairs(tree.pop("slaProperties", None), "slaProperties", faults)
    custom_tree = _pairs(tree.pop("customProperties", None), "customProperties", faults)
    document = _validated(Document, tree, "", faults)
    promises = None if promises_tree is None else _validated(Promises, promises_tree, "slaProperties.", faults)
    values = None if custom_tree is None else {key: entry["value"] for key, entry in custom_tree.items()}
    custom = None if values is None else _validated(Custom, values, "customProperties.", faults)
    if document is not None and custom is not None:
        faults += _file_faults(document.schema_[0], custom)
    if faults or document is None or promises is None or custom is None:
        raise ConfigError([f"{path.name}: {fault}" for fault in faults], next=f"correct the keys named above in {path.name}")
    return _contract(document, promises, custom)


def _file_faults(table: SchemaObject, custom: Custom) -> list[str]:
    """Where format, file names and the column of the known time do not fit together."""
    faults = []
    pattern, name = custom.known_time.file, custom.known_time.column
    if table.physical_type == "delta":
        faults += _table_faults(table, custom)
    elif pattern is not None and not re.search(rf"\.(?:{_ENDINGS[table.physical_type]})\Z", pattern):
        faults.append(f"customProperties.knownTime.file: got {pattern!r}, expected a name of a {table.physical_type} file")
    if table.physical_type != "csv" and custom.csv != Csv():
        what = "a table" if table.physical_type == "delta" else f"files of {table.physical_type}"
        faults.append(f"customProperties.csv: got it for {what}, expected physicalType: csv")
    if name is None:
        return faults
    column = next((_column(p, table, custom) for p in table.properties if p.name == name), None)
    if column is None or column.type not in {"date", "timestamp"} or column.transform:
        return [
            *faults,
            f"customProperties.knownTime.column: got {name}, expected a date or timestamp of this table, as it stands there",
        ]
    try:
        regex_of(column.format)
    except ValueError as error:
        faults.append(f"customProperties.knownTime.column: format of {name}: {error}")
    return faults


def _table_faults(table: SchemaObject, custom: Custom) -> list[str]:
    """What is said of a table that only files have, and a name that no table has."""
    faults = []
    if custom.known_time.file is not None:
        faults.append(
            f"customProperties.knownTime.file: got {custom.known_time.file!r} for a table, expected column: a date or timestamp of it"
        )
    try:
        check_table_name("a" if table.physical_name is None else table.physical_name)
    except ValueError as error:
        faults.append(f"schema.0.physicalName: {error}")
    return faults


def _contract(document: Document, promises: Promises, custom: Custom) -> Contract:
    table = document.schema_[0]
    rules = [rule for rule in table.quality if rule.type != "text"]
    nulls = [(rule, (prop.name,)) for prop in table.properties for rule in prop.quality if rule.type != "text"]
    batch = [(rule, rule.arguments.properties if rule.arguments else ()) for rule in rules if rule.metric]
    return Contract(
        name=document.name,
        version=document.version,
        owner=document.team.name,
        purpose=document.description.purpose,
        timezone=custom.timezone,
        columns=tuple(_column(prop, table, custom) for prop in table.properties),
        row_rules=tuple(_row_rule(rule) for rule in rules if rule.type == "custom"),
        batch_rules=tuple(_batch_rule(rule, columns) for rule, columns in (*batch, *nulls)),
        file_format=table.physical_type,
        table_name=table.physical_name if table.physical_type == "delta" else None,
        delimiter=custom.csv.delimiter,
        file_pattern=custom.known_time.file,
        known_column=custom.known_time.column,
        closed_weekdays=custom.calendar.closed_weekdays,
        closed_days=custom.calendar.closed_days,
        latency_days=promises.latency,
        freshness_days=promises.freshness,
        retention_days=promises.retention,
        max_rejected_share=custom.max_rejected_share,
        censor_after_days=custom.censor_after,
    )


def _column(prop: Property, table: SchemaObject, custom: Custom) -> Column:
    options = prop.logical_type_options
    return Column(
        name=prop.name,
        physical_name=prop.physical_name or prop.name,
        type=prop.physical_type,
        required=prop.required,
        transform=prop.transform_logic,
        format=options.format or _usual_format(prop, table),
        timezone=options.default_timezone or custom.timezone,
        has_offset=options.timezone,
        decimal_sign=custom.csv.decimal,
        classification=prop.classification,
        tags=prop.tags,
        description=prop.description,
        **options.model_dump(exclude={"format", "timezone", "default_timezone"}),
    )


def _usual_format(prop: Property, table: SchemaObject) -> str:
    if prop.physical_type == "date":
        return "yyyy-MM-dd"
    written = _PARQUET_TIME if table.physical_type in {"parquet", "delta"} else "yyyy-MM-dd HH:mm:ss"
    return f"{written}XXX" if prop.logical_type_options.timezone else written


def _row_rule(rule: Quality) -> RowRule:
    return RowRule(
        name=str(rule.name),
        condition=str(rule.implementation),
        severity=rule.severity,
        dimension=rule.dimension,
        description=rule.description,
    )


def _batch_rule(rule: Quality, columns: tuple[str, ...]) -> BatchRule:
    ((operator, bound),) = rule.operators.items()
    low, high = bound if operator == "must_be_between" else (bound, bound)
    return BatchRule.model_validate(
        {
            "name": rule.name,
            "metric": rule.metric,
            "columns": columns,
            "unit": rule.unit,
            "low": None if "less" in operator else low,
            "high": None if "greater" in operator else high,
            "low_open": operator == "must_be_greater_than",
            "high_open": operator == "must_be_less_than",
            "severity": rule.severity,
            "description": rule.description,
        }
    )


def _yaml(path: Path) -> dict[str, Any]:
    try:
        tree = parsed(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path.name}: cannot be read ({error.__class__.__name__})"]) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}:" if mark else ""
        raise ConfigError([f"{path.name}:{line} not YAML ({getattr(error, 'problem', None) or 'syntax'})"]) from None
    if isinstance(tree, dict):
        return tree
    raise ConfigError([f"{path.name}: got {'nothing' if tree is None else type(tree).__name__}, expected keys and values"])


def _pairs(entries: Any, where: str, faults: list[str]) -> dict[str, dict[str, Any]] | None:
    """A list of `{property: NAME, value: …}` by name; None for anything else. What is wrong with its form is added to `faults`."""
    if not isinstance(entries, list):
        faults.append(f"{where}: got {'nothing' if entries is None else type(entries).__name__}, expected a list of property and value")
        return None
    found: dict[str, dict[str, Any]] = {}
    for i, entry in enumerate(entries):
        pair = _validated(Promise, entry, f"{where}.{i}.", faults)
        if pair and pair.property in found:
            faults.append(f"{where}.{pair.property}: stands twice")
        elif pair:
            found[pair.property] = {"value": pair.value, "unit": pair.unit}
    return found


def _validated(model: type[_M], tree: Any, where: str, faults: list[str]) -> _M | None:
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        faults.extend(_sentence(where, fault) for fault in error.errors())
        return None


def _sentence(where: str, fault: Mapping[str, Any]) -> str:
    key = (where + ".".join(str(part) for part in fault["loc"])).rstrip(".") or "file"
    if fault["type"] in {"extra_forbidden", "missing"}:
        return f"{key}: {'unknown key' if fault['type'] == 'extra_forbidden' else 'missing'}"
    message = str(fault["msg"]).removeprefix("Value error, ")
    given = fault.get("input")
    shown = f"got {given!r}, " if isinstance(given, str | int | float | bool) and not message.startswith("got ") else ""
    return f"{key}: {shown}{message}"


def _without(tree: Any, keys: Collection[str]) -> Any:
    if isinstance(tree, dict):
        return {key: _without(value, keys) for key, value in tree.items() if key not in keys}
    return [_without(value, keys) for value in tree] if isinstance(tree, list) else tree
