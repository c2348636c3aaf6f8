"""A contract of six columns in any format, for tests of formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write(
    folder: Path,
    kind: str,
    *,
    csv: dict[str, str] | None = None,
    day: str | None = None,
    at: str | None = None,
    offset: bool = False,
    zone: str = "UTC",
    known: str | None = None,
    table: str | None = None,
) -> Path:
    """`day` and `at` are formats; `known` is the column that tells a row's day; `table` is a Delta table's name in the catalog."""
    written = f"{{format: '{day}'}}" if day else "{}"
    options = ", ".join([*([f"format: '{at}'"] if at else []), *(["timezone: true"] if offset else [])])
    ending = {"csv": "csv", "json": "jsonl", "parquet": "parquet", "delta": ""}[kind]
    known_time: dict[str, Any] = {"column": known} if known else {"file": f"{{date}}.{ending}"}
    named = f"\n    physicalName: {table}" if table else ""
    text = f"""
apiVersion: v3.1.0
kind: DataContract
id: odd
name: odd
version: 1.0.0
status: active
description: {{purpose: Rows of odd formats.}}
team: {{name: tests}}
schema:
  - name: odd
    physicalType: {kind}{named}
    properties:
      - {{name: id, logicalType: string, physicalType: string}}
      - {{name: amount, logicalType: number, physicalType: "decimal(14,2)"}}
      - {{name: day, logicalType: date, physicalType: date, logicalTypeOptions: {written}}}
      - {{name: at, logicalType: timestamp, physicalType: timestamp, logicalTypeOptions: {{{options}}}}}
      - {{name: flag, logicalType: boolean, physicalType: boolean}}
      - {{name: n, logicalType: integer, physicalType: int}}
slaProperties:
  - {{property: frequency, value: 1, unit: d}}
  - {{property: latency, value: 1, unit: d}}
  - {{property: freshness, value: 3, unit: d}}
  - {{property: retention, value: 10, unit: y}}
customProperties:
  - {{property: timezone, value: {zone}}}
  - {{property: knownTime, value: {json.dumps(known_time)}}}
  - {{property: csv, value: {json.dumps(csv or {})}}}
  - {{property: maxRejectedShare, value: 0.1}}
  - {{property: censorAfter, value: 30}}
"""
    path = folder / "odd.yml"
    path.write_text(text, encoding="utf-8")
    return path
