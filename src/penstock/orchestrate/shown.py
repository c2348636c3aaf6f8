"""Plans, status and scores as lines for people; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from penstock import clock
from penstock.publish.items import PublishedItems, Recommended

if TYPE_CHECKING:
    from penstock.client import Published
    from penstock.orchestrate.local import Planned
    from penstock.orchestrate.status import Status

_MANY = 6


def plan_lines(planned: Iterable[Planned]) -> list[str]:
    """One block a stage: what it would read and write."""
    lines = []
    for stage in planned:
        lines.append(stage.stage)
        for key, value in stage.plan.items():
            if key == "sources":
                lines += [line for one in value for line in _source_lines(one)]
            else:
                lines.append(f"  {key}: {_short(value)}")
    return lines


def _source_lines(one: Mapping[str, Any]) -> list[str]:
    return [f"  source {one['source']}", *(f"    {key}: {_short(value)}" for key, value in one.items() if key != "source")]


def status_lines(status: Status) -> list[str]:
    """The status, most urgent last: the next action."""
    model = f"version {status.production_version}, promoted for {status.promoted_as_of}" if status.production_version else "none"
    lines = [
        f"pipeline    {status.pipeline}",
        f"Production  {model}",
        f"newest      features {status.newest_features or '-'}, scores {status.newest_scores or '-'}",
    ]
    lines.append(f"unscored    {status.unscored_rows:,} rows" if status.unscored_rows is not None else "unscored    not known")
    lines.append("cursors     " + ", ".join(f"{name} {version}" for name, version in status.cursors.items()))
    lines.append("last runs")
    lines += [f"  {r['as_of']}  {r['job']:<9} {r['status']:<8} {r['seconds']:>6.1f} s  {r['run_id']}" for r in status.last_runs]
    lines.append(f"open alerts {len(status.open_alerts)}")
    lines += [f"  {a['as_of']}  {a['message']}" for a in status.open_alerts[:_MANY]]
    return [*lines, f"next        {status.next_action}"]


def published_lines(key: Sequence[str], found: Published, timezone: str) -> list[str]:
    """What is published for a key, a score or items, and where it comes from; its `as_of` as the day that begins then in `timezone`."""
    who = " ".join(key)
    if isinstance(found, PublishedItems):
        head = [f"{who}: {len(found.items)} item{'' if len(found.items) == 1 else 's'}", *_item_lines(found.items)]
    else:
        reasons = [f"  because {text}" if n == 0 else f"          {text}" for n, text in enumerate(found.reasons)]
        head = [f"{who}: {found.score:.4f}{f' ({found.band})' if found.band else ''}", *reasons]
    if found.provenance == "fallback":
        head.append(f"  {found.why}: this is the fallback of {f'group {found.group}' if found.group else 'everybody'}")
    return [
        *head,
        f"  as of {clock.local_day(found.as_of, timezone)}, model version {found.version}, scored {found.scored_at:%Y-%m-%d %H:%M} UTC, generation {found.generation}",
    ]


def _item_lines(items: Sequence[Recommended]) -> list[str]:
    wide, last = max((len(one.item) for one in items), default=0), len(str(len(items)))
    return [f"  {rank:>{last}}  {one.item:<{wide}}  {one.score:.4f}  {one.source}" for rank, one in enumerate(items, start=1)]


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_short(v)}" for k, v in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        items = [_short(v) for v in list(value)[:_MANY]]
        return f"{len(value)}: " + "; ".join(items) + (" …" if len(value) > _MANY else "") if value else "none"
    return str(value)
