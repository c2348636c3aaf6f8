"""Window features and the as-of join over 10 million events: Penstock against Spark SQL as one would write it, Feast's template, and DuckDB.

    python bench/features.py [--events N] [--rounds N]      # about 15 minutes; writes bench/results/features.json

`windows`: count, sum and maximum over 7, 30 and 90 days at the Mondays of a quarter, for every customer with an event
before. Penstock is timed from raw events to tiles, written and read again as the stage does, to features (`penstock`), and
from kept tiles (`penstock from tiles`), which is what a weekly run pays; its questions to Spark before the plan included. Peers, from raw events: `window SQL` (RANGE frames over events and spine), `join SQL`
(inequality join and conditional aggregates), and DuckDB's join on the same Parquet files.

`as_of_join`: 1 million spine rows at arbitrary instants with the newest of the weekly feature rows: `penstock.features.asof`
against Feast's Spark template, written anew from its description (inequality join, row_number, join back), and DuckDB's ASOF JOIN.

All arms give the same rows: count and sums are compared. Sinks are noop, in DuckDB a temporary table.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

sys.path.insert(0, str(Path(__file__).parent))
import _protocol as protocol

from penstock.config.model import SparkSettings, View
from penstock.features import asof, tiles
from penstock.lake.jars import delta_jars
from penstock.lake.session import open_session
from penstock.wiring import cache_folder

CUSTOMERS = 100_000
FIRST = date(2024, 1, 1)
DAYS = 730
MONDAYS = [date(2025, 9, 1) + timedelta(days=7 * n) for n in range(13)]
WINDOWS = (7, 30, 90)
VIEW = View.model_validate(
    {
        "name": "bench",
        "source": "events",
        "entity": ["customer_id"],
        "event_time": "event_at",
        "aggregates": [
            {"name": "n", "function": "count", "windows": [f"{w}d" for w in WINDOWS]},
            {"name": "spend", "function": "sum", "of": "cents", "type": "bigint", "windows": [f"{w}d" for w in WINDOWS]},
            {"name": "largest", "function": "max", "of": "cents", "type": "bigint", "windows": [f"{w}d" for w in WINDOWS]},
        ],
    }
)
VALUES = [f"{name}_{w}d" for name in ("n", "spend", "largest") for w in WINDOWS]


def main() -> int:
    """Make the events, time both comparisons, check that the arms agree, write the result."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--events", type=int, default=10_000_000)
    words.add_argument("--rounds", type=int, default=5)
    parsed = words.parse_args()
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        settings = SparkSettings(master="local[2]", driver_memory="6g", shuffle_partitions=8)
        spark = open_session(settings, delta_jars(cache_folder()), folder / "spark.log", folder / "scratch")
        on = {"spark.sql.codegen.wholeStage": "true", "spark.sql.codegen.factoryMode": "FALLBACK", "spark.sql.adaptive.enabled": "true"}
        for key, value in on.items():
            spark.conf.set(key, value)
        prepare(spark, folder, parsed.events)
        found = {"windows": windows(spark, folder, parsed.rounds), "as_of_join": joins(spark, folder, parsed.rounds)}
        spark.stop()
    protocol.write(
        "features",
        {
            "command": "python bench/features.py",
            "machine": protocol.machine("pyspark", "duckdb", "pyarrow"),
            "events": parsed.events,
            "customers": CUSTOMERS,
            "as_ofs": len(MONDAYS),
            **found,
        },
    )
    return 0


def prepare(spark: SparkSession, folder: Path, count: int) -> None:
    """Events with a few busy customers and many quiet ones; the tiles; the spine of the windows; features and spine of the as-of join."""
    uniform = F.rand(1)
    start = F.unix_seconds(F.lit(datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC)))
    made = spark.range(0, count, 1, 8).select(
        (uniform * uniform * CUSTOMERS).cast("bigint").alias("customer_id"),
        F.timestamp_seconds(start + (F.rand(2) * DAYS * 86400).cast("bigint")).alias("event_at"),
        (F.rand(3) * 10_000).cast("bigint").alias("cents"),
    )
    made.write.parquet(str(folder / "events"))
    as_ofs(spark).createOrReplaceTempView("mondays")
    first_seen = spark.read.parquet(str(folder / "events")).groupBy("customer_id").agg(F.min("event_at").alias("seen"))
    spine = first_seen.join(as_ofs(spark), on=F.col("seen") < F.col("as_of"), how="inner").select("customer_id", "as_of")
    spine.repartition(4).write.parquet(str(folder / "spine"))
    tiled(spark, folder).write.parquet(str(folder / "tiles"))
    ours(spark.read.parquet(str(folder / "tiles"))).write.parquet(str(folder / "features"))
    instants = F.timestamp_seconds(start + (F.rand(5) * DAYS * 86400).cast("bigint"))
    asked = spark.range(0, 1_000_000, 1, 4).select((F.rand(4) * CUSTOMERS).cast("bigint").alias("customer_id"), instants.alias("at"), "id")
    asked.write.parquet(str(folder / "asked"))


