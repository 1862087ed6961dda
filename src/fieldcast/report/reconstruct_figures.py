"""The figures of record of the task `reconstruct`, by the name that they are stored under."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from fieldcast.figures.curves import against_k, over_time, variables_against_k
from fieldcast.figures.maps import reconstruction_maps
from fieldcast.figures.masks import mask_pictures
from fieldcast.figures.ranks import rank_histograms
from fieldcast.figures.spectra import relative_spectra
from fieldcast.figures.style import Look
from fieldcast.figures.training import loss_curves
from fieldcast.report import training
from fieldcast.report.reconstruct_results import Results
from fieldcast.scores.statistics_table import error_over_time

COLUMNS = 6  # experiments side by side on a map


class MapName(NamedTuple):
    """Which maps a figure shows."""

    pattern: str
    k: float
    variable: str
    time: int
    part: int  # 0: the experiments that matter most, 1: the next ...

    def __str__(self) -> str:
        percents = f"{100 * self.k:g}".replace(".", "p")
        more = (f"_time{self.time + 1}" if self.time else "") + (f"_part{self.part + 1}" if self.part else "")
        # a name of a file, whatever the variable is called
        return re.sub(r"[^\w-]+", "-", f"maps_{self.pattern}_{percents}_{self.variable}{more}")


def draw(results: Results) -> dict[str, Figure]:
    """Every figure for which there is something to draw."""
    looks = results.looks
    found: dict[str, Figure] = {}
    board = results.leaderboard
    pattern = results.main_pattern
    if len(board):
        found["scores_against_k"] = against_k(board, looks, pattern=pattern)
        found["variables_against_k"] = variables_against_k(board, results.units, looks=looks, pattern=pattern)
    errors = errors_over_time(results.scores, results.order, pattern)
    if errors:
        found["error_over_time"] = over_time(errors)
    found |= of_diagnostics(results, looks, pattern)
    for name in map_names(results):
        shown = {key: results.examples[key] for key in map_parts(results)[name.part]}
        found[str(name)] = reconstruction_maps(shown, name.variable, name.pattern, name.k, time=name.time)
    losses = training.trained(results.history)
    if losses:
        found["losses"] = loss_curves({name: losses[name] for name in results.order if name in losses}, looks)
    if results.observations is not None:
        found["masks"] = mask_pictures(results.observations)
    return found


def errors_over_time(
    scores: Mapping[str, pd.DataFrame], order: Sequence[str], pattern: str
) -> dict[str, pd.DataFrame]:
    """The error at each time for each k, of every experiment that was scored."""
    tables = {name: scores[name] for name in order if name in scores and len(scores[name])}
    found = {name: error_over_time(table, pattern=pattern) for name, table in tables.items()}
    return {name: frame for name, frame in found.items() if frame.size}


def of_diagnostics(results: Results, looks: Mapping[str, Look], pattern: str) -> dict[str, Figure]:
    """Rank histograms and spectra."""
    stored = {name: results.diagnostics[name] for name in results.order if name in results.diagnostics}
    if not stored:
        return {}
    found = {}
    levels = fractions(next(iter(stored.values())), pattern)
    if any(one.sizes["rank"] > 2 for one in stored.values()) and levels:
        found["rank_histograms"] = rank_histograms(stored, levels, looks, pattern=pattern)
    if levels:
        found["spectra"] = relative_spectra(stored, middle(levels), looks, pattern)
    return found


def fractions(
    diagnostics: xr.Dataset, pattern: str, wanted: Sequence[float] = (0.05, 0.1, 0.2)
) -> list[float]:
    """The fractions of a pattern nearest to the wanted ones."""
    k = diagnostics["k"].to_numpy()[diagnostics["pattern"].to_numpy() == pattern].astype(float)
    if not len(k):
        return []
    return sorted({float(k[np.argmin(np.abs(np.log(k / one)))]) for one in wanted})


def middle(levels: Sequence[float]) -> float:
    """The one in the middle."""
    return levels[len(levels) // 2]


def map_parts(results: Results) -> list[list[str]]:
    """Experiments for maps, at most six a figure: the reference and the learned ones first, then
    baselines."""
    names = [name for name in results.order if name in results.examples]
    first = [name for name in names if name == results.reference or results.looks[name].learned]
    names = first + [name for name in names if name not in first]
    parts = [names[start : start + COLUMNS] for start in range(0, len(names), COLUMNS)]
    return [[name for name in results.order if name in part] for part in parts]


def map_names(results: Results) -> Iterator[MapName]:
    """Which maps to draw: the first variable in every case, then other baselines, variables and a second
    time."""
    parts = map_parts(results)
    if not parts:
        return
    stored = results.examples[parts[0][0]]
    variables = [str(name) for name in stored.data_vars]
    pairs = list(
        zip(stored["pattern"].to_numpy().astype(str), stored["k"].to_numpy().astype(float), strict=True)
    )
    levels = [k for pattern, k in pairs if pattern == results.main_pattern]
    for pattern, k in pairs:
        yield MapName(pattern, k, variables[0], 0, 0)
    for part in range(1, len(parts)):
        yield MapName(results.main_pattern, middle(levels), variables[0], 0, part)
    for variable in variables[1:]:
        yield MapName(results.main_pattern, middle(levels), variable, 0, 0)
    for time in range(1, stored.sizes["time"]):
        yield MapName(results.main_pattern, middle(levels), variables[0], time, 0)
