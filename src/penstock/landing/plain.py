"""A table's typed values as the text that `columnar` makes of Parquet's, so that one set of checks serves every format: Spark columns.

A whole float has no decimals; an instant is told in UTC with microseconds and the offset `Z`, a time without zone as it stands. A
float that is not whole is told by the shortest digits that give it back, large ones with an exponent: the same number, though
perhaps not the same text as a Parquet file of it would give. The session's time zone must be UTC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.lake.contract import Column, Contract
from penstock.lake.delta import quoted
from penstock.landing.read import compare_header

if TYPE_CHECKING:
    from pyspark.sql import Column as SparkColumn
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

_PLAIN = frozenset(
    ("string", "boolean", "tinyint", "smallint", "int", "bigint", "float", "double", "date", "timestamp", "timestamp_ntz", "void")
)
_EXACT = 2**53
"""Below it a float that is whole is that whole number."""
_MICROS = "yyyy-MM-dd HH:mm:ss.SSSSSS"
_MIDNIGHT = r" 00:00:00\.0+$"


def faults_of(schema: StructType, contract: Contract) -> list[str]:
    """What keeps a table's columns from being the contract's, in words."""
    kinds = {field.name: field.dataType.simpleString() for field in schema}
    odd = [
        f"column {name!r} holds {kind[:60]}, which is no plain value; flatten it, or leave it out"
        for name, kind in kinds.items()
        if not is_plain(kind)
    ]
    faults = [*compare_header(schema.names, contract), *odd]
    for column in contract.columns:
        kind = kinds.get(column.physical_name)
        if column.type == "timestamp" and kind in {"timestamp", "timestamp_ntz"} and column.has_offset != (kind == "timestamp"):
            is_instant = kind == "timestamp"
            faults.append(
                f"column {column.physical_name!r} holds {'instants' if is_instant else 'times without zone'}, "
                f"expected logicalTypeOptions.timezone: {'true' if is_instant else 'false'}"
            )
        if column.type == "date" and kind == "timestamp":
            faults.append(f"column {column.physical_name!r} holds instants, expected physicalType: timestamp with timezone: true")
    return faults


def is_plain(kind: str) -> bool:
    """Whether values of a Spark SQL type can be told as text."""
    return kind in _PLAIN or kind.startswith(("decimal(", "string collate", "varchar(", "char("))


def texts(rows: DataFrame, contract: Contract) -> DataFrame:
    """The contract's columns as text, under their lake names."""
    kinds = {field.name: field.dataType.simpleString() for field in rows.schema}
    return rows.select(*(text_of(kinds[c.physical_name], c).alias(c.name) for c in contract.columns))


def text_of(kind: str, column: Column) -> SparkColumn:
    """A column's text, null where there is no value or empty text; `kind` is its type in the table."""
    from pyspark.sql import functions as F

    value = F.col(quoted(column.physical_name))
    if kind in {"float", "double"}:
        whole = (F.floor(value.cast("double")) == value) & (F.abs(value) < _EXACT)
        return F.when(whole, F.when(whole, value).cast("bigint").cast("string")).otherwise(value.cast("string"))
    if kind == "timestamp":
        return F.concat(F.date_format(value, _MICROS), F.lit("Z"))
    if kind == "timestamp_ntz":
        text = F.date_format(value.cast("timestamp"), _MICROS)
        return F.regexp_replace(text, _MIDNIGHT, "") if column.type == "date" else text
    return F.nullif(value.cast("string"), F.lit(""))
