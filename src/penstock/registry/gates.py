"""The gates between a candidate and production: each a verdict with its numbers, none with a side effect.

Not known is not OK: a gate whose evidence is missing, empty, too small or NaN does not pass, and says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from penstock import worth
from penstock.config.training import Gates
from penstock.kinds import CLASSIFICATION, Draws, Kind
from penstock.kinds.kind import Labels
from penstock.metrics import Interval
from penstock.worth import ListWorth

Floats = NDArray[np.float64]
CHAMPION = "champion"
"""The name of the champion's list among those beside the candidate's."""
Masks = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class Verdict:
    """What one gate said. `numbers` holds what it compared, thresholds included; the sentence can stand alone."""

    gate: str
    passed: bool
    numbers: Mapping[str, float]
    sentence: str


@dataclass(frozen=True)
class Judged:
    """The holdout rows: outcome, the candidate's score, and the entity, all of one length."""

    label: Labels
    score: Floats
    entity: NDArray[np.object_]
    kind: Kind = CLASSIFICATION

    def __len__(self) -> int:
        return self.kind.count(self.label)


@dataclass(frozen=True)
class Champion:
    """The production version and its scores for the same rows; None when they could not be had."""

    version: str
    score: Floats | None
    reason: str = ""


@dataclass(frozen=True)
class Check:
    """One check of the feature rows; `passed` is None when it was not made."""

    name: str
    passed: bool | None


def all_passed(verdicts: Sequence[Verdict]) -> bool:
    """Whether there are verdicts and every one passed."""
    return bool(verdicts) and all(verdict.passed for verdict in verdicts)


def _difference(judged: Judged, other: Floats, gates: Gates, seed: int) -> Interval:
    if len(judged) < gates.min_rows:
        return Interval(None, None, None, f"{len(judged)} rows, {gates.min_rows} are needed")
    return judged.kind.advantage(judged.label, judged.score, other, judged.entity, Draws(gates.bootstrap_rounds, gates.confidence, seed))


def _numbers(difference: Interval, **more: float) -> dict[str, float]:
    known = {"difference": difference.value, "low": difference.low, "high": difference.high}
    return {name: value for name, value in known.items() if value is not None} | more


def _words(difference: Interval, confidence: float, kind: Kind) -> str:
    return f"{difference.value:+.4f}{kind.margin_unit} ({confidence:.0%} interval {difference.low:+.4f} to {difference.high:+.4f})"


def beats_heuristics(judged: Judged, heuristics: Mapping[str, Floats], gates: Gates, *, seed: int) -> Verdict:
    """The candidate is better than the best heuristic: the lower bound of its margin is above `min_gain`."""
    gate, kind = "beats_heuristics", judged.kind
    figures = {name: kind.figure(judged.label, score) for name, score in heuristics.items()}
    unknown = [f"{name} ({figure.reason})" for name, figure in figures.items() if figure.value is None]
    if unknown or not figures:
        return Verdict(gate, False, {"min_gain": gates.min_gain}, f"Not known: heuristics {', '.join(unknown) or 'none given'}.")
    best = max(sorted(figures), key=lambda name: kind.ordered(figures[name].value or 0.0))
    difference = _difference(judged, heuristics[best], gates, seed)
    if difference.low is None:
        return Verdict(gate, False, {"min_gain": gates.min_gain}, f"Not known against {best}: {difference.reason}.")
    passed = difference.low > gates.min_gain
    own, theirs = (figure.value or 0.0 for figure in (kind.figure(judged.label, judged.score), figures[best]))
    numbers = _numbers(difference, **{kind.primary: own, f"heuristic_{kind.primary}": theirs}, min_gain=gates.min_gain)
    words = f"{kind.title} {own:.4f} against {theirs:.4f} of the best heuristic, {best}: {_words(difference, gates.confidence, kind)}"
    return Verdict(gate, passed, numbers, f"{words}; the lower bound {'is' if passed else 'is not'} above {gates.min_gain:g}.")


