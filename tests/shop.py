"""A small shop for end-to-end tests: 150 customers, half a year of daily files, one pipeline `tiny`; the same rows everywhere.

Nothing is random: every choice is a hash. The customers are regular or occasional buyers who pause now and then (that is
what a model can learn), and from `SEASON` on they buy less (that is what the monitoring has to notice).
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
SOURCE = "shop_orders"
PIPELINE = "tiny"
VIEW = "tiny_activity"
HEADER = ("OrderNo", "CustomerID", "OrderedAt", "Amount", "Country")
FIRST_FILE = date(2023, 1, 2)
HISTORY = date(2023, 7, 3)
"""The first run: half a year lands at once and the first model is trained."""
NEXT = date(2023, 7, 24)
"""The second run, three weeks later: the first scored cohort has matured, and in every stage there is something to write."""
SEASON = date(2023, 7, 2)
CORRECTED = date(2023, 6, 20)
"""A day whose file is delivered again, corrected, before the second run: outcomes that had matured are revised."""
CUSTOMERS = 150

CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: penstock-shop-orders
name: shop_orders
version: 1.0.0
status: active
description: {purpose: Orders of a small shop that exists in tests only.}
team: {name: tests}
schema:
  - name: orders
    physicalType: csv
    properties:
      - {name: order_no, physicalName: OrderNo, logicalType: string, physicalType: string, required: true,
         logicalTypeOptions: {pattern: '^[OV][0-9]{4,16}$'}}
      - {name: customer_id, physicalName: CustomerID, logicalType: string, physicalType: string,
         logicalTypeOptions: {pattern: '^[0-9]{5}$'}, tags: [pii],
         quality: [{name: some_customers, metric: nullValues, mustBeLessThan: 95, unit: percent}]}
      - {name: ordered_at, physicalName: OrderedAt, logicalType: timestamp, physicalType: timestamp, required: true,
         logicalTypeOptions: {format: 'yyyy-MM-dd HH:mm:ss', minimum: 2020-01-01}}
      - {name: amount, physicalName: Amount, logicalType: number, physicalType: "decimal(12,2)", required: true,
         logicalTypeOptions: {minimum: -10000, maximum: 10000}}
      - {name: country, physicalName: Country, logicalType: string, physicalType: string, required: true,
         logicalTypeOptions: {minLength: 1, maxLength: 60}}
    quality:
      - {name: voided, type: custom, engine: penstock, implementation: "order_no LIKE 'V%'", severity: error}
      - {name: in_the_future, type: custom, engine: penstock, implementation: ordered_at >= _known_at, severity: error}
      - {name: no_customer, type: custom, engine: penstock, implementation: customer_id IS NULL, severity: info}
      - {name: some_rows, metric: rowCount, mustBeGreaterThan: 0}
slaProperties:
  - {property: frequency, value: 1, unit: d}
  - {property: latency, value: 1, unit: d}
  - {property: freshness, value: 1, unit: d}
  - {property: retention, value: 10, unit: y}
customProperties:
  - {property: timezone, value: Europe/London}
  - {property: knownTime, value: {file: "{date}.csv"}}
  - {property: calendar, value: {closedWeekdays: [friday, saturday, sunday]}}
  - {property: maxRejectedShare, value: 0.1}
  - {property: censorAfter, value: 30}
"""

