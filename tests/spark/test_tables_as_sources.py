"""A Delta table as a source: whatever is done to it, the rows that count in the lake are its own, and only changed days land."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

import odd_contract
import shop
from penstock.clock import midnight
from penstock.config.load import Configuration, load
from penstock.errors import DataError, UsageError
from penstock.lake import tables
from penstock.lake.contract import load_contract
from penstock.lake.delta import Lake
from penstock.lake.external import ExternalTable
from penstock.landing import columnar, plain
from penstock.landing import source as landing
from penstock.orchestrate.local import plan_stages, run_stages
from penstock.orchestrate.shown import plan_lines
from penstock.stage import Report, Run

FIRST = date(2023, 2, 6)
COLUMNS = "OrderNo string, CustomerID string, OrderedAt timestamp_ntz, Amount double, Country string"
FEED = "TBLPROPERTIES (delta.enableChangeDataFeed = true)"

Row = tuple[str, str, datetime, float, str]

VOIDED: Row = ("V0001", "10001", datetime.fromisoformat("2023-02-06 12:00"), 1.0, "UK")


class KilledError(BaseException):
    """The end of a run, as by a signal: nothing is recorded."""


@dataclass
class Killer:
    """A Progress that ends the run at a step."""

    point: str | None = None

    def begin(self, stage: str) -> None:
        """Nothing."""

    def step(self, name: str, rows: int | None = None) -> None:
        """The end, if this is the step."""
        if name == self.point:
            raise KilledError(name)

    def end(self, stage: str, outcome: str) -> None:
        """Nothing."""


def day(n: int) -> date:
    return FIRST + timedelta(days=n)


def orders(n: int, count: int = 12, mark: str = "O") -> list[Row]:
    """A day's orders; every third has a whole amount."""
    at = datetime.combine(day(n), datetime.min.time())
    return [
        (f"{mark}{n % 100:02d}{i:03d}", str(10000 + i), at + timedelta(hours=9, minutes=i), 10 + i / 3 if i % 3 else 20.0, "UK")
        for i in range(count)
    ]


def rounded(rows: list[Row]) -> list[Row]:
    return [(*row[:3], round(row[3], 2), row[4]) for row in rows]


def write_conf(folder: Path) -> Path:
    conf = shop.write_conf(folder)
    path = conf / "contracts" / f"{shop.SOURCE}.yml"
    text = path.read_text(encoding="utf-8")
    for old, new in (
        ("physicalType: csv", "physicalType: delta"),
        ("format: 'yyyy-MM-dd HH:mm:ss', ", ""),
        ('{file: "{date}.csv"}', "{column: ordered_at}"),
        ("{property: maxRejectedShare, value: 0.1}", "{property: maxRejectedShare, value: 0.3}"),
    ):
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    return conf


@dataclass
class Place:
    """A lake beside a table that somebody else writes."""

    spark: SparkSession
    folder: Path
    configuration: Configuration
    count: int = 0

    @property
    def table(self) -> str:
        return f"delta.`{self.folder / 'landing' / shop.SOURCE}`"

    def run(self, n: int, *, point: str | None = None) -> Run:
        """A run for the day `n`."""
        self.count += 1
        return Run(
            configuration=self.configuration,
            lake=Lake(self.spark, self.folder / "lake"),
            services=None,  # type: ignore[arg-type]
            landing=str(self.folder / "landing"),
            work=str(self.folder / "work"),
            as_of=midnight(day(n), "Europe/London"),
            run_id=f"run-{self.count}",
            leases={},
            progress=Killer(point),
            code_version="tests",
        )

    def land(self, n: int, *, point: str | None = None, verbs: tuple[str, ...] = ("land",)) -> Report:
        return run_stages(self.run(n, point=point), verbs, "run")[-1]

    def sql(self, text: str) -> None:
        self.spark.sql(text.replace("TABLE_", self.table))

    def insert(self, rows: list[Row]) -> None:
        self.spark.createDataFrame(rounded(rows), COLUMNS).createOrReplaceTempView("new_orders")
        self.sql("INSERT INTO TABLE_ SELECT * FROM new_orders")

    def create(self, *days: int, feed: bool = False) -> None:
        self.sql(f"CREATE TABLE TABLE_ ({COLUMNS}) USING delta {FEED if feed else ''}")
        self.insert([row for n in days for row in orders(n)])

    def theirs(self, n: int) -> list[tuple[Any, ...]]:
        """The table's rows of days before `n`, less those that a rule refuses."""
        due = F.col("OrderedAt") < F.lit(day(n)).cast("timestamp_ntz")
        rows = self.spark.sql(f"SELECT * FROM {self.table}").where(due & ~F.col("OrderNo").like("V%"))
        at = F.unix_micros(F.col("OrderedAt").cast("timestamp"))
        return sorted(map(tuple, rows.select("OrderNo", "CustomerID", at, F.col("Amount").cast("decimal(12,2)"), "Country").collect()))

    def ours(self) -> list[tuple[Any, ...]]:
        """The landed rows that count: those of each day's newest version."""
        lake = Lake(self.spark, self.folder / "lake")
        newest = lake.read(tables.files(shop.SOURCE)).groupBy("_file").agg(F.max("_known_at").alias("_known_at"))
        rows = lake.read(f"landing_{shop.SOURCE}").join(newest, on=["_file", "_known_at"], how="inner")
        return sorted(map(tuple, rows.select("order_no", "customer_id", F.unix_micros("ordered_at"), "amount", "country").collect()))

    def files(self) -> list[tuple[Any, ...]]:
        """(day's number, rows, late, from, to) of all landed versions, in the order in which they landed."""
        found = Lake(self.spark, self.folder / "lake").read(tables.files(shop.SOURCE)).collect()
        told = [((r["day"] - FIRST).days, r["rows"], r["late"], r["_from_version"], r["_to_version"], int(r["run_id"][4:])) for r in found]
        return [row[:5] for row in sorted(told, key=lambda row: (row[5], row[0]))]

    def rows(self, name: str) -> list[tuple[Any, ...]]:
        """A table's rows but for the run that wrote each."""
        frame = Lake(self.spark, self.folder / "lake").read(name).drop("run_id", "_table")
        times = [c for c, kind in frame.dtypes if kind == "timestamp"]
        frame = frame.withColumns({c: F.unix_micros(c) for c in times})
        frame = frame.withColumn("checks", F.to_json("checks")) if "checks" in frame.columns else frame
        return sorted((tuple(row) for row in frame.collect()), key=repr)


