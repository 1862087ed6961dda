"""Filling from stations: a field whose stations are read exactly, an error that is recovered, gross errors values."""

import logging
from dataclasses import replace

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import fieldcast
from fieldcast.calendars import TimeStep
from fieldcast.encoding.checkpoint import unpack
from fieldcast.encoding.options import Limits, Sparsification
from fieldcast.encoding.stations import nearest_times, points_of, times_of
from fieldcast.errors import InputError
from fieldcast.fields.stations import read_stations
from fieldcast.figures.maps import station_maps
from fieldcast.inference.file_options import Fill
from fieldcast.inference.options import Evaluation
from fieldcast.inference.reconstruct import context_of
from fieldcast.inference.stations.held_out import clusters, scores_at_held_out
from fieldcast.inference.stations.observations import representativeness
from fieldcast.inference.trained_model import TrainedModel
from fieldcast.models.interpolation import Nearest
from fieldcast.pipelines.station_scores.nodes import score
from fieldcast.tasks.reconstruct import Reconstruction
from fieldcast.training.options import Fit
from fieldcast.training.run import Recipe, train


@pytest.fixture(scope="module")
def model(world, tmp_path_factory) -> TrainedModel:
    recipe = Recipe(
        Reconstruction(Sparsification()),
        {"type": "optimal_interpolation.OptimalInterpolation"},
        Fit(),
        0,
        Limits(times=6),
        "cpu",
    )
    path = tmp_path_factory.mktemp("models") / "checkpoint.safetensors"
    path.write_bytes(list(train(recipe, world.data, None))[-1].checkpoint)
    return fieldcast.load(path)


