"""Everything the page and the terminal table show, as one frozen value.

Whoever reads the lake builds a `ReportData`; `page.render` and `text.week_table` are pure functions of it, so a figure on
the page can be compared with the table it came from. None always means "not known yet" and is never shown as 0.
Shares and rates are fractions of 1, durations are seconds, days are calendar days in the contract's time zone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime

from pydantic import TypeAdapter

KEEP = "keep"
"""The decision of a week in which nothing had to be done; every other decision is explained below the terminal table."""


def known(value: float | None) -> bool:
    """Whether there is a number: neither None nor NaN nor infinite."""
    return value is not None and math.isfinite(value)


@dataclass(frozen=True)
class Metrics:
    """How good scores were against outcomes: on a holdout, or on a cohort after its labels matured.

    Each kind of prediction has its own; those of the other are not known. Errors are in the label's unit.
    """

    rows: int | None = None
    auc: float | None = None
    average_precision: float | None = None
    brier: float | None = None
    ece: float | None = None
    lift: float | None = None
    mae: float | None = None
    rmse: float | None = None
    r2: float | None = None
    bias: float | None = None
    recall: float | None = None
    ndcg: float | None = None
    hit_rate: float | None = None
    coverage: float | None = None
    novelty: float | None = None
    heuristic_recall: float | None = None
    """Of the lists that the control group is shown, for the same entities."""
    heuristic_ndcg: float | None = None


@dataclass(frozen=True)
class Kpi:
    """What the scores are for, in money: what a right and a wrong action is worth, and the probability at which acting breaks even.

    The KPI, and its `target`, is the profit of acting on one list, that is, on one `as_of`'s scores.
    """

    name: str
    currency: str
    threshold: float
    right: float
    wrong: float
    target: float | None = None
    owner: str = ""


@dataclass(frozen=True)
class ListProfit:
    """One published list: `contacts` of its `rows` reach the threshold. Realised once its labels have matured, as if all had been contacted.

    The rates are observed shares of ones: on the list, and among the withheld rows that would have been on it. The treated shares
    are of both, as far as it is known what was really done.
    """

    as_of: date
    model_version: str | None = None
    state: str = "pending"
    rows: int | None = None
    contacts: int | None = None
    expected: float | None = None
    realised: float | None = None
    low: float | None = None
    high: float | None = None
    list_rate: float | None = None
    control_rate: float | None = None
    treated: float | None = None
    control_treated: float | None = None


@dataclass(frozen=True)
class ProfitPoint:
    """Share of the holdout contacted in order of score, and the profit a list that it would have brought."""

    contacted: float
    profit: float


@dataclass(frozen=True)
class Acting:
    """What acting on a model's list would have brought on the holdout, a list; of acting on nobody it is 0."""

    currency: str
    share: float | None = None
    """Of the holdout's rows, those on the list."""
    expected: float | None = None
    realised: float | None = None
    low: float | None = None
    high: float | None = None
    everybody: float | None = None
    curve: tuple[ProfitPoint, ...] = ()


@dataclass(frozen=True)
class Production:
    """The model version under alias `production`."""

    version: str
    promoted_at: datetime | None = None
    approved_by: str | None = None
    trained_as_of: date | None = None
    holdout: Metrics = Metrics()


@dataclass(frozen=True)
class Freshness:
    """Up to which day a source has been landed, and whether that keeps the promise of its contract."""

    source: str
    landed_to: date | None = None
    on_time: bool | None = None
    promise: str = ""


@dataclass(frozen=True)
class Now:
    """The state at the instant of the report; `open_alerts` are sentences, None when nobody looked."""

    freshness: tuple[Freshness, ...] = ()
    unscored_rows: int | None = None
    open_alerts: tuple[str, ...] | None = None
    next_action: str | None = None


@dataclass(frozen=True)
class Cohort:
    """One `as_of` whose labels are all known: the scores given then, by `model_version`, judged by what came.

    The rates are means where the label is a number.
    """

    as_of: date
    metrics: Metrics = Metrics()
    model_version: str | None = None
    auc_low: float | None = None
    auc_high: float | None = None
    observed_rate: float | None = None
    predicted_rate: float | None = None
    mae_low: float | None = None
    mae_high: float | None = None
    recall_low: float | None = None
    recall_high: float | None = None


@dataclass(frozen=True)
class Drift:
    """Population stability index of one feature or score against training; `decides` is False for history that only grows."""

    feature: str
    psi: float | None = None
    decides: bool = True


@dataclass(frozen=True)
class WeekRow:
    """One scheduled run: what came in, what went out, which cohorts matured (mostly none or one) and what was decided.

    `rows_landed` are the accepted rows and `quarantined` those beside them; `published` leaves out `withheld_control`.
    """

    as_of: date
    files: int | None = None
    rows_landed: int | None = None
    quarantined: int | None = None
    feature_rows: int | None = None
    scored: int | None = None
    published: int | None = None
    withheld_control: int | None = None
    matured: tuple[Cohort, ...] = ()
    drift: tuple[Drift, ...] = ()
    decision: str | None = None
    reasons: tuple[str, ...] = ()
    production_version: str | None = None
    seconds: float | None = None

    @property
    def worst_drift(self) -> Drift | None:
        """The feature with the highest known PSI among those that may decide something."""
        judged = [one for one in self.drift if one.decides and known(one.psi)]
        return max(judged, key=lambda one: one.psi or 0.0, default=None)


