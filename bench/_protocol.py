"""How every comparison here is timed: the arms one after the other in a new random order each round, medians and spread, and the machine.

Wall seconds and the CPU seconds of the whole process tree (this process, the JVM, Python workers); the CPU seconds hold
also when a neighbour takes the cores for a while.
"""

from __future__ import annotations

import json
import os
import platform
import random
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
_TICK = os.sysconf("SC_CLK_TCK")


def interleaved(
    arms: Mapping[str, Callable[[], object]], rounds: int, *, warm: int = 1, before: Callable[[], object] | None = None
) -> dict[str, dict[str, Any]]:
    """Run every arm `rounds` times, in a new order each round, after `warm` rounds that do not count; `before` each, untimed."""
    order = random.Random(20111209)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in arms}
    for at in range(-warm, rounds):
        for name in order.sample(sorted(arms), len(arms)):
            if before is not None:
                before()
            cpu, began = tree_cpu(), time.perf_counter()
            arms[name]()
            seconds, used = time.perf_counter() - began, tree_cpu() - cpu
            if at >= 0:
                taken[name].append((seconds, used))
            print(f"  round {at:2d}  {name:28s} {seconds:7.2f} s wall  {used:7.2f} s CPU", flush=True)
    return {name: summary(found) for name, found in taken.items()}


def summary(taken: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Median, least and median absolute deviation of the seconds; the median CPU seconds."""
    walls = [wall for wall, _ in taken]
    median = statistics.median(walls)
    return {
        "median_s": round(median, 3),
        "min_s": round(min(walls), 3),
        "mad_s": round(statistics.median(abs(w - median) for w in walls), 3),
        "cpu_s": round(statistics.median(cpu for _, cpu in taken), 3),
        "runs": len(walls),
    }


def tree_cpu() -> float:
    """CPU seconds of this process and all its descendants, ended children included."""
    children: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile; its parent now counts it
            continue
        children.setdefault(int(fields[1]), []).append(int(folder.name))
        ticks[int(folder.name)] = sum(int(n) for n in fields[11:15])
    todo, total = [os.getpid()], 0
    while todo:
        pid = todo.pop()
        total += ticks.get(pid, 0)
        todo += children.get(pid, [])
    return total / _TICK


def machine(*packages: str) -> dict[str, Any]:
    """What the figures were taken on, and with."""
    cpu = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr.splitlines()
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "java": java[0] if java else "",
        **{name: version(name) for name in packages},
    }


def write(name: str, found: Mapping[str, Any]) -> None:
    """Keep a result, and print it."""
    text = json.dumps(found, indent=1) + "\n"
    (RESULTS / f"{name}.json").write_text(text, encoding="utf-8")
    print(text)
