"""`penstock init`: from a table to a pipeline and a contract that load, run and wait to be edited."""

from __future__ import annotations

import argparse
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

from penstock.config.load import conf_folder
from penstock.errors import ConfigError, UsageError
from penstock.lake.expressions import check_identifier
from penstock.orchestrate.conf_check import check
from penstock.orchestrate.first_choices import Choices, choose
from penstock.orchestrate.first_contract import MAX_REJECTED, contract_text
from penstock.orchestrate.first_kinds import first
from penstock.orchestrate.first_pipeline import key_of, pipeline_text
from penstock.orchestrate.table_profile import Column, Profile, lake_names, look_at

_QUARANTINE = f"for quarantine, and a landing with more than {float(MAX_REJECTED):.0%} of such rows stops"


def init_command(parsed: argparse.Namespace) -> int:
    """Writes the files and says what comes next. Raises UsageError, and then nothing was written."""
    name, folder = parsed.pipeline, parsed.conf or Path("conf")
    _require_words(name, parsed.timezone, parsed.horizon)
    _require_columns(parsed.entity, parsed.event_time)
    source = _source_name(parsed.source[0], name)
    places = {"pipeline": folder / "pipelines" / f"{name}.yml", "contract": folder / "contracts" / f"{source}.yml"}
    ways = {"pipeline": "another NAME, or move it away", "contract": f"another name for {parsed.source[0].name}, or move it away"}
    for kind, path in places.items():
        if path.exists():
            raise UsageError(f"{path}", got="a file that is there", expected="none: nothing is overwritten", next=ways[kind])
    profile = look_at(parsed.source, parsed.entity, parsed.event_time, parsed.timezone)
    choices = choose(profile, parsed.horizon, _predicted(profile, parsed.predict))
    said = _command(parsed)
    _write_places(folder)
    for path in places.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    places["contract"].write_text(contract_text(source, profile, choices, parsed.timezone, said), encoding="utf-8")
    places["pipeline"].write_text(pipeline_text(name, source, profile, choices, said), encoding="utf-8")
    faults = check(folder, name).faults
    if faults:  # of this place's own settings, most likely
        for path in places.values():
            path.unlink()
        raise ConfigError(list(faults), next=f"correct them in {folder}, then the same command again")
    print("\n".join(_told(parsed, profile, choices, places, source)))
    return 0


def _require_words(name: str, timezone: str, horizon: int | None) -> None:
    try:
        check_identifier(name)
    except ValueError as error:
        raise UsageError(f"pipeline's name: {error}") from None
    try:
        ZoneInfo(timezone)
    except (OSError, ValueError, KeyError):
        raise UsageError("--timezone", got=repr(timezone), expected="an IANA time zone such as Europe/London") from None
    if horizon is not None and not 1 <= horizon <= 3650:
        raise UsageError("--horizon", got=str(horizon), expected="1 to 3650 days")


def _require_columns(entity: Sequence[str], event_time: str) -> None:
    twice = sorted({name for name in entity if entity.count(name) > 1})
    if twice:
        raise UsageError("--entity", got=f"{', '.join(twice)} more than once", expected="each column of the key once")
    if event_time in entity:
        raise UsageError("--entity", got=f"{event_time}, the event time", expected="the columns that name whom to predict about")


def _predicted(profile: Profile, name: str | None) -> Column | None:
    """The column whose sum is to be predicted, by its name in the table."""
    if name is None:
        return None
    own = {*profile.entity, profile.event_time}
    numbers = {column.physical: column for column in profile.columns if column.is_number and column not in own}
    if name not in numbers:
        raise UsageError("--predict", got=repr(name), expected=f"a numeric column: {', '.join(numbers) or 'the table has none'}")
    return numbers[name]


def _source_name(path: Path, pipeline: str) -> str:
    stem = path.name.split(".")[0]
    found = next(iter(lake_names([stem]).values())) if any(c.isascii() and c.isalpha() for c in stem) else f"{pipeline}_events"
    return found.removesuffix("_value")


def _command(parsed: argparse.Namespace) -> str:
    words = ["penstock", "init", parsed.pipeline, "--source", *(path.name for path in parsed.source), "--entity", *parsed.entity]
    words += ["--event-time", parsed.event_time]
    words += ["--timezone", parsed.timezone] if parsed.timezone != "UTC" else []
    words += ["--horizon", str(parsed.horizon)] if parsed.horizon else []
    words += ["--predict", parsed.predict] if parsed.predict else []
    return " ".join(shlex.quote(word) for word in words)


def _write_places(folder: Path) -> None:
    """base.yml and the environments, where the folder has none."""
    packaged = conf_folder(None) if not (folder / "base.yml").is_file() else folder
    if packaged == folder:
        return
    (folder / "env").mkdir(parents=True, exist_ok=True)
    for path in (packaged / "base.yml", *sorted((packaged / "env").glob("*.yml"))):
        to = folder / path.relative_to(packaged)
        if not to.exists():
            shutil.copyfile(path, to)


def _told(parsed: argparse.Namespace, profile: Profile, choices: Choices, places: dict[str, Path], source: str) -> list[str]:
    days, name = profile.days, parsed.pipeline
    files = " ".join(shlex.quote(str(path)) for path in parsed.source)
    conf = f" --conf {shlex.quote(str(parsed.conf))}" if parsed.conf else ""
    lake = f" --lake {shlex.quote(str(parsed.lake))}" if str(parsed.lake) != "lakehouse" else ""
    landing = shlex.quote(str(parsed.lake / "landing" / source))
    numbers = sum(column.is_number for column in profile.columns if column not in profile.entity)
    lines = [
        f"{profile.rows:,} rows, {len(profile.columns)} columns ({numbers} numeric), {days.entities:,} entities, {days.first} to {days.last}",
        f"wrote {places['pipeline']}",
        f"wrote {places['contract']}",
        f"{first(key_of(profile), choices).told}; {choices.matured} cohorts have such an outcome by {choices.as_of}",
    ]
    notes = [f"{c.physical}: {c.kind.note}" for c in profile.columns if c.kind.note]
    if days.nobody:
        notes.append(f"{_rows(days.nobody)} no {' and '.join(parsed.entity)}: kept, but nobody's")
    if days.undated:
        notes.append(f"{_rows(days.undated)} no {parsed.event_time}: {_QUARANTINE}")
    if profile.malformed:
        notes.append(f"{_rows(profile.malformed)} no values (the first: {profile.fault}): {_QUARANTINE}")
    notes += [
        f"{c.physical}: {' and '.join(map(repr, c.kind.missing))} taken for no value; transformLogic in the contract says so"
        for c in profile.columns
        if c.kind.missing
    ]
    if not choices.sums:
        notes.append("no numeric column to sum: the features are counts and recency")
    lines += [f"note: {note}" for note in notes[:8]]
    lines += [f"and {len(notes) - 8} more notes, in the contract"] if len(notes) > 8 else []
    lines += [f"not enough to train yet: {lack}" for lack in choices.lacking]
    return [
        *lines,
        "Next:",
        "  edit the two files: purpose, owner, label, checks",
        f"  penstock conf check {name}{conf}",
        f"  mkdir -p {landing} && cp {files} {landing}/",
        f"  penstock run {name} --as-of {choices.as_of}{conf}{lake}",
    ]


def _rows(count: int) -> str:
    return "1 row has" if count == 1 else f"{count:,} rows have"
