"""Notebooks read: short, without definitions or paths, stored with small figures; they run, and give what is stored."""

import ast
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.proof

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
    assert len(notebook.cells) <= 18
    assert (FOLDER / name).stat().st_size < 800_000
    for source in code(notebook):
        kinds = {type(item) for item in ast.walk(ast.parse(source))}
        assert not kinds & {ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.While}
        assert not re.search(r"[\"'](/|~|[A-Za-z]:\\|\.\./)", source)
    assert not re.search(
        r"/(home|root|tmp|work|Users)/", str([cell.get("outputs") for cell in notebook.cells])
    )
    counts = [cell["execution_count"] for cell in notebook.cells if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1)), "not stored as run from top to bottom: make notebooks"


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
    if name in ("generative_models.ipynb", "posterior_samplers.ipynb"):  # which read no results
        assert_numbers_are_stored(notebook, nbformat.read(FOLDER / name, as_version=4))


def assert_numbers_are_stored(fresh: nbformat.NotebookNode, stored: nbformat.NotebookNode) -> None:
    """Printed numbers equal the stored ones to 1 %; after a training, whose rounding is the machine's, to 20 %."""
    trained = False
    for run, kept in zip(fresh.cells, stored.cells, strict=True):
        trained = trained or "optimiser" in run["source"]
        printed, expected = numbers(run), numbers(kept)
        close = pytest.approx(expected, rel=0.2, abs=0.1) if trained else pytest.approx(expected, rel=0.01)
        assert printed == close, run["source"][:80]


def numbers(cell: nbformat.NotebookNode) -> list[float]:
    """The numbers that a cell prints, without its figures."""
    texts = [
        output["data"]["text/plain"]
        for output in cell.get("outputs", [])
        if "text/plain" in output.get("data", {}) and "image/png" not in output["data"]
    ]
    matches = re.findall(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.])", " ".join(texts))
    return [float(text.replace(",", "")) for text in matches]