def as_ofs(spark: SparkSession) -> DataFrame:
    """The Mondays as instants."""
    return spark.createDataFrame([(instant(day),) for day in MONDAYS], "as_of timestamp")


def instant(day: date) -> datetime:
    """Midnight UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def tiled(spark: SparkSession, folder: Path) -> DataFrame:
    """Raw events to tiles, as the features stage does for a first landing of many daily files."""
    raw = spark.read.parquet(str(folder / "events"))
    landed = raw.withColumn("_file", F.lit("all")).withColumn("_known_at", F.date_trunc("day", "event_at") + F.expr("INTERVAL 1 DAY"))
    rows = tiles.events(landed, VIEW, "UTC")
    none = spark.createDataFrame([], "_file string, _known_at timestamp, __replaced_at timestamp")
    arrived = landed.limit(0).select("_file", "_known_at")
    return tiles.new_tiles(rows, tiles.touched(rows, arrived, rows, none, VIEW.entity), rows, none, VIEW)


def filled(spark: SparkSession, folder: Path) -> DataFrame:
    """A first fill: the tiles are kept, and the features made from what was kept."""
    place = str(folder / "filled")
    tiled(spark, folder).write.mode("overwrite").parquet(place)
    return ours(spark.read.parquet(place))


def ours(made: DataFrame) -> DataFrame:
    """Features at the Mondays from tiles."""
    return asof.features(made, VIEW, {instant(day): day for day in MONDAYS}, "UTC")


def windows(spark: SparkSession, folder: Path, rounds: int) -> dict[str, Any]:
    """The arms of the window features."""
    spark.read.parquet(str(folder / "events")).createOrReplaceTempView("events")
    spark.read.parquet(str(folder / "spine")).createOrReplaceTempView("spine")
    kept = spark.read.parquet(str(folder / "tiles"))
    # Made anew each time: what is asked of Spark while a frame is made is part of the arm.
    makers: dict[str, Callable[[], DataFrame]] = {
        "penstock": lambda: filled(spark, folder),
        "penstock from tiles": lambda: ours(kept),
        "window SQL": lambda: spark.sql(window_sql()),
        "join SQL": lambda: spark.sql(join_sql("CAST({w} AS INT) * INTERVAL '1' DAY", "count_if({in_window})")),
    }
    duck = connected(folder)
    query = join_sql("INTERVAL {w} DAY", "count(*) FILTER (WHERE {in_window})")
    checked = {name: checksum(make()) for name, make in makers.items()}
    checked["DuckDB"] = tuple(int(v) for v in duck.execute(f"SELECT {', '.join(sums())} FROM ({query})").fetchone() or ())
    arms: dict[str, Callable[[], object]] = {name: lambda make=make: _sink(make()) for name, make in makers.items()}
    arms["DuckDB"] = lambda: duck.execute(f"CREATE OR REPLACE TEMP TABLE out AS {query}")
    found = agreed(checked) | {"arms": protocol.interleaved(arms, rounds)}
    best = min(found["arms"][name]["median_s"] for name in ("window SQL", "join SQL"))
    return found | ratios(found["arms"], {"times_spark_sql": best, "times_duckdb": found["arms"]["DuckDB"]["median_s"]})


def joins(spark: SparkSession, folder: Path, rounds: int) -> dict[str, Any]:
    """The arms of the as-of join."""
    spine = spark.read.parquet(str(folder / "asked"))
    right = spark.read.parquet(str(folder / "features"))
    spine.createOrReplaceTempView("asked")
    right.createOrReplaceTempView("features")
    frames = {"penstock": asof.as_of_join(spine, right, ["customer_id"], "at", "as_of"), "Feast template": spark.sql(feast_sql())}
    duck = connected(folder)
    query = f"SELECT a.*, {', '.join(f'f.{v}' for v in VALUES)} FROM asked a ASOF LEFT JOIN features f ON a.customer_id = f.customer_id AND a.at >= f.as_of"
    checked = {name: checksum(frame) for name, frame in frames.items()}
    checked["DuckDB"] = tuple(int(v) for v in duck.execute(f"SELECT {', '.join(sums())} FROM ({query})").fetchone() or ())
    arms: dict[str, Callable[[], object]] = {name: lambda frame=frame: _sink(frame) for name, frame in frames.items()}
    arms["DuckDB"] = lambda: duck.execute(f"CREATE OR REPLACE TEMP TABLE out AS {query}")
    found = agreed(checked) | {"arms": protocol.interleaved(arms, rounds)}
    peers = {"times_feast": found["arms"]["Feast template"]["median_s"], "times_duckdb": found["arms"]["DuckDB"]["median_s"]}
    return found | ratios(found["arms"], peers)


def window_sql() -> str:
    """RANGE frames over the union of events and spine; an event at the instant itself is not before it."""
    outputs = []
    for name, of in (("n", "count(cents)"), ("spend", "sum(cents)"), ("largest", "max(cents)")):
        for w in WINDOWS:
            frame = f"PARTITION BY customer_id ORDER BY t RANGE BETWEEN {w * 86400} PRECEDING AND 1 PRECEDING"
            outputs.append(f"coalesce({of} OVER ({frame}), {'NULL' if name == 'largest' else '0'}) AS {name}_{w}d")
    rows = (
        "SELECT customer_id, unix_seconds(event_at) AS t, cents, NULL AS as_of FROM events "
        "UNION ALL SELECT customer_id, unix_seconds(as_of) AS t, NULL AS cents, as_of FROM spine"
    )
    return f"SELECT * FROM (SELECT customer_id, as_of, {', '.join(outputs)} FROM ({rows})) WHERE as_of IS NOT NULL"


def join_sql(span: str, count: str) -> str:
    """Inequality join and conditional aggregates, for Spark and DuckDB."""
    outputs = []
    for name in ("n", "spend", "largest"):
        for w in WINDOWS:
            inside = f"e.event_at >= s.as_of - {span.format(w=w)}"
            value = f"CASE WHEN {inside} THEN e.cents END"
            shown = {"n": count.format(in_window=inside), "spend": f"coalesce(sum({value}), 0)", "largest": f"max({value})"}
            outputs.append(f"{shown[name]} AS {name}_{w}d")
    joined = f"e.customer_id = s.customer_id AND e.event_at < s.as_of AND e.event_at >= s.as_of - {span.format(w=max(WINDOWS))}"
    return (
        f"SELECT s.customer_id, s.as_of, {', '.join(outputs)} FROM spine s LEFT JOIN events e ON {joined} GROUP BY s.customer_id, s.as_of"
    )


def feast_sql() -> str:
    """The three steps of Feast's Spark template: all matches, the newest of each spine row, joined back to the spine."""
    values = ", ".join(f"f.{v}" for v in VALUES)
    matches = f"SELECT a.id, f.as_of, {values} FROM asked a JOIN features f ON a.customer_id = f.customer_id AND f.as_of <= a.at"
    newest = f"SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY id ORDER BY as_of DESC) AS place FROM ({matches})) WHERE place = 1"
    return f"SELECT a.*, {values} FROM asked a LEFT JOIN ({newest}) f ON a.id = f.id"


