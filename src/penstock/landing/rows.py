"""From text to typed rows, the reasons why a row is refused, and the counts: a contract as Spark columns.

`checked` keeps every row: typed columns, the text they came from, and `reasons`. A row is accepted when it has none.
Reasons are `parse_error`, `COLUMN:required`, `COLUMN:type`, `COLUMN:pattern`, `COLUMN:length`, `COLUMN:range`, or a row
rule's name. The session's time zone must be UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import reduce
from zoneinfo import ZoneInfo

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from penstock.lake.contract import Column, Contract
from penstock.lake.expressions import quote
from penstock.lake.odcs import Bound
from penstock.landing.read import ROW_COLUMNS

META = tuple(name for name, _ in ROW_COLUMNS if name != "_parse_error")

# \z and not $, which would let a line feed at the end of a value through; `nan`, `inf`, `1d` are no numbers here.
_WHOLE = r"\A\s*[+-]?[0-9]+\s*\z"
_NUMBER = r"\A\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?\s*\z"
# With a decimal comma, dots part thousands or are not there at all: 1.234,56 or 1234,56, but no 1.5.
_COMMA_NUMBER = r"\A\s*[+-]?([0-9]{1,3}(\.[0-9]{3})+|[0-9]+)(,[0-9]+)?([eE][+-]?[0-9]{1,3})?\s*\z"
_EXACT_SCALE = 18


@dataclass(frozen=True)
class FileCounts:
    """What was found in one file: `rows` = `accepted` + `rejected`, and the count of each fact and each reason, zeros included.

    Facts are counted over all rows that could be parsed. A row with two reasons is counted under both.
    """

    file: str
    rows: int
    accepted: int
    rejected: int
    checks: Mapping[str, int]


def checked(parsed: DataFrame, contract: Contract) -> DataFrame:
    """Every parsed row, typed: the contract's columns, `ROW_COLUMNS`, `_raw` (struct of the text) and `reasons` (array<string>)."""
    raw = F.struct(*(F.col(c.name) for c in contract.columns)).alias("_raw")
    untyped = F.struct(*(_is_untyped(c).alias(c.name) for c in contract.columns)).alias("_untyped")
    typed = parsed.select(*typed_columns(contract).values(), *(F.col(name) for name, _ in ROW_COLUMNS), raw, untyped)
    names = [n for n in typed.columns if n != "_untyped"]
    return typed.select(*names, reasons_expression(contract).alias("reasons"))


def typed_columns(contract: Contract) -> dict[str, SparkColumn]:
    """The lake's columns over the text of the same names; null where the text is null or not of the type."""
    return {column.name: _typed(column).alias(column.name) for column in contract.columns}


def reasons_expression(contract: Contract) -> SparkColumn:
    """array<string>: why a typed row is refused, in the contract's order; empty for an accepted row."""
    found = F.array_compact(F.array(*(F.when(condition, F.lit(name)) for name, condition in _reasons(contract).items())))
    nothing = F.array().cast("array<string>")
    return F.when(F.col("_parse_error").isNotNull(), F.array(F.lit("parse_error"))).otherwise(found if _reasons(contract) else nothing)


def accepted(rows: DataFrame, contract: Contract) -> DataFrame:
    """The rows of `checked` without reasons: typed columns, `_file`, `_row`, `_file_digest`, `_known_at`."""
    return rows.where(F.size("reasons") == 0).select(*(c.name for c in contract.columns), *META)


def rejected(rows: DataFrame, contract: Contract) -> DataFrame:
    """The rows of `checked` with reasons: the text as it was read, `reasons`, `_file`, `_row`, `_file_digest`, `_known_at`."""
    text = [F.col("_raw").getField(c.name).alias(c.name) for c in contract.columns]
    return rows.where(F.size("reasons") > 0).select(*text, "reasons", *META)


def check_names(contract: Contract) -> tuple[str, ...]:
    """The names under which `file_facts` counts: facts, then reasons."""
    facts = [*_facts(contract), *(r.name for r in contract.batch_rules if r.metric == "duplicateValues")]
    return (*facts, "parse_error", *_reasons(contract))


def file_facts(rows: DataFrame, contract: Contract) -> tuple[FileCounts, ...]:
    """The counts of each file in `checked` rows, by file name; one aggregation. A file without rows has no entry."""
    parsed = F.col("_parse_error").isNull()
    counts = {f"fact_{name}": F.count_if(parsed & condition) for name, condition in _facts(contract).items()}
    for rule in contract.batch_rules:
        if rule.metric == "duplicateValues":
            text = F.struct(*(F.col("_raw").getField(name) for name in rule.columns))
            # Rows that repeat another one: all rows less one of each kind. The struct is never null, so nulls compare as equal.
            counts[f"fact_{rule.name}"] = F.count_if(parsed) - F.count_distinct(F.when(parsed, text))
    for name in ("parse_error", *_reasons(contract)):
        counts[f"fact_{name}"] = F.count_if(F.array_contains("reasons", name))
    kept = F.count_if(F.size("reasons") == 0).alias("_accepted")
    table = rows.groupBy("_file").agg(F.count(F.lit(1)).alias("_rows"), kept, *(c.alias(n) for n, c in counts.items()))
    return tuple(_file_counts(row) for row in sorted(table.collect(), key=lambda row: str(row["_file"])))


