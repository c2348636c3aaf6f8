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
    parts = (_demo(), _weekly(), _models(), _lists(), _scoring(), _features(), _reasons(), _publishing(), _reading(), _topk())
    rows = [HEAD, ("---",) * len(HEAD), *(row for part in parts for row in part)]
    return [f"| {' | '.join(row)} |" for row in rows]


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def _demo() -> Iterator[tuple[str, ...]]:
    demo = _read("demo")
    for name, whole, weekly in (("churn", "under 8 min", "under 20 s"), ("recommend", "", "")):
        minutes, seconds = divmod(demo["pipelines"][name]["seconds"], 60)
        yield f"all stages of the demo's year, {name}", whole, f"{minutes} min {seconds} s", "`demo.py`"
        yield f"a weekly run of {name} in it, stages only (median)", weekly, f"{demo['pipelines'][name]['weekly_median']} s", ""
    yield "`penstock run` from a cold process with nothing new (median of 3)", "under 30 s", f"{demo['idle_run_cold']['median']} s", ""
    if demo["demo"]:
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


def _lists() -> Iterator[tuple[str, ...]]:
    """What the demo's lists found, judged after 28 days on everybody who bought."""
    found = _read("demo")["lists"]
    for day in ("2011-09-05", "2011-10-31"):
        week = found[day]
        told = (
            f"{week['recall']:.3f} (the heuristic {week['heuristic_recall']:.3f}); NDCG {week['ndcg']:.3f} ({week['heuristic_ndcg']:.3f})"
        )
        yield f"recall@20 of the lists of {day}, as the demo published them", "0.35", told, "`demo.py`"
    mean, rule = (sum(week[name] for week in found.values()) / len(found) for name in ("recall", "heuristic_recall"))
    yield f"the same, mean of {len(found)} weeks", "", f"{mean:.3f} ({rule:.3f})", ""


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


def _publishing() -> Iterator[tuple[str, ...]]:
    found = _read("publish")
    for place, words in (("no persistence", "no persistence"), ("append-only file, everysec", "append-only file")):
        arms, times = found[place]["arms"], found[place]["times_ours"]
        told = f"{times['set']} × ({arms['ours']['rows_per_s']:,} keys/s; {times['cli']} × `redis-cli --pipe`, {times['mset']} × MSET)"
        yield (
            f"publishing {found['rows']:,} values to Redis, {words}, against redis-py's pipeline of SET",
            "4 × (0.5 ×)",
            told,
            "`publish.py`",
        )
    arms = found["no persistence"]["arms"]
    yield (
        "memory in Redis a score, against plain keys",
        "",
        f"{arms['ours']['bytes_a_row']:.0f} bytes ({arms['set']['bytes_a_row']:.0f})",
        "",
    )
    large = found["large"]
    yield f"greatest memory of the client that publishes {large['rows']:,} keys", "1 GiB", f"{large['client_peak_mib']} MiB", ""


def _reading() -> Iterator[tuple[str, ...]]:
    found = _read("reading")
    for name, plain in (("get", "plain GET"), ("get_many of 50", "plain MGET of 50")):
        ours, theirs = found["ms"][name], found["ms"][plain]
        told = f"{ours['p50']:.2f} / {ours['p99']:.1f} / {ours['p99.9']:.1f} ms ({plain}: {theirs['p50']:.2f} / {theirs['p99']:.1f} / {theirs['p99.9']:.1f})"
        what = f"{name} by {found['readers']} processes at once while sets change, p50 / p99 / p99.9"
        yield what, "no error, none mixed", f"{told}; {found['errors']} errors, {found['mixed_generations']} mixed", "`reading.py`"


def _topk() -> Iterator[tuple[str, ...]]:
    found = _read("topk")
    size = f"best {found['k']} of {found['items']:,} items for {found['users']:,} users"
    told = f"{found['times_als_cpu_for_all_users']} × by CPU time, {found['times_als']} × by the clock over 40,000 users"
    yield f"{size}, against `ALSModel.recommendForAllUsers`", "10 ×", told, "`topk.py`"
    yield (
        f"{size}, seconds of `implicit`'s ranking",
        "1.5 ×",
        f"{found['over_implicit']} × ({found['arms']['penstock']['median_s']:.1f} s)",
        "",
    )


def _extra(batch: dict[str, float]) -> float:
    return batch["reasons"] / batch["scores"]


if __name__ == "__main__":
    print("\n".join(lines()))
