"""A view online: what readers of Redis get is the lake's row, and an audit that a wrong value does not get past. Real Spark, real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import shop
from penstock import wiring
from penstock.client import FeatureReader
from penstock.config.load import load
from penstock.errors import RefusedError, ServiceError
from penstock.features import versions
from penstock.lake import lease
from penstock.lake.delta import Lake, Txn
from penstock.progress import Silent
from penstock.publish import feature_rows
from penstock.publish.layout import Keyspace, bucket_of
from penstock.publish.redis import current
from penstock.stage import Run
from penstock.wiring import House, Words

pytestmark = pytest.mark.spark

KEYS = Keyspace(f"view-{shop.VIEW}")
FIRST, SECOND = date(2023, 7, 17), date(2023, 7, 24)
AT = datetime(2023, 7, 16, 14, 30, 5, 999_999, tzinfo=UTC)
MORE = """
    - {name: last_at, function: last, of: ordered_at, type: timestamp}
    - {name: countries, function: collect_set, of: country, windows: [42d]}
  derived:
    - {name: regular, expression: "orders_42d > 1", type: boolean}
    - {name: last_day, expression: "to_date(last_at)", type: date}
"""
COLUMNS = ("recency_days", "tenure_days", "orders_14d", "orders_42d", "spend_42d", "country", "last_at", "countries_42d", "regular", "last_day", "basket_42d")  # fmt: skip
BASKET = 0.1 + 0.2
"""Seventeen digits."""
FULL = (3, 40, 1, 2, Decimal("1234567890123456.70"), 'Côte d\'Ivoire "x"', AT, ["France", "Ünited"], True, date(2023, 7, 16), BASKET)
EMPTY = (None,) * len(COLUMNS)
READ = dict(zip(COLUMNS, (*FULL[:4], "1234567890123456.70", FULL[5], int(AT.timestamp()), *FULL[7:9], "2023-07-16", BASKET), strict=True))


@dataclass
class Place:
    """Two pipelines over one view, in one lake, with one Redis."""

    house: House
    other: House

    def run(self, home: House, day: date, *allowed: Any) -> Run:
        run = wiring.new_run(home, wiring.as_of_instant(home, str(day)), Silent())
        return replace(run, allowed=frozenset(allowed))

    def publish(self, day: date = FIRST, *, home: House | None = None, allowed: tuple[str, ...] = ()) -> feature_rows.Outcome:
        run = self.run(home or self.house, day, *allowed)
        with lease.held(run.lake, [run.jobs["view"]], run.run_id, timedelta(hours=1)) as leases:
            held = replace(run, leases=leases)
            chosen = feature_rows.plan(held)
            assert chosen is not None
            return feature_rows.publish(held, chosen)

    def write(self, rows: dict[str, tuple[Any, ...]], day: date = FIRST) -> None:
        run = self.run(self.house, day)
        _, table = versions.view_tables(run, versions.current(run))
        assert table.column_names[2:-3] == COLUMNS
        values = [(who, run.as_of, *row, 0, 0, "r") for who, row in rows.items()]
        frame = run.lake.spark.createDataFrame(values, ", ".join(f"`{name}` {kind}" for name, kind in table.columns))
        run.lake.append(table, frame, Txn("tests", day.toordinal(), str(day), "r"))

    def read(self, *who: str) -> list[Any]:
        found = FeatureReader(self.house.redis(), shop.VIEW, cache_seconds=0.001).get_many(who)
        return [found[one] for one in who]

    def everything(self) -> dict[bytes, Any]:
        client: Any = self.house.redis()
        return {name: client.hgetall(name) if client.type(name) == b"hash" else client.get(name) for name in client.scan_iter()}

    def put(self, who: str, value: bytes | None) -> None:
        """By hand, past the protocol."""
        client: Any = self.house.redis()
        pointer = current(client, KEYS.pipeline)
        assert pointer is not None
        bucket = KEYS.bucket(pointer.generation, bucket_of(who.encode(), pointer.buckets))
        client.hdel(bucket, who) if value is None else client.hset(bucket, who, value)


@pytest.fixture
def place(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.delenv("PENSTOCK_REDIS_URL", raising=False)
    conf = shop.write_conf(tmp_path / "conf")
    file = conf / "pipelines" / "tiny.yml"
    text = file.read_text(encoding="utf-8")
    assert "\n  derived:\n" in text
    text = text.replace("\n  derived:\n", MORE)
    file.write_text(text, encoding="utf-8")
    other = text.replace("name: tiny\n", "name: other\n").replace("\npublish:\n", "\npublish:\n  redis: {format: msgpack}\n")
    file.with_name("other.yml").write_text(other, encoding="utf-8")
    assert lake.root is not None
    with ExitStack() as stack:
        houses = [House(Words("local", conf, lake.root), load(conf, "local", name, ()), stack, lake) for name in ("tiny", "other")]
        houses[1]._redis, houses[1]._addresses = houses[0]._redis, houses[0]._addresses
        yield Place(*houses)


def test_readers_get_the_newest_row_of_the_lake_that_is_not_after_the_run_and_a_second_run_writes_nothing(place: Place) -> None:
    place.write({"10001": FULL, "10002": EMPTY, "[1": FULL})
    place.write({"10001": EMPTY, "10003": FULL}, SECOND)
    assert place.publish(SECOND - timedelta(days=1)) == feature_rows.Outcome(3, 3, "3 feature rows online, 3 audited")
    full, empty, odd, nobody = place.read("10001", "10002", "[1", "10003")
    assert dict(full.values) == dict(odd.values) == READ
    assert [type(v) for v in full.values.values()] == [type(v) for v in READ.values()]
    assert dict(empty.values) == dict.fromkeys(COLUMNS)
    assert full.as_of == datetime(2023, 7, 16, 23, tzinfo=UTC)
    assert full.generation.startswith("20230717-v1-")
    assert nobody is None

    before = place.everything()
    assert place.publish(SECOND - timedelta(days=1)) == feature_rows.Outcome(0, 3, "3 feature rows audited")
    assert place.everything() == before

    assert place.publish(SECOND, home=place.other).published == 2
    assert [one and one["recency_days"] for one in place.read("10001", "10002", "10003")] == [None, None, 3]


def test_pipelines_that_share_a_view_find_each_others_set_and_never_go_back_behind_it(place: Place) -> None:
    place.write({f"{n}": FULL for n in range(250)})
    place.write({f"{n}": FULL for n in range(250)}, SECOND)
    assert place.publish(SECOND).text == "250 feature rows online, 100 audited"
    before = place.everything()
    assert place.publish(SECOND, home=place.other).text == "100 feature rows audited", "also with another format in its configuration"
    told = place.publish(FIRST, home=place.other)
    assert (told.published, told.audited) == (0, 0)
    assert told.text.startswith("features online stay at 20230724-v1-")
    assert place.everything() == before
    assert place.read("7")[0].as_of == datetime(2023, 7, 23, 23, tzinfo=UTC)


def test_a_value_that_was_changed_is_found_in_its_columns_and_the_next_publication_mends_it(place: Place) -> None:
    place.write({"10001": FULL, "10002": FULL, "10003": EMPTY})
    place.publish()
    good = place.everything()
    full = good[KEYS.bucket(place.read("10001")[0].generation, 0).encode()][b"10001"]
    several = (
        full.replace(b"0.30000000000000004", b"0.3").replace(b"456.70", b"456.71").replace(b"true", b"1").replace(b"[1689", b"[1688", 1)
    )
    damages = {several: "in as_of, spend_42d, regular, basket_42d,", b"oops": "in a value that cannot be read,"}
    for damage, said in damages.items():
        place.put("10001", damage)
        with pytest.raises(ServiceError, match="got 1 of 3 sampled rows unlike features_tiny_activity") as caught:
            place.publish()
        assert said in str(caught.value)
        assert "10001" not in str(caught.value)
        assert "Next: penstock publish tiny --as-of 2023-07-17 writes it anew" in str(caught.value)
        assert place.publish().text == "3 feature rows online, 3 audited"
        now = place.everything()
        assert {k: v for k, v in now.items() if b"view-tiny_activity:" in k} == {
            k: v for k, v in good.items() if b"view-tiny_activity:" in k
        }
    # A field that is gone is seen by its count, before any audit.
    place.put("10002", None)
    assert place.publish().published == 3
    assert place.publish().published == 0


def test_far_fewer_rows_are_refused_until_a_person_allows_it(place: Place) -> None:
    place.write({f"{n}": EMPTY for n in range(10)})
    place.write({"1": FULL}, SECOND)
    place.publish()
    with pytest.raises(RefusedError, match=r"at least 50%.*Next: .*penstock publish tiny --as-of 2023-07-24 --allow-drop if"):
        place.publish(SECOND)
    assert place.read("9")[0] is not None
    assert place.publish(SECOND, allowed=("drop",)).published == 1
    assert place.read("9") == [None]
