"""Says whether to train again, and why: a pure function of what production is, what came of it and how inputs moved.

Each rule asks three things of the evidence under the present production version: an effect over its floor, a lower
confidence bound over the same floor, and persistence over the newest looks. Weekly cohorts with a horizon of a month
share most of their outcome days, so that two of three are less than two independent confirmations: the bound of each
single look carries the proof, persistence only keeps one odd week from deciding, and the overlap stands in the evidence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, Literal

from scipy.stats import norm

from penstock.config.monitoring import Action, MonitoringConfig, Persistence
from penstock.monitoring.drift import DriftFinding, DriftState
from penstock.monitoring.performance import CohortState, Performance
from penstock.monitoring.profile import ALL
from penstock.monitoring.reference import Comparable, Difference

DRIFT, PERFORMANCE, CALIBRATION, LABEL_RATE = "drift", "performance", "calibration", "label_rate"
DEFINITION = "definition"
SCORE = "score"


@dataclass(frozen=True)
class Production:
    """The version under the production alias, and the first `as_of` that it scored as such."""

    version: str
    promoted: date
    reference: Comparable
    outdated: str = ""
    """Why it cannot go on for long, in a sentence: its features are not those that the configuration means; empty when they are."""


@dataclass(frozen=True)
class Attempt:
    """An earlier training that a decision started; `refused` when its candidate did not pass the gates."""

    as_of: date
    outcome: Literal["promoted", "refused"]


@dataclass(frozen=True)
class DriftLook:
    """The findings of one run, against the profile of one version."""

    as_of: date
    model_version: str
    findings: tuple[DriftFinding, ...]


@dataclass(frozen=True)
class Evidence:
    """All that a decision may look at. Looks after the decision's `as_of` or under other versions are left out by it.

    A cohort is one `as_of` under the version that scored it first; `horizon_days` is how long its outcomes take, and
    `grace_days` how much later they may be complete (availability delay and one schedule interval).
    """

    cohorts: tuple[Performance, ...]
    drift: tuple[DriftLook, ...]
    attempts: tuple[Attempt, ...]
    horizon_days: int
    grace_days: int = 8


class Retrain(StrEnum):
    """The answer. `insufficient` is no training either, but nobody may read it as a model in good health."""

    YES = "yes"
    NO = "no"
    FIRST_MODEL = "first_model"
    INSUFFICIENT = "insufficient"


@dataclass(frozen=True)
class Look:
    """One rule's view of one cohort or run: the effect, its lower bound, and whether both reach the floor."""

    as_of: date
    effect: float
    low: float
    holds: bool
    text: str


@dataclass(frozen=True)
class Verdict:
    """One rule over its newest looks; `insufficient_data` when none could be evaluated."""

    rule: str
    state: Literal["fires", "quiet", "insufficient_data"]
    action: Action
    looks: tuple[Look, ...]
    sentence: str


@dataclass(frozen=True)
class Alert:
    """Something that a person should look at, whether or not a training follows."""

    rule: str
    segment: str
    text: str


@dataclass(frozen=True)
class Decision:
    """The answer for one `as_of`, the rule that fired first (empty when none), and the reasons with their numbers."""

    as_of: date
    version: str | None
    retrain: Retrain
    rule: str
    reasons: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    alerts: tuple[Alert, ...]
    evidence: dict[str, Any]

    @property
    def trains(self) -> bool:
        """Whether a training has to follow."""
        return self.retrain in (Retrain.YES, Retrain.FIRST_MODEL)


def decide(as_of: date, production: Production | None, evidence: Evidence, config: MonitoringConfig) -> Decision:
    """The decision of one run. The same arguments give the same decision, whatever was decided at `as_of` before."""
    if production is None:
        reason = "No model is in production, so the first one is trained."
        return Decision(as_of, None, Retrain.FIRST_MODEL, "first_model", (reason,), (), (), {})
    cohorts = sorted(
        (c for c in evidence.cohorts if c.model_version == production.version and c.as_of + timedelta(days=evidence.horizon_days) <= as_of),
        key=lambda c: (c.as_of, c.segment),
    )
    looks = sorted((d for d in evidence.drift if d.model_version == production.version and d.as_of <= as_of), key=lambda d: d.as_of)
    verdicts = judge(production, cohorts, looks, config)
    firing = [v for v in verdicts if v.state == "fires"]
    unknown = (*_silence(as_of, production, cohorts, evidence), *_unjudged(cohorts, config))
    alerts = (
        *(Alert(v.rule, ALL, v.sentence) for v in firing),
        *_segment_alerts(cohorts, production.reference, config),
        *_drifted_features(looks),
        *unknown,
    )
    answer, rule, why = _answer(as_of, production, verdicts, evidence, config)
    if answer == Retrain.NO and not rule and unknown:
        answer, why = Retrain.INSUFFICIENT, tuple(f"Whether the model still holds is not known. {a.text}" for a in unknown)
    reasons = (*why, *(v.sentence for v in verdicts if v.action != "off"))
    return Decision(as_of, production.version, answer, rule, reasons, verdicts, alerts, _facts(production, cohorts, evidence))


