"""Rank histograms, spectra and distributions that the evaluation of an experiment stores for figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Integer

from fieldcast import calendars
from fieldcast.calendars import TimeStep
from fieldcast.geometry import GRID
from fieldcast.kinds import CASE, LEAD, SAMPLE, START
from fieldcast.scores import bootstrap, spectra
from fieldcast.scores.alignment import AlignedForecasts
from fieldcast.scores.distances import Sets, cell_wasserstein, neighbours
from fieldcast.scores.spectra import Latitudes
from fieldcast.scores.statistics import COVERAGE, coverage_interval, ranks


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
        cases = (observations.sizes[CASE], len(self.y))
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
        ranked, waves = (CASE, "variable", "rank"), (CASE, "variable", "wavenumber")
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
                "pattern": (CASE, self.observations["pattern"].to_numpy().astype(str)),
                "k": (CASE, self.observations["k"].to_numpy().astype(float)),
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


# Rank histograms and spectra of one forecast experiment, collected lead by lead.


SPECTRA = ("members", "mean", "truth")


class ForecastDiagnostics:
    """Collects the diagnostics of an evaluation that figures need and a table cannot hold.

    rank_histogram, rank_low, rank_high (lead, variable, rank): how often, by area, the truth has this rank
    among the members, with the 95 % interval of a block bootstrap of initial times; flat is 1/(M + 1).
    spectrum_members, spectrum_mean (of the member mean) and spectrum_truth (lead, variable, wavenumber): zonal
    power averaged over initial times and the latitudes of `spectra.band` in which no variable has missing cells, in
    unit² · metre. Initial times from which a member is not finite are left out; NaN where none is left.
    """

    def __init__(self, aligned: AlignedForecasts, members: int) -> None:
        self.aligned, self.members = aligned, members
        sizes = (len(aligned.leads), len(aligned.variables))
        self.histogram = np.full((*sizes, aligned.indices.shape[1], members + 1), np.nan)
        begin = aligned.truth.isel(time=int(aligned.indices.flat[0]))
        complete = np.all([begin[name].notnull().all("longitude") for name in aligned.variables], axis=0)
        self.latitudes = Latitudes.of(aligned.truth, complete)
        waves = self.latitudes.cells // 2 + 1
        self.spectra = {name: np.full((*sizes, waves), np.nan) for name in SPECTRA}

    def add(
        self,
        lead: int,
        variable: int,
        x: Float[np.ndarray, "member start latitude longitude"],
        y: Float[np.ndarray, "start latitude longitude"],
        finite: Bool[np.ndarray, " start"],
        weights: Float[np.ndarray, "latitude longitude"],
        rng: np.random.Generator,
    ) -> None:
        """Add members and truth of one variable at one lead, from the initial times whose members are all finite.

        Ties of ranks are broken by `rng`.
        """
        x, y = x[:, finite], y[finite]
        shares = rank_shares(ranks(x, y, rng), np.broadcast_to(weights, y.shape), self.members)
        self.histogram[lead, variable, finite] = shares
        for name, maps in zip(SPECTRA, (x, x.mean(0), y), strict=True):
            self.spectra[name][lead, variable] = self.latitudes.spectrum(maps)

    def dataset(self) -> xr.Dataset:
        """The diagnostics with their coordinates."""
        mean, low, high = over_times(
            np.moveaxis(self.histogram, 2, 0), self.aligned.forecasts[START], self.aligned.truth
        )
        ranked, waves = (LEAD, "variable", "rank"), (LEAD, "variable", "wavenumber")
        wavelength = self.latitudes.wavelengths
        return xr.Dataset(
            {
                "rank_histogram": (ranked, mean),
                "rank_low": (ranked, low),
                "rank_high": (ranked, high),
                **{f"spectrum_{name}": (waves, values) for name, values in self.spectra.items()},
            },
            coords={
                LEAD: (LEAD, self.aligned.leads, {"long_name": "lead in hours"}),
                "variable": self.aligned.variables,
                "rank": np.arange(self.members + 1),
                "wavenumber": np.arange(len(wavelength)),
                "wavelength_km": ("wavenumber", wavelength),
            },
            attrs={
                "members": self.members,
                "feedback": str(self.aligned.forecasts.attrs.get("feedback", "members")),
                **self.latitudes.attributes,
            },
        )


# Spectra, distributions of single cells, and nearest training states of samples.


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
            "nearest_of_samples": (SAMPLE, near.distance[:count]),
            "nearest": (SAMPLE, near.index[:count]),
            "nearest_of_test": ("datum", near.distance[count:]),
        },
        coords={SAMPLE: np.arange(count), "datum": datum},
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
    x = {name: samples[name].transpose(SAMPLE, *GRID).to_numpy()[finite] for name in names}
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
