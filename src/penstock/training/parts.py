"""A trained model taken apart at the estimator's door, so that the prepared matrix can be scored and explained at once."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from sklearn.calibration import CalibratedClassifierCV
from sklearn.pipeline import Pipeline


@dataclass(frozen=True)
class Parts:
    """`head.predict_proba(transform(frame))` is the model's own `predict_proba(frame)`, bit for bit."""

    steps: list[tuple[str, Any]]
    """What comes before the estimator, by name."""
    transform: Any
    """From the model's frame to the matrix (rows x columns, float64) that the estimator takes."""
    estimator: Any
    head: Any
    """The estimator with its calibration."""
    sign: int
    """-1 when the calibration turns the estimator's order round, else 1."""


def parts_of(model: Any) -> Parts | None:
    """The parts of a pipeline, calibrated or not; None for a model of another shape."""
    if isinstance(model, Pipeline):
        return _parts(model, model.steps[-1][1], 1)
    inner: list[Any] = getattr(model, "calibrated_classifiers_", []) if isinstance(model, CalibratedClassifierCV) else []
    if len(inner) != 1 or not isinstance(inner[0].estimator, Pipeline):
        return None
    pipeline = inner[0].estimator
    calibrated, head = copy.copy(inner[0]), copy.copy(model)
    calibrated.estimator = pipeline.steps[-1][1]
    head.calibrated_classifiers_ = [calibrated]
    # The matrix has no names of columns, and asking for them would only bring a warning.
    vars(head).pop("feature_names_in_", None)
    vars(head).pop("n_features_in_", None)
    slope = getattr(calibrated.calibrators[0], "a_", -1.0)  # of 1 / (1 + exp(a * margin + b))
    return _parts(pipeline, head, -1 if slope > 0 else 1)


def _parts(pipeline: Pipeline, head: Any, sign: int) -> Parts | None:
    if len(pipeline.steps) < 2:
        return None
    return Parts(pipeline.steps[:-1], pipeline[:-1].transform, pipeline.steps[-1][1], head, sign)
