"""The only module that asks shap: what moves this model's margin, tabulated once after training.

Exact for trees (path-dependent TreeSHAP) because a tree's answer depends on nothing but the side that the row takes at
each of its splits: shap is asked once for every combination of sides that a value, or a missing one, can bring about.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_selection import SelectPercentile
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from penstock.training.contributions import MAX_SPLITS, Explanation, TreeTable
from penstock.training.fit import one_thread
from penstock.training.inputs import Inputs
from penstock.training.parts import Parts, parts_of

Floats = NDArray[np.float64]
_LOG_LINKS = ("poisson", "gamma")
_LOG_MODELS = ("PoissonRegressor", "GammaRegressor", "TweedieRegressor")


def explain(model: Any, inputs: Inputs, frame: pd.DataFrame) -> Explanation:
    """What each input adds to the margin of a trained model, of a regressor to its value; `frame` are its training rows, as `from_pandas` gives them.

    A model that cannot be explained at a price worth paying is no error: `why_none` then says why.
    """
    parts = parts_of(model)
    if parts is None:
        return Explanation(why_none=f"a {type(model).__name__} of no known shape")
    try:
        sources = _sources(parts.steps, inputs)
        if isinstance(parts.estimator, HistGradientBoostingClassifier):
            return _trees(parts.estimator, sources, parts.sign)
        if is_regressor(parts.estimator):
            return _value(parts, sources, frame)
        if np.shape(getattr(parts.estimator, "coef_", ())) == (1, len(sources)):
            with one_thread():
                return _linear(parts.estimator, sources, parts.transform(frame), parts.sign)
    except _NotExplained as why:
        return Explanation(why_none=str(why))
    return Explanation(why_none=f"no fast explainer for {type(parts.estimator).__name__}")


def _value(parts: Parts, sources: tuple[int, ...], frame: pd.DataFrame) -> Explanation:
    """Of a regressor, in the label's unit; what moves a value by less than a hundredth of the values' spread is no reason."""
    estimator = parts.estimator
    if getattr(estimator, "loss", "") in _LOG_LINKS or type(estimator).__name__ in _LOG_MODELS:
        raise _NotExplained(f"a {type(estimator).__name__} that multiplies: its parts do not add up to the value")
    with one_thread():
        matrix = parts.transform(frame)
        least = 0.01 * float(np.std(estimator.predict(matrix)))
        if isinstance(estimator, HistGradientBoostingRegressor):
            return replace(_trees(estimator, sources, parts.sign), least=least)
        if np.shape(getattr(estimator, "coef_", ())) == (len(sources),):
            return replace(_linear(estimator, sources, matrix, parts.sign), least=least)
    raise _NotExplained(f"no fast explainer for {type(estimator).__name__}")


class _NotExplained(Exception):  # noqa: N818 - it never leaves this module
    pass


# -- columns ---------------------------------------------------------------------------------------------------------


def _sources(steps: list[tuple[str, Any]], inputs: Inputs) -> tuple[int, ...]:
    """For each column that the estimator takes, the input that it comes from."""
    prepare, chosen = (steps[0][1] if steps else None), None
    if isinstance(prepare, Pipeline) and len(prepare.steps) == 2 and isinstance(prepare[1], SelectPercentile):
        prepare, chosen = prepare[0], prepare[1].get_support()
    if not isinstance(prepare, ColumnTransformer):
        raise _NotExplained("no preparation of columns that is known")
    found: list[int] = []
    for _, step, columns in prepare.transformers_:
        encoder = _encoder(step)
        width = [1] * len(columns) if encoder is None else _widths(encoder)
        if len(width) != len(columns):
            raise _NotExplained("a preparation that makes other columns than it says")
        found += [inputs.names.index(name) for name, count in zip(columns, width, strict=True) for _ in range(count)]
    if len(found) != len(prepare.get_feature_names_out()):
        raise _NotExplained("a preparation that makes other columns than it says")
    return tuple(source for at, source in enumerate(found) if chosen is None or chosen[at])


def _encoder(step: Any) -> OneHotEncoder | None:
    last = step.steps[-1][1] if isinstance(step, Pipeline) else step
    return last if isinstance(last, OneHotEncoder) else None


def _widths(encoder: OneHotEncoder) -> list[int]:
    """Columns for each category: one a frequent value, and one for all rare ones where there are any."""
    rare = getattr(encoder, "infrequent_categories_", [None] * len(encoder.categories_))
    return [len(values) - (0 if few is None else len(few) - 1) for values, few in zip(encoder.categories_, rare, strict=True)]


# -- trees -----------------------------------------------------------------------------------------------------------


def _trees(estimator: HistGradientBoostingClassifier | HistGradientBoostingRegressor, sources: tuple[int, ...], sign: int) -> Explanation:
    if estimator.is_categorical_ is not None and np.any(estimator.is_categorical_):
        raise _NotExplained("splits by category inside the trees")
    if estimator.n_trees_per_iteration_ != 1:
        raise _NotExplained("more than two classes")
    splits = max(int((~predictor[0].nodes["is_leaf"].astype(bool)).sum()) for predictor in estimator._predictors)
    if splits > MAX_SPLITS:
        raise _NotExplained(f"trees of {splits + 1} leaves; exact reasons for more than {MAX_SPLITS + 1} would cost many times the scores")
    with _shap() as shap:
        whole = shap.TreeExplainer(estimator, feature_perturbation="tree_path_dependent")
        tables = tuple(_table(shap, tree, sources) for tree in whole.model.trees if (tree.children_left >= 0).any())
        return Explanation(sources, base=float(np.ravel(whole.expected_value)[0]), trees=tables, sign=sign)


def _table(shap: Any, tree: Any, sources: tuple[int, ...]) -> TreeTable:
    """What shap says of one tree, for every way through it."""
    nodes = np.flatnonzero(tree.children_left >= 0)
    columns, thresholds = tree.features[nodes], tree.thresholds[nodes]
    missing_left = tree.children_default[nodes] == tree.children_left[nodes]
    used = np.unique(columns)
    points = np.array(list(product(*(_sides(thresholds[columns == column]) for column in used))))
    at = points[:, np.searchsorted(used, columns)]
    left = np.where(np.isnan(at), missing_left, at <= thresholds)
    ways = (left << np.arange(len(nodes))).sum(axis=1)
    ways, first = np.unique(ways, return_index=True)
    alone = shap.TreeExplainer({"trees": [_alone(tree, used)]}, feature_perturbation="tree_path_dependent")
    values = np.asarray(alone.shap_values(points[first], check_additivity=False)).reshape(len(first), len(used))
    inputs = sorted({sources[column] for column in used})
    table = np.zeros((2 ** len(nodes), len(inputs)))
    for k, column in enumerate(used):
        table[ways, inputs.index(sources[column])] += values[:, k]
    return TreeTable(
        tuple(int(c) for c in columns),
        tuple(float(t) for t in thresholds),
        tuple(bool(m) for m in missing_left),
        tuple(inputs),
        tuple(tuple(float(v) for v in line) for line in table),
    )


def _sides(thresholds: Floats) -> list[float]:
    """One value on every side of a column's thresholds, and none at all."""
    rising = sorted({float(t) for t in thresholds})
    above = [] if np.isinf(rising[-1]) else [float(np.nextafter(rising[-1], np.inf))]
    return [*rising, *above, float("nan")]


