"""Runs that differ in their seed alone, gathered: the mean and the standard deviation of each score over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import combinations

import pandas as pd

from fieldcast.errors import InputError

OF_A_RUN = ("run", "seed", "value", "low", "high")  # columns that differ from seed to seed
OF_A_SCORE = ("experiment", "data", "variable", "score")  # of the others, those that tell no case


def leaderboards(folder: str, tasks: Iterable[str]) -> dict[str, pd.DataFrame]:
    """The leaderboards of the run with this `data_root`, by task; a column `run` holds the folder.

    Raises
    ------
    InputError
        Where there are none.
    """
    found = {}
    for task in tasks:
        file = f"{folder}/08_reporting/leaderboard_{task}.csv"
        # a run need not have all tasks; the table of one in which nothing was scored is empty
        with suppress(FileNotFoundError, NotADirectoryError, pd.errors.EmptyDataError):
            # a digest is text even where all of its digits are decimal
            found[task] = pd.read_csv(file, dtype={"data": str})
    found = {task: table.assign(run=folder) for task, table in found.items() if len(table)}
    if not found:
        raise InputError(
            f"tables.runs: '{folder}' holds no leaderboard: give the data_root of a run that has scored something."
        )
    return found


def over_seeds(runs: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One row a score, from the `leaderboards` of one task: their columns without seed, low and high, then seeds
    (how many have a value), value (its mean over them) and sd (its standard deviation, with n - 1; NaN of one).

    Raises
    ------
    InputError
        For runs of different data or cases, or of the same seed.
    """
    for one, other in combinations(runs, 2):
        refuse(one, other)
    if not runs:
        return pd.DataFrame()
    table = pd.concat(runs, ignore_index=True)
    keys = [name for name in table if name not in OF_A_RUN]
    values = table.groupby(keys, sort=False, dropna=False)["value"]
    return values.agg(seeds="count", value="mean", sd="std").reset_index()


def refuse(one: pd.DataFrame, other: pd.DataFrame) -> None:
    """Raise an InputError for two runs that differ in more than their seed, or not in their seed."""
    names = f"tables.runs: '{one['run'].iloc[0]}' and '{other['run'].iloc[0]}'"
    if set(one["data"]) != set(other["data"]):
        raise InputError(f"{names} are of different data: gather runs that differ in their `seed` alone.")
    if set(cases(one)) != set(cases(other)):
        raise InputError(
            f"{names} were scored on different cases or leads: gather runs that differ in their `seed` alone."
        )
    shared = set(one["seed"]) & set(other["seed"])
    if shared:
        raise InputError(
            f"{names} are both of seed {min(shared)}: run one of them again with "
            f"--params seed=S,data_root=FOLDER."
        )


def cases(table: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    """What the rows are of: pattern, k and cells, or lead and region."""
    columns = [name for name in table if name not in (*OF_A_RUN, *OF_A_SCORE)]
    return table[columns].itertuples(index=False, name=None)