@pytest.fixture(scope="module")
def checkpoint(model, tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("models") / "checkpoint.safetensors"
    model.save(path)
    return path.read_bytes()


def stations(truth: xr.Dataset, count: int, error: float, seed: int = 0) -> pd.DataFrame:
    """Readings of t at fixed places between cells, with an error."""
    rng = np.random.default_rng(seed)
    latitude = rng.uniform(float(truth["latitude"].min()), float(truth["latitude"].max()), count)
    longitude = rng.uniform(float(truth["longitude"].min()), float(truth["longitude"].max()), count)
    places = {"latitude": ("station", latitude), "longitude": ("station", longitude)}
    values = truth["t"].interp(**places)  # bilinear
    values = values + error * rng.normal(size=values.shape)
    table = values.rename("value").drop_attrs().to_dataframe().reset_index()
    return table.assign(variable="t")


def test_fields_alone_from_stations_alone(model, world) -> None:
    truth = world.split("test").isel(time=slice(10, 20))
    table = stations(truth, 60, 0.0)
    filled = model.fill(stations=table, members=9)
    assert filled.sizes["time"] == 10
    np.testing.assert_allclose(filled["latitude"], truth["latitude"])
    error = float(np.sqrt(((filled["t_mean"] - truth["t"]) ** 2).mean()))
    climatology = model.checkpoint.field_codec.climatology_at(truth["time"])[:, 0]
    assert error < 0.5 * float(np.sqrt(((climatology - truth["t"].values) ** 2).mean()))
    assert filled.attrs["fieldcast_stations"] == "600 observations, 0 of them left out"


def test_readings_far_from_the_time_at_which_they_count_are_mentioned(model, world, caplog) -> None:
    caplog.set_level(logging.INFO)
    table = stations(world.split("test").isel(time=slice(10, 12)), 20, 0.0)
    model.fill(stations=table.assign(time=table["time"] + pd.Timedelta(hours=2)), members=1)
    assert "h away" not in caplog.text
    noon = table["time"] + pd.Timedelta(hours=12)
    model.fill(stations=table.assign(time=noon), members=1)
    next_day = noon.min() + pd.Timedelta(hours=12)
    assert (
        f"up to 12 h away: that of {noon.min():%Y-%m-%d} 12:00 counts at {next_day:%Y-%m-%d} 00:00"
        in caplog.text
    )


def test_stations_improve_a_gappy_file(model, world) -> None:
    truth = world.split("test").isel(time=slice(10, 16))
    gappy = truth[["t", "z"]].where(np.random.default_rng(0).uniform(size=truth["t"].shape) < 0.1)
    alone = model.fill(gappy, members=3)
    both = model.fill(gappy, members=3, stations=stations(truth, 40, 0.01))
    squared = [float(((filled["t_mean"] - truth["t"]) ** 2).mean()) for filled in (alone, both)]
    assert squared[1] < 0.7 * squared[0]


def test_the_error_of_representativeness_is_recovered(model, world) -> None:
    truth = world.split("test").isel(time=slice(0, 12))
    codec = model.checkpoint.field_codec
    error = 0.5 * float(codec.deviation[list(codec.variables).index("t")])
    points = points_of(
        stations(truth, 150, error), truth["time"], codec, model.checkpoint.model.space, "'stations'"
    )
    nothing = context_of(model.nothing_observed(truth["time"]), codec, model.checkpoint.model.space, 0.0)
    variance = representativeness(model.checkpoint.model, replace(nothing, points=points))
    assert float(variance[codec.variables.index("t")]) == pytest.approx(0.25, rel=0.15)
    assert float(variance[codec.variables.index("z")]) == 0  # no station measures it


def test_gross_errors_are_left_out_and_listed(model, world, caplog) -> None:
    truth = world.split("test").isel(time=slice(10, 13))
    table = stations(truth, 60, 0.0)
    wrong = table.copy()
    wrong.loc[7, "value"] += 30 * float(truth["t"].std())
    with caplog.at_level(logging.WARNING):
        filled = model.fill(stations=wrong, members=2)
    assert "1 of 180 observations are more than 5 standard deviations" in caplog.text
    expected = model.fill(stations=table.drop(index=7), members=2)
    errors = [float(np.abs(each["t_mean"] - truth["t"]).max()) for each in (filled, expected)]
    assert errors[0] < 1.3 * errors[1]


@pytest.mark.parametrize("kind", ["optimal_interpolation.OptimalInterpolation", "kriging.Kriging"])
def test_an_extreme_in_a_cell_is_not_suspect_where_stations_confirm_it(kind, world) -> None:
    recipe = Recipe(Reconstruction(Sparsification()), {"type": kind}, Fit(), 0, Limits(times=6), "cpu")
    model = TrainedModel(unpack(list(train(recipe, world.data, None))[-1].checkpoint), "members")
    truth = world.split("test")[["t"]].isel(time=slice(10, 11))
    deviation = float(
        model.checkpoint.field_codec.deviation[list(model.checkpoint.field_codec.variables).index("t")]
    )
    truth = truth + 12 * deviation
    truth["t"].attrs = dict(world.fields["t"].attrs)
    cell = (truth["latitude"] == truth["latitude"][3]) & (truth["longitude"] == truth["longitude"][5])
    gappy = truth.where(cell)
    alone = model.fill(gappy, members=2)
    station = truth.where(cell, drop=True)["t"].rename("value").drop_attrs().to_dataframe().reset_index()
    beside = model.fill(gappy, members=2, stations=station.assign(variable="t"))
    assert int(alone["t_suspect"].sum()) == 1 and not beside["t_suspect"].any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variable": "snow"}, "is of a variable that the model lacks"),
        ({"units": "kg"}, "cannot be converted"),
    ],
)
def test_stations_of_another_world_are_refused(model, world, changes, message) -> None:
    truth = world.split("test").isel(time=slice(10, 12))
    with pytest.raises(InputError, match=message):
        model.fill(stations=stations(truth, 5, 0.0).assign(**changes))


def test_readings_in_other_units_than_the_model_are_refused(model, world) -> None:
    """Readings in hundreds of K: so large an error of representativeness would let none of them count as gross."""
    table = stations(world.split("test").isel(time=slice(10, 12)), 30, 0.0)
    readings = table.assign(value=table["value"] / 100)
    with pytest.raises(InputError, match="half of the values of 't' in the table of stations are more than"):
        model.fill(stations=readings)