def _answer(
    as_of: date, production: Production, verdicts: Sequence[Verdict], evidence: Evidence, config: MonitoringConfig
) -> tuple[Retrain, str, tuple[str, ...]]:
    if production.outdated:
        # A person changed the definition and waits for the model: that it was promoted lately is no reason to wait, a refusal is.
        until, why = _wait(as_of, production, evidence.attempts, config, since=as_of)
        if as_of < until:
            return Retrain.NO, DEFINITION, (f"{production.outdated} But {why}: no training before {until}.",)
        return Retrain.YES, DEFINITION, (production.outdated,)
    deciding = [v for v in verdicts if v.action == "retrain"]
    fired = next((v.rule for v in deciding if v.state == "fires"), "")
    if fired:
        until, why = _wait(as_of, production, evidence.attempts, config)
        if as_of < until:
            return Retrain.NO, fired, (f"Rule {fired} holds, but {why}: no training before {until}.",)
        return Retrain.YES, fired, (f"Rule {fired} holds: train again.",)
    outcomes = [v for v in verdicts if v.rule != DRIFT and v.action != "off"]
    if not any(v.state != "insufficient_data" for v in outcomes):
        return (Retrain.INSUFFICIENT, "", ("Whether the model still holds is not known: no matured cohort of it can be judged yet.",))
    return Retrain.NO, "", ("No rule that may start a training holds.",)


def _wait(
    as_of: date, production: Production, attempts: Sequence[Attempt], config: MonitoringConfig, since: date | None = None
) -> tuple[date, str]:
    """The first day on which a rule may start a training, and what it waits for. Attempts at `as_of` itself are this run's own.

    Without a refusal that is `since`, or the promotion's day plus the cool-down.
    """
    until = since or production.promoted + timedelta(days=config.cooldown_days)
    why = f"version {production.version} was promoted on {production.promoted}, less than {config.cooldown_days} days ago"
    refused = sorted(a.as_of for a in attempts if a.outcome == "refused" and production.promoted <= a.as_of < as_of)
    if refused:
        days = min(config.cooldown_days * 2 ** (len(refused) - 1), max(config.max_backoff_days, config.cooldown_days))
        after = refused[-1] + timedelta(days=days)
        if after > until:
            times = "once" if len(refused) == 1 else f"{len(refused)} times"
            return (
                after,
                f"the gates refused the candidate of {refused[-1]} on such evidence ({times} in a row), and the wait is {days} days",
            )
    return until, why


# -- the rules --------------------------------------------------------------------------------------------------------


def judge(
    production: Production, cohorts: Sequence[Performance], looks: Sequence[DriftLook], config: MonitoringConfig
) -> tuple[Verdict, ...]:
    """All rules over the cohorts and drift looks of the production version, oldest first. The whole decides, no segment."""
    ref, whole = production.reference, [c for c in cohorts if c.segment == ALL]
    p, c, r, d = config.performance, config.calibration, config.label_rate, config.drift
    return (
        _verdict(
            PERFORMANCE,
            p.action,
            p.persistence,
            [_look(x.as_of, ref.performance(x), p.max_loss, p.confidence) for x in _usable(whole, p.min_rows)],
        ),
        _verdict(
            CALIBRATION,
            c.action,
            c.persistence,
            [_look(x.as_of, ref.calibration(x), c.floor, c.confidence) for x in _usable(whole, c.min_rows)],
        ),
        _verdict(
            LABEL_RATE,
            r.action,
            r.persistence,
            [_look(x.as_of, ref.label_rate(x), r.floor, r.confidence) for x in _usable(whole, r.min_rows)],
        ),
        _verdict(DRIFT, d.action, d.persistence, [look for x in looks if (look := _drift(x, config)) is not None]),
    )


def _usable(cohorts: Sequence[Performance], min_rows: int) -> list[Performance]:
    return [c for c in cohorts if c.state == CohortState.EVALUATED and c.rows >= min_rows]


def _verdict(rule: str, action: Action, persistence: Persistence, looks: Sequence[Look | None]) -> Verdict:
    newest = tuple(look for look in looks if look is not None)[-persistence.n :]
    name = rule.replace("_", " ").capitalize()
    if not newest:
        return Verdict(rule, "insufficient_data", action, (), f"{name}: nothing that could be evaluated yet.")
    held = sum(look.holds for look in newest)
    fires = newest[-1].holds and held >= persistence.k
    sentence = (
        f"{name}: {newest[-1].text}; it holds in {held} of the {len(newest)} newest looks (needed: {persistence.k} of {persistence.n})."
    )
    return Verdict(rule, "fires" if fires and action != "off" else "quiet", action, newest, sentence)


