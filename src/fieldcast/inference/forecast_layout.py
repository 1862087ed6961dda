"""Restore the layout of a data set on the forecast that starts from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from fieldcast import calendars
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.fields import conventions
from fieldcast.inference.ensemble_forecast import START
from fieldcast.inference.user_layout import restore_layout


def after_last_state(
    dataset: xr.Dataset, moments: xr.Dataset, codec: FieldCodec, start: Any, valid: np.ndarray
) -> xr.Dataset:
    """A forecast in the layout of a data set; `start` is its last time, `valid` the valid time of each lead."""
    time = conventions.axes(dataset)["time"]
    template = dataset.isel({dim: -1 for dim in dataset[time].dims})
    template = template.drop_vars(
        [*bounds_of(template[time]), *coordinates_along(dataset, time)], errors="ignore"
    )
    return restore_layout(template, moments, codec).drop_vars(time).assign_coords(
        forecast_reference_time=((), start, START), lead=moments["lead"].variable,
        time=("lead", valid, {"standard_name": "time"}), **period_of(moments["lead"], start, valid),
    )  # fmt: skip


def period_of(lead: xr.DataArray, start: Any, valid: np.ndarray) -> dict[str, Any]:
    """The forecast period [hours] for leads that count months; leads in hours are the forecast period."""
    if lead.attrs["units"] == "hours":
        return {}
    hours = [calendars.hours(np.array([start, time]))[1] for time in valid]
    return {"forecast_period": ("lead", hours, {"standard_name": "forecast_period", "units": "hours"})}


def coordinates_along(dataset: xr.Dataset, time: str) -> list[str]:
    """Other coordinates that depend on time, such as a season, which a lead need not share with the last time."""
    along = set(dataset[time].dims)
    return [str(name) for name, array in dataset.coords.items() if name != time and along & set(array.dims)]


def bounds_of(coordinate: xr.DataArray) -> list[str]:
    """Names of the bounds of a coordinate."""
    return [str(coordinate.attrs["bounds"])] if "bounds" in coordinate.attrs else []
