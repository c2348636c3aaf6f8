"""The text of a first contract, with a comment wherever a person will want to edit."""

from __future__ import annotations

import json
import math
import re
from datetime import date

from penstock.orchestrate.first_choices import Choices
from penstock.orchestrate.table_profile import Column, Profile
from penstock.orchestrate.table_types import absent_sql, column_sql

_LOGICAL = {"int": "integer", "bigint": "integer", "double": "number", "date": "date", "timestamp": "timestamp", "boolean": "boolean"}
MAX_REJECTED = "0.01"
"""The share of refused rows with which a landing still goes on."""


def contract_text(source: str, profile: Profile, choices: Choices, timezone: str, commands: str) -> str:
    """The contract file."""
    days = profile.days
    lines = [
        f"# What the table {source} promises, and how its files are read (Open Data Contract Standard v3.1).",
        f"# Written by `{commands}`",
        f"# from {_seen(profile)}, {days.first} to {days.last}. Yours to edit; then `penstock conf check`.",
        "apiVersion: v3.1.0",
        "kind: DataContract",
        f"id: penstock-{source.replace('_', '-')}",
        f"name: {source}",
        "version: 0.1.0",
        "status: draft",
        "description:",
        f"  purpose: Events of {source}, for predictions.    # say what the table is for",
        "team:",
        "  name: unknown          # who answers for the files",
        "",
        "schema:",
        f"  - name: {source}",
        f"    physicalType: {profile.format}",
        "    properties:            # name: in the lake; physicalName: in the file, spelled exactly as there",
    ]
    for column in profile.columns:
        lines += _property(column, profile)
    lines += [
        "    quality:",
        "      # A row rule sends the rows that meet it to quarantine (`severity: error`), or counts them (`info`). SQL over this table's columns:",
        "      # - {name: no_amount, type: custom, engine: penstock, implementation: amount = 0, severity: error}",
        *(_nobody(column) for column in profile.entity if column.nulls),
        "      - {name: some_rows, metric: rowCount, mustBeGreaterThan: 0}",
        "",
        "slaProperties:",
        "  - {property: frequency, value: 1, unit: d}",
        "  - {property: latency, value: 1, unit: d}      # a day's rows can be read from the next day 00:00 on",
        f"  - {{property: freshness, value: {choices.freshness}, unit: d}}    # so many days without any row; after more the source is stale",
        "  - {property: retention, value: 10, unit: y}",
        "",
        "customProperties:",
        f"  - {{property: timezone, value: {timezone}}}     # of days, and of times without offset",
        "  # The files may have any name: a row is known from the day after its own. One file of years trains as it would have been known then.",
        "  # Deliver a whole export again under the same name, or further files with further rows.",
        f"  - {{property: knownTime, value: {{column: {profile.event_time.name}}}}}",
    ]
    if profile.delimiter != "," or profile.comma:
        lines.append(
            f'  - {{property: csv, value: {{delimiter: {json.dumps(profile.delimiter)}, decimal: "{"," if profile.comma else "."}"}}}}'
        )
    if choices.closed:
        lines.append(f"  - {{property: calendar, value: {{closedWeekdays: [{', '.join(choices.closed)}]}}}}    # no row ever came on these")
    lines += [
        f"  - {{property: maxRejectedShare, value: {MAX_REJECTED}}}    # a landing with more refused rows stops",
        f"  - {{property: censorAfter, value: {max(60, 2 * choices.freshness)}}}    # days after which an outcome that never became known is given up",
    ]
    return "\n".join(lines) + "\n"


def _seen(profile: Profile) -> str:
    files = profile.files[0].name if len(profile.files) == 1 else f"{len(profile.files)} files"
    part = "" if profile.sampled == profile.rows else f" (types and ranges from the first {profile.sampled:,})"
    return f"{files}: {profile.rows:,} rows{part} of {profile.days.entities:,} entities"


def _property(column: Column, profile: Profile) -> list[str]:
    kind = column.kind
    logical = "number" if kind.type.startswith("decimal") else _LOGICAL.get(kind.type, "string")
    is_key, is_time = column in profile.entity, column == profile.event_time
    required = is_time or (is_key and column.nulls == 0)
    parts = [
        f"name: {column.name}",
        *([] if column.physical == column.name else [f"physicalName: {_quoted(column.physical)}"]),
        f"logicalType: {logical}",
        f'physicalType: "{kind.type}"' if "(" in kind.type else f"physicalType: {kind.type}",
        *(["required: true"] if required else []),
    ]
    if options := _options(column, profile):
        parts.append(f"logicalTypeOptions: {{{', '.join(options)}}}")
    if kind.missing:
        # A transform gives numbers with a point.
        absent = absent_sql(column.name, kind.missing)
        logic = f"translate({absent}, ',.', '.')" if kind.comma else absent
        parts.append(f"transformLogic: {json.dumps(logic)}")
    if is_key:
        parts += ["classification: restricted", "tags: [pii, pseudonymous]"]
    about = _about(column, profile)
    return [f"      - {{{', '.join(parts)}}}{f'    # {about}' if about else ''}"]


def _options(column: Column, profile: Profile) -> list[str]:
    kind = column.kind
    found = []
    if kind.type in {"date", "timestamp"}:
        found += [f"format: {_single(kind.format)}"] if kind.format else []
        found += ["timezone: true"] if kind.has_offset else []
        found += ["defaultTimezone: UTC"] if kind.in_utc else []
        if column == profile.event_time:
            found.append(f"minimum: {date(max(profile.days.first.year - 1, 1), 1, 1)}")
    elif kind.type == "string" and column.longest:
        found.append(f"maxLength: {_round(max(2 * column.longest, 20))}")
    elif (
        column not in profile.entity
        and column.low is not None
        and column.high is not None
        and math.isfinite(column.low)
        and math.isfinite(column.high)
    ):
        reach = 10 ** math.ceil(math.log10(10 * max(abs(column.low), abs(column.high), 1)))
        found += [f"minimum: {0 if column.low >= 0 else -reach}", f"maximum: {min(reach, 2**31 - 1) if kind.type == 'int' else reach}"]
    return found


def _about(column: Column, profile: Profile) -> str:
    told = []
    if column in profile.entity:
        told.append("names whom it is about")
    if column == profile.event_time:
        told.append("when it happened")
    if column.nulls:
        told.append("empty in every row seen" if column.nulls == column.rows else f"empty in {column.nulls / column.rows:.1%} of the rows")
    if column.low is not None and column not in profile.entity:
        told.append(f"{column.low:g} to {column.high:g} so far")
    if column.kind.note:
        told.append(column.kind.note)
    return "; ".join(told)


def _nobody(column: Column) -> str:
    rule = f"name: no_{column.name}, type: custom, engine: penstock, implementation: {column_sql(column.name)} IS NULL, severity: info"
    return f"      - {{{rule}}}    # kept, but nobody's"


def _round(number: int) -> int:
    return math.ceil(number / 10) * 10


def _quoted(text: str) -> str:
    return (
        text
        if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", text)
        and text.lower() not in {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
        else json.dumps(text)
    )


def _single(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
