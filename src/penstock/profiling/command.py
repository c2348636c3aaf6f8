"""`penstock profile SOURCE`: measure, and write the page."""

from __future__ import annotations

import argparse
import difflib
import sys
from datetime import date
from pathlib import Path

from penstock import clock, wiring
from penstock.config.load import conf_folder, pipeline_names
from penstock.errors import UsageError
from penstock.lake.contract import Contract, load_contract
from penstock.orchestrate.commands import opened, words_of
from penstock.profiling.measure import profile_source
from penstock.profiling.page import render
from penstock.profiling.subjects import SourceProfile


def run(parsed: argparse.Namespace) -> int:
    """Profile the source, write the page, say in two lines what is on it."""
    wiring.existing_lake(words_of(parsed))
    folder = conf_folder(parsed.conf)
    contract = _contract(folder, parsed.source)
    days = [_day(parsed, name) for name in ("start", "end", "against")]
    with opened(parsed, next(iter(pipeline_names(folder)), "")) as home:
        found = profile_source(home.lake(), contract, *days)
        page = parsed.out or home.root / "reports" / f"profile_{contract.name}.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render(found), encoding="utf-8")
    print("\n".join(summary(found)))
    print(f"The page: {page}", file=sys.stderr)
    return 0


def summary(found: SourceProfile) -> tuple[str, ...]:
    """The profile in two lines, without any value."""
    span = found.span
    drifted = [c.subject.name for c in found.columns if c.drift is not None and c.drift.state.value == "drifted"]
    return (
        f"{found.source}: {found.rows:,} rows of {found.files} days from {span.first} to {span.last}, {found.repeated:,} repeat another one",
        f"drift from {span.divide} on against before: {', '.join(drifted) or 'in no column'}",
    )


def _contract(folder: Path, source: str) -> Contract:
    known = sorted(path.stem for path in (folder / "contracts").glob("*.yml"))
    if source not in known:
        near = difflib.get_close_matches(source, known, n=1)
        raise UsageError(
            "source", got=repr(source), expected=f"one of {', '.join(known)}", next=f"penstock profile {near[0]}" if near else ""
        )
    return load_contract(folder / "contracts" / f"{source}.yml")


def _day(parsed: argparse.Namespace, name: str) -> date | None:
    text = getattr(parsed, name)
    option = {"start": "--from", "end": "--to", "against": "--against"}[name]
    try:
        return None if text is None else clock.parse_day(text)
    except UsageError:
        raise UsageError(
            option, got=repr(text), expected="a day as YYYY-MM-DD", next=f"penstock profile {parsed.source} {option} 2011-09-05"
        ) from None
