"""A check that runs differ only in their seed, before they are gathered into one table."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from fieldcast.encoding.checkpoint import FITTED_BY, read_header
from fieldcast.errors import InputError
from fieldcast.lineage import differences

# entries of a checkpoint's header that decide a training besides its seed, with those that `FITTED_BY` names
COMPARED = ("model", "code", "fit", "data", "splits")


def refuse_other_runs(runs: Mapping[str, Collection[str]]) -> None:
    """Raise an InputError if an experiment was trained or scored differently in two runs.

    `runs` holds the experiments <task>/<name> of each `data_root`. For an experiment that uses the weights of another
    one, only scores are compared, because it has no checkpoint of its own.
    """
    for first, second in combinations(runs, 2):
        for name in sorted({*runs[first]} & {*runs[second]}):
            a, b = (lineage_of(Path(run), name) for run in (first, second))
            both = a.keys() & b.keys()
            for key, of_first, of_second in differences(a, {key: b[key] for key in both}):
                raise InputError(
                    f"seeds.runs: '{first}' and '{second}' differ in {name}, {key} ({of_first}, {of_second}): combine "
                    "runs that differ only in their `seed`."
                )


def lineage_of(run: Path, experiment: str) -> dict[str, Any]:
    """Lineage of an experiment's training, and the digest of its scored cases or initial times, leads and members."""
    sources: dict[str, Any] = {}
    checkpoint, scores = (
        run / "06_models" / experiment / "checkpoint.safetensors",
        run / "08_reporting" / experiment / "scores.parquet",
    )
    if checkpoint.exists():
        header = read_header(head(checkpoint), str(checkpoint))
        sources |= {name: header.get(name) for name in (*COMPARED, *header.get(FITTED_BY, ()))}
    if scores.exists():
        sources["scored"] = pd.read_parquet(scores, columns=["scored"])["scored"].unique().tolist()
    return sources


def head(file: Path) -> bytes:
    """The beginning of a safetensors file: eight bytes with the length of the header, and the header."""
    with file.open("rb") as opened:
        first = opened.read(8)
        return first + opened.read(int.from_bytes(first, "little"))
