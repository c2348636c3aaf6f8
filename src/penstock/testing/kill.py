"""Kill a run at a named point: how the tests show that a run that died anywhere is finished by the next one.

`python -m penstock.testing.kill POINT -- run churn --as-of 2011-09-05` runs the command in this process and ends it
with SIGKILL when the step POINT (`land.appended`, …) is reached: nothing is flushed, closed or rolled back.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.cli import main
from penstock.stage import STAGES


@dataclass(frozen=True)
class Killer:
    """A Progress that ends its own process with SIGKILL at a step; without a `point` it only listens."""

    point: str | None

    def begin(self, stage: str) -> None:
        """Nothing."""

    def step(self, name: str, rows: int | None = None) -> None:  # noqa: ARG002 - the number does not matter here
        """The end of the process, if this is the step."""
        if name == self.point:
            os.kill(os.getpid(), signal.SIGKILL)

    def end(self, stage: str, outcome: str) -> None:
        """Nothing."""


def points() -> tuple[str, ...]:
    """Every step that the source names, in order of stages: the points at which a run can be killed."""
    package = Path(__file__).parents[1]
    texts = [path.read_text(encoding="utf-8") for path in sorted(package.rglob("*.py")) if path.parent.name != "testing"]
    named = {name for text in texts for name in re.findall(r'\.step\(f?"([^"]+)"', text)}
    every = {verb + name.removeprefix("{verb}") for name in named if name.startswith("{verb}") for verb in STAGES}
    every |= {name for name in named if not name.startswith("{verb}")}
    return tuple(sorted(every, key=lambda name: (("run", *STAGES).index(name.split(".")[0]), name)))


def run(argv: Sequence[str]) -> int:
    """`POINT -- COMMAND…`; returns the command's exit code when it never came to the point."""
    point, dashes, *command = argv
    if dashes != "--" or point not in points():
        sys.stderr.write(f"penstock.testing.kill: got {point} {dashes}, expected POINT -- COMMAND, POINT one of {', '.join(points())}\n")
        return 2
    return main(command, progress=Killer(point))


if __name__ == "__main__":
    raise SystemExit(run(sys.argv[1:]))
