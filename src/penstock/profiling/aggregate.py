"""The two queries over a source's rows, each one scan and one aggregate: first the bounds, then the counts within them.

Two, because a histogram's bins and the categories worth counting are known only after the first. The second also counts
repeated rows: each row gives one entry for each column and one with its own hash, and equal hashes are equal rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

from penstock.lake.expressions import quote
from penstock.monitoring.bins import Bins
from penstock.profiling.subjects import PRESENT, SHARES, TOP, Bounds, Span, Subject

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

ROW = -1
"""The column number under which rows are counted and repeated ones are found."""
_ERROR = 0.02
_ACCURACY = 10_000
_TRACKED = 10_000


def current_rows(landed: DataFrame, files: DataFrame, span: Span, columns: Sequence[str]) -> DataFrame:
    """The source's columns and `__after` of the rows that count: of each file's newest version, of the span's days."""
    from pyspark.sql import functions as F

    newest = files.groupBy("_file").agg(F.max("_known_at").alias("_known_at"), F.max("day").alias("__day"))
    wanted = newest.where(F.col("__day").between(F.lit(span.first), F.lit(span.last)))
    rows = landed.select(*(quote(name) for name in columns), "_file", "_known_at")
    joined = rows.join(F.broadcast(wanted), on=["_file", "_known_at"], how="inner")
    return joined.select(*(quote(name) for name in columns), (F.col("__day") >= F.lit(span.divide)).alias("__after"))


# -- first: bounds ----------------------------------------------------------------------------------------------------


def bounds_query(rows: DataFrame, subjects: Sequence[Subject]) -> DataFrame:
    """One row: `rows`, and for the subject at place i the columns `nulls_i`, `distinct_i` and what its kind has."""
    from pyspark.sql import functions as F

    found = [F.count(F.lit(1)).alias("rows")]
    for place, subject in enumerate(subjects):
        found += [part.alias(f"{name}_{place}") for name, part in _bounds(subject).items()]
    return rows.agg(*found)


def _bounds(subject: Subject) -> dict[str, Column]:
    from pyspark.sql import functions as F

    value = F.col(quote(subject.name))
    found = {"nulls": F.count_if(value.isNull()), "distinct": F.approx_count_distinct(value, _ERROR)}
    if subject.kind == "category":
        # Null would be a category; it has a bin of its own.
        text = f"CAST({quote(subject.name)} AS STRING)"
        found["top"] = F.expr(f"approx_top_k({text}, {TOP}, {_TRACKED}) FILTER (WHERE {quote(subject.name)} IS NOT NULL)")
    elif subject.kind in {"number", "time"}:
        x = _finite(subject)
        found |= {"low": F.min(x), "high": F.max(x), "quantiles": F.percentile_approx(x, list(SHARES), _ACCURACY)}
        if subject.kind == "number":
            found |= {"nans": F.count_if(F.isnan(_double(subject))), "mean": F.avg(x), "std": F.stddev_samp(x)}
    return found


def bounds_of(row: Mapping[str, Any], subjects: Sequence[Subject]) -> tuple[Bounds, ...]:
    """The row of `bounds_query` as values."""
    found = []
    for place in range(len(subjects)):
        own = {name.rpartition("_")[0]: value for name, value in row.items() if name.endswith(f"_{place}")}
        # What stands there once is no category; which of many such the sketch kept would be chance.
        top = sorted((e for e in own.get("top") or () if e["count"] > 1), key=lambda entry: (-entry["count"], entry["item"]))
        found.append(
            Bounds(
                nulls=own["nulls"],
                nans=own.get("nans", 0),
                distinct=own["distinct"],
                low=own.get("low"),
                high=own.get("high"),
                mean=own.get("mean"),
                std=own.get("std"),
                quantiles=tuple(own.get("quantiles") or ()),
                top=tuple(entry["item"] for entry in top),
            )
        )
    return tuple(found)


# -- second: counts ---------------------------------------------------------------------------------------------------


def counts_query(rows: DataFrame, subjects: Sequence[Subject], bins: Sequence[Bins]) -> DataFrame:
    """Rows of (`after`, `column`, `bin`, `rows`, `repeats`): how many rows of each side fall into each bin of each column.

    Column `ROW` has one row, over both sides: all rows, and how many repeat another one (`repeats` says nothing elsewhere).
    """
    from pyspark.sql import functions as F

    entries = [
        _entry(place, _label(subject, own), F.col("__after")) for place, (subject, own) in enumerate(zip(subjects, bins, strict=True))
    ]
    whole = F.xxhash64(*(part for s in subjects for part in (F.col(quote(s.name)), F.col(quote(s.name)).isNull())))
    entries.append(_entry(ROW, whole.cast("string"), F.lit(False)))
    each = rows.select(F.explode(F.array(*entries)).alias("__entry")).select("__entry.*")
    groups = each.groupBy("column", "bin", "after").agg(F.count(F.lit(1)).alias("n"))
    # A row's hash has done its work: only how many rows it stood for goes on.
    shown = F.when(F.col("column") != ROW, F.col("bin")).alias("bin")
    return groups.groupBy("after", "column", shown).agg(F.sum("n").alias("rows"), F.sum(F.col("n") - 1).alias("repeats"))


def _entry(place: int, label: Column, after: Column) -> Column:
    from pyspark.sql import functions as F

    return F.struct(F.lit(place).alias("column"), label.alias("bin"), after.alias("after"))


def _label(subject: Subject, bins: Bins) -> Column:
    """The bin of a row as text, by the names of `subjects.bin_keys`."""
    from pyspark.sql import functions as F

    value = F.col(quote(subject.name))
    if bins.kind == "category":
        text = F.lit(PRESENT) if subject.kind == "personal" else value.cast("string")
        known = text.isin(*bins.categories) if bins.categories else F.lit(False)
        return F.when(value.isNull(), "NULL").when(known, F.concat(F.lit("="), text)).otherwise("OTHER")
    x = _number(subject)
    labelled = F.when(value.isNull(), "NULL")
    if subject.kind == "number":
        labelled = labelled.when(F.isnan(x), "NaN")
    return labelled.otherwise(_place(x, bins.edges).cast("string"))


def _place(x: Column, edges: Sequence[float]) -> Column:
    """How many edges are at or below the value. The bins are equally wide, but for the last, which may be narrower."""
    from pyspark.sql import functions as F

    if len(edges) < 2:
        return reduce(lambda count, edge: count + (x >= F.lit(edge)).cast("int"), edges, F.lit(0))
    low, high, steps = edges[0], edges[-1], len(edges) - 1
    inside = F.least(F.floor((x - F.lit(low)) / F.lit(edges[1] - low)), F.lit(steps - 1)) + 1
    return F.when(x < F.lit(low), F.lit(0)).when(x >= F.lit(high), F.lit(steps + 1)).otherwise(inside).cast("int")


def _number(subject: Subject) -> Column:
    """A number or time as a double."""
    from pyspark.sql import functions as F

    value = F.col(quote(subject.name))
    if subject.type == "timestamp":
        return F.unix_micros(value) / F.lit(1e6)
    return F.unix_date(value).cast("double") if subject.type == "date" else _double(subject)


def _double(subject: Subject) -> Column:
    from pyspark.sql import functions as F

    return F.col(quote(subject.name)).cast("double")


def _finite(subject: Subject) -> Column:
    """The number where it is one: neither NaN nor infinite."""
    from pyspark.sql import functions as F

    x = _number(subject)
    return F.when(F.abs(x) < F.lit(float("inf")), x)
