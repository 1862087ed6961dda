"""Maps of the distance between the distributions of samples and real states in each cell."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from fieldcast.figures.maps import SPREAD_COLOURMAP
from fieldcast.figures.outline import Outline
from fieldcast.figures.pictures import NAME_LETTERS, NAME_WIDTH
from fieldcast.figures.sheet import GAP, Sheet, shades
from fieldcast.figures.style import INK, NORMAL_FONT, SMALL_FONT, WIDTH, escape, wrap_name
from fieldcast.geometry import area_mean, cell_areas

MAX_MAP_WIDTH = 1.8  # largest width of a map [inches]
MAX_DISTANCE = 1.0  # distance with the darkest colour, at most [standard deviations]
TOP_HEIGHT = 0.5  # height above the maps [inches]
LABEL_BOX = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0}


def wasserstein_maps(diagnostics: Mapping[str, xr.Dataset], outline: Outline = ()) -> Figure:
    """Draw the Wasserstein-1 distance in each cell: experiments (rows), variables (columns), one scale from 0.

    The unit is the cell's standard deviation over real states; the area mean stands in the corner.
    """
    first = next(iter(diagnostics.values()))
    variables = [str(name) for name in first["variable"].to_numpy()]
    distances = {
        name: cells["wasserstein"].transpose("variable", "latitude", "longitude").to_numpy().astype(float)
        for name, cells in diagnostics.items()
    }
    every = np.concatenate([values[np.isfinite(values)] for values in distances.values()])
    colours = shades(
        SPREAD_COLOURMAP, 0.0, min(MAX_DISTANCE, np.quantile(every, 0.99)) if len(every) else MAX_DISTANCE
    )
    columns = max(2, len(variables))
    size = min(MAX_MAP_WIDTH, (WIDTH - NAME_WIDTH) / (columns + (columns - 1) * GAP))
    grid = first["latitude"].to_numpy(), first["longitude"].to_numpy()
    areas = cell_areas(*grid)
    beside, above = NAME_WIDTH / size, TOP_HEIGHT / size
    sheet = Sheet(*grid, columns, len(distances), left=beside, top=above, max_map_width=size, outline=outline)
    for column, variable in enumerate(variables):
        sheet.title((column, 0), escape(variable))
    for row, (name, values) in enumerate(distances.items()):
        sheet.row(row, wrap_name(name, NAME_LETTERS))
        for column, cells in enumerate(values):
            sheet.draw((column, row), cells, colours)
            exists = np.isfinite(cells)
            mean = float(area_mean(np.where(exists, cells, 0.0), np.where(exists, areas, 0.0)))
            left, bottom = sheet.corner(column, row)
            sheet.axes.text(
                left + 0.02,
                bottom + 0.02,
                f"{mean:.2f}",
                fontsize=SMALL_FONT,
                color=INK,
                bbox=LABEL_BOX,
                zorder=5,
            )
    start = (-beside - sheet.beside, above)
    heading = "Wasserstein-1 distance,\nstandard deviations of the cell"
    sheet.axes.text(*start, heading, ha="left", va="top", fontsize=NORMAL_FONT, color=INK)
    wide = 1.6 / size
    sheet.bar(columns * (1 + GAP) - GAP - wide - 0.25 / size, (TOP_HEIGHT - 0.12) / size, colours, "", wide)
    return sheet.figure
