"""The facts of a generation as the fields of its hash in Redis, and back; pure."""

from __future__ import annotations

import json
from collections.abc import Mapping

from penstock.publish.generation import PublishFacts

_SAME = ("count", "as_of", "model_version", "source", "shape", "format", "columns", "mode")
_MISSING = {"shape": "score", "format": "json", "columns": "", "mode": "whole"}
"""What a generation without the field means: it was written before there was a choice."""


def as_fields(facts: PublishFacts, digest: str, buckets: int) -> dict[str, str | int]:
    """Field → value, for HSET."""
    fields: dict[str, str | int] = {
        "count": facts.count,
        "buckets": buckets,
        "as_of": facts.as_of.isoformat(),
        "model_version": facts.model_version,
        "source": facts.source,
        "digest": digest,
        "created": facts.created.isoformat(),
        "shape": facts.shape,
        "format": facts.format,
        "mode": facts.mode,
    }
    if facts.columns:
        fields["columns"] = json.dumps(facts.columns, separators=(",", ":"), ensure_ascii=False)
    if facts.entities is not None:
        fields["entities"] = facts.entities
    if facts.cursor is not None:
        fields["cursor"] = facts.cursor
    return fields


def text_of(meta: Mapping[bytes, bytes], name: str) -> str:
    """One fact as it stands in Redis, or what its absence means."""
    found = meta.get(name.encode())
    return _MISSING.get(name, "") if found is None else found.decode()


def differing(meta: Mapping[bytes, bytes], facts: PublishFacts, names: tuple[str, ...] = _SAME) -> list[str]:
    """The facts that are not those of the generation in Redis."""
    expected = as_fields(facts, "", 0)
    return [name for name in names if text_of(meta, name) != str(expected.get(name, ""))]


def entities(meta: Mapping[bytes, bytes], facts: PublishFacts) -> tuple[int, int]:
    """How many entities (Redis has, the new set has); fields where one of the two does not know its entities."""
    if facts.entities is not None and b"entities" in meta:
        return int(meta[b"entities"]), facts.entities
    return int(meta.get(b"count", b"0")), facts.count
