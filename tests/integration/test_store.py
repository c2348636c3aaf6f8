"""The model store on a real MLflow with a SQLite database."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

import mlflow.artifacts
import pytest
import skops.io
from matplotlib.figure import Figure

from penstock.errors import RefusedError, ServiceError, UsageError
from penstock.orchestrate.candidates import collect
from penstock.registry.store import ModelStore
from penstock.training.artefact import MODEL_FILE, model_digest
from penstock.training.compare import COMPARISON, Contender, to_json
from penstock.training.dataset import RECORD, Record
from penstock.training.fit import Fitted, fit
from penstock.training.records import InputTable, TrainedRun, TrainingFacts, TrialFacts
from penstock.training.rows import labelled_rows
from training_rows import FEATURES, config, made

pytestmark = pytest.mark.filterwarnings("default")  # MLflow warns about itself


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return fit(labelled_rows(made(6), key=["customer_id"]), FEATURES, config(), horizon=30, seconds=lambda: 0.0)


def opened(folder: Path) -> ModelStore:
    return ModelStore.open(f"sqlite:///{folder / 'mlflow.db'}", f"sqlite:///{folder / 'mlflow.db'}", folder)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    return opened(tmp_path_factory.mktemp("lake") / "mlflow")


def facts(fitted: Fitted, pipeline: str, training_id: str = "t1") -> TrainingFacts:
    return TrainingFacts(
        pipeline=pipeline,
        candidate="boosting",
        training_id=training_id,
        model=fitted.model,
        inputs=fitted.inputs,
        params={f"p{i}": i for i in range(120)},
        metrics={"auc": 0.75, "unknown": float("nan")},
        tables=(InputTable("features_customer_activity", 7), InputTable("labels_churn", 3)),
        texts={"evaluation/segments.csv": "subject,auc\n"},
        figures={"plots/empty.png": Figure()},
        code_version="abc",
    )


def several(fitted: Fitted, pipeline: str, training_id: str = "t1") -> TrainingFacts:
    """A training of two candidates with three trials."""
    trials = tuple(TrialFacts(name, at, {"depth": at}, {"folds.auc": 0.7 + at / 100}) for name, at in (("a", 1), ("a", 2), ("b", 1)))
    own = replace(facts(fitted, pipeline, training_id), candidate="a", figures={}, params={"depth": 2})
    other = replace(own, candidate="b", training_id=f"{training_id}.b", metrics={"auc": 0.74})
    return replace(own, trials=trials, others=(other,))


def nested(store: ModelStore, pipeline: str) -> list[tuple[object, ...]]:
    """All that is alive in a pipeline's experiment, without ids: name, state, kind, the parent's name, parameters, metrics, has a model."""
    experiment = store._client.get_experiment_by_name(f"penstock/{pipeline}")
    if experiment is None:
        return []
    runs = list(store._client.search_runs([experiment.experiment_id]))
    names = {run.info.run_id: run.info.run_name for run in runs}
    models = {model.source_run_id for model in store._client.search_logged_models([experiment.experiment_id])}
    assert models <= set(names)
    return sorted(
        (
            run.info.run_name,
            run.info.status,
            run.data.tags["penstock.kind"],
            names.get(run.data.tags.get("mlflow.parentRunId", ""), ""),
            tuple(sorted(run.data.params.items())),
            tuple(sorted(run.data.metrics.items())),
            run.info.run_id in models,
        )
        for run in runs
    )


@contextmanager
def killed_at(store: ModelStore, call: int) -> Iterator[list[str]]:
    """The process dies before the `call`th call that writes to MLflow, counted from 0; the calls that were made are listed."""
    made: list[str] = []

    def counted(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call_it(*given: object, **more: object) -> object:
            if len(made) == call:
                raise KeyboardInterrupt
            made.append(name)
            return real(*given, **more)

        return call_it

    with pytest.MonkeyPatch.context() as patch:
        for name in dir(store._client):
            if name.startswith(("create", "log", "set", "delete", "finalize")):
                patch.setattr(store._client, name, counted(name, getattr(store._client, name)))
        yield made


def files_of(store: ModelStore, run: TrainedRun) -> Path:
    """The artefact's own folder in the store, to tamper with."""
    (found,) = (path.parent for path in store.store.folder.glob(f"artifacts/*/models/{run.model_id}/artifacts/{MODEL_FILE}"))
    return found


