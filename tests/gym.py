"""A gym with four sources: visits, plans that change, and what a CRM sends back: contacts and outcomes. Each a CSV file of many days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

ZONE = "Europe/Berlin"
START = date(2024, 1, 1)
MEMBERS = tuple(f"m{n}" for n in range(10))

_CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: gym-{name}
name: {name}
version: 1.0.0
status: active
description: {{purpose: "Rows of a gym, for tests."}}
team: {{name: tests}}
schema:
  - name: {name}
    physicalType: csv
    properties:
{properties}
slaProperties:
  - {{property: frequency, value: 1, unit: d}}
  - {{property: latency, value: 1, unit: d}}
  - {{property: freshness, value: 60, unit: d}}
  - {{property: retention, value: 10, unit: y}}
customProperties:
  - {{property: timezone, value: {zone}}}
  - {{property: knownTime, value: {{column: day}}}}
  - {{property: maxRejectedShare, value: 0.1}}
  - {{property: censorAfter, value: 90}}
"""

COLUMNS = {
    "visits": {"member": "string", "day": "date", "minutes": "int"},
    "plans": {"member": "string", "day": "date", "plan": "string"},
    "contacts": {"member": "string", "day": "date", "channel": "string"},
    "outcomes": {"member": "string", "day": "date", "result": "string"},
}

PIPELINE = """
name: leaving
purpose:
  question: Which members will leave in the next week?
  owner: tests
source: visits
features:
  name: attendance
  source: visits
  entity: [member]
  event_time: day
  aggregates:
    - {name: visits, function: count, windows: [7d, all]}
    - {name: minutes, function: sum, of: minutes, type: bigint, windows: [7d]}
  joined:
    - name: plan
      source: plans
      entity: [member]
      event_time: day
      aggregates:
        - {name: plan, function: last, of: plan, type: string, description: the plan that the member is on}
        - {name: changes, function: count, windows: [30d], description: changes of the plan}
        - {name: plan_days, function: days_since_last, description: days since the plan was changed}
  derived:
    - {name: pays, expression: "CASE WHEN plan IN ('plus', 'gold', 'silver') THEN 1 ELSE 0 END"}
schedule: {first: 2024-01-22, every_days: 7}
population: visits_all > 0
label:
  source: outcomes
  event_time: day
  horizon_days: 7
  delay_days: 1
  expression: "CASE result WHEN 'left' THEN 1 WHEN 'stayed' THEN 0 END"
  positive: left within 7 days
treated: {source: contacts, event_time: day, when: "channel <> 'none'", within_days: 7}
training:
  baselines: [{name: visits, column: visits_7d, higher_means: negative}]
monitoring: {}
publish: {}
"""


def write_conf(folder: Path) -> Path:
    """Base, one environment, the four contracts and the pipeline `leaving`."""
    for name in ("env", "pipelines", "contracts"):
        (folder / name).mkdir(parents=True)
    (folder / "base.yml").write_text("spark: {shuffle_partitions: 2}\n", encoding="utf-8")
    (folder / "env" / "local.yml").write_text("spark: {master: 'local[2]'}\npromotion: {approval: policy}\n", encoding="utf-8")
    for name, columns in COLUMNS.items():
        logical = {"int": "integer"}
        lines = [f"      - {{name: {c}, logicalType: {logical.get(kind, kind)}, physicalType: {kind}}}" for c, kind in columns.items()]
        text = _CONTRACT.format(name=name, zone=ZONE, properties="\n".join(lines))
        (folder / "contracts" / f"{name}.yml").write_text(text, encoding="utf-8")
    (folder / "pipelines" / "leaving.yml").write_text(PIPELINE, encoding="utf-8")
    return folder


Row = tuple[str, date, object]


def visits(last: date) -> list[Row]:
    """Every member has a rhythm of its own."""
    days = [START + timedelta(days=n) for n in range((last - START).days + 1)]
    return [(m, day, 30 + i) for n, day in enumerate(days) for i, m in enumerate(MEMBERS) if (n + i) % (2 + i % 3) == 0]


def plans(last: date, *, later: str = "plus") -> list[Row]:
    """All but the last member begin on a plan, and change it twice; `later` is the second one's name for `m5`."""
    found: list[Row] = []
    for i, member in enumerate(MEMBERS[:-1]):
        second = later if member == "m5" else "plus"
        found += [(member, START + timedelta(days=n), plan) for n, plan in ((i, "basic"), (20 + i, second), (40 + i, "gold"))]
    return [row for row in found if row[1] <= last]


def deliver(landing: Path, rows: Mapping[str, Sequence[Row]]) -> None:
    """Each source's whole export, under the name that it always has."""
    for source, found in rows.items():
        folder = landing / source
        folder.mkdir(parents=True, exist_ok=True)
        lines = [",".join(COLUMNS[source]), *(f"{m},{day},{'' if value is None else value}" for m, day, value in found)]
        (folder / f"{source}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
