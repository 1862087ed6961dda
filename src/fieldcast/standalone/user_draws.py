"""A user's forecasts, reconstructions and observations as the scores take them, on the grid of the truth."""

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
        If variables, grid or calendar are not those of `fields`, or units do not convert to theirs.
    """
    variables, where = time_varying(fields), "the forecasts"
    forecasts = to_forecasts(as_dataset(data, where), where, variables)
    forecasts = in_units_of(fields[variables], forecasts, where)
    check_calendar(forecasts["start"], fields["time"], where)
    return on_grid_of(forecasts[variables], fields, where)


def as_case(data: Data, fields: xr.Dataset, where: str) -> xr.Dataset:
    """Data of one case on (case, member, time, latitude, longitude), as reconstructions and observations are stored.

    The case has the pattern "given", and as k the fraction of values that are not NaN.

    Raises
    ------
    InputError
        If variables or grid are not those of `fields`, units do not convert to theirs, or a time is none of theirs.
    """
    dataset, variables = as_dataset(data, where), list(map(str, fields.data_vars))
    absent = [name for name in variables if name not in dataset]
    if absent:
        raise InputError(f"{where} has no variable '{absent[0]}', which the truth has: add it.")
    selected = dataset[variables]
    if "member" not in selected.dims:
        selected = selected.expand_dims("member")
    members = [selected.isel(member=number, drop=True) for number in range(selected.sizes["member"])]
    plain = [conventions.to_contract(member, where)[variables].sortby("latitude") for member in members]
    case = on_grid_of(xr.concat(plain, "member"), fields, where)
    case = in_units_of(fields, case, where)
    check_calendar(case["time"], fields["time"], where)
    case = with_rounded_times(case)
    later = [str(time) for time in case["time"].values if time not in fields["time"].values]
    if later:
        raise InputError(
            f"{where} has the time {later[0]}, which the truth lacks: give the truth at all its times."
        )
    fraction = float(np.mean([np.isfinite(case[name]).mean() for name in variables]))
    return case.expand_dims("case").assign_coords(
        pattern=("case", ["given"]),
        k=("case", [fraction]),
        mask=("time", np.zeros(case.sizes["time"], dtype=int)),
    )