def test_a_training_is_logged_whole_and_found_again(store: ModelStore, fitted: Fitted) -> None:
    assert store.find_run("whole", "t1") is None
    run = store.log_training(facts(fitted, "whole"))
    assert store.find_run("whole", "t1") == run
    assert run.metrics == {"auc": 0.75}
    assert len(run.params) == 120
    assert run.tags["mlflow.source.git.commit"] == "abc"
    assert store.read_text(run.run_id, "evaluation/segments.csv") == "subject,auc\n"
    inputs = store._client.get_run(run.run_id).inputs.dataset_inputs
    assert {i.dataset.name: i.dataset.digest for i in inputs} == {"features_customer_activity": "version-7", "labels_churn": "version-3"}
    signature = mlflow.models.get_model_info(run.model_uri).signature
    assert tuple(signature.inputs.input_names()) == fitted.inputs.names
    assert signature.outputs is not None


def test_the_same_training_again_logs_nothing(store: ModelStore, fitted: Fitted) -> None:
    first = store.log_training(facts(fitted, "again"))
    assert store.log_training(facts(fitted, "again")) == first
    experiment = store._client.get_experiment_by_name("penstock/again")
    assert len(store._client.search_runs([experiment.experiment_id])) == 1


def test_a_run_left_by_a_kill_does_not_count_and_is_deleted(store: ModelStore, fitted: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store._client, "log_model_artifacts", killed)
        with pytest.raises(KeyboardInterrupt):
            store.log_training(facts(fitted, "killed"))
    experiment = store._client.get_experiment_by_name("penstock/killed")
    (orphan,) = store._client.search_runs([experiment.experiment_id])
    assert orphan.info.status == "RUNNING"
    assert store.find_run("killed", "t1") is None
    assert store._client.search_runs([experiment.experiment_id]) == []
    assert store.log_training(facts(fitted, "killed")).run_id != orphan.info.run_id


def test_trials_and_other_candidates_are_runs_nested_in_the_training(store: ModelStore, fitted: Fitted) -> None:
    run = store.log_training(several(fitted, "nested"))
    found = nested(store, "nested")
    assert [(name, kind, parent, model) for name, _, kind, parent, _, _, model in found] == [
        ("a-1", "trial", "t1", False),
        ("a-2", "trial", "t1", False),
        ("b-1", "trial", "t1", False),
        ("t1", "training", "", True),
        ("t1.b", "candidate", "t1", True),
    ]
    assert {state for _, state, *_ in found} == {"FINISHED"}
    assert found[1][4:6] == ((("depth", "2"),), (("folds.auc", 0.72),))
    assert store.runs("nested") == (run,)
    assert store.newest_run("nested", "9999-12-31") == run
    candidates = store.candidates("nested", run)
    assert list(candidates) == ["a", "b"]
    assert candidates["a"] == run
    assert candidates["b"] == store.find_run("nested", "t1.b")
    assert candidates["b"].metrics == {"auc": 0.74}
    store.log_training(several(fitted, "nested", "t2"))
    assert [one.training_id for one in store.runs("nested")] == ["t2", "t1"]
    assert store.candidates("nested", run) == candidates
    store.log_training(several(fitted, "nested"))
    assert len(nested(store, "nested")) == 10


