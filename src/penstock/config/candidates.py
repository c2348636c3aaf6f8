"""Which items may be shown to an entity at all: sources that each bring a few, in order of their strength.

A ranking scores pairs of an entity and an item. All pairs would be too many; each source names the likely ones by a rule
that a person can check, and a candidate carries the name of the first source that brought it.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from penstock.config.values import Frozen

SourceName = Literal["own", "factors", "group", "popular", "rising"]


class OwnHistory(Frozen):
    """Items that the entity took before: the sum over the days on which it did of exp(-age in days / `decay_days`)."""

    limit: int = Field(default=60, ge=1, le=1000)
    decay_days: float = Field(default=120, gt=0)


class Popular(Frozen):
    """Items that the most entities took in the last `window_days` days."""

    limit: int = Field(default=20, ge=1, le=1000)
    window_days: Literal[7, 28, 90] = 28


class Factors(Frozen):
    """Items nearest to the entity by matrix factorisation of who took what (implicit alternating least squares).

    The strength of a pair is the sum over its days of exp(-age in days / `decay_days`).
    """

    limit: int = Field(default=40, ge=1, le=1000)
    decay_days: float = Field(default=120, gt=0)
    rank: int = Field(default=32, ge=1, le=512)
    iterations: int = Field(default=8, ge=1, le=100)
    regularisation: float = Field(default=0.1, gt=0)
    alpha: float = Field(default=10.0, gt=0)
    """How much more a pair of strength 1 counts than one that never was."""
    seed: int = 7
    blocks: int = Field(default=2, ge=1, le=10_000)
    """Into how many parts users and items are dealt; the factors depend on it, so the machine does not decide it."""


class Candidates(Frozen):
    """The sources of a ranking's candidates and their limits; a source that is null brings none."""

    own: OwnHistory | None = OwnHistory()
    factors: Factors | None = Factors()
    group: Popular | None = Popular(limit=10, window_days=90)
    """Popular in the entity's own group, such as its country."""
    popular: Popular | None = Popular()
    rising: Popular | None = Popular(limit=10, window_days=7)
    """Popular over a shorter window than `popular`: what is only now becoming so."""
    sold_within_days: int = Field(default=60, ge=1, le=3650)
    """An item that nobody took in so many days before the `as_of` is taken for withdrawn and never a candidate."""
    limit: int = Field(default=150, ge=1, le=5000)
    """At most so many candidates an entity; what a later source brings goes first, and of one source the lower ranks."""

    @property
    def sources(self) -> tuple[SourceName, ...]:
        """The sources that bring candidates, strongest first."""
        given: dict[SourceName, Frozen | None] = {
            "own": self.own,
            "factors": self.factors,
            "group": self.group,
            "popular": self.popular,
            "rising": self.rising,
        }
        return tuple(name for name, source in given.items() if source is not None)

    @model_validator(mode="after")
    def _some_source(self) -> Self:
        if not self.sources:
            raise ValueError("candidates: got no source, expected at least one of own, factors, group, popular, rising")
        return self
