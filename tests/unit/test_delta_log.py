"""A table's newest commits, read from its log on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from penstock.lake.delta import commits_in


def commit(log: Path, version: int, *actions: dict[str, Any]) -> None:
    log.mkdir(exist_ok=True)
    (log / f"{version:020d}.json").write_text("".join(json.dumps(action) + "\n" for action in actions), encoding="utf-8")


def told(metadata: str, rows: str) -> dict[str, Any]:
    return {"commitInfo": {"operation": "WRITE", "userMetadata": metadata, "operationMetrics": {"numOutputRows": rows}}}


def test_the_newest_commits_come_first_and_no_more_than_asked_for(tmp_path: Path) -> None:
    for version in (8, 9, 10, 11):
        commit(tmp_path, version, told(f"m{version}", str(version)))
    assert commits_in(tmp_path, 2) == [
        {"version": 11, "userMetadata": "m11", "operationMetrics": {"numOutputRows": "11"}},
        {"version": 10, "userMetadata": "m10", "operationMetrics": {"numOutputRows": "10"}},
    ]
    assert [c["version"] for c in commits_in(tmp_path, 200)] == [11, 10, 9, 8]


def test_other_files_of_the_log_are_no_commits(tmp_path: Path) -> None:
    commit(tmp_path, 3, told("m", "1"))
    for name in ("00000000000000000009.checkpoint.0000000001.0000000001.json", "00000000000000000009.crc", "_last_checkpoint", ".tmp.json"):
        (tmp_path / name).write_text("{}", encoding="utf-8")
    assert [c["version"] for c in commits_in(tmp_path, 5)] == [3]
    assert commits_in(tmp_path / "nowhere", 5) == []


def test_a_commit_s_words_are_found_behind_other_actions_and_may_be_missing(tmp_path: Path) -> None:
    commit(tmp_path, 0, {"protocol": {"minReaderVersion": 1}}, {"add": {"path": 'a"commitInfo"b'}}, told("late", "7"))
    commit(tmp_path, 1, {"add": {"path": "x"}})
    assert commits_in(tmp_path, 2) == [
        {"version": 1, "userMetadata": None, "operationMetrics": None},
        {"version": 0, "userMetadata": "late", "operationMetrics": {"numOutputRows": "7"}},
    ]