def _look(as_of: date, found: Difference | None, floor: float, confidence: float) -> Look | None:
    """A look whose effect has a normal law; a number that is not finite is no look at all, never a quiet one."""
    if found is None:
        return None
    effect, se, text = found.effect, found.se, found.text
    low = effect - float(norm.ppf(confidence)) * se
    if not (math.isfinite(effect) and math.isfinite(low)):
        return None
    bounds = f"at least {max(low, 0):.3f} with {confidence:.0%} confidence, floor {floor:g}"
    return Look(as_of, effect, low, effect >= floor and low >= floor, f"cohort {as_of}: {text} ({bounds})")


def _drift(look: DriftLook, config: MonitoringConfig) -> Look | None:
    """Share of the bounded features that drifted in the whole; false discovery control has already bounded each of them."""
    whole = [f for f in look.findings if f.segment == ALL and f.state in (DriftState.OK, DriftState.DRIFTED)]
    features = [f for f in whole if f.feature != SCORE]
    if not features:
        return None
    drifted = [f.feature for f in features if f.state == DriftState.DRIFTED]
    score = any(f.feature == SCORE and f.state == DriftState.DRIFTED for f in whole)
    share = len(drifted) / len(features)
    named = f" ({', '.join(drifted[:5])}{' …' if len(drifted) > 5 else ''})" if drifted else ""
    text = f"run {look.as_of}: {len(drifted)} of {len(features)} bounded features drifted{named}, the score {'drifted' if score else 'did not'}"
    return Look(look.as_of, share, share, score or share >= config.drift.min_share, text)


# -- alerts -----------------------------------------------------------------------------------------------------------


def _segment_alerts(cohorts: Sequence[Performance], ref: Comparable, config: MonitoringConfig) -> list[Alert]:
    """Segments whose newest cohort is badly calibrated, at a confidence shared out among the segments (Bonferroni)."""
    if not cohorts or config.calibration.action == "off":
        return []
    newest = [c for c in cohorts if c.segment != ALL and c.as_of == cohorts[-1].as_of]
    usable, rule = _usable(newest, config.calibration.min_rows), config.calibration
    confidence = 1 - (1 - rule.confidence) / max(len(usable), 1)
    looks = ((c.segment, _look(c.as_of, ref.calibration(c), rule.floor, confidence)) for c in usable)
    return [Alert(CALIBRATION, segment, f"{segment}, {look.text}.") for segment, look in looks if look is not None and look.holds]


def _drifted_features(looks: Sequence[DriftLook]) -> list[Alert]:
    """Every drifted feature of the newest look."""
    found = [f for f in (looks[-1].findings if looks else ()) if f.state == DriftState.DRIFTED]
    return [Alert(DRIFT, f.segment, f"{f.feature}: index {f.psi:.3f}, at least {f.psi_low:.3f}, over {f.rows} rows.") for f in found]


def _silence(as_of: date, production: Production, cohorts: Sequence[Performance], evidence: Evidence) -> list[Alert]:
    """No outcome for a cohort that should have matured by now: labels have stopped, or monitoring has."""
    newest = max((c.as_of for c in cohorts if c.segment == ALL), default=production.promoted - timedelta(days=1))
    overdue = timedelta(days=evidence.horizon_days + evidence.grace_days)
    due = as_of - overdue
    if due < production.promoted or newest >= due - timedelta(days=evidence.grace_days):
        return []
    return [Alert("labels_overdue", ALL, f"Cohorts up to {due} should have matured; the newest judged is {newest if cohorts else 'none'}.")]


def _unjudged(cohorts: Sequence[Performance], config: MonitoringConfig) -> list[Alert]:
    """The newest matured cohort, when no rule could use it: the older ones behind it are no longer news."""
    whole = [c for c in cohorts if c.segment == ALL][-1:]
    needed = min(config.performance.min_rows, config.calibration.min_rows, config.label_rate.min_rows)
    if _usable(whole, needed):
        return []
    return [Alert("cohort_not_judged", ALL, f"Cohort {c.as_of} cannot be judged: {c.reason or f'{c.rows} rows'}.") for c in whole]


def _facts(production: Production, cohorts: Sequence[Performance], evidence: Evidence) -> dict[str, Any]:
    """JSON-able circumstances of the decision, the overlap of the newest two cohorts among them."""
    days = sorted({c.as_of for c in cohorts})
    step = (days[-1] - days[-2]).days if len(days) > 1 else None
    return {
        "promoted": production.promoted.isoformat(),
        "cohorts": len(days),
        "newest_cohort": days[-1].isoformat() if days else None,
        "outcome_days_shared": max(0, evidence.horizon_days - step) if step is not None else None,
        "horizon_days": evidence.horizon_days,
        "refused_since_promotion": sum(a.outcome == "refused" and a.as_of >= production.promoted for a in evidence.attempts),
    }
