"""`penstock demo`: a year of a real shop through the whole loop of its pipelines, as its own files would have arrived."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from penstock import clock, wiring
from penstock.datasets import online_retail
from penstock.errors import UsageError
from penstock.orchestrate import local
from penstock.orchestrate.commands import opened, told
from penstock.progress import shown as progress_shown
from penstock.stage import STAGES

FIRST_FILE = date(2010, 12, 1)
HISTORY = date(2011, 8, 29)
END = date(2011, 12, 10)
WEEKS = 14
PIPELINES = ("churn", "recommend")


@dataclass(frozen=True)
class Episode:
    """One invocation of the demo: the day it speaks for, the stages it runs, and what to call it."""

    day: date
    verbs: tuple[str, ...]
    title: str


def episodes(weeks: int) -> tuple[Episode, ...]:
    """History, so many weekly runs, and after all of them once more labels and monitoring."""
    found = [Episode(HISTORY, STAGES, "history: nine months land at once, the first model is trained")]
    found += [Episode(HISTORY + timedelta(days=7 * n), STAGES, f"week {n} of {weeks}") for n in range(1, weeks + 1)]
    if weeks == WEEKS:
        found.append(Episode(END, ("land", "features", "labels", "monitor"), "the last outcomes mature"))
    return tuple(found)


def run(parsed: argparse.Namespace) -> int:
    """Run the episodes, then print the table and write the page."""
    if not 0 <= parsed.weeks <= WEEKS:
        raise UsageError("--weeks", got=str(parsed.weeks), expected=f"0 to {WEEKS}, as long as the data lasts")
    began = clock.stopwatch()
    names = (parsed.pipeline,) if parsed.pipeline else PIPELINES
    with opened(parsed, names[0]) as home:
        homes = [home, *(home.beside(name) for name in names[1:])]
        landing = Path(home.landing) / home.configuration.pipeline.source
        with progress_shown(len(STAGES)) as watching:
            for episode in episodes(parsed.weeks):
                online_retail.write_days(landing, FIRST_FILE, episode.day - timedelta(days=1))
                for one in homes:
                    _say(f"{episode.day}  {one.configuration.pipeline.name}, {episode.title}")
                    run_ = wiring.new_run(one, wiring.as_of_instant(one, str(episode.day)), parsed.progress or watching)
                    local.run_stages(run_, episode.verbs, "run")
        pages = [told(one, None) for one in homes]
    _say(f"The whole loop took {clock.stopwatch() - began:.0f} s. The pages: {', '.join(map(str, pages))}")
    looks = [f"penstock status {name}, penstock get {name} 12347" for name in names]
    _say(f'Look further: {", ".join(looks)}, penstock sql "SELECT * FROM crm_{names[0]} LIMIT 5"')
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
