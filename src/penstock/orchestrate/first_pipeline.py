"""The text of a first pipeline, with a comment wherever a person will want to edit."""

from __future__ import annotations

from penstock.orchestrate.first_choices import Choices, sum_type
from penstock.orchestrate.first_kinds import First, first, sizes
from penstock.orchestrate.table_profile import Profile
from penstock.orchestrate.table_types import column_sql


def pipeline_text(name: str, source: str, profile: Profile, choices: Choices, commands: str) -> str:
    """The pipeline file."""
    wanted = first(key_of(profile), choices)
    parts = (
        _head(name, source, wanted, choices, commands),
        _features(name, source, profile, choices),
        _label(name, wanted, choices),
        _training(wanted, choices),
        _rest(wanted, choices),
    )
    return "\n".join(line for part in parts for line in part) + "\n"


def key_of(profile: Profile) -> str:
    """Whom to predict about, as words."""
    return ", ".join(column.name for column in profile.entity)


def _head(name: str, source: str, wanted: First, choices: Choices, commands: str) -> list[str]:
    return [
        f"# {wanted.question}",
        f"# Written by `{commands}`. Yours to edit; then `penstock conf check {name}`.",
        *(f"# NOT ENOUGH TO TRAIN YET: {lack}." for lack in choices.lacking),
        f"name: {name}",
        *wanted.kind,
        "purpose:",
        f"  question: {wanted.question}",
        "  owner: unknown         # who answers for the decisions made on the scores",
        "  decision: unknown      # what is done with them",
        *wanted.worth,
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
        of, own = column_sql(column.name), _with(ends, choices.horizon) if column is choices.predicted else ends
        lines.append(
            f'    - {{name: {column.name}_sum, function: sum, of: {_flow(of)}, type: "{sum_type(column)}", windows: [{own}, all]}}'
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


def _with(windows: str, days: int) -> str:
    """The windows with one more, for the baseline that says: as much as last time."""
    return ", ".join(sorted({*windows.split(", "), f"{days}d"}, key=lambda window: int(window[:-1])))


def _label(name: str, wanted: First, choices: Choices) -> list[str]:
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
        *wanted.label,
        "",
    ]


def _training(wanted: First, choices: Choices) -> list[str]:
    _, judged = sizes(choices)
    return [
        f"training:                # about {choices.members:,} entities a cohort, {choices.training} cohorts to train and {choices.holdout} to judge",
        "  candidates:              # fitted side by side; the best over the folds goes through the gates",
        *wanted.candidates,
        f"  holdout_cohorts: {choices.holdout}",
        "  baselines:               # heuristics that the model has to beat",
        *wanted.baselines,
        *(f"  # segments: [{{column: {column.name}_last}}]    # groups that must not lose" for column in choices.texts[:1]),
        "  gates:",
        *wanted.gates,
        f"    min_rows: {min(max(judged // 2, 30), 200)}           # a holdout with fewer rows is no evidence",
        "",
    ]


def _rest(wanted: First, choices: Choices) -> list[str]:
    least = min(max(choices.members // 2, 30), 200)
    return [
        "monitoring:              # fewer rows than these are not judged",
        f"  drift: {{min_rows: {least}}}",
        f"  performance: {{min_rows: {least}}}",
        f"  calibration: {{min_rows: {least}}}",
        f"  label_rate: {{action: alert, min_rows: {least}}}",
        "",
        "publish:",
        *wanted.bands,
        "  control_share: 0.05      # scored but withheld, so that the effect of acting can be measured",
    ]


def _flow(sql: str) -> str:
    """A backquote begins no plain YAML word."""
    return f'"{sql}"' if sql.startswith("`") else sql
