"""A generated subscription table: (tenant, customer, day, event, amount), nothing like the shop's; the same rows everywhere.

Composite keys, the second a whole number; dates without times, from west of Greenwich; semicolons and a decimal comma; one
file of ten months. Customers use what they pay for every second day; who is about to pause for a week spends little in the
week before, which neither recency nor counts show.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import date, timedelta

MONDAY, FIRST, LAST = date(2024, 1, 1), date(2024, 1, 2), date(2024, 10, 27)
CUSTOMERS = 120
HEADER = ("Tenant", "Customer No", "Day", "Event", "Amount")
TIMEZONE = "America/New_York"

Row = tuple[str, int, date, str, float]


def share(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts alone."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def tenant(number: int) -> str:
    return ("north", "south", "west")[number % 3]


def rows(last: date = LAST) -> Iterator[Row]:
    """The events in order of day."""
    for n in range((last - FIRST).days + 1):
        day = FIRST + timedelta(days=n)
        week = (day - MONDAY).days // 7
        for number in range(CUSTOMERS):
            pauses = share("pause", number, week) < (0.7 if _warns(number, week - 1) else 0.05)
            if share("uses", number, n) < (0.01 if pauses else 0.5):
                kind = "visit" if share("kind", number, n) < 0.7 else "charge"
                most = 100 if _warns(number, week) else 1500
                yield tenant(number), 1000 + number, day, kind, round(most * (0.2 + 0.8 * share("amount", number, n)), 2)


def _warns(number: int, week: int) -> bool:
    return share("warn", number, week) < 0.25


def german(amount: float) -> str:
    """1234.5 as 1.234,50."""
    return f"{amount:,.2f}".translate(str.maketrans(",.", ".,"))


def csv_text(last: date = LAST) -> str:
    """The table as a CSV file of German make."""
    lines = [";".join(HEADER), *(f"{t};{number};{day:%d.%m.%Y};{event};{german(amount)}" for t, number, day, event, amount in rows(last))]
    return "\n".join(lines) + "\n"
