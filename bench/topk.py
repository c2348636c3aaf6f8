"""The best 20 of 20,000 items for 200,000 users by 64 factors: Penstock on Spark, Spark's own ALSModel, and `implicit` in one process.

    python bench/topk.py [--users N] [--items N] [--rounds N] [--peer-rounds N] [--implicit PYTHON]   # 5 minutes; writes bench/results/topk.json

All arms rank the same float32 factors on the same two cores. Penstock and `ALSModel.recommendForAllUsers` read them from Parquet
in the same session and write to a noop sink, Penstock a row for each user and rank with the item's name, ALSModel an array a user.
ALSModel is timed over parts of the users, growing, so that what a user costs is seen not to fall with their number;
`times_als` compares the wall seconds of the largest part with as large a part of ours; `times_als_cpu_for_all_users` compares CPU seconds,
ALSModel's taken as linear from there, which `als_cpu_ms_a_user` must show. `--implicit` is a Python that has it (`pip install implicit`): its ranking alone
is timed, factors loaded and arrays as the answer, without Spark, Parquet or names. `kernel` is Penstock's without Spark on two threads,
and `sgemm` the multiplication alone: the limit of all. The answers of sampled users are compared, up to ties.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.ml.recommendation import ALS, ALSModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parent))
import _protocol as protocol

from penstock.config.model import SparkSettings
from penstock.lake.jars import delta_jars
from penstock.lake.session import open_session
from penstock.topk.kernel import Factors, top_k
from penstock.topk.spark import top_items
from penstock.wiring import cache_folder

FACTORS, K, SAMPLE, PARTS = 64, 20, 1_000, (10_000, 20_000, 40_000)
TIE = 2e-5
"""Scores nearer than this are ties: single precision sums of 64 products around 30."""


def main() -> int:
    """Make the factors, compare the answers, time the arms, write the result."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--users", type=int, default=200_000)
    words.add_argument("--items", type=int, default=20_000)
    words.add_argument("--rounds", type=int, default=5)
    words.add_argument("--peer-rounds", type=int, default=3)
    words.add_argument("--implicit", type=Path, metavar="PYTHON", help="a Python that has implicit; without it that arm is left out")
    parsed = words.parse_args()
    machine = protocol.machine("pyspark", "numpy", "pyarrow")
    with tempfile.TemporaryDirectory() as home, threadpool_limits(limits=1):
        folder = Path(home)
        users, items = made(folder, parsed.users, parsed.items)
        spark = session(folder)
        model = als_model(spark, folder)
        with implicit(parsed.implicit, folder) as (rank, versions):
            parity = compared(spark, folder, model, users, items, rank)
            arms: dict[str, Callable[[], object]] = {
                "penstock": lambda: _sink(ours(spark, folder)),
                "kernel": lambda: on_two_threads(lambda part: top_k(part, items, K), users),
                "sgemm": lambda: multiplied(users, items),
            } | ({"implicit": rank} if rank else {})
            found = protocol.interleaved(arms, parsed.rounds)
        parts = [part for part in PARTS if part <= parsed.users]
        models = {part: of_first(model, folder, part) for part in parts}
        peers: dict[str, Callable[[], object]] = {
            f"ALSModel, {part:,} users": lambda part=part: _sink(models[part].recommendForAllUsers(K)) for part in parts
        }
        peers[f"penstock, {parts[-1]:,} users"] = lambda: _sink(ours(spark, folder, parts[-1]))
        found |= protocol.interleaved(peers, parsed.peer_rounds, warm=0)
        spark.stop()
    protocol.write("topk", result(parsed, machine | versions, parity, found, parts))
    return 0


