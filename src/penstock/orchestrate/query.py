"""`penstock sql`: one read-only query over the lake's tables and views by name."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from penstock.errors import UsageError
from penstock.lake.delta import Lake

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_ROWS = 10_000
VIEWS = {
    "checks": (
        ("files_",),
        "SELECT '{table}' AS source, day, _file AS file, name, count FROM {table} LATERAL VIEW explode(checks) AS name, count",
    ),
}
METRIC_KINDS = ("performance", "kpi", "drift", "decision")


def register(lake: Lake) -> tuple[str, ...]:
    """Name all tables in this session, and the views: `checks` over all sources, and one for each kind of metric."""
    names = lake.names()
    lake.register(names)
    made = []
    for view, (prefixes, text) in VIEWS.items():
        parts = [text.format(table=name) for name in names if name.startswith(prefixes)]
        if parts:
            lake.spark.sql(" UNION ALL ".join(parts)).createOrReplaceTempView(view)
            made.append(view)
    if "metrics" in names:
        for kind in METRIC_KINDS:
            lake.read("metrics").where(f"kind = '{kind}'").createOrReplaceTempView(f"metrics_{kind}")
            made.append(f"metrics_{kind}")
    return (*names, *made)


def answer(lake: Lake, query: str, form: str) -> str:
    """The query's rows as a table, JSON or CSV text. Raises UsageError for anything that is not one readable query."""
    from pyspark.errors import AnalysisException, ParseException

    known = register(lake)
    try:
        frame = lake.spark.sql(_one_query(query))
        rows = frame.limit(_ROWS + 1).collect()
    except (AnalysisException, ParseException) as error:
        first = str(error).splitlines()[0].rstrip(".")
        raise UsageError("query", got=first, expected=f"SQL over {', '.join(known)}") from error
    if len(rows) > _ROWS:
        raise UsageError("query", got=f"over {_ROWS:,} rows", expected="fewer", next="add a LIMIT, or read the table with Spark")
    return _FORMS[form](frame, [row.asDict(recursive=True) for row in rows])


def _one_query(query: str) -> str:
    text = query.strip().rstrip(";").strip()
    head = text.split(None, 1)[0].upper() if text else ""
    if head not in {"SELECT", "WITH", "DESCRIBE", "SHOW", "VALUES", "FROM", "EXPLAIN"}:
        raise UsageError("query", got=head or "nothing", expected="a SELECT: this command only reads")
    # Spark's grammar lets a statement that writes begin with these words too; a subquery cannot hold one.
    return f"SELECT * FROM ({text})" if head in {"SELECT", "WITH", "VALUES", "FROM"} else text


def _table(frame: DataFrame, rows: list[dict[str, Any]]) -> str:
    names = frame.columns
    cells = [[_cell(row[name]) for name in names] for row in rows]
    widths = [max([len(name), *(len(line[i]) for line in cells)]) for i, name in enumerate(names)]
    numeric = [all(isinstance(row[name], int | float) or row[name] is None for row in rows) and bool(rows) for name in names]

    def line(parts: list[str]) -> str:
        return "  ".join(p.rjust(w) if n else p.ljust(w) for p, w, n in zip(parts, widths, numeric, strict=True)).rstrip()

    return "\n".join(
        [
            line(list(names)),
            "  ".join("-" * w for w in widths),
            *(line(c) for c in cells),
            f"({len(rows)} row{'s' if len(rows) != 1 else ''})",
        ]
    )


def _json(_: DataFrame, rows: list[dict[str, Any]]) -> str:
    return json.dumps(rows, default=str, indent=2)


def _csv(frame: DataFrame, rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=frame.columns)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().rstrip("\r\n")


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


_FORMS = {"table": _table, "json": _json, "csv": _csv}
