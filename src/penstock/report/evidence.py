"""The models with their gates, what stands in Production, and the facts about the data, from plain rows; pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, timedelta

from penstock import kinds
from penstock.config.purpose import Stakes
from penstock.kinds import Kind
from penstock.lake.contract import Contract, missing_days
from penstock.report.data import (
    Acting,
    CalibrationPoint,
    Contended,
    Count,
    DataFacts,
    Freshness,
    GainPoint,
    Importance,
    Kpi,
    Metrics,
    ModelRow,
    Production,
    ProfitPoint,
    Verdict,
)
from penstock.report.gathered import Gathered, Row, Rows, Training
from penstock.report.shape import MOVES, faults
from penstock.training.compare import PROFIT, Contender, Figure
from penstock.training.records import Version

_OF_LISTS = ("recall", "ndcg", "hit_rate", "coverage", "novelty")
_TREATED = {True: "treated", False: "not treated", None: "with treatment not known"}


# -- purpose ----------------------------------------------------------------------------------------------------------


def kpi(found: Gathered) -> Kpi | None:
    """What the purpose says in money; None where it says nothing."""
    stakes = found.pipeline.stakes
    if stakes is None:
        return None
    amounts = (stakes.threshold, stakes.right, stakes.wrong, stakes.target)
    return Kpi(stakes.kpi, stakes.currency, *amounts, found.pipeline.purpose.owner)


def _acting(training: Training, stakes: Stakes | None) -> Acting | None:
    """What the training logged of acting on its list; nothing of one that knew no amounts."""
    numbers = training.run.metrics
    if stakes is None or "kpi.threshold" not in numbers:
        return None
    rows = numbers.get("holdout.rows")
    return Acting(
        currency=stakes.currency,
        share=numbers["kpi.contacts"] / rows if rows else None,
        expected=numbers.get("kpi.expected"),
        realised=numbers.get("kpi.realised"),
        low=numbers.get("kpi.realised_low"),
        high=numbers.get("kpi.realised_high"),
        everybody=numbers.get("kpi.everybody"),
        curve=tuple(ProfitPoint(*point) for point in training.record.profit),
    )


# -- models -----------------------------------------------------------------------------------------------------------


def production(found: Gathered) -> Production | None:
    """The version under the alias, with the move that put it there; a move by hand has left no decision."""
    version = found.models.production
    if version is None:
        return None
    move = next((row for row in found.decisions if row["kind"] in MOVES and row["promotion"] == version.promotion), None)
    training = next((t for t in found.models.trainings if t.run.run_id == version.run_id), None)
    return Production(
        version=str(version.version),
        promoted_at=move["decided_at"] if move else None,
        approved_by=move["decided_by"] if move else None,
        trained_as_of=training.record.as_of if training else None,
        holdout=_holdout(training.run.metrics) if training else Metrics(),
    )


def models(found: Gathered) -> tuple[ModelRow, ...]:
    """Every finished training, in order of time: registered ones by their version, the others by their day."""
    gates = {row["subject"]: row for row in found.decisions if row["kind"] == "gate"}
    versions = {version.run_id: version for version in found.models.versions}
    ordered = sorted(found.models.trainings, key=lambda training: training.record.as_of)
    return tuple(_model(found, t, versions.get(t.run.run_id), gates.get(t.run.run_id)) for t in ordered)


def _model(found: Gathered, training: Training, version: Version | None, gate: Row | None) -> ModelRow:
    record, numbers = training.record, training.run.metrics
    kind = kinds.of(found.pipeline.kind)
    best = _best_heuristic(numbers, kind)
    return ModelRow(
        version=str(version.version) if version else f"candidate of {record.as_of}",
        standing=_standing(found.models.production, version, gate),
        trained_as_of=record.as_of,
        training_rows=record.train_rows,
        holdout=_holdout(numbers),
        best_heuristic=best[0].replace("_", " ") if best else None,
        best_heuristic_figure=best[1] if best else None,
        gates=_verdicts(gate),
        importances=tuple(Importance(name, value) for name, value in record.importances.items()),
        calibration=tuple(CalibrationPoint(*point) for point in record.calibration),
        gain=tuple(GainPoint(*point) for point in record.gain),
        acting=_acting(training, found.pipeline.stakes),
        contenders=tuple(_contended(one, kind) for one in training.contenders),
        approved_by=_approved_by(found.decisions, version),
    )


def _contended(one: Contender, kind: Kind) -> Contended:
    def value(name: str) -> float | None:
        return one.figures[name].value if name in one.figures else None

    primary = one.figures.get(kind.primary, Figure(None))
    return Contended(
        name=one.name.replace("_", " "),
        kind=one.kind,
        chosen=one.chosen,
        auc=value("auc"),
        low=primary.low,
        high=primary.high,
        average_precision=value("average_precision"),
        brier=value("brier"),
        mae=value("mae"),
        rmse=value("rmse"),
        r2=value("r2"),
        bias=value("bias"),
        **{name: value(name) for name in _OF_LISTS},
        profit=value(PROFIT),
        weakest_segment=one.weakest_segment,
        weakest_figure=one.weakest_figure,
        kib=one.cost.size_bytes / 1024 if one.cost else None,
        micros=one.cost.row_micros if one.cost else None,
    )


def _standing(now: Version | None, version: Version | None, gate: Row | None) -> str:
    if version is None:
        return "not judged yet" if gate is None else str(gate["outcome"])
    if now is not None and version.version == now.version:
        return "production"
    if now is not None and version.version == now.replaced:
        return "previous"
    if version.promotion:
        return "retired"
    return "waiting for approval" if version.tags.get("penstock.approval") == "waiting" else "candidate"


def _approved_by(decisions: Rows, version: Version | None) -> str | None:
    """Who approved first: a rollback brings back what somebody had approved."""
    if version is None:
        return None
    moves = [row for row in decisions if row["kind"] in MOVES and row["model_version"] == version.version]
    first = min(moves, key=lambda row: int(row["promotion"]), default=None)
    return str(first["decided_by"]) if first else None


def _holdout(numbers: Mapping[str, float]) -> Metrics:
    rows = numbers.get("holdout.rows")
    return Metrics(
        rows=None if rows is None else int(rows),
        auc=numbers.get("holdout.auc"),
        average_precision=numbers.get("holdout.average_precision"),
        brier=numbers.get("holdout.brier"),
        ece=numbers.get("holdout.calibration_error"),
        lift=numbers.get("holdout.lift_10"),
        mae=numbers.get("holdout.mae"),
        rmse=numbers.get("holdout.rmse"),
        r2=numbers.get("holdout.r2"),
        bias=numbers.get("holdout.bias"),
        **{name: numbers.get(f"holdout.{name}") for name in _OF_LISTS},
    )


def _best_heuristic(numbers: Mapping[str, float], kind: Kind) -> tuple[str, float] | None:
    start, end = "baseline.", f".{kind.primary}"
    found = {name[len(start) : -len(end)]: value for name, value in numbers.items() if name.startswith(start) and name.endswith(end)}
    return max(sorted(found.items()), key=lambda item: kind.ordered(item[1]), default=None)


def _verdicts(gate: Row | None) -> tuple[Verdict, ...]:
    """The gates' sentences beside their names. One that begins with "Not known" could not be evaluated."""
    if gate is None:
        return ()
    judged = zip(json.loads(gate["evidence"]), gate["reasons"], strict=False)
    return tuple(Verdict(told["gate"].replace("_", " "), _passed(told["passed"], sentence), sentence) for told, sentence in judged)


