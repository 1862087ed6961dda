"""Forecasts made elsewhere, as an experiment of this run: the perfect model's, a user's own, another centre's.

They are scored as all others are: at the same starts and leads, against the same truth, so they must hold them all.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from fieldcast.encoding.options import Rollout
from fieldcast.errors import InputError
from fieldcast.fields import calendars, conventions
from fieldcast.fields.fills import Search
from fieldcast.fields.forecast_files import DIMS, to_forecasts
from fieldcast.fields.opening import check_chunks, open_file, reading
from fieldcast.fields.quality import TRUE_EXTREME
from fieldcast.fields.valid import masked
from fieldcast.geometry import GRID
from fieldcast.inference.compatibility import TOLERANCE, describe
from fieldcast.inference.options import File

LOG = logging.getLogger(__name__)
NONE = "These data are not the simulated planet's: there is no perfect model, and its experiment is skipped."


def adopt(
    model: File, perfect_model: xr.Dataset, starts: Mapping[str, Any], fields: xr.Dataset
) -> Iterator[xr.Dataset]:
    """Yield the forecasts of an experiment of type File, lead by lead, as a model's rollout would give them.

    Where there is no perfect model, they are one data set without variables, whose attribute `skipped` says so.

    Raises
    ------
    InputError
        If a start, a lead or a variable is missing, or units, grid or calendar differ; for a fill value that is not
        declared.
    """
    if model.path is not None:
        with open_file(model.path, "model.path of the experiment") as opened:
            check_chunks(opened, [str(name) for name in opened.data_vars], model.path)
            yield from selected(opened, starts, fields, f"'{model.path}'")
    elif perfect_model.data_vars:
        yield from selected(perfect_model, starts, fields, "the perfect model")
    else:
        LOG.info(NONE)
        yield xr.Dataset(attrs={"starts": starts["digest"], "skipped": NONE})


def made_elsewhere(model: File, options: Rollout) -> str:
    """What says of adopted forecasts where they come from: the file, or the perfect model with its initial error."""
    return model.path or f"{model.dataset} {options.perfect_model.initial_error:g}"


def selected(
    dataset: xr.Dataset, starts: Mapping[str, Any], fields: xr.Dataset, where: str
) -> Iterator[xr.Dataset]:
    """Yield the scored starts of each scored lead, with at most as many members as are scored; one lead is read
    at a time."""
    names = conventions.time_varying(fields)
    found = to_forecasts(dataset, where, names)
    check_variables(found, fields[names], where)
    check_calendar(found["start"], fields["time"], where)
    found = on_grid(found[names], fields, where)
    lead, start = places_of_leads(found, starts, where), places_of_starts(found, starts, where)
    times = fields["time"].values[calendars.positions(fields["time"], starts["scored"])]
    coords = {
        "start": ("start", times, {"standard_name": "forecast_reference_time"}),
        "member": ("member", np.arange(min(found.sizes["member"], starts["members"])), {"units": "1"}),
        **{axis: fields[axis] for axis in GRID},
    }
    searches = {v: search_for_fills(found[v], fields[v]) for v in names}
    for number, place in enumerate(lead):
        with reading(where, Exception):
            piece = found.isel(lead=[place], start=start, member=slice(starts["members"])).load()
        hours = [(number + 1) * starts["step_hours"]]
        coords["lead"] = ("lead", hours, {"standard_name": "forecast_period", "units": "hours"})
        valid = {v: masked(piece[v]) for v in names}
        for v in names:
            refuse_fills(valid[v], searches[v], number == len(lead) - 1, where)
        data = {v: (DIMS, valid[v].values.astype(np.float32), fields[v].attrs) for v in names}
        attrs = {"starts": starts["digest"], "source": where, "piece": number, "pieces": len(lead)}
        yield xr.Dataset(data, coords, attrs)


def search_for_fills(forecasts: xr.DataArray, truth: xr.DataArray) -> Search:
    """Begin a search over all leads: a lead by itself may hold a single value, as where no rain is forecast."""
    search = Search(forecasts)
    search.widen(np.array([truth.min(), truth.max()]))
    return search


def refuse_fills(piece: xr.DataArray, search: Search, last: bool, where: str) -> None:
    """One sentence if a lead of a variable holds a fill value that is not declared; masks are known at the last."""
    search.add(piece.values.reshape(-1, *piece.shape[-2:]).astype(np.float32))
    for value, sighting in search.sightings.items():
        extreme = TRUE_EXTREME if value in search.packed else ""
        if search.is_far(value):
            raise InputError(
                f"variable '{piece.name}' of {where} holds {value:g} at a lead of {piece['lead'].values[0]:g} hours, "
                f"which is no forecast but a fill value: declare it as the variable's _FillValue{extreme}."
            )
        if last and search.is_mask(value):
            raise InputError(
                f"variable '{piece.name}' of {where} holds {value:g} at all starts and leads of "
                f"{np.sum(sighting.count == search.times)} cells, which is no forecast but a mask: declare it as the "
                "variable's _FillValue."
            )


def check_variables(found: xr.Dataset, fields: xr.Dataset, where: str) -> None:
    """One sentence if a variable of the fields is not there, or in other units."""
    for v in fields.data_vars:
        if v not in found:
            raise InputError(f"{where} has no variable '{v}': it has {', '.join(map(str, found.data_vars))}.")
        units, expected = found[v].attrs["units"], fields[v].attrs["units"]
        if units != expected:
            raise InputError(
                f"variable '{v}' of {where} is in '{units}', the fields are in '{expected}': convert it first."
            )


def check_calendar(start: xr.DataArray, time: xr.DataArray, where: str) -> None:
    """One sentence if a day more or less a year would shift what is valid when."""
    leap_days = [str(one.dt.calendar) not in ("noleap", "365_day") for one in (start, time)]
    if leap_days[0] != leap_days[1]:
        raise InputError(
            f"the calendar of {where} is '{start.dt.calendar}', that of the fields '{time.dt.calendar}': convert it "
            "first (xarray's convert_calendar)."
        )


def on_grid(found: xr.Dataset, fields: xr.Dataset, where: str) -> xr.Dataset:
    """On the grid of the fields, whichever meridian the longitudes are counted from; one sentence for another."""
    first = fields["longitude"].values.min() - TOLERANCE
    longitude: Float[np.ndarray, " x"] = (found["longitude"].values - first) % 360 + first
    found = found.assign_coords(longitude=longitude).sortby("longitude")
    for axis in GRID:
        mine, theirs = fields[axis].values, found[axis].values
        if len(mine) != len(theirs) or not np.allclose(mine, theirs, atol=TOLERANCE):
            raise InputError(
                f"the {axis}s of {where} are {describe(theirs)}, those of the fields {describe(mine)}: interpolate "
                "it to the grid of the fields."
            )
    return found


def places_of_leads(found: xr.Dataset, starts: Mapping[str, Any], where: str) -> Int[np.ndarray, " lead"]:
    """Where each scored lead stands; one sentence for the first that does not."""
    wanted = starts["step_hours"] * np.arange(1, starts["leads"] + 1)
    same = np.abs(found["lead"].values - wanted[:, None]) < 1e-3
    if not same.any(axis=1).all():
        missing = wanted[~same.any(axis=1)]
        raise InputError(
            f"{where} has no lead of {missing[0]:g} hours ({len(missing)} of the {len(wanted)} scored leads are "
            "missing): give them, or score fewer with rollout.steps."
        )
    return same.argmax(axis=1)


def places_of_starts(found: xr.Dataset, starts: Mapping[str, Any], where: str) -> Int[np.ndarray, " start"]:
    """Where each scored start stands; one sentence for the first that does not."""
    places = calendars.positions(found["start"], starts["scored"])
    if (places < 0).any():
        missing = [time for time, place in zip(starts["scored"], places, strict=True) if place < 0]
        raise InputError(
            f"{where} has no forecast from {missing[0]} ({len(missing)} of the {len(places)} scored starts are "
            "missing): the data set `starts` lists them all."
        )
    return places
