from __future__ import annotations

import numpy as np
import pytest

from fieldcast.geometry import EARTH_RADIUS
from fieldcast.scores.spectra import (
    band,
    effective_resolution,
    row_length,
    wavelengths,
    zonal_spectrum,
)

LATITUDE = np.array([-60.0, 0.0, 30.0, 60.0])


def globe(cells: int) -> np.ndarray:
    return np.arange(cells) * 360 / cells


def test_a_row_goes_round_its_circle_of_latitude() -> None:
    expected = 2 * np.pi * EARTH_RADIUS * np.cos(np.deg2rad(LATITUDE))
    np.testing.assert_allclose(row_length(LATITUDE, globe(64)), expected)
    np.testing.assert_allclose(row_length(LATITUDE, globe(64)[:16]), expected / 4)


@pytest.mark.parametrize("wave", [1, 5, 31])
def test_a_pure_wave_has_all_its_power_at_its_number(wave: int) -> None:
    """x = a cos(kλ + φ): S_k = C a²/2, nothing elsewhere."""
    length = row_length(LATITUDE, globe(64))
    x = 3 * np.cos(wave * np.deg2rad(globe(64)) + 0.4) * np.ones((4, 1))
    power = zonal_spectrum(x, length, wraps=True)
    np.testing.assert_allclose(power[:, wave], length * 4.5)
    np.testing.assert_allclose(np.delete(power, wave, axis=1) / length[:, None], 0, atol=1e-25)


@pytest.mark.parametrize("cells", [64, 65])
def test_power_adds_up_to_the_mean_square(cells: int) -> None:
    """Parseval, with and without a Nyquist wave."""
    x = np.random.default_rng(0).standard_normal((3, 4, cells)) + 1
    length = row_length(LATITUDE, globe(cells))
    power = zonal_spectrum(x, length, wraps=True)
    np.testing.assert_allclose(power.sum(-1), length * (x**2).mean(-1))


def test_a_region_has_no_power_in_its_trend_and_keeps_that_of_waves() -> None:
    longitude = globe(128)[:64]
    length = row_length(LATITUDE, longitude)
    trend = np.linspace(0, 100, 64) * np.ones((4, 1))
    assert np.abs(zonal_spectrum(trend, length, wraps=False)).max() < 1e-9
    wave = np.cos(2 * np.pi * 10 * np.arange(64) / 64) * np.ones((4, 1))
    power = zonal_spectrum(wave + trend, length, wraps=False)
    assert (power.argmax(-1) == 10).all()
    np.testing.assert_allclose(power[:, 8:13].sum(-1), length / 2, rtol=0.02)


def test_the_band_is_the_middle_latitudes_where_the_grid_has_them() -> None:
    latitude = np.array([-45.0, 0.0, 29.0, 31.0, 80.0])
    complete = np.array([True, True, True, False, True])
    assert band(latitude, complete).tolist() == [True, False, False, False, False]
    assert band(latitude[1:3], complete[1:3]).tolist() == [True, True]


def test_effective_resolution_of_a_known_ratio() -> None:
    """error/truth rises as a straight line in log wavelength through 0.5 at 1000 km."""
    wavelength = wavelengths(np.array([2.0e7]), 64)
    assert wavelength[0] == np.inf
    assert wavelength[20] == pytest.approx(1000.0)
    truth = np.arange(33.0, 0, -1)
    with np.errstate(divide="ignore"):
        ratio = np.clip(0.5 - 0.3 * np.log(wavelength / 1000.0), 0, 2)
    assert effective_resolution(ratio * truth, truth, wavelength) == pytest.approx(1000.0)
    half_way = np.exp(0.5 * (np.log(wavelength[20]) + np.log(wavelength[21])))
    ratio = np.clip(0.5 - 0.3 * np.log(np.maximum(wavelength, 1) / half_way), 0, 2)
    assert effective_resolution(ratio * truth, truth, wavelength) == pytest.approx(half_way)


def test_effective_resolution_at_its_ends() -> None:
    wavelength, truth = wavelengths(np.array([2.0e7]), 64), np.ones(33)
    assert effective_resolution(0 * truth, truth, wavelength) == pytest.approx(wavelength[32])
    assert np.isnan(effective_resolution(0.6 * truth, truth, wavelength))
    step = effective_resolution(np.where(np.arange(33) <= 10, 0.0, 0.53), truth, wavelength)
    assert wavelength[11] < step < wavelength[10]
    # a truth without waves beyond 21 is not asked for them
    truth[22:] = 1e-14
    error = np.where(np.arange(33) < 22, 0.1, 1e-16)
    assert effective_resolution(error, truth, wavelength) == pytest.approx(wavelength[21])
