"""Stored observations must be of the variables and the grid of a checkpoint; what else differs: test_load."""

import pytest
import xarray as xr

from fieldcast.errors import InputError
from fieldcast.loops.checkpoint import Checkpoint
from fieldcast.loops.codec import FieldCodec
from fieldcast.loops.matching import check_observations, matching
from fieldcast.models.climatology import Climatology


@pytest.fixture
def codec(world):
    return FieldCodec.of(world.fields, world.climatology, world.normalisation)


@pytest.fixture
def data(world, codec):
    return world.fields[list(codec.variables)].isel(time=slice(0, 3)).assign_attrs(data="abc")


@pytest.fixture
def made(world, codec):
    header = {"data": "abc", "seed": 0, "finished": True}
    return Checkpoint(Climatology(world.space), codec, header)


def test_the_data_a_model_was_trained_on_fit_it(codec, data, made):
    check_observations(data, made, 0)
    xr.testing.assert_equal(matching(data, codec), data.drop_vars("segment", errors="ignore"))


def test_coordinates_in_single_precision_fit(codec, data):
    single = data.assign_coords({axis: data[axis].astype("float32") for axis in ("latitude", "longitude")})
    xr.testing.assert_equal(matching(single, codec)["latitude"], matching(data, codec)["latitude"])


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
        (
            lambda d: d.assign_attrs(data="xyz"),
            "the checkpoint was trained with data abc, this run has xyz: train",
        ),
    ],
)
def test_other_observations_are_one_sentence(data, made, spoil, words):
    with pytest.raises(InputError) as caught:
        check_observations(spoil(data), made, 0)
    assert str(caught.value).startswith(words) and "\n" not in str(caught.value)


def test_a_checkpoint_of_another_seed_or_not_finished_is_refused(data, made):
    with pytest.raises(InputError, match="trained with seed 0, this run has 1"):
        check_observations(data, made, 1)
    half = Checkpoint(made.model, made.codec, {**made.header, "finished": False})
    with pytest.raises(InputError, match="not finished"):
        check_observations(data, half, 0)
