"""Digests of the code of model classes: changed code is another model, for a training and for draws.

A digest is of the module in which a class is defined, without comments and docstrings, and does not depend on the
version of Python. What that module imports does not count.
"""

from __future__ import annotations

import ast
import importlib.metadata
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fieldcast import lineage

OURS = "fieldcast.models"
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def code_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Digest of the module of each class that a configuration names, of the model and of its parts.

    Modules of Fieldcast go by name and version, `vae of 0.1.0`, those of other packages by `package:module`. Modules
    that cannot be found are left out: the class is refused when the model is built.
    """
    digests = {}
    for kind in sorted(set(types(config))):
        package, _, place = kind.rpartition(":")
        module = place.rpartition(".")[0]
        path = source_of(f"{package or OURS}.{module}")
        if path is not None:
            digests[f"{package}:{module}" if package else f"{module} of {version()}"] = digest(path)
    return digests


def code_in(package: str, *modules: str) -> str:
    """Digest of the code of all modules of a package, and of some other modules."""
    own = [path for folder in folders_of(package) for path in sorted(folder.rglob("*.py"))]
    others = [source_of(module) for module in sorted(set(modules))]
    return lineage.digest([digest(path) for path in [*own, *others] if path is not None])


def extends_fieldcast(package: str) -> bool:
    """Whether an installed distribution that depends on fieldcast provides a package."""
    providers = importlib.metadata.packages_distributions().get(package.partition(".")[0], [])
    required = (each for name in providers for each in importlib.metadata.requires(name) or [])
    return any(re.match(r"fieldcast\b", each, re.IGNORECASE) for each in required)


def types(config: Any) -> Iterator[str]:
    """The value of `type` in a configuration and in each of its parts."""
    if isinstance(config, Mapping):
        if isinstance(config.get("type"), str):
            yield config["type"]
        for value in config.values():
            yield from types(value)


def classes(package: str = "") -> list[str]:
    """Names `module.Class` of all classes of an installed package, `package:module.Class` unless it is Fieldcast's.

    Nothing is imported but the package itself; an absent one has no classes.
    """
    named = [
        f"{'.'.join(path.relative_to(folder).with_suffix('').parts)}.{node.name}"
        for folder in folders_of(package or OURS)
        for path in sorted(folder.rglob("*.py"))
        for node in parsed(path)
        if isinstance(node, ast.ClassDef)
    ]
    return [f"{package}:{name}" for name in named] if package else named


def folders_of(package: str) -> list[Path]:
    """The folders of a package; none if it is absent."""
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return []
    return [Path(place) for place in spec.submodule_search_locations or ()] if spec else []


def parsed(path: Path) -> list[ast.stmt]:
    """The statements of a file; none if Python cannot read it."""
    try:
        return ast.parse(path.read_text(encoding="utf-8")).body
    except (SyntaxError, UnicodeDecodeError):
        return []


def source_of(module: str) -> Path | None:
    """The file of a module; None if it has none."""
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def digest(path: Path) -> str:
    """Digest of the code of a file without comments and docstrings."""
    return digest_of_code(path.read_text(encoding="utf-8"))


@cache
def digest_of_code(code: str) -> str:
    """Digest of code without comments and docstrings; kept, because a run asks for that of a module a hundred times."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return lineage.digest(structure(tree))


def structure(node: Any) -> Any:
    """Node types and their fields as nested lists; empty fields, which differ between versions of Python, are left out.

    The code that `ast.unparse` writes would not do: its quotes in f-strings depend on the version.
    """
    if isinstance(node, list):
        return [structure(each) for each in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, ast.JoinedStr):  # early releases of Python 3.12 end a format with an empty string
        values = [each for each in node.values if not (isinstance(each, ast.Constant) and each.value == "")]
        return [type(node).__name__, ["values", structure(values)]]
    fields = ((name, value) for name, value in ast.iter_fields(node) if value is not None and value != [])
    return [type(node).__name__, *([name, structure(value)] for name, value in fields)]


def version() -> str:
    """The version of Fieldcast."""
    return importlib.metadata.version("fieldcast")
