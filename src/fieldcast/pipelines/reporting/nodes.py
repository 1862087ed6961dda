"""Reporting: all experiments of a task in one table, all tasks in one page."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from fieldcast.loops import provenance
from fieldcast.loops.options import Evaluation, Limits
from fieldcast.verification.leaderboard import leaderboard
from fieldcast.verification.report import Reconstruct, describe, report
from fieldcast.verification.short_table import short_table
from fieldcast.verification.table import scored_digest

PARTS = ("scores", "diagnostics", "examples", "history", "costs")


def rank(
    observations: xr.Dataset, evaluation: Evaluation, limits: Limits, seed: int, **scores: pd.DataFrame
) -> tuple[pd.DataFrame, str]:
    """The leaderboard of the experiments that have been scored on these observations, and its short form."""
    scored = scored_digest(observations, limits.cap("members", evaluation.members))
    named = {name: table.assign(experiment=name) for name, table in scores.items()}
    table = leaderboard(named, observations.attrs["data"], scored, seed=seed)
    return table, short_table(table)


def gather(
    leaderboard: pd.DataFrame, observations: xr.Dataset, **parts: Any
) -> tuple[Reconstruct, dict[str, Figure], dict[str, Figure]]:
    """What the page says of the task, and its figures for it and for the disk; `parts` are <experiment>__<part>."""
    by_part: dict[str, Any] = {part: {} for part in PARTS}
    for name, value in parts.items():
        experiment, _, part = name.rpartition("__")
        if value is not None and len(value):
            by_part[part][experiment] = value
    experiments = sorted({name.rpartition("__")[0] for name in parts})
    task = Reconstruct(leaderboard=leaderboard, observations=observations, experiments=experiments, **by_part)
    figures = task.figures()
    return task, figures, {f"{name}.png": figure for name, figure in figures.items()}


def write_page(
    fields: xr.Dataset, splits: dict[str, Any], climatology: xr.Dataset, quality: pd.DataFrame,
    parameters: Mapping[str, Any], task: Reconstruct, figures: dict[str, Figure],
) -> str:  # fmt: skip
    """One self-contained page."""
    code = provenance.code()
    made = {
        "Made": provenance.now(),
        "Commit": code["commit"],
        "Seed": parameters["seed"],
        "Versions": code["versions"],
    }
    data = describe(fields, splits, climatology, quality)
    return report({"reconstruct": task}, data, made, parameters, {"reconstruct": figures})
