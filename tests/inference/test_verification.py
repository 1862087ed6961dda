"""Forecasts at stations: spread-skill with errors of readings, heights, angles, and readings that do not fit."""

import logging
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scores.probability import crps_for_ensemble

import fieldcast
from fieldcast.errors import InputError

LATITUDE, LONGITUDE = np.linspace(40.0, 54.0, 15), np.linspace(0.0, 15.0, 16)
STARTS, MEMBERS, STATIONS, ERROR = 100, 16, 50, 0.5
TIMES = pd.date_range("2001-01-01", periods=STARTS)


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Truth and members of the same Gaussian distribution, smooth in space, with a spread of 1."""
    y, x = (each.ravel() for each in np.meshgrid(LATITUDE, LONGITUDE, indexing="ij"))
    distance = np.hypot(y[:, None] - y, x[:, None] - x)
    root = np.linalg.cholesky(np.exp(-((distance / 4) ** 2) / 2) + 1e-6 * np.eye(len(y)))
    rng = np.random.default_rng(0)
    shape = len(LATITUDE), len(LONGITUDE)
    mean, members = (rng.standard_normal((STARTS, n, len(y))) @ root.T for n in (1, MEMBERS + 1))
    draws = (280 + 3 * mean + members).reshape(STARTS, MEMBERS + 1, *shape)
    return draws[:, 0], draws[:, 1:]


def forecasts_of(members: np.ndarray, **attrs: str) -> xr.Dataset:
    """Forecasts of one day."""
    dims = ("lead", "start", "member", "latitude", "longitude")
    coords: dict[str, Any] = {
        "lead": ("lead", [24.0], {"units": "hours"}), "start": TIMES - pd.Timedelta("1D"),
        "latitude": ("latitude", LATITUDE, {"units": "degrees_north"}),
        "longitude": ("longitude", LONGITUDE, {"units": "degrees_east"}),
    }  # fmt: skip
    name, units = attrs.get("name", "t"), attrs.get("units", "K")
    return xr.Dataset({name: (dims, members[None], {"units": units})}, coords)


def readings_of(truth: np.ndarray, error: float, stations: int = STATIONS) -> pd.DataFrame:
    """Readings with an error of their own at places between the cells."""
    rng = np.random.default_rng(1)
    places = pd.DataFrame({"lat": rng.uniform(40, 54, stations), "lon": rng.uniform(0, 15, stations)})
    field = xr.DataArray(truth, {"time": TIMES, "y": LATITUDE, "x": LONGITUDE}, ("time", "y", "x"))
    at = {"y": places["lat"].to_xarray(), "x": places["lon"].to_xarray()}
    values = field.interp(at).to_numpy() + error * rng.standard_normal((STARTS, stations))
    table = pd.DataFrame({"time": TIMES}).merge(
        places.assign(station=[f"s{n}" for n in places.index]), "cross"
    )
    return table.assign(variable="t", units="K", value=values.ravel())


def score_of(board: pd.DataFrame, score: str, variable: str = "t") -> float:
    """A value of the leaderboard."""
    return float(board.query("score == @score and variable == @variable")["value"].iloc[0])


def test_spread_counts_the_errors_of_readings(
    drawn: tuple[np.ndarray, np.ndarray], caplog: pytest.LogCaptureFixture
) -> None:
    """1 / sqrt(1 + .5^2) = .894 without them, 1 with them, estimated, stated or in the table."""
    table, forecasts = readings_of(drawn[0], ERROR), forecasts_of(drawn[1])
    plain = fieldcast.score(table, forecasts, representativeness=0.0)
    assert score_of(plain, "ssr") == pytest.approx(0.894, abs=0.03)
    with caplog.at_level(logging.INFO):
        estimated = fieldcast.score(table, forecasts)
    sentence = next(text for text in caplog.messages if "error of representativeness" in text)
    assert float(sentence.split("representativeness of ")[1].split()[0]) == pytest.approx(ERROR, rel=0.15)
    stated = fieldcast.score(table, forecasts, representativeness={"t": ERROR})
    column = fieldcast.score(table.assign(error=ERROR), forecasts, representativeness=0.0)
    pd.testing.assert_frame_equal(stated, column.assign(data_digest=stated["data_digest"]))
    for board in (estimated, stated):
        assert score_of(board, "ssr") == pytest.approx(1, abs=0.03)
        assert score_of(board, "crps") == pytest.approx(np.sqrt((1 + ERROR**2) / np.pi), rel=0.03)
        assert score_of(board, "rmse") == score_of(plain, "rmse")
    assert set(estimated) == set(plain) and set(estimated["region"]) == {"stations"}


def test_an_estimated_error_leaves_too_small_a_spread_too_small(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    """Spread .5 of an error of 1: sqrt(.5^2 + .5^2) / sqrt(1 + .5^2) = .632."""
    mean = drawn[1].mean(1, keepdims=True)
    board = fieldcast.score(readings_of(drawn[0], ERROR), forecasts_of(mean + 0.5 * (drawn[1] - mean)))
    assert score_of(board, "ssr") == pytest.approx(0.632, abs=0.04)


def test_scores_are_those_of_an_independent_library(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    """Stations in the middle of cells, some without a reading on some days."""
    truth, members = drawn
    rows, columns = np.array([0, 3, 7, 14]), np.array([2, 15, 0, 9])
    y = truth[:, rows, columns]
    missing = np.random.default_rng(2).random(y.shape) < 0.2
    table = pd.DataFrame({"time": np.repeat(TIMES, 4), "value": np.where(missing, np.nan, y).ravel()})
    table["lat"], table["lon"] = np.tile(LATITUDE[rows], STARTS), np.tile(LONGITUDE[columns], STARTS)
    board = fieldcast.score(
        table.assign(variable="t", units="K"), forecasts_of(members), representativeness=0.0
    )
    x = xr.DataArray(members[:, :, rows, columns], dims=("start", "member", "station"))
    actual = xr.DataArray(np.where(missing, np.nan, y), dims=("start", "station"))
    crps = crps_for_ensemble(x, actual, "member", method="fair", preserve_dims="all")
    assert score_of(board, "crps") == pytest.approx(float(crps.mean("station").mean()), rel=1e-6)
    square = (x.mean("member") - actual) ** 2
    assert score_of(board, "rmse") == pytest.approx(float(square.mean("station").mean()) ** 0.5, rel=1e-6)


def test_heights_of_stations_are_adjusted(
    drawn: tuple[np.ndarray, np.ndarray], caplog: pytest.LogCaptureFixture
) -> None:
    """Readings fall by 6.5 K per km above cells of 200 m."""
    table, forecasts = readings_of(drawn[0], 0.1), forecasts_of(drawn[1])
    without = fieldcast.score(table, forecasts, representativeness=0.1)
    elevation = dict(
        zip(table["station"].unique(), np.random.default_rng(3).uniform(0, 2500, STATIONS), strict=True)
    )
    table["elevation"] = table["station"].map(elevation)
    table["value"] -= 6.5 * (table["elevation"] - 200) / 1000
    relief = forecasts["t"].isel(lead=0, start=0, member=0, drop=True) * 0 + 200
    relief = relief.rename("surface_altitude").assign_attrs(units="m").to_dataset()
    with caplog.at_level(logging.INFO):
        adjusted = fieldcast.score(table, forecasts, representativeness=0.1, dem=relief)
    assert "t: -6.5 " in caplog.text
    assert score_of(adjusted, "rmse") == pytest.approx(score_of(without, "rmse"), rel=0.1)
    own = fieldcast.score(table, forecasts.merge(relief), representativeness=0.1)
    pd.testing.assert_frame_equal(own, adjusted)
    caplog.clear()
    with caplog.at_level(logging.INFO):
        plain = fieldcast.score(table, forecasts, representativeness=0.1)
    assert "elevation of the cells, which is unknown" in caplog.text and score_of(plain, "rmse") > 3


def test_directions_are_compared_on_the_circle(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    """Forecasts about north; each error is at most half a circle."""
    truth, members = (each * 5 for each in drawn)
    turned = forecasts_of(np.mod(members, 360), name="wind_direction", units="degrees")
    table = readings_of(truth, 5.0).assign(variable="wind_direction", units="degrees")
    board = fieldcast.score(table.assign(value=np.mod(table["value"], 360)), turned, representativeness=0.0)
    plain = fieldcast.score(
        table.assign(variable="t", units="K"), forecasts_of(members), representativeness=0.0
    )
    for score in ("rmse", "crps", "ssr"):
        assert score_of(board, score, "wind_direction") == pytest.approx(score_of(plain, score), rel=1e-4)


def test_members_of_rain_are_never_negative(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    """Dry forecasts and readings: all errors are clipped or positive, so that the CRPS is below that of both signs."""
    dry = forecasts_of(np.zeros_like(drawn[1]), name="tp", units="mm")
    table = readings_of(0 * drawn[0], 0.0).assign(variable="tp", units="mm")
    clipped = fieldcast.score(table, dry, representativeness=2.0)
    both = fieldcast.score(table.assign(variable="t", units="K"), forecasts_of(dry["tp"].to_numpy()[0]),
                           representativeness=2.0)  # fmt: skip
    assert score_of(clipped, "crps", "tp") < 0.6 * score_of(both, "crps")


def test_members_that_are_missing_are_refused_left_out_or_infinite(
    drawn: tuple[np.ndarray, np.ndarray],
) -> None:
    table, members = readings_of(drawn[0], ERROR), drawn[1].copy()
    members[3, 2] = np.nan
    with pytest.raises(InputError, match=r"member 2, counted from 0, of 't' at the start 2001-01-03"):
        fieldcast.score(table, forecasts_of(members))
    omitted = fieldcast.score(table, forecasts_of(members), nan_policy="omit")
    assert score_of(omitted, "crps") == pytest.approx(
        score_of(fieldcast.score(table, forecasts_of(drawn[1])), "crps"), rel=0.01
    )
    assert np.isinf(score_of(fieldcast.score(table, forecasts_of(members), nan_policy="propagate"), "crps"))


def test_readings_elsewhere_and_at_other_times_are_left_out_and_counted(
    drawn: tuple[np.ndarray, np.ndarray], caplog: pytest.LogCaptureFixture
) -> None:
    table, forecasts = readings_of(drawn[0], ERROR), forecasts_of(drawn[1])
    far, late = table.head(3).assign(lat=10.0), table.head(2).assign(time=pd.Timestamp("2005-01-01"))
    expected = fieldcast.score(table, forecasts)
    with caplog.at_level(logging.INFO):
        board = fieldcast.score(pd.concat([table, far, late]), forecasts)
    assert (
        "3 of 5005 readings are outside the grid" in caplog.text
        and "2 of 5005 readings are at" in caplog.text
    )
    columns = ["score", "value", "low", "high"]
    pd.testing.assert_frame_equal(board[columns], expected[columns])


def exact(valid: Any, leads: list[float], starts: Any, units: str = "hours", **coords: Any) -> xr.Dataset:
    """Forecasts of one member, equal in all cells, whose value is a function of start and lead."""
    longitude = coords.pop("longitude", LONGITUDE)
    dims = ("lead", "start", "latitude", "longitude")
    values = np.array([[valid(start, lead) for start in starts] for lead in leads], dtype=float)
    field = np.broadcast_to(values[..., None, None], (*values.shape, len(LATITUDE), len(longitude)))
    axes: dict[str, Any] = {
        "lead": ("lead", leads, {"units": units}), "start": starts,
        "latitude": ("latitude", LATITUDE, {"units": "degrees_north"}),
        "longitude": ("longitude", longitude, {"units": "degrees_east"}),
    }  # fmt: skip
    return xr.Dataset({"t": (dims, field.copy(), {"units": "K"})}, axes)


def at_one_place(times: Any, values: Any, **columns: Any) -> pd.DataFrame:
    """Readings of one station."""
    table = pd.DataFrame(
        {"time": times, "value": values, "lat": 45.3, "lon": 3.2, "variable": "t", "units": "K"}
    )
    return table.assign(station="a").assign(**columns)


def test_leads_are_counted_in_the_calendar_of_the_forecasts() -> None:
    """There is no leap day: two days after 27 February is 1 March."""
    starts = xr.date_range("2004-02-26", periods=6, calendar="noleap", use_cftime=True)

    def number(start: Any, lead: float) -> float:
        day = start + pd.Timedelta(hours=lead).to_pytimedelta()
        return float(day.month * 100 + day.day)

    times = pd.to_datetime(["2004-02-27", "2004-02-28", "2004-03-01", "2004-03-02", "2004-03-03"])
    table = at_one_place(times, times.month * 100.0 + times.day)
    board = fieldcast.score(table, exact(number, [24.0, 48.0], starts))
    assert (board.query("score == 'rmse'")["value"] < 1e-9).all()


def test_monthly_forecasts_are_matched_by_month() -> None:
    starts = pd.date_range("2001-01-01", periods=12, freq="MS")
    forecasts = exact(
        lambda start, lead: 250 + (start + pd.DateOffset(months=int(lead))).month,
        [1.0, 2.0, 3.0],
        starts,
        "months",
    )
    times = pd.date_range("2001-02-01", periods=14, freq="MS") + pd.Timedelta("14D")
    board = fieldcast.score(at_one_place(times, 250.0 + times.month), forecasts)
    rmse = board.query("score == 'rmse' and variable == 't'")
    assert len(rmse) == 3 and (rmse["value"] < 1e-9).all()


def test_hourly_readings_of_several_stations_keep_their_own_steps() -> None:
    """Stations at 50 and at 53 minutes past each hour; the forecast is that of the day before."""
    starts = pd.date_range("2001-01-01", periods=5)
    forecasts = exact(lambda start, lead: 250 + start.day, [24.0], starts)
    hours = pd.date_range("2001-01-01T22:50", periods=96, freq="h")
    values = 250.0 + (hours + pd.Timedelta("10min")).day
    tables = [
        at_one_place(hours + pd.Timedelta(minutes=shift), values, station=f"s{shift}", lat=45 + shift / 10)
        for shift in (0, 3)
    ]
    board = fieldcast.score(pd.concat(tables), forecasts)
    assert score_of(board, "bias") == pytest.approx(-1)


def test_directions_are_interpolated_on_the_circle() -> None:
    """The mean of 179 and 181 degrees is 180, half a circle from north."""
    forecasts = exact(lambda start, lead: 179.0, [24.0], TIMES[:12] - pd.Timedelta("1D"))
    values = forecasts["t"].where(forecasts["longitude"] <= 3, 181.0).assign_attrs(units="degrees")
    table = at_one_place(TIMES[:12], 0.0, variable="wind_direction", units="degrees")
    board = fieldcast.score(table, forecasts.rename(t="wind_direction").assign(wind_direction=values))
    assert score_of(board, "rmse", "wind_direction") == pytest.approx(180, abs=1)


def test_longitudes_in_any_order_are_those_of_the_readings() -> None:
    starts = TIMES[:12] - pd.Timedelta("1D")
    around = exact(
        lambda start, lead: 280.0, [24.0], starts, longitude=np.array([356.0, 358.0, 0.0, 2.0, 4.0])
    )
    around["t"] = (around["t"] + (around["longitude"] + 4) % 360).assign_attrs(units="K")
    for data in (around, around.isel(longitude=slice(None, None, -1))):
        board = fieldcast.score(at_one_place(TIMES[:12], 287.2), data)
        assert score_of(board, "rmse") == pytest.approx(0, abs=1e-9)


def test_a_lead_without_values_and_a_start_without_a_lead_have_no_score(
    caplog: pytest.LogCaptureFixture,
) -> None:
    starts = TIMES[:12] - pd.Timedelta("1D")
    forecasts = exact(lambda start, lead: 250 + start.day, [0.0, 24.0], starts)
    forecasts["t"][0] = np.nan
    forecasts["t"][1, -1] = np.nan
    table = at_one_place(TIMES[:11], 250.0 + (TIMES[:11] - pd.Timedelta("1D")).day)
    with caplog.at_level(logging.INFO):
        board = fieldcast.score(pd.concat([table, at_one_place(TIMES[11:12], [280.0])]), forecasts)
    assert score_of(board.query("lead_hours == 24"), "rmse") < 1e-9
    assert "without any member have no score" in caplog.text


def test_each_variable_counts_alike_where_stations_have_one_reading(
    drawn: tuple[np.ndarray, np.ndarray],
) -> None:
    """Pressures in Pa do not outweigh temperatures in the mean over variables."""
    forecasts = forecasts_of(drawn[1]).isel(start=[4])
    both = forecasts.assign(p=(forecasts["t"] * 1000).assign_attrs(units="Pa"))
    table = readings_of(drawn[0], ERROR).query("time == @TIMES[4]")
    pressure = table.assign(variable="p", units="Pa", value=1000 * table["value"])
    board = fieldcast.score(pd.concat([table, pressure]), both, representativeness=0.0)
    spread = float(np.std(table["value"]))
    assert score_of(board, "rmse", "all") == pytest.approx(score_of(board, "rmse", "t") / spread, rel=1e-3)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda data: data.isel(start=[0, 1, 1, 2]),
            r"the start 2001-01-01T00:00:00 occurs twice in the forecasts",
        ),
        (
            lambda data: data.isel(latitude=[0]),
            r"the grid of the forecasts has 1 x 16 cells: readings between cells",
        ),
        (
            lambda data: data.where(data["latitude"] > 41, -9999.0),
            r"'t' of the forecasts holds -9999 at a lead of 24",
        ),
    ],
)
def test_forecasts_that_cannot_be_scored_are_refused(
    drawn: tuple[np.ndarray, np.ndarray], change: Any, sentence: str
) -> None:
    forecasts = change(forecasts_of(drawn[1]))
    forecasts["t"].attrs["units"] = "K"
    with pytest.raises(InputError, match=sentence):
        fieldcast.score(readings_of(drawn[0], ERROR), forecasts)


@pytest.mark.parametrize(
    ("change", "options", "sentence"),
    [
        ({"variable": "u"}, {}, r"has readings of u, but the forecasts have t: name"),
        (
            {"time": pd.Timestamp("2010-01-01")},
            {},
            r"has no reading of 't' on the grid .* locations and times\.$",
        ),
        ({"value": 3000.0}, {}, r"half of the readings of 't' .* check that they are in K"),
        ({}, {"task": "reconstruct"}, r"at stations only forecasts are scored"),
        ({}, {"representativeness": -1.0}, r"representativeness"),
        ({}, {"representativeness": {"T": 1.0}}, r"representativeness names T, but t are scored"),
    ],
)
def test_refusals(
    drawn: tuple[np.ndarray, np.ndarray], change: dict[str, Any], options: dict[str, Any], sentence: str
) -> None:
    table = (
        readings_of(drawn[0], ERROR)
        .drop(columns="station")
        .assign(**change)
        .drop_duplicates(["time", "lat", "lon"])
    )
    with pytest.raises(InputError, match=sentence):
        fieldcast.score(table, forecasts_of(drawn[1]), **options)


def test_few_stations_have_no_estimate(
    drawn: tuple[np.ndarray, np.ndarray], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        fieldcast.score(readings_of(drawn[0], ERROR, stations=5), forecasts_of(drawn[1]))
    assert "too few or too far apart" in caplog.text
