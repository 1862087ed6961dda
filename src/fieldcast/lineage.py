"""Lineage: what an artefact was made from.

An artefact stores its lineage: named values and digests, among its attributes, in its header or in the columns of its
table. The node that makes it declares by `made_from` which function gives the lineage that it would have in this run.
Whoever loads, draws, scores, ranks or examines compares the two by `change`, and `require` refuses a stale artefact in
one sentence.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import pkgutil
import subprocess
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from fieldcast.errors import InputError

DIGEST_DIGITS = 12
UNSET = "unset"
CODE = "code"  # entry with a digest for each module
MAX_SHOWN_CHARACTERS = 120  # largest number of characters of a value in a message

# attribute of a history whose fit an earlier run had finished, so that this run only loaded the model
FINISHED_BEFORE = "finished_before"

Lineage = Mapping[str, Any]  # whatever JSON can hold, by name
Step = TypeVar("Step", bound=Callable[..., Any])
DECLARED: dict[
    Callable[..., Any], dict[str, str]
] = {}  # by node: outputs, and functions that give their lineage
# entries that say nothing to a reader, in words
IN_WORDS = {"lineage": "options or files of its source", "case_digest": "the scored selection"}

# options that have another name than when they were stored: the dotted name in an earlier lineage, such as
# `fit.max_gradient`, and the present name without its section; a renamed option trains nothing again
RENAMED: dict[str, str] = {}
# columns of tables of scores before version 0.2, and attributes of their event tables, under their present names
RENAMED_COLUMNS = {"data": "data_digest", "scored": "case_digest"}


def digest(*parts: Any) -> str:
    """12 hexadecimal digits of the SHA-256 of some parts, one after the other.

    Bytes count as they are; an array by type, shape and values; an iterator by its parts, of which it holds one at a
    time; all else by its JSON text, in which the order of keys does not matter.
    """
    import numpy as np  # here: a refusal before the first node needs no numpy, whose import takes a tenth of a second

    total = hashlib.sha256()
    for part in flattened(parts):
        if isinstance(part, np.ndarray):
            total.update(text([part.dtype.str, *part.shape]).encode())
        total.update(np.ascontiguousarray(part) if isinstance(part, np.ndarray) else encoded(part))
    return total.hexdigest()[:DIGEST_DIGITS]


def flattened(parts: Any) -> Iterator[Any]:
    """The parts, with those of iterators among them."""
    for part in parts:
        yield from flattened(part) if isinstance(part, Iterator) else (part,)


def encoded(part: Any) -> bytes:
    """Bytes, or JSON as bytes."""
    return part if isinstance(part, bytes) else text(part).encode()


def text(part: Any) -> str:
    """JSON with sorted keys; objects that JSON lacks are stored as their `str`."""
    return json.dumps(part, sort_keys=True, default=str)


def made_from(**outputs: str) -> Callable[[Step], Step]:
    """Declare for outputs of a node which function gives their lineage, by its dotted name.

    Its arguments are those of the node that it needs, under the same names. It is named rather than imported because it
    may need torch, which takes seconds, and a listing of pipelines none.
    """

    def declare(node: Step) -> Step:
        DECLARED[node] = outputs
        return node

    return declare


def declared(node: Callable[..., Any], output: str) -> Callable[..., Lineage] | None:
    """The function that gives the lineage of an output of a node; None if nothing is declared."""
    name = DECLARED.get(node, {}).get(output)
    return None if name is None else pkgutil.resolve_name(name)


def require(stored: Any, expected: Lineage, artefact: str, remedy: str) -> None:
    """Raise unless an artefact was made as this run would make it.

    Parameters
    ----------
    stored
        The artefact, or its lineage, perhaps among other entries.
    expected
        The entries that this run gives; no others are compared.
    artefact
        Name of the artefact and the verb of its making: "the checkpoint of 'x' was trained".
    remedy
        Instruction that ends with a command: "train it again with `kedro run ...`".
    """
    if different := change(stored, expected):
        raise InputError(f"{artefact} {different}: {remedy}.")


def change(stored: Any, expected: Lineage) -> str | None:
    """The first entry that differs from what this run would give: "with seed 0, this run has 3"; None if there is none.

    See `differences` for what is compared.
    """
    for key, before, now in differences(stored, expected):
        old, new = (
            textwrap.shorten(str(value), MAX_SHOWN_CHARACTERS, placeholder=" ...") for value in (before, now)
        )
        return f"with {IN_WORDS.get(key, key)} {old}, this run has {new}"
    return None


def matches(stored: Any, expected: Lineage) -> bool:
    """Whether an artefact was made as this run would make it; see `differences` for what is compared."""
    return change(stored, expected) is None


def differences(stored: Any, expected: Lineage) -> Iterator[tuple[str, Any, Any]]:
    """Dotted names of the entries of `expected` that the artefact does not share, with both values.

    The code of a module is compared only where both have it: an artefact of another version stays valid.
    """
    stored = with_present_names(stored_in(stored))
    stored = {name: stored[name] for name in expected if name in stored}
    before, now = (dict(leaves(json.loads(json.dumps(each, default=str)))) for each in (stored, expected))
    for key in {**now, **before}:
        if key.startswith(f"{CODE}.") and not (key in now and key in before):
            continue
        if before.get(key, UNSET) != now.get(key, UNSET):
            yield key, before.get(key, UNSET), now.get(key, UNSET)


def stored_in(artefact: Any) -> Lineage:
    """The lineage that an artefact holds, among other entries.

    A header or a JSON file is a mapping; a table has columns that hold one value; a data set has attributes, one of
    which may hold entries as JSON.
    """
    if hasattr(artefact, "columns"):
        artefact = with_present_columns(artefact)
        values = {str(name): column.unique().tolist() for name, column in artefact.items()}
        return {name: single[0] for name, single in values.items() if len(single) == 1}
    entries: dict[str, Any] = dict(artefact.attrs if hasattr(artefact, "attrs") else artefact)
    inner = entries.get("lineage")
    return {**entries, **json.loads(inner)} if isinstance(inner, str) and inner.startswith("{") else entries


def with_present_names(stored: Lineage, section: str = "") -> dict[str, Any]:
    """A stored lineage in which options that were renamed since have their present names, see `RENAMED`."""
    return {
        RENAMED.get(f"{section}{name}", name): (
            with_present_names(value, f"{section}{name}.") if isinstance(value, Mapping) else value
        )
        for name, value in stored.items()
    }


def with_present_columns(result: Any) -> Any:
    """A table of scores, or a data set of event tables, with the present names of its digests (`RENAMED_COLUMNS`)."""
    if hasattr(result, "columns"):
        return result.rename(columns=RENAMED_COLUMNS) if "experiment" in result else result
    if "scored" not in getattr(result, "attrs", {}):
        return result
    return result.assign_attrs({present: result.attrs[name] for name, present in RENAMED_COLUMNS.items()})


def leaves(nested: Mapping[str, Any], *, empty: bool = False, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a nested mapping by dotted name (`fit.steps`), dataclasses opened like mappings.

    empty: whether an empty mapping counts as a value.
    """
    for key, value in nested.items():
        inner = _fields(value) if is_dataclass(value) and not isinstance(value, type) else value
        if isinstance(inner, Mapping) and (inner or not empty):
            yield from leaves(inner, empty=empty, prefix=f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _fields(instance: Any) -> dict[str, Any]:
    return {field.name: getattr(instance, field.name) for field in fields(instance)}


# Commit and package versions of the code that computed a result.


PACKAGES = "fieldcast", "torch", "numpy", "scipy", "xarray"


@cache
def code() -> dict[str, object]:
    """Git commit, see `commit`, and versions of the packages that compute."""
    return {"commit": commit(), "versions": versions(PACKAGES)}


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of the packages that are installed."""
    installed = {}
    for name in packages:
        with suppress(importlib.metadata.PackageNotFoundError):
            installed[name] = importlib.metadata.version(name)
    return installed


def commit() -> str:
    """Short hash of the git commit of this code, with + if files were changed or added; empty outside a checkout."""
    head, changed = revision(Path(__file__).parent)
    return f"{head[:7]}+" if changed else head[:7]


def revision(folder: Path) -> tuple[str, bool]:
    """Hash of the git commit of a folder, and whether files were changed or added; empty outside a repository."""
    try:
        head, changes = (
            subprocess.run(
                ["git", *command], cwd=folder, capture_output=True, text=True, check=True, timeout=10
            ).stdout
            for command in (("rev-parse", "HEAD"), ("status", "--porcelain"))
        )
    except (OSError, subprocess.SubprocessError):
        return "", False
    return head.strip(), bool(changes.strip())


def now() -> str:
    """The present moment, to the minute, in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
