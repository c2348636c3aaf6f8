"""What Spark's workers write is byte for byte what the pure encoders write; what cannot be published is counted and not shown."""

from __future__ import annotations

import pickle
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock import clock
from penstock.errors import DataError, PenstockError, UsageError
from penstock.publish.columns import number_texts, rounded_numbers
from penstock.publish.encode import Encoder
from penstock.publish.features import encode_features
from penstock.publish.items import PublishedItems, Recommended, encode_items
from penstock.publish.packing import FORMATS, rounded
from penstock.publish.reasons import Coder, field_of
from penstock.publish.record import PublishedScore, encode, key_text

AS_OF = datetime(2011, 9, 4, 23, tzinfo=UTC)
MICROS = 1_795_243_174_987_654
ODD = ["a:b", "a b", "{x}", '"', "\\", "é", "日本", "[", "[r]1", "[t]", '["a","b"]', "", "\x00", "\n", "\x7f", "\u2028", "😀"]
ITEM = pa.struct([("item", pa.string()), ("score", pa.float64()), ("source", pa.string())])

_text = st.one_of(st.sampled_from(ODD), st.text(st.characters(exclude_categories=["Cs"]), max_size=6))
_score = st.one_of(
    st.sampled_from([-0.0, 0.0, 1e-7, 0.1, 0.00005, 0.00015, 0.5, 1.0, 2.5, 1e9, 1e15, 1e16, 1e22, 1e300, -1e-5, 0.12345]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(0, 1),
)
_micros = st.integers(-(10**15), 4 * 10**15)
_digits = st.integers(0, 12)
_format = st.sampled_from(FORMATS)


def encoded(encoder: Encoder, columns: dict[str, pa.Array]) -> list[tuple[str, bytes]]:
    """What comes out of two batches, of which the second begins within its arrays; the encoder has travelled."""
    whole = pa.RecordBatch.from_pydict(columns)
    cut = whole.num_rows // 2
    travelled = pickle.loads(pickle.dumps(encoder))
    out = list(travelled(iter([whole.slice(0, cut), whole.slice(cut)])))
    assert all(batch.schema == pa.schema([("field", pa.binary()), ("value", pa.binary())]) for batch in out)
    return [(row["field"].decode(), row["value"]) for batch in out for row in batch.to_pylist()]


@given(st.lists(st.tuples(_text, _score, _text, _micros), min_size=1, max_size=12), _digits, _format)
def test_scores_are_the_bytes_of_the_pure_encoder(rows: list[tuple[str, float, str, int]], digits: int, format: Any) -> None:
    keys, scores, bands, micros = zip(*rows, strict=True)
    columns = {"k": pa.array(keys), "score": pa.array(scores), "band": pa.array(bands), "scored_at": pa.array(micros)}
    expected = [
        (key_text(key), encode(PublishedScore(score, band, AS_OF, '"3"', clock.from_epoch(at)), digits, format))
        for key, score, band, at in rows
    ]
    assert encoded(Encoder(("k",), "score", AS_OF, '"3"', format, digits), columns) == expected


@given(st.lists(st.tuples(_text, st.integers(-(2**63), 2**63 - 1), _text), min_size=1, max_size=8))
def test_composite_keys_have_the_text_that_readers_ask_for(keys: list[tuple[str, int, str]]) -> None:
    a, b, c = zip(*keys, strict=True)
    columns = {"a": pa.array(a), "b": pa.array(b), "c": pa.array(c), **_values(len(keys))}
    fields = [field for field, _ in encoded(Encoder(("a", "b", "c"), "score", AS_OF), columns)]
    assert fields == [key_text(key) for key in keys]


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=8))
def test_whole_numbers_are_keys_too(keys: list[int]) -> None:
    columns = {"k": pa.array(keys, pa.int32()), **_values(len(keys))}
    assert [field for field, _ in encoded(Encoder(("k",), "score", AS_OF), columns)] == [str(key) for key in keys]


@given(st.lists(st.lists(st.tuples(_text, _score, _text), max_size=4), min_size=1, max_size=8), _digits, _format)
def test_items_are_the_bytes_of_the_pure_encoder(lists: list[list[tuple[str, float, str]]], digits: int, format: Any) -> None:
    items = [[{"item": i, "score": s, "source": o} for i, s, o in one] for one in lists]
    columns = {
        "k": pa.array([str(n) for n in range(len(lists))]),
        "items": pa.array(items, pa.list_(ITEM)),
        "scored_at": pa.array([MICROS] * len(lists)),
    }
    expected = [
        encode_items(PublishedItems(tuple(Recommended(*i) for i in one), AS_OF, "3", clock.from_epoch(MICROS)), digits, format)
        for one in lists
    ]
    assert [value for _, value in encoded(Encoder(("k",), "items", AS_OF, "3", format, digits), columns)] == expected


_instant = st.datetimes(datetime(1960, 1, 1), datetime(2200, 1, 1)).map(lambda naive: naive.replace(tzinfo=UTC))  # noqa: DTZ001 - hypothesis wants naive bounds
_features = st.fixed_dictionaries(
    {
        "whole": st.none() | st.integers(-(2**63), 2**63 - 1),
        "real": st.none() | _score,
        "flag": st.none() | st.booleans(),
        "text": st.none() | _text,
        "money": st.none() | st.decimals(-1000, 1000, places=4),
        "day": st.none() | st.dates(date(1900, 1, 1)),
        "at": st.none() | _instant,
        "words": st.none() | st.lists(_text, max_size=3),
    }
)
_TYPES = {
    "whole": pa.int64(),
    "real": pa.float64(),
    "flag": pa.bool_(),
    "text": pa.string(),
    "money": pa.decimal128(18, 4),
    "day": pa.date32(),
    "at": pa.timestamp("us", "UTC"),
    "words": pa.list_(pa.string()),
}


