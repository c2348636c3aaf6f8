"""Where the seconds of a weekly run go: stage by stage and by kind of work, from a cold process and in a warm one.

    python bench/weekly.py [--rounds N] [--other SRC]      # about 8 minutes; writes bench/results/weekly.json

A lake is made by `penstock demo --weeks 2`. Each round copies it and starts a process that does what `penstock run` does:
first for the last week again, with nothing new (`idle`, cold: with the start of Python, Spark and MLflow and their end),
then for two more weeks with their files; the second of them is `week`, a weekly run in a warm process. `--other` is the
src folder of another checkout, which takes its turn in each round.

Time is wall time of the driver, each second told once: with the outermost of the works below that is under way. What a
lazy frame costs is told where it is asked for: with the query, the append or the MERGE.
"""

from __future__ import annotations

import argparse
import builtins
import inspect
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import _protocol as protocol

WEEKS = 2
HISTORY = date(2011, 8, 29)
SOURCES = Path(__file__).parents[1] / "src"
AROUND = "around the stages"
PATCHES: dict[str, dict[str, tuple[str, bool]]] = {
    "penstock.lake.session": {"open_session": ("start of Spark", True)},
    "penstock.lake.delta": {
        "Lake._write": ("Delta append", True),
        "Lake.merge": ("Delta MERGE", True),
        "Lake.create": ("Delta create", True),
        "Lake._history": ("Delta history", True),
        "Lake.check_definition": ("Delta history", True),
        "Lake.read": ("Delta table opened", True),
        "Lake.changes": ("Delta table opened", True),
    },
    "penstock.stage": {"Run.staged": ("rows staged", True)},
    "penstock.registry.store": {
        f"ModelStore.{name}": ("MLflow", True) for name in ("open", "production", "version", "versions", "local_model", "read_text")
    },
    "penstock.publish.server": {"private_server": ("Redis", True)},
    "penstock.publish.redis": {"connect": ("Redis", True), "publish": ("Redis", False)},
    "pyspark.sql.classic.dataframe": {
        f"DataFrame.{name}": ("Spark query", True) for name in ("collect", "toArrow", "isEmpty", "count", "toLocalIterator", "toPandas")
    },
    "py4j.java_gateway": {"GatewayClient.send_command": ("frames built", True)},
}
"""By module: what is timed, under which name, and whether what it calls is told with it."""


class Meter:
    """Seconds and counts by (stage, work), each moment under the outermost work that takes what it calls, else the innermost."""

    def __init__(self) -> None:
        """Begin with nothing under way."""
        self.stage, self.since = AROUND, time.perf_counter()
        self.stack: list[tuple[str, bool]] = [("Python", False)]
        self.seconds: dict[tuple[str, str], float] = defaultdict(float)
        self.counts: dict[tuple[str, str], int] = defaultdict(int)

    def told(self) -> None:
        """Give the time since the last change to the work under way."""
        now = time.perf_counter()
        self.seconds[self.stage, self.stack[-1][0]] += now - self.since
        self.since = now

    @contextmanager
    def at(self, work: str, *, whole: bool) -> Iterator[None]:
        """While this work is under way."""
        if self.stack[-1][1]:
            yield
            return
        self.told()
        self.counts[self.stage, work] += 1
        self.stack.append((work, whole))
        try:
            yield
        finally:
            self.told()
            self.stack.pop()

    def timed(self, call: Callable[..., Any], work: str, *, whole: bool) -> Callable[..., Any]:
        """The function, timed as this work."""

        def wrapped(*given: Any, **named: Any) -> Any:
            with self.at(work, whole=whole):
                return call(*given, **named)

        return wrapped

    def cut(self) -> dict[str, Any]:
        """What was told since the last cut: seconds by work in all, and by stage; counts likewise."""
        self.told()
        by_stage: dict[str, dict[str, float]] = {}
        for (stage, work), seconds in self.seconds.items():
            by_stage.setdefault(stage, {})[work] = round(seconds, 3)
        counts = {f"{stage}: {work}": n for (stage, work), n in self.counts.items() if work != "imports"}
        self.seconds.clear()
        self.counts.clear()
        return {"stages": by_stage, "counts": counts}

    def begin(self, stage: str) -> None:
        """The run's progress: a stage begins."""
        self.told()
        self.stage = stage

    def step(self, name: str, rows: int | None = None) -> None:
        """Steps are within a stage."""

    def end(self, stage: str, outcome: str) -> None:
        """A stage is over."""
        self.told()
        self.stage = AROUND
        print(f"    {stage:9} {outcome}", file=sys.stderr, flush=True)

    def watch_imports(self) -> None:
        """Time imports, and put the other clocks on a module as soon as it is there."""
        load, waiting = builtins.__import__, dict(PATCHES)

        def timed(name: str, *given: Any, **named: Any) -> Any:
            if name in sys.modules and not (waiting and sys.modules.keys() & waiting.keys()):
                return load(name, *given, **named)
            if threading.current_thread() is not threading.main_thread():  # nobody waits for it
                return load(name, *given, **named)
            with self.at("imports", whole=True):
                found = load(name, *given, **named)
            for module in [m for m in waiting if m in sys.modules and not getattr(sys.modules[m].__spec__, "_initializing", False)]:
                self.patch(module, waiting.pop(module))
            return found

        builtins.__import__ = timed

    def patch(self, module: str, clocks: dict[str, tuple[str, bool]]) -> None:
        """Put the clocks on one module's functions."""
        for path, (work, whole) in clocks.items():
            owner: Any = sys.modules[module]
            *outer, name = path.split(".")
            for part in outer:
                owner = getattr(owner, part)
            kept = inspect.getattr_static(owner, name)
            if isinstance(kept, classmethod):
                setattr(owner, name, classmethod(self.timed(kept.__func__, work, whole=whole)))
            else:
                setattr(owner, name, self.timed(kept, work, whole=whole))


