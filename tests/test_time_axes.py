"""Records of any calendar and step through the public functions: fitted, filled, forecast and scored."""

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from worlds import red_noise

import fieldcast
from fieldcast import calendars
from fieldcast.calendars import TimeStep
from fieldcast.errors import InputError
from fieldcast.fields import climatology as climatologies
from fieldcast.fields.ingest import ingest
from fieldcast.geometry import cell_areas

MONTHS = 240


def through_a_file(data: xr.Dataset, folder, digits: int | None = None) -> xr.Dataset:
    """The data as read from NetCDF, with times as days since 1900, rounded to some digits."""
    path = folder / "record.nc"
    data = data.copy()
    data["time"].encoding = {"units": "days since 1900-01-01", "dtype": "float64"}
    data.to_netcdf(path)
    if digits is not None:
        raw = xr.open_dataset(path, decode_times=False).load()
        raw.close()
        raw = raw.assign_coords(time=("time", raw["time"].values.round(digits), raw["time"].attrs))
        raw.to_netcdf(path)
    with xr.open_dataset(path) as opened:
        return opened.load()


def of_calendar(calendar: str, freq: str = "MS") -> np.ndarray:
    return np.asarray(
        xr.date_range("1980-01-01", periods=MONTHS, freq=freq, calendar=calendar, use_cftime=True)
    )