def made(folder: Path, users: int, items: int) -> tuple[Factors, Factors]:
    """Standard normal factors, as arrays, as Parquet under the columns of ALS, and as arrays on disk."""
    draw = np.random.default_rng(20111209)
    found = {"users": draw.standard_normal((users, FACTORS), np.float32), "items": draw.standard_normal((items, FACTORS), np.float32)}
    for name, values in found.items():
        np.save(folder / f"{name}.npy", values)
        lists = pa.ListArray.from_arrays(np.arange(0, values.size + 1, FACTORS, dtype=np.int32), values.ravel())
        (folder / name).mkdir()
        for at in range(4):  # four files, so that both cores read
            part = slice(len(values) * at // 4, len(values) * (at + 1) // 4)
            ids = pa.array(np.arange(len(values), dtype=np.int32)[part])
            pq.write_table(pa.table({"id": ids, "features": lists[part]}), folder / name / f"{at}.parquet")
    return found["users"], found["items"]


def session(folder: Path) -> SparkSession:
    """Two cores; code generation on, which Penstock's settings for small jobs turn off and the peer wants."""
    settings = SparkSettings(master="local[2]", driver_memory="6g")
    spark = open_session(settings, delta_jars(cache_folder()), folder / "spark.log", folder / "scratch")
    for key, value in {"spark.sql.codegen.wholeStage": "true", "spark.sql.codegen.factoryMode": "FALLBACK"}.items():
        spark.conf.set(key, value)
    return spark


def als_model(spark: SparkSession, folder: Path) -> ALSModel:
    """Spark's model with our factors: a tiny one is saved, its factors are replaced, and it is read again."""
    ratings = spark.createDataFrame([(u, i, 1.0) for u in range(8) for i in range(8)], "user int, item int, rating float")
    place = folder / "als"
    ALS(rank=FACTORS, maxIter=1, seed=1).fit(ratings).write().save(str(place))
    for name, ours in (("userFactors", "users"), ("itemFactors", "items")):
        spark.read.parquet(str(folder / ours)).write.mode("overwrite").parquet(str(place / name))
    return ALSModel.load(str(place))


def ours(spark: SparkSession, folder: Path, part: int | None = None) -> DataFrame:
    """Penstock's answer for all users, or for the first ones."""
    users = spark.read.parquet(str(folder / "users")).withColumnRenamed("features", "factors")
    items = spark.read.parquet(str(folder / "items"))
    named = items.select(F.lpad(F.col("id").cast("string"), 8, "0").alias("item"), F.col("features").alias("factors"))
    return top_items(users if part is None else users.where(F.col("id") < part), named, K)


def of_first(model: ALSModel, folder: Path, part: int) -> ALSModel:
    """A model of the first users alone."""
    place = folder / f"als{part}"
    model.write().save(str(place))
    model.userFactors.where(F.col("id") < part).write.mode("overwrite").parquet(str(place / "userFactors"))
    return ALSModel.load(str(place))


@contextmanager
def implicit(python: Path | None, folder: Path) -> Iterator[tuple[Callable[[], object] | None, dict[str, str]]]:
    """`implicit` waiting in its process, or None when no Python is given."""
    if python is None:
        yield None, {"implicit": "left out"}
        return
    command = [str(python), str(Path(__file__).parent / "_implicit.py"), str(folder), str(K)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": ""}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        said = process.stdout.readline().split()
        if said[:1] != ["ready"]:
            raise SystemExit(f"{python} does not run implicit: {said}")

        def rank() -> int:
            print(file=process.stdin, flush=True)
            return int(process.stdout.readline())

        yield rank, {"implicit": said[1]}
        process.stdin.close()


def on_two_threads(work: Callable[[Factors], object], users: Factors) -> None:
    """The users in pieces of an Arrow batch's size, on two threads of one BLAS thread each."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, [users[at : at + 10_000] for at in range(0, len(users), 10_000)]))


def multiplied(users: Factors, items: Factors) -> None:
    """The scores alone, block by block into the same memory."""
    turned = np.ascontiguousarray(items.T)

    def work(part: Factors) -> None:
        room = np.empty((64, len(items)), np.float32)
        for at in range(0, len(part), 64):
            block = part[at : at + 64]
            np.matmul(block, turned, out=room[: len(block)])

    on_two_threads(work, users)


def compared(spark: SparkSession, folder: Path, model: ALSModel, users: Factors, items: Factors, rank: Callable[[], object] | None) -> str:
    """Sampled users' items from every arm are the same, save where scores tie. Raises when one differs: its time would say nothing."""
    chosen = np.unique(np.linspace(0, len(users) - 1, SAMPLE).astype(int))
    exact = users[chosen].astype(np.float64) @ items.astype(np.float64).T
    asked = spark.createDataFrame([(int(u),) for u in chosen], "id int")
    answers = {"penstock": {u: [0] * K for u in chosen.tolist()}}
    for row in ours(spark, folder).join(asked, on="id", how="left_semi").collect():
        answers["penstock"][row["id"]][row["rank"] - 1] = int(row["item"])
    subset = model.recommendForUserSubset(asked.withColumnRenamed("id", model.getUserCol()), K).collect()
    answers["ALSModel"] = {row[0]: [r[0] for r in row[1]] for row in subset}
    if rank:
        rank()
        found = np.load(folder / "implicit.npy")
        answers["implicit"] = {u: found[u].tolist() for u in chosen.tolist()}
    best = -np.sort(-exact, axis=1)[:, :K]
    differ = 0
    for name, answer in answers.items():
        for at, user in enumerate(chosen.tolist()):
            scores = exact[at, answer[user]]
            if len(set(answer[user])) != K or not np.allclose(scores, best[at], rtol=0, atol=TIE):
                raise SystemExit(f"{name} differs for user {user}: {scores} instead of {best[at]}")
            differ += answer[user] != answers["penstock"][user]
    return f"{len(chosen)} users: each place's exact score within {TIE:g} of the best in all of {', '.join(answers)}; {differ} lists differ by a tie"


def result(
    parsed: argparse.Namespace, machine: dict[str, Any], parity: str, found: dict[str, dict[str, Any]], parts: list[int]
) -> dict[str, Any]:
    """What is kept."""
    largest = parts[-1]
    als = {part: found[f"ALSModel, {part:,} users"]["median_s"] for part in parts}
    pairs = 2 * parsed.users * parsed.items * FACTORS
    own, own_cpu = found["penstock"]["median_s"], found["penstock"]["cpu_s"]
    peer = found.get("implicit")
    ratio = (
        {} if peer is None else {"over_implicit": round(own / peer["median_s"], 2), "over_implicit_cpu": round(own_cpu / peer["cpu_s"], 2)}
    )
    als_cpu = found[f"ALSModel, {largest:,} users"]["cpu_s"] / largest * parsed.users
    return {
        "command": "python bench/topk.py --implicit PYTHON",
        "machine": machine,
        "users": parsed.users,
        "items": parsed.items,
        "factors": FACTORS,
        "k": K,
        "parity": parity,
        "arms": found,
        "als_ms_a_user": {str(part): round(1000 * seconds / part, 3) for part, seconds in als.items()},
        "als_cpu_ms_a_user": {str(part): round(1000 * found[f"ALSModel, {part:,} users"]["cpu_s"] / part, 3) for part in parts},
        "times_als": round(als[largest] / found[f"penstock, {largest:,} users"]["median_s"], 1),
        "times_als_cpu_for_all_users": round(als_cpu / own_cpu, 1),
        **ratio,
        "users_per_s": round(parsed.users / own),
        "sgemm_gflops": round(pairs / found["sgemm"]["median_s"] / 1e9),
    }


def _sink(frame: DataFrame) -> None:
    frame.write.format("noop").mode("overwrite").save()


if __name__ == "__main__":
    raise SystemExit(main())
