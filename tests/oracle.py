"""Features, outcomes and as-of joins once more, from raw rows in plain Python: slow, obvious, and written from the definitions alone.

Nothing here imports the code that it judges. A file version counts at an instant when it is the newest of its file that was
known by then; an event counts at an `as_of` when its file version does and its local day lies before the `as_of`'s; a window
of n days holds the n local days before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from math import log2, sqrt
from typing import Any
from zoneinfo import ZoneInfo

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Version:
    """One delivery of a file, known from `known_at` on; it came with commit number `commit`."""

    file: str
    known_at: datetime
    commit: int


@dataclass(frozen=True)
class Row:
    """One landed row, of one file version."""

    customer: str | None
    at: datetime | None
    kind: str | None
    amount: Decimal | None
    qty: int | None
    item: str | None
    version: Version


def midnight(day: date, zone: str) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))


def local_day(at: datetime, zone: str) -> date:
    return at.astimezone(ZoneInfo(zone)).date()


def known(rows: Iterable[Row], versions: Iterable[Version], by: datetime) -> list[Row]:
    """The rows of each file's newest version that was known by an instant."""
    newest: dict[str, Version] = {}
    for version in versions:
        if version.known_at <= by and (version.file not in newest or version.known_at > newest[version.file].known_at):
            newest[version.file] = version
    return [row for row in rows if newest.get(row.version.file) == row.version]


def is_event(row: Row) -> bool:
    """The view's `where` and its key: `kind <> 'void'`, a customer and a time."""
    return row.customer is not None and row.at is not None and row.kind is not None and row.kind != "void"


def is_sale(row: Row) -> bool:
    """The view's event `sale`: `qty > 0`."""
    return row.qty is not None and row.qty > 0


def std(values: Sequence[float]) -> float | None:
    """Of the population."""
    if not values:
        return None
    mean = sum(values) / len(values)
    return sqrt(sum((v - mean) ** 2 for v in values) / len(values))


def aggregates(events: Sequence[Row], zone: str) -> dict[str, Any]:
    """Every aggregate function once or more over some events: the columns that a window, or a horizon, has."""
    sales = [e for e in events if is_sale(e)]
    amounts = [e.amount for e in sales if e.amount is not None]
    every_amount = [e.amount for e in events if e.amount is not None]
    numbers = [e.qty for e in events if e.qty is not None]
    dated = sorted((e.at, e.item) for e in events if e.at is not None and e.item is not None)
    sold = sorted((e.at, e.amount) for e in sales if e.at is not None and e.amount is not None)
    return {
        "events_seen": len(events),
        "sales": len(sales),
        "total": sum(amounts, Decimal(0)),
        "quantity": float(sum(numbers)),
        "mean_amount": float(sum(amounts, Decimal(0)) / len(amounts)) if amounts else None,
        "mean_qty": sum(numbers) / len(numbers) if numbers else None,
        "low": float(min(numbers)) if numbers else None,
        "high": max(amounts) if amounts else None,
        "spread": std([float(n) for n in numbers]),
        "spread_amount": std([float(a) for a in every_amount]),
        "first_item": dated[0][1] if dated else None,
        "last_item": dated[-1][1] if dated else None,
        "last_amount": sold[-1][1] if sold else None,
        "items": len({e.item for e in events if e.item is not None}),
        "sale_items": len({e.item for e in sales if e.item is not None}),
        "sale_set": sorted({e.item for e in sales if e.item is not None}),
        "qty_set": sorted({str(e.qty) for e in events if e.qty is not None}),
        "days": len({local_day(e.at, zone) for e in sales if e.at is not None}),
    }


def features(
    rows: Sequence[Row], versions: Sequence[Version], day: date, zone: str, delay_days: int, windows: Mapping[str, int | None]
) -> dict[str, dict[str, Any]]:
    """Customer → feature columns at the `as_of` that begins `day`. A customer without any event before it has no row."""
    by = midnight(day - timedelta(days=delay_days), zone)
    past = [r for r in known(rows, versions, by) if is_event(r) and r.at is not None and local_day(r.at, zone) < day]
    found = {}
    for customer in {r.customer for r in past if r.customer is not None}:
        own = [r for r in past if r.customer == customer]
        columns: dict[str, Any] = {}
        for name, length in windows.items():
            inside = [r for r in own if r.at is not None and (length is None or local_day(r.at, zone) >= day - timedelta(days=length))]
            columns |= {f"{column}_{name}": value for column, value in aggregates(inside, zone).items()}
        sale_days = [local_day(r.at, zone) for r in own if r.at is not None and is_sale(r)]
        columns["recency_days"] = (day - max(sale_days)).days if sale_days else None
        columns["tenure_days"] = (day - min(local_day(r.at, zone) for r in own if r.at is not None)).days
        columns["share"] = columns["sales_1d"] / columns["sales_all"] if columns["sales_all"] else None
        found[customer] = columns
    return found


def outcomes(
    rows: Sequence[Row], versions: Sequence[Version], day: date, zone: str, known_by: datetime, horizon_days: int
) -> dict[str, dict[str, Any]]:
    """Customer → aggregates over the local days [day, day + horizon), as known at an instant; only customers with an event there."""
    end = day + timedelta(days=horizon_days)
    then = [r for r in known(rows, versions, known_by) if is_event(r) and r.at is not None and day <= local_day(r.at, zone) < end]
    return {c: aggregates([r for r in then if r.customer == c], zone) for c in {r.customer for r in then if r.customer is not None}}


def as_of_join(
    spine: Sequence[tuple[Any, ...]], right: Sequence[tuple[Any, ...]], max_age: timedelta | None
) -> list[tuple[tuple[Any, ...], tuple[Any, ...] | None]]:
    """Spine rows (key…, instant) each with the newest right row (key…, instant, value) at or before it; of equals the greatest value.

    A null key or instant is not known, and meets nothing. Nulls are smaller than any value.
    """

    def rank(row: tuple[Any, ...]) -> tuple[Any, ...]:
        return (row[-2], row[-1] is not None, row[-1] if row[-1] is not None else 0)

    joined = []
    for row in spine:
        *key, at = row
        fits = [r for r in right if at is not None and None not in key and list(r[:-2]) == key and r[-2] is not None and r[-2] <= at]
        best = max(fits, key=rank, default=None)
        if best is not None and max_age is not None and at - best[-2] > max_age:
            best = None
        joined.append((row, best))
    return joined


def list_sums(chosen: Sequence[Any], shown: Sequence[Any], instead: Sequence[Any], length: int) -> dict[str, float]:
    """What one entity adds to the sums of a ranking's cohort: of its items `shown`, and of those that a rule would have shown."""
    names = ("rows", "recall", "recall2", "ndcg", "hit", "heuristic_recall", "heuristic_ndcg", "chosen")
    if not chosen:
        return dict.fromkeys(names, 0.0)
    possible = min(len(chosen), length)
    ideal = sum(1 / log2(at + 2) for at in range(possible))
    recall, ruled = (sum(item in chosen for item in listed) / possible for listed in (shown, instead))
    gain, by_rule = (sum(1 / log2(at + 2) for at, item in enumerate(listed) if item in chosen) for listed in (shown, instead))
    return dict(
        zip(names, (1.0, recall, recall**2, gain / ideal, float(recall > 0), ruled, by_rule / ideal, float(len(chosen))), strict=True)
    )
