"""Stations of real quantities: gridded in own units, within their bounds, by a mapping that held-out ones choose."""

import logging
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import fieldcast
from fieldcast.errors import InputError
from fieldcast.fields.gauges import Gauges
from fieldcast.fields.quantities import Clip, Root
from fieldcast.inference.gaps import own_units as gap_units
from fieldcast.inference.stations import own_units
from fieldcast.inference.stations.gridding import Result, grid_and_score
from fieldcast.inference.stations.held_out import KRIGING, HeldOut
from fieldcast.inference.stations.kriging import Prediction, flags
from fieldcast.inference.stations.own_units import Fitted, choose_quantities, judged_part, statistics_of
from fieldcast.models.gaps import local_kriging
from fieldcast.scores.held_out import held_out_statistics

NOISE = 0.05
UNITS = {"chlor_a": "mg m-3", "tp": "mm", "wdir": "degree", "t2m": "degC"}
OF_WAVES = {
    "chlor_a": lambda v: np.exp(1.3 * v - 1.5),
    "tp": lambda v: 10 * np.maximum(v - 0.8, 0) ** 2,
    "wdir": lambda v: (5 + 12 * v) % 360,
    "t2m": lambda v: 15 + 3 * v,
}
CPU = torch.device("cpu")


def waves(latitude: np.ndarray, longitude: np.ndarray, times: int) -> np.ndarray:
    """Four waves that come and go, at some places."""
    rng, size = np.random.default_rng(0), np.zeros((times, 4))
    for t in range(1, times):
        size[t] = 0.8 * size[t - 1] + 0.6 * rng.normal(size=4)
    y, x = np.deg2rad(8 * latitude), np.deg2rad(6 * longitude)
    return size @ np.stack([np.cos(x), np.sin(x), np.cos(y), np.sin(y)])


def gauges(variable: str, stations: int = 24, times: int = 40) -> pd.DataFrame:
    """Readings of a variable, with a small error."""
    rng = np.random.default_rng(1)
    latitude, longitude = rng.uniform(40, 50, stations), rng.uniform(0, 12, stations)
    v = waves(latitude, longitude, times)
    v += NOISE * rng.normal(size=v.shape)
    days = pd.date_range("2001-01-01", periods=times)
    return pd.DataFrame(
        {
            "time": np.repeat(days, stations), "lat": np.tile(latitude, times), "lon": np.tile(longitude, times),
            "variable": variable, "value": OF_WAVES[variable](v).ravel(), "units": UNITS[variable],
        }
    )  # fmt: skip


@cache
def gridded(variable: str, quantities: str) -> tuple[Result, str]:
    """Fields of a variable, with their scores, and the log."""
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("fieldcast")
    log.addHandler(handler)
    level = log.level
    log.setLevel(logging.INFO)
    try:
        result = grid_and_score(gauges(variable), 2.0, None, None, 0, "cpu", "'gauges.csv'", quantities)
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
    return result, "\n".join(records)


def truth(fields: xr.Dataset, variable: str) -> np.ndarray:
    """The variable in the cells of a result."""
    y, x = np.meshgrid(fields["latitude"], fields["longitude"], indexing="ij")
    v = waves(y.ravel(), x.ravel(), fields.sizes["time"])
    return OF_WAVES[variable](v).reshape(fields[variable].shape)


def rmse(result: Result, variable: str) -> float:
    """RMSE in the cells among the stations, without the outermost ones."""
    error = (result.fields[variable].values - truth(result.fields, variable))[:, 1:-1, 1:-1]
    if variable == "wdir":
        error = (error + 180) % 360 - 180
    return float(np.sqrt(np.mean(error**2)))


def score(result: Result, name: str, variable: str) -> float:
    scores = result.scores[result.scores["experiment"] == KRIGING].set_index(["variable", "score"])["value"]
    return float(scores[variable, name])


