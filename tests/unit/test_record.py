"""The bytes of a published score, the text of a key and the layout of a generation."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from penstock.config.publish import PublishConfig
from penstock.errors import DataError, FailedError, UsageError
from penstock.publish.layout import Keyspace, bucket_of, buckets_for, check_generation, parse_pointer
from penstock.publish.record import PublishedScore, band_of, decode, encode, key_text

AS_OF = datetime(2011, 9, 4, 23, tzinfo=UTC)
SCORED = datetime(2026, 11, 21, 6, 39, 34, 987654, tzinfo=UTC)

_parts = st.one_of(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), st.integers(-99, 99))


def _score(score: float, band: str = "medium") -> PublishedScore:
    return PublishedScore(score, band, AS_OF, "12", SCORED)


def test_a_value_is_a_json_array_that_fits_the_compact_form_of_redis() -> None:
    value = encode(_score(0.812345))
    assert value == b'[0.8123,"medium",1315177200,"12",1795243174]'
    assert len(value) <= 64


@given(
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)),  # noqa: DTZ001 - hypothesis wants naive bounds
    st.integers(0, 12),
)
def test_what_is_encoded_comes_back_rounded_and_to_the_second(score: float, band: str, naive: datetime, digits: int) -> None:
    instant = naive.replace(tzinfo=UTC)
    back = decode(encode(PublishedScore(score, band, instant, "v", instant), digits), "g")
    whole = instant.replace(microsecond=0)
    assert back == PublishedScore(round(score, digits), band, whole, "v", whole, "g")


def test_equal_scores_are_equal_bytes_whatever_the_sign_of_zero_and_the_time_zone() -> None:
    london = PublishedScore(-0.00001, "low", AS_OF.astimezone(timezone(timedelta(hours=1))), "1", SCORED)
    utc = PublishedScore(0.0, "low", AS_OF, "1", SCORED)
    assert encode(london) == encode(utc)


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_not_finite_is_refused(score: float) -> None:
    with pytest.raises(DataError, match="finite"):
        encode(_score(score))


def test_a_naive_instant_is_refused() -> None:
    with pytest.raises(DataError, match="time zone"):
        encode(PublishedScore(0.5, "", AS_OF.replace(tzinfo=None), "1", SCORED))


def test_later_writers_may_append_elements() -> None:
    assert decode(b'[0.5,"low",0,"1",0,["a","b"]]').score == 0.5


@pytest.mark.parametrize("value", [b"", b"{}", b"[1]", b'[0.5,1,0,"1",0]', b'["x","low",0,"1",0]', b"\xff", b'[0.5,"low",1e300,"1",0]'])
def test_bytes_that_are_no_score_are_an_error_that_does_not_show_them(value: bytes) -> None:
    with pytest.raises(FailedError, match=f"{len(value)} bytes that cannot be read"):
        decode(value, "g")


def test_a_single_key_is_plain_text_and_a_composite_key_a_json_array() -> None:
    assert key_text("17850") == key_text(17850) == key_text(("17850",)) == "17850"
    assert key_text(("17850", "85123A")) == '["17850","85123A"]'
    assert key_text(("é", 1)) == '["é","1"]'
    assert key_text('["a","b"]') != key_text(("a", "b"))


@given(st.lists(st.one_of(_parts, st.lists(_parts, min_size=1, max_size=3).map(tuple)), min_size=2, max_size=30))
def test_different_keys_never_share_a_text(keys: list[Any]) -> None:
    as_parts = {tuple(str(p) for p in (k if isinstance(k, tuple) else (k,))) for k in keys}
    assert len({key_text(key) for key in keys}) == len(as_parts)


@pytest.mark.parametrize("key", [None, 1.5, True, ("a", None), (), b"a", "\ud800"])
def test_a_key_that_is_neither_text_nor_whole_number_is_refused(key: Any) -> None:
    with pytest.raises(UsageError, match="entity key"):
        key_text(key)


def test_a_band_begins_at_its_lower_bound() -> None:
    bands = PublishConfig().bounds()
    assert [band_of(score, bands) for score in (0.0, 0.3999, 0.4, 0.7, 1.0)] == ["low", "low", "medium", "high", "high"]
    assert band_of(-5.0, ()) == ""


@pytest.mark.parametrize("score", [-0.1, float("nan")])
def test_a_score_under_the_lowest_band_has_no_band(score: float) -> None:
    with pytest.raises(DataError, match="band"):
        band_of(score, PublishConfig().bounds())


@given(st.integers(1, 5_000_000), st.integers(1, 400))
def test_buckets_hold_the_declared_number_of_fields_on_average(count: int, fields: int) -> None:
    buckets = buckets_for(count, fields)
    assert (buckets - 1) * fields < count <= buckets * fields


def test_customer_numbers_spread_over_buckets_so_that_hashes_stay_compact() -> None:
    buckets = buckets_for(100_000)
    sizes = Counter(bucket_of(str(number).encode(), buckets) for number in range(100_000))
    assert len(sizes) == buckets
    assert max(sizes.values()) <= 160


def test_the_bucket_of_a_key_is_the_crc32_that_other_languages_compute() -> None:
    assert bucket_of(b"123456789", 2**32) == 0xCBF43926


def test_control_keys_share_a_slot_and_each_bucket_has_its_own() -> None:
    keys = Keyspace("churn")
    assert keys.bucket("20110905-v3-p2", 7) == "ps:{churn:7}:20110905-v3-p2"
    assert all("{churn}" in name for name in (keys.pointer, keys.fence, keys.registry, keys.meta("g")))
    assert list(keys.buckets("g", 2)) == ["ps:{churn:0}:g", "ps:{churn:1}:g"]


@pytest.mark.parametrize("name", ["", "a}b", "{x}", "a:b", "a b", "1a", "a\n"])
def test_a_name_that_could_leave_its_slot_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        Keyspace(name)
    if name != "1a":
        with pytest.raises(UsageError):
            check_generation(name)


def test_a_pointer_that_no_publisher_wrote_is_an_error_and_an_empty_one_is_nothing() -> None:
    assert parse_pointer({}) is None
    with pytest.raises(FailedError, match="pointer"):
        parse_pointer({b"generation": b"g"})


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"bands": [{"name": "a", "lower": 0.5}, {"name": "b", "lower": 0.5}]}, "ascend"),
        ({"bands": [{"name": "a", "lower": float("nan")}]}, "ascend"),
        ({"bands": [{"name": "a", "lower": 0}, {"name": "a", "lower": 1}]}, "twice"),
        ({"control_share": 1.1}, "less than or equal to 1"),
        ({"digits": -1}, "greater than or equal to 0"),
        ({"redis": {"url": "redis://secret"}}, "Extra inputs"),
    ],
)
def test_a_wrong_publish_configuration_is_refused(fault: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        PublishConfig.model_validate(fault)


def test_the_client_needs_neither_spark_nor_pandas_nor_pydantic() -> None:
    code = (
        "import sys, penstock.client; print([m for m in ('pyspark', 'pandas', 'numpy', 'pydantic', 'yaml', 'mlflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert done.stdout.strip() == "[]"
