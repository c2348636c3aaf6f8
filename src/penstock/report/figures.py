"""Numbers and days as the texts that the page, the charts' tables and the terminal share; unknown is an en dash."""

from __future__ import annotations

from datetime import date, datetime

from penstock import worth
from penstock.report.data import known

UNKNOWN = "–"
_SIZES = ((1e12, 1e12, "T"), (1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e5, 1e3, "k"))
"""From which size on a number is written in units of which, with their letter."""
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def count(value: float | None) -> str:
    """`12,345`."""
    return f"{value:,.0f}" if value is not None and known(value) else UNKNOWN


def metric(value: float | None) -> str:
    """Three decimals: `0.748`."""
    return f"{value:.3f}" if value is not None and known(value) else UNKNOWN


def value(value: float | None) -> str:
    """A number of any size in at most seven letters: `0.4321`, `43.21`, `12,345`, `123.5k`, `1.235M`."""
    if value is None or not known(value):
        return UNKNOWN
    for least, unit, letter in _SIZES:
        if abs(value) >= least:
            return f"{value / unit:.4g}{letter}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def share(value: float | None) -> str:
    """A fraction of 1 as per cent with one decimal: `31.2 %` (no line break inside)."""
    return f"{100 * value:.1f}\u00a0%" if value is not None and known(value) else UNKNOWN


def ratio(value: float | None) -> str:
    """Two decimals: `1.83`."""
    return f"{value:.2f}" if value is not None and known(value) else UNKNOWN


def amount(value: float | None) -> str:
    """Money without its currency: `1,234`, below a hundred `12.50`."""
    return worth.amount(value) if value is not None and known(value) else UNKNOWN


def bounds(low: float | None, high: float | None) -> str:
    """An interval of money: `640 to 1,180`."""
    return f"{amount(low)} to {amount(high)}" if known(low) and known(high) else UNKNOWN


def seconds(value: float | None) -> str:
    """One decimal: `14.2`."""
    return f"{value:,.1f}" if value is not None and known(value) else UNKNOWN


def word(value: str | None) -> str:
    """The text itself, or the dash for none."""
    return value or UNKNOWN


def day(value: date | datetime | None) -> str:
    """`2011-09-05`."""
    return UNKNOWN if value is None else value.strftime("%Y-%m-%d")


def instant(value: datetime | None) -> str:
    """`2011-09-05 06:00 UTC`; the zone stands there only when the value has one."""
    return UNKNOWN if value is None else value.strftime("%Y-%m-%d %H:%M %Z").rstrip()


def short_day(value: date) -> str:
    """`5 Sep`, in English whatever the locale."""
    return f"{value.day} {_MONTHS[value.month - 1]}"


def short_month(value: date) -> str:
    """`Sep 11`: month and year, for axes longer than a year."""
    return f"{_MONTHS[value.month - 1]} {value.year % 100:02d}"


def whole(value: float | None) -> str:
    """A number without decimals: `1,548`."""
    return f"{value:,.0f}" if value is not None and known(value) else UNKNOWN


def tenths(value: float | None) -> str:
    """A number with one decimal: `4.3`."""
    return f"{value:,.1f}" if value is not None and known(value) else UNKNOWN