def process(lake: str, spawned: float) -> int:
    """One process of a round: the idle run, two weeks; its last line on standard output says what they took."""
    meter = Meter()
    meter.seconds[AROUND, "Python"] += time.time() - spawned  # the interpreter itself, and this file
    meter.watch_imports()
    from penstock import wiring
    from penstock.datasets import online_retail
    from penstock.orchestrate import dag, local
    from penstock.stage import STAGES

    found: dict[str, Any] = {}
    with wiring.house(wiring.Words(lake=Path(lake)), "churn") as home:
        with dag.loading(STAGES) if hasattr(dag, "loading") else nullcontext():  # the other checkout may have none
            home.lake()
        for name, week in {"idle": WEEKS, "first week": WEEKS + 1, "week": WEEKS + 2}.items():
            day = HISTORY + timedelta(days=7 * week)
            if name != "idle":
                online_retail.write_days(Path(home.landing) / "online_retail", day - timedelta(days=7), day - timedelta(days=1))
                meter.cut()
            began, cpu = time.perf_counter(), used()
            if name == "idle":
                began -= time.time() - spawned
            local.run_stages(wiring.new_run(home, wiring.as_of_instant(home, str(day)), meter), STAGES, "run")
            found[name] = {"seconds": round(time.perf_counter() - began, 3), "cpu": difference(used(), cpu), **meter.cut()}
        began = time.perf_counter()
    found["end"] = round(time.perf_counter() - began, 3)
    print(json.dumps(found))
    return 0


def used() -> dict[str, float]:
    """CPU seconds of this process, of its JVM and of the JVM's Python workers, those of their ended children included."""
    total: dict[str, float] = {"driver": time.process_time(), "JVM": 0.0, "Python workers": 0.0}
    todo = [os.getpid()]
    while todo:
        place = Path(f"/proc/{todo.pop()}")
        with suppress(OSError):  # it may end meanwhile
            todo += [int(child) for task in place.glob("task/*/children") for child in task.read_text().split()]
            words = (place / "cmdline").read_bytes().split(b"\0")
            kind = "JVM" if words[0].endswith(b"java") else "Python workers" if b"pyspark.daemon" in words else ""
            if kind:
                fields = (place / "stat").read_text().rpartition(")")[2].split()
                total[kind] += sum(int(n) for n in fields[11:15]) / os.sysconf("SC_CLK_TCK")
    return total


