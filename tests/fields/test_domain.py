"""Existing cells of each variable."""

import numpy as np
import xarray as xr

from fieldcast.fields import domain


def test_exists_is_by_variable() -> None:
    values = np.ones((3, 2, 2), dtype=np.float32)
    values[:, 0, 1] = np.nan
    dims = ("time", "latitude", "longitude")
    fields = xr.Dataset(
        {"sst": (dims, values), "t2m": (dims, np.ones_like(values)), "h": (dims[1:], values[0])}
    )
    exists = domain.exists(fields)
    assert exists.dims == ("variable", "latitude", "longitude") and list(exists["variable"]) == ["sst", "t2m"]
    assert exists.sum("variable").values.tolist() == [[2, 1], [2, 2]]
