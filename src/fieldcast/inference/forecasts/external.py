"""Forecasts made elsewhere as an experiment of this run: by the perfect model, a user, or another centre.

They are scored from the same initial times and at the same leads as all others, against the same truth, so they
must hold all of these.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Int

from fieldcast import calendars
from fieldcast.calendars import TimeStep
from fieldcast.encoding.options import Rollout
from fieldcast.errors import InputError
from fieldcast.fields import conventions
from fieldcast.fields.encoding import Search, masked
from fieldcast.fields.forecast_files import DIMS, to_forecasts
from fieldcast.fields.opening import check_chunks, open_file, reading
from fieldcast.fields.quality import TRUE_EXTREME
from fieldcast.fields.units import Conversion, conversion
from fieldcast.geometry import GRID, counted_from, different_axis
from fieldcast.inference.compatibility import describe
from fieldcast.inference.options import File
from fieldcast.kinds import InitialTimes

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
    check_calendar(forecasts["start"], fields["time"], where)
    forecasts = on_grid_of(forecasts[names], fields, where)
    lead, start = (
        lead_positions(forecasts, initial_times, where),
        start_positions(forecasts, initial_times, where),
    )
    times = fields["time"].values[calendars.positions(fields["time"], initial_times["scored"])]
    coords: dict[str, Any] = {
        "start": ("start", times, {"standard_name": "forecast_reference_time"}),
        "member": (
            "member",
            np.arange(min(forecasts.sizes["member"], initial_times["members"])),
            {"units": "1"},
        ),
        **{axis: fields[axis] for axis in GRID},
    }
    searches = {v: search_for_fills(forecasts[v], by_variable[v].inverse.of(fields[v])) for v in names}
    for number, position in enumerate(lead):
        with reading(where, Exception):
            piece = forecasts.isel(
                lead=[position], start=start, member=slice(initial_times["members"])
            ).load()
        step, lead_attrs = TimeStep.stored_in(initial_times).lead
        coords["lead"] = ("lead", [(number + 1) * step], lead_attrs)
        valid = {v: masked(piece[v]) for v in names}
        for v in names:
            refuse_fills(valid[v], searches[v], number == len(lead) - 1, where)
        data = {
            v: (DIMS, by_variable[v].of(valid[v].values).astype(np.float32), fields[v].attrs) for v in names
        }
        attrs = {"starts": initial_times["digest"], "source": where, "piece": number, "pieces": len(lead)}
        yield xr.Dataset(data, coords, attrs)


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
                f"variable '{piece.name}' of {where} holds {value:g} at a lead of {piece['lead'].values[0]:g} hours, "
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


def check_calendar(start: xr.DataArray, time: xr.DataArray, where: str) -> None:
    """Raise an InputError if the calendars differ: valid times would shift."""
    if not calendars.same_calendar(start, time):
        raise InputError(
            f"the calendar of {where} is '{start.dt.calendar}', that of the fields '{time.dt.calendar}': convert it "
            "first (xarray's convert_calendar)."
        )


def on_grid_of(forecasts: xr.Dataset, fields: xr.Dataset, where: str) -> xr.Dataset:
    """Forecasts on the grid of the fields, whichever meridian their longitudes count from."""
    longitude = counted_from(forecasts["longitude"].values, fields["longitude"].values.min())
    forecasts = forecasts.assign_coords(longitude=longitude).sortby("longitude")
    if axis := different_axis(forecasts, fields):
        actual, expected = (describe(grid[axis].values) for grid in (forecasts, fields))
        raise InputError(
            f"the {axis}s of {where} are {actual}, those of the fields {expected}: interpolate to the grid of the "
            "fields."
        )
    return forecasts


def lead_positions(
    forecasts: xr.Dataset, initial_times: InitialTimes, where: str
) -> Int[np.ndarray, " lead"]:
    """Position of the nearest lead to each scored one; raises an InputError for the first that is missing."""
    step = TimeStep.stored_in(initial_times)
    hours = step.hours * np.arange(1, initial_times["leads"] + 1)
    distance = np.abs(forecasts["lead"].values - hours[:, None])
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
    positions = calendars.positions(forecasts["start"], initial_times["scored"])
    if (positions < 0).any():
        missing = [
            time for time, position in zip(initial_times["scored"], positions, strict=True) if position < 0
        ]
        raise InputError(
            f"{where} has no forecast from {missing[0]} ({len(missing)} of the {len(positions)} scored initial times "
            "are missing): the data set `initial_times` lists them all."
        )
    return positions
