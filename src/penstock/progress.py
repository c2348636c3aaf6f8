"""What a run tells while it works: stages, steps inside them, rows and time.

A step is named where one effect is done and the next has not begun (`land.appended`), so that the same calls draw the
progress on a terminal and mark the points at which the tests kill the process.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TextIO

from penstock.clock import stopwatch


class Progress(Protocol):
    """Receives what a run tells."""

    def begin(self, stage: str) -> None:
        """A stage begins."""

    def step(self, name: str, rows: int | None = None) -> None:
        """An effect of the stage is done; `rows` is what it wrote."""

    def end(self, stage: str, outcome: str) -> None:
        """The stage is over; `outcome` is one line."""


class Silent:
    """Tells nobody."""

    def begin(self, stage: str) -> None:
        """Nothing."""

    def step(self, name: str, rows: int | None = None) -> None:
        """Nothing."""

    def end(self, stage: str, outcome: str) -> None:
        """Nothing."""


@dataclass
class Lines:
    """Plain lines, one a stage: for logs and pipes."""

    out: TextIO = field(default_factory=lambda: sys.stderr)
    _since: float = 0.0

    def begin(self, stage: str) -> None:  # noqa: ARG002 - the line is written when the stage is over
        """Start the stage's clock."""
        self._since = stopwatch()

    def step(self, name: str, rows: int | None = None) -> None:
        """Steps are not shown: a log wants results."""

    def end(self, stage: str, outcome: str) -> None:
        """One line with the stage's result and seconds."""
        print(f"  {stage:<9} {outcome}  ({stopwatch() - self._since:.1f} s)", file=self.out, flush=True)


@dataclass
class Bar:
    """A bar on a terminal: the stage at work, its last step, rows and time; finished stages stay above it as lines."""

    total: int
    out: TextIO = field(default_factory=lambda: sys.stderr)
    lines: Lines = field(init=False)

    def __post_init__(self) -> None:
        from tqdm import tqdm

        self.lines = Lines(self.out)
        layout = "{desc:<38.38} |{bar:24}| {n_fmt}/{total_fmt} stages  {elapsed}{postfix}"
        self._bar = tqdm(
            total=self.total, file=self.out, bar_format=layout, leave=False, mininterval=0, ascii=" ━" if _utf8(self.out) else " #"
        )

    def begin(self, stage: str) -> None:
        """Name the stage at work."""
        self.lines.begin(stage)
        self._bar.set_postfix_str("")
        self._bar.set_description_str(stage)

    def step(self, name: str, rows: int | None = None) -> None:
        """Name what was just done."""
        self._bar.set_description_str(name.replace(".", ": ", 1))
        if rows is not None:
            self._bar.set_postfix_str(f"{rows:,} rows")

    def end(self, stage: str, outcome: str) -> None:
        """Move the bar and leave the stage's line above it."""
        self._bar.clear()
        self.lines.end(stage, outcome)
        self._bar.update(1)
        if self._bar.n >= self.total:  # a demo goes through the stages many times
            self._bar.reset()

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()


@contextmanager
def shown(stages: int, out: TextIO | None = None) -> Iterator[Progress]:
    """A bar on a terminal, lines elsewhere."""
    stream = out or sys.stderr
    if not stream.isatty():
        yield Lines(stream)
        return
    bar = Bar(stages, stream)
    try:
        yield bar
    finally:
        bar.close()


def _utf8(out: TextIO) -> bool:
    return (getattr(out, "encoding", "") or "").lower().replace("-", "") == "utf8"
