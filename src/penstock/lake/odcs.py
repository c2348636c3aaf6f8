"""The shape of an Open Data Contract Standard v3.1 file: which keys may stand in it and what each may hold.

Source: bitol-io/open-data-contract-standard, schema/odcs-json-schema-v3.1.0.json. The standard's keys that Penstock does
not read may stand in the file; a key that the standard does not know is a fault, and so is one that promises a check
that nobody here would make (`unique`, SQL queries, `multipleOf`): a promise that is not verified is worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from penstock.config.types import Expression, Name
from penstock.config.values import Frozen

_DECIMAL = re.compile(r"decimal\(([1-9]|[12]\d|3[0-8]),(\d|[12]\d|3[0-8])\)")
_TYPES = {
    "string": ("string",),
    "integer": ("int", "bigint"),
    "number": ("double",),
    "date": ("date",),
    "timestamp": ("timestamp",),
    "boolean": ("boolean",),
}
_OPTIONS = {
    "string": {"pattern", "min_length", "max_length"},
    "integer": {"minimum", "maximum", "exclusive_minimum", "exclusive_maximum"},
    "number": {"minimum", "maximum", "exclusive_minimum", "exclusive_maximum"},
    "date": {"minimum", "maximum", "exclusive_minimum", "exclusive_maximum", "format"},
    "timestamp": {"minimum", "maximum", "exclusive_minimum", "exclusive_maximum", "format", "timezone", "default_timezone"},
    "boolean": set[str](),
}
OPERATORS = (
    "must_be",
    "must_be_less_than",
    "must_be_less_or_equal_to",
    "must_be_greater_than",
    "must_be_greater_or_equal_to",
    "must_be_between",
)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ValueError(f"got {name!r}, expected an IANA time zone such as Europe/London") from None
    return name


def _pattern(text: str) -> str:
    if not (text.startswith("^") and text.endswith("$")):
        raise ValueError(f"got {text!r}, expected a pattern for the whole value: ^…$")
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"got {text!r}, expected a regular expression ({error})") from None
    return text


def _spark_type(text: str) -> str:
    found = _DECIMAL.fullmatch(text)
    if found and int(found[2]) <= int(found[1]):
        return text
    if text not in {t for types in _TYPES.values() for t in types}:
        raise ValueError(f"got {text!r}, expected string, int, bigint, double, decimal(p,s), date, timestamp or boolean")
    return text


def _file_pattern(text: str) -> str:
    if text.count("{date}") != 1 or "/" in text or "\\" in text:
        raise ValueError(f"got {text!r}, expected a file name with {{date}} once, such as {{date}}.csv")
    return text


Zone = Annotated[str, AfterValidator(_zone)]
Bound = Decimal | date | datetime


class Odcs(Frozen):
    """A part of the file, with the standard's camelCase keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, use_attribute_docstrings=True)


class Unread(Odcs):
    """Keys of the standard that may describe any element and that nothing here reads."""

    id: str | None = None
    authoritative_definitions: Any = None
    tags: tuple[str, ...] = ()
    custom_properties: Any = None
    description: str = ""


class Arguments(Odcs):
    """Arguments of a library metric."""

    properties: tuple[Name, ...] = Field(min_length=1)


class Quality(Unread):
    """One entry of `quality`: a row rule (`type: custom`, `engine: penstock`), a library metric, or prose (`type: text`)."""

    name: Name | None = None
    type: Literal["library", "custom", "text"] = "library"
    dimension: Literal["accuracy", "completeness", "conformity", "consistency", "coverage", "timeliness", "uniqueness"] | None = None
    severity: Literal["error", "info"] = "error"
    engine: Literal["penstock"] | None = None
    implementation: Expression | None = None
    metric: Literal["nullValues", "duplicateValues", "rowCount"] | None = None
    arguments: Arguments | None = None
    unit: Literal["rows", "percent"] = "rows"
    must_be: float | None = None
    must_be_less_than: float | None = None
    must_be_less_or_equal_to: float | None = None
    must_be_greater_than: float | None = None
    must_be_greater_or_equal_to: float | None = None
    must_be_between: tuple[float, float] | None = None
    business_impact: str | None = None
    method: str | None = None
    schedule: str | None = None
    scheduler: str | None = None

    @property
    def operators(self) -> dict[str, Any]:
        """The comparison that is given, as {operator: bound}."""
        return {name: getattr(self, name) for name in OPERATORS if getattr(self, name) is not None}

    @model_validator(mode="after")
    def _is_whole(self) -> Quality:
        if self.type == "text":
            return self
        if self.name is None:
            raise ValueError("got no name, expected one: rows and counts are reported by it")
        if self.type == "custom" and (self.engine is None or self.implementation is None or self.metric or self.operators):
            raise ValueError(f"{self.name}: expected engine: penstock and an implementation (a row condition), no metric and no mustBe…")
        if self.type == "library" and (self.metric is None or len(self.operators) != 1 or self.implementation):
            raise ValueError(f"{self.name}: expected one metric with exactly one of {', '.join(map(to_camel, OPERATORS))}")
        if (self.metric == "nullValues" and self.unit == "rows") or (self.metric == "rowCount" and self.unit == "percent"):
            raise ValueError(f"{self.name}: got {self.metric} in {self.unit}, expected nullValues in percent, rowCount in rows")
        return self


