"""Stations as observations of standardised anomalies between cells.

    y = (value - H climatology(day)) / deviation,    error variance = (error / deviation)^2,

of the mapped value if the variable is mapped, with an error of half the difference of value + error and value - error;
H bilinear (`fields.bilinear`); `Points.with_error` adds the error of representativeness. Observations count at the
nearest of the model's times.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Float

from fieldcast import calendars
from fieldcast.calendars import TimeStep
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.errors import InputError
from fieldcast.fields.bilinear import stencil
from fieldcast.fields.stations import converted, refuse_rows
from fieldcast.models.points import Points
from fieldcast.models.space import Space


def points_of(
    table: pd.DataFrame, times: xr.DataArray, codec: FieldCodec, space: Space, where: str
) -> Points:
    """The observations of a table, in the order of its rows, at the nearest of some times."""
    datum = nearest_times(table["time"], times, space.time_step, table, where)
    return points_at(table, datum, times, codec, space, where)


def points_at(
    table: pd.DataFrame, datum: np.ndarray, times: xr.DataArray, codec: FieldCodec, space: Space, where: str,
    noise: float | None = None,
) -> Points:  # fmt: skip
    """The observations of a table, in the order of its rows, at the times of the indices `datum`.

    `noise` is the standard deviation of their standardised errors, in place of a column `error` of the table.
    """
    table = converted(table, {v: str(codec.attrs[v].get("units", "")) for v in codec.names}, where)
    angles = [v for v in codec.names if len(codec.parts(v)) > 1]
    refuse_rows(
        table["variable"].isin(angles), table, where, "is an angle, which no model takes between its cells",
        "leave it out",
    )  # fmt: skip
    at = table["latitude"].to_numpy(float), table["longitude"].to_numpy(float)
    exists = space.exists.cpu().numpy()
    outside = ~within_grid(codec, *at)
    swapped = outside.all() and within_grid(codec, *at[::-1]).mean() > 0.5
    remedy = "check whether latitude and longitude are swapped" if swapped else "leave it out"
    refuse_rows(outside, table, where, f"lies outside the model's grid of {extent(codec)}", remedy)
    cells, weights = stencil(codec.latitude, codec.longitude, exists, *at)
    refuse_rows(
        pd.Series(weights.sum(1) == 0, table.index),
        table,
        where,
        "lies where the model's grid has no cells, for example on land",
        "leave it out",
    )
    variable = np.array([codec.parts(v)[0] for v in table["variable"]])
    climatology = codec.climatology_at(times).reshape(len(times), len(codec.variables), -1)
    normal = (climatology[datum[:, None], variable[:, None], cells] * weights).sum(1)
    deviation = codec.deviation[variable].astype(float)
    value, error = mapped_readings(table, codec)
    error = (error if noise is None else noise * deviation) / deviation
    y = (value - normal) / deviation
    arrays = datum, variable, cells, weights, y, error**2
    return Points(*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)).to(space.area.device)


def mapped_readings(
    table: pd.DataFrame, codec: FieldCodec
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Values and errors of a table in the units of the variables of the tensors; errors are 0 without a column."""
    value = table["value"].to_numpy(float, copy=True)
    error = table["error"].to_numpy(float, copy=True) if "error" in table else np.zeros(len(table))
    for v in codec.quantities:
        rows = (table["variable"] == v).to_numpy()
        low, high = (codec.mapped(v, value[rows] + sign * error[rows])[0] for sign in (-1, 1))
        value[rows], error[rows] = codec.mapped(v, value[rows])[0], (high - low) / 2
    return value, error


def within_grid(codec: FieldCodec, latitude: np.ndarray, longitude: np.ndarray) -> pd.Series:
    """Mask of the locations within the cells of the grid, existing or not."""
    everywhere = np.ones((len(codec.latitude), len(codec.longitude)), dtype=bool)
    return pd.Series(
        stencil(codec.latitude, codec.longitude, everywhere, latitude, longitude).weights.sum(1) > 0
    )


def extent(codec: FieldCodec) -> str:
    """The ranges of latitudes and longitudes of a grid, in words."""
    latitude, longitude = codec.latitude, codec.longitude
    return f"latitudes {latitude.min():g} to {latitude.max():g}, longitudes {longitude[0]:g} to {longitude[-1]:g}"


def nearest_times(
    column: pd.Series, times: xr.DataArray, step: TimeStep, table: pd.DataFrame, where: str
) -> np.ndarray:
    """Index of the nearest time, at most half a step away; for monthly data, of the same month."""
    if step.months:
        index = step.positions(times, column.to_numpy())
    else:
        dates, first = np.unique(calendars.from_iso(calendars.iso(times)), return_index=True)
        present, read = pd.DatetimeIndex(dates), pd.DatetimeIndex(column)
        nearest = np.asarray(present.get_indexer(read, method="nearest"))
        away = np.abs((read - present[nearest]) / pd.Timedelta(hours=1))
        index = np.where(away > step.hours / 2, -1, first[nearest])
    late = pd.Series(index < 0, table.index)
    refuse_rows(late, table, where, "is at a time for which there are no fields to fill", "leave it out")
    return index


def times_of(table: pd.DataFrame, step: TimeStep, first: str, where: str) -> xr.DataArray:
    """The times to fill for a table without fields: its months, or the nearest times of the model.

    These are whole steps from `first`, a time of the training (UTC), because daily fields may be fields at noon.
    """
    if not step.hours:
        raise InputError(f"{where}: the model's time step is unknown, so also give the file to fill.")
    if step.months:
        times = table["time"].to_numpy().astype("M8[M]").astype("M8[s]")
    else:
        seconds, begin = round(3600 * step.hours), calendars.from_iso([first])[0].astype(int)
        since = table["time"].to_numpy().astype("M8[s]").astype(int) - begin
        times = (begin + seconds * np.floor(since / seconds + 0.5).astype(int)).astype("M8[s]")
    return xr.DataArray(np.unique(times), dims="time", name="time")


def time_shift_message(table: pd.DataFrame, times: xr.DataArray, datum: np.ndarray, step: TimeStep) -> str:
    """A sentence on the reading farthest from its time `times[datum]`; empty if that is within a quarter of a step."""
    reading_times = pd.DatetimeIndex(table["time"])
    model_times = pd.DatetimeIndex(calendars.from_iso(calendars.iso(times)))[datum]
    hours = np.abs((reading_times - model_times) / pd.Timedelta(hours=1))
    worst = int(hours.argmax())
    if step.months or hours[worst] <= step.hours / 4:
        return ""
    return (
        f"Readings count at the nearest time of the fields, up to {hours[worst]:g} h away: that of "
        f"{reading_times[worst]:%Y-%m-%d %H:%M} counts at {model_times[worst]:%Y-%m-%d %H:%M}."
    )