def test_a_time_without_fields_and_nothing_at_all_are_refused(model, world) -> None:
    truth = world.split("test").isel(time=slice(10, 12))
    late = stations(truth, 5, 0.0)
    late["time"] += pd.Timedelta(days=40)
    with pytest.raises(InputError, match="is at a time for which there are no fields to fill"):
        model.fill(truth[["t"]].where(False), stations=late)
    with pytest.raises(InputError, match="fill needs a data set, stations, or both"):
        model.fill()


def test_stations_outside_a_region_are_refused(model, world) -> None:
    truth = world.split("test").isel(time=slice(10, 12))
    region = replace(model.checkpoint.field_codec, longitude=np.linspace(0.0, 30.0, truth.sizes["longitude"]))
    with pytest.raises(InputError, match="lies outside the model's grid"):
        points_of(stations(truth, 20, 0.0), truth["time"], region, model.checkpoint.model.space, "'stations'")


def test_swapped_coordinates_are_named(model, world) -> None:
    """A region's readings that all lie outside, and inside once latitude and longitude are swapped."""
    truth = world.split("test").isel(time=slice(10, 12))
    codec = model.checkpoint.field_codec
    region = replace(codec, longitude=np.linspace(100.0, 130.0, truth.sizes["longitude"]))
    readings = stations(truth, 20, 0.0).assign(longitude=115.0)
    swapped = readings.rename(columns={"latitude": "longitude", "longitude": "latitude"})
    with pytest.raises(InputError, match="check whether latitude and longitude are swapped"):
        points_of(swapped, truth["time"], region, model.checkpoint.model.space, "'stations'")


def test_scores_at_held_out_stations(model, world, caplog) -> None:
    """Optimal interpolation beats the nearest station, and its spread holds the readings as often as it says."""
    truth = world.split("test").isel(time=slice(0, 30))
    deviation = model.checkpoint.field_codec.deviation[
        list(model.checkpoint.field_codec.variables).index("t")
    ]
    nearest = replace(
        model, checkpoint=replace(model.checkpoint, model=Nearest(model.checkpoint.model.space))
    )
    readings = stations(truth, 80, 0.2 * float(deviation))
    table, places = scores_at_held_out({"oi": model, "nearest": nearest}, readings, 19, 0)
    table = table.set_index(["experiment", "score"])
    value = table["value"]
    assert value["oi", "rmse"] < 0.8 * value["nearest", "rmse"]
    assert value["oi", "crps"] < value["nearest", "crps"]
    assert value["oi", "coverage90"] == pytest.approx(0.9, abs=0.06)
    assert value["oi", "ssr"] == pytest.approx(1, abs=0.2)
    assert (table["low"] < value).all()
    assert (value < table["high"]).all()
    assert len(places) == 2 * 80 and (places["observations"] == 30).all()
    for name, at in places.groupby("experiment"):
        np.testing.assert_allclose(at["crps"].mean(), value[name, "crps"])
        np.testing.assert_allclose(np.sqrt((at["rmse"] ** 2).mean()), value[name, "rmse"])
    assert (places["bias"].abs() <= places["rmse"]).all()
    drawn = dict(station_maps(table.reset_index(), places))
    assert list(drawn) == ["t_stations"] and len(drawn["t_stations"].axes) == 4
    readings.loc[100, "value"] = 9876.0
    again = scores_at_held_out({"nearest": nearest, "oi": model}, readings, 19, 0)[0].set_index(
        ["experiment", "score"]
    )
    assert "1 of 2400 observations are more than 5" in caplog.text
    assert again["value"]["nearest", "rmse"] == pytest.approx(value["nearest", "rmse"], rel=0.02)
    with pytest.raises(InputError, match="has 5 stations: holding some out requires at least 20"):
        scores_at_held_out({"oi": model}, stations(truth, 5, 0.0), 19, 0)


def test_a_checkpoint_whose_experiment_was_deleted_is_left_out(model, checkpoint, world, tmp_path) -> None:
    path = tmp_path / "stations.csv"
    stations(world.split("test").isel(time=slice(0, 3)), 25, 0.1).to_csv(path)
    body = {"model": {"type": "optimal_interpolation.OptimalInterpolation"}}
    checkpoints = {f"reconstruct/{name}": lambda: checkpoint for name in ("kept", "deleted")}
    table, _, _ = score(
        Fill(stations=str(path), experiment="reconstruct.kept"), Evaluation(members=3),
        {"reconstruct": {"kept": body, "new": body}}, checkpoints, 0, Limits(), "cpu",
    )  # fmt: skip
    assert set(table["experiment"]) == {"reconstruct.kept"}


