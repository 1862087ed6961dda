"""`fieldcast.load(path).forecast(dataset)`: what follows the last states of a user's own data set."""

import numpy as np
import pandas as pd
import pytest
import torch

import fieldcast
from fieldcast.calendars import day_of_year
from fieldcast.encoding.options import Limits
from fieldcast.errors import InputError
from fieldcast.tasks.forecast import Forecasting
from fieldcast.training.options import Fit
from fieldcast.training.run import Recipe, train


@pytest.fixture(scope="module")
def load(world, tmp_path_factory):
    """Checkpoints of models by their configuration."""

    def make(model, **how):
        recipe = Recipe(Forecasting(), model, Fit(steps=2), 0, Limits(times=4), "cpu")
        path = tmp_path_factory.mktemp("models") / "checkpoint.safetensors"
        path.write_bytes(list(train(recipe, world.data, None))[-1].checkpoint)
        return fieldcast.load(path, **how)

    return make


@pytest.fixture(scope="module")
def persistence(load):
    return load({"type": "persistence.Persistence"})


@pytest.fixture(scope="module")
def network(load):
    return load({"type": "vae.ConditionalVAE", "history": 2, "latent": 3})


@pytest.fixture
def mine(world):
    """Three test days, north first, in names of their own."""
    data = world.split("test")[["t", "z"]].isel(time=slice(4, 7), latitude=slice(None, None, -1))
    return data.drop_vars("segment").rename(latitude="lat", longitude="lon").assign_attrs(title="mine")


def test_persistence_of_anomalies_in_the_users_layout(world, persistence, mine):
    result = persistence.forecast(mine, 3)
    assert result["t"].dims == ("lead", "member", "lat", "lon") and result.sizes["member"] == 1
    assert (
        result["lat"].values.tolist() == mine["lat"].values.tolist() and result.attrs["input_title"] == "mine"
    )
    last = pd.Timestamp(mine["time"].values[-1])
    assert pd.Timestamp(result["forecast_reference_time"].values) == last
    assert result["time"].values.tolist() == list(
        (last + pd.to_timedelta([1, 2, 3], "D")).values.astype("M8[ns]").tolist()
    )
    assert result["lead"].values.tolist() == [24, 48, 72]

    def anomaly(field, day):
        usual = world.climatology["t"].sel(dayofyear=int(day_of_year(day.to_datetime64())[0]))
        return field - usual.values[::-1]

    expected = anomaly(mine["t"].isel(time=-1).values, last)
    for number in range(3):
        got = anomaly(result["t"].values[number, 0], last + pd.Timedelta(days=number + 1))
        assert np.allclose(got, expected, atol=2e-3)


def test_coordinates_of_the_last_time_stay_behind(mine, persistence):
    """The season of the last time is not that of the leads."""
    seasonal = mine.assign_coords(season=mine["time"].dt.season, model_run=7)
    forecast = persistence.forecast(seasonal, 2)
    assert "season" not in forecast.coords and forecast["model_run"] == 7


def test_segments_of_stored_fields_stay_behind(world, persistence):
    stored = world.split("test").isel(time=slice(3))
    assert "segment" in stored.coords
    assert "segment" not in persistence.forecast(stored, 1).coords


def test_members_have_a_mean_and_a_spread_and_follow_the_seed(network, mine):
    item, again, other = (network.forecast(mine, 2, members=4, seed=seed) for seed in (1, 1, 2))
    assert item.identical(again) and not np.allclose(item["t"], other["t"])
    assert np.allclose(item["t_mean"], item["t"].mean("member"), rtol=1e-5)
    assert item["z_spread"].dims == ("lead", "lat", "lon") and item["t"].attrs["units"] == "K"


def test_states_before_the_last_ones_do_not_matter(network, mine):
    longer, shorter = network.forecast(mine, 1), network.forecast(mine.isel(time=slice(1, None)), 1)
    assert np.array_equal(longer["t"], shorter["t"])


def test_values_that_are_not_in_their_units_are_refused(persistence, mine):
    with pytest.raises(InputError, match="half of the values of 't' in the data set"):
        persistence.forecast(mine.assign(t=(mine["t"] - 273.15).assign_attrs(mine["t"].attrs)), 1)


def test_a_file_in_other_units_is_forecast_in_its_units(network, mine):
    celsius = mine.assign(t=(mine["t"] - 273.15).assign_attrs(mine["t"].attrs, units="degC"))
    expected, forecast = (network.forecast(each, 2, members=4) for each in (mine, celsius))
    for part, offset in (("", 273.15), ("_mean", 273.15), ("_spread", 0)):
        np.testing.assert_allclose(forecast[f"t{part}"], expected[f"t{part}"] - offset, atol=2e-4)
        assert forecast[f"t{part}"].attrs["units"] == "degC"
    np.testing.assert_allclose(forecast["z"], expected["z"], rtol=1e-5)


def holes(data):
    return data.assign(z=data["z"].where(data["time"] < data["time"][-1]))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: d.isel(time=[-1]), ("has 1 state;", "the last 2")),
        (lambda d: d.isel(time=[0, 2]), ("48 hours apart", "steps of 24 hours")),
        (lambda d: d[["t"]], ("no variable 'z'", "a forecast starts from complete states")),
        (lambda d: d.isel(lon=slice(6)), ("the longitudes of",)),
        (lambda d: d.assign(t=d["t"].assign_attrs(units="Pa")), ("'Pa'", "'K'", "cannot be converted")),
        (holes, ("'z'", "missing values on", "complete states")),
    ],
)
def test_an_unsuitable_file_is_reported_in_one_sentence(network, mine, spoil, words):
    with pytest.raises(InputError) as error:
        network.forecast(spoil(mine), 1)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_a_task_is_asked_of_its_own_models(network, mine):
    with pytest.raises(InputError, match="of the task 'forecast': fill needs"):
        network.fill(mine)
    with pytest.raises(InputError, match="steps = 0: give a whole number from 1"):
        network.forecast(mine, 0)


def test_the_same_weights_may_be_stepped_in_another_way(load, mine):
    config = {"type": "stepped.Stepped", "model": {"type": "vae.ConditionalVAE", "history": 2, "latent": 3}}
    euler, rk4 = load(config), load(config, options={"scheme": "rk4"})
    weights = euler.checkpoint.model.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in rk4.checkpoint.model.state_dict().items())
    item, other = (model.forecast(mine, steps=1, members=2) for model in (euler, rk4))
    name = next(iter(item.data_vars))
    assert not np.allclose(item[name], other[name], rtol=1e-4)
    trained = load({**config, "scheme": "rk4"}).checkpoint.model  # by one-step differences, as with Euler
    assert all(torch.equal(weights[key], value) for key, value in trained.state_dict().items())
    with pytest.raises(InputError, match=r"unknown option of stepped\.Stepped"):
        load(config, options={"sceme": "rk4"})
