"""`penstock conf …`: what can be said of configuration files alone, without a lake and without Spark."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from penstock.config.load import conf_folder, load, pipeline_names
from penstock.errors import ConfigError, UsageError
from penstock.lake.contract import load_contract
from penstock.orchestrate.conf_diff import Change, Side, differences


def diff(parsed: argparse.Namespace) -> int:
    """`penstock conf diff A B`. Exit code 3 when a change breaks something, else 0."""
    found = differences(side(parsed.before, parsed.env), side(parsed.after, parsed.env))
    if parsed.json:
        print(json.dumps([asdict(change) for change in found], indent=2))
    else:
        print("\n".join(lines(found)))
    return 3 if any(change.breaking for change in found) else 0


def side(folder: Path, env: str) -> Side:
    """All pipelines and contracts of a folder. Raises ConfigError with every fault of every file, UsageError for no such folder."""
    place = folder / "conf" if not (folder / "base.yml").is_file() and (folder / "conf" / "base.yml").is_file() else folder
    conf_folder(place)
    faults: list[str] = []
    pipelines, contracts = {}, {}
    for name in pipeline_names(place):
        try:
            pipelines[name] = load(place, env, name).pipeline
        except ConfigError as error:
            faults += [f"{place}/{fault}" for fault in error.faults]
        except UsageError as error:
            faults.append(f"{place}: {error}")
    for path in sorted((place / "contracts").glob("*.yml")):
        try:
            contracts[path.stem] = load_contract(path)
        except ConfigError as error:
            faults += [f"{place}/contracts/{fault}" for fault in error.faults]
    if faults:
        raise ConfigError(list(dict.fromkeys(faults)))
    return Side(pipelines, contracts)


def lines(found: Sequence[Change]) -> list[str]:
    """The breaking changes first, then the others; each with file and key."""
    if not found:
        return ["No contract, feature, label, population or schedule changed."]
    told = []
    for breaking, head in ((True, "breaking"), (False, "compatible")):
        some = [change for change in found if change.breaking == breaking]
        told += [f"{head} ({len(some)})", *(f"  {c.file}: {c.key}: {c.what}" for c in some)] if some else []
    return told
