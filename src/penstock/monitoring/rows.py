"""Findings, performances and decisions as rows of the long `metrics` table: one number a row, the rest as JSON text.

A row with value null is a number that is not known; its state says why, and a view must not read it as zero.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from penstock.metrics import Interval, Measure
from penstock.monitoring.decide import Decision
from penstock.monitoring.drift import DriftFinding
from penstock.monitoring.kpi import KpiState, ListKpi
from penstock.monitoring.performance import Performance
from penstock.monitoring.profile import ALL
from penstock.worth import MEANING

NOT_EVALUABLE = "not_evaluable"
_DRIFT_NAMES = ("psi", "psi_low", "js", "ks", "chi2", "wasserstein", "p_value", "q_value", "unseen_share", "null_share")


@dataclass(frozen=True)
class MetricRow:
    """One number about one subject; `detail` is a JSON object."""

    kind: str
    subject: str
    segment: str
    name: str
    value: float | None
    state: str
    detail: str


def drift_rows(findings: Iterable[DriftFinding], model_version: str) -> tuple[MetricRow, ...]:
    """Kind `drift`, subject the feature, one row for each distance that applies to it; `psi` is always there."""
    rows = []
    for f in findings:
        detail = _json(model_version=model_version, rows=f.rows, reference_rows=f.reference_rows, reason=f.reason)
        values = ((name, getattr(f, name)) for name in _DRIFT_NAMES)
        rows += [MetricRow("drift", f.feature, f.segment, n, v, f.state.value, detail) for n, v in values if v is not None or n == "psi"]
    return tuple(rows)


def performance_rows(performances: Iterable[Performance]) -> tuple[MetricRow, ...]:
    """Kind `performance`, subject the cohort's `as_of` (YYYY-MM-DD), one row for each metric and bound."""
    rows: list[MetricRow] = []
    for p in performances:
        head = ("performance", p.as_of.isoformat(), p.segment)
        counts = {name: getattr(p, name) for name in p.COUNTS}
        detail: dict[str, object] = {"model_version": p.model_version, **counts}
        rows += [MetricRow(*head, n, float(v), p.state.value, _json(**detail, reason=p.reason)) for n, v in counts.items()]
        rows += [_measure_row(head, name, getattr(p, name), p, detail) for name in p.MEASURES]
        for name in p.INTERVALS:
            rows += _interval_rows(head, name, getattr(p, name), p, detail)
    return tuple(rows)


def _measure_row(head: tuple[str, str, str], name: str, measure: Measure, cohort: Performance, detail: dict[str, object]) -> MetricRow:
    state = cohort.state.value if measure.known else NOT_EVALUABLE
    return MetricRow(*head, name, measure.value, state, _json(**detail, reason=measure.reason or cohort.reason))


def _interval_rows(
    head: tuple[str, str, str], name: str, interval: Interval, cohort: Performance, detail: dict[str, object]
) -> list[MetricRow]:
    parts = ((name, interval.value), (f"{name}_low", interval.low), (f"{name}_high", interval.high))
    return [_measure_row(head, n, Measure(v, interval.reason), cohort, detail) for n, v in parts]


def kpi_rows(lists: Iterable[ListKpi]) -> tuple[MetricRow, ...]:
    """Kind `kpi`, subject the list's `as_of` (YYYY-MM-DD): what was expected of it, and what it came to once that is known."""
    rows: list[MetricRow] = []
    for k in lists:
        stakes = k.stakes
        detail = {
            "kpi": stakes.kpi,
            "currency": stakes.currency,
            "right": stakes.right,
            "wrong": stakes.wrong,
            "model_version": k.model_version,
        }
        known = {
            "rows": Measure(float(k.rows)),
            "contacts": Measure(float(k.contacts)),
            "threshold": Measure(stakes.threshold),
            "expected": k.expected,
        }
        known |= {"per_contact": k.per_contact} | ({} if stakes.target is None else {"target": Measure(stakes.target)})
        if k.state != KpiState.PENDING:
            bounds = {"realised": k.realised.value, "realised_low": k.realised.low, "realised_high": k.realised.high}
            known |= {name: Measure(value, k.realised.reason) for name, value in bounds.items()}
            known |= {
                name: Measure(rate.value, rate.reason) for name, rate in (("list_rate", k.list_rate), ("control_rate", k.control_rate))
            }
            done = {"treated_share": k.treated, "control_treated_share": k.control_treated}
            known |= {name: share for name, share in done.items() if share is not None}
        for name, measure in known.items():
            more = {"means": MEANING} if name.startswith("realised") else {}
            state = k.state.value if measure.known else NOT_EVALUABLE if k.state == KpiState.EVALUATED else k.state.value
            text = _json(**detail, **more, reason=measure.reason or k.reason)
            rows.append(MetricRow("kpi", k.as_of.isoformat(), ALL, name, measure.value, state, text))
    return tuple(rows)


def decision_rows(decision: Decision) -> tuple[MetricRow, ...]:
    """Kind `decision`, subject the rule: the newest look's effect and lower bound, null when there is no look."""
    rows = []
    for v in decision.verdicts:
        newest = v.looks[-1] if v.looks else None
        detail = _json(action=v.action, sentence=v.sentence, model_version=decision.version, retrain=decision.retrain.value)
        for name, value in (("effect", newest.effect if newest else None), ("effect_low", newest.low if newest else None)):
            rows.append(MetricRow("decision", v.rule, "all", name, value, v.state, detail))
    return tuple(rows)


def _json(**detail: object) -> str:
    return json.dumps({k: v for k, v in detail.items() if v not in ("", None)}, sort_keys=True, ensure_ascii=False, allow_nan=False)
