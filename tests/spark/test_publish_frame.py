"""DataFrames as the content of a generation, on a real Spark and a real redis-server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import redis

from penstock.errors import DataError, PenstockError, RefusedError, ServiceError
from penstock.publish import frame as frames
from penstock.publish.changes import publish_changes
from penstock.publish.connect import connect
from penstock.publish.generation import Claim, Guards, PublishFacts, Tally, Target
from penstock.publish.layout import Keyspace, bucket_of, buckets_for
from penstock.publish.redis import publish
from penstock.publish.server import private_server

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

AS_OF = datetime(2011, 9, 5, tzinfo=UTC)
COUNT = 3_000
KEYS = Keyspace("churn")


def facts(count: int = COUNT) -> PublishFacts:
    return PublishFacts(count, AS_OF, "3", "predictions_churn@1", AS_OF)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with private_server() as server:
        yield server.url


@pytest.fixture
def client(url: str) -> Iterator[redis.Redis]:
    with connect(url) as client:
        client.flushall()
        yield client


def frame(spark: SparkSession, count: int = COUNT, text: str = "value of ") -> DataFrame:
    """Every third entity has reasons beside its value."""
    from pyspark.sql import functions as F

    field = F.when(F.col("id") % 3 == 2, F.concat(F.lit("[r]"), (F.col("id") - 1).cast("string"))).otherwise(F.col("id").cast("string"))
    return spark.range(count).select(field.cast("binary").alias("field"), F.concat(F.lit(text), field).cast("binary").alias("value"))


def rows(count: int = COUNT) -> list[tuple[str, bytes]]:
    fields = [f"[r]{n - 1}" if n % 3 == 2 else str(n) for n in range(count)]
    return [(field, f"value of {field}".encode()) for field in fields]


def everything(client: redis.Redis) -> dict[bytes, Any]:
    return {name: client.hgetall(name) if client.type(name) == b"hash" else client.get(name) for name in sorted(client.scan_iter())}


@pytest.mark.parametrize("writer", ["executors", "driver"])
def test_a_frame_is_published_by_workers_or_driver_to_the_very_content_of_the_same_rows(
    spark: SparkSession, url: str, client: redis.Redis, writer: str
) -> None:
    told = publish(client, "churn", "g1", rows(), fence=1, facts=facts())
    by_rows = everything(client)
    client.flushall()
    done = publish(client, "churn", "g1", frames.content(frame(spark), writer, url, COUNT), fence=1, facts=facts())
    assert everything(client) == by_rows
    assert (done.digest, done.count, done.outcome) == (told.digest, COUNT, "published")


def test_a_bucket_is_whole_in_one_partition_and_numbered_as_readers_number_it(spark: SparkSession) -> None:
    from pyspark.sql import functions as F

    buckets = buckets_for(COUNT)
    ordered = frames.in_bucket_order(frame(spark), buckets, 4).withColumn("part", F.spark_partition_id()).collect()
    assert all(row["bucket"] == bucket_of(bytes(row["field"]), buckets) for row in ordered)
    assert len({(row["bucket"], row["part"]) for row in ordered}) == len({row["bucket"] for row in ordered}) == buckets
    assert len({row["part"] for row in ordered}) > 1


@pytest.mark.parametrize("writer", ["executors", "driver"])
def test_what_a_worker_refuses_arrives_as_the_same_error_and_moves_nothing(
    spark: SparkSession, url: str, client: redis.Redis, writer: str
) -> None:
    from pyspark.sql import functions as F

    publish(client, "churn", "g1", rows(), fence=1, facts=facts())
    before = everything(client)

    def fails(kind: type[PenstockError], words: str, bad: DataFrame, **more: Any) -> None:
        content = frames.content(bad, writer, url, COUNT)
        with pytest.raises(kind, match=words):
            publish(client, "churn", "g2", content, fence=2, facts=facts(), **more)
        left = everything(client)
        assert {name: left[name] for name in before if b":fence" not in name and b":generations" not in name}.items() <= before.items()
        assert not client.exists(*KEYS.buckets("g2", buckets_for(COUNT)))

    fails(RefusedError, "1 over 64 bytes", frame(spark).withColumn("value", _long_once()), guards=Guards(max_value_bytes=64))
    nothing = F.when(F.col("field") == F.lit(b"18"), F.lit(None)).otherwise(F.col("value"))
    fails(DataError, "1 without field or value", frame(spark).withColumn("value", nothing))
    fails(DataError, f"got {COUNT - 1}, expected {COUNT}", frame(spark, COUNT - 1))
    fails(DataError, "1 repeated", frame(spark, COUNT - 1).unionByName(frame(spark, 1)))


def _long_once() -> Any:
    from pyspark.sql import functions as F

    return F.when(F.col("field") == F.lit(b"18"), F.expr("cast(repeat('x', 65) AS BINARY)")).otherwise(F.col("value"))


def test_workers_under_an_old_lease_or_without_redis_say_so_with_the_next_action(
    spark: SparkSession, url: str, client: redis.Redis
) -> None:
    target = Target(KEYS, Claim("g9", 1, 0, 30))
    client.set(KEYS.fence, 5)
    with pytest.raises(RefusedError, match="got lease 1, expected 5"):
        frames.Frame(frame(spark), url, COUNT).write(client, target)
    assert client.hexists(KEYS.registry, "g9")  # what was written is on the list, so the next publisher drops it
    with pytest.raises(ServiceError, match=r"publish\.redis\.writer to driver") as caught:
        frames.Frame(frame(spark), "redis://user:s3cret@127.0.0.1:1", COUNT).write(client, target)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("writer", ["executors", "driver"])
def test_changes_come_from_a_frame_whose_null_values_are_fields_that_go(
    spark: SparkSession, url: str, client: redis.Redis, writer: str
) -> None:
    from pyspark.sql import functions as F

    def put(fence: int, count: int, changed: DataFrame) -> str:
        told = replace(facts(count), mode="changes", cursor=fence)
        whole = frames.content(frame(spark), writer, url, COUNT)
        done = publish_changes(
            client,
            "churn",
            "g",
            whole=lambda: whole,
            changed=lambda _: frames.changed(changed, writer, url, count),
            fence=fence,
            facts=told,
        )
        return f"{done.outcome} {done.generation}"

    assert put(1, COUNT, frame(spark, 1)) == "published g-1"
    gone = frame(spark, 300).withColumn("value", F.lit(None).cast("binary"))
    fresh = frame(spark, 600, text="newer value of ").join(gone, on="field", how="left_anti")
    assert put(2, COUNT - 300, fresh.unionByName(gone)) == "changed g-1"
    expected = dict(rows()[600:]) | {field: b"newer " + value for field, value in rows(600)[300:]}
    found = {name: value for bucket in KEYS.buckets("g-1", buckets_for(COUNT)) for name, value in client.hgetall(bucket).items()}
    found.pop(b"[v]")
    assert found == {name.encode(): value for name, value in expected.items()}
    client.set(KEYS.fence, 9)
    with pytest.raises(RefusedError, match="got lease 2, expected 9"):
        frames.ChangedFrame(fresh, url, 600).write(client, Target(KEYS, Claim("g-1", 2, 0, buckets_for(COUNT))))


def test_a_partition_that_spark_writes_twice_is_counted_by_redis_and_not_by_its_replies(
    spark: SparkSession, url: str, client: redis.Redis
) -> None:
    """A task that is tried again finds its fields there already: fewer new ones than rows, and all of them in Redis."""

    class Twice(frames.Frame):
        def write(self, client: redis.Redis, target: Target) -> Tally:
            assert super().write(client, target).added == COUNT
            again = super().write(client, target)
            assert (again.rows, again.added) == (COUNT, 0)
            return again

    done = publish(client, "churn", "g1", Twice(frame(spark), url, COUNT), fence=1, facts=replace(facts(), entities=2_000))
    assert (done.outcome, done.count) == ("published", COUNT)