@given(st.lists(_features, min_size=1, max_size=8), _format)
def test_features_are_the_bytes_of_the_pure_encoder(rows: list[dict[str, Any]], format: Any) -> None:
    columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in _TYPES.items()}
    columns |= {"k": pa.array([str(n) for n in range(len(rows))]), "as_of": pa.array([MICROS + n * 10**6 for n in range(len(rows))])}
    expected = [encode_features([row[name] for name in _TYPES], clock.from_epoch(MICROS + n * 10**6), format) for n, row in enumerate(rows)]
    encoder = Encoder(("k",), "features", None, format=format, columns=tuple(_TYPES))
    assert [value for _, value in encoded(encoder, columns)] == expected


@given(
    st.lists(
        st.none() | st.lists(st.sampled_from(["last purchase 9 days ago", "abroad", 'say "no"', "é 1"]), max_size=3), min_size=1, max_size=8
    )
)
def test_reasons_follow_in_fields_of_their_own_as_the_coder_writes_them(reasons: list[list[str] | None]) -> None:
    coder = Coder([("last purchase ", " days ago"), ("abroad",)])
    keys = [f"[{n}" if n % 2 else f"{n}" for n in range(len(reasons))]
    columns = {"k": pa.array(keys), "reasons": pa.array(reasons, pa.list_(pa.string())), **_values(len(keys))}
    found = dict(encoded(Encoder(("k",), "score", AS_OF, sentences=coder.sentences), columns))
    expected = {field_of(key_text(key)): coder.encode(why) for key, why in zip(keys, reasons, strict=True) if why}
    assert {field: value for field, value in found.items() if field.startswith("[r]")} == expected
    assert len(found) == len(keys) + len(expected)


@given(st.lists(_score, min_size=1), st.integers(0, 12))
@example([0.5, 1.5, 2.5, 0.00005, 0.125, 1e308, 0.30000000000000004], 2)
def test_whole_columns_are_rounded_as_python_rounds(scores: list[float], digits: int) -> None:
    assert rounded_numbers(np.array(scores), digits).tolist() == [rounded(score, digits) for score in scores]


def test_a_hundred_thousand_numbers_have_the_texts_of_repr() -> None:
    values = np.random.default_rng(7).lognormal(0, 12, 100_000) + 0.0
    found = np.concatenate([values, values.round(4), np.trunc(values), -values])
    assert number_texts(found).to_pylist() == [repr(value) for value in found.tolist()]


def _values(count: int) -> dict[str, pa.Array]:
    return {"score": pa.array([0.5] * count), "band": pa.array(["low"] * count), "scored_at": pa.array([MICROS] * count)}


SECRET = "17850-secret"
INVALID = pa.Array.from_buffers(pa.string(), 2, pa.array([b"fine", b"\xff17850-secret"], pa.binary()).buffers())


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"k": pa.array([SECRET, None])}, "entity keys to publish: got a part that is null in 1 of 2 rows"),
        ({"k": INVALID}, "entity keys to publish: got text that is not valid Unicode in 1 of 2 rows"),
        ({"score": pa.array([0.5, float("nan")])}, "scores to publish: got null, NaN or infinity in 1 of 2 rows"),
        ({"score": pa.array([float("inf"), None])}, "scores to publish: got null, NaN or infinity in 2 of 2 rows"),
        ({"band": pa.array(["low", None])}, "bands to publish: got null in 1 of 2 rows"),
        ({"scored_at": pa.array([None, MICROS])}, "null in 1 of 2 rows"),
    ],
)
@pytest.mark.parametrize("format", FORMATS)
def test_what_cannot_be_published_is_counted_and_no_key_is_shown(fault: dict[str, Any], said: str, format: Any) -> None:
    columns = {"k": pa.array([SECRET, "1"]), **_values(2), **fault}
    with pytest.raises(DataError, match=said) as caught:
        list(Encoder(("k",), "score", AS_OF, format=format)(iter([pa.RecordBatch.from_pydict(columns)])))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "items",
    [
        None,
        [None],
        [{"item": None, "score": 1.0, "source": "s"}],
        [{"item": "i", "score": None, "source": "s"}],
        [{"item": "i", "score": float("nan"), "source": "s"}],
    ],
)
@pytest.mark.parametrize("format", FORMATS)
def test_a_gap_in_items_is_refused(items: Any, format: Any) -> None:
    columns = {"k": pa.array(["1"]), "items": pa.array([items], pa.list_(ITEM)), "scored_at": pa.array([MICROS])}
    with pytest.raises(DataError, match="items to publish"):
        list(Encoder(("k",), "items", AS_OF, format=format)(iter([pa.RecordBatch.from_pydict(columns)])))


@pytest.mark.parametrize("format", FORMATS)
def test_a_feature_that_is_not_finite_is_refused_by_name(format: Any) -> None:
    columns = {"k": pa.array(["1"]), "spend": pa.array([float("inf")])}
    with pytest.raises(DataError, match="feature spend to publish"):
        list(Encoder(("k",), "features", AS_OF, format=format, columns=("spend",))(iter([pa.RecordBatch.from_pydict(columns)])))


@pytest.mark.parametrize("value", [1.5, True, Decimal(1), b"x"])
def test_a_key_that_is_neither_text_nor_whole_number_is_refused_as_it_is_one_by_one(value: Any) -> None:
    columns = {"k": pa.array([value]), **_values(1)}
    with pytest.raises(UsageError, match="entity key"):
        list(Encoder(("k",), "score", AS_OF)(iter([pa.RecordBatch.from_pydict(columns)])))
    with pytest.raises(PenstockError, match="entity key"):
        key_text(value)
