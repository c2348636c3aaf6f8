"""What is refused although it could be written: an empty set, far fewer entities than readers have now, values too long for a cache; pure."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.errors import RefusedError
from penstock.publish.facts import entities
from penstock.publish.generation import Guards, PublishFacts, Tally

_AS_IT_WAS = "The published set is as it was"


def check_facts(pipeline: str, meta: Mapping[bytes, bytes], facts: PublishFacts, guards: Guards) -> None:
    """Raise RefusedError for an empty set or too large a drop against `meta`, the facts of what readers see now ({}: nothing)."""
    if (facts.count if facts.entities is None else facts.entities) < 1 and not guards.allow_empty:
        raise RefusedError(
            f"rows to publish of {pipeline}",
            got="none",
            expected="at least one: an empty generation would wipe what the applications read",
            left=_AS_IT_WAS,
            next=f"look why there is none; {_again(pipeline, guards)} --allow-empty if that is meant",
        )
    before, now = entities(meta, facts)
    if before and not guards.allow_drop and now < before * (1 - guards.max_drop) and not (now == 0 and guards.allow_empty):
        raise RefusedError(
            f"entities to publish of {pipeline}",
            got=f"{now}",
            expected=f"at least {1 - guards.max_drop:.0%} of the {before} that readers have (publish.redis.max_drop)",
            left=_AS_IT_WAS,
            next=f"look where they went; {_again(pipeline, guards)} --allow-drop if that is meant",
        )


def check_long(pipeline: str, tally: Tally, guards: Guards, left: str = _AS_IT_WAS) -> None:
    """Raise RefusedError when values were left out since they are too long."""
    if tally.too_long:
        raise RefusedError(
            f"values to publish of {pipeline}",
            got=f"{tally.too_long} over {guards.max_value_bytes} bytes",
            expected="none (publish.redis.max_value_bytes)",
            left=left,
            next="publish fewer columns or items for an entity, or raise publish.redis.max_value_bytes",
        )


def _again(pipeline: str, guards: Guards) -> str:
    return guards.command or f"penstock publish {pipeline} --as-of DATE"
