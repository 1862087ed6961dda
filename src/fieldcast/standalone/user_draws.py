"""A user's forecasts, reconstructions and observations in the layout of the scores, on the grid of the truth."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeAlias

import numpy as np
import xarray as xr

from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.errors import InputError
from fieldcast.fields import conventions
from fieldcast.fields.conventions import as_dataset, time_varying
from fieldcast.fields.forecast_files import to_forecasts
from fieldcast.inference.compatibility import require_plausible, units_of_variables
from fieldcast.inference.external_forecasts import check_calendar, in_units_of, on_grid_of
from fieldcast.time_steps import with_rounded_times

Data: TypeAlias = xr.Dataset | xr.DataArray


def as_forecasts(data: Data, fields: xr.Dataset, codec: FieldCodec) -> xr.Dataset:
    """Forecasts (lead, start, member, latitude, longitude) of the variables that vary in time.

    The first lead is judged by the climatology of `codec`: later ones may have blown up.

    Raises
    ------
    InputError
        If variables, grid or calendar differ from those of `fields`, or if units do not convert or look wrong.
    """
    variables, where = time_varying(fields), "the forecasts"
    given = on_grid_of(to_forecasts(as_dataset(data, where), where, variables), fields, where)
    forecasts = in_units_of(fields[variables], given, where)
    check_calendar(forecasts["start"], fields["time"], where)
    first = given.isel(lead=int(given["lead"].values.argmin()))
    valid = first.get_index("start") + timedelta(hours=float(first["lead"]))
    require_right_units(first.rename(start="time").assign_coords(time=valid), codec, where)
    return forecasts


def as_case(data: Data, fields: xr.Dataset, codec: FieldCodec, where: str) -> xr.Dataset:
    """Data of one case on (case, member, time, latitude, longitude), the layout of stored reconstructions.

    The pattern of the case is "given", and its k the fraction of values that are not NaN.

    Raises
    ------
    InputError
        If variables or grid differ from those of `fields`, if units do not convert or look wrong by the climatology of
        `codec`, or if `fields` lack a time.
    """
    dataset, variables = as_dataset(data, where), list(map(str, fields.data_vars))
    absent = [name for name in variables if name not in dataset]
    if absent:
        raise InputError(
            f"there is no variable '{absent[0]}' in {where}, although the truth has one: add it."
        )
    selected = dataset[variables]
    if "member" not in selected.dims:
        selected = selected.expand_dims("member")
    members = [selected.isel(member=number, drop=True) for number in range(selected.sizes["member"])]
    converted = [conventions.to_contract(member, where)[variables].sortby("latitude") for member in members]
    given = on_grid_of(xr.concat(converted, "member"), fields, where)
    case = in_units_of(fields, given, where)
    check_calendar(case["time"], fields["time"], where)
    require_right_units(given, codec, where)
    case = with_rounded_times(case)
    unknown_times = [str(time) for time in case["time"].values if time not in fields["time"].values]
    if unknown_times:
        raise InputError(
            f"the truth lacks {unknown_times[0]}, a time of {where}: give the truth at all of their times."
        )
    fraction = float(np.mean([np.isfinite(case[name]).mean() for name in variables]))
    return case.expand_dims("case").assign_coords(
        pattern=("case", ["given"]),
        k=("case", [fraction]),
        mask=("time", np.zeros(case.sizes["time"], dtype=int)),
    )


def require_right_units(data: xr.Dataset, codec: FieldCodec, where: str) -> None:
    """Raise an InputError if values in their own units are so far from the climatology that the units look wrong."""
    source = "as their attribute says, and check the units of the truth"
    require_plausible(data, codec.in_units(units_of_variables(data, codec, where), where), where, source)
