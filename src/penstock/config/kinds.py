"""What of a pipeline's configuration fits the kind of its prediction: defaults that depend on it, and faults in words.

For a regression every threshold of the gates and of the monitoring is a share: of the other's mean absolute error, or of the
labels' mean. Nothing here knows how anything is computed; `penstock.kinds` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Literal

from penstock.config.monitoring import MonitoringConfig
from penstock.config.publish import PublishConfig
from penstock.config.purpose import Purpose
from penstock.config.training import Calibration, TrainingConfig

KindName = Literal["classification", "regression", "ranking"]
LABEL_TYPES = MappingProxyType({"classification": "double", "regression": "double", "ranking": "array<string>"})
"""The Spark type of a kind's label: a number, or the items that an entity chose."""
REGRESSOR = "sklearn.ensemble.HistGradientBoostingRegressor"
_SHARE = 0.1
"""Of the error or the mean: a change below a tenth of it does not matter in practice."""


def purpose(kind: KindName, given: Purpose) -> Purpose:
    """Raises ValueError for amounts of a decision on probabilities in a pipeline that has none."""
    if kind != "classification" and given.worth is not None:
        raise ValueError(f"worth: got amounts of right and wrong decisions, which need a probability; expected none in a {kind}")
    return given


def training(kind: KindName, given: TrainingConfig) -> TrainingConfig:
    """With the kind's own defaults. Raises ValueError with all that does not fit."""
    faults = list(_TRAINING_FAULTS[kind](given))
    if faults:
        raise ValueError("; ".join(faults))
    if kind == "classification":
        return given
    uncalibrated = given.model_copy(update={"calibration": Calibration(method="none")})
    if kind == "ranking":
        return uncalibrated
    candidates = tuple(
        one if "estimator" in one.model_fields_set else one.model_copy(update={"estimator": REGRESSOR}) for one in given.candidates
    )
    return uncalibrated.model_copy(update={"candidates": candidates})


def monitoring(kind: KindName, given: MonitoringConfig) -> MonitoringConfig:
    """With the kind's own metric and floors where none are given. Raises ValueError for the other kind's metric."""
    metric = _METRICS[kind]
    if "metric" in given.performance.model_fields_set and given.performance.metric != metric:
        raise ValueError(f"performance.metric: got {given.performance.metric}, expected {metric} in a {kind}")
    if kind == "classification":
        return given
    loss = _SHARE if kind == "regression" else given.performance.max_loss
    performance = {"metric": metric} | ({} if "max_loss" in given.performance.model_fields_set else {"max_loss": loss})
    changed = {"performance": given.performance.model_copy(update=performance)}
    rates = {"calibration": given.calibration, "label_rate": given.label_rate}
    if kind == "ranking":
        # A list claims no probability, and how much is bought is the season's doing: neither is a reason to train.
        said = {name for name, rate in rates.items() if name in given.model_fields_set and "action" in rate.model_fields_set}
        quiet = {name: rate.model_copy(update={"action": "off"}) for name, rate in rates.items() if name not in said}
        return given.model_copy(update=changed | quiet)
    floors = {name: rate.model_copy(update={"floor": _SHARE}) for name, rate in rates.items() if "floor" not in rate.model_fields_set}
    return given.model_copy(update=changed | floors)


def publish(kind: KindName, given: PublishConfig) -> PublishConfig:
    """Without bands where none are given and the score is no probability."""
    if kind == "classification" or "bands" in given.model_fields_set:
        return given
    return given.model_copy(update={"bands": ()})


def _orders(given: TrainingConfig, kind: KindName) -> Iterator[str]:
    for one in given.baselines:
        if one.constant:
            yield f"baselines: {one.name}: constant: got {one.constant}, which ranks nothing, expected a column in a {kind}"
        elif one.higher_means is None:
            yield f"baselines: {one.name}: higher_means: missing, expected positive or negative"


def _of_classification(given: TrainingConfig) -> Iterator[str]:
    yield from _orders(given, "classification")
    if "max_bias" in given.gates.model_fields_set:
        yield "gates.max_bias: got a bound for values, expected max_calibration_error in a classification"


def _of_regression(given: TrainingConfig) -> Iterator[str]:
    if "calibration" in given.model_fields_set and given.calibration.method != "none":
        yield f"calibration.method: got {given.calibration.method}, which makes probabilities, expected no calibration in a regression"
    for candidate in given.candidates:
        if candidate.class_weight:
            yield f"candidates: {candidate.name}: class_weight: got {candidate.class_weight}, expected none: a regression has no classes"
    for one in given.baselines:
        if one.higher_means is not None:
            yield f"baselines: {one.name}: higher_means: got {one.higher_means}, expected none: the column itself is the value foretold"
    for name, instead in (("max_calibration_error", "max_bias"), ("max_profit_loss", "none")):
        if name in given.gates.model_fields_set:
            yield f"gates.{name}: got a bound for probabilities, expected {instead} in a regression"


def _of_ranking(given: TrainingConfig) -> Iterator[str]:
    yield from _orders(given, "ranking")
    if "calibration" in given.model_fields_set and given.calibration.method != "none":
        yield f"calibration.method: got {given.calibration.method}, expected none in a ranking, whose scores only order"
    for name in ("max_calibration_error", "max_profit_loss", "max_bias"):
        if name in given.gates.model_fields_set:
            yield f"gates.{name}: got a bound for probabilities or values, expected min_coverage in a ranking"


_METRICS = MappingProxyType({"classification": "auc", "regression": "mae", "ranking": "recall"})
_TRAINING_FAULTS: dict[str, Callable[[TrainingConfig], Iterator[str]]] = {
    "classification": _of_classification,
    "regression": _of_regression,
    "ranking": _of_ranking,
}
