"""The train stage: when the monitoring says so, or a person asks, candidates from the matured labels, logged whole."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from penstock import clock, metrics
from penstock.config.load import digest_of
from penstock.config.training import TrainingConfig
from penstock.errors import RefusedError
from penstock.features import examples, versions
from penstock.features.run import view_tables
from penstock.lake import tables
from penstock.monitoring import outcomes
from penstock.monitoring.profile import ALL, Profile, count_frame, counts_from_rows, make_profile, to_json
from penstock.monitoring.reference import PROFILE, REFERENCE, reference_to_json
from penstock.stage import Report, Run
from penstock.training import compare, dataset, evaluate, plots
from penstock.training.acting import acting_on, kpi_metrics, profit_by_share
from penstock.training.artefact import saved_bytes
from penstock.training.compare import Contender, Cost
from penstock.training.evaluate import Evaluation
from penstock.training.explain import explain
from penstock.training.featured import feature_facts
from penstock.training.fit import Fitted, best_of, fit_candidates, scores_of
from penstock.training.inputs import Inputs, from_pandas
from penstock.training.records import InputTable, TrainingFacts, TrialFacts
from penstock.training.rows import Rows
from penstock.training.split import Split, holdout

if TYPE_CHECKING:
    import pyarrow as pa

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Plan:
    """Train or not, and why; from which versions, under which id (the same inputs give the same id)."""

    train: bool
    reason: str
    features: int = -1
    labels: int = -1
    training_id: str = ""


def plan(run: Run) -> Plan:
    """The monitoring's decision for this `as_of`, unless a person asks for the training itself."""
    decision = decision_of(run)
    wanted, reason = (True, "asked for") if run.requested else decision
    if not wanted:
        return Plan(False, reason)
    _, feature_table = view_tables(run)
    read = run.lake.version(feature_table), run.lake.version(tables.labels(run.pipeline.name, run.key))
    meaning = [run.pipeline.training.model_dump(mode="json"), run.pipeline.label.model_dump(mode="json"), run.pipeline.population]
    meaning += [run.pipeline.kind] if run.pipeline.kind != "classification" else []
    meaning += [run.pipeline.purpose.worth.model_dump(mode="json")] if run.pipeline.purpose.worth else []  # it decides which list is logged
    identity = [run.pipeline.name, str(run.day), *read, versions.current(run).digest, meaning]
    return Plan(True, reason, *read, training_id=f"{run.day:%Y%m%d}-{digest_of(identity)}")


def apply(run: Run, chosen: Plan) -> Report:
    """Fit on the cohorts before the holdout, judge on the holdout, log. A finished run of the same id is kept as it is."""
    if not chosen.train:
        return Report("train", "nothing", chosen.reason)
    inputs = {"features": chosen.features, "labels": chosen.labels}
    models = run.services.models()
    if models.find_run(run.pipeline.name, chosen.training_id) is not None:
        return Report("train", "nothing", f"training {chosen.training_id} is logged already", inputs=inputs)
    with examples.read(run):
        table = dataset.labelled(run, chosen.features, chosen.labels, dataset.history(run, chosen.labels)).toArrow()
    rows = dataset.rows_of(run, table.to_pandas())
    run.progress.step("train.read", len(rows))
    config, label = run.pipeline.training, run.pipeline.label
    horizon = label.horizon_days + label.delay_days
    split = holdout(rows.day, cohorts=config.holdout_cohorts, horizon=horizon)
    train, test = rows.where(split.train_rows(rows.day)), rows.where(split.test_rows(rows.day))
    fitted = fit_candidates(train, _features(run), config, horizon=horizon, seconds=clock.stopwatch)
    run.progress.step("train.fitted", len(train))
    best = best_of(fitted)
    every = {one.candidate.name: _facts(run, chosen, one, split, train, test, table) for one in fitted}
    facts = _whole(every, best, fitted, compare.to_json(_comparison(run, train, test, fitted, best)))
    models.log_training(facts)
    run.progress.step("train.logged")
    figure = facts.metrics.get(f"holdout.{run.kind.primary}")
    told = (
        f"{best.candidate.name} of {len(fitted)}, {len(train):,} rows of {len(split.train)} cohorts, holdout {run.kind.title} {figure:,.3f}"
        if figure is not None
        else f"{len(train):,} rows, holdout not evaluable"
    )
    return Report(
        "train",
        "done",
        f"{told} ({chosen.reason})",
        {"train_rows": len(train), "holdout_rows": len(test)},
        inputs,
    )


