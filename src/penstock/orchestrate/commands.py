"""What each command does, once its words are parsed: open the house, run, print. JSON goes alone to standard output."""

from __future__ import annotations

import argparse
import getpass
import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from penstock import wiring
from penstock.config.load import Configuration
from penstock.errors import UsageError
from penstock.orchestrate import dag, local, shown
from penstock.progress import Progress
from penstock.progress import shown as progress_shown
from penstock.wiring import House, Words


def words_of(parsed: argparse.Namespace) -> Words:
    """The part of a command line that every command has."""
    return Words(parsed.env, parsed.conf, parsed.lake, tuple(parsed.overrides))


@contextmanager
def opened(parsed: argparse.Namespace, pipeline: str) -> Iterator[House]:
    """The house of a command; an error that leaves it knows where Spark's log is."""
    with wiring.house(words_of(parsed), pipeline) as home:
        try:
            yield home
        except Exception as error:
            if home.log.exists():
                error.log = home.log  # type: ignore[attr-defined]
            raise


def stages(parsed: argparse.Namespace, verbs: Sequence[str]) -> int:
    """`penstock run` and the eight verbs."""
    with opened(parsed, parsed.pipeline) as home:
        as_of = wiring.as_of_instant(home, parsed.as_of)
        with dag.loading(tuple(verbs)):
            home.lake()
        with progress_shown(len(verbs)) as watching:
            run = wiring.new_run(
                home,
                as_of,
                parsed.progress or watching,
                requested=_requested(parsed, verbs),
                candidate=_candidate(parsed),
                allowed=_allowed(parsed),
            )
            reports = local.run_stages(run, verbs, parsed.command)
        if parsed.json:
            _print_json({"run_id": run.run_id, "pipeline": parsed.pipeline, "as_of": parsed.as_of, "stages": [asdict(r) for r in reports]})
        elif all(r.status == "nothing" for r in reports):
            print("Nothing new: every stage was up to date.", file=sys.stderr)
    return 0


def plan(parsed: argparse.Namespace, verbs: Sequence[str]) -> int:
    """`penstock plan` and `--dry-run`: what the stages would do as things stand."""
    wiring.existing_lake(words_of(parsed))
    with opened(parsed, parsed.pipeline) as home:
        as_of = wiring.as_of_instant(home, parsed.as_of)
        run = wiring.new_run(home, as_of, _silent(), requested=_requested(parsed, verbs), candidate=_candidate(parsed))
        planned = local.plan_stages(run, verbs)
    if parsed.json:
        _print_json({"pipeline": parsed.pipeline, "as_of": parsed.as_of, "stages": [asdict(p) for p in planned]})
    else:
        print("\n".join(shown.plan_lines(planned)))
    return 0


def approve(parsed: argparse.Namespace) -> int:
    """`penstock promote PIPELINE --approve VERSION --by NAME`."""
    if not parsed.by:
        raise UsageError(
            "--approve",
            got="nobody's name",
            expected="--by NAME",
            next=f"penstock promote {parsed.pipeline} --approve {parsed.approve} --by NAME",
        )
    return _moved(parsed, "approve")


def rollback(parsed: argparse.Namespace) -> int:
    """`penstock rollback PIPELINE`: the previous version becomes Production again, and its scores are published; with `--published` Redis alone goes back."""
    parsed.by = parsed.by or getpass.getuser()
    return _taken_back(parsed) if parsed.published else _moved(parsed, "rollback")


def _taken_back(parsed: argparse.Namespace) -> int:
    wiring.existing_lake(words_of(parsed))
    with opened(parsed, parsed.pipeline) as home, progress_shown(1) as watching:
        if not home.configuration.pipeline.publish.redis.enabled:
            expected = f"true: nothing of {parsed.pipeline} is in Redis"
            raise UsageError("publish.redis.enabled", got="false", expected=expected, left="Nothing was touched")
        run = wiring.new_run(home, _last_as_of(home, parsed), parsed.progress or watching, requested=True)
        local.take_back(run, parsed.by)
    return 0


def _moved(parsed: argparse.Namespace, job: str) -> int:
    from penstock.registry.run import Approval, Rollback

    wiring.existing_lake(words_of(parsed))
    with opened(parsed, parsed.pipeline) as home, progress_shown(3) as watching:
        told = parsed.progress or watching
        run = wiring.new_run(home, _last_as_of(home, parsed), told, requested=True)
        move = Approval(parsed.approve, parsed.by) if job == "approve" else Rollback(parsed.by)
        local.move_production(run, move, job)
    return 0


def _last_as_of(home: House, parsed: argparse.Namespace) -> Any:
    if getattr(parsed, "as_of", None):
        return wiring.as_of_instant(home, parsed.as_of)
    probe = wiring.new_run(home, wiring.as_of_instant(home, "1970-01-01"), _silent())
    found = local.finished_as_of(probe, "land")
    if found is None:
        raise UsageError(
            f"pipeline {parsed.pipeline}", got="no finished run", expected="one", next=f"penstock run {parsed.pipeline} --as-of DATE"
        )
    return found


