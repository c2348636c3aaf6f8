"""Why a pipeline exists: its question, its owner, its KPI, and what a right and a wrong decision is worth.

Acting on a row costs something and is worth something when its label would have been 1; not acting is worth nothing.
From that alone follow the probability at which acting breaks even, the risk bands and the KPI.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, model_validator

from penstock.config.values import Frozen

Amount = Annotated[float, Field(allow_inf_nan=False)]

PLACES = 9
"""The break-even probability is rounded to so many places: 0.1 * 3 in floating point must not move a band."""


class Kpi(Frozen):
    """The figure that the owner answers for: the profit of acting on one list, that is, on one `as_of`'s scores."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    target: Amount | None = None
    """Profit a list, in the currency of `worth`; without one the KPI is reported and judged by nobody."""


class Worth(Frozen):
    """What acting is worth: in neutral words (`right`, `wrong`), or in those of a campaign that saves customers, which give the two."""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    """ISO 4217, such as GBP."""
    right: Amount | None = None
    """Of acting on a row whose label is 1, its cost taken off: above 0."""
    wrong: Amount | None = None
    """Of acting on a row whose label is 0: below 0."""
    contact_cost: Amount | None = None
    """Of acting on anybody."""
    margin_saved: Amount | None = None
    """On a row whose label would have been 1 and no longer is."""
    share_saved: Amount | None = None
    """Of the rows whose label would have been 1, those that acting turns."""

    @model_validator(mode="after")
    def _is_a_decision(self) -> Worth:
        neutral, campaign = (self.right, self.wrong), (self.contact_cost, self.margin_saved, self.share_saved)
        if not (None not in neutral and campaign == (None,) * 3) and not (None not in campaign and neutral == (None,) * 2):
            raise ValueError("expected either right and wrong, or contact_cost, margin_saved and share_saved")
        if self.share_saved is not None and not 0 < self.share_saved <= 1:
            raise ValueError(f"share_saved: got {self.share_saved:g}, expected a share above 0 and at most 1")
        right, wrong = self.amounts()
        if not right > 0 > wrong or not 0 < break_even(right, wrong) < 1:
            raise ValueError(
                f"got {right:g} for acting on a 1 and {wrong:g} for acting on a 0, expected above 0 and below 0: "
                "the probability at which acting breaks even must lie between 0 and 1"
            )
        return self

    def amounts(self) -> tuple[float, float]:
        """What acting is worth on a row whose label is 1, and on one whose label is 0."""
        if self.right is not None and self.wrong is not None:
            return self.right, self.wrong
        assert self.contact_cost is not None
        assert self.margin_saved is not None
        assert self.share_saved is not None
        return self.share_saved * self.margin_saved - self.contact_cost, -self.contact_cost


class Purpose(Frozen):
    """What a pipeline file opens with. Without `worth` nothing is said of money, and the bands are those of `publish`."""

    question: str
    owner: str
    decision: str = ""
    kpi: Kpi | None = None
    worth: Worth | None = None

    @model_validator(mode="after")
    def _kpi_has_amounts(self) -> Purpose:
        if self.kpi is not None and self.worth is None:
            raise ValueError("kpi: got no worth beside it, expected what a right and a wrong decision is worth")
        return self

    def stakes(self, digits: int) -> Stakes | None:
        """What is at stake in one decision on scores that are published with `digits` decimals; None without `worth`."""
        if self.worth is None:
            return None
        right, wrong = self.worth.amounts()
        kpi = self.kpi or Kpi(name="profit of the list")
        return Stakes(right, wrong, self.worth.currency, kpi.name, kpi.target, digits)


@dataclass(frozen=True)
class Stakes:
    """What one decision is worth: `right` of acting on a 1, `wrong` of acting on a 0, not acting 0; all in `currency`.

    `kpi` is the name of the profit of one list and `target` its target; `digits` are the decimals of a published score.
    """

    right: float
    wrong: float
    currency: str
    kpi: str = "profit of the list"
    target: float | None = None
    digits: int = 4

    @property
    def threshold(self) -> float:
        """The probability at which acting breaks even: who reaches it is on the list."""
        return break_even(self.right, self.wrong)

    def bands(self) -> tuple[tuple[str, float], ...]:
        """Risk bands as (name, lower bound): `high` is the list, `medium` begins at half its threshold."""
        return (("low", 0.0), ("medium", self.threshold / 2), ("high", self.threshold))


def break_even(right: float, wrong: float) -> float:
    """The probability at which `p * right + (1 - p) * wrong` is 0."""
    return round(-wrong / (right - wrong), PLACES)
