"""A person takes readers back to the generation before, in Redis alone; and what a publication does that meets such a decision."""

from __future__ import annotations

from penstock import clock
from penstock.errors import RefusedError
from penstock.lake.lease import newest_number
from penstock.publish import redis
from penstock.publish.connect import answered, table
from penstock.publish.layout import Keyspace, Pointer
from penstock.publish.served import parse_facts
from penstock.stage import Report, Run


def rollback(run: Run, by: str) -> Report:
    """Make the previous generation what readers see; the model, the latest table and the CRM table stay.

    Raises RefusedError when readers were rolled back already (going back twice would be going forward), and as `redis.rollback`.
    """
    name, client = run.pipeline.name, run.services.redis()
    now = redis.current(client, name)
    if now is not None and now.moved_by == "rollback":
        raise RefusedError(
            f"roll back {name} in Redis",
            got=f"generation {now.generation}, rolled back to from {now.previous} already",
            expected="one that a publication made what readers see",
            left="The published set is as it was",
            next=f"{_again(run)} makes {now.previous} what readers see again",
        )
    job = run.jobs["pipeline"]
    done = redis.rollback(client, name, run.leases[job].number, floor=newest_number(run.lake, job))
    text = f"{by} took readers back from {done.previous} to {done.generation}{_about(run, done.generation)}; {_held(run, done.previous)}"
    return Report("publish", "done", text, {"rolled_back": 1, "fields": done.count})


def taken_back(run: Run, generation: str) -> Pointer | None:
    """The pointer, when it stands where a person has rolled it back to from this very generation."""
    found = redis.current(run.services.redis(), run.pipeline.name)
    return found if found is not None and found.moved_by == "rollback" and found.previous == generation else None


def stays(run: Run, pointer: Pointer) -> str:
    """Why a run that nobody asked to publish leaves the pointer where it is."""
    return f"readers stay at {pointer.generation}, to which a person went back from {pointer.previous} ({_again(run)} publishes that again)"


def _held(run: Run, generation: str) -> str:
    return f"scheduled runs leave it so until another set is due, {_again(run)} makes {generation} what readers see again"


def _again(run: Run) -> str:
    return f"penstock publish {run.pipeline.name} --as-of {run.day}"


def _about(run: Run, generation: str) -> str:
    """What readers see now, and since when it has been there."""
    with answered("look at what is published"):
        facts = parse_facts(table(run.services.redis(), Keyspace(run.pipeline.name).meta(generation)))
    if facts is None:
        return ""
    day = clock.local_day(facts.as_of, run.contract.timezone)
    return f" (as of {day}, model version {facts.model_version}, written {facts.created:%Y-%m-%d %H:%M} UTC)"
