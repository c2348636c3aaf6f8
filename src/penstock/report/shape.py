"""The weeks of the report: one for each `as_of` that was run, put together from plain rows; pure.

A week's files, rows, features and scores come from the tables themselves, so that a run which was killed and started again
tells the same as an undisturbed one; what only the ledger knows (seconds, what reached Redis) comes from there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from itertools import groupby

from penstock.report.data import KEEP, Cohort, Drift, ListProfit, Metrics, WeekRow
from penstock.report.gathered import Gathered, Row, Rows

RETRAIN = {"no": KEEP, "yes": "retrain", "first_model": "first model"}
"""The monitoring's outcomes in the report's words; others stand for themselves."""

_MOVING = ("approve", "rollback")  # jobs by which a person moves the alias: they belong to no week
MOVES = ("promotion", "approval", "rollback")
"""Kinds of decision that move the alias `production`."""


def weeks(found: Gathered) -> tuple[WeekRow, ...]:
    """One row for each `as_of` of a whole run, in order of time."""
    cohorts = _cohorts(found.measures)
    return tuple(_week(day, found, cohorts.get(day, ())) for day in run_days(found.ledger))


def run_days(ledger: Rows) -> list[date]:
    """The `as_of`s that were run: by `penstock run`, or stage by stage by a scheduler, which monitors each of them too."""
    return sorted({row["day"] for row in ledger if row["job"] == "run" or row["stage"] == "monitor"})


def faults(ledger: Rows, day: date) -> tuple[Row, ...]:
    """What stopped the last run of an `as_of`; nothing when that run ended well."""
    own = [row for row in _of(ledger, day) if row["job"] not in _MOVING]
    if not own:
        return ()
    last = max(own, key=lambda row: row["finished_at"])["run_id"]
    return tuple(row for row in own if row["run_id"] == last and row["status"] != "done")


def _week(day: date, found: Gathered, cohorts: tuple[Cohort, ...]) -> WeekRow:
    own = _of(found.ledger, day)
    files, cohort, scores = _one(found.files, day), _one(found.cohorts, day), _scores(_of(found.scores, day))
    decision, reasons = _decision(day, found)
    return WeekRow(
        as_of=day,
        files=files["files"] if files else _count(own, "land", "files"),
        rows_landed=files["accepted"] if files else _count(own, "land", "landed"),
        quarantined=files["rejected"] if files else _count(own, "land", "quarantined"),
        feature_rows=cohort["rows"] if cohort else None,
        scored=scores["rows"] if scores else _count(own, "score", "scored"),
        published=_published(own, scores),
        withheld_control=scores["control"] if scores else None,
        matured=cohorts,
        drift=_drift(_of(found.measures, day)),
        decision=decision,
        reasons=reasons,
        production_version=str(scores["model_version"]) if scores else _production(day, found.decisions),
        seconds=_seconds(own),
    )


def _of(rows: Rows, day: date) -> list[Row]:
    return [row for row in rows if row["day"] == day]


def _one(rows: Rows, day: date) -> Row | None:
    return next(iter(_of(rows, day)), None)


def _published(own: list[Row], scores: Row | None) -> int | None:
    """What reached Redis. A publishing that found all in place (after a kill, or without Redis) tells of the whole cohort."""
    counted = _count(own, "publish", "published")
    return scores["rows"] - scores["control"] if counted == 0 and scores else counted


def _count(own: Iterable[Row], stage: str, name: str) -> int | None:
    """What a stage counted over all runs of the `as_of`; a repeated run counts nothing again. None when it never ran."""
    done = [row["counts"] for row in own if row["stage"] == stage and row["status"] == "done"]
    return sum(int((counts or {}).get(name, 0)) for counts in done) if done else None


def _seconds(own: Iterable[Row]) -> float | None:
    """Seconds of the stages, each by the run that worked longest on it: a repeated run does not add to a week."""
    longest: dict[str, float] = {}
    for row in own:
        if row["job"] not in _MOVING:
            longest[row["stage"]] = max(longest.get(row["stage"], 0.0), row["seconds"] or 0.0)
    return sum(longest.values()) if longest else None


def _scores(own: list[Row]) -> Row | None:
    """The cohort under the promotion that came last: an `as_of` is scored again after an approval or a rollback."""
    return max(own, key=lambda row: row["promotion"], default=None)


def _production(day: date, decisions: Rows) -> str | None:
    moves = [row for row in decisions if row["kind"] in MOVES and row["day"] <= day]
    last = max(moves, key=lambda row: row["promotion"], default=None)
    return str(last["model_version"]) if last else None


# -- decisions --------------------------------------------------------------------------------------------------------


def _decision(day: date, found: Gathered) -> tuple[str | None, tuple[str, ...]]:
    """The monitoring's word with its reasons, and what came of it: the gates, the promotion, or what stopped the run."""
    own = _of(found.decisions, day)
    told = next((row for row in own if row["kind"] == "retrain"), None)
    stopped = faults(found.ledger, day)
    reasons = [*_why(told), *_gates(own), *(f"{row['stage']} {row['status']}: {row['message']}" for row in stopped)]
    word = stopped[-1]["status"] if stopped else RETRAIN.get(told["outcome"], told["outcome"]) if told else None
    return word, tuple(reasons)


