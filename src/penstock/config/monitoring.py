"""What monitoring compares, how sure it must be, and what each rule may do about it.

Every rule needs three things at once: an effect over a floor that matters in practice, a lower confidence bound over the
same floor, and persistence over the newest evidence. The floors are about the business, the confidence is about luck.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from penstock.config.values import Frozen

Action = Literal["retrain", "alert", "off"]


class Persistence(Frozen):
    """The rule holds in at least `k` of the `n` newest looks, the newest among them."""

    k: int = Field(default=2, ge=1)
    n: int = Field(default=3, ge=1)

    @model_validator(mode="after")
    def _k_within_n(self) -> Self:
        if self.k > self.n:
            raise ValueError(f"persistence: got k={self.k} of n={self.n}, expected k <= n")
        return self


class DriftConfig(Frozen):
    """Drift of features and score against the profile frozen at training."""

    action: Action = "retrain"
    bins: int = Field(default=10, ge=2, le=256)
    """Quantile bins of a numeric feature; a value that holds a whole quantile by itself gets its own bin."""
    top_categories: int = Field(default=20, ge=1, le=1000)
    floor: float = Field(default=0.1, gt=0)
    """Population stability index below which a shift does not matter in practice; the lower bound has to reach it too."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """One-sided, of the lower bound of the index."""
    fdr: float = Field(default=0.05, gt=0, lt=1)
    """Expected share of false alarms among the alarms, over all features and segments of one run (Benjamini-Hochberg)."""
    min_rows: int = Field(default=200, ge=1)
    """Fewer rows, in the reference or now, are `insufficient_data`."""
    min_share: float = Field(default=0.3, gt=0, le=1)
    """The rule holds in a look when this share of the bounded features has drifted, or the score itself."""
    persistence: Persistence = Persistence(k=3, n=4)
    unbounded_suffixes: tuple[str, ...] = ("_all",)
    unbounded_names: tuple[str, ...] = ("tenure_days",)
    """Features over a history that only grows drift by construction: reported, never decided on."""

    def is_unbounded(self, feature: str) -> bool:
        """Whether a feature's window has no end, so that its drift says nothing."""
        return feature in self.unbounded_names or feature.endswith(self.unbounded_suffixes)


class PerformanceConfig(Frozen):
    """Loss of realised quality against the holdout of the training."""

    action: Action = "retrain"
    metric: Literal["auc", "mae", "recall"] = "auc"
    """`mae`, the mean absolute error, in a regression; `recall` of its lists in a ranking."""
    max_loss: float = Field(default=0.02, ge=0, lt=1)
    """Loss of AUC, or of recall, that is worth a training; in a regression the growth of the error as a share of the holdout's, 0.1 when absent."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    min_rows: int = Field(default=200, ge=2)
    persistence: Persistence = Persistence()


class RateConfig(Frozen):
    """Distance of the observed label rate from what it is compared with, in rate points (0.03 is three in a hundred).

    In a regression: of the labels' mean, as a share of the holdout's; the floor is 0.1 when absent.
    """

    action: Action = "retrain"
    floor: float = Field(default=0.03, ge=0, lt=1)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    min_rows: int = Field(default=200, ge=2)
    persistence: Persistence = Persistence()


class MonitoringConfig(Frozen):
    """All of monitoring for one pipeline."""

    drift: DriftConfig = DriftConfig()
    performance: PerformanceConfig = PerformanceConfig()
    calibration: RateConfig = RateConfig()
    """Observed rate against the mean probability that the same rows were given."""
    label_rate: RateConfig = RateConfig(action="alert")
    """Observed rate against the holdout's base rate. A change that the model foresaw needs no training: alert only."""
    cooldown_days: int = Field(default=28, ge=0)
    """Days after a promotion, or after a training whose candidate was refused, in which no rule may start another."""
    max_backoff_days: int = Field(default=112, ge=0)
    """Each further refusal in a row doubles the wait, up to this many days."""
    segments: tuple[str, ...] = ()
    """Columns by whose values drift and performance are also told; a segment alerts, only the whole decides."""
