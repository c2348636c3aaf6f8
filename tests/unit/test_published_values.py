"""Items and features as bytes, the facts of a generation, and addresses of Redis."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import DataError, FailedError, UsageError
from penstock.publish import packing
from penstock.publish.address import parse
from penstock.publish.features import PublishedFeatures, decode_features, encode_features
from penstock.publish.items import PublishedItems, Recommended, decode_items, encode_items
from penstock.publish.packing import FORMATS
from penstock.publish.record import PublishedScore, decode, encode
from penstock.publish.served import Facts, fallback_field, parse_facts
from penstock.publish.subject import longest

AS_OF = datetime(2011, 9, 4, 23, tzinfo=UTC)
SCORED = datetime(2026, 11, 21, 6, 39, 34, 987654, tzinfo=UTC)
ITEMS = PublishedItems((Recommended("85123A", 0.61234, "als"), Recommended("22423", 0.5, "popular")), AS_OF, "3", SCORED)

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


# ---- values ----


def test_items_are_an_array_in_rank_order_with_their_origin() -> None:
    assert encode_items(ITEMS) == b'[[["85123A",0.6123,"als"],["22423",0.5,"popular"]],1315177200,"3",1795243174]'


@given(st.lists(st.builds(Recommended, _text, st.integers(0, 10_000).map(lambda n: n / 10_000), _text)), st.sampled_from(FORMATS))
def test_items_come_back_in_both_formats(items: list[Recommended], format: Any) -> None:
    whole = PublishedItems(tuple(items), AS_OF, "3", AS_OF, "g")
    assert decode_items(encode_items(whole, format=format), "g", format) == whole


@given(st.floats(0, 1), _text)
def test_scores_come_back_from_messagepack_as_from_json(score: float, band: str) -> None:
    published = PublishedScore(score, band, AS_OF, "v", SCORED)
    assert decode(encode(published, 6, "msgpack"), "g", "msgpack") == decode(encode(published, 6), "g")


def test_features_come_back_in_the_order_of_the_columns_with_decimals_as_text_and_instants_as_seconds() -> None:
    values = [3, 0.25, True, None, "é", Decimal("12.50"), date(2011, 9, 4), AS_OF, ["a", "b"]]
    value = encode_features(values, AS_OF)
    assert value == '[1315177200,3,0.25,true,null,"é","12.50","2011-09-04",1315177200,["a","b"]]'.encode()
    for form in FORMATS:
        found = decode_features(encode_features(values, AS_OF, form), list("abcdefghi"), "g", form)
        assert found == PublishedFeatures(
            dict(zip("abcdefghi", [3, 0.25, True, None, "é", "12.50", "2011-09-04", 1315177200, ["a", "b"]], strict=True)), AS_OF, "g"
        )
        assert found["f"] == "12.50"


def test_the_age_is_told_and_makes_no_value_different() -> None:
    found = decode_items(encode_items(ITEMS), now=AS_OF + timedelta(days=2))
    assert found.age == timedelta(days=2)
    assert found == decode_items(encode_items(ITEMS))


def test_later_writers_may_append_elements_to_items_but_features_have_as_many_as_columns() -> None:
    assert decode_items(b'[[["a",1,"s","more"]],0,"1",0,"more"]').items == (Recommended("a", 1.0, "s"),)
    with pytest.raises(FailedError, match="2 values"):
        decode_features(b"[0,1,2,3]", ["a", "b"])


@pytest.mark.parametrize(
    "value", [b"", b"{}", b"[1]", b'[[["a",1]],0,"1",0]', b'[[[1,1,"s"]],0,"1",0]', b"[[],0,1,0]", b'[[["a",NaN,"s"]],0,"1",0]', b"\xff"]
)
@pytest.mark.parametrize("format", FORMATS)
def test_bytes_that_are_no_items_are_an_error_that_does_not_show_them(value: bytes, format: Any) -> None:
    with pytest.raises(FailedError, match=f"{len(value)} bytes that cannot be read"):
        decode_items(value, "g", format)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("NaN"), b"x", object(), [1, "a"], AS_OF.replace(tzinfo=None)])
def test_a_feature_that_has_no_form_is_refused(value: object) -> None:
    with pytest.raises(DataError):
        encode_features([value], AS_OF)


def test_without_the_package_messagepack_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    packing._msgpack.cache_clear()
    monkeypatch.setitem(sys.modules, "msgpack", None)
    with pytest.raises(UsageError, match="pip install msgpack"):
        encode_items(ITEMS, format="msgpack")


# ---- facts ----

WRITTEN = {
    "count": "3",
    "buckets": "1",
    "as_of": AS_OF.isoformat(),
    "model_version": "3",
    "source": "predictions_churn@1",
    "digest": "00",
    "created": SCORED.isoformat(),
}


def facts(**more: str) -> Facts | None:
    return parse_facts({name.encode(): value.encode() for name, value in {**WRITTEN, **more}.items()})


def test_facts_of_an_older_publisher_are_those_of_scores_in_json() -> None:
    assert facts() == Facts(3, AS_OF, "3", "predictions_churn@1", SCORED, "score", "json", (), "whole")


def test_facts_say_shape_format_columns_and_mode() -> None:
    found = facts(shape="features", format="msgpack", columns='["a","é"]', mode="changes", cursor="7")
    assert found is not None
    assert (found.shape, found.format, found.columns, found.mode) == ("features", "msgpack", ("a", "é"), "changes")
    assert parse_facts({}) is None


@pytest.mark.parametrize(
    "fault",
    [{"shape": "tree"}, {"format": "pickle"}, {"mode": "x"}, {"columns": "[1]"}, {"columns": "x"}, {"as_of": "2011-09-04"}, {"count": "x"}],
)
def test_facts_that_this_version_does_not_know_are_an_error(fault: dict[str, str]) -> None:
    with pytest.raises(FailedError, match="facts of the published generation"):
        facts(**fault)


def test_a_group_is_named_in_the_field_of_its_fallback() -> None:
    assert (fallback_field(), fallback_field("France")) == ("[f]", "[f]France")
    with pytest.raises(UsageError):
        fallback_field("\ud800")


def test_a_greatest_age_is_seconds_or_a_timedelta_and_more_than_nothing() -> None:
    assert longest(90) == timedelta(seconds=90) == longest(timedelta(seconds=90))
    assert longest(None) is None
    for wrong in (0, -1, timedelta()):
        with pytest.raises(UsageError, match="max_age"):
            longest(wrong)


# ---- addresses ----


def test_an_address_of_one_server_is_kept_as_it_is() -> None:
    for url in ("redis://user:s3cret@host:6380/2?socket_timeout=1", "rediss://host", "unix:///tmp/redis.sock?db=1"):
        assert (parse(url).kind, parse(url).url) == ("server", url)
    assert parse("redis://user:s3cret@host:6380/2").shown == "redis://host:6380/2"


def test_an_address_of_sentinels_names_them_the_service_and_the_database() -> None:
    found = parse("redis+sentinel://user:p%40ss@one:26380,two/shop/3?sentinel_password=other")
    assert (found.kind, found.nodes, found.service, found.db) == ("sentinel", (("one", 26380), ("two", 26379)), "shop", 3)
    assert found.credentials == {"username": "user", "password": "p@ss"}
    assert found.sentinel_credentials == {"password": "other"}
    assert not found.tls
    assert parse("redis+sentinel://:pw@one/shop").credentials == {"password": "pw"}


def test_an_address_of_a_cluster_names_some_of_its_nodes() -> None:
    found = parse("rediss+cluster://:pw@one,[::1]:7001?ssl_ca_certs=/ca.pem")
    assert (found.kind, found.nodes) == ("cluster", (("one", 6379), ("::1", 7001)))
    assert (found.tls, found.options) == (True, {"ssl_ca_certs": "/ca.pem"})


def test_no_address_shows_a_password_when_it_is_printed() -> None:
    for url in ("redis://u:s3cret@h", "redis+sentinel://u:s3cret@h/s?sentinel_password=s3cret", "redis+cluster://u:s3cret@h"):
        assert "s3cret" not in repr(parse(url))


@pytest.mark.parametrize(
    "url",
    [
        "s3cret",
        "http://s3cret",
        "redis://host:s3cret",
        "redis+sentinel://s3cret",
        "redis+sentinel://h:s3cret/shop",
        "redis+sentinel:///s3cret",
        "redis+sentinel://h/shop/s3cret",
        "redis+sentinel://h/shop?s3cret=1",
        "redis+cluster://h/3?password=s3cret",
        "redis+cluster://h?sentinel_password=s3cret",
        "redis+cluster://h,,s3cret",
    ],
)
def test_a_malformed_address_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(UsageError, match="malformed") as caught:
        parse(url)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


# ---- what an application pays ----

HEAVY = (
    "pyspark",
    "pandas",
    "numpy",
    "pydantic",
    "pyarrow",
    "mlflow",
    "sklearn",
    "yaml",
    "msgpack",
    "redis",
    "asyncio",
    "importlib.metadata",
)


def test_a_reader_is_imported_and_made_without_anything_heavy_not_even_redis() -> None:
    code = (
        "import sys; from penstock.client import ScoreReader, AsyncScoreReader; ScoreReader('redis://localhost', 'churn'); "
        f"AsyncScoreReader('redis+cluster://localhost', 'churn'); print([m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert done.stdout.strip() == "[]"


def test_the_version_is_still_there_when_it_is_asked_for() -> None:
    import penstock

    assert penstock.__version__
    with pytest.raises(AttributeError):
        penstock.nothing  # noqa: B018
