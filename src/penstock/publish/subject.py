"""What a reader reads: its keys, the shapes that it understands, the answers made of values, and the errors; pure and import-light."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from penstock.errors import FailedError, RefusedError, UsageError
from penstock.publish.features import PublishedFeatures, decode_features
from penstock.publish.items import PublishedItems, decode_items
from penstock.publish.layout import Keyspace
from penstock.publish.packing import Format
from penstock.publish.reasons import Sentence
from penstock.publish.reasons import decode as decode_reasons
from penstock.publish.record import PublishedScore, decode
from penstock.publish.served import Facts, Mode, Shape

Answer = PublishedScore | PublishedItems | PublishedFeatures
NOT_PUBLISHED = "not in the published set"


class NothingPublishedError(RefusedError):
    """No generation of this pipeline is in Redis: not the same as a key without a value."""


class TooOldError(RefusedError):
    """What is published speaks for an instant longer ago than the caller accepts."""

    retry = True


@dataclass(frozen=True, slots=True)
class PublishedInfo:
    """The published set as a whole: `count` is its fields, `created` when it was written, `age` the time from `as_of` to the reading."""

    pipeline: str
    generation: str
    as_of: datetime
    model_version: str
    count: int
    created: datetime
    source: str
    shape: Shape
    format: Format
    mode: Mode
    columns: tuple[str, ...]
    age: timedelta


@dataclass(frozen=True, slots=True)
class Subject:
    """A pipeline's scores or items, or a view's features: `name` and `publish` are for messages, `other` reads the other shapes."""

    keys: Keyspace
    name: str
    shapes: tuple[Shape, ...]
    other: str
    publish: str

    def check(self, facts: Facts) -> None:
        """UsageError for values that another reader reads."""
        if facts.shape not in self.shapes:
            raise UsageError(
                self.name, got=f"values of shape {facts.shape}", expected=" or ".join(self.shapes), next=f"read them with {self.other}"
            )

    def told(self, generation: str, facts: Facts, now: datetime) -> PublishedInfo:
        """The facts of a generation, as an application reads them."""
        return PublishedInfo(
            self.keys.pipeline,
            generation,
            facts.as_of,
            facts.model_version,
            facts.count,
            facts.created,
            facts.source,
            facts.shape,
            facts.format,
            facts.mode,
            facts.columns,
            now - facts.as_of,
        )

    def too_old(self, generation: str, facts: Facts, now: datetime, max_age: timedelta) -> TooOldError | None:
        """The error for a generation older than that; None for a younger one."""
        age = now - facts.as_of
        if age <= max_age:
            return None
        return TooOldError(
            self.name,
            got=f"generation {generation} as of {facts.as_of:%Y-%m-%d %H:%M %Z}, {_span(age)} ago",
            expected=f"at most {_span(max_age)}",
            left="Nothing was read from it",
            next=self.publish,
        )

    def nothing(self) -> NothingPublishedError:
        """The error where no generation is."""
        return NothingPublishedError(self.name, got="nothing published", next=self.publish)

    def without_facts(self, generation: str) -> FailedError:
        """The error for a generation that does not say what its values are."""
        return FailedError(
            self.name,
            got=f"no facts of generation {generation}",
            expected="those that its publisher wrote",
            left="Its values were not read",
            next=self.publish,
        )


def scores_of(pipeline: str) -> Subject:
    """A pipeline's scores or items."""
    name = f"scores of {pipeline} in Redis"
    return Subject(Keyspace(pipeline), name, ("score", "items"), "FeatureReader", f"penstock run {pipeline} --as-of DATE")


def features_of(view: str) -> Subject:
    """A feature view's newest rows."""
    name = f"features of {view} in Redis"
    return Subject(
        Keyspace(f"view-{view}"),
        name,
        ("features",),
        "ScoreReader",
        f"publish: online in the view {view}, then penstock publish PIPELINE --as-of DATE",
    )


def longest(age: timedelta | float | None) -> timedelta | None:
    """A greatest age, in seconds when it is a number. UsageError when it is not positive."""
    found = age if isinstance(age, timedelta) or age is None else timedelta(seconds=age)
    if found is not None and found <= timedelta():
        raise UsageError("max_age", got=str(age), expected="more than 0, as seconds or a timedelta")
    return found


def answer(generation: str, facts: Facts, value: bytes, now: datetime) -> Answer:
    """The value of one entity, without reasons. FailedError for bytes that are none."""
    if facts.shape == "items":
        return decode_items(value, generation, facts.format, now)
    if facts.shape == "features":
        return decode_features(value, facts.columns, generation, facts.format, now)
    return decode(value, generation, facts.format, now)


def with_reasons(found: Answer, reasons: bytes | None, sentences: tuple[Sentence, ...] | None) -> Answer:
    """A score with its reasons. FailedError for bytes that are none."""
    # Without its list a generation is being dropped, or damaged: the score is whole all the same.
    if reasons is None or sentences is None or not isinstance(found, PublishedScore):
        return found
    return replace(found, reasons=decode_reasons(reasons, sentences))


def standing_in(found: Answer, group: str) -> Answer:
    """The same value as a fallback."""
    return replace(found, provenance="fallback", why=NOT_PUBLISHED, group=group)


def _span(time: timedelta) -> str:
    return f"{time / timedelta(days=1):.1f} days" if time >= timedelta(days=2) else f"{time.total_seconds():,.0f} s"
