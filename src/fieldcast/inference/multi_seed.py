"""Runs that may be gathered into one table: those that differ in their seed alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from fieldcast.encoding.checkpoint import read_header
from fieldcast.errors import InputError
from fieldcast.lineage import differences

HELD = ("model", "fit", "sparsification", "splits")  # what a checkpoint says of its making, but for its seed


def refuse_other_runs(runs: Mapping[str, Collection[str]]) -> None:
    """Raise an InputError for two runs of which an experiment was trained or scored differently.

    `runs`: by `data_root` the experiments <task>/<name> that are gathered. One that borrows its weights has no
    checkpoint of its own, and is known by what it was scored on alone.
    """
    for one, other in combinations(runs, 2):
        for name in sorted({*runs[one]} & {*runs[other]}):
            mine, theirs = (known_of(Path(run), name) for run in (one, other))
            both = mine.keys() & theirs.keys()
            for key, before, now in differences(*({key: of[key] for key in both} for of in (mine, theirs))):
                raise InputError(
                    f"tables.runs: '{one}' and '{other}' differ in {name}, {key} ({before}, {now}): gather runs that "
                    "differ in their `seed` alone."
                )


def known_of(run: Path, experiment: str) -> dict[str, Any]:
    """How an experiment was trained, and the digest of what it was scored on: cases or starts, leads, members."""
    found: dict[str, Any] = {}
    checkpoint, scores = (
        run / "06_models" / experiment / "checkpoint.safetensors",
        run / "08_reporting" / experiment / "scores.parquet",
    )
    if checkpoint.exists():
        header = read_header(head(checkpoint), str(checkpoint))
        found |= {name: header.get(name) for name in HELD}
    if scores.exists():
        found["scored"] = pd.read_parquet(scores, columns=["scored"])["scored"].unique().tolist()
    return found


def head(file: Path) -> bytes:
    """The beginning of a safetensors file, which holds its header: eight bytes of its length, and so many."""
    with file.open("rb") as opened:
        first = opened.read(8)
        return first + opened.read(int.from_bytes(first, "little"))
