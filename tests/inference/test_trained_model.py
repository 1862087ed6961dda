import os
import re

import numpy as np
import pytest
import xarray as xr

import fieldcast
from fieldcast.encoding.options import Limits, Sparsification
from fieldcast.errors import InputError
from fieldcast.inference.trained_model import trained_model
from fieldcast.tasks.reconstruct import Reconstruction
from fieldcast.training.options import Fit
from fieldcast.training.run import Recipe, train


@pytest.fixture(scope="module")
def checkpoint(world, tmp_path_factory):
    """Optimal interpolation, trained on noise-free observations."""
    model = {"type": "optimal_interpolation.OptimalInterpolation"}
    recipe = Recipe(Reconstruction(Sparsification()), model, Fit(), 0, Limits(times=6), "cpu")
    path = tmp_path_factory.mktemp("models") / "checkpoint.safetensors"
    path.write_bytes(list(train(recipe, world.data, None))[-1].checkpoint)
    return path


@pytest.fixture
def gappy(world):
    """Three test days of which 60 % is missing."""
    truth = world.split("test").isel(time=slice(10, 13))
    holes = np.random.default_rng(0).uniform(size=truth["t"].shape) < 0.6
    data = truth[["t", "z"]].where(xr.DataArray(~holes, dims=truth["t"].dims))
    data.attrs = {"title": "mine"}
    return data, truth


def test_filling_is_close_to_the_truth_and_keeps_what_was_observed(checkpoint, gappy):
    data, truth = gappy
    filled = fieldcast.load(checkpoint).fill(data, members=9)
    assert filled.sizes["member"] == 9 and "segment" in data.coords and "segment" not in filled.coords
    for v in ("t", "z"):
        assert np.isfinite(filled[v]).all()
        recorded = np.isfinite(data[v])
        assert bool((filled[v] == data[v]).where(recorded, True).all())
        error = (filled[f"{v}_mean"] - truth[v]).where(~recorded)
        assert float(np.sqrt((error**2).mean())) < 0.5 * float((truth[v] - truth[v].mean()).std())
        np.testing.assert_allclose(
            filled[f"{v}_spread"], filled[v].std("member", ddof=1), rtol=1e-3, atol=1e-3
        )
        assert float(filled[f"{v}_spread"].where(recorded).max()) < 1e-3
        assert filled[v].attrs["units"] == filled[f"{v}_mean"].attrs["units"] == data[v].attrs["units"]
    assert filled.attrs["input_title"] == "mine"


def test_with_noise_observed_cells_are_weighed_and_not_kept(checkpoint, gappy):
    data, _ = gappy
    filled = fieldcast.load(checkpoint).fill(data, members=5, noise=0.3)
    assert float(abs(filled["t"] - data["t"]).max()) > 0.05


def test_the_error_of_each_value_weighs_it(checkpoint, gappy, monkeypatch):
    """Half of the values of t are nearly exact, the others are hardly worth anything."""
    data, truth = gappy
    model, rng = fieldcast.load(checkpoint), np.random.default_rng(3)
    size = float(truth["t"].std())
    error = xr.full_like(data["t"], 0.02 * size).where(rng.random(data["t"].shape) < 0.5, 2 * size)
    noisy = data.assign(t=data["t"] + error * rng.normal(size=error.shape), uncertainty=error)
    noisy["t"].attrs = noisy["uncertainty"].attrs = data["t"].attrs
    given = {"t": "uncertainty"}
    weighed, alike = (
        model.fill(noisy[[*names]], members=9, noise=noise)["t_mean"]
        for names, noise in ((("t", "z", "uncertainty"), given), (("t", "z"), 1.0))
    )
    poor = np.isfinite(data["t"]) & (error > size)
    rms, of_alike = (
        float(np.sqrt(((mean - truth["t"]).where(poor) ** 2).mean())) for mean in (weighed, alike)
    )
    assert rms < 0.5 * 2 * size and rms < 0.8 * of_alike
    both = model.fill(data, members=5, noise={"t": 0.3, "z": 0.3})
    xr.testing.assert_allclose(both, model.fill(data, members=5, noise=0.3), rtol=1e-4)
    monkeypatch.setattr(type(model.checkpoint.model), "accepts_points", False)
    with pytest.raises(
        InputError, match="noise gives observations different errors, and a model of type Optimal"
    ):
        model.fill(noisy, noise=given)


