"""Spectra, distributions of single cells, and nearest training states of samples."""

from __future__ import annotations

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from fieldcast.geometry import GRID
from fieldcast.scores.distances.neighbours import neighbours
from fieldcast.scores.distances.wasserstein import cell_wasserstein
from fieldcast.scores.sample_scores import Sets
from fieldcast.scores.spectra import Latitudes


def sample_diagnostics(samples: xr.Dataset, real: xr.Dataset, states: Sets, seed: int = 0) -> xr.Dataset:
    """Diagnostics of samples that figures need and a table cannot hold.

    nearest_of_samples (sample), nearest_of_test (datum): distance to the nearest training state, root-mean-square
    over standardised cells; nearest (sample) is its index. There are as many test states as samples, drawn at random;
    `datum` holds their indices. Fields also have spectrum_samples and spectrum_real (variable, wavenumber), zonal
    power averaged over states and the latitudes of `spectra.band`, in unit² · metre; wasserstein (variable, latitude,
    longitude), the distance of each cell's values in standard deviations over real states. Samples that are not
    finite are left out of these two, and `finite` is the number of the others; attrs["wasserstein_mean"] is the mean
    over cells and attrs["wasserstein_floor"] that of as many training states as there are samples."""
    rng = np.random.default_rng([seed, len(states.test)])
    datum = np.sort(rng.permutation(len(states.test))[: len(states.samples)])
    count = len(states.samples)
    near = neighbours(np.concatenate([states.samples, states.test[datum]]), states.training)
    finite = np.isfinite(states.samples).all(1)
    diagnostics = xr.Dataset(
        {
            "nearest_of_samples": ("sample", near.distance[:count]),
            "nearest": ("sample", near.index[:count]),
            "nearest_of_test": ("datum", near.distance[count:]),
        },
        coords={"sample": np.arange(count), "datum": datum},
        attrs={"finite": int(finite.sum())},
    )
    if not set(GRID) <= set(real.dims):
        return diagnostics
    return diagnostics.merge(
        field_diagnostics(samples, real, finite), combine_attrs="drop_conflicts"
    ).assign_attrs(
        wasserstein_mean=mean_standardised_distance(states.samples[finite], states.test),
        wasserstein_floor=mean_standardised_distance(
            states.training[rng.permutation(len(states.training))[:count]], states.test
        ),
    )


def field_diagnostics(
    samples: xr.Dataset, real: xr.Dataset, finite: Bool[np.ndarray, " sample"]
) -> xr.Dataset:
    """Spectra and Wasserstein distances of the variables of `samples`."""
    names = [str(name) for name in samples.data_vars]
    x = {name: samples[name].transpose("sample", *GRID).to_numpy()[finite] for name in names}
    y = {name: real[name].transpose("time", *GRID).to_numpy() for name in names}
    latitudes = Latitudes.of(real, np.all([np.isfinite(states).all((0, 2)) for states in y.values()], axis=0))
    waves, cells = ("variable", "wavenumber"), ("variable", *GRID)
    return xr.Dataset(
        {
            "spectrum_samples": (waves, np.stack([latitudes.spectrum(states) for states in x.values()])),
            "spectrum_real": (waves, np.stack([latitudes.spectrum(states) for states in y.values()])),
            "wasserstein": (cells, np.stack([standardised_distance(x[name], y[name]) for name in names])),
        },
        coords={
            "variable": names,
            "wavenumber": np.arange(latitudes.cells // 2 + 1),
            "wavelength_km": ("wavenumber", latitudes.wavelengths),
            **{name: real[name].to_numpy() for name in GRID},
        },
        attrs=latitudes.attributes,
    )


def standardised_distance(
    x: Float[np.ndarray, "n *cell"], y: Float[np.ndarray, "m *cell"]
) -> Float[np.ndarray, "*cell"]:
    """Wasserstein-1 distance of each cell in its standard deviations over y; NaN where that is 0, or x is empty."""
    if not len(x):
        return np.full(y.shape[1:], np.nan)
    deviation = y.std(0, dtype=float)
    return cell_wasserstein(x, y) / np.where(deviation > 0, deviation, np.nan)


def mean_standardised_distance(x: Float[np.ndarray, "n cell"], y: Float[np.ndarray, "m cell"]) -> float:
    """Mean of `standardised_distance` over the cells that have it."""
    distances = standardised_distance(x, y)
    return float(distances[np.isfinite(distances)].mean()) if np.isfinite(distances).any() else float("nan")