def connected(folder: Path) -> duckdb.DuckDBPyConnection:
    """DuckDB on two threads over the same files."""
    duck = duckdb.connect(config={"threads": 2})
    duck.execute("SET TimeZone = 'UTC'")
    for name in ("events", "spine", "asked", "features"):
        duck.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{folder / name}/*.parquet')")
    return duck


def sums() -> list[str]:
    """Count of rows and the sum of each column, as SQL."""
    return ["count(*)", *(f"coalesce(sum({name}), 0)" for name in VALUES)]


def checksum(frame: DataFrame) -> tuple[int, ...]:
    """The same of a frame."""
    return tuple(int(v) for v in frame.agg(*(F.expr(text) for text in sums())).collect()[0])


def agreed(checked: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """Rows and parity. Raises when an arm differs: its time would say nothing."""
    if len(set(checked.values())) != 1:
        raise SystemExit(f"arms differ: {checked}")
    return {"rows": next(iter(checked.values()))[0], "parity": "rows and all column sums equal"}


def ratios(arms: dict[str, Any], peers: dict[str, float]) -> dict[str, dict[str, float]]:
    """How many times faster each of our arms is than each peer."""
    own = [name for name in arms if name.startswith("penstock")]
    return {label: {name: round(seconds / arms[name]["median_s"], 2) for name in own} for label, seconds in peers.items()}


def _sink(frame: DataFrame) -> None:
    frame.write.format("noop").mode("overwrite").save()


if __name__ == "__main__":
    raise SystemExit(main())
