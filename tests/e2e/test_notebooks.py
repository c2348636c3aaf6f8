"""The notebooks run as they stand, over the small shop's lake with a matured cohort; and they are clean in the repository."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import shop
from clients import Clients, words

FOLDER = shop.REPOSITORY / "notebooks"
NOTEBOOKS = ("01_lake_tour", "02_experiment", "03_how_scores_fared", "04_shop_page")
VALUES = {
    "PIPELINE": shop.PIPELINE,
    "SOURCE": shop.SOURCE,
    "VIEW": "tiny_activity",
    "EVENT_TIME": "ordered_at",
    "HORIZON_DAYS": 14,
    "HOLDOUT_COHORTS": 3,
}


def read(name: str) -> Any:
    found = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(found)
    return found


def parameters(notebook: Any) -> Any:
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    return cell


def assigned(cell: Any) -> dict[str, Any]:
    return {line.targets[0].id: ast.literal_eval(line.value) for line in ast.parse(cell.source).body}  # type: ignore[attr-defined]


# -- as they stand ----------------------------------------------------------------------------------------------------


def test_there_are_four_and_the_readme_tells_of_each() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(NOTEBOOKS)
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"{name}.ipynb" in text for name in NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_defines_nothing_and_has_no_output(name: str) -> None:
    notebook = read(name)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)
    nodes = [node for cell in cells for node in ast.walk(ast.parse(cell.source))]
    assert not [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda)]
    assert (
        {"LAKE", "CONF", "PIPELINE"} <= assigned(parameters(notebook)).keys() <= {"LAKE", "CONF", "TIMEZONE", "RANKING", "COUNTRY", *VALUES}
    )


# -- executed ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def matured(clients: Clients, history: Path, shop_conf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop's lake after its second run: the first scored cohort has its outcome."""
    lake = shop.copy_lake(history, tmp_path_factory.mktemp("notebooks") / "lake")
    shop.write_days(lake / "landing", shop.HISTORY, shop.NEXT - timedelta(days=1))
    clients.run(*words("run", lake, shop_conf, as_of=shop.NEXT))
    return lake


@pytest.fixture(scope="module")
def executed(clients: Clients, matured: Path, shop_conf: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    folder = tmp_path_factory.mktemp("kernel")
    python_path = os.pathsep.join([str(shop.REPOSITORY / "src"), os.environ.get("PYTHONPATH", "")])
    own = {"PENSTOCK_SPARK_REMOTE": clients.remote, "PYTHONPATH": python_path, "IPYTHONDIR": str(folder), "MPLCONFIGDIR": str(folder)}

    def execute(name: str) -> Any:
        notebook = read(name)
        cell = parameters(notebook)
        given = {"LAKE": str(matured), "CONF": str(shop_conf), **VALUES}
        cell.source = "\n".join(f"{key} = {given.get(key, value)!r}" for key, value in assigned(cell).items())
        client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
        client.execute(env={**os.environ, **own})
        return notebook

    return execute


def said(notebook: Any, start: str) -> str:
    """What the one cell shows whose code has this text."""
    (cell,) = [cell for cell in notebook.cells if cell.cell_type == "code" and start in cell.source]
    return "\n".join(
        output.data.get("text/plain", "") for output in cell.outputs if output.output_type in {"execute_result", "display_data"}
    )


def pictures(notebook: Any) -> int:
    return sum("image/png" in output.get("data", {}) for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs)


def noise(notebook: Any) -> list[str]:
    return [o.text for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs if o.output_type == "stream"]


def test_the_tour_shows_a_customer_from_invoice_to_outcome_and_writes_nothing(executed: Callable[[str], Any], matured: Path) -> None:
    before = shop.versions(matured)
    notebook = executed("01_lake_tour")
    assert f"'landing_{shop.SOURCE}'" in said(notebook, "lake.tables()")
    assert "O2306" in said(notebook, "landing_{SOURCE}")
    assert "'is_active': True" in said(notebook, "highest.asDict()")
    assert "champion" in said(notebook, "predictions_{PIPELINE}")
    assert "at_version_1" in said(notebook, "version=1")
    assert noise(notebook) == []
    assert shop.versions(matured) == before


def test_the_experiment_is_judged_on_the_champions_own_rows(executed: Callable[[str], Any]) -> None:
    notebook = executed("02_experiment")
    counts = ast.literal_eval(said(notebook, "split = holdout").replace("np.float64(", "(").replace("nan", "None"))
    assert counts["judges"] == counts["champion was judged on"] > 0
    results = said(notebook, "results = {")
    assert "champion (logged)" in results
    assert "boosted trees" in results
    assert "NaN" not in results
    assert noise(notebook) == []


def test_the_scores_fared_shows_the_matured_cohort(executed: Callable[[str], Any]) -> None:
    notebook = executed("03_how_scores_fared")
    assert str(shop.HISTORY) in said(notebook, "weekly.round")
    assert "NaN" not in said(notebook, "calibration.round")
    assert "recency_days" in said(notebook, "drift = drift.select")
    assert pictures(notebook) == 3
    assert noise(notebook) == []
