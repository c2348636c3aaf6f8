"""What reasons cost beside the scores: batch by batch, in the Spark pass over the newest real week, and in Redis.

    python bench/reasons.py [--lake DIR]     # a lake that `penstock demo` has written; ./lakehouse when absent. Some two minutes

The Production model is explained anew, in a copy, so that any lake will do. Beside the tables stands what shap itself
takes for the same rows when it is asked at scoring time, which is the way that was not taken.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import functions as F

sys.path.insert(0, str(Path(__file__).parent))
import _protocol as protocol

from penstock import wiring
from penstock.features.run import view_tables
from penstock.progress import Silent
from penstock.publish.layout import Keyspace, bucket_of, buckets_for
from penstock.publish.reasons import LIST_FIELD, Coder, field_of
from penstock.publish.record import PublishedScore, encode
from penstock.publish.redis import connect
from penstock.publish.server import private_server
from penstock.scoring.predict import TOLD, reasons_of, scored
from penstock.scoring.reasons import Wording
from penstock.scoring.run import explained, score_rows, wording_of
from penstock.training.artefact import Loaded, load, model_digest, write_inputs
from penstock.training.explain import _shap, explain
from penstock.training.inputs import from_pandas
from penstock.training.records import LocalModel

SIZES = (500, 2_000, 10_000)
ENTITIES = 100_000


def main() -> int:
    """Batches, Spark pass, Redis, and how many scores stand still from week to week."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--lake", type=Path, default=Path("lakehouse"))
    lake = words.parse_args().lake
    machine = protocol.machine("shap", "scikit-learn", "pyspark", "pyarrow", "pandas")
    with tempfile.TemporaryDirectory() as folder, wiring.house(wiring.Words(lake=lake), "churn") as home:
        run = wiring.new_run(home, wiring.as_of_instant(home, "2011-12-10"), Silent())
        models = run.services.models()
        version = models.production("churn")
        assert version is not None
        features = run.lake.read(view_tables(run)[1]).where(F.expr(run.pipeline.population))
        table = features.toArrow().to_pandas()
        local, seconds = renewed(models.local_model(version), Path(folder) / "model", table)
        loaded, wording = load(local.path, local.digest), wording_of(run, run.pipeline.features).of(local.columns)
        weeks = sorted(set(table["as_of"]))
        week = table[table["as_of"] == weeks[-1]].reset_index(drop=True)
        batches = {str(size): batch_cost(loaded, wording, week, size) for size in SIZES}
        rows = features.where(F.col("as_of") == F.lit(weeks[-1].to_pydatetime()))
        keys = [*run.key, ("as_of", "timestamp")]
        arms = {
            "scores": lambda: noop(score_rows(rows, keys, local)),
            "scores and reasons": lambda: noop(explained(run, rows, local, wording)),
        }
        taken = protocol.interleaved(arms, 9, warm=2)
        told = explained(run, rows, local, wording).toArrow().to_pandas()
        patterns = wording_of(run, run.pipeline.features).patterns()
        found = {
            "command": "python bench/reasons.py",
            "machine": machine,
            "model": {
                "trees": len(loaded.explanation.trees),
                "most_splits": max((len(t.columns) for t in loaded.explanation.trees), default=0),
                "explained_in_s": round(seconds, 2),
                "file_bytes": len(loaded.explanation.to_json()),
            },
            "batches_ms": batches,
            "spark_pass": {
                "rows": len(week),
                **taken,
                "ratio": round(taken["scores and reasons"]["median_s"] / taken["scores"]["median_s"], 2),
            },
            "reasons_a_row": {str(n): count for n, count in sorted(Counter(len(r) for r in told["reasons"] if r is not None).items())},
            "scores_equal_to_last_week": unmoved(loaded, wording, table, weeks[-2:], run.pipeline.publish.digits),
            "redis": redis_bytes([list(r) for r in told["reasons"] if r is not None], patterns),
        }
    protocol.write("reasons", found)
    return 0


def renewed(model: LocalModel, folder: Path, table: pd.DataFrame) -> tuple[LocalModel, float]:
    """A copy of the model with an explanation of its own, and the seconds that this took."""
    shutil.copytree(model.path, folder)
    opened = load(model.path, model.digest)
    began = time.perf_counter()
    explanation = explain(opened.model, opened.inputs, from_pandas(table, opened.inputs))
    seconds = time.perf_counter() - began
    assert not explanation.why_none, explanation.why_none
    write_inputs(folder, opened.inputs, explanation)
    return LocalModel(folder, model_digest(folder), model.inputs), seconds


