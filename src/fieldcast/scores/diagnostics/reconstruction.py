"""Rank histograms and spectra of one reconstruction experiment, collected case by case."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Integer

from fieldcast import calendars
from fieldcast.scores import bootstrap, spectra
from fieldcast.scores.statistics import COVERAGE, coverage_interval
from fieldcast.time_steps import TimeStep


class Diagnostics:
    """Collects the diagnostics of an evaluation that figures need and a table cannot hold.

    rank_histogram, rank_low, rank_high (case, variable, rank): how often, by area, the truth has this rank
    among the members over unobserved cells, with the 95 % interval of a block bootstrap of times; flat is
    1/(M + 1). spectrum_truth and spectrum_anomaly, of the truth minus the climatology of the day (variable,
    wavenumber); spectrum_members (mean over members, never of their mean) and spectrum_error (of the member mean)
    (case, variable, wavenumber): zonal power averaged over time and the latitudes of `spectra.band`, in unit² · metre.
    effective_resolution (case, variable) in km, relative to the anomalies: where the climatology varies more than the
    weather, as temperature does between land and sea, it would itself resolve most waves of the fields.

    Parameters
    ----------
    truth
        Fields at the scored times.
    normals
        Climatology of the day at each of these times, by variable.
    observations
        Cases that are scored.
    members
        Size of the ensembles.
    """

    def __init__(
        self,
        truth: xr.Dataset,
        normals: Sequence[Float[np.ndarray, "time latitude longitude"]],
        observations: xr.Dataset,
        members: int,
    ) -> None:
        self.truth, self.observations, self.members = truth, observations, members
        self.y = [values.to_numpy() for values in truth.data_vars.values()]
        complete = np.all([np.isfinite(y).all((0, 2)) for y in self.y], axis=0)
        self.latitudes = spectra.Latitudes.of(truth, complete)
        self.spectrum_truth = np.stack([self.latitudes.spectrum(y) for y in self.y])
        anomalies = (y - normal for y, normal in zip(self.y, normals, strict=True))
        self.spectrum_anomaly = np.stack([self.latitudes.spectrum(anomaly) for anomaly in anomalies])
        cases = (observations.sizes["case"], len(self.y))
        self.histogram = np.full((*cases, truth.sizes["time"], members + 1), np.nan)
        self.spectrum_members = np.full((*cases, self.spectrum_truth.shape[-1]), np.nan)
        self.spectrum_error = np.full_like(self.spectrum_members, np.nan)

    def add(
        self,
        case: int,
        variable: int,
        x: Float[np.ndarray, "member time latitude longitude"],
        rank: Integer[np.ndarray, "time latitude longitude"],
        weights: Float[np.ndarray, "time latitude longitude"],
        finite: Bool[np.ndarray, " time"],
    ) -> None:
        """Add one variable of one case; `weights` are those of the unobserved cells.

        Times at which a member is not `finite` are left out, and in the histogram those without such cells.
        """
        y = self.y[variable]
        ranked = finite & np.isfinite(weights).all(axis=(1, 2))
        self.histogram[case, variable, ranked] = rank_shares(rank[ranked], weights[ranked], self.members)
        self.spectrum_members[case, variable] = self.latitudes.spectrum(x[:, finite])
        self.spectrum_error[case, variable] = self.latitudes.spectrum(x[:, finite].mean(0) - y[finite])

    def dataset(self) -> xr.Dataset:
        """The diagnostics with their coordinates."""
        wavelength = self.latitudes.wavelengths
        mean, low, high = over_times(np.moveaxis(self.histogram, 2, 0), self.truth.time, self.truth)
        resolution = [
            [
                spectra.effective_resolution(error, anomaly, wavelength)
                for error, anomaly in zip(case, self.spectrum_anomaly, strict=True)
            ]
            for case in self.spectrum_error
        ]
        ranked, waves = ("case", "variable", "rank"), ("case", "variable", "wavenumber")
        diagnostics = xr.Dataset(
            {
                "rank_histogram": (ranked, mean),
                "rank_low": (ranked, low),
                "rank_high": (ranked, high),
                "spectrum_truth": (waves[1:], self.spectrum_truth),
                "spectrum_anomaly": (waves[1:], self.spectrum_anomaly),
                "spectrum_members": (waves, self.spectrum_members),
                "spectrum_error": (waves, self.spectrum_error),
                "effective_resolution": (waves[:2], resolution, {"units": "km"}),
            },
            coords={
                "pattern": ("case", self.observations["pattern"].to_numpy().astype(str)),
                "k": ("case", self.observations["k"].to_numpy().astype(float)),
                "variable": [str(name) for name in self.truth.data_vars],
                "rank": np.arange(self.members + 1),
                "wavenumber": np.arange(len(wavelength)),
                "wavelength_km": ("wavenumber", wavelength),
            },
            attrs={"members": self.members, **self.latitudes.attributes},
        )
        for name, nominal in COVERAGE.items():
            diagnostics.attrs[f"{name}_interval"] = str(
                coverage_interval(self.members, nominal) or "too few members"
            )
        return diagnostics


def rank_shares(
    rank: Integer[np.ndarray, "time latitude longitude"],
    weights: Float[np.ndarray, "time latitude longitude"],
    members: int,
) -> Float[np.ndarray, "time rank"]:
    """Total weight of the cells where the truth has each rank 0..M."""
    bins = members + 1
    index = rank + bins * np.arange(len(rank))[:, None, None]
    counts = np.bincount(index.ravel(), weights.ravel(), minlength=bins * len(rank))
    return counts.reshape(len(rank), bins).astype(float)  # without times they are integers


def over_times(
    values: Float[np.ndarray, "time *shape"], times: xr.DataArray, fields: xr.Dataset
) -> tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]:
    """Mean over the times that have a value, and its 95 % interval by a block bootstrap at the step of the fields."""
    moments = calendars.from_iso(calendars.iso(times))
    days = bootstrap.block_days(TimeStep.of(fields).months)
    weights = bootstrap.mean_and_resamples(len(times), bootstrap.block_length(moments, days))
    means = bootstrap.resampled_means(values, weights)
    return (means[0], *bootstrap.interval(means[1:]))