def not_worse_than_champion(judged: Judged, champion: Champion | None, gates: Gates, *, seed: int) -> Verdict:
    """The lower bound of the margin over the champion, on the same rows, is not below minus `max_loss`.

    `None` means that it is known that there is no champion; a champion without scores does not pass.
    """
    gate = "not_worse_than_champion"
    if champion is None:
        return Verdict(gate, True, {}, "There is no champion yet.")
    if champion.score is None:
        return Verdict(
            gate, False, {"max_loss": gates.max_loss}, f"Not known: no scores of champion {champion.version}: {champion.reason}."
        )
    difference = _difference(judged, champion.score, gates, seed)
    if difference.low is None:
        return Verdict(gate, False, {"max_loss": gates.max_loss}, f"Not known against champion {champion.version}: {difference.reason}.")
    passed = difference.low >= -gates.max_loss
    words = f"{judged.kind.title} difference to champion {champion.version}: {_words(difference, gates.confidence, judged.kind)}"
    verdict = f"the lower bound {'is not' if passed else 'is'} below {-gates.max_loss:g}"
    return Verdict(gate, passed, _numbers(difference, max_loss=gates.max_loss), f"{words}; {verdict}.")


def no_segment_loses(judged: Judged, champion: Champion | None, segments: Masks, gates: Gates) -> Verdict:
    """In no segment of `min_segment_rows` or more is the candidate worse than the champion by more than `max_segment_loss`.

    Smaller segments are named, not judged. A large one that cannot be evaluated does not pass.
    """
    gate = "no_segment_loses"
    if champion is None:
        return Verdict(gate, True, {}, "There is no champion yet.")
    if champion.score is None:
        return Verdict(gate, False, {}, f"Not known: no scores of champion {champion.version}: {champion.reason}.")
    large = {name: mask for name, mask in segments.items() if judged.kind.count(judged.label[mask]) >= gates.min_segment_rows}
    numbers: dict[str, float] = {"max_segment_loss": gates.max_segment_loss, "segments": float(len(large))}
    lost, unknown = [], []
    for name, mask in large.items():
        mine = judged.kind.figure(judged.label[mask], judged.score[mask])
        theirs = judged.kind.figure(judged.label[mask], champion.score[mask])
        if mine.value is None or theirs.value is None:
            unknown.append(f"{name} ({mine.reason or theirs.reason})")
            continue
        numbers[name] = judged.kind.margin(mine.value, theirs.value)
        if numbers[name] < -gates.max_segment_loss:
            lost.append(f"{name} ({numbers[name]:+.4f})")
    small = len(segments) - len(large)
    if lost or unknown:
        parts = [f"worse than champion {champion.version} in {', '.join(lost)}"] if lost else []
        parts += [f"not known in {', '.join(unknown)}"] if unknown else []
        return Verdict(gate, False, numbers, f"{'; '.join(parts).capitalize()}.")
    words = f"None of {len(large)} segments is worse than champion {champion.version} by more than {gates.max_segment_loss:g}"
    return Verdict(gate, True, numbers, f"{words}; {small} have fewer than {gates.min_segment_rows} rows and are not judged.")


def is_level(judged: Judged, gates: Gates) -> Verdict:
    """The scores stand at the right height: `is_calibrated` by the expected calibration error, a regression's `is_unbiased` by its bias."""
    level = judged.kind.level(judged.label, judged.score, gates)
    bound = {level.limit_name: level.limit}
    if len(judged) < gates.min_rows:
        return Verdict(level.gate, False, bound, f"Not known: {len(judged)} rows, {gates.min_rows} are needed.")
    if level.found.value is None:
        return Verdict(level.gate, False, bound, f"Not known: {level.found.reason}.")
    passed = level.found.value <= level.limit
    words = f"{level.words}, {'within' if passed else 'above'} {level.limit:g}."
    return Verdict(level.gate, passed, {level.measure: level.found.value} | bound, words)


