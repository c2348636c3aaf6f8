"""The untrained model that a candidate's configuration describes: preprocessing and estimator, of known libraries alone.

Everything a score depends on is inside, so that training and scoring cannot differ, and the artefact holds only types
that can be loaded without running code.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectPercentile
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, QuantileTransformer, StandardScaler

from penstock.config.training import Candidate, Preprocessing
from penstock.errors import ConfigError
from penstock.kinds import CLASSIFICATION, Kind
from penstock.training.inputs import Inputs

_LIBRARIES = ("sklearn", "xgboost", "lightgbm")
"""The packages whose estimators may be named; what they leave in an artefact is in `penstock.training.artefact.TRUSTED_TYPES`."""


def estimator_class(path: str) -> type[BaseEstimator]:
    """The estimator of a dotted path. Raises ConfigError when its library is not installed or has none of that name."""
    module_name, _, name = path.rpartition(".")
    library = module_name.split(".")[0]
    if library in _LIBRARIES and importlib.util.find_spec(library) is None:
        raise ConfigError([f"got {path!r}, and {library} is not installed, expected it; pip install 'penstock[boosting]'"])
    found: Any = None
    if library in _LIBRARIES:
        try:
            found = getattr(importlib.import_module(module_name), name, None)
        except ImportError:
            found = None
    ours = isinstance(found, type) and issubclass(found, BaseEstimator) and found.__module__.split(".")[0] == library
    if not ours:
        raise ConfigError([f"got {path!r}, expected the dotted path of an estimator of {', '.join(_LIBRARIES)}"])
    known: type[BaseEstimator] = found
    return known


def estimator_faults(candidate: Candidate, kind: Kind = CLASSIFICATION) -> list[str]:
    """What is wrong with a candidate's estimator and the names of its parameters, as sentences; none when all is well."""
    where = f"training.candidates: {candidate.name}"
    try:
        estimator = estimator_class(candidate.estimator)()
    except ConfigError as error:
        return [f"{where}: estimator: {fault}" for fault in error.faults]
    except TypeError:
        return [f"{where}: estimator: got {candidate.estimator!r}, which cannot be made from parameters alone, expected one that can"]
    if fault := kind.estimator_fault(estimator):
        return [f"{where}: estimator: got {candidate.estimator!r}, {fault}"]
    known = estimator.get_params()
    named = [("params", name) for name in candidate.params] + [("space", name) for name in candidate.space]
    faults = [
        f"{where}: {place}: got {name!r}, expected a parameter of {candidate.estimator}: {', '.join(sorted(known))}"
        for place, name in named
        if name not in known
    ]
    if candidate.class_weight and "class_weight" not in known:
        faults.append(f"{where}: class_weight: got {candidate.class_weight}, and {candidate.estimator} takes none, expected no such key")
    return faults


def estimator_of(candidate: Candidate, params: Mapping[str, Any], seed: int) -> BaseEstimator:
    """The untrained estimator with the fixed parameters, `params` on top, one thread, no output, and the seed where it takes one."""
    estimator = estimator_class(candidate.estimator)()
    ours: dict[str, Any] = {"random_state": seed} if "random_state" in estimator.get_params() else {}
    library = candidate.estimator.split(".")[0]
    if library != "sklearn":
        # Several threads would add in another order on another machine; and standard output belongs to --json.
        ours |= {"n_jobs": 1, "verbosity": -1 if library == "lightgbm" else 0}
    if candidate.class_weight:
        ours["class_weight"] = candidate.class_weight
    return estimator.set_params(**{**ours, **candidate.params, **params})


def preprocessing_of(candidate: Candidate, inputs: Inputs, kind: Kind = CLASSIFICATION) -> ColumnTransformer | Pipeline:
    """All that stands between the frame and the estimator: numbers, categories, and the choice among the columns they become."""
    config = candidate.preprocessing
    steps: list[tuple[str, Any, list[str]]] = []
    if inputs.numeric:
        steps.append(("numbers", _numbers(config), list(inputs.numeric)))
    if inputs.categorical:
        steps.append(("categories", _categories(config), list(inputs.categorical)))
    columns = ColumnTransformer(steps)
    if candidate.select is None:
        return columns
    return Pipeline([("columns", columns), ("select", SelectPercentile(kind.tells_apart, percentile=100 * candidate.select.share))])


def _numbers(config: Preprocessing) -> Any:
    """Imputation, clipping and scaling of numbers."""
    parts: list[tuple[str, Any]] = []
    if config.impute == "median":
        parts.append(("impute", SimpleImputer(strategy="median", keep_empty_features=True)))
    if config.clip == "range":
        # Scaled to 0..1 as well, which trees do not mind; NaN passes through.
        parts.append(("clip", MinMaxScaler(clip=True)))
    if config.scale == "standard":
        parts.append(("scale", StandardScaler()))
    if config.scale == "quantile":
        # Of all rows: a sample would be drawn, and 100 quantiles say enough of a long tail.
        parts.append(("scale", QuantileTransformer(n_quantiles=100, output_distribution="normal", subsample=None)))
    return Pipeline(parts) if parts else "passthrough"


def _categories(config: Preprocessing) -> Pipeline:
    """Rare, unknown and missing categories; one column for each frequent one."""
    encode = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=config.rare_share or None, sparse_output=False)
    return Pipeline([("impute", SimpleImputer(strategy="constant", fill_value="(missing)")), ("encode", encode)])


def model_of(candidate: Candidate, inputs: Inputs, params: Mapping[str, Any], seed: int, kind: Kind = CLASSIFICATION) -> Pipeline:
    """The whole untrained, uncalibrated model: what makes the estimator's matrix, then the estimator."""
    return Pipeline([("inputs", preprocessing_of(candidate, inputs, kind)), ("estimator", estimator_of(candidate, params, seed))])
