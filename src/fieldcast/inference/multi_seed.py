"""Mean and standard deviation of each score over runs that differ in their seed alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from fieldcast.encoding.checkpoint import FITTED_BY, read_header
from fieldcast.errors import InputError
from fieldcast.lineage import RENAMED, differences, with_present_columns

RUN_COLUMNS = ("run", "seed", "value", "low", "high")  # columns that differ from seed to seed
# the other columns that do not name a case
SCORE_COLUMNS = ("experiment", "data_digest", "variable", "score")


def leaderboards(folder: str, tasks: Iterable[str]) -> dict[str, pd.DataFrame]:
    """The leaderboards of the run with this `data_root`, by task; a column `run` holds the folder."""
    tables = {}
    for task in tasks:
        file = f"{folder}/08_reporting/leaderboard_{task}.csv"
        # a run need not have all tasks, and a task in which nothing was scored has an empty table
        with suppress(FileNotFoundError, NotADirectoryError, pd.errors.EmptyDataError):
            # a digest is text even where all of its digits are decimal, and so is an experiment called `nan`
            digests = dict.fromkeys(("data", "data_digest"), str)
            tables[task] = with_present_columns(
                pd.read_csv(file, dtype=digests, keep_default_na=False, na_values=[""])
            )
    tables = {task: table.assign(run=folder) for task, table in tables.items() if len(table)}
    if not tables:
        raise InputError(
            f"seeds.runs: '{folder}' holds no leaderboard: choose the data_root of a run that has scored something."
        )
    return tables


def over_seeds(runs: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Mean and standard deviation of each score over the `leaderboards` of one task.

    The columns are those of the leaderboards without seed, low and high, then seeds (the number that have a value),
    value (the mean over them) and sd (their standard deviation, with n - 1; NaN for a single seed).
    """
    for first, second in combinations(runs, 2):
        require_comparable(first, second)
    if not runs:
        return pd.DataFrame(columns=[*SCORE_COLUMNS, "seeds", "value", "sd"])
    table = pd.concat(runs, ignore_index=True)
    keys = [name for name in table if name not in RUN_COLUMNS]
    values = table.groupby(keys, sort=False, dropna=False)["value"]
    return values.agg(seeds="count", value="mean", sd="std").reset_index()


def require_comparable(first: pd.DataFrame, second: pd.DataFrame) -> None:
    """Raise an InputError for two runs that differ in more than their seed, or not in their seed."""
    names = f"seeds.runs: '{first['run'].iloc[0]}' and '{second['run'].iloc[0]}'"
    if set(first["data_digest"]) != set(second["data_digest"]):
        raise InputError(
            f"{names} were run on different data: combine runs that differ only in their `seed`."
        )
    if set(cases(first)) != set(cases(second)):
        raise InputError(
            f"{names} were scored on different cases or leads: combine runs that differ only in their `seed`."
        )
    shared = set(first["seed"]) & set(second["seed"])
    if shared:
        raise InputError(
            f"{names} both have seed {min(shared)}: run one of them again with "
            f"--params seed=S,data_root=FOLDER."
        )


def cases(table: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    """Cases of a leaderboard: pattern, k and cells, or lead and region."""
    columns = [name for name in table if name not in (*RUN_COLUMNS, *SCORE_COLUMNS)]
    return table[columns].itertuples(index=False, name=None)


# A check that runs differ only in their seed, before they are gathered into one table.


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
        names = (*COMPARED, *(RENAMED.get(name, name) for name in header.get(FITTED_BY, ())))
        sources |= {name: header.get(name) for name in names}
    if scores.exists():
        sources["case_digest"] = (
            with_present_columns(pd.read_parquet(scores))["case_digest"].unique().tolist()
        )
    return sources


def head(file: Path) -> bytes:
    """The beginning of a safetensors file: eight bytes with the length of the header, and the header."""
    with file.open("rb") as opened:
        first = opened.read(8)
        return first + opened.read(int.from_bytes(first, "little"))
