"""The promote stage: the newest candidate goes through the gates; what passes is registered, and once approved becomes Production.

The decision is a row in `decisions` before the alias moves, and the alias follows the row: a run that was killed between
the two is finished by the next one. An alias that a person moved by hand is left alone, and told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from penstock import clock
from penstock.errors import RefusedError, UsageError
from penstock.features import versions
from penstock.lake import tables
from penstock.registry import gates, judge
from penstock.registry.card import card
from penstock.registry.gates import Verdict
from penstock.stage import Report, Run
from penstock.training import dataset
from penstock.training.records import TrainedRun, Version

POLICY = "policy: every gate passed"


@dataclass(frozen=True)
class Approval:
    """A person puts a registered version under the alias."""

    version: int
    by: str


@dataclass(frozen=True)
class Rollback:
    """A person puts the previous version back."""

    by: str


@dataclass(frozen=True)
class Promotion:
    """One move of the alias as the decisions record it."""

    number: int
    version: int
    as_of: datetime


@dataclass(frozen=True)
class Plan:
    """The candidate to judge, if there is one, and the last recorded promotion that the alias has to follow."""

    candidate: str | None
    training_id: str
    approval: str
    last: Promotion | None
    reason: str = ""


def plan(run: Run) -> Plan:
    """The candidate that the newest finished training chose, or that a person names, if no gate has judged it."""
    last, judged = _recorded(run)
    newest = run.services.models().newest_run(run.pipeline.name, str(run.day))
    approval = run.settings.promotion.approval
    meant = versions.current(run)
    if newest is None:
        return Plan(None, "", approval, last, "no candidate")
    wanted = _named(run, newest, run.candidate) if run.candidate else newest
    if wanted.run_id in judged:
        return Plan(None, "", approval, last, f"candidate {run.candidate} was judged before" if run.candidate else "no new candidate")
    if wanted.tags.get(versions.TAG) != meant.tag:
        told = wanted.tags.get(versions.TAG, "features of an unknown version")
        return Plan(None, "", approval, last, f"the newest candidate was trained on {told}, the configuration means {meant.tag}")
    return Plan(wanted.run_id, wanted.training_id, approval, last)


def apply(run: Run, chosen: Plan) -> Report:
    """Judge, register, record, and let the alias follow the record."""
    models = run.services.models()
    follow(run, chosen.last)
    if chosen.candidate is None:
        return Report("promote", "nothing", chosen.reason)
    candidate = models.find_run(run.pipeline.name, chosen.training_id)
    assert candidate is not None
    record = dataset.record_from_json(models.read_text(candidate.run_id, dataset.RECORD))
    evidence = judge.evidence(run, candidate, record)
    verdicts = judge.verdicts(run, candidate, evidence)
    run.progress.step("promote.judged")
    models.add_texts(candidate.run_id, {"verdicts.json": json.dumps([asdict(v) for v in verdicts], indent=1)})
    passed = gates.all_passed(verdicts)
    version = models.register(run.pipeline.name, candidate, _tags(run, candidate, record, chosen)) if passed else None
    if version is not None:
        models.set_staging(run.pipeline.name, version.version)
        models.add_texts(candidate.run_id, {"model_card.md": card(judge.card_facts(run, candidate, record, evidence, verdicts))})
        run.progress.step("promote.registered")
    approved = version is not None and chosen.approval == "policy"
    promotion = Promotion((chosen.last.number if chosen.last else 0) + 1, version.version, run.as_of) if approved and version else None
    _record(
        run, _gate_row(run, candidate, verdicts, version), *([_promotion_row(run, promotion, "promotion", POLICY)] if promotion else [])
    )
    run.progress.step("promote.decided")
    if promotion:
        follow(run, promotion)
        run.progress.step("promote.moved")
    return _report(run, verdicts, version, promotion)


def move(run: Run, wanted: Approval | Rollback) -> Report:
    """A person's move of the alias. Raises UsageError for a version that is not there, RefusedError for one that did not pass."""
    last, _ = _recorded(run)
    follow(run, last)
    version = _approved(run, wanted) if isinstance(wanted, Approval) else _previous(run)
    promotion = Promotion((last.number if last else 0) + 1, version.version, run.as_of)
    kind = "approval" if isinstance(wanted, Approval) else "rollback"
    _record(run, _promotion_row(run, promotion, kind, wanted.by))
    run.progress.step("promote.decided")
    follow(run, promotion)
    text = f"version {version.version} is Production ({kind} by {wanted.by})"
    return Report("promote", "done", text, {"promotion": promotion.number}, {}, {"model_version": version.version})


def follow(run: Run, promotion: Promotion | None) -> None:
    """Let the alias follow the last recorded promotion, unless it has done so before."""
    models = run.services.models()
    if promotion is None:
        return
    version = models.version(run.pipeline.name, promotion.version)
    if version.promotion >= promotion.number and version.stage != "staging":  # a version on its way is tagged so
        return
    models.set_production(run.pipeline.name, promotion.version, promotion.number, {"penstock.approval": "approved"})