def _alone(tree: Any, used: NDArray[np.int64]) -> dict[str, Any]:
    """The tree over its own columns only, in the form that shap takes for trees of any origin."""
    split = tree.children_left >= 0
    return {
        "children_left": tree.children_left,
        "children_right": tree.children_right,
        "children_default": tree.children_default,
        "features": np.where(split, np.searchsorted(used, np.where(split, tree.features, used[0])), -2),
        "thresholds": tree.thresholds,
        "values": tree.values,
        "node_sample_weight": tree.node_sample_weight,
    }


# -- linear models ---------------------------------------------------------------------------------------------------


def _linear(estimator: Any, sources: tuple[int, ...], matrix: Floats, sign: int) -> Explanation:
    with _shap() as shap:
        found = shap.LinearExplainer(estimator, shap.maskers.Independent(matrix, max_samples=len(matrix)))
        weights, means = np.ravel(found.coef), np.ravel(found.mean)
        base = float(np.ravel(found.expected_value)[0])
    return Explanation(sources, base, weights=tuple(map(float, weights)), means=tuple(map(float, means)), sign=sign)


@contextmanager
def _shap() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its plots, which nobody asks for, use what matplotlib will deprecate
        import shap  # a second to import, and only training needs it
    level = logging.getLogger("shap").level
    logging.getLogger("shap").setLevel(logging.ERROR)
    try:
        with one_thread():
            yield shap
    finally:
        logging.getLogger("shap").setLevel(level)