def test_an_error_with_a_unit_is_that_of_anomaly_standard_deviations(checkpoint, gappy):
    data, _ = gappy
    model = fieldcast.load(checkpoint)
    deviation = float(model.checkpoint.field_codec.deviation[model.checkpoint.field_codec.names.index("t")])
    units, only = data["t"].attrs["units"], data[["t"]]
    one, other = (
        model.fill(only, members=5, noise=noise)
        for noise in ({"t": f"{0.3 * deviation:.9g} {units}", "z": 0.3}, 0.3)
    )
    np.testing.assert_allclose(one["t"], other["t"], rtol=1e-4)


def test_a_value_that_nothing_explains_is_flagged_listed_and_kept(checkpoint, gappy, caplog):
    """One reading of t is 40 standard deviations too high: its neighbours hardly change, and the log lists it."""
    data, truth = gappy
    spoiled, at = data.copy(deep=True), tuple(np.argwhere(np.isfinite(data["t"].values))[20])
    wrong = float(truth["t"].values[at] + 40 * truth["t"].std())
    spoiled["t"].values[at] = wrong
    model = fieldcast.load(checkpoint)
    clean, filled = model.fill(data, members=9), model.fill(spoiled, members=9, where="'mine.nc'")
    flags = filled["t_suspect"].values
    assert flags.sum() == 1
    assert flags[at] == 1
    assert not filled["z_suspect"].any()
    assert not clean["t_suspect"].any()
    assert (filled["t"].transpose("time", ..., "member").values[at] == np.float32(wrong)).all()
    hidden = np.isnan(data["t"])
    moved = abs(filled["t_mean"] - clean["t_mean"]).where(hidden).max()
    assert float(moved) < 3 * float(truth["t"].std())
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    sentence = record.getMessage()
    assert sentence.startswith(f"'mine.nc': 1 of {int((~hidden).sum())} observed values of t ")
    assert f"{wrong:.4g} at {str(data['time'].values[at[0]])[:10]}" in sentence


def test_a_model_loaded_with_other_options_is_saved_with_them(checkpoint, tmp_path):
    changed = fieldcast.load(checkpoint, options={"correlation": "exponential"})
    changed.save(tmp_path / "changed.safetensors")
    assert (
        fieldcast.load(tmp_path / "changed.safetensors").checkpoint.header["model"]["correlation"]
        == "exponential"
    )
    assert "correlation" not in fieldcast.load(checkpoint).checkpoint.header["model"]


def test_members_are_a_function_of_the_seed(checkpoint, gappy):
    model, data = fieldcast.load(checkpoint), gappy[0]
    xr.testing.assert_equal(model.fill(data, members=3, seed=1), model.fill(data, members=3, seed=1))
    assert not model.fill(data, members=3, seed=1)["t"].equals(model.fill(data, members=3, seed=2)["t"])


def test_the_result_has_the_layout_of_the_input(checkpoint, gappy):
    """Other names, north first, longitudes -180 to 180, another order: the same numbers in the same places."""
    data = gappy[0]
    plain = fieldcast.load(checkpoint).fill(data, members=3)
    dressed = data.assign_coords(longitude=(data["longitude"] + 180) % 360 - 180).sortby("longitude")
    dressed = dressed.isel(latitude=slice(None, None, -1)).rename(
        latitude="lat", longitude="lon", time="valid_time"
    )
    filled = fieldcast.load(checkpoint).fill(dressed.transpose("lon", "valid_time", "lat"), members=3)
    for name in ("lat", "lon", "valid_time"):
        assert filled[name].equals(dressed[name].drop_vars("segment", errors="ignore"))
    back = filled.rename(lat="latitude", lon="longitude", valid_time="time")
    back = back.assign_coords(longitude=back["longitude"] % 360).sortby("longitude").sortby("latitude")
    np.testing.assert_allclose(back["t"].transpose(*plain["t"].dims), plain["t"], atol=1e-3)


@pytest.mark.parametrize("units", ["degrees_east", "radians"])
def test_a_region_across_greenwich_may_count_its_longitudes_from_0(world, gappy, units):
    """The model was trained on longitudes from -90; the same meridians from 0 to 360 in the order of their numbers."""
    west = gappy[0].assign_coords(longitude=(gappy[0]["longitude"] + 180) % 360 - 180).sortby("longitude")
    past = world.split("train").assign_coords(longitude=(world.data.fields["longitude"] + 180) % 360 - 180)
    region = {"longitude": slice(-90, 90)}
    model = fieldcast.fit(
        past.sortby("longitude")[["t", "z"]].sel(region), "reconstruct.optimal_interpolation"
    )
    data = west.sel(region)
    plain = model.fill(data, members=3)
    longitude = (data["longitude"] % 360).assign_attrs(units="degrees_east")
    east = data.assign_coords(longitude=longitude).sortby("longitude")
    if units == "radians":
        east = east.assign_coords(longitude=np.deg2rad(east["longitude"]).assign_attrs(units=units))
    filled = model.fill(east, members=3)
    assert filled["longitude"].equals(east["longitude"])
    order = np.argsort(np.argsort(data["longitude"].values % 360))
    np.testing.assert_array_equal(filled["t"].isel(longitude=order).transpose(*plain["t"].dims), plain["t"])


