"""The text of a first pipeline, with a comment wherever a person will want to edit."""

from __future__ import annotations

from penstock.orchestrate.first_choices import Choices, sum_type
from penstock.orchestrate.table_profile import Profile
from penstock.orchestrate.table_types import column_sql


def pipeline_text(name: str, source: str, profile: Profile, choices: Choices, commands: str) -> str:
    """The pipeline file."""
    parts = (
        _head(name, source, profile, choices, commands),
        _features(name, source, profile, choices),
        _label(name, choices),
        _training(choices),
        _rest(choices),
    )
    return "\n".join(line for part in parts for line in part) + "\n"


def _head(name: str, source: str, profile: Profile, choices: Choices, commands: str) -> list[str]:
    key = ", ".join(column.name for column in profile.entity)
    return [
        f"# Which {key} will have no event in the next {choices.horizon} days?",
        f"# Written by `{commands}`. Yours to edit; then `penstock conf check {name}`.",
        *(f"# NOT ENOUGH TO TRAIN YET: {lack}." for lack in choices.lacking),
        f"name: {name}",
        "purpose:",
        f"  question: Which {key} will have no event in the next {choices.horizon} days?",
        "  owner: unknown         # who answers for the decisions made on the scores",
        "  decision: unknown      # what is done with them",
        "  # worth: {currency: EUR, contact_cost: 2.00, margin_saved: 40, share_saved: 0.1}    # of one decision: list, bands and KPI follow",
        "",
        f"source: {source}         # conf/contracts/{source}.yml says how its files are read",
        "",
    ]


def _features(name: str, source: str, profile: Profile, choices: Choices) -> list[str]:
    windows = ", ".join(f"{w}d" for w in choices.windows)
    longest = f"{choices.windows[-1]}d"
    ends = ", ".join(dict.fromkeys((f"{choices.windows[0]}d", longest)))
    lines = [
        "features:",
        f"  name: {name}_activity",
        f"  source: {source}",
        f"  entity: [{', '.join(column.name for column in profile.entity)}]",
        f"  event_time: {profile.event_time.name}",
        "  # events: {big: amount > 100}   # named conditions over the source's columns, for `when:` below",
        "  aggregates:            # with windows: one column NAME_WINDOW each; without: NAME over all history",
        "    - {name: recency_days, function: days_since_last, description: days since the last event}",
        "    - {name: tenure_days, function: days_since_first, description: days since the first event}",
        f"    - {{name: event_count, function: count, windows: [{windows}, all], description: events}}",
        f"    - {{name: active_days, function: active_days, windows: [{windows}, all], description: days with an event}}",
    ]
    for column in choices.sums:
        of = column_sql(column.name)
        lines.append(
            f'    - {{name: {column.name}_sum, function: sum, of: {_flow(of)}, type: "{sum_type(column)}", windows: [{ends}, all]}}'
        )
    lines += [
        f"    - {{name: {c.name}_last, function: last, of: {_flow(column_sql(c.name))}, type: string}}    # {c.distinct} values"
        for c in choices.texts
    ]
    if not choices.sums:
        lines.append("    # no numeric column is worth a sum: counts and recency alone")
    if choices.left_out:
        shown = ", ".join(choices.left_out[:8])
        more = len(choices.left_out) - 8
        lines.append(
            f"    # numbers left out (identifiers, constants, or beyond the first dozen): {shown}{f' and {more} more' if more > 0 else ''}"
        )
    return [
        *lines,
        "  derived:               # SQL over the columns above",
        '    - {name: gap_mean_days, expression: "(tenure_days - recency_days) / nullif(active_days_all - 1, 0)", description: usual days between two events}',
        '    - {name: gap_ratio, expression: "recency_days / nullif(gap_mean_days, 0)", description: days since the last event in usual gaps}',
        "  checks:                # must hold for every feature row before any is written",
        "    - {name: recency_within_tenure, holds: recency_days <= tenure_days}",
        f"    - {{name: windows_nested, holds: event_count_{longest} <= event_count_all}}",
        f"  max_row_count_change: {choices.growth}    # from one cohort to the next",
        "",
    ]


def _label(name: str, choices: Choices) -> list[str]:
    gap = "nobody had two events" if choices.usual_gap is None else f"usually {choices.usual_gap:g} days lie between two events"
    return [
        "schedule:",
        f"  first: {choices.first}      # the first `as_of`: some history lies before it",
        f"  every_days: {choices.every}",
        "",
        f"population: event_count_{choices.recent}d > 0      # who is scored: SQL over the features",
        "",
        "label:",
        f"  view: {name}_activity",
        f"  horizon_days: {choices.horizon}        # {gap}",
        "  delay_days: 1           # days after the horizon's end before the outcome counts as known",
        "  expression: event_count = 0    # SQL over the aggregates' names, each taken over the horizon",
        f"  positive: no event within {choices.horizon} days",
        "",
    ]


def _training(choices: Choices) -> list[str]:
    rows = max(choices.members * choices.training, 1)
    judged = max(choices.members * choices.holdout, 1)
    leaf = min(max(rows // 40, 5), 200)
    small = judged < 1000
    return [
        f"training:                # about {choices.members:,} entities a cohort, {choices.training} cohorts to train and {choices.holdout} to judge",
        "  candidates:              # fitted side by side; the best over the folds goes through the gates",
        "    - name: boosting",
        "      estimator: sklearn.ensemble.HistGradientBoostingClassifier",
        f"      params: {{early_stopping: false, max_iter: {50 if rows < 5000 else 150}, min_samples_leaf: {leaf}}}",
        "      space:               # the first value of each list is tried first",
        "        learning_rate: [0.05, 0.1]",
        "        max_leaf_nodes: [5, 3, 8]",
        "    - name: logistic",
        "      estimator: sklearn.linear_model.LogisticRegression",
        "      params: {max_iter: 1000}",
        "      preprocessing: {impute: median, scale: standard}",
        "      space: {C: [0.1, 1.0]}",
        "  search: {trials: 4, folds: 2}",
        f"  calibration: {{method: sigmoid, folds: {2 if choices.members < 300 else 3}}}",
        f"  holdout_cohorts: {choices.holdout}",
        "  baselines:               # heuristics that the model has to beat",
        "    - {name: recency, column: recency_days, higher_means: positive}",
        f"    - {{name: recent_events, column: event_count_{choices.recent}d, higher_means: negative}}",
        *(f"  # segments: [{{column: {column.name}_last}}]    # groups that must not lose" for column in choices.texts[:1]),
        "  gates:",
        f"    max_calibration_error: {0.15 if small else 0.08}",
        f"    min_rows: {min(max(judged // 2, 30), 200)}           # a holdout with fewer rows is no evidence",
        "",
    ]


def _rest(choices: Choices) -> list[str]:
    least = min(max(choices.members // 2, 30), 200)
    return [
        "monitoring:              # fewer rows than these are not judged",
        f"  drift: {{min_rows: {least}}}",
        f"  performance: {{min_rows: {least}}}",
        f"  calibration: {{min_rows: {least}}}",
        f"  label_rate: {{action: alert, min_rows: {least}}}",
        "",
        "publish:",
        "  # bands: [{name: low, lower: 0.0}, {name: medium, lower: 0.4}, {name: high, lower: 0.7}]    # unless purpose.worth gives them",
        "  control_share: 0.05      # scored but withheld, so that the effect of acting can be measured",
    ]


def _flow(sql: str) -> str:
    """A backquote begins no plain YAML word."""
    return f'"{sql}"' if sql.startswith("`") else sql
