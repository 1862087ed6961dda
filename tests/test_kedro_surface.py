"""The package uses what Kedro, OmegaConf and MLflow document, and gives no object another signature or class."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src/fieldcast"
LIBRARIES = ("kedro", "kedro_datasets", "omegaconf", "mlflow")
# what Kedro's page on own data sets names, and what other libraries document
DOCUMENTED = {
    "_load", "_save", "_describe", "_exists", "_release", "_asdict", "_replace", "_strip_protocol", "_exit",
}  # fmt: skip
FORGED = {"__signature__", "__annotations__", "__class__"}
# the one seam by which nodes become tasks of Dask, by file
LEFT = {"app/dask.py": {"_get_executor"}}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def owned(trees: list[ast.Module]) -> set[str]:
    """Private names that this package defines: functions, and attributes that a class gives itself."""
    names: set[str] = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and of_itself(node):
                names.add(node.attr)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names.add(node.target.id)
    return names


def of_itself(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def imported(tree: ast.Module) -> set[str]:
    """Names that a file imports from the libraries."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in LIBRARIES
        for alias in node.names
    }


def private(tree: ast.Module, ours: set[str]) -> Iterator[str]:
    """Private names of the libraries that a file imports, overrides or reaches as attributes."""
    theirs = imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in LIBRARIES:
            if any(is_private(part) for part in str(node.module).split(".")):
                yield str(node.module)
            yield from (alias.name for alias in node.names if is_private(alias.name))
        elif isinstance(node, ast.ClassDef) and any(
            isinstance(name, ast.Name) and name.id in theirs for base in node.bases for name in ast.walk(base)
        ):
            defined = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
            yield from (name for name in defined if is_private(name) and name in OVERRIDDEN)
        elif isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in ours:
            yield node.attr


def forged(tree: ast.Module) -> Iterator[str]:
    """Names by which a file gives an object another signature, annotations or class."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr in FORGED:
            yield node.attr
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setattr":
            yield from (each.value for each in node.args[1:2] if isinstance(each, ast.Constant))


# methods of Kedro's classes that a subclass would replace
OVERRIDDEN = {
    "_get_executor", "_get_required_workers_count", "_init_config", "_logger", "_read_dir_configs", "_run",
    "_get_catalog", "_merge_configs", "_validate_inputs", "_run_node",
}  # fmt: skip


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.Module]:
    """The files of the package: not read on import, which every process that shares the tests does."""
    return {
        str(file.relative_to(ROOT)): ast.parse(file.read_text(encoding="utf-8"))
        for file in sorted(ROOT.rglob("*.py"))
    }


@pytest.fixture(scope="module")
def ours(trees: dict[str, ast.Module]) -> set[str]:
    return owned(list(trees.values()))


def taken(tree: ast.Module, ours: set[str]) -> set[str]:
    return ({*private(tree, ours)} | {*forged(tree)}) - DOCUMENTED


def test_only_what_is_documented_is_used(trees: dict[str, ast.Module], ours: set[str]) -> None:
    relevant = {name: tree for name, tree in trees.items() if imported(tree) or [*forged(tree)]}
    more = {
        name: names for name, tree in relevant.items() if (names := taken(tree, ours) - LEFT.get(name, set()))
    }
    assert not more


@pytest.mark.parametrize(
    "text",
    [
        "from kedro.io.core import _parse",
        "from omegaconf._utils import get_yaml_loader",
        "context._pipelines_to_validate = []",
        "function.__signature__ = other",
        "setattr(function, '__annotations__', {})",
        "from kedro.runner import SequentialRunner\nclass Own(SequentialRunner):\n    def _run(self): ...",
    ],
)
def test_what_is_not_would_be_seen(text: str, ours: set[str]) -> None:
    assert taken(ast.parse(text), ours)
