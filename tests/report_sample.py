"""Sample input of the page: 14 weekly runs of a shop from 2011-09-05 with two model versions, the same on every call."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from penstock.report.data import (
    Acting,
    CalibrationPoint,
    Cohort,
    Contended,
    Count,
    DataFacts,
    Drift,
    Freshness,
    GainPoint,
    Importance,
    Kpi,
    ListProfit,
    Metrics,
    ModelRow,
    Now,
    Production,
    ProfitPoint,
    ReportData,
    Verdict,
    WeekRow,
)

FIRST = date(2011, 9, 5)
FEATURES = (
    "recency_days",
    "orders_90d",
    "spend_90d",
    "active_days_60d",
    "gap_mean",
    "orders_30d",
    "products_90d",
    "tenure_days",
    "lines_30d",
    "returns_90d",
    "spend_trend_30d_90d",
    "country",
)


def report(weeks: int = 14) -> ReportData:
    """A report after `weeks` runs; labels mature from the sixth on, version 2 is promoted in the eighth."""
    chance = random.Random(7)
    return ReportData(
        pipeline="churn",
        purpose="Which customers will not buy in the next 30 days? Weekly scores; the CRM reads the list for promotional mail.",
        as_of=FIRST + timedelta(days=7 * max(weeks - 1, 0)),
        outcome="churn",
        generated_note="Made from the lake's tables at recorded versions.",
        production=Production(
            "2",
            datetime(2011, 10, 24, 6, 2, tzinfo=UTC),
            "policy of environment local",
            date(2011, 10, 24),
            Metrics(1_968, 0.739, 0.744, 0.2031, 0.0287, 1.62),
        ),
        now=Now(
            freshness=(Freshness("online_retail", date(2011, 12, 4), True, "promised within 3 days"),),
            unscored_rows=0,
            open_alerts=("orders_30d: PSI 0.31 over the floor 0.20 in 2 of the last 3 runs; the season raises order counts.",),
            next_action="None is due. The next scheduled run is penstock run churn --as-of 2011-12-12.",
        ),
        weeks=tuple(_week(chance, place, weeks) for place in range(weeks)),
        models=(_model("1", "previous", date(2011, 8, 29), 21_480, 0.748), _model("2", "production", date(2011, 10, 24), 36_902, 0.739)),
        data=_data(),
        drift_floor=0.2,
        kpi=Kpi("profit of the weekly mailing", "GBP", 0.65, 3.5, -6.5, 500.0, "crm@shop.example"),
        lists=tuple(_list(place, weeks) for place in range(weeks)),
    )


def _list(place: int, weeks: int) -> ListProfit:
    """The newest five lists have not matured."""
    pending = ListProfit(
        FIRST + timedelta(days=7 * place), "1" if place < 7 else "2", "pending", 1_800 + 40 * place, 760 + 9 * place, 812.4 + 11 * place
    )
    if place > weeks - 6:
        return pending
    realised = 790.0 - 85 * place
    return replace(
        pending,
        state="evaluated",
        realised=realised,
        low=realised - 240,
        high=realised + 240,
        list_rate=0.75 - 0.01 * place,
        control_rate=0.77,
    )


def _week(chance: random.Random, place: int, weeks: int) -> WeekRow:
    as_of = FIRST + timedelta(days=7 * place)
    season = min(place, 13) / 13
    rows, scored = int(9_500 + 9_000 * season + chance.gauss(0, 900)), int(1_890 + 520 * season + chance.gauss(0, 20))
    control = round(scored * 0.05)
    retrain = place == 6
    return WeekRow(
        as_of=as_of,
        files=6,
        rows_landed=rows,
        quarantined=int(rows * 0.004),
        feature_rows=scored + 1_100,
        scored=scored,
        published=scored - control,
        withheld_control=control,
        matured=(_cohort(chance, place - 5),) if place >= 5 else (),
        drift=_drift(chance, season, place),
        decision="retrain" if retrain else "keep" if place else None,
        reasons=("observed churn rate fell from 43.1 % to 38.0 %, over the rule's 4 points", "orders_30d PSI 0.23 over 0.20 in 2 runs of 3")
        if retrain
        else (),
        production_version="1" if place < 7 else "2",
        seconds=14.0 + chance.random() * 4 + (38 if retrain else 0),
    )


def _cohort(chance: random.Random, place: int) -> Cohort:
    season = min(place, 13) / 13
    auc = 0.742 - 0.05 * season + chance.gauss(0, 0.008) + (0.02 if place >= 7 else 0.0)
    return Cohort(
        as_of=FIRST + timedelta(days=7 * place),
        metrics=Metrics(
            1_890 + 40 * place, auc, auc + 0.01, 0.203 + 0.012 * season + chance.gauss(0, 0.002), 0.03 + 0.05 * season, 1.62 - 0.1 * season
        ),
        model_version="1" if place < 7 else "2",
        auc_low=auc - 0.022,
        auc_high=auc + 0.022,
        observed_rate=0.445 - 0.11 * season + chance.gauss(0, 0.006),
        predicted_rate=0.452 - 0.05 * season - (0.05 if place >= 7 else 0.0),
    )


def _drift(chance: random.Random, season: float, place: int) -> tuple[Drift, ...]:
    base = season if place < 7 else season - 0.45
    psi = {"orders_30d": 0.42, "spend_90d": 0.25, "active_days_60d": 0.19, "score": 0.16, "products_90d": 0.11, "returns_90d": 0.04}
    bounded = tuple(Drift(name, round(0.01 + most * base + abs(chance.gauss(0, 0.008)), 4)) for name, most in psi.items())
    return (*bounded, Drift("tenure_days", 1.9 * season + 0.1, decides=False))


def _model(version: str, standing: str, trained: date, rows: int, auc: float) -> ModelRow:
    predicted = (0.08, 0.17, 0.26, 0.34, 0.42, 0.50, 0.58, 0.66, 0.75, 0.86)
    bend = (0.02, -0.01, 0.015, -0.02, 0.01, 0.02, -0.015, -0.02, 0.02, -0.03)
    shares = [i / 50 for i in range(51)]
    return ModelRow(
        version=version,
        standing=standing,
        trained_as_of=trained,
        training_rows=rows,
        holdout=Metrics(1_968, auc, auc + 0.006, 0.2031, 0.0287, 1.62),
        best_heuristic="order count, 90 days",
        best_heuristic_figure=0.7,
        gates=(
            Verdict(
                "better than heuristics",
                True,
                f"AUC {auc:.3f} against 0.700 of order count; difference 0.048, 95 % interval 0.031 to 0.066, margin 0.010",
            ),
            Verdict(
                "not worse than champion",
                None if version == "1" else True,
                "no champion yet" if version == "1" else "difference 0.011, 95 % interval 0.002 to 0.021",
            ),
            Verdict("segments", True, "United Kingdom, Germany, France: none worse by more than 0.02"),
            Verdict("calibrated", True, "expected calibration error 0.029, at most 0.050"),
            Verdict("deployable", True, "1,968 of 1,968 scores equal through the scoring path, largest difference 0.0"),
        ),
        importances=tuple(Importance(name, 0.061 * 0.72**i) for i, name in enumerate(FEATURES)),
        calibration=tuple(CalibrationPoint(p, p + b, 197) for p, b in zip(predicted, bend, strict=True)),
        gain=tuple(GainPoint(s, 1 - (1 - s) ** 1.75) for s in shares),
        acting=Acting(
            *("GBP", 0.42, 840.0, 795.0, 610.0, 990.0, -310.0),
            curve=tuple(ProfitPoint(s / 20, 4_400 * s / 20 - 4_710 * (s / 20) ** 2) for s in range(21)),
        ),
        contenders=(
            Contended(
                "boosting", "candidate", True, auc, auc - 0.02, auc + 0.02, auc + 0.006, 0.2031, 795.0, "market=abroad", 0.647, 1548.2, 4.3
            ),
            Contended(
                "logistic", "candidate", False, auc - 0.008, auc - 0.03, auc + 0.012, auc, 0.2101, 752.0, "market=abroad", 0.641, 730.0, 5.9
            ),
            Contended("order count", "heuristic", False, 0.7, 0.68, 0.72, 0.69, profit=610.0),
        ),
        approved_by="policy of environment local",
    )


def _data() -> DataFacts:
    contract = {
        "rows landed": 541_909,
        "rows without customer (kept, no entity)": 135_080,
        "cancellations": 9_288,
        "exact duplicate lines": 5_268,
        "zero prices": 2_515,
        "codes that are not products": 2_995,
        "bad-debt rows": 3,
        "rows not yet judged": None,
    }
    quarantine = {"unit_price: below 0 (bad debt)": 2, "quantity: not a whole number": 1, "invoice: does not match the pattern": 3}
    checks = (
        Verdict("key is unique", True, "3,120 rows, 3,120 keys"),
        Verdict("nulls in recency_days", True, "0 of 3,120"),
        Verdict("row count against last run", False, "3,120 against 2,401: 29.9 % more, at most 25 % expected"),
        Verdict("range of returns_90d", None, "no rows in the window"),
    )
    return DataFacts(tuple(Count(*item) for item in contract.items()), tuple(Count(*item) for item in quarantine.items()), checks)
