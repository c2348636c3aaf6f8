"""Scoring 2 million rows of 20 features from Delta to a noop sink: Penstock's pass against `mlflow.pyfunc.spark_udf`, and the limit.

    python bench/scoring.py [--rows N] [--rounds N]      # about 10 minutes; writes bench/results/scoring.json

The peer gets its best settings: the model logged with `predict_proba`, the columns handed over as one struct and as
single columns, the same batch size, the same partitions, code generation on (Penstock's small-job settings turn it off).
Both score the same logged model; the parity of their scores is checked over 100,000 rows. Two arms show the limits:
`transport` hands the columns through the same Spark path without a model, `model` is the model alone on as many threads
as there are cores, without Spark.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

sys.path.insert(0, str(Path(__file__).parent))
import _protocol as protocol

from penstock import clock
from penstock.config.model import SparkSettings
from penstock.config.training import TrainingConfig
from penstock.lake.jars import delta_jars
from penstock.lake.session import open_session
from penstock.registry.store import ModelStore
from penstock.scoring.predict import score_batch
from penstock.scoring.run import score_rows
from penstock.training.artefact import load
from penstock.training.fit import fit
from penstock.training.records import LocalModel, TrainedRun, TrainingFacts
from penstock.training.rows import labelled_rows
from penstock.wiring import cache_folder

COLUMNS = [f"x{n}" for n in range(20)]
KEY = (("customer_id", "bigint"), ("as_of", "timestamp"))
BATCH = 50_000
MODELS: dict[str, dict[str, Any]] = {
    "gradient boosting": {"params": {"early_stopping": False, "max_iter": 100, "max_leaf_nodes": 31}},
    "linear": {
        "estimator": "sklearn.linear_model.LogisticRegression",
        "params": {"max_iter": 200},
        "preprocessing": {"impute": "median"},
    },
}


def main() -> int:
    """Make the data and the models, time the arms of each model, check parity, write the result."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rows", type=int, default=2_000_000)
    words.add_argument("--rounds", type=int, default=7)
    parsed = words.parse_args()
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        settings = SparkSettings(master="local[2]", driver_memory="4g")
        spark = open_session(settings, delta_jars(cache_folder()), folder / "spark.log", folder / "scratch")
        for key, value in {"spark.sql.codegen.wholeStage": "true", "spark.sql.codegen.factoryMode": "FALLBACK"}.items():
            spark.conf.set(key, value)
        spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", str(BATCH))
        features(spark, parsed.rows).write.format("delta").save(str(folder / "features"))
        rows = spark.read.format("delta").load(str(folder / "features"))
        store = ModelStore.open(f"sqlite:///{folder}/mlflow/mlflow.db", f"sqlite:///{folder}/mlflow/mlflow.db", folder / "mlflow")
        found = {name: compared(spark, rows, store, name, parsed.rows, parsed.rounds) for name in MODELS}
        spark.stop()
    protocol.write(
        "scoring",
        {
            "command": "python bench/scoring.py",
            "machine": protocol.machine("pyspark", "mlflow", "scikit-learn", "pyarrow", "pandas"),
            "rows": parsed.rows,
            "features": len(COLUMNS),
            "models": found,
        },
    )
    return 0


def features(spark: SparkSession, rows: int) -> DataFrame:
    """Key, `as_of` and standard normal features, two in a hundred null."""
    numbers = [F.when(F.rand(100 + n) >= 0.02, F.randn(n)).alias(name) for n, name in enumerate(COLUMNS)]
    return spark.range(0, rows, 1, 4).select(
        F.col("id").alias("customer_id"), F.timestamp_seconds(F.lit(1_300_000_000)).alias("as_of"), *numbers
    )


