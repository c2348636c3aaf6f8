"""What came of a prediction, and what was done about it: the label, the treatment, and the grid of `as_of`s."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from penstock.config.types import Expression, Name
from penstock.config.values import Frozen


class Label(Frozen):
    """The outcome over the `horizon_days` local days from `as_of`.

    It comes from the tiles of the features (`view`), or from a source of its own (`source`) whose rows say what came of an
    entity: outcomes that a CRM sends back, a billing system's cancellations.
    """

    view: Name | None = None
    source: Name | None = None
    """Rows of outcomes: they name the entity by the view's own columns. What a row says counts for each `as_of` whose horizon holds
    its `event_time`, or for the one that its `about` names; of several the newest counts."""
    event_time: Name | None = None
    """With `source`: when the outcome happened."""
    about: Name | None = None
    """With `source`: a date or timestamp that names the `as_of` (by its local day) that the outcome is of."""
    absent: Literal["negative", "unknown"] = "unknown"
    """With `source`: what it means that no outcome came: a label of 0, or none at all (the row is censored until one comes)."""
    horizon_days: int = Field(ge=1, le=3650)
    delay_days: int = Field(default=1, ge=0, le=365)
    """Days after the horizon's end before its cohort can mature (late files)."""
    expression: Expression
    """True or false, or a number: over the view's aggregate names, each taken over the horizon, or over the source's columns."""
    positive: str = "positive"
    """What a label of 1 means, in words; in a regression, what the number is: `pounds spent within 30 days`."""

    @model_validator(mode="after")
    def _has_one_origin(self) -> Label:
        if (self.view is None) == (self.source is None):
            raise ValueError(f"got {'both view and source' if self.view else 'neither view nor source'}, expected one of the two")
        if self.source is None and (self.event_time or self.about or "absent" in self.model_fields_set):
            raise ValueError("event_time, about and absent: got them with view, expected them with source alone")
        if self.source is not None and self.event_time is None:
            raise ValueError("event_time: missing, expected the source's column that says when the outcome happened")
        return self


class Treated(Frozen):
    """What was really done to an entity because of its score, where somebody tells: contacts that a CRM sends back.

    An entity counts as treated at an `as_of` when a row of it that meets `when` happened within `within_days` local days from there.
    """

    source: Name
    event_time: Name
    when: Expression = "true"
    within_days: int = Field(default=7, ge=1, le=365)


class Schedule(Frozen):
    """The grid of `as_of`s: every so many days from the first."""

    first: date
    every_days: int = Field(default=7, ge=1, le=366)