def acting_pays(found: ListWorth, champion: Champion | None, gates: Gates) -> Verdict:
    """The list pays: the lower bound of its realised profit is above 0, which is what doing nothing brings.

    And it brings hardly less than the list of the champion (`found.others`) or than acting on everybody: at most
    `max_profit_loss` of theirs less. The target of the KPI is told, not asked for.
    """
    gate, limit = "acting_pays", gates.max_profit_loss
    numbers = found.numbers() | {"max_profit_loss": limit}
    theirs = found.others.get(CHAMPION)
    if found.rows < gates.min_rows:
        return Verdict(gate, False, numbers, f"Not known: {found.rows} rows, {gates.min_rows} are needed.")
    if champion is not None and (theirs is None or theirs.value is None):
        why = champion.reason or (theirs.reason if theirs else "no scores")
        return Verdict(gate, False, numbers, f"Not known: no list of champion {champion.version}: {why}.")
    if found.realised.value is not None and not found.contacts:
        return Verdict(
            gate, False, numbers, f"No score reaches {found.stakes.threshold:g}, where acting breaks even: nobody is on the list."
        )
    if found.realised.value is None or found.realised.low is None or found.everybody.value is None:
        return Verdict(gate, False, numbers, f"Not known: {found.realised.reason}.")
    beside = {"acting on everybody": found.everybody.value}
    if champion is not None and theirs is not None and theirs.value is not None:
        beside[f"champion {champion.version}'s list"] = theirs.value
    pays = found.realised.low > 0
    lost = [name for name, other in beside.items() if found.realised.value < (1 - limit) * max(other, 0.0)]
    amounts = ", ".join(f"{name} {worth.money(value, found.stakes.currency)}" for name, value in beside.items())
    words = f"{worth.told(found, gates.confidence)}; {amounts}; the lower bound {'is' if pays else 'is not'} above 0"
    less = f"it brings over {limit:.0%} less than {' and '.join(lost)}" if lost else f"it brings at most {limit:.0%} less than any of these"
    return Verdict(gate, pays and not lost, numbers, f"{words}, and {less}.")


def features_are_checked(checks: Sequence[Check]) -> Verdict:
    """Every check of the feature rows that trained the candidate was made and passed."""
    gate = "features_are_checked"
    failed = [check.name for check in checks if check.passed is False]
    unmade = [check.name for check in checks if check.passed is None]
    numbers = {"checks": float(len(checks)), "failed": float(len(failed)), "not_made": float(len(unmade))}
    if not checks:
        return Verdict(gate, False, numbers, "Not known: no feature check is on record.")
    parts = [f"failed: {', '.join(failed)}"] if failed else []
    parts += [f"not made: {', '.join(unmade)}"] if unmade else []
    if parts:
        return Verdict(gate, False, numbers, f"Feature checks {'; '.join(parts)}.")
    return Verdict(gate, True, numbers, f"All {len(checks)} feature checks passed.")


def is_deployable(training: Floats, deployed: Floats, gates: Gates) -> Verdict:
    """The model loaded back from the registry gives, through the Spark path, the scores it gave in training.

    Both are of one length and in one order of rows.
    """
    gate = "is_deployable"
    limit = gates.max_score_difference
    if training.shape != deployed.shape or training.size == 0:
        return Verdict(gate, False, {}, f"Not known: {training.size} scores from training, {deployed.size} through the scoring path.")
    if not (np.isfinite(training).all() and np.isfinite(deployed).all()):
        return Verdict(gate, False, {}, "Not known: some scores are NaN or infinite.")
    largest = float(np.abs(training - deployed).max())
    numbers = {"largest_difference": largest, "max_score_difference": limit, "rows": float(training.size)}
    passed = largest <= limit
    words = f"{training.size} scores through the scoring path differ from training by at most {largest:.3g}"
    return Verdict(gate, passed, numbers, f"{words}, {'within' if passed else 'above'} {limit:g}.")
