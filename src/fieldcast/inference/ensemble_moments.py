"""Mean and spread of the members of a result."""

from __future__ import annotations

import numpy as np
import xarray as xr

from fieldcast.encoding.anomalies import FieldCodec


def with_moments(filled: xr.Dataset, codec: FieldCodec) -> xr.Dataset:
    """The members with their mean and spread."""
    result = filled.copy()
    for v in codec.variables:
        name = codec.attrs[v].get("long_name", v)
        members = filled[v].astype(np.float64)  # no rounding spread where all members agree
        parts = {"mean": members.mean("member")}
        if filled.sizes["member"] > 1:
            parts["spread"] = members.std("member", ddof=1)
        for part, values in parts.items():
            units = codec.attrs[v].get("units", "1")
            result[f"{v}_{part}"] = values.astype(np.float32).assign_attrs(
                units=units, long_name=f"{part} of {name}"
            )
    result["member"].attrs = {"standard_name": "realization", "units": "1"}
    return result