def decision_of(run: Run) -> tuple[bool, str]:
    """What the monitoring decided for this pipeline and `as_of`."""
    from pyspark.sql import functions as F

    if not run.lake.exists(tables.DECISIONS):
        return False, "the monitoring has not decided yet"
    own = (F.col("pipeline") == run.pipeline.name) & (F.col("kind") == "retrain") & (F.col("as_of") == F.lit(run.as_of))
    found = run.lake.read(tables.DECISIONS).where(own).select("outcome", "rule", "reasons").collect()
    if not found:
        return False, "the monitoring has not decided yet"
    row = found[0]
    if row["outcome"] in {"yes", "first_model"}:
        return True, row["rule"] or row["outcome"].replace("_", " ")
    return False, "not decided on"


def _features(run: Run) -> tuple[str, ...]:
    config = run.pipeline.training
    chosen = config.features or run.pipeline.features.example_columns()
    return tuple(name for name in chosen if name not in config.exclude)


def _whole(every: Mapping[str, TrainingFacts], best: Fitted, fitted: Sequence[Fitted], comparison: str) -> TrainingFacts:
    """The chosen candidate's facts with the trials of all, the comparison and, without figures to draw, the other candidates."""
    trials = tuple(
        TrialFacts(
            one.candidate.name,
            number,
            {"estimator": one.candidate.estimator, **one.candidate.params, **trial.params},
            {f"folds.{one.kind.primary}": trial.figure},
        )
        for one in fitted
        for number, trial in enumerate(one.searched.trials, start=1)
    )
    facts = every[best.candidate.name]
    others = tuple(
        replace(other, training_id=f"{other.training_id}.{name}", figures={})
        for name, other in every.items()
        if name != best.candidate.name
    )
    return replace(facts, trials=trials, others=others, texts={**facts.texts, compare.COMPARISON: comparison})


def _comparison(run: Run, train: Rows, test: Rows, fitted: Sequence[Fitted], best: Fitted) -> tuple[Contender, ...]:
    """Candidates, champion and heuristics on the holdout rows."""
    config = run.pipeline.training
    found = []
    for one in fitted:
        line = Contender("candidate", one.candidate.name, one.candidate.estimator, chosen=one is best)
        line = replace(line, fold_figure=one.searched.figure, trials=len(one.searched.trials))
        found.append(_judged(run, line, one.model, one.inputs, test))
    champion = _champion(run, test)
    listed = acting_on(run.pipeline, test, best.scores(test))
    return (*found, *([champion] if champion else []), *compare.heuristics(test, config, listed, centre=run.kind.centre(train.label)))


def _judged(run: Run, line: Contender, model: Any, inputs: Inputs, test: Rows) -> Contender:
    config, score = run.pipeline.training, scores_of(model, inputs, test)
    segment, weakest = compare.weakest(test, score, config)
    cost = Cost(saved_bytes(model), compare.row_micros(lambda: scores_of(model, inputs, test), len(test), clock.stopwatch))
    figures = compare.figures(test, score, config) | compare.profit(acting_on(run.pipeline, test, score))
    return replace(line, figures=figures, weakest_segment=segment, weakest_figure=weakest, cost=cost)


def _champion(run: Run, test: Rows) -> Contender | None:
    """The Production version's line. That it cannot be scored is told there, and stops no training: the gates will refuse on it."""
    models = run.services.models()
    production = models.production(run.pipeline.name)
    if production is None:
        return None
    line = Contender("champion", f"version {production.version}")
    try:
        loaded = models.load_model(production)
        if loaded.kind != run.kind:
            return replace(line, note=f"it is a {loaded.kind.name}")
        missing = [name for name in loaded.inputs.names if name not in test.frame.columns]
        if missing:
            return replace(line, note=f"the rows have no {', '.join(missing)}")
        return _judged(run, line, loaded.model, loaded.inputs, test)
    except RefusedError as error:
        return replace(line, note=str(error))


