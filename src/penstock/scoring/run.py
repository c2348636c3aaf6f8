"""The score stage: the unscored feature rows of the population, with the Production model, appended to the predictions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from penstock import clock
from penstock.config.reasons import subjects
from penstock.features import examples, versions
from penstock.features.run import view_tables
from penstock.lake import tables
from penstock.landing.freshness import require_fresh
from penstock.scoring import answers, cursor
from penstock.scoring.plan import Plan, Scored, decide
from penstock.scoring.predict import REASONS, TOLD, scorer
from penstock.scoring.reasons import Wording
from penstock.stage import Report, Run
from penstock.training.artefact import read_explanation

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from penstock.config.model import View
    from penstock.training.records import LocalModel

_SALTED = 1_000_000


def plan(run: Run) -> Plan:
    """What is unscored. The Production version is resolved here, once, and stays for the run.

    Raises RefusedError when the rows of the version of the view that it was trained on are not known.
    """
    require_fresh(run)
    model = run.services.models().production(run.pipeline.name)
    if model is None:
        return decide(None, 0, None, run.lake.version(view_tables(run)[1]), Scored(-1, None))
    trained_on = versions.of_model(run, f"version {model.version} of {run.pipeline.name}", model.tags)
    _, feature_table = versions.view_tables(run, trained_on)
    to = run.lake.version(feature_table)
    reach = timedelta(days=cursor.COHORTS * run.pipeline.schedule.every_days)
    newest = cursor.newest_as_of(run.lake.read(feature_table), run.as_of, reach) if to >= 0 else None
    table, scored = tables.predictions(run.pipeline.name, run.key), Scored(-1, None)
    if newest is not None and run.lake.exists(table):
        scored = cursor.scored(run.lake.read(table), model.version, newest, reach)
    return decide(model.version, model.promotion, newest, to, scored, view_version=trained_on.number)


def apply(run: Run, chosen: Plan) -> Report:
    """Score and append. The model is loaded by its digest in each Python worker."""
    from pyspark.sql import functions as F

    inputs = {"features": chosen.to, "model": chosen.version or 0}
    nothing = Report("score", "nothing", chosen.reason or "no unscored rows", {"scored": 0}, inputs)
    if chosen.version is None or chosen.as_of is None or chosen.empty:
        return nothing
    version = versions.numbered(run, chosen.view_version)
    # An entity without a candidate has no list, and a cohort of such is appended to nothing.
    rows = examples.of(run, unscored(run, chosen), version)
    if rows.isEmpty():
        return nothing
    answer = answers.of(run.pipeline.kind)
    table = tables.predictions(run.pipeline.name, run.key, answer.columns)
    models = run.services.models()
    model = models.local_model(models.version(run.pipeline.name, chosen.version))
    why_none = read_explanation(model.path).why_none
    # A backfill is never published, and what is not published needs no reasons; nor does a list, whose items say where they come from.
    silent = why_none or chosen.backfill or examples.within(run)
    wording = None if silent else wording_of(run, version.view).of(model.columns)
    scored = answer.made(run, explained(run, answer.beside(run, rows), model, wording))
    columns = {
        "model_version": F.lit(chosen.version),
        "promotion": F.lit(chosen.promotion),
        "role": F.lit("champion"),
        "backfill": F.lit(chosen.backfill),
        "is_control": control(run),
        "scored_at": F.lit(clock.now()),
        "_from_version": F.lit(chosen.after + 1),
        "_to_version": F.lit(chosen.to),
        "run_id": F.lit(run.run_id),
    }
    with examples.read(run):
        done = run.append("pipeline", table, "score", (chosen.version, chosen.after, chosen.to), scored.withColumns(columns))
    run.progress.step("score.appended", done.rows)
    text = f"{done.rows:,} rows of {clock.local_day(chosen.as_of, run.contract.timezone)} with version {chosen.version}{' (backfill)' if chosen.backfill else ''}"
    text += f"; no reasons: {why_none}" if why_none and not examples.within(run) else ""
    return Report("score", "done", text, {"scored": done.rows}, inputs, {table.name: done.version})


def unscored(run: Run, chosen: Plan) -> DataFrame:
    """The feature rows of the plan that belong to the population, of the version of the view that the model was trained on.

    The population speaks of the configuration's columns, which an older version may not have: there it is asked by key.
    """
    from pyspark.sql import functions as F

    _, feature_table = versions.view_tables(run, versions.numbered(run, chosen.view_version))
    whole = chosen.after < 0
    rows = run.lake.read(feature_table, chosen.to) if whole else run.lake.changes(feature_table, chosen.after, chosen.to)
    return versions.in_population(run, rows.where(F.col("as_of") == F.lit(chosen.as_of)), chosen.view_version)


def wording_of(run: Run, view: View) -> Wording:
    """The words for reasons, from the metadata of a view's features; nothing personal is in them."""
    return Wording(subjects(view, [c.name for c in run.contract.columns if c.is_personal]))


def explained(run: Run, rows: DataFrame, model: LocalModel, wording: Wording | None) -> DataFrame:
    """Key, `as_of`, what the answers take beside them, `score` and `reasons` of rows, by the one scoring path that the gates test too.

    The control group is scored and not published, so it gets no reasons; without a wording nobody does.
    """
    from pyspark.sql import functions as F

    keys = [*examples.key(run), *answers.of(run.pipeline.kind).carried]
    if wording is None:
        return score_rows(rows, keys, model).withColumn(REASONS, F.lit(None).cast("array<string>"))
    names, schema = _names_and_schema([*keys, ("score", "double"), (REASONS, "array<string>")])
    shown = [_shown(rows, name) for name in wording.columns() if name not in model.columns]
    given = _given(rows, names[:-2], model, [*shown, (~control(run)).alias(TOLD)])
    return given.mapInArrow(scorer(str(model.path), model.digest, names[:-2], wording), schema)


def score_rows(rows: DataFrame, keys: Sequence[tables.Column], model: LocalModel) -> DataFrame:
    """Score rows with a model on disk: `mapInArrow`, only key and features in, key and score out."""
    names, schema = _names_and_schema([*keys, ("score", "double")])
    return _given(rows, names[:-1], model, []).mapInArrow(scorer(str(model.path), model.digest, names[:-1]), schema)


def _names_and_schema(columns: Sequence[tables.Column]) -> tuple[list[str], str]:
    return [name for name, _ in columns], ", ".join(f"`{name}` {kind}" for name, kind in columns)


def _given(rows: DataFrame, names: Sequence[str], model: LocalModel, more: Sequence[Column]) -> DataFrame:
    from pyspark.sql import functions as F

    numbers = [F.col(c).cast("double") for c in model.inputs.numeric]
    texts = [F.col(c).cast("string") for c in model.inputs.categorical]
    return rows.select(*names, *numbers, *texts, *more)


def _shown(rows: DataFrame, name: str) -> Column:
    """A column that a sentence shows and the model does not take: text as it is, all else as a number."""
    from pyspark.sql import functions as F
    from pyspark.sql.types import StringType

    return F.col(name) if isinstance(rows.schema[name].dataType, StringType) else F.col(name).cast("double").alias(name)


def control(run: Run) -> Column:
    """Whether the entity belongs to the control group: by a salted hash, so that it stays there, and a larger share holds the smaller."""
    from pyspark.sql import functions as F

    publish = run.pipeline.publish
    hashed = F.xxhash64(F.lit(publish.control_salt), *(F.col(name) for name, _ in run.key))
    return F.pmod(hashed, F.lit(_SALTED)) < F.lit(round(publish.control_share * _SALTED))
