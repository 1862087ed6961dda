"""What a decoder makes of a grid of codes."""

from __future__ import annotations

import math

import xarray as xr
from matplotlib.figure import Figure

from fieldcast.figures.pictures import Gallery, of_kind, reference

BORDER = 0.02  # between pictures: their neighbours are what they are to be compared with


def latent_grid(pictures: xr.Dataset, variable: str, experiment: str = "") -> Figure:
    """The decoder's means of codes on a square grid, row by row: one component rises from column to column, another
    falls from row to row."""
    decoded = of_kind(pictures, variable, "grid")
    side = math.isqrt(len(decoded))
    components = pictures.attrs.get("grid_components", (0, 1))  # older data are of the first two
    ways = (f"z_{one} {way}" for one, way in zip(components, ("to the right", "upwards"), strict=False))
    heading = ", ".join([experiment, *ways])
    truth = reference(pictures, variable)
    gallery = Gallery(pictures, variable, truth, side, side, heading=heading, names=0.1, between=BORDER)
    for place, values in enumerate(decoded[: side**2]):
        row, column = divmod(place, side)
        gallery.draw((column, row), values)
    return gallery.figure
