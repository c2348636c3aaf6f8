"""The model against the floor: trained on what had matured by 2011-08-01, judged there and on the weeks to 2011-11-07.

    python bench/model_floor.py [--lake DIR]     # a lake that `penstock demo` has written; ./lakehouse when absent

Uses the package's own feature table, labels, fit and metrics; the judged weeks are only judged. Two protocols: everything
matured by then, and the product's own, which keeps the newest four cohorts and one horizon before them from the fit.
"""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path

import numpy as np

from penstock import clock, metrics, wiring
from penstock.features.run import view_tables
from penstock.lake import tables
from penstock.progress import Silent
from penstock.training import dataset
from penstock.training.fit import fit
from penstock.training.rows import Rows, labelled_rows
from penstock.training.split import holdout

RESULTS = Path(__file__).parent / "results" / "model_floor.json"
TRAINED_BY, JUDGED_TO = date(2011, 8, 1), date(2011, 11, 7)


def main() -> int:
    """Fit twice, judge, write."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--lake", type=Path, default=Path("lakehouse"))
    lake = words.parse_args().lake
    with wiring.house(wiring.Words(lake=lake), "churn") as home:
        run = wiring.new_run(home, wiring.as_of_instant(home, "2011-12-10"), Silent())
        _, feature_table = view_tables(run)
        label_table = tables.labels("churn", run.key)
        table = dataset.labelled(run, run.lake.version(feature_table), run.lake.version(label_table)).toArrow()
        config, label = run.pipeline.training, run.pipeline.label
        columns = [n for n in run.pipeline.features.column_names() if n not in config.exclude]
    rows = labelled_rows(table.to_pandas(), key=("customer_id",))
    horizon = label.horizon_days + label.delay_days
    cut = day(TRAINED_BY)
    matured = rows.where(rows.day + horizon <= cut)
    kept = holdout(matured.day, cohorts=config.holdout_cohorts, horizon=horizon)
    protocols = {"everything_matured": matured, "product_protocol": matured.where(kept.train_rows(matured.day))}
    found = {}
    for name, train in protocols.items():
        model = fit(train, columns, config, horizon=horizon, seconds=clock.stopwatch)
        found[name] = {"train_rows": len(train), "candidate": model.candidate.name, **judged(rows, model.scores)}
    for column, sign in (("orders_all", -1.0), ("orders_90d", -1.0), ("recency_days", 1.0)):
        found[f"heuristic_{column}"] = judged(rows, lambda part, c=column, s=sign: s * part.frame[c].to_numpy(dtype=float))
    found["floor"] = {"auc_at_2011_08_01": 0.748, "mean_auc_to_2011_11_07": 0.72}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))
    return 0


def judged(rows: Rows, score) -> dict[str, object]:  # type: ignore[no-untyped-def]
    """AUC at 2011-08-01, by week, and the mean over the weeks to 2011-11-07."""
    weeks = {}
    for one in sorted(set(rows.day[(rows.day >= day(TRAINED_BY)) & (rows.day <= day(JUDGED_TO))])):
        part = rows.where(rows.day == one)
        weeks[str(np.datetime64(int(one), "D"))] = round(metrics.roc_auc(part.label, score(part)).value or float("nan"), 4)
    return {
        "auc_at_2011_08_01": next(iter(weeks.values())),
        "mean_auc_to_2011_11_07": round(float(np.mean(list(weeks.values()))), 4),
        "weeks": weeks,
    }


def day(value: date) -> int:
    """Days since 1970."""
    return (value - date(1970, 1, 1)).days


if __name__ == "__main__":
    raise SystemExit(main())