def test_a_given_error_of_representativeness_is_used(model, world) -> None:
    truth = world.split("test").isel(time=slice(10, 13))
    table = stations(truth, 40, 0.0)
    estimated = model.fill(stations=table, members=2)
    given = model.fill(stations=table, members=2, representativeness=3.0)
    assert given.attrs["fieldcast_representativeness"].startswith("t 3 K, z 3")
    by_name = model.fill(stations=table, members=2, representativeness={"t": 3.0})
    np.testing.assert_allclose(by_name["t_mean"], given["t_mean"])
    fits = [float(np.abs(each["t_mean"] - truth["t"]).mean()) for each in (estimated, given)]
    assert fits[0] < fits[1]  # readings that are less exact are followed less
    with pytest.raises(InputError, match="give a finite number of at least 0"):
        model.fill(stations=table, members=2, representativeness=-1.0)
    with pytest.raises(InputError, match="names snow, but the model has t, z"):
        model.fill(stations=table, members=2, representativeness={"snow": 1.0})


def test_a_single_station_cannot_be_held_out() -> None:
    with pytest.raises(InputError, match="it has 1 station: holding some out requires"):
        clusters(pd.DataFrame({"latitude": [0.0, 0.0], "longitude": 1.0}), 0, "it")


def test_stations_that_read_zero_only_are_listed(caplog) -> None:
    day = pd.date_range("2001-01-01", periods=12)
    places = pd.DataFrame({"station": ["dry", "works", "new"], "lat": 0.0, "lon": [0.0, 1.0, 2.0]})
    table = places.merge(pd.DataFrame({"time": day}), "cross").assign(variable="tp", value=0.0)
    table.loc[table["station"] == "works", "value"] = np.arange(12.0)
    table = table[(table["station"] != "new") | (table["time"] < day[9])]  # too few readings to suspect
    with caplog.at_level(logging.WARNING):
        read_stations(table, "'gauges.csv'")
    assert "'gauges.csv': all readings of 1 station are zero (station dry, tp at 0, 0)" in caplog.text


def test_readings_are_in_the_models_units_whatever_the_file_is_in(model, world) -> None:
    truth = world.split("test").isel(time=slice(10, 12))
    table = stations(truth, 60, 0.0)
    celsius = truth[["t"]].where(False) - 273.15
    celsius["t"].attrs = {**truth["t"].attrs, "units": "degC"}
    filled = model.fill(celsius, members=2, stations=table)
    expected = model.fill(stations=table, members=2)
    np.testing.assert_allclose(filled["t_mean"] + 273.15, expected["t_mean"], atol=0.01)


def test_one_station_of_a_long_record_has_an_error_of_representativeness(model, world) -> None:
    """Thirty observations suffice, however far apart in time."""
    truth = world.split("test")
    codec, space = model.checkpoint.field_codec, model.checkpoint.model.space
    error = 0.5 * float(codec.deviation[list(codec.variables).index("t")])
    points = points_of(stations(truth, 1, error), truth["time"], codec, space, "'stations'")
    nothing = context_of(model.nothing_observed(truth["time"]), codec, space, 0.0)
    assert float(representativeness(model.checkpoint.model, replace(nothing, points=points)).max()) > 0


def test_times_may_be_in_any_order_and_calendar() -> None:
    times = xr.DataArray(np.array([cftime.Datetime360Day(2001, 2, d) for d in (30, 1, 15)]), dims="time")
    table = pd.DataFrame({"time": pd.to_datetime(["2001-02-01", "2001-02-15"])})
    assert nearest_times(table["time"], times, TimeStep(24.0), table, "'stations'").tolist() == [1, 2]


