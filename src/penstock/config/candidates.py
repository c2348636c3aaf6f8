"""`candidates:` of a view: which items may be shown to an entity, and where they come from."""

from __future__ import annotations

from penstock.config.types import Name
from penstock.config.values import Frozen

COMMON = "item_common"


class Candidates(Frozen):
    """Placeholder."""

    items: Name

    def columns(self) -> tuple[tuple[str, str], ...]:
        """Placeholder."""
        return (
            ("source", "string"),
            *((n, "double") for n in ("own", "own_days", "own_count", "popular", "item_common", "own_then_popular")),
        )
