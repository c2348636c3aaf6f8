"""The land stage: what is new in each of the pipeline's sources becomes landed and quarantined rows.

The sources land in order, the pipeline's own first, each whole or not at all: a bad file of one stops those after it.
"""

from __future__ import annotations

from dataclasses import dataclass

from penstock.landing import source
from penstock.stage import Report, Run


@dataclass(frozen=True)
class Plan:
    """What is new, source by source."""

    sources: tuple[source.Plan, ...]


def plan(run: Run) -> Plan:
    """Which files and days are new. Raises DataError with all faults of all that is new of a source."""
    return Plan(tuple(source.plan(run, name) for name in run.pipeline.sources))


def apply(run: Run, chosen: Plan) -> Report:
    """Land each source."""
    done = [source.apply(run, one) for one in chosen.sources]
    counts = {name: sum(report.counts.get(name, 0) for report in done) for name in ("files", "landed", "quarantined")}
    outputs = {table: version for report in done for table, version in report.outputs.items()}
    if not outputs:
        return Report("land", "nothing", ", ".join(dict.fromkeys(report.summary for report in done)), counts)
    told = [
        (f"{one.source}: " if len(done) > 1 else "") + report.summary
        for one, report in zip(chosen.sources, done, strict=True)
        if report.status == "done"
    ]
    return Report("land", "done", "; ".join(told), counts, {}, outputs)
