"""A data set in any layout comes back in it."""

import numpy as np
import pytest
import xarray as xr

from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.fields.conventions import to_contract
from fieldcast.inference.result_attributes import restore_layout


@pytest.fixture
def codec(world):
    return FieldCodec.of(world.fields, world.climatology, world.normalisation)


def drawn(data: xr.Dataset, codec: FieldCodec) -> xr.Dataset:
    """Two members on the model's grid, the data set's values and ten more."""
    plain = to_contract(data)[list(codec.variables)]
    plain = plain.assign_coords(longitude=plain["longitude"] % 360).sortby(["latitude", "longitude"])
    members = xr.concat([plain, plain + 10], "member").transpose("time", "member", ...)
    return members.assign({f"{v}_mean": plain[v] + 5 for v in codec.variables})


LAYOUTS = {
    "plain": lambda d: d,
    "north first": lambda d: d.isel(latitude=slice(None, None, -1)),
    "from -180": lambda d: d.assign_coords(longitude=(d["longitude"] + 180) % 360 - 180).sortby("longitude"),
    "other order": lambda d: d.transpose("longitude", "latitude", "time"),
    "other names": lambda d: d.rename(latitude="lat", longitude="lon", time="valid_time"),
    "axes beside": lambda d: d.rename(latitude="lat", longitude="lon").swap_dims(lat="j", lon="i"),
    "one time": lambda d: d.isel(time=0),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_comes_back(world, codec, layout):
    fields = world.fields[list(codec.variables)].isel(time=slice(0, 3)).drop_vars("segment")  # as a user's
    data = LAYOUTS[layout](fields)
    result = restore_layout(data, drawn(data, codec), codec)
    for v in codec.variables:
        assert result[v].isel(member=0, drop=True).dims == data[v].dims == result[f"{v}_mean"].dims
        for values, more in ((result[v].isel(member=1, drop=True), 10), (result[f"{v}_mean"], 5)):
            xr.testing.assert_allclose(values, data[v] + more, rtol=1e-6)
    assert set(result.coords) - {"member"} == set(data.coords)


def test_members_follow_time(world, codec):
    data = (
        world.fields[list(codec.variables)].isel(time=slice(0, 3)).transpose("longitude", "time", "latitude")
    )
    dims = restore_layout(data, drawn(data, codec), codec)[codec.variables[0]].dims
    assert dims == ("longitude", "time", "member", "latitude")


def test_names_and_attributes_are_kept_but_ranges_are_not(world, codec):
    data = world.fields[list(codec.variables)].isel(time=slice(0, 3)).rename(t="temperature")
    data["temperature"].attrs |= {
        "instrument": "eyes",
        "valid_range": np.array([0, 1]),
        "actual_range": [0, 1],
    }
    result = restore_layout(data, drawn(data, codec), codec)
    assert "t" not in result and {"temperature", "temperature_mean", "z"} <= set(result.data_vars)
    assert result["temperature"].attrs["instrument"] == "eyes"
    assert not any("range" in key for key in result["temperature"].attrs)


def test_scalars_that_a_selection_has_left_give_way_to_the_dimensions_of_the_result(world, codec):
    data = world.fields[list(codec.variables)].isel(time=slice(0, 3)).assign_coords(member=3, lead=24.0)
    result = restore_layout(data, drawn(data, codec), codec)
    assert result.sizes["member"] == 2 and result["t"].dims == ("time", "member", "latitude", "longitude")
    assert float(result["lead"]) == 24  # not a dimension of this result
