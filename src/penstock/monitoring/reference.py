"""What a training leaves for the monitoring: the names under which it does, and the holdout as a reference."""

from __future__ import annotations

import json

from penstock.monitoring.decide import Reference

REFERENCE, PROFILE = "reference.json", "profile.json"


def reference_to_json(reference: Reference) -> str:
    """The reference as text."""
    return json.dumps(reference.__dict__)


def reference_from_json(text: str) -> Reference:
    """The reference that `reference_to_json` wrote."""
    return Reference(**json.loads(text))