# Thresholds that the shop passes with ease: what the gates refuse is the unit tests' business.
PIPELINE_YML = """
name: tiny
purpose:
  question: "Which customers will not order in the next 14 days?"
  owner: tests
  kpi: {name: profit of the list, target: 50}
  worth: {currency: GBP, right: 3, wrong: -2}
source: shop_orders
features:
  name: tiny_activity
  source: shop_orders
  entity: [customer_id]
  event_time: ordered_at
  events: {order: amount > 0}
  aggregates:
    - {name: recency_days, function: days_since_last, when: order}
    - {name: tenure_days, function: days_since_first, when: order}
    - {name: orders, function: count_distinct, of: order_no, when: order, windows: [14d, 42d]}
    - {name: spend, function: sum, of: amount, type: "decimal(18,2)", when: order, windows: [42d]}
    - {name: country, function: last, of: country, type: string}
  derived:
    - {name: basket_42d, expression: "spend_42d / nullif(orders_42d, 0)"}
  publish: online
  checks:
    - {name: windows_nested, holds: orders_14d <= orders_42d}
schedule: {first: 2023-02-13, every_days: 7}
population: orders_42d > 0
label: {view: tiny_activity, horizon_days: 14, delay_days: 1, expression: orders = 0}
training:
  candidates:
    - name: boosting
      params: {early_stopping: false, max_iter: 20, min_samples_leaf: 20, max_leaf_nodes: 6, learning_rate: 0.1}
  calibration: {method: sigmoid, folds: 2}
  holdout_cohorts: 3
  baselines: [{name: tenure, column: tenure_days, higher_means: positive}]
  segments: [{column: country}]
  gates: {max_loss: 0.5, max_segment_loss: 0.5, max_calibration_error: 0.3, max_profit_loss: 0.5, bootstrap_rounds: 200, min_rows: 100, min_segment_rows: 60}
monitoring:
  segments: [country]
  drift: {min_rows: 60}
  performance: {min_rows: 60}
  calibration: {min_rows: 60, persistence: {k: 1, n: 1}}
  label_rate: {action: retrain, floor: 0.02, min_rows: 60, persistence: {k: 1, n: 1}}
  cooldown_days: 0
publish:
  bands: [{name: low, lower: 0.0}, {name: high, lower: 0.4}]
"""


def write_conf(folder: Path) -> Path:
    """The repository's configuration with the pipeline `tiny` and its contract beside the others."""
    shutil.copytree(REPOSITORY / "conf", folder)
    (folder / "contracts" / f"{SOURCE}.yml").write_text(CONTRACT, encoding="utf-8")
    (folder / "pipelines" / f"{PIPELINE}.yml").write_text(PIPELINE_YML, encoding="utf-8")
    return folder


