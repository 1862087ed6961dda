"""Zonal power spectra: how much structure of each size a field has, and the smallest size that an estimate resolves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int
from scipy.fft import rfft

from fieldcast.geometry import EARTH_RADIUS

NEGLIGIBLE_POWER = 1e-8  # share of the total power: rounding in float32 lies below, real waves above


def row_length(
    latitude: Float[np.ndarray, " latitude"], longitude: Float[np.ndarray, " longitude"]
) -> Float[np.ndarray, " latitude"]:
    """C = R cos φ · n Δλ in metres, the length of a row of n cells: 2πR cos φ where the grid goes round the
    globe."""
    width = np.deg2rad(np.median(np.diff(longitude))) * len(longitude)
    return EARTH_RADIUS * np.cos(np.deg2rad(latitude)) * width


def zonal_spectrum(
    x: Float[np.ndarray, "*batch latitude longitude"], length: Float[np.ndarray, " latitude"], wraps: bool
) -> Float[np.ndarray, "*batch latitude wavenumber"]:
    """S_0 = C |F_0|², S_k = 2 C |F_k|², with F = rfft(x)/n along longitude (WeatherBench 2).

    The Nyquist wave counts once, so that Σ_k S_k = C · mean(x²).

    Parameters
    ----------
    x
        Fields.
    length
        Lengths C of the rows [m].
    wraps
        Whether rows go round the globe. On a region each row is detrended and multiplied by a Hann window of mean
        square 1; k then counts waves across the region, and the smallest k mean little.

    Returns
    -------
    Array
        Power by wavenumber, in squared units of x times metres.
    """
    n = x.shape[-1]
    if not wraps:
        # imported here because it takes a second, which commands without spectra should not wait for
        from scipy.signal import detrend
        from scipy.signal.windows import hann

        window = hann(n, sym=False)
        x = detrend(x, axis=-1) * (window / np.sqrt(np.mean(window**2)))
    power = np.abs(rfft(x, norm="forward")) ** 2
    power[..., 1 : (n + 1) // 2] *= 2
    return power * length[:, None]


def band(
    latitude: Float[np.ndarray, " latitude"], complete: Bool[np.ndarray, " latitude"]
) -> Bool[np.ndarray, " latitude"]:
    """Latitudes to average spectra over: 30 to 60 degrees in both hemispheres, where most weather waves are, or all
    if the grid has none of those; only latitudes without missing cells (`complete`)."""
    middle = complete & (np.abs(latitude) >= 30) & (np.abs(latitude) <= 60)
    return middle if middle.any() else complete


def wavelengths(length: Float[np.ndarray, " latitude"], cells: int) -> Float[np.ndarray, " wavenumber"]:
    """Mean wavelength in km over rows of `length` metres and `cells` cells, for wavenumbers 0 (infinite) to
    cells/2; NaN without rows."""
    mean = length.mean() if len(length) else np.nan
    with np.errstate(divide="ignore"):
        return mean / 1000 / np.arange(cells // 2 + 1)


@dataclass(frozen=True)
class Latitudes:
    """Latitudes of a grid that spectra are averaged over, and the lengths of their rows in metres.

    Parameters
    ----------
    selected
        Mask of these latitudes in the grid.
    length
        Length of each row in metres.
    from_equator
        Distance from the equator in degrees.
    cells
        Number of cells in a row.
    wraps
        Whether rows go around the globe.
    """

    selected: Bool[np.ndarray, " latitude"]
    length: Float[np.ndarray, " selected"]
    from_equator: Float[np.ndarray, " selected"]
    cells: int
    wraps: bool

    @classmethod
    def of(cls, grid: xr.Dataset, complete: Bool[np.ndarray, " latitude"]) -> Latitudes:
        """Select the latitudes of `band`; `grid` has latitude, longitude and the attribute `wraps`."""
        latitude, longitude = (grid[name].to_numpy().astype(float) for name in ("latitude", "longitude"))
        selected = band(latitude, complete)
        length = row_length(latitude, longitude)[selected]
        return cls(selected, length, np.abs(latitude[selected]), len(longitude), bool(grid.attrs["wraps"]))

    def spectrum(self, x: Float[np.ndarray, "*batch latitude longitude"]) -> Float[np.ndarray, " wavenumber"]:
        """Power of x, averaged over everything but the wavenumber; NaN without rows, or without maps."""
        if not self.selected.any() or not x.size:
            return np.full(self.cells // 2 + 1, np.nan)
        power = zonal_spectrum(x[..., self.selected, :], self.length, self.wraps)
        return power.mean(axis=tuple(range(power.ndim - 1)), dtype=float)

    @property
    def wavelengths(self) -> Float[np.ndarray, " wavenumber"]:
        """Mean wavelength in km of each wavenumber."""
        return wavelengths(self.length, self.cells)

    @property
    def attributes(self) -> dict[str, str]:
        """Attributes of a stored spectrum: its kind, and the latitudes that it is averaged over."""
        latitudes = "none: no row without missing cells"
        if len(self.from_equator):
            ends = f"{self.from_equator.min():g} to {self.from_equator.max():g}"
            latitudes = f"{len(self.from_equator)} rows at {ends} degrees from the equator"
        return {
            "spectrum": "global" if self.wraps else "regional: detrended, windowed",
            "latitudes": latitudes,
        }


def waves_with_power(spectrum: Float[np.ndarray, " wavenumber"]) -> Int[np.ndarray, " wave"]:
    """Wavenumbers of the waves with more power than rounding error, without the zonal mean."""
    return np.flatnonzero(spectrum[1:] > NEGLIGIBLE_POWER * spectrum[1:].sum()) + 1


def effective_resolution(
    error: Float[np.ndarray, " wavenumber"],
    truth: Float[np.ndarray, " wavenumber"],
    wavelength: Float[np.ndarray, " wavenumber"],
) -> float:
    """Smallest wavelength at which 1 - PSD(error)/PSD(truth) crosses 0.5, in the units of `wavelength`.

    Interpolated linearly in log wavelength between wavenumbers; the smallest wavelength of the grid if all are
    resolved, NaN if none is. Only the waves of `waves_with_power` count.
    """
    waves = waves_with_power(truth)
    score = 1 - error[waves] / truth[waves]
    resolved = np.flatnonzero(score >= 0.5)
    if not len(resolved):
        return float("nan")
    last = resolved[-1]
    if last == len(waves) - 1:
        return float(wavelength[waves[last]])
    longer, shorter = np.log(wavelength[waves[last]]), np.log(wavelength[waves[last + 1]])
    fraction = (score[last] - 0.5) / (score[last] - score[last + 1])
    return float(np.exp(longer + fraction * (shorter - longer)))
