"""Convert forecasts in any CF-like layout to (lead, start, member, latitude, longitude), lazily.

    start    initial time: `start`, `init_time`, `forecast_reference_time`, `time` ...
    lead     lead time, in hours or as a time difference: `lead`, `lead_time`, `step`, `prediction_timedelta` ...
    member   ensemble member: `member`, `number`, `realization`, `ensemble` ...; may be absent

The axes are identified by their CF standard names, else by these names. A single start, lead or member needs no
dimension.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import xarray as xr
from jaxtyping import Float

from fieldcast import calendars
from fieldcast.calendars import MONTH
from fieldcast.errors import InputError
from fieldcast.fields import conventions
from fieldcast.fields.conventions import in_degrees, names_in_file, refuse_projected
from fieldcast.fields.encoding import notes_of, with_packed_fills, with_valid_range

DIMS = ("lead", "start", "member", "latitude", "longitude")
_STANDARD = {"lead": "forecast_period", "start": "forecast_reference_time", "member": "realization"}
_NAMES = {  # names in order of precedence: `time` may be the valid time, on (start, lead)
    "lead": ("lead", "lead_time", "leadtime", "step", "prediction_timedelta", "forecast_period"),
    "start": (
        "start", "init_time", "initial_time", "forecast_reference_time", "reference_time", "init", "time",
    ),
    "member": ("member", "number", "realization", "realisation", "ensemble", "ensemble_member"),
}  # fmt: skip
_MONTHS = ("months", "month")
_HOURS = {
    "days": 24.0, "day": 24.0, "d": 24.0, "hours": 1.0, "hour": 1.0, "hr": 1.0, "h": 1.0, "minutes": 1 / 60,
    "seconds": 1 / 3600, "s": 1 / 3600, "milliseconds": 1 / 3.6e6, "microseconds": 1 / 3.6e9,
    "nanoseconds": 1 / 3.6e12, **dict.fromkeys(_MONTHS, float(MONTH)),
}  # fmt: skip


def to_forecasts(dataset: xr.Dataset, where: str, requested: Collection[str] | None = None) -> xr.Dataset:
    """Variables with leads and initial times, on all five dimensions; leads in hours, latitudes ascending.

    Parameters
    ----------
    dataset
        A CF-like data set of forecasts.
    where
        File or store, as error messages name it.
    requested
        Names of the variables to keep; if none of them exists, all are kept.
    """
    axes = {axis: coordinate for axis in DIMS if (coordinate := _axis(dataset, axis, where)) is not None}
    refuse_projected(dataset, where)
    axes |= {axis: in_degrees(axes[axis], axis, where) for axis in ("latitude", "longitude")}
    dims = {str(coordinate.dims[0]): axis for axis, coordinate in axes.items() if coordinate.ndim}
    needed = {"latitude", "longitude", *({"lead", "start"} & set(dims.values()))}
    on_grid = {
        str(name): array
        for name, array in dataset.data_vars.items()
        if array.dtype.kind in "fiu" and needed <= {dims.get(str(d)) for d in array.dims}
    }
    gridded = {new: on_grid[name] for name, new in names_in_file(on_grid).items()}
    selected = {name: array for name, array in gridded.items() if requested is None or name in requested}
    forecasts = {name: _plain(array, dims, where) for name, array in (selected or gridded).items()}
    if not forecasts:
        raise InputError(f"there is no variable on a grid in {where}: choose other forecasts")
    members = {name: array.sizes["member"] for name, array in forecasts.items()}
    if len(set(members.values())) > 1:
        sizes = ", ".join(f"{name} {number}" for name, number in members.items())
        raise InputError(
            f"the variables of {where} have different numbers of members ({sizes}): give all of them the same number"
        )
    coords = {
        "lead": hours(axes["lead"], where),
        "start": _dates(axes["start"], where),
        "member": np.arange(max(members.values())),
        **{axis: np.atleast_1d(axes[axis].values).astype(np.float64) for axis in ("latitude", "longitude")},
    }
    return xr.Dataset(forecasts, coords).sortby("latitude")


def hours(lead: xr.DataArray, where: str) -> Float[np.ndarray, " lead"]:
    """Leads in hours, from time differences or from numbers with units: hours if there are none; a month is 730."""
    values = np.atleast_1d(lead.values)
    if values.dtype.kind == "m":
        return values / np.timedelta64(1, "h")
    units = str(lead.attrs.get("units", "hours")).lower()
    if values.dtype.kind not in "fiu" or units not in _HOURS:
        raise InputError(
            f"the leads of {where} ('{lead.name}') are in '{units}': give them in hours, or as time differences"
        )
    return np.round(values * _HOURS[units], 6)


def _axis(dataset: xr.Dataset, axis: str, where: str) -> xr.DataArray | None:
    """Coordinate of an axis, or the indices of a dimension without one; only the member axis may be absent."""
    if axis in _NAMES:
        flat = {str(name): array for name, array in dataset.variables.items() if array.ndim <= 1}
        standard = [key for key, array in flat.items() if array.attrs.get("standard_name") == _STANDARD[axis]]
        named = [name for name in _NAMES[axis] if name in flat or name in dataset.dims]
        # the hours of a lead in months differ from start to start
        monthly = [name for name in named[:1] if str(dataset[name].attrs.get("units")).lower() in _MONTHS]
        candidates = [*monthly, *standard, *named]
        name = candidates[0] if candidates else None
    else:
        name = conventions.axes(dataset).get(axis)
    if name is None and axis != "member":
        names = f" such as {', '.join(_NAMES[axis][:4])}" if axis in _NAMES else ""
        raise InputError(f"no coordinate of {where} is the {axis} of a forecast: give one a name{names}")
    if name is not None and dataset[name].ndim > 1:
        raise InputError(
            f"the grid of {where} is curvilinear ('{name}' has two dimensions): interpolate to a regular one first"
        )
    return None if name is None else dataset[name]


def _plain(array: xr.DataArray, dims: Mapping[str, str], where: str) -> xr.DataArray:
    """Put a variable on the five dimensions, keeping its units and the notes on its values."""
    for dim in map(str, array.dims):
        if dim not in dims and array.sizes[dim] > 1:
            raise InputError(
                f"variable '{array.name}' of {where} has a further dimension '{dim}' of size {array.sizes[dim]}: "
                "select one index of it"
            )
    plain = array.isel({dim: 0 for dim in array.dims if dim not in dims}).drop_vars(array.coords)
    plain = plain.rename({dim: dims[str(dim)] for dim in plain.dims})
    plain = plain.expand_dims([dim for dim in DIMS if dim not in plain.dims]).transpose(*DIMS)
    notes = notes_of(with_valid_range(with_packed_fills(array)).attrs)
    return plain.drop_attrs().assign_attrs(units=array.attrs.get("units"), **notes)


def _dates(start: xr.DataArray, where: str) -> np.ndarray:
    values = np.atleast_1d(start.values)
    if not calendars.is_dates(values):
        raise InputError(
            f"the initial times of {where} ('{start.name}') are not dates: give them units such as "
            "'hours since 2001-01-01'"
        )
    return values