RECORDS = {
    "monthly": (pd.date_range("1980-01-01", periods=MONTHS, freq="MS"), TimeStep(730.0, 1, True), None),
    "seasonal": (pd.date_range("1960-12-01", periods=160, freq="QS-DEC"), TimeStep(2190.0, 3, True), None),
    "yearly": (pd.date_range("1850-07-01", periods=150, freq="YS-JUL"), TimeStep(8760.0, 12, True), None),
    "360_day": (of_calendar("360_day"), TimeStep(730.0, 1, True), None),
    "julian": (of_calendar("julian", "D"), TimeStep(24.0), None),
    "rounded": (pd.date_range("1980-01-01", periods=MONTHS, freq="h"), TimeStep(1.0), 5),
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_is_ingested_and_forecast(name, tmp_path):
    time, step, digits = RECORDS[name]
    data = through_a_file(red_noise(time), tmp_path, digits)
    fields, _ = ingest(data, "the record")
    assert TimeStep.of(fields) == step and fields["segment"].values.max() == 0
    assert calendars.iso(fields["time"]).tolist() == calendars.iso(time).tolist()

    persistence = fieldcast.fit(data, "forecast.persistence")
    begin = data.isel(time=slice(None, -3))
    forecast = persistence.forecast(begin, 3)
    expected = ingest(data, "the record")[0]["time"].values[-3:]
    assert calendars.iso(forecast["time"]).tolist() == calendars.iso(expected).tolist()
    lead, attrs = step.lead
    assert forecast["lead"].values.tolist() == [lead, 2 * lead, 3 * lead]
    assert attrs.items() <= forecast["lead"].attrs.items()
    period = forecast["forecast_period" if step.months else "lead"]
    assert np.allclose(period, calendars.hours(fields["time"][-4:])[1:]) and period.attrs["units"] == "hours"


@pytest.mark.parametrize("name", ["monthly", "360_day"])
def test_a_record_is_filled_and_scored(name, tmp_path):
    data = through_a_file(red_noise(RECORDS[name][0]), tmp_path)
    gappy = data.isel(time=slice(-20, None)).copy(deep=True)
    gappy["sst"][:, 1:3, 2:4] = np.nan
    model = fieldcast.fit(data, "reconstruct.optimal_interpolation")
    filled = model.fill(gappy, members=9)
    truth = data["sst"].isel(time=slice(-20, None))
    held_out = np.isnan(gappy["sst"].values)
    error = (filled["sst_mean"] - truth).values[held_out]
    assert error.std() < 0.3 * truth.values[held_out].std()
    table = fieldcast.score(data, filled[["sst"]], task="reconstruct", observed=gappy)
    assert np.isfinite(table.loc[table["score"] == "crps", "value"]).all()


@pytest.mark.parametrize("name", ["monthly", "360_day"])
def test_scores_compare_with_the_truth_of_the_right_month(name):
    time, step, _ = RECORDS[name]
    data = red_noise(time)
    for experiment in ("forecast.persistence", "forecast.linear_inverse_model"):
        model = fieldcast.fit(data, experiment)
        ends = range(-40, -4, 6)
        runs = [
            model.forecast(data.isel(time=slice(None, end)), 3, members=1)
            .drop_vars(["time", "forecast_reference_time", "forecast_period"])
            .expand_dims(start=[data["time"].values[end - 1]])
            for end in ends
        ]
        table = fieldcast.score(data, xr.concat(runs, "start")[["sst"]])
        rmse = table.query("score == 'rmse' and variable == 'sst' and region == @table.region.iloc[0]")
        truth = np.stack([data["sst"].values[end : end + 3] for end in ends])
        errors = np.stack([run["sst"].values[0, :, 0] for run in runs]) - truth
        area = cell_areas(data["lat"], data["lon"], np.ones((4, 6), dtype=bool))
        expected = np.sqrt((errors**2 * area).mean(axis=(0, 2, 3)))
        assert np.allclose(rmse["lead_hours"], step.hours * np.arange(1, 4))
        assert np.allclose(rmse["value"], expected, rtol=1e-3)


def test_the_climatology_of_months_is_their_mean():
    data, _ = ingest(red_noise(RECORDS["monthly"][0]), "the record")
    climatology = climatologies.fit(data)
    expected = data["sst"].groupby("time.month").mean()
    months = climatologies.at(climatology, data["time"][:12])["sst"]
    assert np.allclose(months, expected, atol=1e-4) and climatology.attrs["kind"] == "month"


def irregular() -> xr.Dataset:
    hours = np.cumsum(np.random.default_rng(1).integers(20, 400, 200))
    return red_noise(pd.Timestamp("1980-01-01") + pd.to_timedelta(hours, "h"))


def test_a_record_of_rounded_hours_is_filled_at_its_own_times(tmp_path):
    time, _, digits = RECORDS["rounded"]
    data = through_a_file(red_noise(time), tmp_path, digits)
    gappy = data.where(data["lat"] < 0)
    model = fieldcast.fit(data, "reconstruct.climatology")
    filled = model.fill(gappy, members=1)
    assert np.array_equal(filled["time"], data["time"])
    table = fieldcast.score(data, filled[["sst"]], task="reconstruct", observed=gappy)
    assert np.isfinite(table.loc[table["score"] == "rmse", "value"]).all()


def test_without_a_regular_step_reconstructions_work_and_forecasts_are_refused():
    data = irregular()
    fields, quality = ingest(data, "the record")
    assert not TimeStep.of(fields).hours and "forecasts are not possible" in " ".join(quality["sentence"])
    gappy = data.isel(time=slice(-5, None)).copy(deep=True)
    gappy["sst"][:, 1:3, 2:4] = np.nan
    filled = fieldcast.fit(data, "reconstruct.optimal_interpolation").fill(gappy, members=3)
    assert np.isfinite(filled["sst"]).all()
    with pytest.raises(InputError, match="no regular time step, which forecasts need"):
        fieldcast.fit(data, "forecast.persistence")


def test_a_step_in_hours_cannot_be_taken_from_months(tmp_path):
    from fieldcast.fields.options import Source
    from fieldcast.fields.sources import open_source

    path = tmp_path / "monthly.nc"
    red_noise(RECORDS["monthly"][0]).to_netcdf(path)
    with pytest.raises(InputError, match=r"has a step of 1 month: leave ingestion.step_hours out"):
        open_source(Source(path=str(path), step_hours=24.0))


def test_a_monthly_model_refuses_daily_states():
    model = fieldcast.fit(red_noise(RECORDS["monthly"][0]), "forecast.persistence")
    assert model.checkpoint.header["step_months"] == 1
    two = fieldcast.fit(red_noise(RECORDS["monthly"][0]), "forecast.linear_inverse_model")
    if two.checkpoint.model.history > 1:
        with pytest.raises(InputError, match="trained on steps of 1 month"):
            two.forecast(red_noise(pd.date_range("2001-01-01", periods=40)), 1)


def test_two_calendars_are_not_joined():
    first, second = (red_noise(of_calendar(calendar)) for calendar in ("360_day", "julian"))
    assert not calendars.same_calendar(first["time"], second["time"])
    noleap = cftime.DatetimeNoLeap(2001, 1, 1)
    assert calendars.same_calendar(*[xr.DataArray([noleap], dims="time")] * 2)
