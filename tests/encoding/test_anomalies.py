import numpy as np
import torch
import xarray as xr

from fieldcast.encoding.anomalies import space_of
from fieldcast.fields import climatology as climatologies


def test_the_climatology_is_zero_and_one_is_a_standard_deviation(world):
    climatology = climatologies.at(world.climatology, world.fields["time"])
    assert torch.allclose(world.codec.encode(climatology), torch.zeros(()), atol=1e-4)
    deviation = world.normalisation["anomaly_std"].sel(variable="z").item()
    assert torch.allclose(world.codec.encode(climatology + deviation)[:, 1], torch.ones(()), atol=1e-3)


def test_training_anomalies_have_mean_zero_and_variance_one(world):
    x = world.codec.encode(world.split("train"))
    weight = world.space.area / world.space.area.sum()
    assert abs(float((x * weight).sum(dim=(2, 3)).mean())) < 0.02
    assert abs(float((x**2 * weight).sum(dim=(2, 3)).mean()) - 1) < 0.02


def test_decoding_inverts_encoding(world):
    test = world.split("test").isel(time=slice(0, 9))
    back = world.codec.decode(world.codec.encode(test)[:, None], test["time"])
    for name in ("t", "z"):
        np.testing.assert_allclose(back[name].isel(member=0).values, test[name].values, rtol=1e-5)
        assert back[name].attrs["units"] == test[name].attrs["units"]
    xr.testing.assert_equal(back["latitude"], test["latitude"])


def test_anomalies_do_not_depend_on_the_units_of_the_data(world):
    test = world.split("test")[["t", "z"]].isel(time=slice(0, 9))
    celsius = test.assign(t=test["t"] - 273.15, z=test["z"] / 1000)
    codec = world.codec.in_units({"t": "degC", "z": "km"})
    torch.testing.assert_close(codec.encode(celsius), world.codec.encode(test), rtol=0, atol=1e-4)
    back = codec.decode(world.codec.encode(test)[:, None], test["time"]).isel(member=0)
    for name, units in (("t", "degC"), ("z", "km")):
        np.testing.assert_allclose(back[name].values, celsius[name].values, atol=1e-4)
        assert back[name].attrs["units"] == units


def test_missing_stays_missing_and_further_dimensions_lead(world):
    test = world.split("test").isel(time=slice(0, 3))
    holes = test.where(test["longitude"] > 100).expand_dims(case=2)
    x = world.codec.encode(holes)
    assert x.shape == (2, 3, *world.space.state_shape)
    assert torch.isnan(x[..., :4]).all()
    assert torch.isfinite(x[..., 4:]).all()


def test_the_space_is_that_of_the_grid(world):
    space = world.space
    assert space.variables == ("t", "z")
    assert space.wraps
    assert torch.allclose(space.points.norm(dim=-1), torch.ones(()))
    assert torch.allclose(space.area.mean(), torch.ones(()))
    assert torch.allclose(
        space.static[0, :, 0], torch.sin(torch.deg2rad(torch.linspace(-75, 75, 7))), atol=1e-6
    )


def test_the_year_of_the_fields_is_that_of_their_calendar(world):
    times = xr.date_range(
        "2001-01-01", periods=world.fields.sizes["time"], calendar="360_day", use_cftime=True
    )
    fields = world.fields.assign_coords(time=times)
    assert space_of(fields, world.climatology, world.normalisation).days_per_year == 360
    assert world.space.days_per_year == 365