def test_a_file_in_radians_is_filled_and_stays_in_radians(checkpoint, gappy):
    data = gappy[0]
    plain = fieldcast.load(checkpoint).fill(data, members=3)
    west = data.assign_coords(longitude=(data["longitude"] + 180) % 360 - 180).sortby("longitude")
    axes = ("latitude", "longitude")
    radians = west.assign_coords(
        {axis: np.deg2rad(west[axis]).assign_attrs(units="radians") for axis in axes}
    )
    filled = fieldcast.load(checkpoint).fill(radians, members=3)
    for axis in axes:
        assert filled[axis].equals(radians[axis]) and filled[axis].attrs["units"] == "radians"
    back = filled.assign_coords({axis: west[axis] for axis in axes})
    back = back.assign_coords(longitude=back["longitude"] % 360).sortby("longitude")
    np.testing.assert_allclose(back["t"].transpose(*plain["t"].dims), plain["t"], atol=1e-3)


def in_other_units(data):
    """Data whose t is in degrees Celsius and z in kilometres."""
    celsius = (data["t"] - 273.15).assign_attrs(data["t"].attrs, units="degC")
    return data.assign(t=celsius, z=(data["z"] / 1000).assign_attrs(data["z"].attrs, units="km"))


def test_observed_values_that_are_not_in_their_units_are_refused(checkpoint, gappy):
    data = gappy[0]
    wrong = data.assign(t=(data["t"] - 273.15).assign_attrs(data["t"].attrs))
    with pytest.raises(InputError, match="half of the values of 't' in the data set"):
        fieldcast.load(checkpoint).fill(wrong, members=2)


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_a_file_in_other_units_is_filled_in_its_units(checkpoint, gappy, noise):
    """Offsets are those of fields; a spread has none."""
    model, data = fieldcast.load(checkpoint), gappy[0]
    expected, filled = (model.fill(each, members=3, noise=noise) for each in (data, in_other_units(data)))
    assert set(filled.data_vars) == set(expected.data_vars)
    for part in ("", "_mean", "_spread"):
        offset = 0 if part == "_spread" else 273.15
        np.testing.assert_allclose(filled[f"t{part}"], expected[f"t{part}"] - offset, atol=2e-4)
        np.testing.assert_allclose(filled[f"z{part}"], expected[f"z{part}"] / 1000, rtol=1e-5, atol=1e-6)
        assert (filled[f"t{part}"].attrs["units"], filled[f"z{part}"].attrs["units"]) == ("degC", "km")
    if noise == 0:
        kept = in_other_units(data)["t"].astype("float32")
        assert bool((filled["t"] == kept).where(kept.notnull(), True).all())


def test_units_may_be_written_in_another_way(checkpoint, gappy):
    data = gappy[0]
    filled = fieldcast.load(checkpoint).fill(data.assign(z=data["z"].assign_attrs(units="metre")), members=2)
    np.testing.assert_array_equal(filled["z"], fieldcast.load(checkpoint).fill(data, members=2)["z"])
    assert filled["z_mean"].attrs["units"] == "metre"


def test_a_variable_that_is_absent_counts_as_unobserved(checkpoint, gappy, caplog):
    model, data = fieldcast.load(checkpoint), gappy[0]
    unobserved = data.assign(z=xr.full_like(data["z"], np.nan))
    filled, expected = model.fill(data[["t"]], members=3, where="mine"), model.fill(unobserved, members=3)
    xr.testing.assert_equal(filled, expected)
    assert np.isfinite(filled["z"]).all() and filled["z_mean"].attrs["units"] == data["z"].attrs["units"]
    (record,) = caplog.records
    assert record.getMessage() == "mine has no variable 'z' (it has t): it counts as unobserved."


