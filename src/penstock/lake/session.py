"""The Spark session, tuned in one place for small local jobs; on a cluster or over Connect it takes what is there.

Where the seconds of a small job go, and so why each setting is here: resolving Maven coordinates at each start (5 s),
the UI, 200 shuffle partitions, 50 partitions for Delta's own log (seconds a commit), and a host name looked up.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.config.load import default_environment
from penstock.config.model import SparkSettings
from penstock.errors import ServiceError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
_SMALL = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.catalogImplementation": "in-memory",
    # Re-planning after each stage pays for itself on large shuffles; here there are two partitions, and it costs a quarter of a run.
    "spark.sql.adaptive.enabled": "false",
    # Some eighty queries a run, each over a few thousand rows: compiling Java for each costs more than it saves.
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    # Python workers are forked from a daemon that outlives a task; their memory is what a scoring batch needs.
    "spark.python.worker.reuse": "true",
    # Else every analysis error is also logged, with its whole Java trace, to standard error.
    "spark.sql.dataFrameQueryContext.enabled": "false",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "50000",
}
_MANY = {"spark.sql.codegen.wholeStage": "true", "spark.sql.codegen.factoryMode": "FALLBACK"}
# What results depend on, set for every session, Connect and Databricks too: the same rows everywhere.
_MEANING = {"spark.sql.session.timeZone": "UTC", "spark.sql.ansi.enabled": "true"}


def open_session(settings: SparkSettings, jars: Sequence[Path], log: Path, scratch: Path) -> SparkSession:
    """A session for this process. Spark's own output goes to `log`. Raises ServiceError when Spark does not start."""
    try:
        spark = _connect(settings.remote) if settings.remote else _start(settings, jars, log, scratch)
    except Exception as error:
        where = settings.remote or "a local session"
        raise ServiceError(f"Spark at {where}", got=type(error).__name__, expected="a session", next=f"read {log}") from error
    for key, value in (_MEANING | {"spark.sql.shuffle.partitions": str(settings.shuffle_partitions)}).items():
        spark.conf.set(key, value)
    return spark


def _connect(remote: str) -> SparkSession:
    from pyspark.sql import SparkSession

    # Not the Connect class itself: only this builder tells pyspark's functions that they, too, work remotely.
    return SparkSession.builder.remote(remote).getOrCreate()


def _start(settings: SparkSettings, jars: Sequence[Path], log: Path, scratch: Path) -> SparkSession:
    from pyspark.sql import SparkSession

    # Spark would start its Python workers with the first python3 on the PATH, which need not be this one.
    default_environment("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("penstock")
    for key, value in local_conf(settings, jars, scratch).items():
        builder = builder.config(key, value)
    log.parent.mkdir(parents=True, exist_ok=True)
    with _child_output_to(log):
        return builder.getOrCreate()


def local_conf(settings: SparkSettings, jars: Sequence[Path], scratch: Path) -> dict[str, str]:
    """Spark properties of a session that this process starts; under spark-submit those given there win."""
    conf = dict(_DELTA)
    if settings.master:
        conf |= {"spark.master": settings.master, "spark.databricks.delta.snapshotPartitions": str(settings.snapshot_partitions)}
    if settings.master and settings.master.startswith("local"):
        conf |= _SMALL | {
            "spark.driver.memory": settings.driver_memory,
            "spark.local.dir": str(scratch),
            "spark.sql.warehouse.dir": str(scratch / "warehouse"),
            "spark.default.parallelism": str(settings.shuffle_partitions),
            "spark.driver.extraClassPath": os.pathsep.join(str(jar) for jar in jars),
        }
        conf |= {"spark.driver.extraJavaOptions": settings.java_options} if settings.java_options else {}
    elif jars:
        conf["spark.jars"] = ",".join(str(jar) for jar in jars)
    return conf


@contextmanager
def many_rows(spark: SparkSession) -> Iterator[None]:
    """For queries over millions of rows inside, which are read and written there: a session that was tuned for small ones compiles them.

    A session that somebody else tuned is left as it is. Results are the same.
    """
    if spark.conf.get("spark.sql.codegen.factoryMode", None) != _SMALL["spark.sql.codegen.factoryMode"]:
        yield
        return
    for key, value in _MANY.items():
        spark.conf.set(key, value)
    try:
        yield
    finally:
        for key in _MANY:
            spark.conf.set(key, _SMALL[key])


@contextmanager
def _child_output_to(log: Path) -> Iterator[None]:
    """While the JVM is started it inherits the log as its output, so that Spark's noise never reaches the terminal."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with log.open("ab") as sink:
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
    try:
        yield
    finally:
        for saved, standard in zip(kept, (1, 2), strict=True):
            os.dup2(saved, standard)
            os.close(saved)