class Options(Odcs):
    """`logicalTypeOptions`: what a column's values may be."""

    pattern: Annotated[str, AfterValidator(_pattern)] | None = None
    min_length: int | None = Field(default=None, ge=0)
    max_length: int | None = Field(default=None, ge=0)
    minimum: Bound | None = None
    maximum: Bound | None = None
    exclusive_minimum: Bound | None = None
    exclusive_maximum: Bound | None = None
    format: str | None = None
    timezone: bool = False
    """Whether the text carries an offset; else it is local in `defaultTimezone`, or in the source's own zone."""
    default_timezone: Zone | None = None


class Property(Unread):
    """One column: `name` in the lake, `physicalName` in the file."""

    name: Name
    physical_name: str | None = Field(default=None, min_length=1)
    logical_type: Literal["string", "integer", "number", "date", "timestamp", "boolean"]
    physical_type: Annotated[str, AfterValidator(_spark_type)]
    required: bool = False
    logical_type_options: Options = Options()
    classification: str | None = None
    transform_logic: Expression | None = None
    quality: tuple[Quality, ...] = ()
    business_name: str | None = None
    transform_description: str | None = None
    transform_source_objects: Any = None
    examples: Any = None
    critical_data_element: bool = False
    unique: Literal[False] = False
    primary_key: Literal[False] = False
    partitioned: Literal[False] = False

    @model_validator(mode="after")
    def _types_fit(self) -> Property:
        fits = self.physical_type in _TYPES[self.logical_type] or (
            self.logical_type == "number" and self.physical_type.startswith("decimal")
        )
        if not fits:
            raise ValueError(f"{self.name}: got physicalType {self.physical_type} for logicalType {self.logical_type}")
        odd = sorted(self.logical_type_options.model_fields_set - _OPTIONS[self.logical_type])
        if odd:
            raise ValueError(f"{self.name}: got logicalTypeOptions {', '.join(map(to_camel, odd))} for logicalType {self.logical_type}")
        wanted = (date, datetime) if self.logical_type in {"date", "timestamp"} else (Decimal,)
        for key in ("minimum", "maximum", "exclusive_minimum", "exclusive_maximum"):
            bound = getattr(self.logical_type_options, key)
            if bound is not None and not isinstance(bound, wanted):
                raise ValueError(f"{self.name}: got {to_camel(key)} {bound}, expected a {' or '.join(t.__name__ for t in wanted).lower()}")
        if any(q.metric not in {None, "nullValues"} or q.type == "custom" for q in self.quality):
            raise ValueError(f"{self.name}: quality of a column can be nullValues; row rules and the other metrics belong to the table")
        return self


class SchemaObject(Unread):
    """The one table of a source."""

    name: Name
    physical_name: str | None = None
    """Of a Delta table: its name in the catalog, of up to three parts; a folder of the source's name in the landing folder when absent."""
    physical_type: Literal["csv", "json", "parquet", "delta"] = "csv"
    """How the files are written: CSV, JSON lines, or Parquet; `delta` for a table that is read by its versions."""
    logical_type: Literal["object"] = "object"
    business_name: str | None = None
    data_granularity_description: str | None = None
    properties: tuple[Property, ...] = Field(min_length=1)
    quality: tuple[Quality, ...] = ()

    @model_validator(mode="after")
    def _names_fit(self) -> SchemaObject:
        names = [p.name for p in self.properties]
        rules = [q.name for q in (*self.quality, *(q for p in self.properties for q in p.quality)) if q.name]
        in_file = [(p.physical_name or p.name).casefold() for p in self.properties]
        for what, values in (("name", names), ("physicalName (without regard to case)", in_file), ("quality name", rules)):
            twice = sorted({v for v in values if values.count(v) > 1})
            if twice:
                raise ValueError(f"got {what} {', '.join(twice)} more than once")
        for rule in self.quality:
            unknown = sorted(set(rule.arguments.properties) - set(names)) if rule.arguments else []
            if unknown:
                raise ValueError(f"{rule.name}: got properties {', '.join(unknown)}, expected names of this table's columns")
            if rule.metric == "nullValues" or (rule.metric == "duplicateValues") != (rule.arguments is not None):
                raise ValueError(f"{rule.name}: nullValues belongs to a column; duplicateValues, and it alone, takes arguments.properties")
        return self


