"""What the README claims: figures that a file in bench/results shows, and commands that exist."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from penstock.cli import _parser

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_the_table_of_figures_is_the_one_that_the_results_make() -> None:
    spec = importlib.util.spec_from_file_location("table", REPOSITORY / "bench" / "_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    missing = [line for line in module.lines() if line not in README.splitlines()]
    assert not missing, "`python bench/_table.py` prints the table: " + "\n".join(missing)


def test_every_command_that_it_names_exists() -> None:
    named = set(re.findall(r"`penstock ([a-z]+)", README)) | set(re.findall(r"^\$ penstock ([a-z]+)", README, re.MULTILINE))
    known = set(re.findall(r"^    ([a-z]+)(?= |$)", _parser().format_help(), re.MULTILINE))
    assert named
    assert named <= known, named - known
    assert [name for name in sorted(known) if not re.search(rf"\b{name}\b", README)] == []
