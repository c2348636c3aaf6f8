"""Every table's schema, key and owner on one screen.

A function gives a table that depends on a declaration (a source's columns, a view's features, an entity's key);
a constant gives one that does not. Types are Spark SQL. `how` says in which way rows come in: `append` only adds,
`merge` keeps one row a key. All times are UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Column = tuple[str, str]


@dataclass(frozen=True)
class Table:
    """A table of the lake: its name, columns (name, Spark SQL type) in order, and key."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    how: Literal["append", "merge"]
    owner: str
    properties: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def column_names(self) -> tuple[str, ...]:
        """Column names in table order."""
        return tuple(name for name, _ in self.columns)


_SPAN: tuple[Column, ...] = (("_from_version", "bigint"), ("_to_version", "bigint"), ("run_id", "string"))
_FILE: tuple[Column, ...] = (("_file", "string"), ("_row", "bigint"), ("_file_digest", "string"), ("_known_at", "timestamp"))
_REASONS = "array<string>"
"""What raises a score most, in words, the weightiest first; null where the score is not published or its model has no explainer."""
SCORE: tuple[Column, ...] = (("score", "double"),)
"""What a prediction says, unless it is a ranking."""
_LIST = "array<struct<item:string,score:double,source:string>>"
ITEMS: tuple[Column, ...] = (("items", _LIST), ("instead", _LIST))
"""What a ranking says: the model's `items` in order, and `instead` those of a heuristic, which the control group is shown."""
ITEM: Column = ("item", "string")
"""What a ranking chooses from, in a row of its own beside the entity's key."""
_BY: tuple[Column, ...] = (("model_version", "int"), ("promotion", "int"))


def landing(source: str, columns: Sequence[Column]) -> Table:
    """The accepted rows of a source, typed by its contract; a changed file's new rows stand beside the old ones."""
    return Table(f"landing_{source}", (*columns, *_FILE, ("run_id", "string")), ("_file", "_row", "_known_at"), "append", "landing")


def quarantine(source: str, raw: Sequence[str]) -> Table:
    """The refused rows of a source, as text, each with its reasons."""
    text = tuple((name, "string") for name in raw)
    reasons = (("reasons", "array<string>"),)
    return Table(
        f"quarantine_{source}", (*text, *reasons, *_FILE, ("run_id", "string")), ("_file", "_row", "_known_at"), "append", "landing"
    )


def files(source: str) -> Table:
    """One row a landed version of a file, or of a day of a table: what was in it and since when it has been known.

    Of a table's days `_from_version` to `_to_version` are the versions that were looked through for changes; its rows are those
    of the last. `_table` is the history that they are versions of: its number here, and the table's own id. Null for files.
    """
    return Table(
        f"files_{source}",
        (
            ("_file", "string"),
            ("_file_digest", "string"),
            ("_known_at", "timestamp"),
            ("day", "date"),
            ("landed_as_of", "timestamp"),
            ("late", "boolean"),
            ("bytes", "bigint"),
            ("rows", "bigint"),
            ("accepted", "bigint"),
            ("rejected", "bigint"),
            ("checks", "map<string,bigint>"),
            ("run_id", "string"),
            ("_from_version", "bigint"),
            ("_to_version", "bigint"),
            ("_table", "string"),
        ),
        ("_file", "_known_at"),
        "append",
        "landing",
    )


def versioned(view: str, version: int) -> str:
    """A view's name in the names of the tables of one of its versions; the first version's have the view's own."""
    return view if version == 1 else f"{view}_v{version}"


def tiles(view: str, key: Sequence[Column], states: Sequence[Column], version: int = 1) -> Table:
    """The whole state of an entity's local day, as known from `known_at` on, under one version of the view."""
    return Table(
        f"tiles_{versioned(view, version)}",
        (*key, ("hop", "date"), ("known_at", "timestamp"), *states, *_SPAN),
        (*_names(key), "hop", "known_at"),
        "append",
        "features",
    )