@pytest.mark.parametrize(
    "kind", ["nearest", "linear", "thin_plate", "kriging", "gappy_pca", "climatology", "denoising_vae"]
)
def test_every_model_fills_a_variable_without_observations(world, gappy, kind):
    fields = world.fields.drop_vars("segment", errors="ignore")
    steps = {"steps": 2} if kind == "denoising_vae" else {}
    filled = fieldcast.fit(fields, f"reconstruct.{kind}", fit=steps).fill(gappy[0][["t"]], members=2)
    assert np.isfinite(filled["z_mean"]).all()


@pytest.mark.parametrize("value", [-999.0, -9999.0, 1e20, 32767.0])
def test_fill_values_that_are_not_declared_are_no_observations(checkpoint, gappy, value):
    data = gappy[0].fillna(value)
    with pytest.raises(
        InputError, match=rf"'t' of mine.nc holds {re.escape(f'{value:g}')} \d+ times, first at"
    ):
        fieldcast.load(checkpoint).fill(data.drop_vars("z").assign(z=gappy[0]["z"]), where="mine.nc")


def test_an_observation_that_looks_like_a_fill_value_is_one(checkpoint, gappy):
    """Few and near to one another, but within the climate."""
    data = gappy[0].copy(deep=True)
    data["z"][:] = np.nan
    data["z"][0, 3, :3] = [300.0, 300.5, 301.0]
    data["t"][0] = 280.0
    data["z"][1, 3, 3] = 305.0
    data["z"].encoding = {"dtype": "int16", "scale_factor": 0.5, "add_offset": 305 + 16384}  # -32768 is 305
    filled = fieldcast.load(checkpoint).fill(data, members=2)
    assert (filled["z"][1, :, 3, 3] == 305.0).all()
    assert not [key for name in filled for key in filled[name].attrs if key.startswith("fieldcast_")]


def test_two_versions_as_a_dimension_are_filled_as_one(checkpoint, gappy):
    data = gappy[0]
    later = xr.concat(
        [data, data.where(data["time"] > data["time"][0]) + 1], "expver", combine_attrs="override"
    )
    for name in data:
        later[name].attrs = data[name].attrs
    filled, plain = (
        fieldcast.load(checkpoint).fill(each, members=3)
        for each in (later.assign_coords(expver=[1, 5]), data)
    )
    recorded = np.isfinite(data["t"])
    xr.testing.assert_equal(filled["t"].where(recorded), plain["t"].where(recorded))


def test_times_in_two_versions_are_to_be_chosen_from(checkpoint, gappy):
    """Duplicate times would give the result other times than the input."""
    twice = xr.concat([gappy[0], gappy[0].isel(time=[2]) + 1], "time", combine_attrs="override")
    for name in twice:
        twice[name].attrs = gappy[0][name].attrs
    twice = twice.assign_coords(expver=("time", [1, 1, 1, 5]))
    with pytest.raises(
        InputError, match=r"mine.nc has 4 times, of which only 3 are distinct: choose one version of each"
    ):
        fieldcast.load(checkpoint).fill(twice, where="mine.nc")


def test_values_outside_the_valid_range_are_filled(checkpoint, gappy):
    spoilt = gappy[0].copy(deep=True)
    spoilt["t"][0, 2, 3] = 1e4
    spoilt["t"].attrs["valid_max"] = np.float32(400)
    filled = fieldcast.load(checkpoint).fill(spoilt, members=3)
    assert float(filled["t"].max()) < 400


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda d: d.drop_vars(["t", "z"]).assign(q=d["t"]),
            ("none of the model's variables t, z", "it has q"),
        ),
        (lambda d: d.assign(z=d["z"].isel(time=0, drop=True)), ("'z'", "has no time dimension")),
        (
            lambda d: d.assign(t=d["t"].assign_attrs(units="kg")),
            ("'t' of the data", "'kg'", "converted to 'K'"),
        ),
        (lambda d: d.isel(latitude=slice(1, None)), ("the latitudes of", "6 from", "7 from")),
        (lambda d: d.assign_coords(longitude=d["longitude"] + 5), ("the longitudes of",)),
        (lambda d: d.isel(time=slice(0, 0)), ("no time",)),
    ],
)
def test_an_unsuitable_file_is_reported_in_one_sentence(checkpoint, gappy, spoil, words):
    with pytest.raises(InputError) as raised:
        fieldcast.load(checkpoint).fill(spoil(gappy[0]))
    assert all(word in str(raised.value) for word in words), str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_or_a_device_that_is_not(tmp_path, checkpoint):
    with pytest.raises(InputError, match=r"nothing\.safetensors"):
        fieldcast.load(tmp_path / "nothing.safetensors")
    with pytest.raises(InputError, match="device 'abacus'"):
        fieldcast.load(checkpoint, device="abacus")