def _recorded(run: Run) -> tuple[Promotion | None, set[str]]:
    """The last promotion of the pipeline, and the training runs that the gates have judged."""
    from pyspark.sql import functions as F

    if not run.lake.exists(tables.DECISIONS):
        return None, set()
    own = run.lake.read(tables.DECISIONS).where(
        (F.col("pipeline") == run.pipeline.name) & F.col("kind").isin("gate", "promotion", "approval", "rollback")
    )
    rows = own.select("kind", "subject", "promotion", "model_version", F.unix_micros("as_of").alias("at")).collect()
    moves = [Promotion(r["promotion"], r["model_version"], clock.from_epoch(r["at"])) for r in rows if r["kind"] != "gate"]
    return max(moves, key=lambda p: p.number, default=None), {r["subject"] for r in rows if r["kind"] == "gate"}


def _named(run: Run, training: TrainedRun, name: str) -> TrainedRun:
    found = run.services.models().candidates(run.pipeline.name, training)
    if name not in found:
        raise UsageError(
            f"candidate of training {training.training_id}",
            got=name,
            expected=f"one of {', '.join(found)}",
            next=f"penstock candidates {run.pipeline.name}",
        )
    return found[name]


def _approved(run: Run, wanted: Approval) -> Version:
    models = run.services.models()
    known = {v.version: v for v in models.versions(run.pipeline.name)}
    if wanted.version not in known:
        raise UsageError(
            f"version of {run.pipeline.name}", got=str(wanted.version), expected=f"one of {', '.join(map(str, known)) or 'none registered'}"
        )
    now = models.production(run.pipeline.name)
    if now is not None and now.version == wanted.version:
        raise UsageError(f"version {wanted.version}", got="Production already", expected="another version")
    return known[wanted.version]  # only what passed every gate is ever registered


def _previous(run: Run) -> Version:
    found = run.services.models().previous(run.pipeline.name)
    if found is None:
        raise RefusedError(
            f"rollback of {run.pipeline.name}",
            got="no previous version",
            expected="one that Production replaced",
            left="The alias was not moved",
        )
    return found


def _tags(run: Run, candidate: TrainedRun, record: dataset.Record, chosen: Plan) -> Mapping[str, str]:
    feature_table = versions.view_tables(run, versions.of_model(run, "the candidate", candidate.tags))[1].name
    return {
        versions.TAG: candidate.tags[versions.TAG],
        "penstock.as_of": str(record.as_of),
        "penstock.data": f"{feature_table}@{record.features}, labels_{run.pipeline.name}@{record.labels}",
        "penstock.gates": "passed",
        "penstock.approval": "approved" if chosen.approval == "policy" else "waiting",
    }


def _report(run: Run, verdicts: Sequence[Verdict], version: Version | None, promotion: Promotion | None) -> Report:
    if version is None:
        failed = [v for v in verdicts if not v.passed]
        text = f"candidate refused: {failed[0].sentence}" + (f" ({len(failed) - 1} more)" if len(failed) > 1 else "")
        if run.requested:
            raise RefusedError(
                "candidate",
                got="; ".join(v.sentence for v in failed),
                expected="every gate passed",
                left="Production stays; the verdicts are in decisions",
            )
        return Report("promote", "done", text, {"refused": 1})
    if promotion is None:
        wait = f"version {version.version} passed {len(verdicts)} gates and waits: penstock promote {run.pipeline.name} --approve {version.version} --by NAME"
        return Report("promote", "done", wait, {"registered": 1}, {}, {"model_version": version.version})
    text = f"version {version.version} passed {len(verdicts)} gates and is Production (approved by policy)"
    return Report("promote", "done", text, {"registered": 1, "promotion": promotion.number}, {}, {"model_version": version.version})


def _gate_row(run: Run, candidate: TrainedRun, verdicts: Sequence[Verdict], version: Version | None) -> tuple[Any, ...]:
    evidence = json.dumps([{"gate": v.gate, "passed": v.passed, **v.numbers} for v in verdicts])
    outcome = "passed" if version else "refused"
    number = version.version if version else None
    return _row(run, "gate", candidate.run_id, outcome, "gates", [v.sentence for v in verdicts], evidence, number, None, "gates")


def _promotion_row(run: Run, promotion: Promotion, kind: str, by: str) -> tuple[Any, ...]:
    return _row(run, kind, f"promotion {promotion.number}", "production", kind, [], "{}", promotion.version, promotion.number, by)


def _row(
    run: Run,
    kind: str,
    subject: str,
    outcome: str,
    rule: str,
    reasons: list[str],
    evidence: str,
    version: int | None,
    number: int | None,
    by: str,
) -> tuple[Any, ...]:
    return (run.pipeline.name, run.as_of, kind, subject, outcome, rule, reasons, evidence, version, number, by, clock.now(), run.run_id)


def _record(run: Run, *rows: tuple[Any, ...]) -> None:
    ddl = ", ".join(f"{name} {kind}" for name, kind in tables.DECISIONS.columns)
    identity = [[str(part) for part in row[:5]] for row in rows]
    run.append("pipeline", tables.DECISIONS, "promote", identity, run.lake.spark.createDataFrame(list(rows), ddl))
