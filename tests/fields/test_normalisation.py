"""Statistics of data whose variance is known, and none of them from beyond the training split."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from fieldcast import calendars, geometry
from fieldcast.errors import InputError
from fieldcast.fields import climatology, normalisation
from fieldcast.fields.ingest import ingest
from fieldcast.fields.splits import make, select

Make = Callable[..., xr.Dataset]


def noisy(make_weather: Make, times: int, rho: float) -> xr.Dataset:
    """7 + 3 a, a an autoregressive process of unit variance and lag-one correlation rho."""
    fields, _ = ingest(
        make_weather(times=times, latitude=np.linspace(-70, 70, 9), longitude=np.arange(0, 360, 30.0))
    )
    rng = np.random.default_rng(5)
    a = rng.standard_normal(fields["t2m"].shape)
    for i in range(1, times):
        a[i] = rho * a[i - 1] + np.sqrt(1 - rho**2) * a[i]
    return fields.assign(t2m=(fields["t2m"].dims, (7 + 3 * a).astype(np.float32), {"units": "K"}))[["t2m"]]


def test_known_variance(make_weather: Make) -> None:
    fields = noisy(make_weather, 700, rho=0.5)
    statistics = normalisation.fit(fields, climatology.fit(fields)).sel(variable="t2m")
    assert statistics["mean"] == pytest.approx(7, abs=0.05) and statistics["std"] == pytest.approx(
        3, rel=0.01
    )
    assert statistics["anomaly_std"] == pytest.approx(3, rel=0.01)
    assert statistics["tendency"] == pytest.approx(
        np.sqrt(2 * (1 - 0.5)), rel=0.01
    )  # Var(a_t - a_s) = 2 (1 - rho)
    assert statistics["units"] == "K"


def test_the_anomaly_is_from_the_climatology(make_weather: Make) -> None:
    fields = noisy(make_weather, 6 * 365, rho=0.5)
    day = calendars.day_of_year(fields["time"])
    fields["t2m"] += xr.DataArray(9 * np.cos(2 * np.pi * day / 365).astype(np.float32), dims="time")
    statistics = normalisation.fit(fields, climatology.fit(fields)).sel(variable="t2m")
    assert statistics["std"] == pytest.approx(np.sqrt(9 + 81 / 2), rel=0.01)
    assert statistics["anomaly_std"] == pytest.approx(3, rel=0.02)
    assert statistics["tendency"] == pytest.approx(1, rel=0.02)


def test_area_weights_against_numpy(make_weather: Make) -> None:
    fields = noisy(make_weather, 60, rho=0.0)
    fields["t2m"] = fields["t2m"] * np.cos(np.deg2rad(fields["latitude"])).astype(np.float32)
    fields["t2m"][:, 2, 3] = np.nan
    exists = np.isfinite(fields["t2m"][0].values)
    weight = np.broadcast_to(
        geometry.cell_areas(fields["latitude"], fields["longitude"], exists), fields["t2m"].shape
    )
    x = np.nan_to_num(fields["t2m"].values.astype(np.float64))
    mean = np.average(x, weights=weight)
    statistics = normalisation.fit(fields, climatology.fit(fields)).sel(variable="t2m")
    assert statistics["mean"] == pytest.approx(mean, rel=1e-9)
    assert statistics["std"] == pytest.approx(np.sqrt(np.average((x - mean) ** 2, weights=weight)), rel=1e-9)


def test_tendency_never_crosses_a_border(make_weather: Make) -> None:
    fields = noisy(make_weather, 200, rho=0.9)
    jump = fields.copy(deep=True)
    jump["t2m"][100:] += 50.0
    jump["segment"][100:] = 1
    normal = climatology.fit(fields)
    whole = normalisation.fit(fields, normal).sel(variable="t2m")
    split = normalisation.fit(jump, normal).sel(variable="t2m")
    ratio = float(split["tendency"] * split["anomaly_std"] / (whole["tendency"] * whole["anomaly_std"]))
    assert ratio == pytest.approx(1, abs=0.02)
    for chunk in (1, 7, 100):  # nor does the block of the calculation matter
        again = normalisation.fit(jump.chunk(time=chunk), normal)
        assert np.allclose(again["tendency"], split["tendency"], rtol=1e-10)


def test_large_means_lose_no_digits(make_weather: Make) -> None:
    fields = noisy(make_weather, 300, rho=0.5)
    moved = fields.copy(deep=True)
    moved["t2m"] = (moved["t2m"] * 1e-2 + 1000).astype(np.float32)
    statistics = normalisation.fit(moved, climatology.fit(moved))
    assert statistics["std"] == pytest.approx(0.03, rel=0.01)


def test_changed_test_years_leave_every_fitted_number_the_same(make_weather: Make) -> None:
    fields, _ = ingest(make_weather(times=4 * 365))
    splits = make(fields["time"])
    changed = fields.copy(deep=True)
    later = int(
        np.flatnonzero(changed["time"].values > select(fields, splits, "train")["time"].values[-1])[0]
    )
    for name in ("t2m", "msl"):
        changed[name][later:] = changed[name][later:] * 3 - 40
    assert make(changed["time"]) == splits
    original, other = (select(data, splits, "train") for data in (fields, changed))
    normal = climatology.fit(original)
    xr.testing.assert_identical(normal, climatology.fit(other))
    xr.testing.assert_identical(normalisation.fit(original, normal), normalisation.fit(other, normal))


def test_steps_that_are_all_equal_have_the_variance_of_independent_states(make_weather: Make) -> None:
    fields, _ = ingest(make_weather(times=60))
    fields["t2m"][:] = 280 + np.arange(60)[:, None, None]
    statistics = normalisation.fit(fields, climatology.fit(fields).map(lambda c: 0 * c + 280)).sel(
        variable="t2m"
    )
    assert float(statistics["tendency"]) == pytest.approx(np.sqrt(2))
    assert float(statistics["anomaly_std"]) == pytest.approx(np.std(np.arange(60)))


def test_a_variable_constant_in_training_is_refused(make_weather: Make) -> None:
    fields, _ = ingest(make_weather(times=60))
    fields["t2m"][:42] = 280.0
    training = fields.isel(time=slice(0, 42))
    with pytest.raises(InputError, match="'t2m' does not vary in the training split"):
        normalisation.fit(training, climatology.fit(training))
