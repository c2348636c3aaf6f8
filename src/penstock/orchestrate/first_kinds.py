"""What a first pipeline says of its kind: whether nothing will come, or how much of a column. Pure text, for `first_pipeline`."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.orchestrate.first_choices import Choices


@dataclass(frozen=True)
class First:
    """The lines in which kinds differ, as they stand in the file."""

    kind: tuple[str, ...]
    question: str
    worth: tuple[str, ...]
    label: tuple[str, ...]
    candidates: tuple[str, ...]
    baselines: tuple[str, ...]
    gates: tuple[str, ...]
    bands: tuple[str, ...]
    told: str
    """For the terminal."""


def first(key: str, choices: Choices) -> First:
    """Of the column to predict, or of no event where none was named; `key` names whom to predict about."""
    return _silence(key, choices) if choices.predicted is None else _amount(key, choices, choices.predicted.name)


def sizes(choices: Choices) -> tuple[int, int]:
    """(rows to train on, rows that judge), about."""
    return max(choices.members * choices.training, 1), max(choices.members * choices.holdout, 1)


def _silence(key: str, choices: Choices) -> First:
    rows, judged = sizes(choices)
    return First(
        kind=(),
        question=f"Which {key} will have no event in the next {choices.horizon} days?",
        worth=(
            "  # worth: {currency: EUR, contact_cost: 2.00, margin_saved: 40, share_saved: 0.1}    # of one decision: list, bands and KPI follow",
        ),
        label=(
            "  expression: event_count = 0    # SQL over the aggregates' names, each taken over the horizon",
            f"  positive: no event within {choices.horizon} days",
        ),
        candidates=(
            "    - name: boosting",
            "      estimator: sklearn.ensemble.HistGradientBoostingClassifier",
            *_boosting(rows),
            "    - name: logistic",
            "      estimator: sklearn.linear_model.LogisticRegression",
            "      params: {max_iter: 1000}",
            "      preprocessing: {impute: median, scale: standard}",
            "      space: {C: [0.1, 1.0]}",
            "  search: {trials: 4, folds: 2}",
            f"  calibration: {{method: sigmoid, folds: {2 if choices.members < 300 else 3}}}",
        ),
        baselines=(
            "    - {name: recency, column: recency_days, higher_means: positive}",
            f"    - {{name: recent_events, column: event_count_{choices.recent}d, higher_means: negative}}",
        ),
        gates=(f"    max_calibration_error: {0.15 if judged < 1000 else 0.08}",),
        bands=(
            "  # bands: [{name: low, lower: 0.0}, {name: medium, lower: 0.4}, {name: high, lower: 0.7}]    # unless purpose.worth gives them",
        ),
        told=f"label: no event in the next {choices.horizon} days",
    )


def _amount(key: str, choices: Choices, column: str) -> First:
    rows, judged = sizes(choices)
    return First(
        kind=("kind: regression         # a score is the number itself, judged by its mean absolute error (MAE)",),
        question=f"How much {column} will each {key} bring in the next {choices.horizon} days?",
        worth=(),
        label=(
            f"  expression: coalesce({column}_sum, 0)    # SQL over the aggregates' names, each taken over the horizon",
            f"  positive: {column} within {choices.horizon} days    # what the number is; name its unit",
        ),
        candidates=(
            "    - name: boosting",
            "      estimator: sklearn.ensemble.HistGradientBoostingRegressor    # aims at the mean; loss: absolute_error aims at the median",
            *_boosting(rows),
            "    - name: ridge",
            "      estimator: sklearn.linear_model.Ridge",
            "      preprocessing: {impute: median, scale: standard}",
            "      space: {alpha: [1.0, 100.0]}",
            "  search: {trials: 4, folds: 2}",
        ),
        baselines=(
            "    - {name: median, constant: median}    # of the training's labels, the same for all",
            f"    - {{name: last_time, column: {column}_sum_{choices.horizon}d}}    # as much as in the last {choices.horizon} days",
        ),
        gates=(
            "    min_gain: 0.0          # of the best baseline's MAE, as a share: what the lower bound of the gain must be above",
            f"    max_bias: {0.2 if judged < 1000 else 0.1}          # mean error as a share of the labels' mean size",
        ),
        bands=(f"  # bands: [{{name: low, lower: -.inf}}, {{name: high, lower: 100}}]    # of the value, in the unit of {column}",),
        told=f"label: the sum of {column} over the next {choices.horizon} days",
    )


def _boosting(rows: int) -> tuple[str, ...]:
    leaf = min(max(rows // 40, 5), 200)
    return (
        f"      params: {{early_stopping: false, max_iter: {50 if rows < 5000 else 150}, min_samples_leaf: {leaf}}}",
        "      space:               # the first value of each list is tried first",
        "        learning_rate: [0.05, 0.1]",
        "        max_leaf_nodes: [5, 3, 8]",
    )
