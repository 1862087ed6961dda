"""Fit, save, load and score without Kedro, on waves whose truth is at hand."""

import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scores.probability import crps_for_ensemble

import fieldcast
from fieldcast.errors import InputError
from fieldcast.fields.conventions import as_dataset
from fieldcast.fields.ingest import ingest
from fieldcast.geometry import cell_areas
from fieldcast.inference.trained_model import TrainedModel
from fieldcast.standalone import fitting
from fieldcast.standalone.scoring import statistics_of
from fieldcast.training.run import Recipe

CONF = Path(__file__).parents[1] / "conf"
LATITUDE, LONGITUDE = np.linspace(-60, 60, 5), np.arange(0, 360, 45.0)
GRID = {
    "latitude": ("latitude", LATITUDE, {"units": "degrees_north"}),
    "longitude": ("longitude", LONGITUDE, {"units": "degrees_east"}),
}


@pytest.fixture(scope="module")
def waves() -> xr.Dataset:
    """Two years of a travelling wave with noise."""
    rng, days = np.random.default_rng(0), np.arange(730)[:, None, None]
    phase = np.deg2rad(LONGITUDE) + days / 9 + rng.standard_normal((730, 1, 1)).cumsum(0) / 5
    wave = 5 * np.sin(phase) * np.cos(np.deg2rad(LATITUDE))[:, None]
    values = (280 + wave + rng.standard_normal(wave.shape) / 2).astype(np.float32)
    time = pd.date_range("2001-01-01", periods=730)
    return xr.Dataset(
        {"t": (("time", "latitude", "longitude"), values, {"units": "K"})}, {"time": time, **GRID}
    )


@pytest.fixture(scope="module")
def model(waves: xr.Dataset) -> TrainedModel:
    return fieldcast.fit(waves["t"], "reconstruct.optimal_interpolation", fit={"tuning": 16}, conf=CONF)


def test_a_script_trains_in_its_process_unless_it_gives_a_number_of_ranks(waves, monkeypatch):
    """Ranks import the script that starts them: one that is not prepared for this would start itself again."""
    ranks = []

    def stopped(recipe: Recipe, *_: object) -> NoReturn:
        ranks.append(recipe.fit.ranks)
        raise InterruptedError

    monkeypatch.setattr(fitting, "train", stopped)
    for options in ({}, {"ranks": 2}):
        with pytest.raises(InterruptedError):
            fieldcast.fit(waves["t"], "reconstruct.denoising_vae", fit=options, conf=CONF)
    assert ranks == [1, 2]


@pytest.fixture(scope="module")
def gappy(waves: xr.Dataset) -> xr.Dataset:
    """The last hundred days, of which a fifth of the cells was observed."""
    last = waves.isel(time=slice(-100, None))
    with xr.set_options(keep_attrs=True):
        return last.where(np.random.default_rng(1).random(last["t"].shape) < 0.2)


def test_a_fitted_model_fills_better_than_the_climatology(
    model: TrainedModel, waves: xr.Dataset, gappy: xr.Dataset
) -> None:
    filled = model.fill(gappy["t"], members=5)
    truth = waves["t"].isel(time=slice(-100, None))
    climatology = waves["t"].isel(time=slice(0, 510)).mean("time")
    errors = [float(((estimate - truth) ** 2).mean()) for estimate in (filled["t_mean"], climatology)]
    assert errors[0] < 0.25 * errors[1]
    observed = gappy["t"].notnull().values
    np.testing.assert_array_equal(filled["t_mean"].values[observed], truth.values[observed])


def test_a_saved_model_draws_the_same(model: TrainedModel, gappy: xr.Dataset, tmp_path: Path) -> None:
    first, second = tmp_path / "mine.safetensors", tmp_path / "again.safetensors"
    model.save(first)
    loaded = fieldcast.load(first)
    xr.testing.assert_identical(loaded.fill(gappy, members=2), model.fill(gappy, members=2))
    loaded.save(second)
    assert first.read_bytes() == second.read_bytes() and len(list(tmp_path.iterdir())) == 2


