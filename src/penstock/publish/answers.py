"""How answers look to those who read them, by kind: in the latest table, in the CRM table, and in Redis."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from penstock.config.publish import PublishConfig
from penstock.lake import tables
from penstock.publish.served import Shape

if TYPE_CHECKING:
    from pyspark.sql import Column

REASONS = ("reason_1", "reason_2", "reason_3")
"""Words, and no business values: they are written with the score that they belong to, and do not move a row by themselves."""


class Shown(ABC):
    """What publishing asks of a kind."""

    answer: tuple[tables.Column, ...]
    """The answer's columns in the predictions."""
    more: tuple[tables.Column, ...] = ()
    """What the latest table has beside them."""
    shape: Shape
    """The shape of a value in Redis."""

    @property
    def latest_business(self) -> tuple[str, ...]:
        """Columns of the latest table whose change is a change for its readers."""
        return (*(name for name, _ in (*self.answer, *self.more)), "is_control", "is_active")

    @abstractmethod
    def published(self, config: PublishConfig) -> dict[str, Column]:
        """The answer's columns as they are published, and `more`, from those of the predictions."""

    @abstractmethod
    def crm(self, column: str) -> tuple[tables.Column, ...]:
        """The columns of the CRM table; `column` names the answer there."""

    @abstractmethod
    def crm_business(self, column: str) -> tuple[str, ...]:
        """Those whose change moves a row."""

    @abstractmethod
    def crm_values(self, column: str) -> dict[str, Column]:
        """Each from the latest table's columns."""

    values: tuple[tables.Column, ...]
    """What a value in Redis is made of, and a fallback."""

    @abstractmethod
    def is_told(self) -> Column:
        """Whether an entity of the predictions is in Redis at all."""

    @abstractmethod
    def told(self, config: PublishConfig) -> dict[str, Column]:
        """The columns of `values`, from those of the predictions or of the latest table."""


class _Scores(Shown):
    answer, more, shape = tables.SCORE, (("band", "string"),), "score"
    values = (*answer, *more)

    def published(self, config: PublishConfig) -> dict[str, Column]:
        from pyspark.sql import functions as F

        rounded = F.round("score", config.digits)
        return {"score": rounded, "band": band(rounded, config)}

    def crm(self, column: str) -> tuple[tables.Column, ...]:
        return ((column, "double"), ("risk_band", "string"), *((name, "string") for name in REASONS))

    def crm_business(self, column: str) -> tuple[str, ...]:
        return (column, "risk_band", "is_active")

    def crm_values(self, column: str) -> dict[str, Column]:
        from pyspark.sql import functions as F

        words = {name: F.get("reasons", at) for at, name in enumerate(REASONS)}
        return {column: F.col("score"), "risk_band": F.col("band"), **words}

    def is_told(self) -> Column:
        from pyspark.sql import functions as F

        return ~F.col("is_control")

    def told(self, config: PublishConfig) -> dict[str, Column]:
        return self.published(config)


class _Lists(Shown):
    answer, shape = tables.ITEMS, "items"
    values = answer[:1]

    def published(self, config: PublishConfig) -> dict[str, Column]:
        return {name: _rounded(name, config.digits) for name, _ in self.answer}

    def crm(self, column: str) -> tuple[tables.Column, ...]:
        return ((column, "string"),)

    def crm_business(self, column: str) -> tuple[str, ...]:
        return (column, "is_active")

    def crm_values(self, column: str) -> dict[str, Column]:
        """The items in order, with semicolons between them."""
        from pyspark.sql import functions as F

        return {column: F.array_join(F.col("items.item"), ";")}

    def is_told(self) -> Column:
        """Everybody is shown something: the control group its own list."""
        from pyspark.sql import functions as F

        return F.lit(True)

    def told(self, config: PublishConfig) -> dict[str, Column]:
        from pyspark.sql import functions as F

        return {"items": F.when(F.col("is_control"), _rounded("instead", config.digits)).otherwise(_rounded("items", config.digits))}


def band(score: Column, config: PublishConfig) -> Column:
    """The name of the last band whose lower bound the rounded score reaches; empty without bands."""
    from pyspark.sql import functions as F

    named = F.lit("")
    for name, lower in config.bounds():
        named = F.when(score >= F.lit(float(lower)), F.lit(name)).otherwise(named)
    return named


def _rounded(column: str, digits: int) -> Column:
    """A list with its scores rounded."""
    from pyspark.sql import functions as F

    return F.transform(
        column, lambda one: F.struct(one["item"].alias("item"), F.round(one["score"], digits).alias("score"), one["source"].alias("source"))
    )


_SHOWN: dict[str, Shown] = {"classification": _Scores(), "regression": _Scores(), "ranking": _Lists()}


def of(kind: str) -> Shown:
    """That of a kind."""
    return _SHOWN[kind]