@pytest.mark.parametrize("variable", ["chlor_a", "tp"])
def test_a_skewed_variable_is_mapped_and_its_error_falls(variable: str) -> None:
    (result, log), (plain, _) = gridded(variable, "auto"), gridded(variable, "none")
    fields, kind = result.fields, result.fields[variable].attrs["quantity"]
    assert kind in ("root", "log") and fields.attrs["fieldcast_quantities"] == f"{variable}={kind}"
    assert f"{variable} is filled as {kind}: CRPS at held-out values none" in log
    assert f"{variable} is filled as {kind}" in result.text and "± " in result.text
    assert f"{variable}, mapped by {kind}: 960 readings" in result.text
    assert score(result, "crps", variable) < 0.85 * score(plain, "crps", variable)
    assert score(result, "rmse", variable) < score(plain, "rmse", variable)
    assert rmse(result, variable) < rmse(plain, variable)
    assert plain.fields[variable].min() < 0 <= fields[variable].min()
    low, median, high = (fields[f"{variable}_{part}"] for part in ("p05", "median", "p95"))
    assert low.min() >= 0 and (low <= median).all() and (median <= high).all() and (low < high).mean() > 0.5
    inside = (low.values <= truth(fields, variable)) & (truth(fields, variable) <= high.values)
    assert inside.mean() > 0.8
    assert fields[f"{variable}_spread"].attrs["units"] == UNITS[variable]
    assert set(result.by_station["variable"]) == {variable}
    assert f"{variable}_median" not in plain.fields and "fieldcast_quantities" not in plain.fields.attrs


def test_a_direction_is_gridded_through_north() -> None:
    result, log = gridded("wdir", "auto")
    assert "wdir is an angle" in log and result.fields["wdir"].attrs["quantity"] == "circle"
    assert (
        rmse(result, "wdir") < 1.5 and score(result, "rmse", "wdir") < 1.5
    )  # its own deviation is 13 degrees
    for name in ("wdir", "wdir_median", "wdir_p05", "wdir_p95"):
        assert result.fields[name].min() >= 0 and result.fields[name].max() < 360
    spread = result.fields["wdir_spread"]
    assert spread.min() > 0 and spread.median() < 1.5 and spread.attrs["units"] == "degree"
    assert set(result.scores["variable"]) == {
        "wdir",
        "wdir_cos, mapped by circle",
        "wdir_sin, mapped by circle",
    }
    assert result.fields["wdir_flag"].values.tolist() == np.ones(result.fields["wdir"].shape).tolist()


def test_a_gaussian_variable_is_not_mapped_and_nothing_changes() -> None:
    table = gauges("t2m", times=12)
    one, other = (
        fieldcast.grid_stations(table, resolution=4.0, quantities=kind, device="cpu")
        for kind in ("auto", "none")
    )
    xr.testing.assert_identical(one.drop_attrs(deep=False), other.drop_attrs(deep=False))
    assert one.attrs["comment"] == other.attrs["comment"] and "fieldcast_quantities" not in one.attrs


def test_too_few_stations_to_compare_mappings_are_clipped(caplog: pytest.LogCaptureFixture) -> None:
    table = gauges("tp", stations=6, times=30)
    with caplog.at_level(logging.INFO):
        clipped = fieldcast.grid_stations(table, resolution=2.0, device="cpu")
    plain = fieldcast.grid_stations(table, resolution=2.0, device="cpu", quantities={"tp": "none"})
    assert "tp has too few values to compare mappings: clip is used" in caplog.text
    assert plain["tp"].min() < 0 <= clipped["tp"].min()
    closed_form = Clip(lowest=0.0).moments(plain["tp"].values[None], plain["tp_spread"].values[None])
    np.testing.assert_allclose(clipped["tp"], closed_form.mean, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(clipped["tp_spread"], closed_form.spread, rtol=1e-3, atol=1e-4)


def test_the_choice_does_not_depend_on_the_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_kriging, "MAX_ITERATIONS", 3)  # of the likelihood: a few are of one scale, too
    table, chosen = gauges("tp"), []
    for scaled in (table, table.assign(value=1024 * table["value"])):
        read = Gauges.read(scaled, None, "'gauges.csv'", "auto")
        chosen.append(choose_quantities(read, "auto", 0, CPU, "'gauges.csv'"))
    (one, scores), (other, of_scaled) = chosen
    assert one["tp"].kind == other["tp"].kind == "root"
    np.testing.assert_allclose(1024 * scores["crps"], of_scaled["crps"], rtol=1e-3)
    assert set(scores["selection"]) == {0, 1, 2, 3, "all"}


