"""A person takes the applications back to what they read before, while model and tables stay; and a set that shrank waits for one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import shop
from clients import Clients, words

MIDNIGHT = datetime(2023, 7, 23, 23, tzinfo=UTC)
"""Of the second run's day, in the shop's summer time."""
STRICT = ("--set", "pipeline.publish.redis.max_drop=0")


def generation(lake: Path) -> str:
    """What all readers see."""
    (found,) = {score[4] for score in shop.published(lake)["scores"].values()}
    return str(found)


def newest(lake: Path) -> dict[str, Any]:
    return max(shop.rows(lake, "ledger"), key=lambda row: row["finished_at"])


def test_readers_go_back_by_a_persons_word_stay_there_and_come_again_by_another(
    clients: Clients, shop_conf: Path, history: Path, tmp_path: Path
) -> None:
    lake = shop.copy_lake(history, tmp_path / "lake")
    back = words("rollback", lake, shop_conf, "--published", "--by", "anna")
    first = generation(lake)
    alone = clients.run(*back, code=3)
    assert "roll back tiny in Redis: got no whole previous generation, expected one. The published set is as it was." in alone.err
    assert "Next: penstock publish tiny --as-of DATE makes one" in alone.err
    assert (newest(lake)["job"], newest(lake)["stage"], newest(lake)["status"]) == ("rollback", "publish", "refused")

    # Fewer customers than last time, under a guard that allows none to go.
    shop.second_delivery(lake / "landing")
    cohorts = [{r["customer_id"] for r in shop.rows(lake, "predictions_tiny")}]
    refused = clients.run(*words("run", lake, shop_conf, *STRICT, as_of=shop.NEXT), code=3)
    assert "Next: look where they went; penstock publish tiny --as-of 2023-07-24 --allow-drop if that is meant." in refused.err
    assert generation(lake) == first
    clients.run(*words("publish", lake, shop_conf, *STRICT, "--allow-drop", as_of=shop.NEXT))
    second, before = generation(lake), shop.content(lake)
    assert second.startswith("20230724-v")
    assert len(cohorts[0]) > len({r["customer_id"] for r in shop.rows(lake, "predictions_tiny") if r["as_of"] == MIDNIGHT})

    done = clients.run(*back)
    assert f"anna took readers back from {second} to {first} (as of 2023-07-03, model version 1, written " in done.err
    assert f"penstock publish tiny --as-of 2023-07-24 makes {second} what readers see again" in done.err
    assert generation(lake) == first
    assert (newest(lake)["job"], newest(lake)["status"], dict(newest(lake)["counts"])["rolled_back"]) == ("rollback", "done", 1)
    changed = shop.differences({**before, "Redis": None}, {**shop.content(lake), "Redis": None})
    assert not changed, changed
    assert shop.published(lake)["features"] == before["Redis"]["features"]

    twice = clients.run(*back, code=3)
    assert f"got generation {first}, rolled back to from {second} already" in twice.err
    scheduled = clients.run(*words("run", lake, shop_conf, as_of=shop.NEXT))
    assert f"readers stay at {first}, to which a person went back from {second} (penstock publish tiny" in scheduled.err
    assert generation(lake) == first

    again = clients.run(*words("publish", lake, shop_conf, as_of=shop.NEXT))
    assert f"readers see {second} again, from which they were taken back to {first}" in again.err
    assert generation(lake) == second
    assert "Nothing new" in clients.run(*words("publish", lake, shop_conf, as_of=shop.NEXT)).err
