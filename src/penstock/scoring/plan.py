"""Which rows are unscored: pure, over what the tables say.

A model version's cursor stands in the predictions it made: the highest feature-table version among them. Only the
newest `as_of` is scored. A version without predictions scores the newest `as_of` whole, whoever scored it before; an
`as_of` older than the newest scored one is a backfill, and marked so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Scored:
    """What the predictions say: this version's cursor (-1: none yet) and the newest `as_of` that anybody scored, backfills aside.

    `newest` may also be None when it is older than the newest `as_of` with features, where it makes no backfill. A backfill
    counts for the cursor when it was of the `as_of` that is asked for.
    """

    cursor: int
    newest: datetime | None


@dataclass(frozen=True)
class Plan:
    """Feature rows committed in (`after`, `to`] for one `as_of`, to be scored with one model version."""

    version: int | None
    promotion: int
    as_of: datetime | None
    after: int
    to: int
    backfill: bool
    reason: str = ""
    view_version: int = 1
    """The version of the view that the model was trained on, and whose rows alone it scores."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to score; `reason` says why."""
        return bool(self.reason)


def decide(
    version: int | None, promotion: int, newest_features: datetime | None, to: int, scored: Scored, *, view_version: int = 1
) -> Plan:
    """The plan for one run. `newest_features` is the newest `as_of` with features of the model's version of the view, not after the run's."""
    if version is None:
        return Plan(None, 0, None, -1, to, False, "no Production model yet")
    if newest_features is None:
        return Plan(version, promotion, None, -1, to, False, "no feature rows yet", view_version)
    backfill = scored.newest is not None and newest_features < scored.newest
    if scored.cursor >= to:
        return Plan(version, promotion, newest_features, scored.cursor, to, backfill, "no unscored rows", view_version)
    return Plan(version, promotion, newest_features, scored.cursor, to, backfill, "", view_version)
