"""The evidence for the gates: the holdout's rows again from the recorded versions, scored through the Spark path."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from penstock.features import examples, versions
from penstock.features.versions import ViewVersion
from penstock.registry import gates
from penstock.registry.card import CardFacts
from penstock.registry.gates import Champion, Check, Judged, Verdict
from penstock.scoring.run import score_rows
from penstock.stage import Run
from penstock.training import dataset, evaluate
from penstock.training.acting import acting_on
from penstock.training.featured import CHECKS
from penstock.training.records import InputTable, TrainedRun, Version
from penstock.training.rows import Rows
from penstock.worth import ListWorth

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pyspark.sql import DataFrame

    from penstock.training.records import LocalModel


@dataclass(frozen=True)
class Evidence:
    """The holdout with the scores that the candidate got in training and through the Spark path, and the champion's."""

    rows: Rows
    kept: NDArray[np.float64]
    deployed: NDArray[np.float64]
    champion: Champion | None
    centre: float | None = None
    """What a constant baseline says, as the training kept it."""


def verdicts(run: Run, candidate: TrainedRun, found: Evidence) -> tuple[Verdict, ...]:
    """What each gate says of the candidate."""
    config, seed = run.pipeline.training.gates, run.pipeline.training.seed
    rows, listed = found.rows, acting(run, found)
    judged = Judged(rows.label, found.deployed, rows.entity, rows.kind)
    heuristics = evaluate.baseline_scores(rows, run.pipeline.training.baselines, found.centre)
    segments = evaluate.segments_of(rows.frame, run.pipeline.training.segments)
    checks = [Check(check["name"], check.get("passed")) for check in json.loads(run.services.models().read_text(candidate.run_id, CHECKS))]
    return (
        gates.is_deployable(found.kept, found.deployed, config),
        gates.features_are_checked(checks),
        gates.beats_heuristics(judged, heuristics, config, seed=seed),
        gates.not_worse_than_champion(judged, found.champion, config, seed=seed),
        gates.no_segment_loses(judged, found.champion, segments, config),
        gates.is_level(judged, config),
        *([gates.acting_pays(listed, found.champion, config)] if listed else []),
    )


def acting(run: Run, found: Evidence) -> ListWorth | None:
    """What acting on the candidate's list would have brought on the holdout, beside the champion's and the heuristics'."""
    others = {gates.CHAMPION: found.champion.score} if found.champion and found.champion.score is not None else {}
    return acting_on(run.pipeline, found.rows, found.deployed, others)


def evidence(run: Run, candidate: TrainedRun, record: dataset.Record) -> Evidence:
    """Read the holdout again and score it, with the model as it comes back from the store.

    The champion scores the rows that its own version of the view has for the same (entity, `as_of`). Where it has none, or
    the version is not known, it has no score: the gates then say that they do not know.
    """
    models = run.services.models()
    judged_on = versions.of_model(run, "the candidate", candidate.tags)
    holdout = dataset.labelled(run, record.features, record.labels, record.holdout_days, view=judged_on)
    key = examples.key(run)
    names = [name for name, _ in key]

    def scored(frame: DataFrame, rows: DataFrame, model: LocalModel, name: str) -> DataFrame:
        return frame.join(score_rows(rows, key, model).withColumnRenamed("score", name), on=names, how="left")

    frame = scored(holdout, holdout, models.local_model(candidate), "__candidate")
    production = models.production(run.pipeline.name)
    own = None if production is None else _champion_rows(run, production, judged_on, holdout, record.holdout_days)
    reigning = None if production is None or own is None else models.local_model(production)
    unlike = "" if reigning is None or reigning.kind == run.kind else f"it is a {reigning.kind.name}, the candidate a {run.kind.name}"
    if reigning is not None and own is not None and not unlike:
        frame = scored(frame, own, reigning, "__champion")
    with examples.read(run):
        rows = dataset.rows_of(run, frame.toArrow().to_pandas())
    kept = np.asarray(json.loads(models.read_text(candidate.run_id, dataset.SCORES)), dtype=np.float64)
    if dataset.rows_digest(rows.frame["as_of"].tolist(), rows.names()) != record.rows_digest:
        kept = np.empty(0)  # other rows than those judged in training: deployability is then not known
    champion = None
    if production is not None:
        unknown = f"the rows of the features that it was trained on ({production.tags.get(versions.TAG, 'no tag')}) are not known here"
        score = rows.frame["__champion"].to_numpy(dtype=np.float64) if "__champion" in rows.frame.columns else None
        champion = Champion(str(production.version), score, "" if score is not None else unlike or unknown)
    return Evidence(rows, kept, rows.frame["__candidate"].to_numpy(dtype=np.float64), champion, record.centre)


def _champion_rows(run: Run, production: Version, judged_on: ViewVersion, holdout: DataFrame, days: Sequence[date]) -> DataFrame | None:
    """The rows that the champion scores: the holdout itself, or those of its own version of the view on the holdout's days."""
    from pyspark.sql import functions as F

    own = versions.named_by(run, production.tags)
    if own is None:
        return None
    if own.digest == judged_on.digest:
        return holdout
    _, table = versions.view_tables(run, own)
    if not run.lake.exists(table):
        return None
    return examples.of(run, run.lake.read(table).where(F.col("as_of").isin([F.lit(run.instant(day)) for day in days])), own)


def card_facts(run: Run, candidate: TrainedRun, record: dataset.Record, holdout: Evidence, found: tuple[Verdict, ...]) -> CardFacts:
    """What the model card says."""
    pipeline = run.pipeline
    _, feature_table = versions.view_tables(run, versions.of_model(run, "the candidate", candidate.tags))
    return CardFacts(
        pipeline=pipeline.name,
        question=pipeline.purpose.question,
        owner=pipeline.purpose.owner,
        score_is=run.kind.score_is.format(pipeline.label.positive),
        as_of=str(record.as_of),
        training_id=candidate.training_id,
        run_id=candidate.run_id,
        digest=candidate.digest,
        code_version=run.code_version,
        estimator=candidate.params["estimator"],
        params=dict(candidate.params),
        calibration=candidate.params["calibration"],
        features=run.services.models().local_model(candidate).columns,
        tables=[InputTable(feature_table.name, record.features), InputTable(f"labels_{pipeline.name}", record.labels)],
        trained_on=f"{record.train_rows} rows of {len(record.train_days)} cohorts, {record.train_days[0]} to {record.train_days[-1]}",
        judged_on=f"{record.holdout_rows} rows of {len(record.holdout_days)} cohorts, {record.holdout_days[0]} to {record.holdout_days[-1]}",
        overall=evaluate.evaluate(holdout.rows.label, holdout.deployed, kind=run.kind),
        segments=evaluate.by_segment(holdout.rows, holdout.deployed, pipeline.training.segments),
        verdicts=found,
        notes=record.notes,
        decision=pipeline.purpose.decision,
        acting=acting(run, holdout),
    )
