"""The process that dies at a named point."""

from __future__ import annotations

import os
import signal

import pytest

from penstock.stage import STAGES
from penstock.testing.kill import Killer, points, run


def test_it_dies_of_sigkill_at_its_point_and_nowhere_else() -> None:
    child = os.fork()
    if child == 0:
        killer = Killer("land.appended")
        killer.begin("land")
        killer.step("land.parsed")
        killer.end("land", "done")
        killer.step("land.appended", 7)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL


def test_without_a_point_it_lives() -> None:
    Killer(None).step("land.appended")


def test_every_stage_has_points_before_and_after_its_effects() -> None:
    for verb in STAGES:
        own = [point for point in points() if point.startswith(f"{verb}.")]
        assert f"{verb}.planned" in own
        assert len(own) >= 2
    assert {point.split(".")[0] for point in points()} == {"run", *STAGES}


@pytest.mark.parametrize("argv", [["nowhere", "--", "run"], ["land.appended", "run", "tiny"]])
def test_a_point_that_is_not_there_is_told_with_those_that_are(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(argv) == 2
    assert "land.appended" in capsys.readouterr().err
