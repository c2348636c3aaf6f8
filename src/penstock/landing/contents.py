"""What each day of a table holds: how many rows, and a digest of them whatever their order, made in Spark without collecting a row."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from penstock.lake.delta import quoted

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

DAY = "__day"
"""The column with a row's local day; null where the row tells none."""


@dataclass(frozen=True)
class Content:
    """A day's rows: their number, and two sums of hashes of their text."""

    rows: int = 0
    one: int = 0
    two: int = 0

    def __add__(self, other: Content) -> Content:
        """The rows of both."""
        return Content(self.rows + other.rows, self.one + other.one, self.two + other.two)

    @property
    def digest(self) -> str:
        """64 hex digits, the same for the same rows whatever their order.

        Two days with equal digests that are not equal would need two sums of 64-bit hashes (xxhash64 under two seeds) to agree:
        about one in 2**128 for changes that happen. The hash is no cryptographic one: who means to can find such rows, and
        would keep a changed day from landing again, which they could as well do by not writing it.
        """
        return hashlib.sha256(f"{self.rows} {self.one} {self.two}".encode()).hexdigest()


EMPTY = Content().digest


def contents_of(dated: DataFrame) -> dict[date | None, Content]:
    """What each day holds, with the rows that tell none under None; one aggregation."""
    from pyspark.sql import functions as F

    line = _line([F.col(quoted(name)) for name in dated.columns if name != DAY])
    # As decimals: a sum of hashes is far beyond a bigint.
    sums = [F.sum(F.xxhash64(F.lit(seed), line).cast("decimal(20,0)")) for seed in (1, 2)]
    found = dated.groupBy(DAY).agg(F.count("*"), *sums).collect()
    return {day: Content(rows, int(one), int(two)) for day, rows, one, two in found}


def with_undated(found: Mapping[date | None, Content], first: date | None) -> tuple[dict[date | None, Content], date | None]:
    """The rows without a day counted with the first day, and which that is; still under None where no row tells a day."""
    days = sorted(day for day in found if day is not None)
    first = first or next(iter(days), None)
    if None not in found or first is None:
        return dict(found), first
    merged = {day: content for day, content in found.items() if day is not None}
    own: dict[date | None, Content] = {first: merged.get(first, Content()) + found[None]}
    return merged | own, first


def _line(values: Sequence[Column]) -> Column:
    """A row as one text from which its values can be told: each with its length before it, so that no two rows have the same."""
    from pyspark.sql import functions as F

    return F.concat(*(F.coalesce(F.concat(F.length(v).cast("string"), F.lit(":"), v), F.lit("-")) for v in values))