def _passed(passed: bool, sentence: str) -> bool | None:
    return None if not passed and sentence.startswith("Not known") else passed


# -- data -------------------------------------------------------------------------------------------------------------


def data_facts(found: Gathered, newest: date | None) -> DataFacts:
    """Counts over everything that was landed, why rows were refused, and the checks; facts are counted also where they are 0."""
    kept = [
        Count(f"{delivery(found.contract)}s", sum(row["files"] for row in found.files) if found.files else None),
        Count("rows landed", sum(row["accepted"] for row in found.files) if found.files else None),
        Count("rows in quarantine", sum(row["rejected"] for row in found.files) if found.files else None),
    ]
    named = {str(row["name"]): int(row["count"]) for row in found.checks}
    facts = [Count(name.replace("_", " "), count) for name, count in named.items() if not _is_reason(name, found.contract)]
    refused = sorted(
        ((name, count) for name, count in named.items() if count and _is_reason(name, found.contract)), key=lambda item: -item[1]
    )
    facts += [
        Count(f"outcomes {row['standing']}", int(row["count"])) for row in sorted(found.outcomes, key=lambda row: str(row["standing"]))
    ]
    facts += [
        Count(f"labels {_TREATED[row['treated']]}", int(row["count"])) for row in sorted(found.treated, key=lambda row: str(row["treated"]))
    ]
    return DataFacts((*kept, *facts), tuple(Count(_said(name), count) for name, count in refused), _checks(found, newest))


def delivery(contract: Contract) -> str:
    """What arrives of a source at a time."""
    return "day" if contract.known_column else "file"


def _is_reason(name: str, contract: Contract) -> bool:
    return ":" in name or name == "parse_error" or any(rule.name == name and rule.severity == "error" for rule in contract.row_rules)


def _said(name: str) -> str:
    """`unit_price:range` as `unit_price: range`."""
    column, _, why = name.partition(":")
    return f"{column}: {why}" if why else name.replace("_", " ")


def _checks(found: Gathered, newest: date | None) -> tuple[Verdict, ...]:
    """What stopped the newest run, and the checks without which no feature row is ever written."""
    if newest is None:
        return ()
    stopped = [Verdict(row["stage"], False, row["message"]) for row in faults(found.ledger, newest)]
    rows = sum(row["rows"] for row in found.cohorts)
    refused = any(verdict.name == "features" for verdict in stopped)
    return (*stopped, *(_check(check.name, check.holds, None if refused or not rows else rows) for check in found.pipeline.features.checks))


def _check(name: str, holds: str, rows: int | None) -> Verdict:
    told = f"{holds}: not known, no feature row was written" if rows is None else f"{holds}: in every one of {rows:,} feature rows"
    return Verdict(name.replace("_", " "), None if rows is None else True, told)


def freshness(found: Gathered, as_of: date) -> tuple[Freshness, ...]:
    """How far each source has come by `as_of`, and whether more expected files are missing since than its contract allows."""
    landed = max((row["newest"] for row in found.files), default=None)
    own = (found.pipeline.source, found.contract, landed)
    return tuple(_freshness(*one, as_of) for one in (own, *((o.source, o.contract, o.newest) for o in found.others)))


def _freshness(source: str, contract: Contract, landed: date | None, as_of: date) -> Freshness:
    allowed = contract.freshness_days
    promise = (
        f"{'rows' if contract.known_column else 'a file'} each open day by the next day, at most {allowed} missing"
        if contract.latency_days == 1
        else f"at most {allowed} {delivery(contract)}s missing after {contract.latency_days} days"
    )
    if landed is None:
        return Freshness(source, None, None, promise)
    late = missing_days(contract, (), landed + timedelta(days=1), as_of - timedelta(days=contract.latency_days))
    return Freshness(source, landed, len(late) <= allowed, promise)
