"""`penstock.open` without Spark: it costs nothing until used, and says what is wrong before anything starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import penstock
from penstock.errors import UsageError

HEAVY = ("pyspark", "pandas", "mlflow", "pydantic", "penstock.workbench")


def test_importing_the_package_imports_nothing_heavy() -> None:
    script = f"import sys, penstock; assert callable(penstock.open); print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[]"


def test_a_lake_that_is_not_there_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no such folder.*Next: penstock demo"):
        penstock.open(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_an_open_lake_has_started_nothing_and_closes_twice(tmp_path: Path) -> None:
    with penstock.open(tmp_path) as lake:
        assert repr(lake) == f"<lake {tmp_path}, env local>"
        with pytest.raises(UsageError, match="one of"):
            lake.scores("chrun")
        assert list(lake.candidates("churn").columns[:3]) == ["training_id", "as_of", "version"]
    lake.close()
    assert list(tmp_path.iterdir()) == []
