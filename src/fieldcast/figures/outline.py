"""Lines that orient the reader of a map: coastlines of the Earth, or contours of the data's own land or ground.

The package global-land-mask holds the ocean at 30 arc seconds, from the GLOBE elevation model (NOAA 1999). It is not
imported, because it would keep 930 MB in memory: its file is read in bands of latitude.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Shaped
from matplotlib.figure import Figure

from fieldcast.geometry import GRID, edges

STEP = 0.5  # width of a cell of the coarsened land mask [degrees]
FINE_CELLS = 60  # cells of the package's mask along an edge of a coarsened cell
MIN_EXTENT = 0.02  # smallest extent of a line, as a share of the map's: smaller islands would be dots
MOUNTAIN_CONTOUR = 0.25  # height of the contour of mountains, as a share of the highest ground

Line = Float[np.ndarray, "_ 2"]  # longitude, latitude in degrees; lines differ in length
Outline = Sequence[Line]


def outline(fields: xr.Dataset) -> Outline:
    """Contours of the data's land mask or of their ground, else the coastlines of the Earth; none for images.

    A static variable is recognised by its standard name: `land_binary_mask` or `surface_altitude`.
    """
    if not set(GRID) <= set(fields.dims):
        return []
    latitude, longitude = (fields[name].to_numpy() for name in GRID)
    static = {
        str(values.attrs.get("standard_name")): values.transpose(*GRID).to_numpy().astype(float)
        for values in fields.data_vars.values()
        if set(values.dims) == set(GRID)
    }
    for name, level in (("land_binary_mask", 0.5), ("surface_altitude", MOUNTAIN_CONTOUR)):
        if name in static and np.isfinite(static[name]).all():
            return contour_lines(longitude, latitude, static[name], level * float(static[name].max()))
    return coastlines(latitude, longitude)


def coastlines(latitude: Shaped[np.ndarray, " y"], longitude: Shaped[np.ndarray, " x"]) -> Outline:
    """Coastlines of the Earth within the edges of a grid, in the longitudes of the grid."""
    south, north = sorted(np.clip(edges(latitude)[[0, -1]], -90.0, 90.0))
    west, east = edges(longitude)[[0, -1]]
    y = np.arange(south + STEP / 2, north, STEP)
    x = np.arange(west + STEP / 2, east, STEP)
    rows = np.floor((90.0 - y) / STEP).astype(int)
    columns = np.floor(((x + 180.0) % 360.0) / STEP).astype(int)
    return contour_lines(x, y, land_cells()[np.ix_(rows, columns)].astype(float), 0.5)


@cache
def land_cells() -> Bool[np.ndarray, "y x"]:
    """Coarsened cells that are at least half land, from north to south and from 180°W to the east."""
    spec = find_spec("global_land_mask")
    assert spec is not None and spec.origin is not None  # a dependency
    packed = Path(spec.origin).with_name("globe_combined_mask_compressed.npz")
    with ZipFile(packed) as archive, archive.open("mask.npy") as file:
        np.lib.format.read_magic(file)
        (rows, columns), _, _ = np.lib.format.read_array_header_1_0(file)
        bands = (file.read(FINE_CELLS * columns) for _ in range(rows // FINE_CELLS))
        ocean = [
            np.frombuffer(band, bool).reshape(FINE_CELLS, -1, FINE_CELLS).mean(axis=(0, 2)) for band in bands
        ]
    return np.array(ocean) <= 0.5


def contour_lines(
    x: Shaped[np.ndarray, " x"], y: Shaped[np.ndarray, " y"], values: Float[np.ndarray, "y x"], level: float
) -> list[Line]:
    """Contours of one level, without lines that would be dots on a map."""
    if min(values.shape) < 2:
        return []
    extent = MIN_EXTENT * max(np.ptp(x), np.ptp(y))
    contours = Figure().add_subplot().contour(x, y, values, [level]).allsegs[0]
    return [line for line in contours if len(line) and np.ptp(line, axis=0).max() >= extent]