def _why(told: Row | None) -> list[str]:
    """The monitoring's reasons: all of them where it acts, else the first; the table `decisions` keeps what each rule saw."""
    reasons = list(told["reasons"] or ()) if told else []
    return reasons if told and told["outcome"] in {"yes", "first_model"} else reasons[:1]


def _gates(own: list[Row]) -> list[str]:
    told = [_refusal(row) for row in own if row["kind"] == "gate" and row["outcome"] == "refused"]
    moves = sorted((row for row in own if row["kind"] in MOVES), key=lambda row: int(row["promotion"]))
    return told + [f"Version {row['model_version']} became Production ({_who(row)})." for row in moves]


def _refusal(gate: Row) -> str:
    """What the first gate that did not pass said, and how many more there were."""
    failed = [sentence for told, sentence in zip(json.loads(gate["evidence"]), gate["reasons"], strict=False) if not told["passed"]]
    more = f" ({len(failed) - 1} more)" if len(failed) > 1 else ""
    return f"The gates refused the candidate: {failed[0]}{more}" if failed else "The gates refused the candidate."


def _who(move: Row) -> str:
    return str(move["decided_by"]) if move["kind"] == "promotion" else f"{move['kind']} by {move['decided_by']}"


# -- measures ---------------------------------------------------------------------------------------------------------


def _cohorts(measures: Rows) -> dict[date, tuple[Cohort, ...]]:
    """The matured cohorts by the run in which each was first told."""
    rows = sorted((row for row in measures if row["kind"] == "performance"), key=_cohort_key)
    told: dict[date, list[Cohort]] = {}
    for (subject, version), group in groupby(rows, key=_cohort_key):
        part = list(group)
        first = min(row["day"] for row in part)
        values = {row["name"]: row["value"] for row in part if row["day"] == first}
        told.setdefault(first, []).append(_cohort(date.fromisoformat(subject), version, values))
    return {day: tuple(cohorts) for day, cohorts in told.items()}


def _cohort_key(row: Row) -> tuple[str, str]:
    return row["subject"], "" if row["model_version"] is None else str(row["model_version"])


def _cohort(as_of: date, version: str, values: dict[str, float | None]) -> Cohort:
    rows = values.get("rows")
    return Cohort(
        as_of=as_of,
        metrics=Metrics(
            rows=None if rows is None else int(rows),
            auc=values.get("auc"),
            average_precision=values.get("average_precision"),
            brier=values.get("brier"),
            ece=values.get("ece"),
            lift=values.get("lift"),
            mae=values.get("mae"),
            rmse=values.get("rmse"),
            r2=values.get("r2"),
            bias=values.get("bias"),
            **{name: values.get(name) for name in ("recall", "ndcg", "hit_rate", "heuristic_recall", "heuristic_ndcg")},
        ),
        model_version=version or None,
        auc_low=values.get("auc_low"),
        auc_high=values.get("auc_high"),
        mae_low=values.get("mae_low"),
        mae_high=values.get("mae_high"),
        recall_low=values.get("recall_low"),
        recall_high=values.get("recall_high"),
        observed_rate=values.get("observed"),
        predicted_rate=values.get("predicted"),
    )


# -- lists ------------------------------------------------------------------------------------------------------------


def lists(found: Gathered) -> tuple[ListProfit, ...]:
    """Each published list as it was first told, pending and then judged; one that no run has told of yet, by its scores."""
    if found.pipeline.stakes is None:
        return ()
    rows = sorted((row for row in found.measures if row["kind"] == "kpi"), key=_cohort_key)
    told = [_list(date.fromisoformat(subject), version, list(group)) for (subject, version), group in groupby(rows, key=_cohort_key)]
    days = {one.as_of for one in told}
    newest = [_scores(_of(found.scores, day)) for day in sorted({row["day"] for row in found.scores} - days)]
    more = [
        ListProfit(
            row["day"], str(row["model_version"]), rows=row["rows"] - row["control"], contacts=row["contacts"], expected=row["expected"]
        )
        for row in newest
        if row is not None and row.get("contacts") is not None
    ]
    return tuple(sorted([*told, *more], key=lambda one: (one.as_of, one.model_version or "")))


def _list(as_of: date, version: str, rows: list[Row]) -> ListProfit:
    """What the run that first judged the list said, or else the one that first told of it."""
    judged = [row for row in rows if row["name"] == "realised"]
    first = min(row["day"] for row in judged or rows)
    own = [row for row in rows if row["day"] == first]
    values = {row["name"]: row["value"] for row in own}
    state = next((row["state"] for row in own if row["name"] == "rows"), "pending")
    return ListProfit(
        as_of=as_of,
        model_version=version or None,
        state=str(state),
        rows=_whole(values.get("rows")),
        contacts=_whole(values.get("contacts")),
        expected=values.get("expected"),
        realised=values.get("realised"),
        low=values.get("realised_low"),
        high=values.get("realised_high"),
        list_rate=values.get("list_rate"),
        control_rate=values.get("control_rate"),
        treated=values.get("treated_share"),
        control_treated=values.get("control_treated_share"),
    )


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _drift(own: list[Row]) -> tuple[Drift, ...]:
    psi = [row for row in own if row["kind"] == "drift" and row["name"] == "psi"]
    return tuple(
        Drift(row["subject"], row["value"], decides=row["state"] != "unbounded") for row in sorted(psi, key=lambda row: str(row["subject"]))
    )
