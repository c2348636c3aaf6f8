from __future__ import annotations

import pickle
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

from penstock.errors import DataError, FailedError, RefusedError
from penstock.scoring import predict
from penstock.training.artefact import MODEL_FILE, Loaded, load, model_digest, write_inputs
from penstock.training.fit import Fitted, fit
from penstock.training.inputs import Inputs
from penstock.training.rows import labelled_rows
from training_rows import FEATURES, config, made


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return fit(labelled_rows(made(6), key=["customer_id"]), FEATURES, config(), horizon=30, seconds=lambda: 0.0)


@pytest.fixture
def folder(fitted: Fitted, tmp_path: Path) -> Path:
    predict._LOADED.clear()
    skops.io.dump(fitted.model, tmp_path / MODEL_FILE)
    write_inputs(tmp_path, fitted.inputs)
    return tmp_path


def batches(frame: pd.DataFrame, size: int) -> list[pa.RecordBatch]:
    return pa.table({name: pa.array(frame[name].tolist()) for name in frame.columns}).to_batches(max_chunksize=size)


@pytest.mark.parametrize("size", [1, 37, 1000])
def test_scores_through_arrow_equal_those_in_memory_bit_for_bit(fitted: Fitted, folder: Path, size: int) -> None:
    rows = labelled_rows(made(2, 100, seed=4), key=["customer_id"])
    function = pickle.loads(pickle.dumps(predict.scorer(str(folder), model_digest(folder), ["customer_id", "as_of"])))
    found = pa.Table.from_batches(function(iter(batches(rows.frame, size))))
    assert found.column_names == ["customer_id", "as_of", "score"]
    assert found["customer_id"].to_pylist() == rows.frame["customer_id"].tolist()
    assert found["score"].to_numpy().tobytes() == fitted.scores(rows).tobytes()


def test_nulls_decimals_and_unknown_categories_score(fitted: Fitted, folder: Path) -> None:
    batch = pa.RecordBatch.from_pydict(
        {
            "k": ["a", "b"],
            "signal": pa.array([Decimal("0.25"), None], pa.decimal128(18, 3)),
            "noise": pa.array([None, None], pa.float64()),
            "orders": pa.array([3, None], pa.int64()),
            "country": pa.array(["Atlantis", None]),
        }
    )
    (found,) = predict.scorer(str(folder), model_digest(folder), ["k"])([batch])
    assert found.num_rows == 2


def test_a_large_batch_after_a_small_one_and_an_empty_one_are_scored(folder: Path) -> None:
    frame = made(1, 60)
    sizes = [batches(frame.head(n), 1000)[0] if n else batches(frame, 1000)[0].slice(0, 0) for n in (2, 0, 60, 5)]
    found = list(predict.scorer(str(folder), model_digest(folder), ["customer_id"])(sizes))
    assert [b.num_rows for b in found] == [2, 0, 60, 5]
    assert found[3]["score"].to_pylist() == found[2]["score"].to_pylist()[:5]


def test_a_tree_s_scores_are_the_same_bits_however_its_matrix_lies(folder: Path) -> None:
    model, batch = load(folder, model_digest(folder)), batches(made(1, 60), 1000)[0]
    assert model.order == "C"
    shape = (batch.num_rows, len(model.inputs.numeric))
    found = {predict.score_batch(model, batch, np.empty(shape, order=order)).tobytes() for order in ("C", "F")}
    assert len(found) == 1


def test_a_linear_model_s_matrix_lies_as_in_training(fitted: Fitted) -> None:
    model = Pipeline([("scale", StandardScaler()), ("estimator", LogisticRegression())])
    assert Loaded(model, fitted.inputs, "").order == "F"


def test_the_libraries_have_their_threads_again_after_the_last_batch(folder: Path) -> None:
    before = threadpool_info()
    list(predict.scorer(str(folder), model_digest(folder), ["customer_id"])(batches(made(1, 60), 20)))
    assert threadpool_info() == before


def test_the_model_is_opened_once_for_all_partitions_of_a_worker(folder: Path) -> None:
    asked = []

    def where() -> str:
        asked.append(1)
        return str(folder)

    function = predict.scorer(where, model_digest(folder), ["customer_id"])
    for _ in range(3):
        list(function(batches(made(1, 5), 10)))
    assert len(asked) == 1


def test_infinite_features_are_refused_by_name(folder: Path) -> None:
    with pytest.raises(DataError, match="feature signal"):
        list(predict.scorer(str(folder), model_digest(folder), ["customer_id"])(batches(made(1, 5).assign(signal=np.inf), 10)))


def test_a_changed_file_an_added_file_and_a_renamed_file_change_the_digest(folder: Path) -> None:
    digests = [model_digest(folder)]
    (folder / "more.txt").write_text("x")
    digests.append(model_digest(folder))
    (folder / "more.txt").rename(folder / "less.txt")
    digests.append(model_digest(folder))
    (folder / "less.txt").write_text("y")
    digests.append(model_digest(folder))
    assert len(set(digests)) == 4


def test_another_digest_is_refused_before_anything_is_opened(folder: Path) -> None:
    good = model_digest(folder)
    (folder / MODEL_FILE).write_bytes(b"not even a zip")
    with pytest.raises(RefusedError, match="digest of the model"):
        load(folder, good)
    with pytest.raises(RefusedError, match="one that was logged"):
        load(folder, "")


def test_a_pickle_a_link_and_a_broken_file_are_refused_though_their_digest_agrees(folder: Path) -> None:
    (folder / "model.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(RefusedError, match=r"model\.pkl, which runs code"):
        load(folder, model_digest(folder))
    (folder / "model.pkl").unlink()
    (folder / MODEL_FILE).write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(RefusedError, match="cannot be read"):
        load(folder, model_digest(folder))
    (folder / "link").symlink_to("/etc/hostname")
    with pytest.raises(RefusedError, match="symbolic link"):
        model_digest(folder)


def test_a_type_that_is_not_on_our_list_is_refused(folder: Path) -> None:
    skops.io.dump(Inputs(("a",), ()), folder / MODEL_FILE)
    with pytest.raises(RefusedError, match=r"the types .*Inputs"):
        load(folder, model_digest(folder))


class Overshooting:
    def predict_proba(self, frame: object) -> np.ndarray:
        return np.array([[0.0, 1.5], [0.5, np.nan]])


def test_a_score_that_is_no_probability_is_refused() -> None:
    model = predict.Loaded(Overshooting(), Inputs(("signal",), ()), "d")
    with pytest.raises(FailedError, match="2 of 2 that are no probability"):
        predict.score_batch(model, batches(made(1, 2), 9)[0], np.empty((2, 1), order="F"))
