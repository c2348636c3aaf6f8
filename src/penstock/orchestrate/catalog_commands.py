"""`penstock features [TEXT]`: the catalogue of features, searched. JSON goes alone to standard output."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from penstock import wiring
from penstock.features import catalog
from penstock.features.catalog import Found
from penstock.orchestrate.commands import opened, words_of

_HEAD = ("feature", "view", "version", "type", "owner", "tags", "restrictions", "description")


def search(parsed: argparse.Namespace) -> int:
    """The features of every view in which the words stand."""
    from penstock.config.load import conf_folder, pipeline_names

    wiring.existing_lake(words_of(parsed))
    pipeline = next(iter(pipeline_names(conf_folder(parsed.conf))), "")  # any: the lake is the same
    with opened(parsed, pipeline) as home:
        every = catalog.read(home.lake())
    found = catalog.search(every, parsed.pipeline or "", every_version=parsed.all_versions)
    if parsed.json:
        print(json.dumps([told(one) for one in found], indent=2))
    elif found:
        print("\n".join(lines(found)))
    else:
        why = (
            f"none of {len(every)} has {parsed.pipeline!r}"
            if every
            else "no pipeline has made any: penstock features PIPELINE --as-of DATE"
        )
        print(f"No feature: {why}.", file=sys.stderr)
    return 0


def told(found: Found) -> dict[str, Any]:
    """An entry for machines; the declaration of its whole view stays in the table."""
    entry = asdict(found.entry) | {"created_at": found.created_at.isoformat(timespec="seconds")}
    return {name: value for name, value in entry.items() if name != "declaration"}


def lines(found: Sequence[Found]) -> list[str]:
    """The entries as a table for people, ended by their number."""
    rows = [
        (e.column, e.view, str(e.version), e.type, e.owner, ", ".join(e.tags), ", ".join(e.restrictions), e.description or e.computed)
        for e in (one.entry for one in found)
    ]
    widths = [max(len(row[i]) for row in (_HEAD, *rows)) for i in range(len(_HEAD))]
    rule = tuple("-" * width for width in widths)
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (_HEAD, rule, *rows)]
    return [*table, f"({len(rows)} feature{'s' if len(rows) != 1 else ''})"]
