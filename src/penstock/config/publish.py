"""How scores leave the lake: risk bands, rounding, the control group and Redis."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from penstock.config.types import Name
from penstock.config.values import Frozen


class Band(Frozen):
    """Scores from `lower` (inclusive) up to the next band's bound are called `name`."""

    name: Annotated[str, Field(min_length=1, max_length=16)]
    lower: float
    """Lower bound in units of the score; `-.inf` for the first band where scores can be negative."""


class RedisConfig(Frozen):
    """Publishing to Redis."""

    enabled: bool = True
    url_env: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")] = "PENSTOCK_REDIS_URL"
    """Name of the environment variable that holds the address (it may carry a password); unset: a private local server."""

    bucket_fields: Annotated[int, Field(ge=1, le=400)] = 100
    """Entities a bucket, on average; more than the server's `hash-max-listpack-entries` doubles the memory."""

    mode: Literal["whole", "changes"] = "whole"
    """`whole`: each publication writes a set of its own beside the old one, then moves one pointer. `changes`: it writes what has
    changed into the set that readers see, for sets too large to be held twice; they may then see some entities new and others old."""

    writer: Literal["executors", "driver"] = "executors"
    """Who sends: every worker of Spark over a connection of its own, or the driver alone where workers have no way to Redis."""

    format: Literal["json", "msgpack"] = "json"
    """How a value is written; for MessagePack readers need the extra `penstock[msgpack]`."""

    max_drop: Annotated[float, Field(ge=0, le=1)] = 0.5
    """A set that loses more than this share of the entities that readers have now is refused (`--allow-drop`)."""

    max_value_bytes: Annotated[int, Field(ge=64, le=512 * 1024 * 1024)] = 524_288
    """A value over this is refused: a longer one belongs into an object store, and holds Redis up for every other reader."""


class Fallback(Frozen):
    """What is answered for whom nothing was published: the rate of the newest matured outcomes, in a ranking what was chosen most lately."""

    by: Name | None = None
    """The column of the view by whose values entities are alike (`country`); all are alike when absent."""
    days: int = Field(default=28, ge=1, le=400)
    """In a ranking: how far back."""
    min_entities: int = Field(default=20, ge=1)
    """A group in which fewer entities have an outcome, or chose an item, says nothing of its own: it gets what everybody gets."""


class PublishConfig(Frozen):
    """`publish:` of a pipeline."""

    bands: tuple[Band, ...] = (Band(name="low", lower=0.0), Band(name="medium", lower=0.4), Band(name="high", lower=0.7))
    """Ascending; empty for rankings and plain values."""

    digits: Annotated[int, Field(ge=0, le=12)] = 4
    """Decimal digits of a published score. A change beyond them is no change for the CRM's feed."""

    control_share: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of entities that are scored but withheld from CRM and Redis, so that the effect of acting can be measured."""

    control_salt: Annotated[str, Field(min_length=1)] = "control-1"
    """Another salt draws another control group; a larger share under the same salt contains the smaller one."""

    fallback: Fallback = Fallback()
    redis: RedisConfig = RedisConfig()

    @model_validator(mode="after")
    def _bands_ascend(self) -> PublishConfig:
        names = [band.name for band in self.bands]
        if len(set(names)) < len(names):
            raise ValueError(f"bands: got a name twice in {names}, expected different names")
        if any(not low.lower < high.lower for low, high in pairwise(self.bands)) or any(b.lower != b.lower for b in self.bands):
            raise ValueError(f"bands: got lower bounds {[b.lower for b in self.bands]}, expected them to ascend")
        return self

    def bounds(self) -> tuple[tuple[str, float], ...]:
        """The bands as (name, lower bound), for `record.band_of`."""
        return tuple((band.name, band.lower) for band in self.bands)
