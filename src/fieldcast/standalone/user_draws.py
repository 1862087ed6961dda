"""A user's forecasts, reconstructions and observations in the layout of the scores, on the grid of the truth."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import xarray as xr

from fieldcast.errors import InputError
from fieldcast.fields import conventions
from fieldcast.fields.conventions import as_dataset, time_varying
from fieldcast.fields.forecast_files import to_forecasts
from fieldcast.inference.external_forecasts import check_calendar, in_units_of, on_grid_of
from fieldcast.time_steps import with_rounded_times

Data: TypeAlias = xr.Dataset | xr.DataArray


def as_forecasts(data: Data, fields: xr.Dataset) -> xr.Dataset:
    """Forecasts (lead, start, member, latitude, longitude) of the variables that vary in time.

    Raises
    ------
    InputError
        If variables, grid or calendar differ from those of `fields`, or if units do not convert.
    """
    variables, where = time_varying(fields), "the forecasts"
    forecasts = to_forecasts(as_dataset(data, where), where, variables)
    forecasts = in_units_of(fields[variables], forecasts, where)
    check_calendar(forecasts["start"], fields["time"], where)
    return on_grid_of(forecasts[variables], fields, where)


def as_case(data: Data, fields: xr.Dataset, where: str) -> xr.Dataset:
    """Data of one case on (case, member, time, latitude, longitude), the layout of stored reconstructions.

    The pattern of the case is "given", and its k the fraction of values that are not NaN.

    Raises
    ------
    InputError
        If variables or grid differ from those of `fields`, if units do not convert, or if `fields` lack a time.
    """
    dataset, variables = as_dataset(data, where), list(map(str, fields.data_vars))
    absent = [name for name in variables if name not in dataset]
    if absent:
        raise InputError(f"{where} has no variable '{absent[0]}', which the truth has: add it.")
    selected = dataset[variables]
    if "member" not in selected.dims:
        selected = selected.expand_dims("member")
    members = [selected.isel(member=number, drop=True) for number in range(selected.sizes["member"])]
    converted = [conventions.to_contract(member, where)[variables].sortby("latitude") for member in members]
    case = on_grid_of(xr.concat(converted, "member"), fields, where)
    case = in_units_of(fields, case, where)
    check_calendar(case["time"], fields["time"], where)
    case = with_rounded_times(case)
    unknown_times = [str(time) for time in case["time"].values if time not in fields["time"].values]
    if unknown_times:
        raise InputError(
            f"{where} has the time {unknown_times[0]}, which the truth lacks: give the truth at all its times."
        )
    fraction = float(np.mean([np.isfinite(case[name]).mean() for name in variables]))
    return case.expand_dims("case").assign_coords(
        pattern=("case", ["given"]),
        k=("case", [fraction]),
        mask=("time", np.zeros(case.sizes["time"], dtype=int)),
    )
