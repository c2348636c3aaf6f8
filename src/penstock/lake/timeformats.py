"""A date pattern of java.time.format.DateTimeFormatter as a regular expression, so that a day can be told without Spark.

Only patterns of numbers are known here: years, months, days, hours, minutes, seconds, fractions, offsets, AM and PM, quoted
text and optional sections. The expression is RE2's, as Arrow takes it, and Python's; in RE2 `$` is the end of the value alone.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

_PARTS = {
    "yyyy": "(?P<y>[0-9]{4})",
    "MM": "(?P<m>[0-9]{2})",
    "M": "(?P<m>[0-9]{1,2})",
    "dd": "(?P<d>[0-9]{2})",
    "d": "(?P<d>[0-9]{1,2})",
    "HH": "(?P<h>[0-9]{2})",
    "H": "(?P<h>[0-9]{1,2})",
    "hh": "(?P<h>[0-9]{2})",
    "h": "(?P<h>[0-9]{1,2})",
    "mm": "(?P<i>[0-9]{2})",
    "ss": "(?P<s>[0-9]{2})",
    "a": "(?P<a>[AaPp][Mm])",
    "XXX": "(?P<z>Z|[+-][0-9]{2}:[0-9]{2})",
    "XX": "(?P<z>Z|[+-][0-9]{4})",
    "X": "(?P<z>Z|[+-][0-9]{2}(?:[0-9]{2})?)",
}
_TOKEN = re.compile(r"([A-Za-z])\1*|'(?:[^']|'')*'|.", re.DOTALL)


def regex_of(pattern: str) -> str:
    """The expression for a whole value, with the groups y, m, d and perhaps h, i, s, a, z. Raises ValueError for a pattern not known here."""
    found = ""
    for match in _TOKEN.finditer(pattern):
        token = match[0]
        if token in _PARTS:
            found += _PARTS[token]
        elif set(token) == {"S"}:
            found += f"[0-9]{{1,{len(token)}}}"  # Spark takes fewer digits than there are letters, too
        elif token in {"[", "]"}:
            found += "(?:" if token == "[" else ")?"  # noqa: S105 (brackets are no secret)
        elif token.startswith("'"):
            found += re.escape("'" if token == "''" else token[1:-1].replace("''", "'"))  # noqa: S105
        elif token[0].isalpha() and token.isascii():
            raise ValueError(f"got {token} in {pattern!r}, expected numbers only: {', '.join(_PARTS)}, S")
        else:
            found += re.escape(token)
    try:
        groups = re.compile(found).groupindex
    except re.error as error:
        raise ValueError(f"got {pattern!r}, expected each part once ({error})") from None
    if not {"y", "m", "d"} <= set(groups):
        raise ValueError(f"got {pattern!r}, expected a year, a month and a day in it")
    return f"^{found}$"


def moment(parts: dict[str, str | None]) -> datetime | None:
    """The groups of a match as a time without zone, or with the offset that the text gives; None for a day that does not exist."""
    try:
        day = date(int(parts["y"] or 0), int(parts["m"] or 0), int(parts["d"] or 0))
        hour = int(parts.get("h") or 0)
        if half := (parts.get("a") or "").upper():
            hour = hour % 12 + (12 if half == "PM" else 0)
        found = datetime.combine(day, time(hour, int(parts.get("i") or 0), int(parts.get("s") or 0)))
    except ValueError:
        return None
    zone = parts.get("z")
    return found.replace(tzinfo=_offset(zone)) if zone else found


def local_day(found: datetime, column_zone: str, zone: str) -> date:
    """The day in `zone` of a moment: one without offset is local in `column_zone`."""
    aware = found if found.tzinfo else found.replace(tzinfo=ZoneInfo(column_zone))
    return aware.astimezone(ZoneInfo(zone)).date()


def _offset(text: str) -> timezone:
    if text == "Z":
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    size = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-size if text[0] == "-" else size)