def test_reconstructions_are_scored_at_unobserved_cells(
    model: TrainedModel, waves: xr.Dataset, gappy: xr.Dataset
) -> None:
    truth, filled = waves.isel(time=slice(-100, None)), model.fill(gappy, members=5)
    table = fieldcast.score(truth, filled, task="reconstruct", observed=gappy, training=waves)
    board = table.set_index(["score", "cells", "variable"])["value"]
    hidden = gappy["t"].isnull().values
    error = (filled["t"].mean("member") - truth["t"]).values
    area = np.broadcast_to(cell_areas(LATITUDE, LONGITUDE), error.shape)
    daily = [np.average(e[h] ** 2, weights=a[h]) for e, h, a in zip(error, hidden, area, strict=True)]
    np.testing.assert_allclose(board["rmse", "unobserved", "t"], np.sqrt(np.mean(daily)), rtol=1e-4)
    assert {"crps", "ssr", "ssim", "coverage90"} <= set(table["score"])


def test_the_time_step_of_scores_is_that_of_the_truth(waves: xr.Dataset) -> None:
    every_other, _ = ingest(as_dataset(waves.isel(time=slice(-100, None, 2)), "the truth"), "the truth")
    assert statistics_of(every_other, waves).time_step.hours == 48


def test_reconstructions_in_other_places_are_refused_and_few_are_enough(
    model: TrainedModel, waves: xr.Dataset, gappy: xr.Dataset
) -> None:
    truth, filled = waves.isel(time=slice(-100, None)), model.fill(gappy, members=3)

    def scored(truth: xr.Dataset, filled: xr.Dataset, training: xr.Dataset | None = waves) -> pd.DataFrame:
        return fieldcast.score(truth, filled, task="reconstruct", observed=gappy, training=training)

    celsius = filled.assign(t=(filled["t"] - 273.15).assign_attrs(units="degC"))
    table, converted = scored(truth, filled), scored(truth, celsius)
    np.testing.assert_allclose(converted["value"], table["value"], rtol=1e-4, atol=1e-4)
    pascals = filled.assign(t=filled["t"].assign_attrs(units="Pa"))
    with pytest.raises(InputError, match=r"'t' of the reconstructions is in 'Pa', .* converted to 'K'"):
        scored(truth, pascals)
    moved = truth.assign_coords(latitude=truth["latitude"] + 1.25)
    with pytest.raises(InputError, match="the latitudes of the observed data are"):
        scored(moved, filled, None)
    with pytest.raises(InputError, match="the truth lacks"):
        scored(truth.isel(time=slice(0, 50)), filled)
    few = fieldcast.score(
        truth.isel(time=slice(0, 9)), filled.isel(time=slice(0, 9)),
        task="reconstruct", observed=gappy.isel(time=slice(0, 9)), training=waves,
    )  # fmt: skip
    assert few["value"].notna().any()
    with pytest.raises(InputError, match="too few for a climatology: pass `training`"):
        scored(truth.isel(time=slice(0, 9)), filled, None)


