"""When a cohort's outcome may be believed: pure decisions over days.

Where the label is an absence (nobody bought), a missing file looks just like it. So a cohort matures only when every
file that the source's calendar expects within the horizon has landed, and the delay has passed; it is censored when
a file is still missing after the time that the contract grants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from penstock.config.label import Label
from penstock.lake.contract import Contract, missing_days

State = Literal["pending", "matured", "censored"]


@dataclass(frozen=True)
class Cohort:
    """One `as_of`'s standing: `since` is the instant from which its outcome could be known; `missing` are days without a file."""

    day: date
    state: State
    since: datetime | None
    missing: tuple[date, ...] = ()


def standing(
    day: date, label: Label, contract: Contract, landed: Mapping[date, datetime], as_of: datetime, today: date, due: datetime
) -> Cohort:
    """The standing, at `as_of` (local day `today`), of the cohort of `day`.

    Parameters: `landed` gives the instant since when each day's file is known; `due` is the instant at which horizon
    and delay have passed.
    """
    end = day + timedelta(days=label.horizon_days)
    missing = missing_days(contract, landed, day, end - timedelta(days=1))
    if missing and today >= end + timedelta(days=contract.censor_after_days):
        return Cohort(day, "censored", as_of, missing)
    if missing or as_of < due:
        return Cohort(day, "pending", None, missing)
    arrivals = [since for landed_day, since in landed.items() if day <= landed_day < end]
    if contract.known_column is not None:
        # Days without rows were seen to be so when the next row came.
        witnesses = [landed_day for landed_day in landed if landed_day >= end - timedelta(days=1)]
        arrivals += [landed[min(witnesses)]] if witnesses else []
    return Cohort(day, "matured", max([due, *arrivals]))


def affected(day: date, label: Label, hops: tuple[date, date] | None) -> bool:
    """Whether changed tiles between two hops (inclusive) lie within the cohort's horizon."""
    return hops is not None and hops[0] < day + timedelta(days=label.horizon_days) and hops[1] >= day
