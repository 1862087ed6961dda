"""Mean and spread of the members of a result."""

from __future__ import annotations

import numpy as np
import xarray as xr

from fieldcast.encoding.anomalies import FieldCodec


def with_moments(filled: xr.Dataset, codec: FieldCodec) -> xr.Dataset:
    """The members with their mean and spread; a single member has no spread."""
    result = filled.copy()
    for v in codec.variables:
        name = codec.attrs[v].get("long_name", v)
        members = filled[v].astype(np.float64)  # in single precision, rounding gives equal members a spread
        moments = {"mean": members.mean("member")}
        if filled.sizes["member"] > 1:
            moments["spread"] = members.std("member", ddof=1)
        for moment, values in moments.items():
            units = codec.attrs[v].get("units", "1")
            result[f"{v}_{moment}"] = values.astype(np.float32).assign_attrs(
                units=units, long_name=f"{moment} of {name}"
            )
    result["member"].attrs = {"standard_name": "realization", "units": "1"}
    return result