def test_a_single_member_is_scored_with_a_warning(
    model: TrainedModel, waves: xr.Dataset, gappy: xr.Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    truth, filled = waves.isel(time=slice(-100, None)), model.fill(gappy, members=5)
    for draws, warnings in ((filled, 0), (filled[["t_mean"]].rename(t_mean="t"), 1)):
        caplog.clear()
        fieldcast.score(truth, draws, task="reconstruct", observed=gappy, training=waves)
        assert caplog.text.count("the draws have one member") == warnings


def test_scores_that_are_missing_or_biased_are_explained(
    model: TrainedModel, waves: xr.Dataset, gappy: xr.Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    truth = waves.isel(time=slice(-100, None))
    for members, lacking in ((12, "coverage90 cannot be computed from 12 members"), (19, "")):
        caplog.clear()
        table = fieldcast.score(
            truth, model.fill(gappy, members=members), task="reconstruct", observed=gappy, training=waves
        )
        assert lacking in caplog.text
        assert ("cannot be computed" in caplog.text) == bool(lacking)
        assert table.query("score == 'coverage90'")["value"].notna().any() != bool(lacking)
    caplog.clear()
    fieldcast.score(truth, model.fill(gappy, members=3), task="reconstruct", observed=gappy)
    assert "the truth spans 0.3 years, so that" in caplog.text


def test_missing_intervals_and_scores_of_unobserved_cells_are_explained(
    model: TrainedModel, waves: xr.Dataset, gappy: xr.Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    truth, filled = waves.isel(time=slice(-100, None)), model.fill(gappy, members=3)
    few, complete = "`low` and `high` are NaN: 3 times are needed, and 30 days.", "have values in all cells"
    for days, observed, expected in ((100, gappy, []), (29, gappy, [few]), (100, truth, [complete])):
        caplog.clear()
        parts = [data.isel(time=slice(days)) for data in (truth, filled, observed)]
        fieldcast.score(*parts[:2], task="reconstruct", observed=parts[2], training=waves)
        assert [text for text in (few, complete) if text in caplog.text] == expected


def test_misspelt_tasks_and_options_are_refused(waves: xr.Dataset) -> None:
    with pytest.raises(InputError, match=r"^score: task is 'reconstrct'; give forecast or reconstruct\.$"):
        fieldcast.score(waves, waves, task="reconstrct")
    with pytest.raises(InputError, match=r"^fit\.stepz: there is no such option; did you mean fit\.steps\?"):
        fieldcast.fit(waves, "reconstruct.optimal_interpolation", fit={"stepz": 3}, conf=CONF)


def test_models_declare_their_properties(model: TrainedModel) -> None:
    kind = "reconstruct, optimal_interpolation.OptimalInterpolation"
    assert repr(model) == f"TrainedModel({kind}: t on 5 x 8 cells)"


def test_forecasts_of_any_origin_have_the_scores_of_an_independent_library(waves: xr.Dataset) -> None:
    rng = np.random.default_rng(2)
    truth = np.stack([waves["t"].values[100 + lead : 140 + lead] for lead in (1, 2)])
    dims = ("lead_time", "init_time", "number", "latitude", "longitude")
    coords: dict[str, Any] = {
        "lead_time": pd.to_timedelta([1, 2], "D"), "init_time": waves["time"].values[100:140], "number": range(4),
    }  # fmt: skip
    noise = rng.standard_normal((2, 40, 4, 5, 8)).astype(np.float32)
    forecasts = xr.DataArray(truth[:, :, None] + noise, {**coords, **GRID}, dims, "t", {"units": "K"})
    board = fieldcast.score(waves, forecasts).query("region == 'domain' and variable == 't'")
    values = board.set_index(["score", "lead_hours"])["value"]
    actual = forecasts.isel(number=0, drop=True).copy(data=truth)
    area = xr.DataArray(cell_areas(LATITUDE, LONGITUDE), dims=("latitude", "longitude"))
    area = area.broadcast_like(actual.isel(lead_time=0, init_time=0, drop=True))
    over = ("init_time", "latitude", "longitude")
    crps = crps_for_ensemble(forecasts, actual, "number", method="fair", preserve_dims="all")
    np.testing.assert_allclose(values["crps"].sort_index(), crps.weighted(area).mean(over), rtol=1e-5)
    error = ((forecasts.mean("number") - actual) ** 2).weighted(area).mean(over)
    np.testing.assert_allclose(values["rmse"].sort_index(), np.sqrt(error), rtol=1e-5)


def forecasts_of(waves: xr.Dataset, leads: int = 3) -> xr.Dataset:
    """Two members, of which one is the truth and the other is 1 K too warm, from forty days."""
    days, leads_in_days = waves["time"].values[100:140], np.arange(1, leads + 1)
    actual = np.stack([waves["t"].values[100 + lead : 140 + lead] for lead in leads_in_days])
    dims = ("lead_time", "init_time", "number", "latitude", "longitude")
    coords: dict[str, Any] = {"lead_time": pd.to_timedelta(leads_in_days, "D"), "init_time": days}
    values = np.stack([actual, actual + 1], axis=2)
    return xr.Dataset({"t": (dims, values, {"units": "K"})}, {**coords, **GRID})


@pytest.mark.parametrize("units", ["K", "degC", "mK"])
def test_forecasts_with_a_wrong_unit_are_refused(waves: xr.Dataset, units: str) -> None:
    forecasts = forecasts_of(waves)
    wrong = forecasts.assign(t=(forecasts["t"] * (100 if units == "K" else 1)).assign_attrs(units=units))
    with pytest.raises(
        InputError, match=rf"'t' in the forecasts .* in {units}, .* the units of the truth\.$"
    ):
        fieldcast.score(waves, wrong)


def test_messages_on_forecasts_agree_in_number(waves: xr.Dataset) -> None:
    forecasts = forecasts_of(waves)
    for wrong, sentence in (
        (forecasts.rename(t="u"), "there is no variable 't' in the forecasts, only u: add it"),
        (
            forecasts.isel(latitude=slice(3)),
            "those of the fields 5 .*: interpolate to the grid of the fields",
        ),
        (
            forecasts.assign_coords(lead_time=[1.0, 2.0, 3.0]),
            "where a forecast is valid: 1 h after 2001-04-11T00:00:00;",
        ),
    ):
        with pytest.raises(InputError, match=sentence):
            fieldcast.score(waves, wrong)


def test_forecasts_that_blow_up_are_scored(waves: xr.Dataset) -> None:
    forecasts = forecasts_of(waves)
    growing = forecasts["t"] * xr.DataArray([1.0, 1e3, 1e6], dims="lead_time")
    for values in (growing, growing.where(growing["init_time"] > growing["init_time"][0], np.inf)):
        board = fieldcast.score(waves, forecasts.assign(t=values.assign_attrs(units="K")))
        last = board.query("score == 'rmse' and lead_hours == 72 and region == 'domain'")["value"]
        assert len(last) and (last > 1e5).all()


def test_reconstructions_with_a_wrong_unit_are_refused(
    model: TrainedModel, waves: xr.Dataset, gappy: xr.Dataset
) -> None:
    truth, filled = waves.isel(time=slice(-100, None)), model.fill(gappy, members=3)
    wrong = filled.assign(t=filled["t"].assign_attrs(units="degC"))
    with pytest.raises(
        InputError, match=r"'t' in the reconstructions .* in degC, .* the units of the truth\.$"
    ):
        fieldcast.score(truth, wrong, task="reconstruct", observed=gappy, training=waves)


def test_a_model_learns_from_values_that_are_missing_at_some_times(waves: xr.Dataset) -> None:
    kept = np.random.default_rng(2).random(waves["t"].shape) < 0.5
    with pytest.raises(InputError, match="missing"):
        fieldcast.fit(waves.where(kept), "reconstruct.gappy_pca", conf=CONF)
    model = fieldcast.fit(waves.where(kept), "reconstruct.gappy_pca", missing="train", conf=CONF)
    last = waves.isel(time=slice(-50, None))
    filled = model.fill(last.where(kept[-50:]), members=2)
    error = (filled["t_mean"] - last["t"]).values[~kept[-50:]]
    climatology = (last["t"] - waves["t"].mean("time")).values[~kept[-50:]]
    assert np.sqrt((error**2).mean()) < 0.4 * np.sqrt((climatology**2).mean())


@pytest.mark.parametrize(
    ("experiment", "options", "message"),
    [
        ("reconstruct.optimal", {}, "no experiment 'reconstruct.optimal' in"),
        ("forecast.vae_mean", {}, "is not trained itself: name the experiment whose weights it uses"),
        (
            "forecast.perfect_model",
            {},
            "is of type File: its forecasts were made elsewhere, so there is nothing",
        ),
        ("reconstruct.pooled", {}, "is made of the checkpoints of other experiments: run"),
        (
            "reconstruct.linear",
            {"fit": {"step": 3}},
            "fit.step: there is no such option; did you mean fit.steps",
        ),
        (
            "reconstruct.linear",
            {"fit": {"ranks": 0}},
            "fit.ranks = 0 should be 'auto' or greater than or equal to 1",
        ),
        ("assimilate.letkf", {}, "'assimilate.letkf': experiments of assimilate are not fitted here: run"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_a_sentence(
    waves: xr.Dataset, experiment: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        fieldcast.fit(waves, experiment, conf=CONF, **options)


def test_arrays_need_a_name(waves: xr.Dataset) -> None:
    with pytest.raises(InputError, match="DataArray without a name"):
        fieldcast.fit(waves["t"].rename(None), "reconstruct.linear", conf=CONF)
    values: Any = waves["t"].values
    with pytest.raises(InputError, match="is a ndarray: give a Dataset"):
        fieldcast.score(values, waves)


def test_in_any_folder_and_without_a_change_to_logging(tmp_path: Path, waves: xr.Dataset) -> None:
    """A script beside the data: the configuration is the installed one, and messages look as the caller set them."""
    waves.to_netcdf(tmp_path / "complete.nc")
    script = """
import logging, sys, xarray as xr, fieldcast
hook = sys.excepthook
fieldcast.fit(xr.open_dataset("complete.nc"), "reconstruct.climatology").save("mine.safetensors")
assert not logging.getLogger().handlers and sys.excepthook is hook
"""
    environment = {key: value for key, value in os.environ.items() if key != "FIELDCAST_CONF"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert (tmp_path / "mine.safetensors").exists()


def test_another_folder_of_configuration(
    tmp_path: Path, waves: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIELDCAST_CONF", str(tmp_path))
    with pytest.raises(InputError, match=f"there is no configuration in {tmp_path}: "):
        fieldcast.fit(waves, "reconstruct.climatology")


def test_where_nothing_is_observed_for_validation_nothing_is_tuned(waves: xr.Dataset, caplog: Any) -> None:
    kept = np.random.default_rng(3).random(waves["t"].shape) < 0.5
    kept[500:600] = False  # the validation split is 511 to 583
    model = fieldcast.fit(waves.where(kept), "reconstruct.optimal_interpolation", missing="train", conf=CONF)
    assert caplog.text.count("nothing is observed in the validation split, so nothing is tuned.") == 1
    assert "not finite" not in caplog.text
    assert model.fill(waves.isel(time=slice(2)), members=2)["t"].notnull().all()


def test_variables_in_different_cells_are_refused(waves: xr.Dataset) -> None:
    """Sea surface temperature beside air temperature: a draw of both has no value on land."""
    both = waves.assign(sst=waves["t"].where(waves["longitude"] > 100))
    with pytest.raises(
        InputError,
        match=r"values in different cells \('t' in 40, 'sst' in 25\).* select some of them with ingestion.variables",
    ):
        fieldcast.fit(both, "reconstruct.climatology", conf=CONF)
    alike = both.where(waves["longitude"] > 100)
    draws = fieldcast.fit(alike, "reconstruct.climatology", conf=CONF).fill(
        alike.isel(time=slice(2)), members=2
    )
    assert (draws["sst"].notnull() == (waves["longitude"] > 100)).all()


def test_training_data_are_compared_with_the_truth(waves: xr.Dataset) -> None:
    """Millikelvin are converted; another grid, or variables that are missing, are refused."""
    truth, forecasts = waves.isel(time=slice(90, 160)), forecasts_of(waves)
    training = waves.isel(time=slice(0, 700))
    in_millikelvin = (1000 * training.astype(float)).assign(t=lambda d: d["t"].assign_attrs(units="mK"))
    expected = fieldcast.score(truth, forecasts, training=training)
    pd.testing.assert_frame_equal(
        fieldcast.score(truth, forecasts, training=in_millikelvin), expected, rtol=1e-4, check_dtype=False
    )
    static = truth.assign(zs=truth["t"][0].drop_vars("time").assign_attrs(units="m"))
    scores = fieldcast.score(static, forecasts, training=training)
    pd.testing.assert_frame_equal(scores.drop(columns="data_digest"), expected.drop(columns="data_digest"))
    with pytest.raises(InputError, match=r"the training data"):
        fieldcast.score(truth, forecasts, training=training.isel(latitude=slice(0, 4)))
    with pytest.raises(InputError, match=r"the training data"):
        fieldcast.score(truth, forecasts, training=training.rename(t="other"))


def test_the_examples_for_earth2studio_work(
    waves: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrays of its layout are scored as by hand; it reads ours by its own classes where it is installed."""
    page = (CONF.parent / "docs/neighbours.md").read_text(encoding="utf-8")
    section = page.partition("### To and from earth2studio")[2].partition("\n## ")[0]
    examples = re.findall(r"```python\n(.*?)```", section, re.S)
    monkeypatch.chdir(tmp_path)
    grid = {"time": waves["time"], "lat": LATITUDE[::-1], "lon": LONGITUDE}
    source = xr.DataArray(waves["t"].values[:, ::-1], grid, ("time", "lat", "lon"))
    source.expand_dims(variable=["t2m"]).transpose("time", "variable", "lat", "lon").to_netcdf("source.nc")
    starts, leads = np.arange(600, 720, 6), np.arange(4)
    errors = np.array([-2.0, 2.0, 3.0])[:, None, None, None, None] * leads[:, None, None]
    theirs = source.values[starts[:, None] + leads] + errors  # (ensemble, time, lead_time, lat, lon)
    coords = {
        "ensemble": range(3), "time": waves["time"].values[starts],
        "lead_time": leads.astype("timedelta64[D]").astype("timedelta64[ns]"), "lat": grid["lat"], "lon": LONGITUDE,
    }  # fmt: skip
    xr.DataArray(theirs.astype("f4"), coords, tuple(coords), "t2m").to_dataset().to_netcdf("earth2studio.nc")
    variables: dict[str, Any] = {}
    for example in examples:
        exec(example, variables)
    rows = variables["scores"].query("score == 'rmse' and region == 'domain' and variable == 't2m'")
    np.testing.assert_allclose(rows["lead_hours"], 24 * leads[1:])
    np.testing.assert_allclose(rows["value"], leads[1:], rtol=1e-4)  # the mean error is 1 K a day
    (start,) = variables["ours"]["time"].values
    forecast = xr.open_dataset("forecast.nc")
    ours = xr.open_dataset("ours.nc", decode_timedelta=True).to_array("variable")
    assert ours.sizes["time"] == 1 and {"variable", "lead_time", "ensemble", "lat", "lon"} < {*ours.dims}
    np.testing.assert_array_equal(start + ours["lead_time"].values, forecast["time"].values)
    at = {"variable": "t2m", "ensemble": 2, "lat": LATITUDE[1], "lon": 90.0}
    expected = forecast["t2m"].sel(member=2, lat=LATITUDE[1], lon=90.0)
    np.testing.assert_array_equal(ours.sel(at).squeeze(), expected)
    states = xr.open_dataarray("states.nc")
    xr.testing.assert_equal(states.sel(variable="t2m", drop=True), source)
    with suppress(ImportError):
        from earth2studio.data import DataArrayFile, InferenceOutputSource

        read = InferenceOutputSource("ours.nc", {"ensemble": 2})(forecast["time"].values, ["t2m"])
        np.testing.assert_array_equal(read.sel(lat=LATITUDE[1], lon=90.0).squeeze(), expected)
        kept = DataArrayFile("states.nc")([pd.Timestamp("2001-02-01")], ["t2m"])
        np.testing.assert_array_equal(kept.squeeze(), source.sel(time="2001-02-01").squeeze())
