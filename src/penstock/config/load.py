"""Read the configuration: base, environment, pipeline and contract files, then `--set` on top; all faults at once.

The only module that reads the process environment: a secret's *name* stands in a file, its value never does.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from penstock.config import reasons
from penstock.config.model import Pipeline, Settings
from penstock.config.strict_yaml import parsed
from penstock.errors import ConfigError, UsageError
from penstock.lake.contract import Contract, load_contract

M = TypeVar("M", bound=BaseModel)

_PACKAGED = Path(__file__).parents[1] / "conf"
_CHECKOUT = Path(__file__).parents[3] / "conf"


@dataclass(frozen=True)
class Configuration:
    """One pipeline as it will run here: settings, pipeline, the contracts of its sources by name, and the digest of all three."""

    settings: Settings
    pipeline: Pipeline
    contracts: Mapping[str, Contract]
    digest: str
    folder: Path

    @property
    def contract(self) -> Contract:
        """The contract of the pipeline's own source, whose time zone its days are of."""
        return self.contracts[self.pipeline.source]


def environment(name: str, default: str | None = None) -> str | None:
    """The value of an environment variable; an empty one counts as absent."""
    return os.environ.get(name) or default


def default_environment(name: str, value: str) -> None:
    """Set an environment variable for this process and its children unless it is set already."""
    os.environ.setdefault(name, value)


def conf_folder(given: Path | None) -> Path:
    """The configuration folder: the one given, `./conf` when it holds base.yml, else the one that came with the package."""
    if given is not None:
        if not (given / "base.yml").is_file():
            raise UsageError(f"--conf {given}", got="no base.yml there", expected="a folder with base.yml, env/, pipelines/, contracts/")
        return given
    for folder in (Path("conf"), _PACKAGED, _CHECKOUT):
        if (folder / "base.yml").is_file():
            return folder
    raise UsageError("configuration folder", got="none", expected="conf/base.yml here or in the package", next="penstock … --conf DIR")


def pipeline_names(folder: Path) -> tuple[str, ...]:
    """The pipelines that a configuration folder declares."""
    return tuple(sorted(p.stem for p in (folder / "pipelines").glob("*.yml")))


def load(folder: Path, env: str, pipeline: str, overrides: Iterable[str] = ()) -> Configuration:
    """Settings, pipeline and contract of one pipeline. Raises ConfigError with every fault of every file."""
    faults: list[str] = []
    changes = _overrides(overrides, faults)
    settings_tree = _merged(folder, env, faults)
    pipeline_tree = _pipeline_tree(folder, pipeline, faults)
    for path, value in changes:
        tree, keys = (pipeline_tree, path[1:]) if path[0] == "pipeline" else (settings_tree, path)
        try:
            changed = None if tree is None else _set(tree, keys, value)
        except IndexError:
            faults.append(f"--set {'.'.join(path)}: got no such place in a list, expected the number of one that is there, from 0")
            continue
        pipeline_tree, settings_tree = (changed, settings_tree) if path[0] == "pipeline" else (pipeline_tree, changed)
    # A file that could not be read is one fault: nothing is said of the keys that it would have had.
    settings = None if settings_tree is None else _validate(Settings, {"env": env, **settings_tree}, f"env/{env}.yml or base.yml", faults)
    chosen = None if pipeline_tree is None else _validate(Pipeline, pipeline_tree, f"pipelines/{pipeline}.yml", faults)
    # Of a pipeline that has faults the one source that its text names is still looked at.
    named = chosen.sources if chosen else () if pipeline_tree is None else (str(pipeline_tree.get("source", "")),)
    read = {source: _contract(folder, source, faults) for source in named}
    contracts = {source: contract for source, contract in read.items() if contract is not None}
    if chosen is not None and len(contracts) == len(named):
        personal = [c.name for source in chosen.feature_sources for c in contracts[source].columns if c.is_personal]
        faults += [f"pipelines/{pipeline}.yml: features.{fault}" for fault in reasons.faults(chosen.features, personal)]
    if settings is not None:
        faults += _elsewhere(folder, env, settings, contracts)
    if faults or settings is None or chosen is None:
        raise ConfigError(faults, next=f"correct the keys named above in {folder}")
    if chosen.name != pipeline:
        raise ConfigError([f"pipelines/{pipeline}.yml: name: got {chosen.name!r}, expected {pipeline!r}"])
    digests = {source: contract.digest for source, contract in contracts.items()}
    digest = digest_of({"settings": settings.model_dump(mode="json"), "pipeline": chosen.model_dump(mode="json"), "contracts": digests})
    return Configuration(settings, chosen, contracts, digest, folder)


