"""The README's table of figures, made from bench/results: `python bench/_table.py` prints it.

A unit test holds that the README says just this.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
HEAD = ("what", "aim", "measured", "with")


def lines() -> list[str]:
    """The table in Markdown."""
    rows = [HEAD, ("---",) * len(HEAD), *_demo(), *_weekly(), *_models(), *_scoring(), *_features(), *_reasons()]
    return [f"| {' | '.join(row)} |" for row in rows]


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def _demo() -> Iterator[tuple[str, ...]]:
    demo = _read("demo")
    minutes, seconds = divmod(round(demo["demo"]["seconds"]), 60)
    yield "the whole demo", "under 8 min", f"{minutes} min {seconds} s", "`demo.py`"
    yield "a weekly run in it, stages only (median)", "under 20 s", f"{demo['weekly_median']} s", ""
    yield "`penstock run` from a cold process with nothing new (median of 3)", "under 30 s", f"{demo['idle_run_cold']['median']} s", ""
    yield "greatest memory of the demo's processes", "", f"{demo['demo']['peak_mib'] / 1024:.1f} GiB", ""


def _weekly() -> Iterator[tuple[str, ...]]:
    found = _read("weekly")
    whats = {"idle": "where a cold `penstock run` with nothing new spends it", "week": "where a weekly run in a warm process spends it"}
    for at, (name, what) in enumerate(whats.items()):
        most = ", ".join(f"{work} {seconds:.1f}" for work, seconds in list(found[name]["work_s"].items())[:5])
        yield what, "", f"{found[name]['median_s']:.1f} s, of which {most}", "" if at else "`weekly.py`"


def _models() -> Iterator[tuple[str, ...]]:
    floor = _read("model_floor")
    whole, own = floor["everything_matured"], floor["product_protocol"]
    first = f"{whole['auc_at_2011_08_01']:.4f} (with holdout and embargo {own['auc_at_2011_08_01']:.4f})"
    mean = f"{whole['mean_auc_to_2011_11_07']:.4f} ({own['mean_auc_to_2011_11_07']:.4f})"
    yield "AUC at 2011-08-01, trained on what had matured by then", "0.748", first, "`model_floor.py`"
    yield "mean AUC of the weeks to 2011-11-07 without retraining", "0.72", mean, ""


def _scoring() -> Iterator[tuple[str, ...]]:
    found = _read("scoring")
    for name, aim in (("gradient boosting", "2"), ("linear", "3")):
        model = found["models"][name]
        rate, alone = model["arms"]["penstock"]["rows_per_s"], model["arms"]["transport"]["rows_per_s"]
        what = f"scoring {found['rows']:,} rows of {found['features']} features, {name}, against `mlflow.pyfunc.spark_udf`"
        yield what, f"{aim} ×", f"{model['times_spark_udf']} × ({rate:,} rows/s; the same path without a model {alone:,})", "`scoring.py`"
    new = _read("incremental")
    share = new["new_rows"] / new["rows"]
    yield f"scoring the newest {share:.0%} of {new['rows']:,} rows, against all", "0.1 ×", f"{new['new_over_all']} ×", "`incremental.py`"
    yield "the same, over a history ten times as long", "1.2 ×", f"{new['long_over_short_history']} ×", ""


def _features() -> Iterator[tuple[str, ...]]:
    found = _read("features")
    windows, joined = found["windows"], found["as_of_join"]
    events = f"{found['events']:,} events"
    for arm, label in (("penstock", "from raw events"), ("penstock from tiles", "from tiles, as a weekly run does")):
        times = f"{windows['times_spark_sql'][arm]} × ({windows['times_duckdb'][arm]} × DuckDB)"
        yield f"window features over {events}, {label}, against the better Spark SQL", "5 × (0.5 ×)", times, "`features.py`"
    times = f"{joined['times_feast']['penstock']} × ({joined['times_duckdb']['penstock']} × DuckDB)"
    yield f"as-of join of {joined['rows']:,} rows, against Feast's Spark template", "3 × (0.5 ×)", times, ""


def _reasons() -> Iterator[tuple[str, ...]]:
    ratios = ", ".join(f"{1 + _extra(batch):.2f} × ({int(rows):,} rows)" for rows, batch in _read("reasons")["batches_ms"].items())
    yield "scores with reasons against scores alone, by rows a batch", "2 ×", ratios, "`reasons.py`"


def _extra(batch: dict[str, float]) -> float:
    return batch["reasons"] / batch["scores"]


if __name__ == "__main__":
    print("\n".join(lines()))
