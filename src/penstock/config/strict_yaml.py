"""YAML as every configuration file is read: no objects, no key twice; and the line on which a key stands."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import yaml


class _UniqueKeys(yaml.SafeLoader):
    """The safe loader, which would otherwise let the last of two equal keys win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set[str]()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key.value} stands twice", problem_mark=key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def parsed(text: str) -> Any:
    """The value of a YAML text. Raises yaml.YAMLError, also for a key that stands twice."""
    return yaml.load(text, Loader=_UniqueKeys)  # noqa: S506 (a safe loader that also refuses equal keys)


def line_of(text: str, path: Sequence[str]) -> tuple[int | None, int]:
    """The line, from 1, of the key at `path`, or of the deepest part of it that is there, and how many parts that are; None when none is.

    A list is entered by number, or by the `property` or `name` of its entries, as contracts list theirs.
    """
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    line: int | None = None
    for depth, part in enumerate(path):
        found = _below(node, part)
        if found is None:
            return line, depth
        mark, node = found
        line = mark.start_mark.line + 1
    return line, len(path)


def _below(node: yaml.Node | None, part: str) -> tuple[yaml.Node, yaml.Node] | None:
    """(where it is named, its value)"""
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode):
        if part.isdigit():
            return (node.value[int(part)],) * 2 if int(part) < len(node.value) else None
        for key, entry in ((key, entry) for entry in node.value for key in ("property", "name")):
            named = _below(entry, key)
            if named is not None and named[1].value == part:
                return (_below(entry, "value") if key == "property" else None) or (entry, entry)
    return None
