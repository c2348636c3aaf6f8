"""The types that configuration values are made of: checked names, expressions, windows, Spark SQL types and templates."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from penstock.config import reasons
from penstock.lake.expressions import check_expression, check_identifier, check_table_name

WINDOW = re.compile(r"[1-9][0-9]{0,3}d|all")
_TYPE = re.compile(r"boolean|int|bigint|float|double|string|date|timestamp|decimal\(([1-9]|[12][0-9]|3[0-8]), ?([0-9]|[12][0-9]|3[0-8])\)")


def _identifier(name: str) -> str:
    check_identifier(name)
    return name


def _table_name(name: str) -> str:
    check_table_name(name)
    return name


def _expression(text: str) -> str:
    check_expression(text)
    return text


def _window(text: str) -> str:
    if not WINDOW.fullmatch(text):
        raise ValueError(f"got {text!r}, expected whole days such as 30d, or all")
    return text


def _type(text: str) -> str:
    found = _TYPE.fullmatch(text)
    if found is None or (found[1] and int(found[2]) > int(found[1])):
        raise ValueError(f"got {text!r}, expected a Spark SQL type such as bigint, double, string or decimal(18,3)")
    return text


def _reason(text: str) -> str:
    reasons.parse(text)
    return text


Name = Annotated[str, AfterValidator(_identifier)]
TableName = Annotated[str, AfterValidator(_table_name)]
Expression = Annotated[str, AfterValidator(_expression)]
Window = Annotated[str, AfterValidator(_window)]
SqlType = Annotated[str, AfterValidator(_type)]
"""It stands inside SQL text, so only known types pass."""

Reasons = Annotated[
    tuple[Annotated[str, AfterValidator(_reason)], ...],
    BeforeValidator(lambda given: (given,) if isinstance(given, str) else given),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""Templates of `penstock.config.reasons`, one or several: the first whose columns all have a value is used."""