def test_readings_that_no_value_can_have_are_named_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    table = gauges("tp", times=10)
    wrong = table.copy()
    wrong.loc[7, "value"] = -0.2
    without = Gauges.read(table.drop(index=7), None, "'gauges.csv'", "auto")
    with caplog.at_level(logging.WARNING):
        read = Gauges.read(wrong, None, "'gauges.csv'", {"tp": "auto"})
    pd.testing.assert_frame_equal(read.table, without.table)
    assert (
        "'gauges.csv': 1 of 240 readings of tp are below 0" in caplog.text and "-0.2 (tp at " in caplog.text
    )
    assert Gauges.read(wrong, None, "'gauges.csv'", "none").table["value"].min() == -0.2
    many = table.assign(value=table["value"] - 0.2)  # differences of rain, say
    assert Gauges.read(many, None, "'gauges.csv'", "auto").table["value"].min() < 0
    assert (
        f"{(many['value'] < 0).sum()} of 240 readings of tp are below 0, which no value can be, and are so many"
        in (caplog.text)
    )
    share = table.assign(variable="humidity", units="%", value=np.linspace(20, 100, len(table)))
    share.loc[3, "value"] = 101.0
    assert Gauges.read(share, None, "'gauges.csv'", "auto").table["value"].max() == 100
    absolute = gauges("t2m", times=10)
    absolute.loc[[5, 9], "value"] = -300.0
    with caplog.at_level(logging.WARNING):
        assert Gauges.read(absolute, None, "'gauges.csv'", "auto").table["value"].min() > -100
    assert (
        "2 of 240 readings of t2m are below -273.15, which no value can be, and were left out: -300"
        in caplog.text
    )
    variable = gauges("wdir", times=10)
    variable.loc[[5, 9], "value"] = 990.0  # SYNOP's code for a variable direction
    assert Gauges.read(variable, None, "'gauges.csv'", "auto").table["value"].max() <= 360
    assert "2 of 240 readings of wdir are below -360 or above 360" in caplog.text
    cold = gauges("t2m", times=10).assign(units="K")
    cold = cold.assign(value=cold["value"] - 30)
    assert (
        len(Gauges.read(cold, None, "'gauges.csv'", "auto").table) == 240
    )  # so many below 0 K are in other units


def test_angles_of_a_step_have_a_mean_direction() -> None:
    times = pd.to_datetime(["2001-01-01T00:00", "2001-01-01T01:00", "2001-01-01T12:00", "2001-01-02T00:00"])
    table = pd.DataFrame(
        {"time": times, "variable": "wdir", "units": "degree", "value": [350.0, 20.0, 100.0, 7.25]}
    )
    table = table.merge(pd.DataFrame({"lat": [40.0, 41.0], "lon": [5.0, 6.0]}), "cross")
    read = Gauges.read(table, 6.0, "'gauges.csv'", "auto").table
    np.testing.assert_allclose(read["value"], np.repeat([5.0, 100.0, 7.25], 2), atol=1e-4)
    assert Gauges.read(table, 6.0, "'gauges.csv'", "none").table["value"].max() == 185.0