def trained(store: ModelStore, name: str) -> tuple[TrainedRun, LocalModel]:
    """A model fitted on 20,000 made rows by Penstock's own training, logged, and fetched as scoring fetches it."""
    draw = np.random.default_rng(1)
    values = draw.normal(size=(20_000, len(COLUMNS)))
    frame = pd.DataFrame(values, columns=COLUMNS).mask(draw.random(values.shape) < 0.02)
    chance = 1 / (1 + np.exp(-values[:, 0] - 0.5 * values[:, 1] * values[:, 2]))
    frame["label"] = (draw.random(len(frame)) < chance).astype(int)
    frame["customer_id"] = np.arange(len(frame)).astype(str)
    frame["as_of"] = pd.Timestamp("2011-03-07", tz="UTC") + pd.to_timedelta(np.arange(len(frame)) % 10 * 7, unit="D")
    baselines = [{"name": "first", "column": "x0", "higher_means": "positive"}]
    config = TrainingConfig.model_validate({"baselines": baselines, "candidates": [{"name": "timed", **MODELS[name]}]})
    fitted = fit(labelled_rows(frame, key=("customer_id",)), COLUMNS, config, horizon=30, seconds=clock.stopwatch)
    facts = TrainingFacts(
        pipeline=name.replace(" ", "_"),
        candidate="timed",
        training_id="bench",
        model=fitted.model,
        inputs=fitted.inputs,
        params={},
        metrics={},
        tables=(),
    )
    run = store.log_training(facts)
    return run, store.local_model(run)


def compared(spark: SparkSession, rows: DataFrame, store: ModelStore, name: str, count: int, rounds: int) -> dict[str, Any]:
    """The arms of one model: seconds, rows a second, ratios to the better form of the peer, and the parity of the scores."""
    print(name, flush=True)
    run, model = trained(store, name)
    udf = mlflow.pyfunc.spark_udf(spark, run.model_uri, result_type="double")  # its first column is P(label = 0)
    key = [name for name, _ in KEY]
    names = list(model.columns)
    own = score_rows(rows, KEY, model)
    struct = rows.select(*key, (1 - udf(F.struct(*names))).alias("score"))
    single = rows.select(*key, (1 - udf(*names)).alias("score"))
    moved = rows.select(*key, *names).mapInArrow(_first, "customer_id bigint, as_of timestamp, score double")
    arms: dict[str, Callable[[], object]] = {
        "penstock": lambda: _sink(own),
        "spark_udf of a struct": lambda: _sink(struct),
        "spark_udf of columns": lambda: _sink(single),
        "transport": lambda: _sink(moved),
    }
    found = protocol.interleaved(arms, rounds)
    for arm in found.values():
        arm["rows_per_s"] = round(count / arm["median_s"])
    peer = min(found["spark_udf of a struct"]["median_s"], found["spark_udf of columns"]["median_s"])
    alone = model_alone(model)
    return {
        "arms": found,
        "times_spark_udf": round(peer / found["penstock"]["median_s"], 2),
        "model_alone_rows_per_s": round(alone),
        "share_of_limit": round(found["penstock"]["rows_per_s"] * (1 / alone + found["transport"]["median_s"] / count), 2),
        "largest_difference": parity(own, struct, key),
    }


def parity(own: DataFrame, peer: DataFrame, key: list[str]) -> float:
    """The largest difference between two arms' scores over 100,000 rows. Raises when it is not rounding, or rows are missing."""
    some = F.col("customer_id") % 20 == 0
    both = own.where(some).join(peer.where(some).withColumnRenamed("score", "theirs"), on=key, how="full")
    gap = F.abs(F.col("score") - F.col("theirs"))
    row = both.agg(F.max(gap).alias("largest"), F.sum(gap.isNull().cast("int")).alias("lost"), F.count("*").alias("rows")).collect()[0]
    if row["lost"] or not row["rows"] or not row["largest"] <= 1e-9:
        raise SystemExit(f"scores differ: {row}")
    return float(row["largest"])


def model_alone(model: LocalModel) -> float:
    """Rows a second of the model by itself, from Arrow batches, one thread a core."""
    loaded = load(model.path, model.digest)
    draw = np.random.default_rng(2)
    batch = pa.RecordBatch.from_arrays([pa.array(draw.normal(size=BATCH)) for _ in COLUMNS], names=list(model.columns))

    def loop(_: int) -> None:
        buffer = np.empty((BATCH, len(COLUMNS)), order=loaded.order)
        for _ in range(8):
            score_batch(loaded, batch, buffer)

    loop(0)
    began = time.perf_counter()
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(loop, range(2)))
    return 2 * 8 * BATCH / (time.perf_counter() - began)


def _first(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield batch.select([0, 1, 2]).rename_columns(["customer_id", "as_of", "score"])


def _sink(frame: DataFrame) -> None:
    frame.write.format("noop").mode("overwrite").save()


if __name__ == "__main__":
    raise SystemExit(main())
