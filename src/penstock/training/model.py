"""The untrained model that a configuration describes: preprocessing, estimator and nothing that is not scikit-learn's own.

Everything a score depends on is inside, so that training and scoring cannot differ, and the artefact holds only types
that can be loaded without running code.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from sklearn.base import BaseEstimator, is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder

from penstock.config.training import Preprocessing, TrainingConfig
from penstock.errors import ConfigError
from penstock.training.inputs import Inputs


def estimator_class(path: str) -> type[BaseEstimator]:
    """The scikit-learn classifier of a dotted path. Raises ConfigError when there is none that gives probabilities."""
    module_name, _, name = path.rpartition(".")
    found: Any = None
    if module_name.split(".")[0] == "sklearn":
        try:
            found = getattr(importlib.import_module(module_name), name, None)
        except ImportError:
            found = None
    ours = isinstance(found, type) and issubclass(found, BaseEstimator) and found.__module__.split(".")[0] == "sklearn"
    if not ours:
        raise ConfigError([f"training.estimator: got {path!r}, expected the dotted path of a scikit-learn classifier"])
    if not hasattr(found, "predict_proba"):
        raise ConfigError([f"training.estimator: got {path!r}, which gives no probabilities, expected a classifier with predict_proba"])
    known: type[BaseEstimator] = found
    return known


def estimator_faults(config: TrainingConfig) -> list[str]:
    """What is wrong with the estimator and the names of its parameters, as sentences; none when all is well."""
    try:
        estimator = estimator_class(config.estimator)()
    except ConfigError as error:
        return list(error.faults)
    except TypeError:
        return [f"training.estimator: got {config.estimator!r}, which cannot be made from parameters alone, expected a classifier"]
    if not is_classifier(estimator):
        return [f"training.estimator: got {config.estimator!r}, which is no classifier, expected one"]
    known = estimator.get_params()
    named = [("params", name) for name in config.params] + [("search.space", name) for name in config.search.space]
    return [
        f"training.{place}: got {name!r}, expected a parameter of {config.estimator}: {', '.join(sorted(known))}"
        for place, name in named
        if name not in known
    ]


def estimator_of(config: TrainingConfig, params: Mapping[str, Any]) -> BaseEstimator:
    """The untrained estimator with the fixed parameters, `params` on top, and the seed where it takes one."""
    estimator = estimator_class(config.estimator)()
    seed = {"random_state": config.seed} if "random_state" in estimator.get_params() else {}
    return estimator.set_params(**{**seed, **config.params, **params})


def preprocessing_of(config: Preprocessing, inputs: Inputs) -> ColumnTransformer:
    """Clipping and imputation of numbers; rare, unknown and missing categories, one column for each frequent one."""
    steps: list[tuple[str, Any, list[str]]] = []
    if inputs.numeric:
        steps.append(("numbers", _numbers(config), list(inputs.numeric)))
    if inputs.categorical:
        steps.append(("categories", _categories(config), list(inputs.categorical)))
    return ColumnTransformer(steps)


def _numbers(config: Preprocessing) -> Any:
    parts: list[tuple[str, Any]] = []
    if config.impute == "median":
        parts.append(("impute", SimpleImputer(strategy="median", keep_empty_features=True)))
    if config.clip == "range":
        # Scaled to 0..1 as well, which trees do not mind and linear models like; NaN passes through.
        parts.append(("clip", MinMaxScaler(clip=True)))
    return Pipeline(parts) if parts else "passthrough"


def _categories(config: Preprocessing) -> Pipeline:
    encode = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=config.rare_share or None, sparse_output=False)
    return Pipeline([("impute", SimpleImputer(strategy="constant", fill_value="(missing)")), ("encode", encode)])


def model_of(config: TrainingConfig, inputs: Inputs, params: Mapping[str, Any]) -> Pipeline:
    """The whole untrained, uncalibrated model."""
    return Pipeline([("inputs", preprocessing_of(config.preprocessing, inputs)), ("estimator", estimator_of(config, params))])
