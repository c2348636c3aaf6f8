"""What a pipeline can predict, each kind one frozen object that the stages ask instead of asking what kind it is.

A further kind is a class beside these and a line in `KINDS`: it answers every question of `Kind`, and the stages
above have what is theirs (how matured rows are summed up, which columns a page has) in tables by the kind's name.
"""

from __future__ import annotations

from penstock.kinds.classification import Classification
from penstock.kinds.kind import Draws, Kind, Level
from penstock.kinds.ranking import Ranking
from penstock.kinds.regression import Regression

__all__ = ["CLASSIFICATION", "KINDS", "RANKING", "REGRESSION", "Draws", "Kind", "Level", "of"]

CLASSIFICATION, REGRESSION, RANKING = Classification(), Regression(), Ranking()
KINDS: dict[str, Kind] = {kind.name: kind for kind in (CLASSIFICATION, REGRESSION, RANKING)}


def of(name: str) -> Kind:
    """The kind of a name; KeyError for another."""
    return KINDS[name]
