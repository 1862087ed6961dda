"""Statistics of an ensemble of one variable in every cell, ready for area means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Integer

from fieldcast.geometry import GRID
from fieldcast.scores.numbers import MAX_SCORED
from fieldcast.scores.regions import cell_weights
from fieldcast.scores.statistics import cell_statistics


class Errors(NamedTuple):
    """Errors of an ensemble: 0 in cells that do not exist and at times when a member is not finite."""

    d: Float[np.ndarray, "member time latitude longitude"]  # x - y
    finite: Bool[np.ndarray, " time"]  # whether all members are finite
    statistics: dict[str, Float[np.ndarray, "time latitude longitude"]]  # `cell_statistics`


def cell_areas(area: xr.DataArray, fields: xr.Dataset) -> Float[np.ndarray, "latitude longitude"]:
    """Areas of the cells of fields; `area` may lack a dim along which cells are equal."""
    sizes = {name: fields.sizes[name] for name in GRID if name not in area.dims}
    return area.expand_dims(sizes).transpose(*GRID).to_numpy().astype(float)


@dataclass(frozen=True)
class CellEvaluator:
    """The truth y of one variable, the area of each cell, and which cells exist: at all times, or at each time."""

    y: Float[np.ndarray, "time latitude longitude"]
    area: Float[np.ndarray, "latitude longitude"]
    exists: Bool[np.ndarray, "*time latitude longitude"]

    @classmethod
    def of(
        cls,
        y: Float[np.ndarray, "time latitude longitude"],
        area: Float[np.ndarray, "latitude longitude"],
    ) -> CellEvaluator:
        """Create an evaluator in which cells exist where y is finite, which may change in time."""
        present = np.isfinite(y)
        always = present.all(0)
        return cls(y, area, always if np.array_equal(always, present.any(0)) else present)

    def weights(
        self, selected: Bool[np.ndarray, "*kind_and_time #latitude #longitude"]
    ) -> Float[np.ndarray, "*kind_and_time latitude longitude"]:
        """Weights of the selected cells that exist, see `cell_weights`."""
        return cell_weights(self.area, selected & self.exists)

    def existing(self, values: Float[np.ndarray, "*batch latitude longitude"]) -> np.ndarray:
        """Values, 0 in cells that do not exist."""
        return np.where(self.exists, values, 0.0)

    def errors(
        self,
        x: Float[np.ndarray, "member time latitude longitude"],
        rank: Integer[np.ndarray, "time latitude longitude"] | None = None,
    ) -> Errors:
        """Errors and statistics of the ensemble x, with coverage if the ranks of the truth are given."""
        finite = (np.abs(self.existing(x)) < MAX_SCORED).all(axis=(0, 2, 3))
        d = np.where(self.exists & finite[:, None, None], x - self.y, 0.0)
        return Errors(d, finite, cell_statistics(d, np.zeros_like(d[0]), rank))
