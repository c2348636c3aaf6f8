"""A market of 30 customers and 12 products with one pipeline `baskets` that ranks them: one file of many days, the same rows everywhere.

Each customer has six products and buys two of them a week, in turn. So the next ones are those bought longest ago, which a
model learns soon, while a rule that shows what was bought last is wrong every week.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import yaml

import shop
from shop import share

SOURCE, PIPELINE, ZONE = "market_lines", "baskets", "Europe/London"
HEADER = "customer,day,product,country"
MONDAY = date(2024, 1, 1)
HISTORY = date(2024, 3, 18)
"""The first run: eleven weeks land at once and the first model is trained."""
NEXT = date(2024, 3, 25)
"""The second run, a week later; the clocks change a week after it."""
CUSTOMERS = ("a:1", "b b", "{c}", "d}{", "ürün 2", "客", "[r]x", *(f"c{n}" for n in range(23)))
"""Some have keys that text formats and Redis give a meaning."""
NEWCOMER = "new one"
LENGTH = 3

CONTRACT = f"""
apiVersion: v3.1.0
kind: DataContract
id: market-lines
name: {SOURCE}
version: 1.0.0
status: active
description: {{purpose: "Lines of a market that exists in tests only."}}
team: {{name: tests}}
schema:
  - name: lines
    physicalType: csv
    properties:
      - {{name: customer, logicalType: string, physicalType: string}}
      - {{name: day, logicalType: date, physicalType: date}}
      - {{name: product, logicalType: string, physicalType: string}}
      - {{name: country, logicalType: string, physicalType: string}}
slaProperties:
  - {{property: frequency, value: 1, unit: d}}
  - {{property: latency, value: 1, unit: d}}
  - {{property: freshness, value: 60, unit: d}}
  - {{property: retention, value: 10, unit: y}}
customProperties:
  - {{property: timezone, value: {ZONE}}}
  - {{property: knownTime, value: {{column: day}}}}
  - {{property: maxRejectedShare, value: 0.1}}
  - {{property: censorAfter, value: 90}}
"""

_PIPELINE = """
name: baskets
kind: ranking
purpose: {question: "Which products will each customer buy in the next 7 days?", owner: tests}
source: market_lines
features:
  name: basket
  source: market_lines
  entity: [customer]
  event_time: day
  aggregates:
    - {name: lines, function: count, windows: [7d, all]}
    - {name: bought, function: collect_set, of: product, windows: [28d]}
    - {name: country, function: last, of: country, type: string}
  checks:
    - {name: windows_nested, holds: lines_7d <= lines_all}
schedule: {first: 2024-01-22, every_days: 7}
population: lines_all > 0
label: {view: basket, horizon_days: 7, delay_days: 0, expression: bought, positive: bought the product within 7 days}
training:
  candidates:
    - {name: boosting, params: {early_stopping: false, max_iter: 20, min_samples_leaf: 10, learning_rate: 0.3}}
  exclude: [country]
  holdout_cohorts: 2
  segments: [{column: country}]
  gates: {bootstrap_rounds: 200, min_rows: 20, min_segment_rows: 10}
monitoring:
  segments: [country]
  drift: {min_rows: 20}
  performance: {min_rows: 20}
ranking: {length: 3, family: "^[a-z]+"}
publish:
  control_share: 0.2
  fallback: {by: country, days: 28, min_entities: 3}
"""


def pipeline() -> dict[str, Any]:
    """The pipeline as a tree; candidates and rules as the shipped ranking has them, without what takes long to compute."""
    shipped = yaml.safe_load((shop.REPOSITORY / "conf" / "pipelines" / "recommend.yml").read_text(encoding="utf-8"))
    tree: dict[str, Any] = yaml.safe_load(_PIPELINE)
    tree["features"]["candidates"] = shipped["features"]["candidates"] | {"items": "bought", "factors": None}
    tree["training"]["baselines"] = shipped["training"]["baselines"]
    return tree


def write_conf(folder: Path, tree: dict[str, Any] | None = None) -> Path:
    """The repository's configuration with the pipeline `baskets`, or another tree of that name, and its contract."""
    conf = shop.write_conf(folder)
    (conf / "contracts" / f"{SOURCE}.yml").write_text(CONTRACT, encoding="utf-8")
    (conf / "pipelines" / f"{PIPELINE}.yml").write_text(yaml.safe_dump(tree or pipeline(), sort_keys=False), encoding="utf-8")
    return conf


Line = tuple[str, date, str, str]


def product(number: int) -> str:
    """Twelve products, of which each two are one in two colours: `apple1` and `apple2`."""
    return f"{('apple', 'bread', 'cheese', 'dates', 'eggs', 'flour')[number // 2 % 6]}{number % 2 + 1}"


def country(customer: str) -> str:
    return "FR" if share("country", customer) < 0.3 else "UK"


def lines(last: date, customers: Iterable[str] = CUSTOMERS) -> list[Line]:
    """What was bought up to a day."""
    found = []
    for number, customer in enumerate(customers):
        for week in range((last - MONDAY).days // 7 + 1):
            for turn in (0, 1):
                day = MONDAY + timedelta(days=7 * week + int(7 * share("day", customer, week, turn)))
                bought = product(number + 2 * (week % 3) + turn if share("strays", customer, week, turn) > 0.1 else week + number)
                found.append((customer, day, bought, country(customer)))
    return [line for line in found if line[1] <= last]


def deliver(landing: Path, found: Sequence[Line]) -> None:
    """The whole export, under the name that it always has."""
    folder = landing / SOURCE
    folder.mkdir(parents=True, exist_ok=True)
    text = "\n".join([HEADER, *(f"{c},{day},{bought},{land}" for c, day, bought, land in sorted(found, key=lambda line: line[1]))])
    (folder / "lines.csv").write_text(text + "\n", encoding="utf-8")
