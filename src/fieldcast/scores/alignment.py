"""Forecasts beside the truth at their valid times: start + lead."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float, Integer, Shaped

from fieldcast import calendars
from fieldcast.calendars import MONTH, TimeStep
from fieldcast.errors import InputError
from fieldcast.geometry import GRID, different_axis
from fieldcast.kinds import InitialTimes


@dataclass(frozen=True)
class AlignedForecasts:
    """Forecasts whose variables, units, grid and valid times match the truth.

    Parameters
    ----------
    forecasts, truth
        Data sets on the same grid, in the same units.
    variables
        Names of the variables.
    leads
        Lead times in hours.
    indices
        Position of each valid time in the truth.
    """

    forecasts: xr.Dataset
    truth: xr.Dataset
    variables: list[str]
    leads: Float[np.ndarray, " lead"]
    indices: Integer[np.ndarray, "lead start"]

    @classmethod
    def of(
        cls,
        forecasts: xr.Dataset,
        truth: xr.Dataset,
        variables: list[str],
        initial_times: InitialTimes | None = None,
    ) -> AlignedForecasts:
        """Forecasts aligned with their truth."""
        require_same_grid_and_units(forecasts, truth, variables)
        leads = lead_hours(forecasts["lead"])
        if initial_times is not None:
            require_stored_initial_times(calendars.iso(forecasts["start"]), leads, initial_times)
        indices = valid_indices(forecasts["start"], leads, truth["time"], TimeStep.of(truth))
        missing = np.argwhere(indices < 0)
        if len(missing):
            lead, start = missing[0]
            raise InputError(
                f"the truth ends or has a gap where a forecast is valid: {leads[lead]:g} h after "
                f"{calendars.iso(forecasts['start'])[start]}; leave out that start, or forecast fewer leads. "
                "Leads without units are hours."
            )
        return cls(forecasts, truth, variables, leads, indices)

    def pairs(self, name: str) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield for each lead the members (member, start, latitude, longitude), the truth (start, latitude, longitude)
        and the day of the year of the valid times, 1 to 365."""
        needed, inverse = np.unique(self.indices, return_inverse=True)
        truth = self.truth[name].isel(time=needed).transpose("time", *GRID).to_numpy()
        days = calendars.day_of_year(self.truth["time"].isel(time=needed))
        for lead, positions in enumerate(inverse.reshape(self.indices.shape)):
            x = self.forecasts[name].isel(lead=lead).transpose("member", "start", *GRID).to_numpy()
            yield x, truth[positions], days[positions]


def lead_hours(lead: xr.DataArray) -> Float[np.ndarray, " lead"]:
    """Leads in hours, whether they were read as numbers, as time deltas, or as months of 730 hours."""
    if lead.dtype.kind == "m":
        return lead.to_numpy() / np.timedelta64(1, "h")
    return lead.to_numpy().astype(float) * (MONTH if lead.attrs.get("units") == "months" else 1)


def valid_indices(
    start: xr.DataArray, leads: Float[np.ndarray, " lead"], time: xr.DataArray, step: TimeStep
) -> Integer[np.ndarray, "lead start"]:
    """Indices of start + lead in `time`, in any calendar; -1 where it is missing. Months are matched as a whole."""
    starts = start.to_numpy()
    if step.months:
        month = TimeStep(MONTH, 1)
        later = [month.after(starts, number) for number in np.round(leads / MONTH).astype(int).tolist()]
        return np.stack([step.positions(time, valid) for valid in later])
    if starts.dtype.kind == "M":
        spans = np.round(leads * 3600).astype("timedelta64[s]")
        valid = starts.astype("datetime64[s]") + spans[:, None]
        times = pd.DatetimeIndex(time.to_numpy().astype("datetime64[s]"))
        return times.get_indexer(pd.DatetimeIndex(valid.ravel())).reshape(valid.shape)
    index_of = {moment.isoformat(): index for index, moment in enumerate(time.to_numpy())}
    return np.array(
        [
            [index_of.get((moment + timedelta(hours=lead)).isoformat(), -1) for moment in starts]
            for lead in leads.tolist()
        ]
    )


def require_same_grid_and_units(forecasts: xr.Dataset, truth: xr.Dataset, variables: list[str]) -> None:
    """Raise InputError unless the forecasts have all variables, in the truth's units, on its grid and
    calendar."""
    for name in variables:
        if name not in forecasts:
            raise InputError(
                f"the forecasts lack the variable {name} of the fields: recreate them with all of "
                f"{', '.join(variables)}."
            )
        unit, true_unit = (data[name].attrs.get("units") for data in (forecasts, truth))
        if None not in (unit, true_unit) and unit != true_unit:
            raise InputError(
                f"the forecasts have {name} in {unit}, the fields in {true_unit}: convert the forecasts."
            )
    if axis := different_axis(forecasts, truth):
        raise InputError(
            f"the {axis} of the forecasts differs from that of the fields they are scored against: interpolate them "
            "to the grid of the fields, in the order of its rows and columns."
        )
    if forecasts["start"].dt.calendar != truth["time"].dt.calendar:
        raise InputError(
            f"the initial times of the forecasts are in the calendar {forecasts['start'].dt.calendar}, the times of "
            f"the fields in {truth['time'].dt.calendar}: write the initial times in the calendar of the fields."
        )


def require_stored_initial_times(
    forecast_start: Shaped[np.ndarray, " start"],
    leads: Float[np.ndarray, " lead"],
    initial_times: InitialTimes,
) -> None:
    """Raise InputError unless the forecasts have the stored initial times and leads."""
    scored = [str(moment) for moment in initial_times["scored"]]
    if forecast_start.tolist() != scored:
        absent = [moment for moment in scored if moment not in set(forecast_start.tolist())]
        raise InputError(
            f"the forecasts do not start at the {len(scored)} stored initial times"
            + (f" (they lack {absent[0]})" if absent else "")
            + ": recreate them from the stored initial times, in their order."
        )
    step = TimeStep.stored_in(initial_times)
    expected = step.hours * np.arange(1, int(initial_times["leads"]) + 1)
    if leads.shape != expected.shape or not np.allclose(leads, expected):
        raise InputError(
            f"the leads of the forecasts are not {expected[0]:g} to {expected[-1]:g} hours every "
            f"{step}: recreate them with these."
        )