def batch_cost(loaded: Loaded, wording: Wording, week: pd.DataFrame, size: int) -> dict[str, float]:
    """Median milliseconds for one batch: scores, and on top of them reasons for every row; and shap's own for the same rows."""
    batch = arrow(loaded, wording, pd.concat([week] * (size // len(week) + 1)).head(size).reset_index(drop=True))
    buffer = np.empty((size, len(loaded.inputs.numeric)), dtype=np.float64, order="F")
    matrix, _ = scored(loaded, batch, buffer)
    score = median(lambda: scored(loaded, batch, buffer))
    reasons = median(lambda: reasons_of(loaded, wording, batch, matrix))
    assert loaded.parts is not None
    with _shap() as shap:
        asked = shap.TreeExplainer(loaded.parts.estimator, feature_perturbation="tree_path_dependent")
        live = median(lambda: asked.shap_values(matrix, check_additivity=False))
    return {"scores": score, "reasons": reasons, "ratio": round((score + reasons) / score, 2), "shap_alone": live}


def arrow(loaded: Loaded, wording: Wording, frame: pd.DataFrame) -> pa.RecordBatch:
    """The batch that Spark would hand over, every row to be explained."""
    columns: dict[str, Any] = {name: pa.array(frame[name].astype(object).tolist(), pa.string()) for name in loaded.inputs.categorical}
    for name in dict.fromkeys([*loaded.inputs.numeric, *wording.columns()]):
        if name not in columns:
            columns[name] = pa.array([None if pd.isna(v) else float(v) for v in frame[name]], pa.float64())
    return pa.RecordBatch.from_pydict({**columns, TOLD: pa.array(np.ones(len(frame), dtype=bool))})


def unmoved(loaded: Loaded, wording: Wording, table: pd.DataFrame, weeks: list[Any], digits: int) -> dict[str, float]:
    """Of the customers in both weeks: the share whose rounded score is the same, and the share whose words are."""
    parts = []
    for week in weeks:
        frame = table[table["as_of"] == week].reset_index(drop=True)
        batch = arrow(loaded, wording, frame)
        matrix, score = scored(loaded, batch, np.empty((len(frame), len(loaded.inputs.numeric)), order="F"))
        words = ["|".join(texts) for texts in reasons_of(loaded, wording, batch, matrix).to_pylist()]
        parts.append(pd.DataFrame({"score": score.round(digits), "words": words}, index=frame["customer_id"]))
    both = parts[0].join(parts[1], how="inner", suffixes=("", "_next"))
    same = both["score"] == both["score_next"]
    kept = both["words"] == both["words_next"]
    shares = {"same_score": same, "same_words": kept, "same_score_other_words": same & ~kept}
    return {"customers": len(both), **{name: round(float(share.mean()), 4) for name, share in shares.items()}}


def redis_bytes(reasons: list[list[str]], patterns: Iterable[tuple[str, ...]]) -> dict[str, float]:
    """Bytes an entity takes in a real server: scores alone, with reasons as they are published, and with whole sentences instead."""
    coder, instant = Coder(patterns), pd.Timestamp("2011-12-05", tz="UTC").to_pydatetime()
    score = encode(PublishedScore(0.8123, "medium", instant, "12", instant))
    many = [(str(10_000 + n), reasons[n % len(reasons)]) for n in range(ENTITIES)]

    def codes() -> Iterable[tuple[str, bytes]]:
        yield from ((field_of(key), coder.encode(texts)) for key, texts in many if texts)
        yield LIST_FIELD, coder.encode_list()

    plain = [(key, score) for key, _ in many]
    sets = {
        "scores": plain,
        "scores_and_reasons": [*plain, *codes()],
        "scores_and_sentences": [*plain, *((field_of(key), "\n".join(texts).encode()) for key, texts in many if texts)],
    }
    lengths = sorted(len(coder.encode(texts)) for texts in reasons)
    found = {name: round(stored(rows) / ENTITIES, 1) for name, rows in sets.items()}
    return {**found, "code_bytes_median": statistics.median(lengths), "codes_over_64_bytes": sum(n > 64 for n in lengths) / len(lengths)}


def stored(rows: list[tuple[str, bytes]]) -> int:
    """Growth of `used_memory` by these fields, laid into buckets as the publisher does it."""
    keys, buckets = Keyspace("churn"), buckets_for(len(rows))
    with private_server() as server, connect(server.url) as client:
        before = int(client.info("memory")["used_memory"])  # type: ignore[index]
        pipe = client.pipeline(transaction=False)
        for at, (field, value) in enumerate(rows):
            pipe.hset(keys.bucket("g", bucket_of(field.encode(), buckets)), field, value)  # type: ignore[arg-type]
            if at % 10_000 == 0:
                pipe.execute()
        pipe.execute()
        return int(client.info("memory")["used_memory"]) - before  # type: ignore[index]


def noop(frame: Any) -> None:
    """Compute every row and keep none."""
    frame.write.format("noop").mode("overwrite").save()


def median(call: Callable[[], object], rounds: int = 31) -> float:
    """Milliseconds, the median of several calls after two that do not count."""
    taken = []
    for at in range(-2, rounds):
        began = time.perf_counter()
        call()
        if at >= 0:
            taken.append(time.perf_counter() - began)
    return round(statistics.median(taken) * 1e3, 2)


if __name__ == "__main__":
    raise SystemExit(main())