@pytest.fixture
def place(spark: SparkSession, tmp_path: Path) -> Place:
    return Place(spark, tmp_path, load(write_conf(tmp_path / "conf"), "local", shop.PIPELINE))


def no_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the table was read")

    monkeypatch.setattr(ExternalTable, "read", refuse)
    monkeypatch.setattr(ExternalTable, "from_feed", refuse)


@pytest.mark.slow
def test_without_a_feed_only_days_whose_rows_changed_land(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.create(0, 1, 2, 3)
    assert place.land(3).summary == "3 days, 36 rows landed, 0 quarantined"
    assert place.ours() == place.theirs(3)
    assert place.files() == [(n, 12, False, 0, 1) for n in range(3)]

    with monkeypatch.context() as patched:
        no_read(patched)
        assert place.land(3).status == "nothing"
    assert place.land(4).summary == "1 day, 12 rows landed, 0 quarantined"  # no commit since, but the day is due now
    assert place.files()[3:] == [(3, 12, False, 2, 1)]

    place.sql("UPDATE TABLE_ SET Amount = 99 WHERE OrderNo = 'O01004'")
    place.insert([VOIDED])
    assert place.land(4).summary == "2 days, 24 rows landed, 1 quarantined, 2 days late"
    assert place.ours() == place.theirs(4)
    assert place.files()[4:] == [(0, 13, True, 2, 3), (1, 12, True, 2, 3)]

    place.sql("OPTIMIZE TABLE_")
    assert place.land(4).summary == "no new day"

    place.sql("DELETE FROM TABLE_ WHERE OrderedAt >= '2023-02-08' AND OrderedAt < '2023-02-09'")
    assert place.land(4).summary == "1 day, 0 rows landed, 0 quarantined, 1 day late"
    assert place.files()[6:] == [(2, 0, True, 4, 5)]
    assert place.ours() == place.theirs(4)
    assert place.land(4).status == "nothing"

    # Rows that tell no day go to quarantine with the first day.
    place.insert([("O99999", "10001", None, 1.0, "UK")])  # type: ignore[list-item]
    assert place.land(4).summary == "1 day, 12 rows landed, 2 quarantined, 1 day late"

    shutil.rmtree(place.folder / "landing" / shop.SOURCE)
    place.create(0, 1, 2, 3)
    assert place.land(4).summary == "3 days, 36 rows landed, 0 quarantined, 3 days late"
    assert place.ours() == place.theirs(4)
    assert {row[3:] for row in place.files()[-3:]} == {(0, 1)}
    place.sql("TRUNCATE TABLE TABLE_")
    with pytest.raises(DataError, match="got no row, expected those of 4 days that have landed"):
        place.land(4)


@pytest.fixture
def named(place: Place) -> Iterator[Place]:
    """A table with a change feed that the environment names in the catalog."""
    place.spark.sql("CREATE SCHEMA IF NOT EXISTS crm")
    name = "spark_catalog.crm.orders"
    place.create(0, 1, 2, feed=True)
    place.sql(f"CREATE TABLE {name} USING delta LOCATION '{place.folder / 'landing' / shop.SOURCE}'")
    settings = place.configuration.settings.model_copy(update={"sources": {shop.SOURCE: name}})
    yield replace(place, configuration=replace(place.configuration, settings=settings), folder=place.folder)
    place.spark.sql(f"DROP TABLE {name}")


def test_with_a_feed_only_the_days_that_commits_touched_are_read(named: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (plan,) = plan_stages(named.run(3), ("land",))
    assert "arrivals: 3: file name shop_orders@2023-02-06" in "\n".join(plan_lines([plan]))
    assert "span: after -1, to 1" in "\n".join(plan_lines([plan]))
    assert named.land(3).summary == "3 days, 36 rows landed, 0 quarantined"
    read: list[frozenset[date | None] | None] = []
    asked = landing.deltas._asked
    monkeypatch.setattr(landing.deltas, "_asked", lambda *args, **words: read.append(found := asked(*args, **words)) or found)

    named.sql("UPDATE TABLE_ SET OrderedAt = OrderedAt + INTERVAL 1 DAY WHERE OrderNo = 'O00003'")
    assert named.land(3).summary == "2 days, 24 rows landed, 0 quarantined, 2 days late"
    assert [(n, rows) for n, rows, *_ in named.files()[3:]] == [(0, 11), (1, 13)]
    named.sql("OPTIMIZE TABLE_")
    assert named.land(3).status == "nothing"
    named.sql("UPDATE TABLE_ SET Country = 'UK' WHERE OrderNo = 'O01003'")
    assert named.land(3).status == "nothing"
    named.sql("DELETE FROM TABLE_ WHERE OrderedAt < '2023-02-07'")
    named.insert([*orders(-1, 3), *orders(3)])
    assert named.land(3).summary == "2 days, 3 rows landed, 0 quarantined, 2 days late"
    assert named.ours() == named.theirs(3)
    assert named.land(4).summary == "1 day, 12 rows landed, 0 quarantined"  # was there before, and is due now
    assert named.ours() == named.theirs(4)
    assert read == [{day(0), day(1)}, set(), {day(1)}, {day(-1), day(0), day(1), day(3)}, {day(3)}]

    named.sql("ALTER TABLE TABLE_ SET TBLPROPERTIES (delta.enableChangeDataFeed = false)")
    named.sql("UPDATE TABLE_ SET Country = 'FR' WHERE OrderNo = 'O02003'")
    named.sql("ALTER TABLE TABLE_ SET TBLPROPERTIES (delta.enableChangeDataFeed = true)")
    assert named.land(4).summary == "1 day, 12 rows landed, 0 quarantined, 1 day late"
    assert read[-1] is None
    assert named.ours() == named.theirs(4)


@pytest.mark.slow
@pytest.mark.parametrize("feed", [False, True])
def test_after_any_changes_the_rows_that_count_are_the_tables(place: Place, *, feed: bool) -> None:
    place.create(0, 1, 2, 3, 4, feed=feed)
    chance = random.Random(7 + feed)
    for step in range(3):
        for _ in range(chance.randint(2, 4)):
            change(place, chance, step)
        place.land(4 + step // 2)
        assert place.ours() == place.theirs(4 + step // 2)
    numbers = Lake(place.spark, place.folder / "lake").read(f"landing_{shop.SOURCE}").groupBy("_file", "_known_at")
    assert all(row["least"] == 1 and row["most"] == row["n"] for row in numbers.agg(
        F.min("_row").alias("least"), F.max("_row").alias("most"), F.count("*").alias("n")
    ).collect())  # fmt: skip


def change(place: Place, chance: random.Random, step: int) -> None:
    n, i = chance.randrange(6), chance.randrange(12)
    one = f"OrderNo LIKE 'O{n:02d}%' AND CustomerID = '{10000 + i}'"
    kinds = (
        lambda: place.insert(orders(n, 3, f"O9{step}")),
        lambda: place.sql(f"UPDATE TABLE_ SET Amount = Amount + 1 WHERE {one}"),
        lambda: place.sql(f"UPDATE TABLE_ SET OrderedAt = OrderedAt + INTERVAL 1 DAY WHERE {one}"),
        lambda: place.sql(f"DELETE FROM TABLE_ WHERE {one}"),
        lambda: place.sql(f"DELETE FROM TABLE_ WHERE date(OrderedAt) = '{day(n)}'"),
        lambda: place.sql("OPTIMIZE TABLE_"),
        lambda: place.insert(orders(n, 1)),  # the very same row again
    )
    chance.choice(kinds)()


@pytest.mark.slow
def test_a_killed_landing_is_finished_from_the_version_that_it_began_with(place: Place, tmp_path: Path) -> None:
    place.create(0, 1)
    place.insert([VOIDED])
    place.land(1)
    place.sql("UPDATE TABLE_ SET Amount = 5 WHERE OrderNo IN ('O00001', 'V0001')")
    other = replace(place, folder=tmp_path / "other")
    shutil.copytree(place.folder / "lake", other.folder / "lake")
    shutil.copytree(place.folder / "landing", other.folder / "landing")
    other.land(2)

    with pytest.raises(KilledError):
        place.land(2, point="land.quarantined")
    place.sql("UPDATE TABLE_ SET Amount = 6 WHERE OrderNo IN ('O00002', 'O01001')")
    with pytest.raises(KilledError):
        place.land(2, point="land.appended")
    assert place.land(2).summary == "2 days, 24 rows landed, 1 quarantined, 1 day late"
    for name in ("quarantine", "landing", "files"):
        assert place.rows(f"{name}_{shop.SOURCE}") == other.rows(f"{name}_{shop.SOURCE}")
    assert place.land(2).summary == "2 days, 24 rows landed, 1 quarantined, 2 days late"
    assert place.ours() == place.theirs(2)


def test_a_deleted_day_leaves_the_features(place: Place) -> None:
    place.create(0, 1, 2, 3, 4, 5, 6)
    place.land(7, verbs=("land", "features"))
    before = place.spark.sql(f"SELECT * FROM delta.`{place.folder}/lake/features_tiny_activity`").collect()
    assert {row["orders_14d"] for row in before} == {7}
    place.sql("DELETE FROM TABLE_ WHERE date(OrderedAt) IN ('2023-02-07', '2023-02-08')")
    place.insert([row for n in range(7, 14) for row in orders(n)])
    assert place.land(14, verbs=("land", "features")).status == "done"
    rows = place.spark.sql(f"SELECT * FROM delta.`{place.folder}/lake/features_tiny_activity`").collect()
    assert sorted({(row["as_of"].day, row["orders_14d"]) for row in rows}) == [(13, 7), (20, 12)]


def test_a_table_that_does_not_fit_is_refused_by_name(place: Place) -> None:
    with pytest.raises(UsageError, match=f"table .*{shop.SOURCE}: got none that can be read"):
        place.land(2)
    columns = COLUMNS.replace("Amount double", "Amounts array<double>").replace("timestamp_ntz", "timestamp")
    place.sql(f"CREATE TABLE TABLE_ ({columns}) USING delta")
    with pytest.raises(DataError) as caught:
        place.land(2)
    for fault in (
        "column 'Amount' is missing, perhaps renamed to 'Amounts'",
        "column 'Amounts' holds array<double>, which is no plain value",
        "column 'OrderedAt' holds instants, expected logicalTypeOptions.timezone: true",
    ):
        assert fault in str(caught.value)
    assert not Lake(place.spark, place.folder / "lake").exists(f"landing_{shop.SOURCE}")


def test_values_become_the_text_that_parquet_files_give(spark: SparkSession, tmp_path: Path) -> None:
    naive = datetime.fromisoformat
    made = load_contract(odd_contract.write(tmp_path, "delta", known="day"))
    at = [naive("2024-03-31T01:30:00.123456"), naive("1969-12-31T23:59:59"), None, naive("2024-07-01")]
    days = pa.array([naive("2024-01-01"), naive("2024-01-02T03:00"), None, naive("1900-02-28")], pa.timestamp("us"))
    for amounts, zoned in (
        (pa.array([0.1, -1234567.25, 3.0, None], pa.float64()), True),
        (pa.array([0.1, 2.0**20, -0.0, 1e-3], pa.float32()), False),
        (pa.array([Decimal("0.00"), Decimal("-1.10"), None, Decimal("12345678901234.99")], pa.decimal128(16, 2)), True),
    ):
        columns = {
            "id": pa.array(["", " a", None, "é"]),
            "amount": amounts,
            "day": days,
            "at": pa.array(at, pa.timestamp("us", tz="UTC" if zoned else None)),
            "flag": pa.array([True, False, None, True]),
            "n": pa.array([1, -2, None, 2**31 - 1], pa.int32()),
        }
        pq.write_table(pa.table(columns), tmp_path / "t.parquet")
        rows = plain.texts(spark.read.parquet(str(tmp_path / "t.parquet")), made).collect()
        kinds = {c.name: c.type for c in made.columns}
        expected = {name: columnar.text_of(values, kinds[name]).to_pylist() for name, values in columns.items()}
        assert {name: [row[name] for row in rows] for name in columns} == expected
