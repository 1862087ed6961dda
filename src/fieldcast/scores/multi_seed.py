"""Mean and standard deviation of each score over runs that differ in their seed alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import combinations

import pandas as pd

from fieldcast.errors import InputError

RUN_COLUMNS = ("run", "seed", "value", "low", "high")  # columns that differ from seed to seed
SCORE_COLUMNS = ("experiment", "data", "variable", "score")  # the other columns that do not name a case


def leaderboards(folder: str, tasks: Iterable[str]) -> dict[str, pd.DataFrame]:
    """The leaderboards of the run with this `data_root`, by task; a column `run` holds the folder.

    Raises
    ------
    InputError
        Where there are none.
    """
    tables = {}
    for task in tasks:
        file = f"{folder}/08_reporting/leaderboard_{task}.csv"
        # a run need not have all tasks, and a task in which nothing was scored has an empty table
        with suppress(FileNotFoundError, NotADirectoryError, pd.errors.EmptyDataError):
            # a digest is text even where all of its digits are decimal, and so is an experiment called `nan`
            tables[task] = pd.read_csv(file, dtype={"data": str}, keep_default_na=False, na_values=[""])
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

    Raises
    ------
    InputError
        For runs of different data or cases, or of the same seed.
    """
    for first, second in combinations(runs, 2):
        require_comparable(first, second)
    if not runs:
        return pd.DataFrame()
    table = pd.concat(runs, ignore_index=True)
    keys = [name for name in table if name not in RUN_COLUMNS]
    values = table.groupby(keys, sort=False, dropna=False)["value"]
    return values.agg(seeds="count", value="mean", sd="std").reset_index()


def require_comparable(first: pd.DataFrame, second: pd.DataFrame) -> None:
    """Raise an InputError for two runs that differ in more than their seed, or not in their seed."""
    names = f"seeds.runs: '{first['run'].iloc[0]}' and '{second['run'].iloc[0]}'"
    if set(first["data"]) != set(second["data"]):
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
