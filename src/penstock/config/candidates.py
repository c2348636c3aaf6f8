"""Which items may be shown to an entity at all: sources that each bring a few, in order of their strength.

A ranking scores pairs of an entity and an item. All pairs would be too many; each source names the likely ones by a rule
that a person can check, and a candidate carries the name of the first source that brought it.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from penstock.config.types import Name
from penstock.config.values import Frozen

SourceName = Literal["own", "together", "factors", "group", "popular", "rising"]
FEATURES = (
    *("own_days", "own_recent_30d", "own_recent_120d", "own_days_since_last", "own_days_between", "own_visits_since_last"),
    *("own_visit_share", "together_score", "factor_score", "own_rank", "together_rank", "factor_rank"),
    *("item_takers_7d", "item_takers_28d", "item_takers_90d", "item_new_takers_28d", "item_trend_7d", "item_trend_28d"),
    *("item_days_since_last", "item_repeat_share", "item_common", "group_takers_28d", "group_takers_90d", "own_then_popular"),
)
"""The columns of a candidate that a model may take, all double: what `features.candidates` makes."""
_SAID_BY = {"own": ("own_rank",), "together": ("together_score", "together_rank"), "factors": ("factor_score", "factor_rank")}
"""Of them those that one source alone fills in, by source."""
COMMON = "item_common"
"""The one that says how common an item is: the share of the entities of the last 90 days that took it."""


class OwnHistory(Frozen):
    """Items that the entity took before: the sum over the days on which it did of exp(-age in days / `decay_days`)."""

    limit: int = Field(default=60, ge=1, le=1000)
    decay_days: float = Field(default=120, gt=0)


class Together(Frozen):
    """Items that go with the entity's newest ones: those of the most similar takers, by the cosine of who took them."""

    limit: int = Field(default=40, ge=1, le=1000)
    window_days: int = Field(default=180, ge=1, le=3650)
    basket: int = Field(default=15, ge=2, le=1000)
    """How many of an entity's newest items count."""
    neighbours: int = Field(default=20, ge=1, le=1000)
    """How many of the nearest items of each are kept."""
    least: int = Field(default=2, ge=1)
    """Entities that took both, for two items to go together at all."""


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

    items: Name
    """The view's aggregate with `collect_set` that says what an entity took."""
    group_by: Name | None = None
    """The view's column, of text, that says an entity's group, such as its country."""
    own: OwnHistory | None = OwnHistory()
    together: Together | None = Together()
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
            "together": self.together,
            "factors": self.factors,
            "group": self.group,
            "popular": self.popular,
            "rising": self.rising,
        }
        return tuple(name for name, source in given.items() if source is not None)

    def columns(self) -> tuple[tuple[str, str], ...]:
        """Names and types of the columns beside key, `as_of` and item."""
        return (("source", "string"), *((name, "double") for name in FEATURES))

    def taken(self) -> tuple[str, ...]:
        """The columns that a model may take: not those of a source that is null, which say nothing of any pair."""
        silent = {column for name, columns in _SAID_BY.items() if name not in self.sources for column in columns}
        return tuple(name for name in FEATURES if name not in silent)

    @model_validator(mode="after")
    def _some_source(self) -> Self:
        if not self.sources:
            raise ValueError("candidates: got no source, expected at least one of own, together, factors, group, popular, rising")
        return self
