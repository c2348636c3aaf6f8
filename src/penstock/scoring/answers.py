"""What scored rows come to, by kind: a score of each entity is its answer; of the items of a ranking the best make a list."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.lake import tables
from penstock.stage import Run

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

SOURCE = "source"
"""The column of a candidate that says where it comes from."""
_CONTROL = "__control"
"""What orders the control group's lists; a copy, since a model may take the column itself."""


class Answers(ABC):
    """What scoring asks of a kind. `columns` are those of the answer in the predictions."""

    columns: tuple[tables.Column, ...]
    carried: tuple[tables.Column, ...] = ()
    """Columns that go past the model beside the key, for `made`."""

    def beside(self, run: Run, rows: DataFrame) -> DataFrame:  # noqa: ARG002 - nothing is carried
        """The rows to score with the carried columns."""
        return rows

    @abstractmethod
    def made(self, run: Run, scored: DataFrame) -> DataFrame:
        """One row for each entity and `as_of`: key, `as_of`, the columns, and `reasons`."""


class _Scores(Answers):
    columns = tables.SCORE

    def made(self, run: Run, scored: DataFrame) -> DataFrame:  # noqa: ARG002 - they are answers
        return scored


class _Lists(Answers):
    columns = tables.ITEMS
    carried = ((SOURCE, "string"), (_CONTROL, "double"))

    def beside(self, run: Run, rows: DataFrame) -> DataFrame:
        from pyspark.sql import functions as F

        return rows.withColumn(_CONTROL, F.col(run.pipeline.control_baseline).cast("double"))

    def made(self, run: Run, scored: DataFrame) -> DataFrame:
        from pyspark.sql import functions as F

        by, length = [*(name for name, _ in run.key), "as_of"], run.pipeline.lists.length
        ranks = scored.withColumns({"__rank": _rank(by, "score"), "__instead": _rank(by, _CONTROL)})
        shown = ranks.where((F.col("__rank") <= length) | (F.col("__instead") <= length))
        lists = [_best("__rank", "score", length).alias("items"), _best("__instead", _CONTROL, length).alias("instead")]
        return shown.groupBy(*by).agg(*lists).withColumn("reasons", F.lit(None).cast("array<string>"))


def _rank(by: Sequence[str], value: str) -> Column:
    """The place of an item, from 1: by value, of equals by the item, and those without a value last."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    order = (F.col(value).desc_nulls_last(), F.col(tables.ITEM[0]))
    return F.row_number().over(Window.partitionBy(*by).orderBy(*order).rowsBetween(Window.unboundedPreceding, Window.currentRow))


def _best(rank: str, value: str, length: int) -> Column:
    """The items of ranks up to `length`, in order, as `tables.ITEMS` has them."""
    from pyspark.sql import functions as F

    score = F.coalesce(F.col(value), F.lit(0.0)).alias("score")
    one = F.struct(F.col(rank).alias("rank"), F.struct(F.col(tables.ITEM[0]), score, F.col(SOURCE)).alias("shown"))
    on = F.when(F.col(rank) <= length, one)
    return F.transform(F.array_sort(F.collect_list(on)), lambda placed: placed["shown"])


_ANSWERS: dict[str, Answers] = {"classification": _Scores(), "regression": _Scores(), "ranking": _Lists()}


def of(kind: str) -> Answers:
    """Those of a kind."""
    return _ANSWERS[kind]