def _facts(run: Run, chosen: Plan, fitted: Fitted, split: Split, train: Rows, test: Rows, table: pa.Table) -> TrainingFacts:
    config = run.pipeline.training
    score = fitted.scores(test)
    kind, centre = run.kind, run.kind.centre(train.label)
    overall = evaluate.evaluate(test.label, score, kind=kind, min_rows=config.gates.min_rows, bins=config.gates.calibration_bins)
    weeks = evaluate.by_week(test, score)
    segments = evaluate.by_segment(test, score, config.segments, min_rows=config.gates.min_segment_rows)
    heuristics = evaluate.by_baseline(test, config.baselines, centre)
    importances = plots.importances_of(fitted, test, seed=config.seed)
    record = dataset.Record(
        pipeline=run.pipeline.name,
        as_of=run.day,
        features=chosen.features,
        labels=chosen.labels,
        train_days=_days(split.train),
        holdout_days=_days(split.test),
        train_rows=len(train),
        holdout_rows=len(test),
        rows_digest=dataset.rows_digest(test.frame["as_of"].tolist(), test.names()),
        calibration=_calibration(test.target, score, config.gates.calibration_bins),
        gain=_gain(test.target, score),
        profit=profit_by_share(run.pipeline, test, score),
        importances=importances,
        centre=centre,
        notes=(fitted.searched.note,) if fitted.searched.note else (),
    )
    numbers = _numbers(run, fitted, test, score, overall, segments, heuristics)
    trials = [{**t.params, kind.primary: t.figure} for t in fitted.searched.trials]
    trained_on = versions.current(run)
    feature_table, label_table = view_tables(run)[1].name, tables.labels(run.pipeline.name, run.key).name
    return TrainingFacts(
        pipeline=run.pipeline.name,
        candidate=fitted.candidate.name,
        training_id=chosen.training_id,
        model=fitted.model,
        inputs=fitted.inputs,
        params=_params(fitted, config),
        metrics=numbers,
        tables=(InputTable(feature_table, chosen.features, trained_on.digest), InputTable(label_table, chosen.labels)),
        tags=_tags(run, chosen, trained_on.tag),
        texts={
            dataset.RECORD: record.to_json(),
            REFERENCE: reference_to_json(outcomes.of(kind).reference(test.label, score, test.day == test.day.max())),
            PROFILE: _profile(run, chosen, table, test, score),
            dataset.SCORES: json.dumps([float(s) for s in score]),
            "evaluation/weeks.csv": evaluate.table(weeks).to_csv(index=False),
            "evaluation/segments.csv": evaluate.table(segments).to_csv(index=False),
            "evaluation/heuristics.csv": evaluate.table(list(heuristics.values())).to_csv(index=False),
            "search/trials.json": json.dumps(trials, default=str, indent=1),
            **feature_facts(run, chosen.features, (*record.train_days, *record.holdout_days), fitted.inputs.names),
        },
        figures={
            f"plots/{name}.png": figure for name, figure in plots.plots(test.label, score, kind=kind, importances=importances).items()
        },
        code_version=run.code_version,
        kind=kind,
        explanation=explain(fitted.model, fitted.inputs, from_pandas(train.frame, fitted.inputs)),
    )


def _numbers(
    run: Run,
    fitted: Fitted,
    test: Rows,
    score: Any,
    overall: Evaluation,
    segments: Sequence[Evaluation],
    heuristics: Mapping[str, Evaluation],
) -> dict[str, float]:
    """The run's metrics: those that are known."""
    numbers = {f"holdout.{n}": v for n, v in overall.numbers().items()}
    primary = run.kind.primary
    numbers |= {} if fitted.searched.figure is None else {f"folds.{primary}": fitted.searched.figure}
    numbers |= {f"baseline.{name}.{primary}": e.primary.value for name, e in heuristics.items() if e.primary.value is not None}
    numbers |= {f"segment.{e.subject.replace('=', '.')}.{primary}": e.primary.value for e in segments if e.primary.value is not None}
    numbers |= kpi_metrics(acting_on(run.pipeline, test, score))
    return numbers