def _file_counts(row: Row) -> FileCounts:
    checks = {name.removeprefix("fact_"): int(value) for name, value in row.asDict().items() if name.startswith("fact_")}
    return FileCounts(row["_file"], row["_rows"], row["_accepted"], row["_rows"] - row["_accepted"], checks)


def _text(column: Column) -> SparkColumn:
    """The text after the contract's transform; empty text is null."""
    text = F.expr(column.transform) if column.transform else F.col(quote(column.name))
    return F.nullif(text, F.lit(""))


def _typed(column: Column) -> SparkColumn:
    text = _text(column)
    if column.type == "string":
        return text
    if column.type in {"date", "timestamp", "boolean"}:
        return _calendar(text, column)
    return _number(_with_point(text) if column.decimal_sign == "," and not column.transform else text, column)


def _with_point(text: SparkColumn) -> SparkColumn:
    """Numbers with a decimal comma as they are written elsewhere. Other text gets a sign that no number has, lest its dots vanish."""
    return F.when(text.rlike(_COMMA_NUMBER), F.translate(text, ",.", ".")).otherwise(F.concat(F.lit("?"), text))


def _number(text: SparkColumn, column: Column) -> SparkColumn:
    if column.type in {"int", "bigint"}:
        return F.when(text.rlike(_WHOLE), text.try_cast(column.type))
    if column.type == "double":
        value = text.try_cast("double")
        return F.when(text.rlike(_NUMBER) & (F.abs(value) < float("inf")), value)
    return _decimal(text, column.type)


def _calendar(text: SparkColumn, column: Column) -> SparkColumn:
    if column.type == "boolean":
        return text.try_cast("boolean")
    local = F.try_to_timestamp(text, F.lit(column.format))
    if column.type == "date" or column.has_offset:
        return local.cast(column.type)
    return F.to_utc_timestamp(local, column.timezone)


def _decimal(text: SparkColumn, type_: str) -> SparkColumn:
    """The exact value: text with more decimals than the type holds is not of the type, where a cast would round it."""
    value = text.try_cast(type_)
    scale = int(type_.split(",")[1].rstrip(") "))
    if scale > _EXACT_SCALE:
        return F.when(text.rlike(_NUMBER), value)
    return F.when(text.rlike(_NUMBER) & (value == text.try_cast(f"decimal(38,{_EXACT_SCALE})")), value)


def _is_untyped(column: Column) -> SparkColumn:
    return F.lit(False) if column.type == "string" else _text(column).isNotNull() & _typed(column).isNull()


def _reasons(contract: Contract) -> dict[str, SparkColumn]:
    """Reason → condition over the typed row."""
    found: dict[str, SparkColumn] = {}
    for column in contract.columns:
        value, untyped = F.col(quote(column.name)), F.col("_untyped").getField(column.name)
        if column.required:
            found[f"{column.name}:required"] = value.isNull() & ~untyped
        if column.type != "string":
            found[f"{column.name}:type"] = untyped
        if column.pattern:
            found[f"{column.name}:pattern"] = ~value.rlike(whole(column.pattern))
        if length := length_bounds(column):
            found[f"{column.name}:length"] = ~F.length(value).between(*length)
        if outside := _outside(column, value):
            found[f"{column.name}:range"] = reduce(lambda a, b: a | b, outside)
    return found | {r.name: F.expr(r.condition) for r in contract.row_rules if r.severity == "error"}


def _facts(contract: Contract) -> dict[str, SparkColumn]:
    return {rule.name: F.expr(rule.condition) for rule in contract.row_rules if rule.severity == "info"}


def whole(pattern: str) -> str:
    """A pattern that must match the whole value: in Java `$` also matches before a line feed at the end."""
    return rf"\A(?:{pattern})\z"


def length_bounds(column: Column) -> tuple[int, int] | None:
    """(shortest, longest) length that the contract lets through; None when it says nothing."""
    if column.min_length is None and column.max_length is None:
        return None
    return column.min_length or 0, 2**31 - 1 if column.max_length is None else column.max_length


def bound_value(column: Column, bound: Bound) -> Decimal | date | datetime:
    """A bound as a value of the column's type: local dates and times of a timestamp column as instants."""
    if isinstance(bound, Decimal):
        return bound
    if column.type == "date":
        return bound.date() if isinstance(bound, datetime) else bound
    moment = bound if isinstance(bound, datetime) else datetime.combine(bound, time())
    return moment.replace(tzinfo=ZoneInfo(column.timezone)).astimezone(UTC)


def _outside(column: Column, value: SparkColumn) -> list[SparkColumn]:
    sides: list[tuple[Bound | None, Callable[[SparkColumn], SparkColumn]]] = [
        (column.minimum, lambda b: value < b),
        (column.maximum, lambda b: value > b),
        (column.exclusive_minimum, lambda b: value <= b),
        (column.exclusive_maximum, lambda b: value >= b),
    ]
    return [outside(F.lit(bound_value(column, bound))) for bound, outside in sides if bound is not None]