@dataclass(frozen=True)
class Verdict:
    """What a gate or a check said; `passed` is None when it could not be evaluated, which is not a pass."""

    name: str
    passed: bool | None
    sentence: str = ""


@dataclass(frozen=True)
class Importance:
    """What a feature contributes to the model, in the unit that `ReportData.importance_unit` names."""

    feature: str
    value: float


@dataclass(frozen=True)
class CalibrationPoint:
    """One group of holdout rows of similar score: mean score and share of ones, or mean label."""

    predicted: float
    observed: float
    rows: int | None = None


@dataclass(frozen=True)
class GainPoint:
    """Share of the population contacted in order of score, and share of all positives reached."""

    contacted: float
    reached: float


@dataclass(frozen=True)
class Contended:
    """A candidate, the champion or a heuristic on a training's holdout rows; `low` and `high` bound the primary measure. `profit` is a list's.

    `kib` is the size on disk, `micros` the microseconds to score a row on the machine that trained; a heuristic has neither.
    """

    name: str
    kind: str
    chosen: bool = False
    auc: float | None = None
    low: float | None = None
    high: float | None = None
    average_precision: float | None = None
    brier: float | None = None
    profit: float | None = None
    weakest_segment: str = ""
    weakest_figure: float | None = None
    kib: float | None = None
    micros: float | None = None
    mae: float | None = None
    rmse: float | None = None
    r2: float | None = None
    bias: float | None = None
    recall: float | None = None
    ndcg: float | None = None
    hit_rate: float | None = None
    coverage: float | None = None
    novelty: float | None = None


@dataclass(frozen=True)
class ModelRow:
    """One model version with its evidence; `standing` is a word such as production, previous, refused or candidate."""

    version: str
    standing: str | None = None
    trained_as_of: date | None = None
    training_rows: int | None = None
    holdout: Metrics = Metrics()
    best_heuristic: str | None = None
    best_heuristic_figure: float | None = None
    gates: tuple[Verdict, ...] = ()
    importances: tuple[Importance, ...] = ()
    calibration: tuple[CalibrationPoint, ...] = ()
    gain: tuple[GainPoint, ...] = ()
    acting: Acting | None = None
    contenders: tuple[Contended, ...] = ()
    approved_by: str | None = None

    @property
    def title(self) -> str:
        """`Version 2`, or the name alone of what never got a number (`Candidate of 2011-08-29`)."""
        return f"Version {self.version}" if self.version.isdigit() else f"{self.version[:1].upper()}{self.version[1:]}"


@dataclass(frozen=True)
class Count:
    """A named number of rows or files."""

    name: str
    count: int | None


@dataclass(frozen=True)
class DataFacts:
    """What the contract counted, why rows stand in quarantine, and what the checks said."""

    contract: tuple[Count, ...] = ()
    quarantine: tuple[Count, ...] = ()
    checks: tuple[Verdict, ...] = ()

    @property
    def refused_none(self) -> bool:
        """Whether rows were judged, and every one was accepted."""
        return not self.quarantine and any(one.count is not None for one in self.contract)


@dataclass(frozen=True)
class ReportData:
    """The page's whole input, weeks and models in the order of time; `outcome` is the word for a label of 1 (`churn`)."""

    pipeline: str
    purpose: str
    as_of: date
    outcome: str = "outcome"
    generated_note: str | None = None
    production: Production | None = None
    now: Now = Now()
    weeks: tuple[WeekRow, ...] = ()
    models: tuple[ModelRow, ...] = ()
    data: DataFacts = DataFacts()
    drift_floor: float | None = None
    importance_unit: str = "loss of AUC when shuffled"
    kpi: Kpi | None = None
    lists: tuple[ListProfit, ...] = ()
    """Every published list in the order of its `as_of`; none where the purpose names no amounts."""
    deliveries: str = "file"
    """What a source delivers, one at a time: files, or days of files whose rows tell their own."""
    kind: str = "classification"
    """What is predicted, which says what measures there are."""

    @property
    def newest_list(self) -> ListProfit | None:
        """The list that was published last."""
        return self.lists[-1] if self.lists else None

    @property
    def newest_realised(self) -> ListProfit | None:
        """The newest list of which it is known what it came to."""
        return next((one for one in reversed(self.lists) if known(one.realised)), None)

    @property
    def cohorts(self) -> tuple[Cohort, ...]:
        """All matured cohorts in the order of their `as_of`."""
        return tuple(sorted((cohort for week in self.weeks for cohort in week.matured), key=lambda cohort: cohort.as_of))


_JSON = TypeAdapter(ReportData)


def to_json(data: ReportData) -> str:
    """The report's input as JSON; a NaN becomes null."""
    return _JSON.dump_json(data, indent=2).decode()


def from_json(text: str) -> ReportData:
    """The inverse of `to_json`. Raises pydantic.ValidationError for anything else."""
    return _JSON.validate_json(text)
