"""Survey the values of a variable in one pass, for the quality checks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from fieldcast import geometry
from fieldcast.fields.chunked import SMALL_BLOCK_BYTES, blocks
from fieldcast.fields.fills import Search

MAX_FINITE = 1e30  # values from here on count as infinite; the undeclared fill value 9.97e36 is larger
# limits of the largest value: its square, and that of a forecast a thousand times too large, fit in single precision
MAX_ABSOLUTE_VALUE, MIN_LARGEST_VALUE = 1e14, 1e-18


@dataclass(frozen=True)
class Survey:
    """Summary of a variable's values.

    Parameters
    ----------
    missing
        Number of times at which a cell has no value.
    low, high
        Smallest and largest finite value of a cell; infinite if there is none.
    present
        Number of finite values at each time.
    infinite
        Number of infinite or huge values at each time.
    flat
        Whether all cells, at least two, have the same value.
    mean, spread
        Area mean and standard deviation; NaN without a value.
    fills
        Possible undeclared fill values.
    """

    missing: Int[np.ndarray, "y x"]
    low: Float[np.ndarray, "y x"]
    high: Float[np.ndarray, "y x"]
    present: Int[np.ndarray, " time"]
    infinite: Int[np.ndarray, " time"]
    flat: Bool[np.ndarray, " time"]
    mean: Float[np.ndarray, " time"]
    spread: Float[np.ndarray, " time"]
    fills: Search

    @property
    def never(self) -> Bool[np.ndarray, "y x"]:
        """Whether a cell has no value at any time."""
        return self.missing == len(self.present)

    @property
    def scattered(self) -> Bool[np.ndarray, "y x"]:
        """Whether a cell lacks values at some times only."""
        return (self.missing > 0) & ~self.never

    @property
    def varies(self) -> Bool[np.ndarray, "y x"]:
        """Whether a cell changes in time."""
        return self.high > self.low


def survey(array: xr.DataArray) -> Survey:
    """Survey a variable on (time, latitude, longitude), reading each block of times once."""
    shape = (array.sizes["latitude"], array.sizes["longitude"])
    area = geometry.cell_areas(array["latitude"], array["longitude"])
    missing, low, high = np.zeros(shape, dtype=np.int64), np.full(shape, np.inf), np.full(shape, -np.inf)
    by_time: list[tuple[np.ndarray, ...]] = []
    fills = Search(array)
    for _, x in blocks(array, SMALL_BLOCK_BYTES):
        fills.add(x)
        nan, huge = np.isnan(x), np.abs(x) >= MAX_FINITE
        finite = ~(nan | huge)
        below, above = np.where(finite, x, np.inf), np.where(finite, x, -np.inf)
        missing += nan.sum(axis=0)
        low, high = np.minimum(low, below.min(axis=0)), np.maximum(high, above.max(axis=0))
        present = finite.sum(axis=(1, 2))
        flat = (below.min(axis=(1, 2)) == above.max(axis=(1, 2))) & (present > 1)
        by_time.append((present, huge.sum(axis=(1, 2)), flat, *_area_statistics(x, finite, area)))
    present, infinite, flat, mean, spread = (np.concatenate(parts) for parts in zip(*by_time, strict=True))
    return Survey(missing, low, high, present, infinite, flat, mean, spread, fills)


def _area_statistics(
    x: Float[np.ndarray, "time y x"], finite: Bool[np.ndarray, "time y x"], area: Float[np.ndarray, "y x"]
) -> tuple[Float[np.ndarray, " time"], Float[np.ndarray, " time"]]:
    """Mean and standard deviation over the finite cells at each time, in double precision; NaN if there are none."""
    weight = np.where(finite, area, 0.0)
    values = np.where(finite, x, 0.0).astype(np.float64)
    mean = geometry.area_mean(values, weight)
    return mean, np.sqrt(geometry.area_mean((values - mean[:, None, None]) ** 2, weight))
