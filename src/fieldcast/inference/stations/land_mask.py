"""A land mask for the cells of a result, and which distances between stations lead across it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

from fieldcast.errors import InputError
from fieldcast.fields import conventions
from fieldcast.fields.conventions import LAND_MASKS, in_degrees, refuse_projected
from fieldcast.geometry import GRID, counted_from, great_circle_km, unit_points
from fieldcast.inference.stations.suspects import gauge_names

STANDARD_NAMES = ("land_binary_mask", "sea_binary_mask", "land_area_fraction", "sea_area_fraction")
NAMES = (*sorted(LAND_MASKS), "lsm", "land", "sea", "land_sea_mask")
NEIGHBOURS = 4  # other stations to which distances are examined
SAMPLES = 40  # points on the great circle between two stations
MAX_NAMED = 3  # pairs of stations that the sentence names


class LandMask(NamedTuple):
    """Cells of one kind, land or sea: that of most stations."""

    latitude: Float[np.ndarray, " y"]
    longitude: Float[np.ndarray, " x"]
    inside: Bool[np.ndarray, "y x"]
    where: str

    @classmethod
    def of(cls, dataset: xr.Dataset, locations: pd.DataFrame, where: str) -> LandMask:
        """The mask of 0 and 1, or of fractions, in a data set; stations say which of them counts."""
        axes = conventions.axes(dataset)
        if missing := [axis for axis in GRID if axis not in axes]:
            raise InputError(
                f"{where} has no {' and no '.join(missing)}: give a mask on a grid of latitudes and longitudes."
            )
        refuse_projected(dataset, where)
        array = mask_variable(dataset, where)
        array = array.squeeze([dim for dim in array.dims if array.sizes[dim] == 1], drop=True)
        y, x = (in_degrees(dataset[axes[axis]], axis, where) for axis in GRID)
        if array.ndim != 2 or y.ndim != 1 or x.ndim != 1 or min(y.size, x.size) < 2:
            raise InputError(
                f"{where}: its mask has the dimensions {', '.join(map(str, array.dims))}, not latitude and longitude: "
                "give a mask on such a grid."
            )
        values = array.transpose(y.dims[0], x.dims[0]).values.astype(float)
        values = np.where(np.isfinite(values), values, 0.0)
        if values.min() < 0 or values.max() > 1 or values.min() > 0.5 or values.max() <= 0.5:
            raise InputError(
                f"{where}: its mask has values from {values.min():g} to {values.max():g}, not 0 and 1."
            )
        longitude = counted_from(x.values.astype(float), float(x.min()))
        order = np.argsort(y.values), np.argsort(longitude)
        mask = cls(
            y.values.astype(float)[order[0]], longitude[order[1]], (values > 0.5)[np.ix_(*order)], where
        )
        at = mask.at(*(locations[axis].to_numpy(float) for axis in GRID))
        return mask if at.mean() >= 0.5 else mask._replace(inside=~mask.inside)

    def at(
        self, latitude: Float[np.ndarray, " n"], longitude: Float[np.ndarray, " n"]
    ) -> Bool[np.ndarray, " n"]:
        """Whether the nearest cells are of the kind."""
        first = float(self.longitude[0]) - (360.0 - float(np.ptp(self.longitude))) / 2
        row = nearest(self.latitude, latitude)
        column = nearest(self.longitude, counted_from(longitude, first))
        return np.asarray(self.inside[row, column])

    def on(self, grid: Mapping[str, Float[np.ndarray, " n"]]) -> Bool[np.ndarray, "y x"]:
        """Mask of the cells of a grid that are of the kind; refused if the grid is larger than the mask."""
        y, x = grid["latitude"], grid["longitude"]
        room = (
            np.ptp(self.latitude) / (len(self.latitude) - 1),
            np.ptp(self.longitude) / (len(self.longitude) - 1),
        )
        turned = counted_from(x, float(self.longitude[0]) - room[1])
        outside = [
            (line < each[0] - step).any() or (line > each[-1] + step).any()
            for line, each, step in zip((y, turned), (self.latitude, self.longitude), room, strict=True)
        ]
        if any(outside):
            raise InputError(
                f"{self.where} covers latitudes {self.latitude[0]:g} to {self.latitude[-1]:g} and longitudes "
                f"{self.longitude[0]:g} to {self.longitude[-1]:g}, but the grid is larger: give one of the whole grid."
            )
        at = np.meshgrid(y, x, indexing="ij")
        return self.at(*(each.ravel() for each in at)).reshape(at[0].shape)

    def text(self, locations: pd.DataFrame) -> str:
        """Number of stations and of distances between neighbours that lead across cells of the other kind."""
        latitude, longitude = (locations[axis].to_numpy(float) for axis in GRID)
        points = np.concatenate([unit_points([y], [x])[0] for y, x in zip(latitude, longitude, strict=True)])
        near = cKDTree(points).query(points, min(NEIGHBOURS + 1, len(points)))[1]
        pairs = np.stack([np.repeat(np.arange(len(points)), near.shape[1]), near.ravel()], axis=1)
        pairs = np.unique(np.sort(pairs, axis=1), axis=0)
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        share = np.linspace(0, 1, SAMPLES)[:, None, None]
        way = points[pairs[:, 0]] * (1 - share) + points[pairs[:, 1]] * share
        way /= np.linalg.norm(way, axis=2, keepdims=True)
        at = (
            np.degrees(np.arcsin(way[..., 2])).ravel(),
            np.degrees(np.arctan2(way[..., 1], way[..., 0])).ravel(),
        )
        crosses = ~self.at(*at).reshape(way.shape[:2]).all(0)
        names = gauge_names(locations)
        some = [
            f"{names[a]} to {names[b]} ({great_circle_km(float(np.linalg.norm(points[a] - points[b]))):.0f} km)"
            for a, b in pairs[crosses][:MAX_NAMED]
        ]
        named = f", such as {'; '.join(some)}" if some else ""
        off = int((~self.at(latitude, longitude)).sum())
        return (
            f"mask: {self.inside.mean():.0%} of its cells are of the kind of most stations, {off} of {len(points)} "
            f"stations lie outside; {int(crosses.sum())} of {len(pairs)} distances between neighbouring stations cross "
            f"other cells{named}: the covariance takes them as if the way were free"
        )


def mask_variable(dataset: xr.Dataset, where: str) -> xr.DataArray:
    """The variable that holds the mask, by its standard name, its name, or as the only one."""
    for name, array in dataset.data_vars.items():
        if array.attrs.get("standard_name") in STANDARD_NAMES or str(name).lower() in NAMES:
            return array
    if len(dataset.data_vars) == 1:
        return next(iter(dataset.data_vars.values()))
    raise InputError(
        f"{where} has no variable 'land_mask', but {', '.join(map(str, dataset.data_vars))}: name the mask so."
    )


def nearest(line: Float[np.ndarray, " n"], values: Float[np.ndarray, " m"]) -> np.ndarray:
    """Index of the nearest of some ascending lines."""
    middle = (line[1:] + line[:-1]) / 2
    return np.searchsorted(middle, values)
