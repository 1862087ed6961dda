"""Thresholds of events: quantiles of known distributions, and of numpy where all weights are equal."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import norm

from fieldcast import calendars
from fieldcast.encoding import event_thresholds
from fieldcast.fields import climatology as climatologies
from fieldcast.kinds import label, probability, thresholds_on

QUANTILES = (0.05, 0.5, 0.9)


def test_equal_weights_give_hazens_quantiles_and_leave_out_missing_values() -> None:
    x = np.random.default_rng(0).normal(size=(40, 3, 4)).astype("float32")
    x[:7, 1, 2] = np.nan
    x[:, 0, 0] = np.nan
    values = event_thresholds.weighted_quantiles(x, np.full(40, 0.3), (0.001, *QUANTILES))
    expected = np.nanquantile(x[:, 1:], (0.001, *QUANTILES), axis=0, method="hazen")
    np.testing.assert_allclose(values[:, 1:], expected, atol=1e-6)
    assert np.isnan(values[:, 0, 0]).all() and np.isfinite(values[:, 0, 1:]).all()


def test_whole_weights_are_repetitions() -> None:
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(400, 1, 1)), rng.integers(1, 4, 400)
    repeated = np.quantile(np.repeat(x[:, 0, 0], w), QUANTILES, method="hazen")
    values = event_thresholds.weighted_quantiles(x, w.astype(float), QUANTILES)[:, 0, 0]
    np.testing.assert_allclose(values, repeated, atol=0.02)


def weather(days: int, spread: float) -> xr.Dataset:
    """Independent days about a season, whose standard deviation is twice as large in January as in July."""
    time = pd.date_range("2001-01-01", periods=days)
    season = np.cos(2 * np.pi * (calendars.day_of_year(time) - 1) / 365)
    noise = np.random.default_rng(2).normal(size=(days, 4, 6)) * (3 + season)[:, None, None] / 4
    grid = {"latitude": np.linspace(-60, 60, 4), "longitude": 60.0 * np.arange(6)}
    values = (280 + 20 * season[:, None, None] + spread * noise).astype("float32")
    dims = ("time", "latitude", "longitude")
    return xr.Dataset(
        {"t": (dims, values, {"units": "K"})}, {"time": time, **grid}, {"step_hours": 24.0, "wraps": 1}
    )


def test_the_thresholds_are_those_of_the_season() -> None:
    training = weather(365 * 30, spread=2.0)
    climatology = climatologies.fit(training)
    stored = event_thresholds.fit(training, climatology, QUANTILES)
    days = np.arange(1, 366)
    # the anomalies keep what the window takes from the season, and the thresholds give it back
    total = (thresholds_on(stored["t"], days) + climatology["t"].to_numpy()).mean((2, 3))
    season = np.cos(2 * np.pi * (days - 1) / 365)
    expected = 280 + 20 * season + norm.ppf(QUANTILES)[:, None] * 2.0 * (3 + season) / 4
    np.testing.assert_allclose(total, expected, atol=0.12)
    assert stored.attrs["values"] == pytest.approx(30 * 45, rel=0.02)  # (Σ w)² / Σ w²


def test_a_short_record_has_the_quantiles_of_all_its_values() -> None:
    training = weather(365, spread=1.0)
    climatology = climatologies.fit(training)
    stored = event_thresholds.fit(training, climatology, QUANTILES)
    anomaly = training["t"] - climatology["t"][0]
    expected = np.quantile(anomaly, QUANTILES, axis=0, method="hazen")
    np.testing.assert_allclose(thresholds_on(stored["t"], np.array([1, 200]))[:, 1], expected, atol=1e-4)


def test_a_record_of_winters_has_thresholds_in_summer() -> None:
    training = weather(365 * 4, spread=1.0)
    training = training.isel(time=training["time"].dt.month.isin([12, 1, 2]).to_numpy())
    stored = event_thresholds.fit(training, climatologies.fit(training), QUANTILES)
    values = thresholds_on(stored["t"], np.arange(1, 366))
    assert np.isfinite(values).all() and (np.diff(values, axis=0) > 0).all()


def test_monthly_thresholds_hold_for_a_calendar_month() -> None:
    thresholds = xr.DataArray(
        np.arange(12.0).reshape(1, 12, 1, 1), dims=("quantile", "dayofyear", "latitude", "longitude")
    )
    days = np.array([1, 31, 32, 59, 60, 334, 335, 365])
    assert thresholds_on(thresholds, days).ravel().tolist() == [0, 0, 1, 1, 2, 10, 11, 11]


def test_events_by_quantile() -> None:
    assert [label(0.05), label(0.99)] == ["below 5 %", "above 99 %"]
    assert probability(0.05) == probability(0.95) or abs(probability(0.95) - 0.05) < 1e-12
