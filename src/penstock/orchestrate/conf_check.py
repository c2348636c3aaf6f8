"""`penstock conf check`: every fault of a configuration folder at once, with file, line and key; no Spark, no lake.

What only Spark can say, whether an expression parses and its types fit, is not checked here; the words of an expression
and the columns that it names are.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from penstock.config.load import Configuration, conf_folder, load, pipeline_names
from penstock.config.strict_yaml import line_of
from penstock.errors import ConfigError, UsageError
from penstock.lake.contract import load_contract
from penstock.orchestrate.conf_columns import contract_faults, pipeline_faults

_FAULT = re.compile(r"(?P<file>[\w./-]+\.yml)(?P<or> or base\.yml)?: (?P<key>[A-Za-z_][\w.]*)(?P<rest>: .*)", re.DOTALL)

_BROKEN = re.compile(r"(?P<file>[\w.-]+\.yml):(?: line (?P<line>\d+)|(?P<at>\d+)): (?P<rest>not YAML .*)", re.DOTALL)
"""A fault of a file that is no YAML at all."""


@dataclass(frozen=True)
class Checked:
    """What was looked at, and the faults: sentences that begin with file, line and key."""

    pipelines: tuple[str, ...]
    contracts: tuple[str, ...]
    environments: tuple[str, ...]
    faults: tuple[str, ...]


def check_command(parsed: argparse.Namespace) -> int:
    """Prints one line when all is well. Raises ConfigError with all faults."""
    folder = conf_folder(parsed.conf)
    found = check(folder, parsed.pipeline, parsed.overrides)
    if found.faults:
        raise ConfigError(list(found.faults), next=f"correct them in {folder}, then penstock conf check")
    print(
        f"ok: {_counted('pipeline', found.pipelines)}; {_counted('contract', found.contracts)}; {_counted('environment', found.environments)}"
    )
    return 0


def check(folder: Path, pipeline: str | None = None, overrides: Sequence[str] = ()) -> Checked:
    """All faults of a folder, or of one pipeline with what it uses. Raises UsageError for a pipeline that is not there."""
    known = pipeline_names(folder)
    if pipeline is not None and pipeline not in known:
        raise UsageError("pipeline", got=repr(pipeline), expected=f"one of {', '.join(known)}")
    names = known if pipeline is None else (pipeline,)
    environments = tuple(sorted(p.stem for p in (folder / "env").glob("*.yml")))
    faults: list[str] = [] if environments else ["env/: got no file, expected local.yml at least"]
    whole = []
    for name in names:
        loaded = [_loaded(folder, env, name, overrides, faults) for env in environments]
        whole += [one for one in loaded[:1] if one]
        faults += [f"pipelines/{name}.yml: {key}: {fault}" for one in loaded[:1] if one for key, fault in _deeper(one)]
    if not names:
        faults.append("pipelines/: got no file, expected one pipeline at least (penstock init NAME --source FILE …)")
    contracts = _contracts(folder, [source for one in whole for source in one.pipeline.sources] if pipeline else None, faults)
    faults += _shared_views(whole)
    return Checked(names, contracts, environments, tuple(dict.fromkeys(_located(folder, fault) for fault in faults)))


def _loaded(folder: Path, env: str, name: str, overrides: Sequence[str], faults: list[str]) -> Configuration | None:
    try:
        return load(folder, env, name, overrides)
    except ConfigError as error:
        faults += [f"pipelines/{name}.yml: {fault}" if fault.startswith("source: ") else fault for fault in error.faults]
    return None


def _deeper(found: Configuration) -> Iterator[tuple[str, str]]:
    """What each value alone cannot show: columns that are not there, an estimator that scikit-learn does not have."""
    from penstock import kinds
    from penstock.training.model import estimator_faults

    kind = kinds.of(found.pipeline.kind)
    yield from pipeline_faults(found.pipeline, found.contracts)
    for candidate in found.pipeline.training.candidates:
        yield from (("training.candidates", fault.removeprefix("training.candidates: ")) for fault in estimator_faults(candidate, kind))


def _contracts(folder: Path, only: Sequence[str] | None, faults: list[str]) -> tuple[str, ...]:
    paths = sorted((folder / "contracts").glob("*.yml"))
    chosen = [path for path in paths if only is None or path.stem in only]
    for path in chosen:
        try:
            contract = load_contract(path)
        except ConfigError as error:
            faults += error.faults
        else:
            faults += [f"{path.name}: {key}: {fault}" for key, fault in contract_faults(contract)]
    return tuple(path.stem for path in chosen)


def _shared_views(whole: Sequence[Configuration]) -> Iterator[str]:
    """Pipelines may share a view, and with it its tables; then they must mean the same by it."""
    from penstock.features.spec import definition

    first: dict[str, Configuration] = {}
    for one in whole:
        view = one.pipeline.features
        other = first.setdefault(view.name, one)
        if definition(view, one.contract.timezone) != definition(other.pipeline.features, other.contract.timezone):
            at = f"pipelines/{one.pipeline.name}.yml: features.name"
            yield f"{at}: got {view.name}, which pipelines/{other.pipeline.name}.yml defines otherwise; expected another name or the same view"


def _located(folder: Path, fault: str) -> str:
    """The fault with the folder of its file and the line of its key, where they can be told."""
    if broken := _BROKEN.fullmatch(fault):
        # A contract says `line 3`; of the others a pipeline is likelier than an environment.
        below = "contracts" if broken["line"] else next((d for d in ("pipelines", "env") if (folder / d / broken["file"]).is_file()), "")
        return f"{below}/{broken['file']}:{broken['line'] or broken['at']}: {broken['rest']}".removeprefix("/")
    found = _FAULT.fullmatch(fault)
    if found is None:
        return fault
    named = found["file"] if "/" in found["file"] else f"contracts/{found['file']}"
    keys = found["key"].split(".")
    # Of the environment's file and base.yml, the one that holds more of the key is meant.
    places = [(file, *_line(folder / file, keys)) for file in ((named, "base.yml") if found["or"] else (named,))]
    file, line, _ = max(places, key=lambda place: place[2])
    return f"{file}{'' if line is None else f':{line}'}: {found['key']}{found['rest']}"


def _line(path: Path, keys: Sequence[str]) -> tuple[int | None, int]:
    try:
        return line_of(path.read_text(encoding="utf-8"), keys)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None, 0


def _counted(noun: str, names: Sequence[str]) -> str:
    return f"{noun}{'' if len(names) == 1 else 's'} {', '.join(names) or 'none'}"
