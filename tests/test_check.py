"""`make check` is green, and each contract on imports can be red."""

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent

# for each contract: the file in which a forbidden import is planted, and the import
FORBIDDEN = {
    "layers: stages at the top, the ground below": (
        "models/core.py",
        "import fieldcast.fields.splits",
    ),
    "models are torch, numpy and scipy": ("models/core.py", "import xarray"),
    "fields, scores, figures and report know no torch": ("fields/splits.py", "import torch"),
    "the library does not know the app": ("inference/options.py", "import fieldcast.datasets.files"),
    "only the app imports kedro, and nodes are no part of it": (
        "pipelines/training/nodes.py",
        "import kedro.io",
    ),
    "only three modules of app/tracking import mlflow": (
        "app/tracking/hook.py",
        "from mlflow import MlflowClient",
    ),
    "data sets are fit to leave: they import nothing of the package but `atomic`": (
        "datasets/base.py",
        "import fieldcast.errors",
    ),
}
LAYERS = {  # besides: the upper layer and a file of the lower one that imports it
    "fieldcast.pipelines": "tasks/records.py",
    "fieldcast.tasks": "training/options.py",
    "fieldcast.training": "inference/options.py",
    "fieldcast.report": "figures/style.py",
    "fieldcast.inference": "encoding/options.py",
    "fieldcast.encoding": "scores/statistics.py",
}


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", ["ruff check", "ruff format --check", "lint-imports", "mypy"])
def test_make_check(command: str) -> None:
    done = run(*command.split())
    assert done.returncode == 0, done.stdout + done.stderr


def undefined(folder: Path) -> list[str]:
    """Names that are not defined anywhere, as `file:line`; the names of axes in jaxtyping's strings do not count."""
    listed = run("ruff", "check", "--isolated", "--select=F821", "--output-format=json", str(folder))
    places = [(Path(item["filename"]), item["location"]) for item in json.loads(listed.stdout)]
    return [
        f"{file.relative_to(folder)}:{place['row']}"
        for file, place in places
        if not any(
            (text.lineno, text.col_offset)
            <= (place["row"], place["column"] - 1)
            < (text.end_lineno, text.end_col_offset)
            for text in strings(file)
        )
    ]


def strings(file: Path) -> list[ast.Constant]:
    walked = ast.walk(ast.parse(file.read_text()))
    return [item for item in walked if isinstance(item, ast.Constant) and isinstance(item.value, str)]


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks", "studies", "docs"])
def test_every_name_is_defined(folder: str) -> None:
    assert undefined(ROOT / folder) == []


def test_an_undefined_name_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('def f(x: Float[Tensor, "cell"]) -> None:\n    print(cell)\n')
    assert undefined(tmp_path) == ["a.py:1", "a.py:1", "a.py:2"]  # Float, Tensor; of the two cells the second


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Output of import-linter for a copy of the package that breaks each contract once."""
    copy = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "src/fieldcast", copy / "fieldcast", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    planted = [*FORBIDDEN.values(), *((file, f"import {layer}") for layer, file in LAYERS.items())]
    for file, statement in planted:
        path = copy / "fieldcast" / file
        path.write_text(path.read_text() + f"\n{statement}\n")
    done = run("lint-imports", "--no-cache", cwd=copy)
    assert done.returncode == 1
    return done.stdout


@pytest.mark.parametrize("contract", FORBIDDEN)
def test_each_contract_can_fail(broken: str, contract: str) -> None:
    assert re.search(rf"{re.escape(contract)} BROKEN", broken), broken


@pytest.mark.parametrize("layer", LAYERS)
def test_no_layer_imports_the_one_above(broken: str, layer: str) -> None:
    below = "fieldcast." + LAYERS[layer].partition("/")[0]
    assert f"{below} is not allowed to import {layer}" in broken


def test_each_contract_is_tested() -> None:
    names = re.findall(
        r'^name = "(.*)"$', (ROOT / "pyproject.toml").read_text().partition("[tool.importlinter]")[2], re.M
    )
    assert set(names) == set(FORBIDDEN)
