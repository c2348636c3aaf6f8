"""What scoring costs when one row in a hundred is new: against scoring all, and over a history ten times as long.

    python bench/incremental.py [--rows N] [--rounds N]      # about 8 minutes; writes bench/results/incremental.json

The steps of the score stage over real Delta tables: the newest `as_of` of the features, the cursor from the predictions, the
feature rows committed since then from the change feed, the one scoring path, an append to the predictions. `all` scores the
whole table as a new model version does; `new` one hundredth, `new, short history` as many rows beside a tenth of the history;
`whole tables asked` is the same with a cursor that reads every row of the history.
Each hundredth is a week with a file of its own, as weekly runs leave them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

sys.path.insert(0, str(Path(__file__).parent))
import _protocol as protocol
import scoring

from penstock.config.model import SparkSettings
from penstock.lake import tables
from penstock.lake.delta import Lake
from penstock.lake.jars import delta_jars
from penstock.lake.session import open_session
from penstock.registry.store import ModelStore
from penstock.scoring import cursor
from penstock.scoring.run import score_rows
from penstock.training.records import LocalModel
from penstock.wiring import cache_folder

KEY = (("customer_id", "bigint"),)
FEATURES = tables.features("bench", KEY, [(name, "double") for name in scoring.COLUMNS], "bench")
PREDICTIONS = tables.predictions("bench", KEY)
UNTIL = datetime(2011, 3, 14, tzinfo=UTC)
REACH = timedelta(days=7 * cursor.COHORTS)


@dataclass(frozen=True)
class Filled:
    """A lake whose features have a long part that was scored and one new commit."""

    lake: Lake
    model: LocalModel
    new: int

    def score(self, after: int, to: int) -> None:
        """The rows committed in (`after`, `to`], scored and appended."""
        whole = after < 0
        rows = self.lake.read(FEATURES, to) if whole else self.lake.changes(FEATURES, after, to)
        append(self.lake, PREDICTIONS, predicted(score_rows(rows, (*KEY, ("as_of", "timestamp")), self.model), 2, after, to))

    def score_new(self) -> None:
        """From the predictions' own cursor, found as the score stage finds it."""
        newest = cursor.newest_as_of(self.lake.read(FEATURES), UNTIL, REACH)
        assert newest is not None
        found = cursor.scored(self.lake.read(PREDICTIONS), 1, newest, REACH)
        self.score(found.cursor, self.lake.version(FEATURES))

    def score_asking_all(self) -> None:
        """With the same questions to whole tables."""
        newest = self.lake.read(FEATURES).agg(F.unix_micros(F.max("as_of"))).collect()[0][0]
        own = (F.col("model_version") == 1) & (~F.col("backfill") | (F.unix_micros("as_of") == newest))
        asked = F.max(F.when(own, F.col("_to_version"))), F.max(F.when(~F.col("backfill"), F.unix_micros("as_of")))
        self.score(self.lake.read(PREDICTIONS).agg(*asked).collect()[0][0], self.lake.version(FEATURES))


def main() -> int:
    """Fill two lakes, time the three arms, write the result."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rows", type=int, default=5_000_000)
    words.add_argument("--rounds", type=int, default=5)
    parsed = words.parse_args()
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        spark = open_session(
            SparkSettings(master="local[2]", driver_memory="4g"),
            delta_jars(cache_folder()),
            folder / "spark.log",
            folder / "scratch",
        )
        store = ModelStore.open(f"sqlite:///{folder}/mlflow/mlflow.db", f"sqlite:///{folder}/mlflow/mlflow.db", folder / "mlflow")
        _, model = scoring.trained(store, "gradient boosting")
        new = parsed.rows // 100
        long = filled(Lake(spark, folder / "long"), model, parsed.rows - new, new)
        short = filled(Lake(spark, folder / "short"), model, parsed.rows // 10 - new, new)
        arms = {
            "all": lambda: long.score(-1, long.lake.version(FEATURES)),
            "new": long.score_new,
            "new, whole tables asked": long.score_asking_all,
            "new, short history": short.score_new,
            "new, short history, whole tables asked": short.score_asking_all,
        }
        found = protocol.interleaved(arms, parsed.rounds)
        spark.stop()
    protocol.write(
        "incremental",
        {
            "command": "python bench/incremental.py",
            "machine": protocol.machine("pyspark", "mlflow", "scikit-learn"),
            "rows": parsed.rows,
            "new_rows": new,
            "arms": found,
            "new_over_all": round(found["new"]["median_s"] / found["all"]["median_s"], 3),
            "long_over_short_history": round(found["new"]["median_s"] / found["new, short history"]["median_s"], 2),
            "long_over_short_history_whole_tables_asked": round(
                found["new, whole tables asked"]["median_s"] / found["new, short history, whole tables asked"]["median_s"], 2
            ),
        },
    )
    return 0


def filled(lake: Lake, model: LocalModel, scored: int, new: int) -> Filled:
    """Features in two commits, and predictions of the first one."""
    for table in (FEATURES, PREDICTIONS):
        lake.create(table)
    weeks = scored // new
    append(lake, FEATURES, span(in_weeks(scoring.features(lake.spark, scored), weeks)))
    to = lake.version(FEATURES)
    history = lake.read(FEATURES).select("customer_id", "as_of", F.lit(0.5).alias("score"))
    append(lake, PREDICTIONS, predicted(history.repartitionByRange(weeks, "as_of"), 1, -1, to))
    append(lake, FEATURES, span(scoring.features(lake.spark, new).withColumn("as_of", F.lit(UNTIL))))
    return Filled(lake, model, new)


def in_weeks(rows: DataFrame, weeks: int) -> DataFrame:
    """The rows over so many weeks before `UNTIL`, a file each."""
    week = (F.col("customer_id") % weeks + 1).cast("int")
    as_of = F.timestamp_seconds(F.lit(int(UNTIL.timestamp())) - week * 7 * 86400)
    return rows.withColumn("as_of", as_of).repartitionByRange(weeks, "as_of")


def span(rows: DataFrame) -> DataFrame:
    """Feature rows with their input's versions."""
    return rows.withColumns({"_from_version": F.lit(0), "_to_version": F.lit(0), "run_id": F.lit("bench")})


def predicted(rows: DataFrame, version: int, after: int, to: int) -> DataFrame:
    """Scores with the other columns of the predictions."""
    return rows.withColumns(
        {
            "model_version": F.lit(version),
            "promotion": F.lit(1),
            "role": F.lit("champion"),
            "backfill": F.lit(False),
            "is_control": F.lit(False),
            "scored_at": F.col("as_of"),
            "_from_version": F.lit(after + 1),
            "_to_version": F.lit(to),
            "run_id": F.lit("bench"),
        }
    )


def append(lake: Lake, table: tables.Table, rows: DataFrame) -> None:
    """One commit, without a lease: nobody else is here."""
    typed = rows.select(*(F.col(name).cast(kind).alias(name) for name, kind in table.columns if name in rows.columns))
    typed.write.format("delta").mode("append").save(lake.sql_name(table).split("`")[1])


if __name__ == "__main__":
    raise SystemExit(main())