def share(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts alone."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def open_days(first: date, last: date) -> Iterator[date]:
    """The days of [first, last] on which the shop is open, Monday to Thursday."""
    return (day for n in range((last - first).days + 1) if (day := first + timedelta(days=n)).weekday() < 4)


def orders(day: date) -> list[tuple[str, ...]]:
    """The rows of a day's file."""
    rows = []
    for number in range(CUSTOMERS):
        customer = 10000 + number
        phase = (day - FIRST_FILE).days // 35
        rate = 0.25 if share("kind", customer) < 0.5 else 0.06
        if share("pause", customer, phase) < 0.2:
            rate = 0.01
        if day >= SEASON:
            rate *= 0.3
        if share("buys", customer, day) >= rate:
            continue
        at = f"{day} {9 + int(8 * share('hour', customer, day)):02d}:{int(60 * share('minute', customer, day)):02d}:00"
        amount = f"{5 + 95 * share('amount', customer, day):.2f}"
        country = "France" if share("country", customer) < 0.3 else "United Kingdom"
        rows.append((f"O{day:%y%m%d}{number:03d}", str(customer), at, amount, country))
    rows.append((f"O{day:%y%m%d}900", "", f"{day} 12:00:00", "9.99", "United Kingdom"))
    if day.weekday() == 1:  # a row that goes to quarantine, once a week
        rows.append((f"V{day:%y%m%d}901", "10000", f"{day} 12:30:00", "1.00", "United Kingdom"))
    return rows


def write_file(landing: Path, day: date, rows: Iterable[Iterable[str]], *, header: Iterable[str] = HEADER) -> Path:
    """One day's file."""
    folder = landing / SOURCE
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{day}.csv"
    path.write_text("".join(",".join(row) + "\n" for row in (tuple(header), *rows)), encoding="utf-8")
    return path


def write_days(landing: Path, first: date, last: date) -> None:
    """The files of the open days of [first, last]."""
    for day in open_days(first, last):
        write_file(landing, day, orders(day))


def correct(landing: Path, day: date = CORRECTED) -> None:
    """Deliver a day's file again: without its first three orders, the fourth for another customer."""
    first, *rest = orders(day)[3:]
    write_file(landing, day, [(first[0], "10149", *first[2:]), *rest])


def second_delivery(landing: Path) -> None:
    """What arrives between the first and the second run."""
    write_days(landing, HISTORY, NEXT - timedelta(days=1))
    correct(landing)


# -- what a lake holds, read without Spark and without Penstock ----------------------------------------------------------

WALL_CLOCK = {
    "created_at",
    "made_at",
    "scored_at",
    "updated_at",
    "decided_at",
    "finished_at",
    "taken_at",
    "expires_at",
    "seconds",
    "run_id",
}
# A take-over begins with an empty commit, after which versions count on from a higher number.
VERSIONS = {"_from_version", "_to_version"}
# What Delta keeps in a MERGE's files for its change feed; no columns of the table.
FEED = {"__is_cdc", "_change_type"}
UNEQUAL_TABLES = {"leases", "ledger"}


def table_names(lake: Path) -> list[str]:
    """The names of the lake's Delta tables."""
    return sorted(log.parent.name for log in lake.glob("*/_delta_log") if any(log.glob("*.json")))


def versions(lake: Path) -> dict[str, int]:
    """The newest version of each table."""
    return {name: max(int(p.stem) for p in (lake / name / "_delta_log").glob("*.json")) for name in table_names(lake)}


def rows(lake: Path, table: str) -> list[dict[str, Any]]:
    """The rows of a table's newest version, by replay of its whole log (no commit is ever removed in a test)."""
    import pyarrow.parquet as pq

    live: dict[str, None] = {}
    for commit in sorted((lake / table / "_delta_log").glob("*.json")):
        for line in commit.read_text(encoding="utf-8").splitlines():
            action = json.loads(line)
            if "add" in action:
                assert not action["add"].get("deletionVector"), "a reader of deletion vectors is needed here now"
                live[action["add"]["path"]] = None
            elif "remove" in action:
                live.pop(action["remove"]["path"], None)
    found: list[dict[str, Any]] = []
    for name in live:
        frame = pq.ParquetFile(lake / table / name).read()
        if "__is_cdc" in frame.column_names:
            assert not any(frame["__is_cdc"].to_pylist()), "a reader that leaves out rows of the feed is needed here now"
        found += frame.drop_columns([column for column in frame.column_names if column in FEED]).to_pylist(maps_as_pydicts="strict")
    return found


def canonical(lake: Path, table: str) -> list[tuple[Any, ...]]:
    """A table's rows as sorted tuples, without what the clock, chance or a take-over gives; MLflow's run ids as `RUN`."""
    kept = []
    for row in rows(lake, table):
        if row.get("kind") == "gate":
            row["subject"] = "RUN"
        kept.append(tuple((name, _plain(value)) for name, value in sorted(row.items()) if name not in WALL_CLOCK | VERSIONS))
    return sorted(kept, key=repr)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return "NaN"  # NaN is not equal to itself
    if isinstance(value, list):
        return tuple(map(_plain, value))
    if isinstance(value, dict):
        return tuple(sorted(value.items()))  # a map's order says nothing, and Connect writes another than a local session
    return value


def registry(lake: Path) -> dict[str, Any]:
    """MLflow's side: versions, the alias, the tags of promotion, and finished trainings, straight from its database."""
    database = lake / "mlflow" / "mlflow.db"
    if not database.exists():
        return {}
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        tags = "SELECT version, key, value FROM model_version_tags WHERE key LIKE 'penstock.%' ORDER BY 1, 2"
        trainings = (
            "SELECT count(*), count(DISTINCT t.value) FROM runs r JOIN tags t ON t.run_uuid = r.run_uuid "
            "AND t.key = 'penstock.training_id' WHERE r.status = 'FINISHED' AND r.lifecycle_stage = 'active'"
        )
        runs = (
            "SELECT t.value, count(*) FROM runs r JOIN tags t ON t.run_uuid = r.run_uuid AND t.key = 'penstock.kind' "
            "WHERE r.lifecycle_stage = 'active' GROUP BY 1 ORDER BY 1"
        )
        return {
            "versions": db.execute("SELECT name, version FROM model_versions ORDER BY 1, 2").fetchall(),
            "alias": db.execute("SELECT name, alias, version FROM registered_model_aliases ORDER BY 1, 2").fetchall(),
            # The files of a model hold the id of its run, so its digest is chance; and the data's tag holds versions.
            "tags": [row for row in db.execute(tags).fetchall() if row[1] not in {"penstock.model_digest", "penstock.data"}],
            "trainings": db.execute(trainings).fetchone(),
            "runs": db.execute(runs).fetchall(),
        }


def published(lake: Path) -> dict[str, Any]:
    """Redis as readers see it: each customer's score and features, and how many keys there are in all."""
    from penstock.client import FeatureReader, ScoreReader
    from penstock.publish.redis import connect
    from penstock.publish.server import private_server

    if not (lake / "_redis").exists():
        return {}
    with private_server(lake / "_redis") as server:
        client = connect(server.url)
        try:
            reader = ScoreReader(client, PIPELINE)
            found = reader.get_many([str(10000 + n) for n in range(CUSTOMERS)])
            told = {
                k if v.provenance == "scored" else v.provenance: (v.score, v.band, v.as_of, v.version, v.generation, v.reasons)
                for k, v in found.items()
                if v is not None
            }
            fallback = told.pop("fallback", None)
            rows = FeatureReader(client, VIEW).get_many(found)
            features = {k: (dict(v.values), v.as_of, v.generation) for k, v in rows.items() if v is not None}
            return {"scores": told, "fallback": fallback, "features": features, "keys": int(client.dbsize())}
        finally:
            client.close()


def content(lake: Path) -> dict[str, Any]:
    """Everything that must be the same however often runs were killed: tables but leases and ledger, MLflow, Redis."""
    kept = {name: canonical(lake, name) for name in table_names(lake) if name not in UNEQUAL_TABLES}
    return {**kept, "MLflow": registry(lake), "Redis": published(lake)}


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Where two contents differ, in a line each: short enough to read, long enough to know what went wrong."""
    found = []
    for name in sorted(one.keys() | other.keys()):
        a, b = one.get(name), other.get(name)
        if a == b:
            continue
        if isinstance(a, list) and isinstance(b, list):
            lost = [row for row in a if row not in b][:3]
            new = [row for row in b if row not in a][:3]
            found.append(f"{name}: {len(a)} rows and {len(b)}; only the first has {lost}; only the second has {new}")
        else:
            found.append(f"{name}: {str(a)[:600]} and {str(b)[:600]}")
    return found


def copy_lake(lake: Path, to: Path) -> Path:
    """A copy of a lake under another path. MLflow's database holds absolute addresses, which are rewritten in the copy."""
    shutil.copytree(lake, to, symlinks=True)
    database = to / "mlflow" / "mlflow.db"
    if database.exists():
        with sqlite3.connect(database) as db:
            for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                for _, column, kind, *_ in db.execute(f"PRAGMA table_info('{table}')").fetchall():
                    if "CHAR" in kind.upper() or "TEXT" in kind.upper():
                        text = f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) WHERE instr("{column}", ?)'
                        db.execute(text, (f"{lake}/", f"{to}/", f"{lake}/"))
    return to