def test_inf_is_no_gap(checkpoint, gappy):
    data = gappy[0].copy(deep=True)
    data["z"][1, 2, 3] = np.inf
    with pytest.raises(InputError, match=r"'z' of the data set holds Inf .* on 2004-04-26T"):
        fieldcast.load(checkpoint).fill(data)


def test_experiments_are_looked_up_by_address(checkpoint, gappy):
    read = checkpoint.read_bytes
    parameters = {"reconstruct": {"mine": {"model": {}}, "other": {"model": {}}}, "seed": 0}
    created = trained_model("reconstruct.mine", parameters, {"reconstruct/mine": read})
    xr.testing.assert_equal(created.fill(gappy[0], 2), fieldcast.load(checkpoint).fill(gappy[0], 2))
    with pytest.raises(
        InputError, match=r"'reconstruct\.other' has not been trained yet .*reconstruct\.mine"
    ):
        trained_model("reconstruct.other", parameters, {"reconstruct/mine": read})
    parameters["forecast"] = {"perfect": {"model": {"type": "File", "dataset": "perfect_model"}}}
    with pytest.raises(
        InputError, match=r"'forecast\.perfect' is of type File: its forecasts were made elsewhere"
    ):
        trained_model("forecast.perfect", parameters, {"reconstruct/mine": read})
    for unknown in ("reconstruct.nothing", "mine", "seed.x", ""):
        with pytest.raises(InputError, match=f"there is no experiment '{unknown}'"):
            trained_model(unknown, parameters, {})


def test_borrowed_weights_are_drawn_from_as_the_borrower_says(checkpoint, gappy):
    model = {"type": "optimal_interpolation.OptimalInterpolation", "correlation": "exponential"}
    parameters = {"reconstruct": {"heir": {"model": model, "uses": {"weights": "reconstruct.mine"}}}}
    created = trained_model("reconstruct.heir", parameters, {"reconstruct/mine": checkpoint.read_bytes})
    private = fieldcast.load(checkpoint)
    assert (created.checkpoint.model.correlation, private.checkpoint.model.correlation) == (
        "exponential",
        "matern32",
    )


def test_a_data_array_is_a_data_set_of_one_variable(checkpoint, gappy):
    model, array = fieldcast.load(checkpoint), gappy[0]["t"]
    xr.testing.assert_identical(model.fill(array, 2), model.fill(array.to_dataset(), 2))
    with pytest.raises(InputError, match=r"mine is a DataArray without a name: give"):
        model.fill(array.rename(None), where="mine")


def test_units_that_are_absent_are_not_called_none(checkpoint, gappy):
    data = gappy[0].assign(t=gappy[0]["t"].drop_attrs())
    with pytest.raises(
        InputError,
        match=r"'t' of mine has no units; the model was trained in 'K': if that is its unit, set its attribute",
    ):
        fieldcast.load(checkpoint).fill(data, where="mine")


def test_a_pipe_is_no_checkpoint(tmp_path):
    os.mkfifo(tmp_path / "checkpoint.safetensors")
    with pytest.raises(InputError, match=r"cannot be read \(it is not a regular file\): name a checkpoint"):
        fieldcast.load(tmp_path / "checkpoint.safetensors")


def test_what_has_been_trained_is_offered():
    parameters = {"forecast": {"a": {"model": {"type": "x.X"}}, "b": {"model": {"type": "x.X"}}}}
    stored = {"forecast/b": bytes, "reconstruct/c": bytes}
    with pytest.raises(InputError, match=r"use a trained one: --params predict.experiment=forecast\.b\.$"):
        trained_model("forecast.a", parameters, stored, "predict.experiment")


def test_models_that_do_not_serve_are_neither_used_nor_offered():
    models = {
        name: {"model": {"type": kind}} for name, kind in zip("abc", ("x.X", "x.X", "y.Y"), strict=True)
    }
    parameters, stored = {"reconstruct": models}, {"reconstruct/b": bytes, "reconstruct/c": bytes}
    with pytest.raises(
        InputError, match=r"use a trained one: --params record_cycle.updater=reconstruct\.b\.$"
    ):
        trained_model("reconstruct.a", parameters, stored, "record_cycle.updater", ("x.X",))
    serving = (
        r"record_cycle.updater: 'reconstruct.c' cannot be used here; name reconstruct\.a or reconstruct\.b\."
    )
    with pytest.raises(InputError, match=serving):
        trained_model("reconstruct.c", parameters, stored, "record_cycle.updater", ("x.X",))