def features(view: str, key: Sequence[Column], columns: Sequence[Column], definition: str, version: int = 1) -> Table:
    """Features of each entity at each `as_of`, as known then, under one version of the view; never changed afterwards."""
    return Table(
        f"features_{versioned(view, version)}",
        (*key, ("as_of", "timestamp"), *columns, *_SPAN),
        (*_names(key), "as_of"),
        "append",
        "features",
        properties={"penstock.definition": definition},
    )


def candidates(view: str, key: Sequence[Column], columns: Sequence[Column], version: int = 1) -> Table:
    """The items that may be shown to each entity at each `as_of`, as known then, with what is known of entity and item together."""
    return Table(
        f"candidates_{versioned(view, version)}",
        (*key, ("as_of", "timestamp"), ITEM, *columns, *_SPAN),
        (*_names(key), "as_of", ITEM[0]),
        "append",
        "features",
    )


FEATURE_CATALOG = Table(
    "feature_catalog",
    (
        ("view", "string"),
        ("version", "int"),
        ("column", "string"),
        ("revision", "int"),
        ("kind", "string"),
        ("type", "string"),
        ("description", "string"),
        ("owner", "string"),
        ("tags", "array<string>"),
        ("restrictions", "array<string>"),
        ("source", "string"),
        ("source_columns", "array<string>"),
        ("computed", "string"),
        ("meaning", "string"),
        ("definition", "string"),
        ("declaration", "string"),
        ("as_of", "timestamp"),
        ("created_at", "timestamp"),
        ("run_id", "string"),
    ),
    ("view", "version", "column", "revision"),
    "append",
    "features",
)
"""Every version of every view, a row a column. A version keeps its meaning; a revision of it has other words (owner, tags) only."""


def labels(pipeline: str, key: Sequence[Column], kind: str = "double") -> Table:
    """The outcome of each (entity, `as_of`) of the population: pending, matured, revised or censored; and whether it was treated.

    `_to_version` counts the versions of the tiles of `view_version` (another version of the view has tiles of its own), or those
    of the files of a label's own source; `_treated_version` those of the files that tell of treatments. `definition` is the digest
    of the question that the label answers; `kind` is its type: a number, or of a ranking the items that were chosen.
    """
    own = (("label", kind), ("state", "string"), ("matured_at", "timestamp"), ("revision", "int"), ("treated", "boolean"))
    made = (("view_version", "int"), ("definition", "string"), ("_treated_version", "bigint"))
    return Table(f"labels_{pipeline}", (*key, ("as_of", "timestamp"), *own, *made, *_SPAN), (*_names(key), "as_of"), "merge", "labels")


def outcomes(pipeline: str, key: Sequence[Column]) -> Table:
    """Each row of a label's own source and how it stands: matched, duplicate, contradicting, unmatched, silent or withdrawn.

    `labels` counts the labels that it speaks of, `as_of` is the first of them; `_to_version` is of the source's files.
    """
    own = (
        ("happened_at", "timestamp"),
        ("hop", "date"),
        ("value", "double"),
        ("standing", "string"),
        ("labels", "bigint"),
        ("as_of", "timestamp"),
    )
    row = (("_file", "string"), ("_row", "bigint"), ("_known_at", "timestamp"))
    return Table(f"outcomes_{pipeline}", (*key, *own, *row, *_SPAN), ("_file", "_row", "_known_at"), "merge", "labels")


def predictions(pipeline: str, key: Sequence[Column], answer: Sequence[Column] = SCORE) -> Table:
    """Every score ever made, or list of a ranking: the audit log."""
    own = (("role", "string"), ("backfill", "boolean"), ("is_control", "boolean"), ("reasons", _REASONS), ("scored_at", "timestamp"))
    columns = (*key, ("as_of", "timestamp"), *answer, *_BY, *own, *_SPAN)
    return Table(f"predictions_{pipeline}", columns, (*_names(key), "as_of", "model_version"), "append", "scoring")