def digest_of(value: Any) -> str:
    """SHA-256, shortened to 16 hex digits, of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_yaml(path: Path, faults: list[str]) -> dict[str, Any] | None:
    """A YAML file's mapping; None for a file that is none or names a key twice, which is added to `faults`."""
    try:
        tree = parsed(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        faults.append(f"{path.name}: cannot be read ({error.__class__.__name__})")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        faults.append(f"{path.name}{f':{mark.line + 1}' if mark else ''}: not YAML ({getattr(error, 'problem', 'syntax')})")
    else:
        if isinstance(tree, dict) or tree is None:
            return tree or {}
        faults.append(f"{path.name}: got a {type(tree).__name__}, expected keys and values")
    return None


def _merged(folder: Path, env: str, faults: list[str]) -> dict[str, Any] | None:
    known = sorted(p.stem for p in (folder / "env").glob("*.yml"))
    if env not in known:
        faults.append(f"--env: got {env!r}, expected one of {', '.join(known)}")
        return None
    base, top = read_yaml(folder / "base.yml", faults), read_yaml(folder / "env" / f"{env}.yml", faults)
    return None if base is None or top is None else _overlay(base, top)


def _pipeline_tree(folder: Path, pipeline: str, faults: list[str]) -> dict[str, Any] | None:
    known = pipeline_names(folder)
    if pipeline not in known:
        near = difflib.get_close_matches(pipeline, known, n=1)
        raise UsageError(
            "pipeline", got=repr(pipeline), expected=f"one of {', '.join(known)}", next=f"penstock … {near[0]}" if near else ""
        )
    return read_yaml(folder / "pipelines" / f"{pipeline}.yml", faults)


def _contract(folder: Path, source: str, faults: list[str]) -> Contract | None:
    path = folder / "contracts" / f"{source}.yml"
    if not source or not path.is_file():
        known = ", ".join(sorted(p.stem for p in (folder / "contracts").glob("*.yml")))
        faults.append(f"source: got {source!r}, expected one of {known} (a file in contracts/)")
        return None
    try:
        return load_contract(path)
    except ConfigError as error:
        faults.extend(error.faults)
        return None


def _elsewhere(folder: Path, env: str, settings: Settings, contracts: Mapping[str, Contract]) -> Iterator[str]:
    """What is wrong with the tables that an environment names for sources: those of other pipelines are judged with these."""
    for source in settings.sources:
        where = f"env/{env}.yml or base.yml: sources.{source}"
        if not (folder / "contracts" / f"{source}.yml").is_file():
            yield f"{where}: got no contracts/{source}.yml, expected a source"
        elif source in contracts and contracts[source].file_format != "delta":
            yield f"{where}: got a table for files of {contracts[source].file_format}, expected schema.physicalType: delta in contracts/{source}.yml"


def _validate(model: type[M], tree: Mapping[str, Any], where: str, faults: list[str]) -> M | None:
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        faults.extend(_sentence(where, fault) for fault in error.errors())
        return None


def _sentence(where: str, fault: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in fault["loc"]) or "file"
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        return f"{where}: {key}: unknown key"
    if fault["type"] == "missing":
        return f"{where}: {key}: missing"
    got = fault.get("input")
    shown = f"got {got!r}, " if isinstance(got, str | int | float | bool) and "got " not in message else ""
    return f"{where}: {key}: {shown}{message}"


def _overlay(base: dict[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        merged[key] = _overlay(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return merged


def _overrides(texts: Iterable[str], faults: list[str]) -> list[tuple[list[str], Any]]:
    changes = []
    for text in texts:
        path, found, value = text.partition("=")
        if not found or path == "pipeline" or not all(part.isidentifier() or part.isdecimal() for part in path.split(".")):
            faults.append(f"--set: got {text!r}, expected key.key=value (pipeline.… for the pipeline's own keys)")
            continue
        try:
            changes.append((path.split("."), yaml.safe_load(value)))
        except yaml.YAMLError:
            faults.append(f"--set {path}: got {value!r}, expected a YAML value")
    return changes


def _set(tree: Any, keys: Sequence[str], value: Any) -> Any:
    """A copy of the tree with one key set; in a list a number names the place. Raises IndexError for a place that is not there."""
    key, *below = keys
    if isinstance(tree, list):
        changed, at = list(tree), int(key) if key.isdecimal() else len(tree)
        changed[at] = _set(tree[at], below, value) if below else value
        return changed
    known = tree if isinstance(tree, dict) else {}
    return {**known, key: _set(known.get(key), below, value) if below else value}