class Team(Odcs):
    """Who answers for the data."""

    name: str = Field(min_length=1)
    id: str | None = None
    description: str = ""
    members: Any = None
    tags: Any = None
    custom_properties: Any = None
    authoritative_definitions: Any = None


class Description(Odcs):
    """Why the data exists and what limits its use."""

    purpose: str = Field(min_length=1)
    limitations: str = ""
    usage: str = ""
    authoritative_definitions: Any = None
    custom_properties: Any = None


class Document(Odcs):
    """The whole file but for `slaProperties` and `customProperties`, which are lists of pairs: see `Promises`, `Custom`."""

    api_version: Annotated[str, Field(pattern=r"^v3\.1\.\d+$")]
    kind: Literal["DataContract"]
    id: str
    name: Name
    version: str
    status: str
    description: Description
    team: Team
    schema_: tuple[SchemaObject] = Field(alias="schema")
    tenant: Any = None
    tags: Any = None
    servers: Any = None
    data_product: Any = None
    domain: Any = None
    support: Any = None
    price: Any = None
    roles: Any = None
    sla_default_element: Any = None
    authoritative_definitions: Any = None
    contract_created_ts: Any = None


class Promise(Odcs):
    """One entry of `slaProperties`."""

    property: str
    value: Any
    unit: str | None = None
    value_ext: Any = None
    id: str | None = None
    element: str | None = None
    driver: str | None = None
    description: str = ""
    scheduler: str | None = None
    schedule: str | None = None


def _days(entry: Any) -> Any:
    """`{value: 2, unit: y}` as days; the standard's names of the two units."""
    if not isinstance(entry, Mapping):
        return entry
    value, unit = entry.get("value"), entry.get("unit")
    factor = {"d": 1, "day": 1, "days": 1, "y": 365, "yr": 365, "years": 365}.get(str(unit))
    if factor is None or not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"got {value!r} {unit or 'without unit'}, expected a whole number with unit d or y")
    return value * factor


Days = Annotated[int, BeforeValidator(_days)]


class Promises(Odcs):
    """`slaProperties` by name, in days. Those that nothing here reads may stand beside them."""

    frequency: Days = Field(ge=1, le=1)
    """A file every day."""
    latency: Days = Field(ge=0, le=31)
    """Days from a file's day to the midnight (local) from which it can be read; 1 means the next day at 00:00."""
    freshness: Days = Field(ge=0)
    """How many expected days may be missing before the source counts as stale."""
    retention: Days = Field(ge=1)
    availability: Any = None
    throughput: Any = None
    error_rate: Any = None
    general_availability: Any = None
    end_of_support: Any = None
    end_of_life: Any = None
    time_to_detect: Any = None
    time_to_notify: Any = None
    time_to_repair: Any = None


class KnownTime(Odcs):
    """How the source says since when a row can be read: by the day in its file's name, or by its own day, plus `latency`."""

    file: Annotated[str, AfterValidator(_file_pattern)] | None = None
    """The name of a day's file, with `{date}` where the day stands."""
    column: Name | None = None
    """A date or timestamp of the row: a file of any name, or a table, then holds many days, each of which is known as if it had come in a file of its own."""

    @model_validator(mode="after")
    def _is_one(self) -> KnownTime:
        if (self.file is None) == (self.column is None):
            raise ValueError(f"got {'neither' if self.file is None else 'both'}, expected either file or column")
        return self


class Csv(Odcs):
    """How CSV files are written, where it is not as in RFC 4180."""

    delimiter: Literal[",", ";", "\t", "|"] = ","
    decimal: Literal[".", ","] = "."
    """The sign before the decimals; with a comma, dots may part thousands."""


class ClosedDays(Odcs):
    """Days on which no file is expected."""

    closed_weekdays: tuple[Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"], ...] = ()
    closed_days: tuple[date, ...] = ()


class Custom(Odcs):
    """`customProperties` by name: what the standard has no key for."""

    timezone: Zone
    """Of the source's days and of its timestamps without offset."""
    known_time: KnownTime
    csv: Csv = Csv()
    calendar: ClosedDays = ClosedDays()
    max_rejected_share: float = Field(ge=0, le=1)
    """A landing with a greater share of refused rows stops."""
    censor_after: int = Field(ge=1)
    """Days after which an outcome whose files never came is given up as censored."""
