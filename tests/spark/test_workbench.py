"""A lake opened for a notebook: point-in-time features against an oracle, tables by name and version, and wrong questions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession

import shop
from penstock.config.load import load
from penstock.errors import UsageError
from penstock.lake.delta import Lake
from penstock.wiring import House, Words
from penstock.workbench import Workbench

pytestmark = pytest.mark.spark

VIEW = "tiny_activity"
FEATURES = pd.DataFrame(
    {
        "customer_id": ["a", "a", "b", None],
        "as_of": pd.to_datetime(["2023-01-02", "2023-01-09", "2023-01-09", "2023-01-02"], utc=True),
        "orders_14d": [1, 2, 3, 4],
        "_from_version": [0, 0, 0, 0],
        "_to_version": [0, 0, 0, 0],
        "run_id": ["r", "r", "r", "r"],
    }
)
SPINE = pd.DataFrame(
    {
        "customer_id": ["a", "a", "a", "b", "b", None, "c", "a"],
        "as_of": pd.to_datetime(
            ["2023-01-09 00:00", "2023-01-08 23:59", "2023-01-01 12:00", "2023-02-01 00:00", "2023-01-10 06:00", "2023-01-10 00:00", "2023-01-10 00:00", "2023-01-09 00:00"]
        ),
        "place": range(8),
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def bench(spark: SparkSession, shop_conf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    root = tmp_path_factory.mktemp("bench")
    typed = "customer_id string, as_of timestamp, orders_14d bigint, _from_version bigint, _to_version bigint, run_id string"
    made = [(None if key != key else key, at.to_pydatetime(), *rest) for key, at, *rest in FEATURES.itertuples(index=False)]
    rows = spark.createDataFrame(made, typed)
    rows.where("as_of < '2023-01-05'").write.format("delta").save(str(root / f"features_{VIEW}"))
    rows.where("as_of > '2023-01-05'").write.format("delta").mode("append").save(str(root / f"features_{VIEW}"))
    words = Words(conf=shop_conf, lake=root)
    with ExitStack() as stack:
        yield Workbench(words, House(words, load(shop_conf, "local", shop.PIPELINE), stack, _lake=Lake(spark, root)), stack)


def joined(bench: Workbench, spine: pd.DataFrame, **more: object) -> pd.DataFrame:
    found = bench.feature_set(VIEW, spine, **more).toArrow().to_pandas()  # type: ignore[arg-type]
    return found.sort_values("place", ignore_index=True)


def test_every_spine_row_comes_once_with_the_newest_row_at_or_before_its_instant(bench: Workbench) -> None:
    found = joined(bench, SPINE)
    spine = SPINE.assign(as_of=SPINE["as_of"].dt.tz_localize("UTC").astype("datetime64[us, UTC]"))
    known = FEATURES.dropna(subset=["customer_id"]).assign(right=lambda f: f["as_of"].astype("datetime64[us, UTC]"))
    known["as_of"] = known["right"]
    oracle = pd.merge_asof(spine.sort_values("as_of"), known.sort_values("as_of"), on="as_of", by="customer_id").sort_values(
        "place", ignore_index=True
    )
    assert found["orders_14d"].astype("Float64").tolist() == oracle["orders_14d"].astype("Float64").tolist()
    assert found["orders_14d"].isna().tolist() == [False, False, True, False, False, True, True, False]
    assert found[f"{VIEW}_as_of"].astype(str).tolist() == oracle["right"].astype(str).tolist()
    assert list(found.columns) == ["customer_id", "as_of", "place", f"{VIEW}_as_of", "orders_14d"]


def test_a_feature_row_older_than_the_maximum_age_is_not_known(bench: Workbench) -> None:
    found = joined(bench, SPINE.rename(columns={"as_of": "moment"}), at="moment", max_age=timedelta(days=2))
    assert found["orders_14d"].isna().tolist() == [False, True, True, True, False, True, True, False]


def test_a_spine_in_another_time_zone_means_the_same_instants(bench: Workbench) -> None:
    there = SPINE.assign(as_of=SPINE["as_of"].dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"))
    pd.testing.assert_frame_equal(joined(bench, there), joined(bench, SPINE))


def test_a_spark_spine_gives_what_the_same_pandas_spine_gives(bench: Workbench, spark: SparkSession) -> None:
    rows = [(c, str(t), p) for c, t, p in SPINE.itertuples(index=False)]
    rows = [(None if c != c else c, t, p) for c, t, p in rows]
    frame = spark.createDataFrame(rows, "customer_id string, as_of string, place bigint").selectExpr(
        "customer_id", "CAST(as_of AS timestamp) AS as_of", "place"
    )
    found = bench.feature_set(VIEW, frame).toArrow().to_pandas().sort_values("place", ignore_index=True)
    pd.testing.assert_frame_equal(found, joined(bench, SPINE))


@pytest.mark.parametrize(
    ("views", "spine", "said"),
    [
        ("tiny_activty", SPINE, "perhaps tiny_activity"),
        (VIEW, SPINE.drop(columns="customer_id"), "no column customer_id"),
        (VIEW, SPINE.assign(customer_id=1), "got bigint, expected string"),
        (VIEW, SPINE.assign(as_of="2023-01-09"), "got string, expected timestamp"),
        (VIEW, SPINE.assign(orders_14d=1), "orders_14d twice"),
        ([VIEW, VIEW], SPINE, "orders_14d, tiny_activity_as_of twice"),
        ("customer_activity", SPINE, "got none"),
    ],
)
def test_a_wrong_feature_set_is_told_before_anything_is_computed(bench: Workbench, views: str, spine: pd.DataFrame, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        bench.feature_set(views, spine)


def test_tables_are_read_by_name_and_version(bench: Workbench) -> None:
    assert bench.tables() == (f"features_{VIEW}",)
    assert bench.table(f"features_{VIEW}").count() == 4
    assert bench.table(f"features_{VIEW}", version=0).count() == 2
    with pytest.raises(UsageError, match="got 7, expected 0 to 1"):
        bench.table(f"features_{VIEW}", version=7)
    with pytest.raises(UsageError, match=f"perhaps features_{VIEW}"):
        bench.table("features_tiny_activit")


def test_what_is_not_there_yet_is_empty_or_says_what_to_do_and_nothing_is_made(bench: Workbench) -> None:
    assert bench.runs().empty
    assert bench.candidates(shop.PIPELINE).empty
    with pytest.raises(UsageError, match=r"none yet.*Next: penstock run tiny"):
        bench.scores(shop.PIPELINE)
    assert sorted(path.name for path in bench.words.lake.iterdir()) == [f"features_{VIEW}"]
