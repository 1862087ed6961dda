"""What was observed: one picture a pattern, and random masks at every fraction."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from fieldcast.figures.sheet import Sheet, shades
from fieldcast.figures.style import percent, plain
from fieldcast.scores.examples.reconstruction import example_cases


def mask_pictures(observations: xr.Dataset, columns: int = 5) -> Figure:
    """The first stored mask of each pattern at its fraction nearest 10 %, then `random` at each other
    fraction.

    Dark cells were observed; titles give the nominal fraction and the number of cells in this mask.
    """
    patterns = observations["pattern"].to_numpy().astype(str)
    k = observations["k"].to_numpy().astype(float)
    cases = example_cases(patterns, k, (0.1,))
    cases += [case for case in np.flatnonzero(patterns == "random").tolist() if case not in cases]
    columns = min(columns, len(cases))
    grid = observations["latitude"].to_numpy(), observations["longitude"].to_numpy()
    sheet = Sheet(*grid, columns, -(-len(cases) // columns), top=0.16, between=0.18)
    name = next(iter(observations.data_vars))
    for number, case in enumerate(cases):
        row, column = divmod(number, columns)
        seen = np.isfinite(observations[name].isel(case=case, time=0).to_numpy())
        sheet.draw((column, row), np.where(seen, 1.0, np.nan), shades("Greys", 0.0, 1.15), missing="#f2f4f6")
        sheet.title((column, row), plain(f"{patterns[case]}, {percent(k[case])} ({seen.sum()} cells)"))
    return sheet.figure