def test_the_command_candidates_reads_the_newest_training_and_knows_its_versions(store: ModelStore, fitted: Fitted) -> None:
    with pytest.raises(UsageError, match="candidates of compared: got no finished training"):
        collect(store, "compared", 0.95)
    record = Record("compared", date(2011, 8, 29), 7, 3, (date(2011, 6, 6),), (date(2011, 7, 25),), 900, 400, "digest", notes=("Cut.",))
    contenders = (Contender("candidate", "a", chosen=True, fold_figure=0.72), Contender("candidate", "b", fold_figure=0.71))
    given = several(fitted, "compared")
    run = store.log_training(replace(given, texts={RECORD: record.to_json(), COMPARISON: to_json(contenders)}))
    other = store.candidates("compared", run)["b"]
    store.register("compared", other, {})
    store.set_staging("compared", 1)
    found = collect(store, "compared", 0.95)
    assert (found.training_id, found.as_of, found.holdout_rows, found.notes) == ("t1", "2011-08-29", 400, ("Cut.",))
    assert found.contenders == contenders
    assert [(s.candidate, s.run_id, s.version, s.stage) for s in found.standings] == [
        ("a", run.run_id, None, ""),
        ("b", other.run_id, 1, "staging"),
    ]
    assert found.production_version is None


def test_another_candidate_registers_and_loads_like_the_chosen_one(store: ModelStore, fitted: Fitted) -> None:
    other = store.candidates("choice", store.log_training(several(fitted, "choice")))["b"]
    version = store.register("choice", other, {})
    assert (version.run_id, version.digest) == (other.run_id, other.digest)
    rows = labelled_rows(made(1, 200, seed=4), key=["customer_id"])
    assert replace(fitted, model=store.load_model(version).model).scores(rows).tobytes() == fitted.scores(rows).tobytes()


def test_a_training_killed_at_any_call_is_logged_again_to_the_same_set(store: ModelStore, fitted: Fitted) -> None:
    store.log_training(several(fitted, "undisturbed"))
    expected = nested(store, "undisturbed")
    with killed_at(store, -1) as calls:
        store.log_training(several(fitted, "counted"))
    assert len(calls) > 30
    # A kill before a run or a model is made, or before the last two calls; the ones between are all alike.
    points = [at for at, name in enumerate(calls) if name.startswith("create") or at >= len(calls) - 2]
    for call in points:
        pipeline = f"killed_{call}"
        with killed_at(store, call), pytest.raises(KeyboardInterrupt):
            store.log_training(several(fitted, pipeline))
        assert store.runs(pipeline) == ()
        if call % 2:  # the one that clears up is killed as well
            with killed_at(store, 2), contextlib.suppress(KeyboardInterrupt):
                store.find_run(pipeline, "t1")
        store.log_training(several(fitted, pipeline))
        assert nested(store, pipeline) == expected, f"killed before {calls[call]}, call {call}"


