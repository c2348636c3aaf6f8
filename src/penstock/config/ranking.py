"""`ranking:` of a pipeline that shows each entity a list of items."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from penstock.config.types import Name
from penstock.config.values import Frozen


class Ranking(Frozen):
    """How long a list is, and what the control group sees in place of the model's."""

    length: int = Field(default=20, ge=1, le=500)
    """Items a list (the K of recall@K)."""
    family: Annotated[str, Field(min_length=1, max_length=100)] = ".*"
    """What of an item's text is the same in all variants of it, as a regular expression (`^[0-9]+` of 85123A): a fallback shows one of
    them. Every item by itself when absent."""
    control: Name | None = None
    """The baseline by which the control group's list is ordered; the first of `training.baselines` when absent."""
