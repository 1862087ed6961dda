"""Area-weighted means of statistics over kinds of cells or over regions, which are bands of latitude."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

TROPICS_EDGE = 20.0  # latitude between the tropics and the extratropics (WeatherBench 2) [degrees]
MIN_ROWS = 3  # rows of a region; the mean over fewer is that of a few cells
POLAR_LATITUDE = 80.0  # a global grid has cells beyond it in both hemispheres [degrees]
STATIONS = "stations"  # in the column of regions: the readings of stations
WHOLE = ("globe", "domain", STATIONS)  # names of the whole grid, or of all stations


def regions(
    latitude: Float[np.ndarray, " latitude"], wraps: bool
) -> dict[str, Bool[np.ndarray, " latitude"]]:
    """Latitudes of each region, the whole grid first: `globe`, or `domain` where it does not span the globe.

    A grid that wraps in longitude also has `tropics` (20 S to 20 N), `northern_extratropics` and
    `southern_extratropics` (beyond), each where it holds at least three rows and is not the whole grid. They
    do not overlap.
    """
    everywhere = np.ones(len(latitude), dtype=bool)
    half = np.abs(np.diff(latitude)).max() / 2 if len(latitude) > 1 else 0.0  # cells end beyond their centres
    spans = wraps and latitude.min() - half < -POLAR_LATITUDE and latitude.max() + half > POLAR_LATITUDE
    bands = {
        "tropics": np.abs(latitude) <= TROPICS_EDGE,
        "northern_extratropics": latitude > TROPICS_EDGE,
        "southern_extratropics": latitude < -TROPICS_EDGE,
    }
    return {"globe" if spans else "domain": everywhere} | {
        name: band for name, band in bands.items() if wraps and band.sum() >= MIN_ROWS and not band.all()
    }


def cell_weights(
    area: Float[np.ndarray, "*cell"], selected: Bool[np.ndarray, "*kind_and_time *cell"]
) -> Float[np.ndarray, "*kind_and_time *cell"]:
    """w = area where a cell is selected, else 0, scaled to sum to 1 over the cells; NaN where none is selected."""
    weights = np.where(selected, area, 0.0)
    total = weights.sum(axis=(-2, -1), keepdims=True)
    return weights / np.where(total > 0, total, np.nan)


def area_means(
    values: Float[np.ndarray, "statistic time latitude longitude"],
    weights: Float[np.ndarray, "kind time latitude longitude"] | Float[np.ndarray, "kind latitude longitude"],
) -> Float[np.ndarray, "kind statistic time"]:
    """Σ_cells w · value in float64, by matrix products; `weights` of `cell_weights` may vary in time.

    A value of NaN makes the mean NaN whatever its weight, and so do the weights of a kind without cells.
    """
    flat = values.reshape(*values.shape[:2], -1).astype(float)
    kinds = weights.reshape(*weights.shape[:-2], -1)
    if weights.ndim == 3:
        return np.moveaxis(flat @ kinds.T, -1, 0)
    # time first makes it one matrix product per time
    return np.einsum("stc,ktc->kst", flat, kinds, optimize=True)