def test_finished_runs_are_listed_newest_first_and_unfinished_ones_are_not(
    store: ModelStore, fitted: Fitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.runs("listed") == ()
    dated = [
        replace(facts(fitted, "listed", name), tags={"penstock.as_of": day}) for name, day in (("t1", "2011-08-29"), ("t2", "2011-09-05"))
    ]
    first, second = (store.log_training(one) for one in dated)
    with monkeypatch.context() as killed:
        killed.setattr(store, "_log_model", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.log_training(facts(fitted, "listed", "t3"))
    assert store.runs("listed") == (second, first)
    assert store.newest_run("listed", "2011-09-05") == second
    assert store.newest_run("listed", "2011-09-04") == first
    assert store.newest_run("listed", "2011-08-28") is None


def test_the_loaded_model_scores_bit_for_bit_like_the_logged_one(store: ModelStore, fitted: Fitted) -> None:
    run = store.log_training(facts(fitted, "scores"))
    version = store.register("scores", run, {})
    rows = labelled_rows(made(1, 200, seed=4), key=["customer_id"])
    for source in (run, version):
        loaded = store.load_model(source)
        assert replace(fitted, model=loaded.model).scores(rows).tobytes() == fitted.scores(rows).tobytes()
    assert store.local_model(version).columns == fitted.inputs.names
    assert store.local_model(version).path == store.local_model(run).path


def test_a_changed_artefact_is_refused_in_the_store_and_in_the_local_copy(store: ModelStore, fitted: Fitted) -> None:
    run = store.log_training(facts(fitted, "tampered"))
    local = store.local_model(run).path
    (local / "MLmodel").write_text("changed")
    with pytest.raises(RefusedError, match="digest of the model"):
        store.load_model(run)
    other = store.log_training(facts(fitted, "tampered", "t2"))
    (files_of(store, other) / "extra.py").write_text("import os")
    with pytest.raises(RefusedError, match="digest of the model"):
        store.load_model(other)
    assert not (store.store.folder / "cache" / other.digest).exists()
    assert not list((store.store.folder / "cache").glob("part-*"))


def test_pickles_and_strange_types_are_refused_even_under_their_own_digest(store: ModelStore, fitted: Fitted) -> None:
    run = store.log_training(facts(fitted, "pickled"))
    folder = files_of(store, run)
    (folder / "model.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(RefusedError, match=r"model\.pkl, which runs code"):
        store.load_model(replace(run, digest=model_digest(folder)))
    (folder / "model.pkl").unlink()
    skops.io.dump(fitted.inputs, folder / MODEL_FILE)
    with pytest.raises(RefusedError, match="the types penstock"):
        store.load_model(replace(run, digest=model_digest(folder)))


def test_a_model_with_a_strange_type_is_not_logged(store: ModelStore, fitted: Fitted) -> None:
    with pytest.raises(RefusedError, match=r"the types .*Inputs.*Nothing was logged"):
        store.log_training(replace(facts(fitted, "strange"), model=fitted.inputs))
    assert store._client.get_experiment_by_name("penstock/strange") is None


def test_a_run_registers_once(store: ModelStore, fitted: Fitted) -> None:
    run = store.log_training(facts(fitted, "once"))
    assert store.versions("once") == ()
    first = store.register("once", run, {"a": "1"})
    again = store.register("once", run, {"a": "1", "b": "2"})
    assert (first.version, again.version) == (1, 1)
    assert again.tags["b"] == "2"
    assert (again.digest, again.run_id, again.promotion) == (run.digest, run.run_id, 0)
    second = store.register("once", store.log_training(facts(fitted, "once", "t2")), {})
    assert [v.version for v in store.versions("once")] == [1, 2] == [first.version, second.version]


def test_the_alias_moves_forward_and_back_by_promotion_number(store: ModelStore, fitted: Fitted) -> None:
    assert store.production("alias") is None
    assert store.previous("alias") is None
    for training in ("t1", "t2"):
        store.register("alias", store.log_training(facts(fitted, "alias", training)), {})
    assert store.production("alias") is None
    assert store.set_production("alias", 1, 1).replaced is None
    moved = store.set_production("alias", 2, 2, {"penstock.by": "policy"})
    assert (moved.version, moved.promotion, moved.replaced, moved.tags["penstock.by"]) == (2, 2, 1, "policy")
    assert store.set_production("alias", 2, 2) == moved
    with pytest.raises(RefusedError, match="more than 2"):
        store.set_production("alias", 1, 2)
    previous = store.previous("alias")
    assert previous is not None
    back = store.set_production("alias", previous.version, 3)
    assert (back.version, back.promotion, back.replaced) == (1, 3, 2)
    assert store.production("alias") == back


def stages(store: ModelStore, pipeline: str) -> tuple[list[str], dict[str, int]]:
    """The stage of each version, and the aliases."""
    aliases = store._client.get_registered_model(pipeline).aliases
    return [version.stage for version in store.versions(pipeline)], {name: int(version) for name, version in sorted(aliases.items())}


def test_a_version_waits_under_staging_then_is_production_and_what_it_replaced_is_archived(store: ModelStore, fitted: Fitted) -> None:
    for training in ("t1", "t2", "t3"):
        store.register("staged", store.log_training(facts(fitted, "staged", training)), {})
    assert stages(store, "staged") == (["", "", ""], {})
    store.set_staging("staged", 1)
    assert stages(store, "staged") == (["staging", "", ""], {"staging": 1})
    store.set_production("staged", 1, 1)
    assert stages(store, "staged") == (["production", "", ""], {"production": 1, "staging": 1})
    store.set_staging("staged", 2)
    assert stages(store, "staged") == (["production", "staging", ""], {"production": 1, "staging": 2})
    store.set_staging("staged", 3)
    assert stages(store, "staged") == (["production", "archived", "staging"], {"production": 1, "staging": 3})
    store.set_production("staged", 3, 2)
    assert stages(store, "staged") == (["archived", "archived", "production"], {"production": 3, "staging": 3})
    assert store.set_staging("staged", 3).stage == "production"
    store.set_production("staged", 1, 3)
    assert stages(store, "staged") == (["production", "archived", "archived"], {"production": 1, "staging": 3})


def test_a_move_killed_at_any_call_is_told_from_a_finished_one_and_ended_by_the_same_call(store: ModelStore, fitted: Fitted) -> None:
    runs = [store.log_training(facts(fitted, "moved", training)) for training in ("t1", "t2")]

    def moves(pipeline: str) -> list[Callable[[], object]]:
        for run in runs:
            store.register(pipeline, run, {})
        number = iter((1, 2, 3))
        steps: list[Callable[[], object]] = []
        for version in (1, 2, 1):  # two promotions and a rollback
            steps += [partial(store.set_staging, pipeline, version)] if version == 2 else []
            steps += [partial(store.set_production, pipeline, version, next(number), {"penstock.approval": "approved"})]
        return steps

    for step in moves("straight"):
        step()
    expected = [(v.version, v.promotion, v.replaced, v.stage) for v in store.versions("straight")], stages(store, "straight")[1]
    for call in range(9):
        pipeline = f"moved_{call}"
        for step in moves(pipeline):
            with killed_at(store, call) as calls, contextlib.suppress(KeyboardInterrupt):
                step()
            if len(calls) == call and step.func == store.set_production:  # type: ignore[attr-defined]
                number, version = step.args[2], store.version(pipeline, step.args[1])  # type: ignore[attr-defined]
                assert version.promotion < number or version.stage == "staging" or store.production(pipeline) == version
            step()
        found = [(v.version, v.promotion, v.replaced, v.stage) for v in store.versions(pipeline)], stages(store, pipeline)[1]
        assert found == expected, call


def test_a_kill_between_tags_and_alias_is_ended_by_the_same_call(
    store: ModelStore, fitted: Fitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.register("half", store.log_training(facts(fitted, "half")), {})

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store._client, "set_registered_model_alias", killed)
        with pytest.raises(KeyboardInterrupt):
            store.set_production("half", 1, 4)
    assert store.production("half") is None
    assert store.set_production("half", 1, 4).promotion == 4
    assert store.production("half") == store.version("half", 1)


def test_an_unknown_version_is_an_error_in_words(store: ModelStore) -> None:
    with pytest.raises(ServiceError, match=r"reading version 99 of nothing: got RESOURCE_DOES_NOT_EXIST"):
        store.version("nothing", 99)


def test_a_database_missing_beside_its_models_is_an_error_and_no_new_one(tmp_path: Path) -> None:
    (tmp_path / "mlflow" / "artifacts").mkdir(parents=True)
    with pytest.raises(ServiceError, match=r"opening the store: got no database beside the models.*Next:"):
        opened(tmp_path / "mlflow")
    assert not (tmp_path / "mlflow" / "mlflow.db").exists()


def test_a_store_that_is_no_database_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("this is no database, " * 100)
    with pytest.raises(ServiceError, match="opening the store"):
        opened(tmp_path)


def test_a_server_that_does_not_answer_is_an_error_without_its_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ServiceError) as caught:
        ModelStore.open("http://user:secret@127.0.0.1:9", "http://user:secret@127.0.0.1:9", tmp_path)
    assert "secret" not in str(caught.value)