def test_a_part_of_a_large_table_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The readings of the part are those of the table, in the order of the record."""
    monkeypatch.setattr(own_units, "MAX_STATIONS", 10)
    monkeypatch.setattr(own_units, "MAX_TIMES", 20)
    table = gauges("tp").drop(index=[5, 90])
    read = Gauges.read(table, None, "'gauges.csv'")
    record, part = judged_part(read, "tp")
    assert record.x.shape == (20, 10) and not record.seasonal
    assert np.diff(record.number).tolist() == [1, 1, 1, 1, 8, 1, 1, 1, 1, 7, 1, 1, 1, 1, 8, 1, 1, 1, 1]
    np.testing.assert_array_equal(record.x[record.observed], part["value"])
    places = part.drop_duplicates("column").sort_values("column")
    radians = np.deg2rad(places[["latitude", "longitude"]].to_numpy())
    np.testing.assert_allclose(np.sin(radians[:, 0]), record.points[:, 2])
    whole = read.of("tp")[0]
    middle = whole.points.mean(0)
    far = np.linalg.norm(whole.points - middle, axis=1)
    assert np.linalg.norm(record.points - middle, axis=1).max() == pytest.approx(np.sort(far)[9])


def test_statistics_in_own_units_are_those_of_the_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed forms without a mapping, and draws that are mapped back, have the same statistics."""
    monkeypatch.setattr(gap_units, "CHUNK", 7)
    rng, n = np.random.default_rng(0), 40
    mean, spread = rng.uniform(1, 2, n), rng.uniform(0.2, 0.5, n)
    values = np.square(rng.normal(mean, spread))
    table = pd.DataFrame({"value": values, "variable": "tp"})

    def fitted(x: np.ndarray) -> list[Fitted]:
        part = HeldOut(table.assign(value=x), np.arange(n), {KRIGING: mean}, {KRIGING: spread})
        return [Fitted(None, part, 1.0)]  # type: ignore[arg-type]

    parts = fitted(values)
    assert parts[0].predictions is not None
    scaled = parts[0].predictions.factors() * spread
    plain, normal = (
        statistics_of(Clip(), parts, values, KRIGING),
        held_out_statistics(values, mean[None], scaled),
    )
    for name in ("error", "variance", "coverage"):
        np.testing.assert_allclose(plain[name], normal[name])
    np.testing.assert_allclose(plain["crps"], normal["crps"], rtol=1e-6)
    parts = fitted(np.sqrt(values))
    assert parts[0].predictions is not None
    scaled = parts[0].predictions.factors() * spread
    draws = np.square(np.maximum(rng.normal(mean, scaled, (20000, n)), 0))
    of_draws = held_out_statistics(values, draws)
    root = statistics_of(Root(lowest=0.0), parts, values, KRIGING)
    np.testing.assert_allclose(root["error"], of_draws["error"], atol=0.05)
    np.testing.assert_allclose(root["crps"], of_draws["crps"], rtol=0.05, atol=0.01)


def test_the_variances_of_all_parts_decide_what_is_extrapolated() -> None:
    nothing = np.zeros((1, 3))
    first = Prediction(nothing, np.array([[0.9, 0.1, 0.1]]), np.ones((1, 3)))
    second = Prediction(nothing, np.array([[8.5, 0.1, 0.1]]), np.full((1, 3), 9.0))
    near = np.array([[True, True, False]])
    assert flags([first], near).tolist() == [[2, 1, 2]]
    assert flags([first, second], near).tolist() == [[2, 1, 2]]
    small = second._replace(variance=np.full((1, 3), 0.1))
    assert flags([first, small], near).tolist() == [[1, 1, 2]]


@pytest.mark.parametrize(
    ("quantities", "message"),
    [
        ("cube", "is 'cube': choose one of auto, none"),
        ({"rain": "log"}, "quantities name 'rain', but the variables are t2m"),
        ("circle", "its name and units are not those of an angle"),
        ("clip", "it has no bounds"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused_in_one_sentence(quantities: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fieldcast.grid_stations(gauges("t2m", times=4), resolution=4.0, quantities=quantities)  # type: ignore[arg-type]
