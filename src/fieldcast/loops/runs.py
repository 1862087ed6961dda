"""Runs that may be gathered into one table: those that differ in their seed alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from fieldcast.errors import InputError
from fieldcast.loops.checkpoint import read_header
from fieldcast.loops.matching import differences

HELD = ("model", "fit", "sparsification", "splits")  # what a checkpoint says of its making, but for its seed


def refuse_other_runs(folders: Sequence[str]) -> None:
    """Raise an InputError for two runs, named by their `data_root`, of which an experiment was trained or scored
    differently."""
    runs = {folder: {**trained(Path(folder)), **scored(Path(folder))} for folder in folders}
    for one, other in combinations(runs, 2):
        shared = runs[one].keys() & runs[other].keys()
        mine, theirs = ({name: runs[run][name] for name in sorted(shared)} for run in (one, other))
        for key, before, now in differences(mine, theirs):
            raise InputError(
                f"tables.runs: '{one}' and '{other}' differ in {key} ({before}, {now}): gather runs that differ in "
                "their `seed` alone."
            )


def trained(folder: Path) -> dict[str, Mapping[str, Any]]:
    """What each checkpoint of a run says of its making."""
    found: dict[str, Mapping[str, Any]] = {}
    for file in folder.glob("06_models/*/*/checkpoint.safetensors"):
        header = read_header(head(file), str(file))
        found[f"the training of {address(file)}"] = {name: header.get(name) for name in HELD}
    return found


def scored(folder: Path) -> dict[str, Mapping[str, Any]]:
    """The digest of what each experiment of a run was scored on: times or starts, cases or leads, members."""
    files = {
        file: pd.read_parquet(file, columns=["scored"])
        for file in folder.glob("08_reporting/*/*/scores.parquet")
    }
    return {
        f"the scores of {address(file)}": {"digest": table["scored"].iloc[0]}
        for file, table in files.items()
        if len(table)
    }


def head(file: Path) -> bytes:
    """The beginning of a safetensors file, which holds its header: eight bytes of its length, and so many."""
    with file.open("rb") as opened:
        first = opened.read(8)
        return first + opened.read(int.from_bytes(first, "little"))


def address(file: Path) -> str:
    """Of the experiment whose folder a file is in."""
    return ".".join(file.parent.parts[-2:])
