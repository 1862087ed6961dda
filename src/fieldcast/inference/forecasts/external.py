"""Forecasts made elsewhere as an experiment of this run: by the perfect model, a user, or another centre.

They are scored from the same initial times and at the same leads as all others, against the same truth, so they
must hold all of these.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float, Int

from fieldcast import calendars
from fieldcast.calendars import MONTH, TimeStep, require_same_calendar
from fieldcast.encoding.options import Rollout
from fieldcast.errors import InputError, counted
from fieldcast.fields import conventions
from fieldcast.fields.conventions import in_degrees, names_in_file, refuse_projected
from fieldcast.fields.encoding import ENCODING, Encoding, Search, declared_encoding
from fieldcast.fields.opening import check_chunks, open_file, reading
from fieldcast.fields.quality import TRUE_EXTREME
from fieldcast.fields.units import Conversion, conversion
from fieldcast.geometry import GRID, counted_from, require_same_grid
from fieldcast.inference.options import File
from fieldcast.kinds import CF, LAYOUTS, LEAD, MEMBER, START, InitialTimes, as_draws

LOG = logging.getLogger(__name__)
MONTH_TOLERANCE = 100.0  # hours between a lead of several months and as many mean months of 730 hours
NO_PERFECT_MODEL = (
    "These data are not the simulated planet's: there is no perfect model, and its experiment is skipped."
)


def import_forecasts(
    model: File, perfect_model: xr.Dataset, initial_times: InitialTimes, fields: xr.Dataset
) -> Iterator[xr.Dataset]:
    """Yield the forecasts of an experiment of type File, lead by lead, as a model's rollout would give them.

    Where there is no perfect model, they are one data set without variables, whose attribute `skipped` says so.
    """
    if model.path is not None:
        with open_file(model.path, "model.path of the experiment") as opened:
            check_chunks(opened, [str(name) for name in opened.variables], model.path)
            yield from scored_forecasts(opened, initial_times, fields, f"'{model.path}'")
    elif perfect_model.data_vars:
        yield from scored_forecasts(perfect_model, initial_times, fields, "the perfect model")
    else:
        LOG.info(NO_PERFECT_MODEL)
        yield xr.Dataset(attrs={"starts": initial_times["digest"], "skipped": NO_PERFECT_MODEL})


def forecast_source(model: File, options: Rollout) -> str:
    """The source of imported forecasts: the file, or the perfect model with its initial error."""
    return model.path or f"{model.dataset} {options.perfect_model.initial_error:g}"


def scored_forecasts(
    dataset: xr.Dataset, initial_times: InitialTimes, fields: xr.Dataset, where: str
) -> Iterator[xr.Dataset]:
    """Yield the forecasts of one scored lead after another, from the scored initial times.

    There are at most the scored members. One lead is in memory at a time.
    """
    names = conventions.time_varying(fields)
    forecasts = to_forecasts(dataset, where, names)
    by_variable = conversions(forecasts, fields[names], where)
    require_same_calendar(forecasts[START], fields["time"], where, "the fields")
    forecasts = on_grid_of(forecasts[names], fields, where)
    lead, start = (
        lead_positions(forecasts, initial_times, where),
        start_positions(forecasts, initial_times, where),
    )
    times = fields["time"].values[calendars.positions(fields["time"], initial_times["scored"])]
    coords: dict[str, Any] = {
        START: (START, times, CF[START]),
        MEMBER: (MEMBER, np.arange(min(forecasts.sizes[MEMBER], initial_times["members"])), CF[MEMBER]),
        **{axis: fields[axis] for axis in GRID},
    }
    searches = {v: search_for_fills(forecasts[v], by_variable[v].inverse.of(fields[v])) for v in names}
    for number, position in enumerate(lead):
        with reading(where, Exception):
            piece = forecasts.isel(
                {LEAD: [position], START: start, MEMBER: slice(initial_times["members"])}
            ).load()
        step, lead_attrs = TimeStep.stored_in(initial_times).lead
        coords[LEAD] = (LEAD, [(number + 1) * step], lead_attrs)
        valid = {v: Encoding.of(piece[v]).masked(piece[v]) for v in names}
        for v in names:
            refuse_fills(valid[v], searches[v], number == len(lead) - 1, where)
        data = {
            v: (DIMS, by_variable[v].of(valid[v].values).astype(np.float32), fields[v].attrs) for v in names
        }
        attrs = {"starts": initial_times["digest"], "source": where, "piece": number, "pieces": len(lead)}
        yield as_draws("forecasts", xr.Dataset(data, coords, attrs))


def search_for_fills(forecasts: xr.DataArray, truth: xr.DataArray) -> Search:
    """Start a search over all leads: a single lead may hold one value only, such as a forecast of no rain anywhere.

    The truth is in the units of the forecasts.
    """
    search = Search(forecasts)
    search.widen(np.array([truth.min(), truth.max()]))
    return search


def refuse_fills(piece: xr.DataArray, search: Search, last: bool, where: str) -> None:
    """Raise an InputError if a lead holds an undeclared fill value; masks are recognised at the last lead only."""
    search.add(piece.values.reshape(-1, *piece.shape[-2:]).astype(np.float32))
    for value, occurrence in search.occurrences.items():
        extreme = TRUE_EXTREME if value in search.packed else ""
        if search.is_far(value):
            raise InputError(
                f"variable '{piece.name}' of {where} holds {value:g} at a lead of {piece[LEAD].values[0]:g} hours, "
                f"which is a fill value, not a forecast: declare it as the variable's _FillValue{extreme}."
            )
        if last and search.is_mask(value):
            raise InputError(
                f"variable '{piece.name}' of {where} holds {value:g} at all initial times and leads of "
                f"{np.sum(occurrence.count == search.times)} cells, which looks like a mask, not a forecast: "
                "declare it as the variable's _FillValue."
            )


def conversions(forecasts: xr.Dataset, fields: xr.Dataset, where: str) -> dict[str, Conversion]:
    """The conversion of each variable of the fields, from the units of the forecasts."""
    by_variable = {}
    for v in map(str, fields.data_vars):
        if v not in forecasts:
            raise InputError(
                f"there is no variable '{v}' in {where}, only {', '.join(map(str, forecasts.data_vars))}: add it, or "
                "give one of them its name."
            )
        units, expected = (str(data[v].attrs["units"] or "") for data in (forecasts, fields))
        change = conversion(units, expected)
        if change is None:
            fault = (
                f"is in '{units}', which cannot be converted to"
                if units
                else "has no units, the fields are in"
            )
            remedy = (
                "give it in that unit" if units else f"set its attribute 'units' to '{expected}' if it is"
            )
            raise InputError(f"variable '{v}' of {where} {fault} '{expected}': {remedy}.")
        by_variable[v] = change
    return by_variable


def in_units_of(fields: xr.Dataset, forecasts: xr.Dataset, where: str) -> xr.Dataset:
    """The variables of the fields from forecasts in memory, in the units of the fields."""
    by_variable = conversions(forecasts, fields, where)
    converted = {
        v: change.of(forecasts[v]).assign_attrs(fields[v].attrs) for v, change in by_variable.items()
    }
    return forecasts[list(by_variable)].assign(converted)


def on_grid_of(forecasts: xr.Dataset, fields: xr.Dataset, where: str) -> xr.Dataset:
    """Forecasts on the grid of the fields, whichever meridian their longitudes count from."""
    longitude = counted_from(forecasts["longitude"].values, fields["longitude"].values.min())
    forecasts = forecasts.assign_coords(longitude=longitude).sortby("longitude")
    require_same_grid(forecasts, fields, where, "the fields", "interpolate to the grid of the fields")
    return forecasts


def refuse_twice(times: xr.DataArray, kind: str, where: str) -> None:
    """Raise an InputError for a start or a time that occurs twice."""
    iso = pd.Index(calendars.iso(times))
    if (repeated := iso.duplicated()).any():
        raise InputError(
            f"the {kind} {iso[repeated][0]} occurs twice in {where} ({counted(int(repeated.sum()), f'such {kind}')}): "
            "keep one of them."
        )


def lead_positions(
    forecasts: xr.Dataset, initial_times: InitialTimes, where: str
) -> Int[np.ndarray, " lead"]:
    """Position of the nearest lead to each scored one; raises an InputError for the first that is missing."""
    step = TimeStep.stored_in(initial_times)
    hours = step.hours * np.arange(1, initial_times["leads"] + 1)
    distance = np.abs(forecasts[LEAD].values - hours[:, None])
    distance = np.where(distance < (MONTH_TOLERANCE if step.months else 1e-3), distance, np.inf)
    present = np.isfinite(distance).any(axis=1)
    if not present.all():
        missing = hours[~present]
        raise InputError(
            f"{where} has no lead of {missing[0]:g} hours ({len(missing)} of the {len(hours)} scored leads are "
            "missing): give them, or score fewer with rollout.steps."
        )
    return distance.argmin(axis=1)


def start_positions(
    forecasts: xr.Dataset, initial_times: InitialTimes, where: str
) -> Int[np.ndarray, " start"]:
    """Position of each scored start; raises an InputError for the first that is missing."""
    positions = calendars.positions(forecasts[START], initial_times["scored"])
    if (positions < 0).any():
        missing = [
            time for time, position in zip(initial_times["scored"], positions, strict=True) if position < 0
        ]
        raise InputError(
            f"{where} has no forecast from {missing[0]} ({len(missing)} of the {len(positions)} scored initial times "
            "are missing): the data set `initial_times` lists them all."
        )
    return positions


# Convert forecasts in any CF-like layout to (lead, start, member, latitude, longitude), lazily.
#
#     start    initial time: `start`, `init_time`, `forecast_reference_time`, `time` ...
#     lead     lead time, in hours or as a time difference: `lead`, `lead_time`, `step`, `prediction_timedelta` ...
#     member   ensemble member: `member`, `number`, `realization`, `ensemble` ...; may be absent
#
# The axes are identified by their CF standard names, else by these names. A single start, lead or member needs no
# dimension.


DIMS = LAYOUTS["forecasts"]
HOURS_PER_CENTURY = 876_600
_STANDARD = {LEAD: "forecast_period", START: "forecast_reference_time", MEMBER: "realization"}
_NAMES = {  # names in order of precedence: `time` may be the valid time, on (start, lead)
    LEAD: ("lead", "lead_time", "leadtime", "step", "prediction_timedelta", "forecast_period"),
    START: (
        "start", "init_time", "initial_time", "forecast_reference_time", "reference_time", "init", "time",
    ),
    MEMBER: ("member", "number", "realization", "realisation", "ensemble", "ensemble_member"),
}  # fmt: skip
_MONTHS = ("months", "month")
_HOURS = {
    "days": 24.0, "day": 24.0, "d": 24.0, "hours": 1.0, "hour": 1.0, "hr": 1.0, "h": 1.0, "minutes": 1 / 60,
    "seconds": 1 / 3600, "s": 1 / 3600, "milliseconds": 1 / 3.6e6, "microseconds": 1 / 3.6e9,
    "nanoseconds": 1 / 3.6e12, "ns": 1 / 3.6e12, "us": 1 / 3.6e9, "ms": 1 / 3.6e6, "min": 1 / 60,
    **dict.fromkeys(_MONTHS, float(MONTH)),
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
    needed = {"latitude", "longitude", *({LEAD, START} & set(dims.values()))}
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
    members = {name: array.sizes[MEMBER] for name, array in forecasts.items()}
    if len(set(members.values())) > 1:
        sizes = ", ".join(f"{name} {number}" for name, number in members.items())
        raise InputError(
            f"the variables of {where} have different numbers of members ({sizes}): give all of them the same number"
        )
    coords = {
        LEAD: hours(axes[LEAD], where),
        START: _dates(axes[START], where),
        MEMBER: np.arange(max(members.values())),
        **{axis: np.atleast_1d(axes[axis].values).astype(np.float64) for axis in ("latitude", "longitude")},
    }
    return xr.Dataset(forecasts, coords).sortby("latitude")


def hours(lead: xr.DataArray, where: str) -> Float[np.ndarray, " lead"]:
    """Leads in hours, from time differences or from numbers with units: hours if there are none; a month is 730."""
    values = np.atleast_1d(lead.values)
    if values.dtype.kind == "m":
        return values / np.timedelta64(1, "h")
    units = str(lead.attrs.get("units", "")).lower() or _units_of_numbers(values)
    if values.dtype.kind not in "fiu" or units not in _HOURS:
        raise InputError(
            f"the leads of {where} ('{lead.name}') are in '{units}': give them in hours, or as time differences"
        )
    return np.round(values * _HOURS[units], 6)


def _units_of_numbers(values: np.ndarray) -> str:
    """Unit of leads without one: hours, but nanoseconds where only these give whole seconds within a century."""
    integers = values.dtype.kind in "iu" and values.size > 0
    in_nanoseconds = integers and values.max() > HOURS_PER_CENTURY and not (values % 10**9).any()
    return "nanoseconds" if in_nanoseconds else "hours"


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
    if name is None and axis != MEMBER:
        names = f" such as {', '.join(_NAMES[axis][:4])}" if axis in _NAMES else ""
        raise InputError(f"no coordinate of {where} is the {axis} of a forecast: give one a name{names}")
    if name is not None and dataset[name].ndim > 1:
        raise InputError(
            f"the grid of {where} is curvilinear ('{name}' has two dimensions): interpolate to a regular one first"
        )
    return None if name is None else dataset[name]


def _plain(array: xr.DataArray, dims: Mapping[str, str], where: str) -> xr.DataArray:
    """Put a variable on the five dimensions, keeping its units and its encoding."""
    for dim in map(str, array.dims):
        if dim not in dims and array.sizes[dim] > 1:
            raise InputError(
                f"variable '{array.name}' of {where} has a further dimension '{dim}' of size {array.sizes[dim]}: "
                "select one index of it"
            )
    plain = array.isel({dim: 0 for dim in array.dims if dim not in dims}).drop_vars(array.coords)
    plain = plain.rename({dim: dims[str(dim)] for dim in plain.dims})
    plain = plain.expand_dims([dim for dim in DIMS if dim not in plain.dims]).transpose(*DIMS)
    encoding, attrs = declared_encoding(array), {"units": array.attrs.get("units")}
    return plain.drop_attrs().assign_attrs(attrs if encoding == Encoding() else {**attrs, ENCODING: encoding})


def _dates(start: xr.DataArray, where: str) -> np.ndarray:
    values = np.atleast_1d(start.values)
    if not calendars.is_dates(values):
        raise InputError(
            f"the initial times of {where} ('{start.name}') are not dates: give them units such as "
            "'hours since 2001-01-01'"
        )
    return values
