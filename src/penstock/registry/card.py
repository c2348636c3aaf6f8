"""The model card: what a version is, what it is for, how well it did and who let it through, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from penstock.metrics import Measure
from penstock.registry.gates import Verdict
from penstock.training.evaluate import Evaluation
from penstock.training.records import InputTable
from penstock.worth import MEANING, ListWorth, money, reached


@dataclass(frozen=True)
class CardFacts:
    """What a card is made of; every text is plain and gets escaped."""

    pipeline: str
    question: str
    owner: str
    score_is: str
    """What a score is: `the probability of: did not buy`."""
    as_of: str
    training_id: str
    run_id: str
    digest: str
    code_version: str
    estimator: str
    params: Mapping[str, object]
    calibration: str
    features: Sequence[str]
    tables: Sequence[InputTable]
    trained_on: str
    """The cohorts and rows that trained, in words."""
    judged_on: str
    overall: Evaluation
    segments: Sequence[Evaluation]
    verdicts: Sequence[Verdict]
    notes: Sequence[str] = ()
    decision: str = ""
    acting: ListWorth | None = None
    """What acting on the holdout's lists would have brought; None where the purpose names no amounts."""


def card(facts: CardFacts) -> str:
    """The card as Markdown; the same facts give the same text."""
    parts = [
        f"# Model card: {_plain(facts.pipeline)}, trained as of {_plain(facts.as_of)}",
        f"{_plain(facts.question)} A score is {_plain(facts.score_is)}. Owner: {_plain(facts.owner)}.",
        *_purpose(facts),
        "## Verdicts",
        _verdicts(facts.verdicts),
        "## Performance on the holdout",
        f"Judged on {_plain(facts.judged_on)}.",
        _evaluations((facts.overall, *facts.segments)),
        "## Training",
        _bullets(
            {
                "Trained on": facts.trained_on,
                "Estimator": facts.estimator,
                "Parameters": ", ".join(f"{name}={value}" for name, value in sorted(facts.params.items())) or "the estimator's own",
                "Calibration": facts.calibration,
                "Features": f"{len(facts.features)}: {', '.join(facts.features)}",
                "Tables read": ", ".join(f"{table.name} at version {table.version}" for table in facts.tables) or "not known",
                "Training": facts.training_id,
                "MLflow run": facts.run_id,
                "Model digest": facts.digest,
                "Code": facts.code_version or "not known",
            }
        ),
    ]
    if facts.notes:
        parts += ["## Notes", "\n".join(f"- {_plain(note)}" for note in facts.notes)]
    return "\n\n".join(parts) + "\n"


def _plain(text: object) -> str:
    """Text that can break neither a table nor the page: one line, with Markdown's and HTML's signs escaped."""
    line = " ".join(str(text).split())
    for sign, safe in (
        ("\\", "\\\\"),
        ("&", "&amp;"),
        ("<", "&lt;"),
        (">", "&gt;"),
        ("|", "\\|"),
        ("`", "\\`"),
        ("[", "\\["),
        ("*", "\\*"),
    ):
        line = line.replace(sign, safe)
    return line


def _bullets(facts: Mapping[str, object]) -> str:
    return "\n".join(f"- {name}: {_plain(value)}" for name, value in facts.items())


def _purpose(facts: CardFacts) -> list[str]:
    """What is decided by the scores, what that is worth, and what it came to on the holdout."""
    if facts.acting is None:
        return ["## Purpose", _plain(facts.decision)] if facts.decision else []
    found, stakes = facts.acting, facts.acting.stakes

    def amount(value: float | None) -> str:
        return "not known" if value is None else money(value, stakes.currency)

    target = {"Target": reached(found.realised.value, stakes).removeprefix("target ")} if stakes.target is not None else {}
    others = ", ".join(f"{name.replace('_', ' ')} {amount(measure.value)}" for name, measure in found.others.items())
    figures = {
        "Decision": facts.decision or "not said",
        "Acting is worth": f"{amount(stakes.right)} on a right one, {amount(stakes.wrong)} on a wrong one; not acting nothing",
        "Threshold": f"{stakes.threshold:g}, where acting breaks even; {found.contacts} of {found.rows} rows reach it",
        "KPI": f"{stakes.kpi}, a list (the mean of {found.lists})",
        "Expected": amount(found.expected.value),
        "Realised": f"{amount(found.realised.value)} ({amount(found.realised.low)} to {amount(found.realised.high)})",
        **target,
        "Acting on everybody": amount(found.everybody.value),
        "Lists of others": others or "none",
        "Realised is": MEANING,
    }
    return ["## Purpose", _bullets(figures)]


def _verdicts(verdicts: Sequence[Verdict]) -> str:
    if not verdicts:
        return "No gate has judged this model."
    rows = [f"| {_plain(v.gate)} | {'passed' if v.passed else '**refused**'} | {_plain(v.sentence)} |" for v in verdicts]
    return "\n".join(["| gate | verdict | why |", "| --- | --- | --- |", *rows])


def _number(measure: Measure) -> str:
    return "not known" if measure.value is None else f"{measure.value:.4f}"


def _evaluations(evaluations: Sequence[Evaluation]) -> str:
    titles = evaluations[0].kind.titles
    rows = [
        f"| {_plain(e.subject)} | {e.rows} | {e.state.replace('_', ' ')} | " + " | ".join(_number(e.measures()[n]) for n in titles) + " |"
        for e in evaluations
    ]
    head = "| rows of | rows | state | " + " | ".join(titles.values()) + " |"
    return "\n".join([head, "| --- " * (3 + len(titles)) + "|", *rows])
