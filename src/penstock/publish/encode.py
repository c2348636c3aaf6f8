"""Fields and values of a generation from Arrow batches, for `mapInArrow`: what `publish.record`, `items` and `features` write, byte for byte.

An encoder is a small value that Spark can send to its workers; JSON is made of whole columns, MessagePack row by row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from penstock.clock import from_epoch
from penstock.errors import DataError
from penstock.publish import columns as texts
from penstock.publish.features import encode_features, plain
from penstock.publish.items import PublishedItems, Recommended, encode_items
from penstock.publish.packing import Format, pack, seconds
from penstock.publish.reasons import Coder, Sentence, field_of
from penstock.publish.record import PublishedScore, encode
from penstock.publish.served import Shape

SCHEMA = "field binary, value binary"
"""What comes out, as Spark wants it said."""


@dataclass(frozen=True)
class Encoder:
    """Batches in, batches of `SCHEMA` out; a row an entity, and one more for each that has reasons.

    A batch has the columns `key` and, by `shape`: `score` (double), `band` (text), `scored_at` (microseconds since 1970) and
    perhaps `reasons` (array of text); or `items` (array of struct of `item`, `score`, `source`) and `scored_at`; or `columns`.
    Where `as_of` is None it has `as_of` as well, in microseconds. `sentences` are those of the generation's list
    (`reasons.Coder`), None for a generation without reasons. Raises DataError, with a count of rows, for a key with an empty
    part or invalid text, for null, and for numbers that are not finite.
    """

    key: tuple[str, ...]
    shape: Shape
    as_of: datetime | None
    version: str = ""
    format: Format = "json"
    digits: int = 4
    columns: tuple[str, ...] = ()
    sentences: tuple[Sentence, ...] | None = None

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        """All rows of one partition."""
        coder = None if self.sentences is None else Coder(self.sentences)
        for batch in batches:
            if not batch.num_rows:
                continue
            keys = texts.key_texts([batch.column(name) for name in self.key])
            yield _rows(keys, self._values(batch))
            if coder is not None:
                yield from _reasons(keys, batch.column("reasons"), coder)

    def _values(self, batch: Any) -> Any:
        if self.format == "json":
            made = {"score": self._json_scores, "items": self._json_items, "features": self._json_features}
        else:
            made = {"score": self._scores, "items": self._items, "features": self._features}
        return made[self.shape](batch)

    # whole columns

    def _json_scores(self, batch: Any) -> Any:
        score = self._number_texts(batch.column("score"), "scores to publish")
        return texts.joined("[", score, ",", texts.json_texts(batch.column("band"), "bands to publish"), ",", *self._origin(batch))

    def _json_items(self, batch: Any) -> Any:
        lists, flat = _flattened(batch.column("items"), "items to publish")
        item, score, source = (pc.struct_field(flat, name) for name in ("item", "score", "source"))
        one = texts.joined(
            "[",
            texts.json_texts(item, "items to publish"),
            ",",
            self._number_texts(score, "scores of items to publish"),
            ",",
            texts.json_texts(source, "sources of items to publish"),
            "]",
        )
        return texts.joined("[[", texts.lists_of(one, lists), "],", *self._origin(batch))

    def _json_features(self, batch: Any) -> Any:
        parts = [part for name in self.columns for part in (",", _feature_texts(batch.column(name), name))]
        return texts.joined("[", self._as_of_texts(batch), *parts, "]")

    def _number_texts(self, column: Any, what: str) -> Any:
        return texts.number_texts(texts.rounded_numbers(texts.numbers(column, what), self.digits))

    def _origin(self, batch: Any) -> tuple[Any, ...]:
        """The end of a value: as_of, version, scored_at."""
        version = pack((self.version,))[1:-1].decode()
        return (
            self._as_of_texts(batch),
            f",{version},",
            texts.second_texts(batch.column("scored_at"), "instants of scoring to publish"),
            "]",
        )

    def _as_of_texts(self, batch: Any) -> Any:
        if self.as_of is None:
            return texts.second_texts(batch.column("as_of"), "as_of of rows to publish")
        return str(seconds(self.as_of))

    # row by row

    def _scores(self, batch: Any) -> Any:
        found = texts.numbers(batch.column("score"), "scores to publish").tolist()
        bands = _filled(batch.column("band"), "bands to publish")
        rows = zip(found, bands, self._as_ofs(batch), _instants(batch.column("scored_at")), strict=True)
        return pa.array([encode(PublishedScore(s, band, a, self.version, at), self.digits, self.format) for s, band, a, at in rows])

    def _items(self, batch: Any) -> Any:
        lists, flat = _flattened(batch.column("items"), "items to publish")
        texts.numbers(pc.struct_field(flat, "score"), "scores of items to publish")
        for name in ("item", "source"):
            _filled(pc.struct_field(flat, name), "items to publish")
        rows = zip(lists.to_pylist(), self._as_ofs(batch), _instants(batch.column("scored_at")), strict=True)
        published = (
            PublishedItems(tuple(Recommended(i["item"], i["score"], i["source"]) for i in found), a, self.version, at)
            for found, a, at in rows
        )
        return pa.array([encode_items(one, self.digits, self.format) for one in published])

    def _features(self, batch: Any) -> Any:
        for name in self.columns:
            _refuse_infinite(batch.column(name), name)
        rows = zip(*[batch.column(name).to_pylist() for name in self.columns], strict=True)
        return pa.array([encode_features(row, a, self.format) for row, a in zip(rows, self._as_ofs(batch), strict=True)])

    def _as_ofs(self, batch: Any) -> Sequence[datetime]:
        return _instants(batch.column("as_of")) if self.as_of is None else [self.as_of] * batch.num_rows


def _rows(fields: Any, values: Any) -> Any:
    return pa.RecordBatch.from_arrays([pc.cast(fields, pa.binary()), pc.cast(values, pa.binary())], ["field", "value"])


def _reasons(keys: Any, lists: Any, coder: Coder) -> Iterator[Any]:
    """The rows of those who have reasons; each sentence is coded once."""
    some = pc.fill_null(pc.greater(pc.list_value_length(lists), 0), False)
    if not pc.any(some).as_py():
        return
    lists, flat = _flattened(lists.filter(some), "reasons to publish")
    texts.refuse(pc.is_null(flat), "reasons to publish", "null", "a sentence")
    coded = pc.dictionary_encode(flat)
    each = pa.array([coder.encode((sentence,))[1:-1].decode() for sentence in coded.dictionary.to_pylist()], pa.string())
    values = texts.joined("[", texts.lists_of(each.take(coded.indices), lists), "]")
    yield _rows(texts.joined(field_of(""), keys.filter(some)), values)


def _feature_texts(column: Any, name: str) -> Any:
    """A column of features as JSON, null where it is null."""
    what, kind, known = f"feature {name} to publish", column.type, pc.is_valid(column)
    _refuse_infinite(column, name)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        found = pc.cast(column, pa.string())
    elif pa.types.is_floating(kind):
        found = texts.number_texts(pc.fill_null(pc.cast(column, pa.float64()), 0.0).to_numpy(zero_copy_only=False) + 0.0)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        found = texts.json_texts(pc.fill_null(column, ""), what)
    elif pa.types.is_timestamp(kind) and kind.tz is not None:
        micros = pc.cast(pc.cast(column, pa.timestamp("us", kind.tz)), pa.int64())
        found = texts.second_texts(pc.fill_null(micros, 0), what)
    else:  # days, decimals, lists of text: by the row, which keeps one definition of how they are written
        found = pa.array([pack((plain(value),))[1:-1].decode() for value in column.to_pylist()], pa.string())
    return pc.if_else(known, found, "null")


def _refuse_infinite(column: Any, name: str) -> None:
    if pa.types.is_floating(column.type):
        wrong = pc.invert(pc.fill_null(pc.is_finite(column), True))
        texts.refuse(wrong, f"feature {name} to publish", "NaN or infinity", "a finite number or null")


def _flattened(lists: Any, what: str) -> tuple[Any, Any]:
    """Lists and their elements in one row. DataError for null in place of a list or of an element."""
    texts.refuse(pc.is_null(lists), what, "null", "a list")
    flat = pc.list_flatten(lists)
    if flat.null_count:
        raise DataError(what, got=f"null in {flat.null_count:,} places of lists", expected="a value", left="The published set is as it was")
    return lists, flat


def _filled(column: Any, what: str) -> list[str]:
    texts.refuse(pc.is_null(column), what, "null", "text")
    found: list[str] = texts.valid_texts(column, what).to_pylist()
    return found


def _instants(micros: Any) -> list[datetime]:
    texts.refuse(pc.is_null(micros), "instants to publish", "null", "microseconds since 1970")
    return [from_epoch(value) for value in pc.cast(micros, pa.int64()).to_pylist()]