def test_fields_of_noon_are_filled_at_noon() -> None:
    """Readings at half a step from midnight were rounded to even days, and two days merged."""
    noons = pd.date_range("2001-01-01 12:00", periods=6)
    table = pd.DataFrame(
        {"time": [*noons, pd.Timestamp("2001-01-02 17:00"), pd.Timestamp("2001-01-03 01:00")]}
    )
    day = TimeStep(24.0)
    np.testing.assert_array_equal(times_of(table, day, "1990-06-01T12:00:00", "'stations'"), noons)
    midnights = times_of(table, day, "0001-01-01T00:00:00", "'stations'")
    np.testing.assert_array_equal(midnights, noons.ceil("D"))
    of_360_days = times_of(table, day, "2001-02-30T00:00:00", "'stations'")
    np.testing.assert_array_equal(of_360_days, midnights)
    six_hours = times_of(table, TimeStep(6.0), "2001-01-01T03:00:00", "'stations'").values
    assert {str(time)[11:13] for time in six_hours} == {"15", "03"}


def test_readings_of_a_month_count_for_that_month() -> None:
    times = xr.DataArray(np.array(["2001-01-01", "2001-02-01"], dtype="M8[ns]"), dims="time")
    table = pd.DataFrame({"time": pd.to_datetime(["2001-01-31", "2001-02-01", "2001-02-27"])})
    month = TimeStep(730.0, 1)
    assert nearest_times(table["time"], times, month, table, "'stations'").tolist() == [0, 1, 1]
    np.testing.assert_array_equal(times_of(table, month, "2000-01-01", "'stations'"), times)


def test_a_variable_that_is_rarely_observed_has_an_error_of_representativeness(model, world) -> None:
    """Thirty observations suffice, though those of another variable are many more."""
    truth = world.split("test")
    codec, space = model.checkpoint.field_codec, model.checkpoint.model.space
    error = 0.5 * float(codec.deviation[list(codec.variables).index("t")])
    often, seldom = stations(truth, 6, error), stations(truth, 1, error, seed=1)
    other = next(v for v in codec.variables if v != "t")
    scale = float(codec.deviation[list(codec.variables).index(other)]) / error
    seldom = seldom.assign(variable=other, value=truth[other].values.mean() + scale * (seldom["value"] - 280))
    table = pd.concat([often, seldom], ignore_index=True)
    points = points_of(table, truth["time"], codec, space, "'stations'")
    nothing = context_of(model.nothing_observed(truth["time"]), codec, space, 0.0)
    variance = representativeness(model.checkpoint.model, replace(nothing, points=points))
    assert (variance > 0).all()


def test_readings_are_brought_to_the_elevation_of_the_cells(model, world, caplog) -> None:
    """Stations above the cells by up to 3 km, where it is colder by 6.5 K per km."""
    truth = world.split("test").isel(time=slice(10, 20))
    table = stations(truth, 60, 0.0)
    above = np.random.default_rng(0).uniform(0, 3000, 60)[table.groupby(["latitude", "longitude"]).ngroup()]
    axes = {axis: truth[axis] for axis in ("latitude", "longitude")}
    ground = xr.DataArray(200.0, axes, ("latitude", "longitude"), "surface_altitude", {"units": "m"})
    on_peaks = table.assign(value=table["value"] - 6.5e-3 * above, elevation=200 + above)
    expected = model.fill(stations=table, members=3)
    filled = model.fill(stations=on_peaks, members=3, dem=ground)

    def rmse(fields: xr.Dataset) -> float:
        return float(np.sqrt(((fields["t_mean"] - truth["t"]) ** 2).mean()))

    assert rmse(filled) < 1.1 * rmse(expected)
    slope = float(filled.attrs["fieldcast_elevation"].split("t: ")[1].split(" ± ")[0])
    assert slope == pytest.approx(-6.5, abs=0.2)
    gappy = truth[["t", "z"]].where(False).assign(surface_altitude=ground)
    own = model.fill(gappy, stations=on_peaks, members=3)
    np.testing.assert_allclose(own["t_mean"], filled["t_mean"], rtol=1e-5)
    with caplog.at_level(logging.WARNING):
        unknown = model.fill(stations=on_peaks, members=3)
    assert "per km of elevation, which the field lacks" in caplog.text and "fill.dem" in caplog.text
    assert rmse(unknown) > 2 * rmse(expected)
