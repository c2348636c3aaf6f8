"""`penstock conf schema`: the JSON Schema (draft 2020-12) of each kind of file, for editors that complete and check keys."""

from __future__ import annotations

import argparse
import json
from typing import Any

from penstock.config.model import Pipeline, Settings
from penstock.lake.odcs import Custom, Document, Promise, Promises

KINDS = ("pipeline", "settings", "contract")


def schema_command(parsed: argparse.Namespace) -> int:
    """Prints one schema."""
    print(json.dumps(schema(parsed.kind), indent=2))
    return 0


def schema(kind: str) -> dict[str, Any]:
    """The schema of a kind of file."""
    if kind == "contract":
        found = _contract()
    elif kind == "settings":
        found = Settings.model_json_schema()
        # The environment's name is its file's, and base.yml holds a part of the keys.
        found["properties"].pop("env")
        found.pop("required", None)
    else:
        found = Pipeline.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def _contract() -> dict[str, Any]:
    """The document's own keys, and the two lists of pairs whose entries are told by their `property`."""
    found = Document.model_json_schema()
    for key, model in (("slaProperties", Promises), ("customProperties", Custom)):
        entry = Promise.model_json_schema()
        values = model.model_json_schema(by_alias=True)
        found["$defs"] |= values.pop("$defs", {})
        known = [
            {"if": {"properties": {"property": {"const": name}}}, "then": {"properties": {"value": value}}}
            for name, value in values["properties"].items()
            if key == "customProperties"
        ]
        entry["properties"]["property"] = {"type": "string", "enum": list(values["properties"])}
        found["properties"][key] = {"type": "array", "description": values.get("description", ""), "items": entry | {"allOf": known}}
        found.setdefault("required", []).append(key)
    return found
