"""Elevations of stations and cells, from a table and a digital elevation model, and which cells are land or sea."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.errors import InputError, counted
from fieldcast.fields import conventions
from fieldcast.fields.bilinear import stencil
from fieldcast.fields.conventions import LAND_MASKS, in_degrees, refuse_projected
from fieldcast.fields.gauges import Gauges
from fieldcast.fields.units import conversion
from fieldcast.geometry import GRID, counted_from, edges, great_circle_km, unit_points
from fieldcast.inference.stations.surfaces import MIN_STATIONS_OF_DRIFT, Drift, Surface
from fieldcast.inference.stations.suspects import gauge_names
from fieldcast.models.points import Points

ALTITUDE = "surface_altitude"  # standard name, and name in results
STANDARD_NAMES = (ALTITUDE, "height_above_mean_sea_level", "altitude", "height_above_geopotential_datum")
NAMES = (
    ALTITUDE, "elevation", "altitude", "topography", "topo", "orography", "orog", "dem", "z", "hgt", "band_data",
    "Band1",
)  # fmt: skip
GRAVITY = 9.80665  # geopotential [m2 s-2] of a metre
FINER = 0.75  # share of the spacing of a grid below which the cells of a model are averaged
MAX_ELEVATION = 9000.0  # metres; higher values are in another unit
MASK_STANDARD_NAMES = ("land_binary_mask", "sea_binary_mask", "land_area_fraction", "sea_area_fraction")
MASK_NAMES = (*sorted(LAND_MASKS), "lsm", "land", "sea", "land_sea_mask")
NEIGHBOURS = 4  # other stations to which distances are examined
SAMPLES = 40  # points on the great circle between two stations
MAX_NAMED = 3  # pairs of stations that the sentence names


class Relief(NamedTuple):
    """A digital elevation model, 0 m where it has no value, such as in the sea."""

    latitude: Float[np.ndarray, " y"]
    longitude: Float[np.ndarray, " x"]
    elevation: Float[np.ndarray, "y x"]  # metres
    where: str

    @classmethod
    def of(cls, dataset: xr.Dataset, where: str, only_altitude: bool = False) -> Relief | None:
        """The elevation in a data set, by its standard name, its name, or as the only variable.

        With `only_altitude`, the variable `surface_altitude` alone counts, and None stands for a data set without it.
        """
        array = altitude(dataset, where, only_altitude)
        if array is None:
            return None
        y, x, array = ascending(dataset, array, where, "elevation")
        return cls(y, x, np.nan_to_num(metres(array, where)), where)

    def at(
        self, latitude: Float[np.ndarray, " n"], longitude: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, " n"]:
        """Bilinear interpolation [m]; NaN outside."""
        exists = np.ones(self.elevation.shape, dtype=bool)
        cells, weights = stencil(self.latitude, self.longitude, exists, latitude, longitude)
        values = (self.elevation.ravel()[cells] * weights).sum(1)
        return np.where(weights.sum(1) > 0, values, np.nan)

    def on(self, grid: Mapping[str, Float[np.ndarray, " n"]]) -> Float[np.ndarray, "y x"]:
        """Elevation of cells: means over those of a finer model, else interpolated; refused outside."""
        y, x = grid["latitude"], grid["longitude"]
        at = np.meshgrid(y, x, indexing="ij")
        cells = self.at(*(each.ravel() for each in at)).reshape(at[0].shape)
        if not np.isfinite(cells).all():
            raise InputError(
                f"{self.where} covers latitudes {self.latitude[0]:g} to {self.latitude[-1]:g} and longitudes "
                f"{self.longitude[0]:g} to {self.longitude[-1]:g}, but {(~np.isfinite(cells)).sum()} of {cells.size} "
                "cells of the grid lie outside: give elevations of the whole grid."
            )
        rows = cell_of(self.latitude, y)
        columns = cell_of(counted_from(self.longitude, float(edges(x)[0])), x)
        if not (spacing(self.latitude) < FINER * spacing(y) and spacing(self.longitude) < FINER * spacing(x)):
            return cells
        inside = np.ix_(rows >= 0, columns >= 0)
        number = (rows[rows >= 0][:, None] * len(x) + columns[columns >= 0]).ravel()
        count = np.bincount(number, minlength=cells.size)
        total = np.bincount(number, self.elevation[inside].ravel(), minlength=cells.size)
        means = (total / np.maximum(count, 1)).reshape(cells.shape)
        return np.where(count.reshape(cells.shape) > 0, means, cells)


def ascending(
    dataset: xr.Dataset, array: xr.DataArray, where: str, quantity: str
) -> tuple[Float[np.ndarray, " y"], Float[np.ndarray, " x"], xr.DataArray]:
    """Ascending latitudes and longitudes of a variable of a data set, and the variable on them alone.

    Raises an InputError unless that is a grid of latitudes and longitudes.
    """
    axes = conventions.axes(dataset)
    if missing := [axis for axis in GRID if axis not in axes]:
        raise InputError(
            f"{where} has no {' and no '.join(missing)}: give its {quantity} on a grid of latitudes and longitudes."
        )
    refuse_projected(dataset, where)
    array = array.squeeze([dim for dim in array.dims if array.sizes[dim] == 1], drop=True)
    lines = [in_degrees(dataset[axes[axis]], axis, where) for axis in GRID]
    if array.ndim != 2 or any(line.ndim != 1 or line.size < 2 for line in lines):
        raise InputError(
            f"{where}: its {quantity} has the dimensions {', '.join(map(str, array.dims))}, not latitude and "
            f"longitude: give its {quantity} on such a grid."
        )
    y, x = (line.values.astype(float) for line in lines)
    x = counted_from(x, float(x.min()))
    order = {lines[0].dims[0]: np.argsort(y), lines[1].dims[0]: np.argsort(x)}
    return np.sort(y), np.sort(x), array.transpose(*order).isel(order)


def altitude(dataset: xr.Dataset, where: str, only_altitude: bool) -> xr.DataArray | None:
    """The variable that holds the elevation; None if only `surface_altitude` counts and is missing."""
    by_standard_name = {str(each.attrs.get("standard_name")): each for each in dataset.data_vars.values()}
    if only_altitude:
        return by_standard_name.get(ALTITUDE, dataset.data_vars.get(ALTITUDE))
    for name in STANDARD_NAMES:
        if name in by_standard_name:
            return by_standard_name[name]
    lower = {str(name).lower(): array for name, array in dataset.data_vars.items()}
    for name in NAMES:
        if name.lower() in lower:
            return lower[name.lower()]
    if len(dataset.data_vars) == 1:
        return next(iter(dataset.data_vars.values()))
    raise InputError(
        f"{where} has no variable '{ALTITUDE}' or 'elevation', but {', '.join(map(str, dataset.data_vars))}: name the "
        "elevation so."
    )


def metres(array: xr.DataArray, where: str) -> Float[np.ndarray, "y x"]:
    """Elevations in metres, also from a geopotential; without units they are metres."""
    units, values = str(array.attrs.get("units", "")), array.values.astype(float)
    if units not in ("", "1"):
        to_metres, to_geopotential = conversion(units, "m"), conversion(units, "m2 s-2")
        if to_metres is not None:
            values = to_metres.of(values)
        elif to_geopotential is not None:
            values = to_geopotential.of(values) / GRAVITY
        else:
            raise InputError(f"{where}: its elevation is in '{units}', not a length: give it in metres.")
    if not np.isfinite(values).any() or np.nanmax(values) > MAX_ELEVATION:
        raise InputError(
            f"{where}: its elevations are not heights in metres up to {MAX_ELEVATION:g}: correct them."
        )
    return values


def spacing(line: Float[np.ndarray, " n"]) -> float:
    """Median distance between the lines of a grid."""
    return float(np.median(np.abs(np.diff(line))))


def cell_of(line: Float[np.ndarray, " n"], cells: Float[np.ndarray, " cell"]) -> np.ndarray:
    """Index of the cell that each line lies in; -1 outside."""
    ends = edges(cells)
    order = np.argsort(ends)
    index = np.searchsorted(ends[order], line, side="right") - 1
    index = np.where((index >= 0) & (index < len(cells)), index, -1)
    return index if order[0] == 0 else np.where(index >= 0, len(cells) - 1 - index, -1)


def with_elevations(gauges: Gauges, relief: Relief | None) -> tuple[Gauges, list[str]]:
    """The gauges with an elevation of each, from the table, or from the model; and what is said about it.

    None of them has an elevation if there is no model, since the cells then have none.
    """
    locations = gauges.locations
    if relief is None:
        return replace(gauges, locations=locations.drop(columns="elevation", errors="ignore")), []
    given = locations["elevation"] if "elevation" in locations else np.full(len(locations), np.nan)
    given = np.asarray(given, dtype=float)
    missing = ~np.isfinite(given)
    modelled = relief.at(locations["latitude"].to_numpy(float), locations["longitude"].to_numpy(float))
    elevation = np.where(missing, modelled, given)
    if (without := ~np.isfinite(elevation)).any():
        raise InputError(
            f"{counted(int(without.sum()), 'station')} have no elevation in the table and lie outside {relief.where}: "
            "add a column 'elevation', in metres."
        )
    lines = []
    if missing.any():
        lines = [
            f"elevation of {int(missing.sum())} of {len(given)} gauges from {relief.where}, not from the table"
        ]
    return replace(gauges, locations=locations.assign(elevation=elevation)), lines


def drift_text(
    name: str, units: str, drift: Drift | None, used: bool, option: str = "station_fields", scale: float = 1.0
) -> str | None:
    """A sentence on the dependence of a mean on elevation; None if none is estimated, or to be told.

    Parameters
    ----------
    name, units
        Name of the variable, and its units.
    drift
        The dependence, times `scale`.
    used
        Whether the cells have elevations: without them the sentence says what that costs.
    option
        Section of the option `dem`, which gives them.
    """
    if drift is None:
        return None
    slope, error = scale * float(drift.slope[0]), scale * float(np.sqrt(drift.variance[0]))
    with_drift, without = (scale * rmse for rmse in drift.rmse)
    rate = f"{slope:+.3g} ± {error:.2g}{f' {units}' if units else ''} per km of elevation"
    left_out = f"RMSE of means at left-out stations {with_drift:.3g} with it, {without:.3g} without"
    if not drift.helpful:
        return f"{name}: no dependence on elevation that helps ({rate}; {left_out})" if used else None
    if used:
        return (
            f"{name}: {rate}, removed from the readings and added at the elevation of the cells ({left_out})"
        )
    return (
        f"{name}: {rate}, which the field lacks, because the elevation of its cells is unknown ({left_out}): give "
        f"--dem FILE ({option}.dem, dem in Python)"
    )


def at_model_elevation(
    points: Points, table: pd.DataFrame, codec: FieldCodec, relief: Relief | None
) -> tuple[Points, list[str]]:
    """Observations of a trained model as they would be at the elevation of its cells, and what is said about it.

    The means y of the stations depend on their height above H z, the interpolated elevations z of the cells, by a slope
    b (`surfaces.Drift`); where that helps, y - b (elevation - H z) is observed. Unknown elevations count as H z.
    """
    if "elevation" not in table or not table["elevation"].notna().any():
        return points, []
    elevation, height = table["elevation"].to_numpy(float), np.zeros(len(table))
    if relief is not None:
        cells = relief.on({"latitude": codec.latitude, "longitude": codec.longitude}).ravel()
        height = (cells[points.cells.cpu().numpy()] * points.weights.cpu().numpy()).sum(1)
    above = np.where(np.isfinite(elevation), elevation - height, 0.0)
    y, variable, lines = points.y.double().cpu().numpy().copy(), points.variable.cpu().numpy(), []
    places = [name for name in ("station", "latitude", "longitude") if name in table]
    of_reading = table[places].assign(y=y, above=above, known=np.isfinite(elevation))
    for v in np.unique(variable):
        rows = variable == v
        part = of_reading[rows & of_reading["known"]].groupby(places, dropna=False)
        means = part[["y", "above"]].mean().reset_index()
        if len(means) < MIN_STATIONS_OF_DRIFT:
            continue
        at = np.concatenate([unit_points([row.latitude], [row.longitude])[0] for row in means.itertuples()])
        values, heights = means[["y"]].to_numpy(float), means["above"].to_numpy(float)
        drift = Surface.of(at, values, None, None, heights).drift
        name = codec.variables[v]
        units = str(codec.attrs[name].get("units", "")) if name in codec.attrs else "of mapped values"
        text = drift_text(name, units, drift, relief is not None, "fill", float(codec.deviation[v]))
        lines += [text] if text else []
        if relief is not None and drift is not None and drift.helpful:
            y[rows] -= float(drift.slope[0]) * above[rows] / 1000.0
    return replace(points, y=torch.from_numpy(y).to(points.y)), lines


class LandMask(NamedTuple):
    """Cells of one kind, land or sea: that of most stations."""

    latitude: Float[np.ndarray, " y"]
    longitude: Float[np.ndarray, " x"]
    inside: Bool[np.ndarray, "y x"]
    where: str

    @classmethod
    def of(cls, dataset: xr.Dataset, locations: pd.DataFrame, where: str) -> LandMask:
        """The mask of 0 and 1, or of fractions, in a data set; stations say which of them counts."""
        y, x, array = ascending(dataset, mask_variable(dataset, where), where, "mask")
        values = array.values.astype(float)
        values = np.where(np.isfinite(values), values, 0.0)
        if values.min() < 0 or values.max() > 1 or values.min() > 0.5 or values.max() <= 0.5:
            raise InputError(
                f"{where}: its mask has values from {values.min():g} to {values.max():g}, not 0 and 1."
            )
        mask = cls(y, x, values > 0.5, where)
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
        if array.attrs.get("standard_name") in MASK_STANDARD_NAMES or str(name).lower() in MASK_NAMES:
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
