"""How long the demo takes, by pipeline, week and stage; what a run with nothing new costs from a cold process; the memory; what the lists found.

    python bench/demo.py [--lake DIR]      # half an hour; writes bench/results/demo.json
    python bench/demo.py --of DIR          # the same of a lake that the demo has made already, without its wall clock and memory

Seconds are of this machine, one run each: the ledger's for the stages, the wall clock's for whole processes. Memory is
the sum of the proportional set sizes (Pss) of the whole process tree, sampled twice a second.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "demo.json"
PENSTOCK = [sys.executable, "-m", "penstock.cli"]


def main() -> int:
    """Run the demo, then the same last week twice more with nothing new, and write what it took."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--lake", type=Path, help="kept afterwards; a temporary folder when absent")
    words.add_argument("--of", type=Path, metavar="DIR", help="a lake that the demo has made")
    parsed = words.parse_args()
    lake = parsed.of or parsed.lake or Path(tempfile.mkdtemp()) / "lakehouse"
    demo = None
    if not parsed.of:
        shutil.rmtree(lake, ignore_errors=True)
        demo = timed([*PENSTOCK, "demo", "--lake", str(lake)], RESULTS.with_suffix(".txt"))
    idle = [timed([*PENSTOCK, "run", "churn", "--as-of", "2011-12-10", "--lake", str(lake)]) for _ in range(3)]
    query = "SELECT run_id, CAST(as_of AS string) AS as_of, stage, seconds, inputs FROM ledger WHERE status = 'done' ORDER BY finished_at, stage"
    ledger = asked(query, lake)
    found_of_lists = (
        "SELECT subject AS as_of, name, value FROM metrics WHERE pipeline = 'recommend' AND kind = 'performance' AND segment = 'all' "
        "AND name IN ('rows', 'recall', 'ndcg', 'hit_rate', 'heuristic_recall', 'heuristic_ndcg') ORDER BY 1, 2"
    )
    found = {
        "machine": {"cpu": cpu(), "cores": len(os.sched_getaffinity(0)), "python": platform.python_version()},
        "demo": demo,
        "idle_run_cold": {"seconds": [run["seconds"] for run in idle], "median": statistics.median(run["seconds"] for run in idle)},
        "pipelines": {name: weeks([row for row in ledger if str(row["run_id"]).startswith(f"{name}-")]) for name in ("churn", "recommend")},
        "lists": lists(asked(found_of_lists, lake)),
    }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))
    return 0


def asked(query: str, lake: Path) -> list[dict[str, object]]:
    """The rows of a query over the lake."""
    done = subprocess.run([*PENSTOCK, "sql", query, "--format", "json", "--lake", str(lake)], capture_output=True, check=True)
    rows: list[dict[str, object]] = json.loads(done.stdout)
    return rows


def lists(rows: list[dict[str, object]]) -> dict[str, dict[str, float]]:
    """What the lists of each matured week found, the model's and the heuristic's, by `as_of`."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        found.setdefault(str(row["as_of"]), {})[str(row["name"])] = round(float(str(row["value"])), 4)
    return found


def weeks(ledger: list[dict[str, object]]) -> dict[str, object]:
    """Seconds of each demo run (stages only, without taking leases and writing the ledger), and the median of each stage."""
    runs: dict[str, dict[str, float]] = {}
    for row in ledger:
        day = str(row["run_id"]).rsplit("-", 2)[1]
        stages = runs.setdefault(f"{day[:4]}-{day[4:6]}-{day[6:]}", {})
        stages.setdefault(str(row["stage"]), float(str(row["seconds"])))
    totals = {day: round(sum(stages.values()), 1) for day, stages in sorted(runs.items())}
    names = list(dict.fromkeys(name for stages in runs.values() for name in stages))
    median = {name: round(statistics.median(stages[name] for stages in runs.values() if name in stages), 2) for name in names}
    weekly = [seconds for day, seconds in totals.items() if "2011-09-05" <= day <= "2011-12-05"]
    return {
        "seconds": round(sum(totals.values())),
        "run_seconds": totals,
        "weekly_median": round(statistics.median(weekly), 1),
        "stage_median": median,
    }


def timed(command: list[str], out: Path | None = None) -> dict[str, float]:
    """Wall seconds of a process, and the greatest memory of its tree in MiB. Its standard output goes to `out`."""
    began = time.perf_counter()
    sink = out.open("w") if out else None
    with subprocess.Popen(command, stdout=sink or subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        peak = [0.0]
        done = threading.Event()
        watch = threading.Thread(target=sample, args=(process.pid, peak, done))
        watch.start()
        assert process.stderr is not None
        said = process.stderr.read().decode()
        code = process.wait()
        done.set()
        watch.join()
    if code:
        raise SystemExit(f"{' '.join(command)} ended with {code}:\n{said[-2000:]}")
    return {"seconds": round(time.perf_counter() - began, 1), "peak_mib": round(peak[0])}


def sample(pid: int, peak: list[float], done: threading.Event) -> None:
    """Keep the greatest sum of the tree's memory until the process is over."""
    while not done.wait(0.5):
        peak[0] = max(peak[0], sum(pss(p) for p in tree(pid)) / 1024)


def tree(pid: int) -> list[int]:
    """The process and all that descend from it."""
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                todo += [int(child) for child in children.read_text().split()]
            except OSError:
                continue
    return found


def pss(pid: int) -> float:
    """Proportional set size in KiB; 0 for a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) for line in lines if line.startswith("Pss:")), 0.0)


def cpu() -> str:
    """The processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


if __name__ == "__main__":
    raise SystemExit(main())
