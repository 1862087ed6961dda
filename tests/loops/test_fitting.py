"""Stored observations must be of the variables and the grid of a checkpoint; what else differs: test_load."""

import pytest
import xarray as xr

from fieldcast.errors import InputError
from fieldcast.loops.codec import FieldCodec
from fieldcast.loops.fitting import check_observations, fitting


@pytest.fixture
def codec(world):
    return FieldCodec.of(world.fields, world.climatology, world.normalisation)


@pytest.fixture
def data(world, codec):
    return world.fields[list(codec.variables)].isel(time=slice(0, 3))


def test_the_data_a_model_was_trained_on_fit_it(codec, data):
    check_observations(data, codec)
    xr.testing.assert_equal(fitting(data, codec), data.drop_vars("segment", errors="ignore"))


def test_coordinates_in_single_precision_fit(codec, data):
    single = data.assign_coords({axis: data[axis].astype("float32") for axis in ("latitude", "longitude")})
    xr.testing.assert_equal(fitting(single, codec)["latitude"], fitting(data, codec)["latitude"])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: d.drop_vars("z"), "the observations are of t, the checkpoint of t, z: train"),
        (lambda d: d.rename(z="y"), "the observations are of t, y, the checkpoint of t, z: train"),
        (lambda d: d.isel(latitude=slice(1, None)), "the latitudes differ: the data set has 6 from"),
        (
            lambda d: d.assign_coords(longitude=d["longitude"] + 1),
            "the longitudes differ: the data set has 12",
        ),
    ],
)
def test_other_observations_are_one_sentence(codec, data, spoil, words):
    with pytest.raises(InputError) as caught:
        check_observations(spoil(data), codec)
    assert str(caught.value).startswith(words) and "\n" not in str(caught.value)
