"""Forecasts beside the truth at their valid times: start + lead."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float, Integer

from fieldcast import calendars
from fieldcast.calendars import MONTH, TimeStep
from fieldcast.errors import InputError
from fieldcast.geometry import GRID, require_same_grid
from fieldcast.kinds import LEAD, MEMBER, START


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
    ) -> AlignedForecasts:
        """Forecasts aligned with their truth."""
        require_same_grid_and_units(forecasts, truth, variables)
        leads = lead_hours(forecasts[LEAD])
        indices = valid_indices(forecasts[START], leads, truth["time"], TimeStep.of(truth))
        missing = np.argwhere(indices < 0)
        if len(missing):
            lead, start = missing[0]
            raise InputError(
                f"the truth ends or has a gap where a forecast is valid: {leads[lead]:g} h after "
                f"{calendars.iso(forecasts[START])[start]}; leave out that start, or forecast fewer leads. "
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
            x = self.forecasts[name].isel({LEAD: lead}).transpose(MEMBER, START, *GRID).to_numpy()
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


def require_variables(data: xr.Dataset, kind: str, truth: str, variables: list[str]) -> None:
    """Raise InputError unless draws of a kind have all variables of what they are scored against."""
    for name in variables:
        if name not in data:
            raise InputError(
                f"the {kind} lack the variable {name} of the {truth}: recreate them with all of {', '.join(variables)}."
            )


def require_same_grid_and_units(forecasts: xr.Dataset, truth: xr.Dataset, variables: list[str]) -> None:
    """Raise InputError unless the forecasts have all variables, in the truth's units, on its grid and
    calendar."""
    require_variables(forecasts, "forecasts", "fields", variables)
    for name in variables:
        unit, true_unit = (data[name].attrs.get("units") for data in (forecasts, truth))
        if None not in (unit, true_unit) and unit != true_unit:
            raise InputError(
                f"the forecasts have {name} in {unit}, the fields in {true_unit}: convert the forecasts."
            )
    remedy = "interpolate them to the grid of the fields, in the order of its rows and columns"
    require_same_grid(forecasts, truth, "the forecasts", "the fields", remedy)
    if forecasts[START].dt.calendar != truth["time"].dt.calendar:
        raise InputError(
            f"the initial times of the forecasts are in the calendar {forecasts[START].dt.calendar}, the times of "
            f"the fields in {truth['time'].dt.calendar}: write the initial times in the calendar of the fields."
        )