def difference(now: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    """What was used meanwhile."""
    return {name: round(seconds - before[name], 2) for name, seconds in now.items()}


def main() -> int:
    """Make the lake, run the rounds, write the result."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--other", type=Path, metavar="SRC")
    words.add_argument("--base", type=Path, help="a lake made by `penstock demo --weeks 2 --lake BASE/lakehouse`; made when absent")
    words.add_argument("--process", nargs=2, help=argparse.SUPPRESS)
    parsed = words.parse_args()
    if parsed.process:
        return process(parsed.process[0], float(parsed.process[1]))
    arms = {"this": SOURCES} | ({"other": parsed.other} if parsed.other else {})
    with tempfile.TemporaryDirectory() as scratch:
        home = parsed.base or Path(scratch)
        lake, kept = home / "lakehouse", home / "kept"
        if not kept.exists():
            if not lake.exists():
                demo = ["-m", "penstock.cli", "demo", "--weeks", str(WEEKS), "--lake", str(lake)]
                subprocess.run([sys.executable, *demo], check=True, stdout=subprocess.DEVNULL)
            shutil.copytree(lake, kept)
        taken: dict[str, list[dict[str, Any]]] = {name: [] for name in arms}
        for at in range(parsed.rounds):
            for name, src in list(arms.items())[:: 1 if at % 2 else -1]:
                shutil.rmtree(lake, ignore_errors=True)
                shutil.copytree(kept, lake)  # where it was made: MLflow keeps whole paths
                taken[name].append(one(src, lake))
                print(f"round {at} {name}", {k: taken[name][-1][k]["seconds"] for k in ("idle", "week")}, flush=True)
    found = {name: medians(rounds) for name, rounds in taken.items()}
    machine = protocol.machine("pyspark", "mlflow", "delta-spark")
    result = {"command": "python bench/weekly.py", "machine": machine, "rounds": parsed.rounds, **found.pop("this")}
    protocol.write("weekly", result | ({"other": found["other"]} if found else {}))
    return 0


def one(src: Path, lake: Path) -> dict[str, Any]:
    """A process with the package of a folder; `idle` then has the end of the process as well."""
    path = os.pathsep.join((str(src), str(Path(__file__).parent)))
    command = [sys.executable, __file__, "--process", str(lake), str(time.time())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}, text=True) as child:
        assert child.stdout is not None
        said = child.stdout.read().splitlines()
        last = time.perf_counter()
        if child.wait():
            raise SystemExit("a run failed")
    found: dict[str, Any] = json.loads(said[-1])
    found["idle"]["seconds"] += found["end"] + time.perf_counter() - last
    found["idle"]["stages"][AROUND]["end of Spark and Redis"] = found["end"]
    return found


def medians(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The median of each figure over the rounds; by work over all stages, most first."""
    result: dict[str, Any] = {}
    for name in ("idle", "week"):
        runs = [one[name] for one in rounds]
        stages = {
            s: sum_of(runs, lambda r, s=s: r["stages"].get(s, {}).values()) for s in dict.fromkeys(s for r in runs for s in r["stages"])
        }
        works = dict.fromkeys(w for r in runs for s in r["stages"].values() for w in s)
        by_work = {w: sum_of(runs, lambda r, w=w: [s.get(w, 0.0) for s in r["stages"].values()]) for w in works}
        counts: dict[str, int] = defaultdict(int)
        for place, n in runs[-1]["counts"].items():
            counts[place.partition(": ")[2]] += n
        result[name] = {
            "seconds": [round(r["seconds"], 2) for r in runs],
            "median_s": round(statistics.median(r["seconds"] for r in runs), 2),
            "cpu_s": {kind: round(statistics.median(r["cpu"][kind] for r in runs), 2) for kind in runs[0]["cpu"]},
            "stage_s": stages,
            "work_s": dict(sorted(by_work.items(), key=lambda item: -item[1])),
            "counts": dict(sorted(counts.items(), key=lambda item: -item[1])),
            "stage_work": runs[-1],
        }
    return result


def sum_of(runs: list[dict[str, Any]], of: Callable[[dict[str, Any]], Any]) -> float:
    """The median over the runs of a sum."""
    return round(statistics.median(sum(of(run)) for run in runs), 2)


if __name__ == "__main__":
    raise SystemExit(main())