def predictions_latest(pipeline: str, key: Sequence[Column], answer: Sequence[Column] = SCORE, more: Sequence[Column] = ()) -> Table:
    """The newest answer for each entity, with what publishing makes of it (`more`); `is_active` is false once it has left the population."""
    flags: tuple[Column, ...] = (("is_control", "boolean"), ("is_active", "boolean"))
    own = (*more, *flags, ("reasons", _REASONS), ("updated_at", "timestamp"), ("run_id", "string"))
    columns = (*key, ("as_of", "timestamp"), *answer, *_BY, *own)
    return Table(f"predictions_{pipeline}_latest", columns, _names(key), "merge", "publish")


def crm(pipeline: str, key: Sequence[Column], values: Sequence[Column]) -> Table:
    """What CRM tools read: flat, one row a contactable entity; `updated_at` moves only when a business value does."""
    own = (*values, ("is_active", "boolean"), ("updated_at", "timestamp"))
    return Table(f"crm_{pipeline}", (*key, *own), _names(key), "merge", "publish")


def fallbacks(pipeline: str, values: Sequence[Column]) -> Table:
    """What is answered for whom nothing was published at an `as_of`: a row for each group, and one for everybody else (`segment` is empty).

    `definition` is the digest of what shapes it.
    """
    key: tuple[Column, ...] = (("segment", "string"), ("as_of", "timestamp"), ("definition", "string"))
    own: tuple[Column, ...] = (("model_version", "int"), ("made_at", "timestamp"), ("run_id", "string"))
    return Table(f"fallbacks_{pipeline}", (*key, *values, *own), _names(key), "merge", "publish")


METRICS = Table(
    "metrics",
    (
        ("pipeline", "string"),
        ("as_of", "timestamp"),
        ("kind", "string"),
        ("subject", "string"),
        ("segment", "string"),
        ("name", "string"),
        ("value", "double"),
        ("state", "string"),
        ("detail", "string"),
        ("model_version", "int"),
        ("run_id", "string"),
    ),
    ("pipeline", "as_of", "kind", "subject", "segment", "name"),
    "append",
    "monitoring",
)

DECISIONS = Table(
    "decisions",
    (
        ("pipeline", "string"),
        ("as_of", "timestamp"),
        ("kind", "string"),
        ("subject", "string"),
        ("outcome", "string"),
        ("rule", "string"),
        ("reasons", "array<string>"),
        ("evidence", "string"),
        ("model_version", "int"),
        ("promotion", "int"),
        ("decided_by", "string"),
        ("decided_at", "timestamp"),
        ("run_id", "string"),
    ),
    ("pipeline", "as_of", "kind", "subject"),
    "append",
    "monitoring",
)

ALERTS = Table(
    "alerts",
    (
        ("pipeline", "string"),
        ("as_of", "timestamp"),
        ("rule", "string"),
        ("subject", "string"),
        ("severity", "string"),
        ("message", "string"),
        ("run_id", "string"),
    ),
    ("pipeline", "as_of", "rule", "subject"),
    "append",
    "monitoring",
)

LEASES = Table(
    "leases",
    (("job", "string"), ("number", "bigint"), ("run_id", "string"), ("taken_at", "timestamp"), ("expires_at", "timestamp")),
    ("job", "number"),
    "append",
    "lake",
)

LEDGER = Table(
    "ledger",
    (
        ("run_id", "string"),
        ("pipeline", "string"),
        ("job", "string"),
        ("stage", "string"),
        ("as_of", "timestamp"),
        ("status", "string"),
        ("message", "string"),
        ("inputs", "map<string,bigint>"),
        ("outputs", "map<string,bigint>"),
        ("counts", "map<string,bigint>"),
        ("seconds", "double"),
        ("code_version", "string"),
        ("configuration", "string"),
        ("finished_at", "timestamp"),
    ),
    ("run_id", "stage"),
    "append",
    "lake",
)


def ddl(columns: Sequence[Column]) -> str:
    """Columns as Spark takes a frame's schema."""
    return ", ".join(f"`{name}` {kind}" for name, kind in columns)


def _names(columns: Sequence[Column]) -> tuple[str, ...]:
    return tuple(name for name, _ in columns)