def _tags(run: Run, chosen: Plan, trained_on: str) -> dict[str, str]:
    about = {"penstock.as_of": str(run.day), "penstock.reason": chosen.reason, "penstock.configuration": run.configuration.digest}
    return about | {versions.TAG: trained_on}


def _params(fitted: Fitted, config: TrainingConfig) -> dict[str, Any]:
    """What made the model; a setting that is off is not among them."""
    candidate = fitted.candidate
    own = {
        "candidate": candidate.name,
        "estimator": candidate.estimator,
        "calibration": config.calibration.method,
        "seed": config.seed,
        "impute": candidate.preprocessing.impute,
        "scale": candidate.preprocessing.scale,
    }
    optional = {"class_weight": candidate.class_weight, "select_share": candidate.select.share if candidate.select else None}
    return {**own, **{name: value for name, value in optional.items() if value}, **candidate.params, **fitted.searched.best}


def _days(numbers: tuple[int, ...]) -> tuple[date, ...]:
    return tuple(_EPOCH + timedelta(days=int(n)) for n in numbers)


def _profile(run: Run, chosen: Plan, table: pa.Table, test: Rows, score: Any) -> str:
    """The features and scores of the holdout, as the monitoring will compare later ones with."""
    import pyarrow as pa
    import pyarrow.compute as pc

    # Taken from the Arrow table, which keeps NaN and null apart, in the order of the holdout rows.
    held = table.filter(pc.is_in(table["as_of"], pa.array(sorted(set(test.frame["as_of"])), table["as_of"].type)))
    # By the same columns as the holdout rows are, so that each score stands at its row.
    held = held.sort_by([(name, "ascending") for name in ("as_of", *test.key)]).append_column("score", pa.array(score))
    features = [*_features(run), *outcomes.of(run.kind).answers]
    made = make_profile(held, features, run.pipeline.monitoring.drift, effective_rows=len(set(test.entity)))
    return to_json(_of_everybody(run, chosen, made, sorted(set(test.frame["as_of"]))) if examples.within(run) else made)


def _of_everybody(run: Run, chosen: Plan, made: Profile, as_ofs: Sequence[Any]) -> Profile:
    """The profile's bins counted over the whole population: the labelled examples are of those alone who chose anything."""
    from pyspark.sql import functions as F

    version = versions.current(run)
    rows = versions.in_population(run, versions.rows(run, version, chosen.features), version.number)
    held = rows.where(F.col("as_of").isin([F.lit(at.to_pydatetime()) for at in as_ofs]))
    with examples.read(run):
        found = count_frame(made, examples.of(run, held, version)).collect()
        entities = held.select(*(name for name, _ in run.key)).distinct().count()
    counts = counts_from_rows(made, [(row["segment"], row["feature"], row["bin"], row["count"]) for row in found])
    whole = sum(counts[ALL, made.features[0]])
    return replace(made, counts=counts, rows=whole, effective_rows=min(entities, whole))


def _calibration(label: Any, score: Any, bins: int) -> tuple[tuple[float, float, int], ...]:
    """(mean score, observed rate, rows) of groups of equal size."""
    groups = np.array_split(np.argsort(score, kind="stable"), bins)
    return tuple((float(score[g].mean()), float(label[g].mean()), len(g)) for g in groups if len(g))


def _gain(label: Any, score: Any) -> tuple[tuple[float, float], ...]:
    """Share of the positives reached by contacting the first 0, 5 … 100 % in order of score."""
    curve = metrics.gain_curve(label, score)
    if curve.reason:
        return ()
    shares = np.linspace(0, 1, 21)
    return tuple((float(s), float(r)) for s, r in zip(shares, np.interp(shares, curve.contacted, curve.reached), strict=True))