def status(parsed: argparse.Namespace) -> int:
    """`penstock status`."""
    from penstock.orchestrate.status import collect

    wiring.existing_lake(words_of(parsed))
    with opened(parsed, parsed.pipeline) as home:
        found = collect(home)
    if parsed.json:
        _print_json(asdict(found))
    else:
        print("\n".join(shown.status_lines(found)))
    return 0


def report(parsed: argparse.Namespace) -> int:
    """`penstock report`: the table of weeks on standard output, the page in a file."""
    wiring.existing_lake(words_of(parsed))
    with opened(parsed, parsed.pipeline) as home:
        page = told(home, parsed.out)
    print(f"The page: {page}", file=sys.stderr)
    return 0


def told(home: House, out: Path | None) -> Path:
    """Print the weeks and write the page to `out`, or to the lake's own place for it; returns where it is."""
    from penstock.report.collect import collect
    from penstock.report.page import render
    from penstock.report.text import week_table

    data = collect(home)
    print(week_table(data))
    page = out or home.root / "reports" / f"{data.pipeline}.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render(data), encoding="utf-8")
    return page


def candidates(parsed: argparse.Namespace) -> int:
    """`penstock candidates`: MLflow alone is asked."""
    from penstock.orchestrate import candidates as compared

    wiring.existing_lake(words_of(parsed))
    with opened(parsed, parsed.pipeline) as home:
        pipeline = home.configuration.pipeline
        found = compared.collect(home.models(), parsed.pipeline, pipeline.training.gates.confidence, pipeline.kind)
    if parsed.json:
        _print_json(asdict(found))
    else:
        print("\n".join(compared.lines(found)))
    return 0


def sql(parsed: argparse.Namespace) -> int:
    """`penstock sql`: read-only, over all tables by name."""
    from penstock.config.load import conf_folder, pipeline_names
    from penstock.orchestrate.query import answer

    wiring.existing_lake(words_of(parsed))
    pipeline = parsed.pipeline or next(iter(pipeline_names(conf_folder(parsed.conf))), "")
    with opened(parsed, pipeline) as home:
        print(answer(home.lake(), parsed.query, parsed.format))
    return 0


def get(parsed: argparse.Namespace) -> int:
    """`penstock get`: what an application would read. Exit code 1 when nothing is published under the key and there is no fallback."""
    from penstock.client import ScoreReader

    wiring.existing_lake(words_of(parsed))
    with opened(parsed, parsed.pipeline) as home:
        _require_key(parsed.key, home.configuration)
        reader = ScoreReader(home.redis(), parsed.pipeline)
        found = reader.get(tuple(parsed.key), group=parsed.group)
    if found is None:
        print(
            f"penstock: {parsed.pipeline} has nothing published for this key (never scored, no longer active, or in the control group), and no fallback. "
            f'Next: penstock sql "SELECT * FROM predictions_{parsed.pipeline}_latest" shows which.',
            file=sys.stderr,
        )
        return 1
    if parsed.json:
        told = asdict(found)
        age = told.pop("age")
        _print_json({"key": parsed.key, **told, "age_seconds": round(age.total_seconds())})
    else:
        print("\n".join(shown.published_lines(parsed.key, found, home.configuration.contract.timezone)))
    return 0


def _require_key(words: Sequence[str], configuration: Configuration) -> None:
    types = {column.name: column.type for column in configuration.contract.columns}
    names = configuration.pipeline.features.entity
    if len(words) != len(names):
        raise UsageError(
            "KEY",
            got=f"{len(words)} word{'' if len(words) == 1 else 's'}",
            expected=f"{len(names)}, one a key column: {', '.join(names)}",
            next=f"penstock get {configuration.pipeline.name} {' '.join(name.upper() for name in names)}",
        )
    for name, word in zip(names, words, strict=True):
        if types[name] in {"int", "bigint"} and not re.fullmatch(r"-?[0-9]+", word):
            raise UsageError(f"KEY, column {name}", got="a text", expected="a whole number, as the contract has it")


def _requested(parsed: argparse.Namespace, verbs: Sequence[str]) -> bool:
    """Whether a person asked for this very stage, and not a schedule that goes through all of them."""
    return len(verbs) == 1 and not getattr(parsed, "scheduled", False)


def _candidate(parsed: argparse.Namespace) -> str | None:
    """The candidate that a person names to `penstock promote`."""
    found: str | None = getattr(parsed, "candidate", None)
    return found


def _allowed(parsed: argparse.Namespace) -> frozenset[Literal["empty", "drop"]]:
    """What a person allows a publication to do to its readers."""
    given: tuple[Literal["empty", "drop"], ...] = ("empty", "drop")
    return frozenset(word for word in given if getattr(parsed, f"allow_{word}", False))


def _silent() -> Progress:
    from penstock.progress import Silent

    return Silent()


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, default=str, sort_keys=False))
