"""Notebooks read: short, without definitions, paths or outputs; and they run on what the tiny planet has given."""

import ast
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(file.name for file in FOLDER.glob("*.ipynb"))


def code(notebook: nbformat.NotebookNode) -> list[str]:
    """The cells of code, without lines for IPython."""
    cells = (cell["source"] for cell in notebook.cells if cell["cell_type"] == "code")
    return ["\n".join(line for line in source.splitlines() if not line.startswith("%")) for source in cells]


def test_there_are_some() -> None:
    assert {"fill_a_field.ipynb", "read_the_results.ipynb", "read_forecasts.ipynb"} <= set(NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_only_read(name: str) -> None:
    notebook = nbformat.read(FOLDER / name, as_version=4)
    nbformat.validate(notebook)
    assert len(notebook.cells) <= 15
    for source in code(notebook):
        kinds = {type(one) for one in ast.walk(ast.parse(source))}
        assert not kinds & {ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.While}
        assert not re.search(r"[\"'](/|~|[A-Za-z]:\\|\.\./)", source)
    for cell in notebook.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_run_and_show_figures(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = request.getfixturevalue("forecasted" if name == "read_forecasts.ipynb" else "finished")
    monkeypatch.setenv("FIELDCAST_DATA", str(results))
    notebook = nbformat.read(FOLDER / name, as_version=4)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": FOLDER}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2
    assert not [output for output in outputs if output.get("name") == "stderr"], outputs
