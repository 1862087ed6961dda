"""Rank histograms and spectra of one forecast experiment, collected lead by lead."""

from __future__ import annotations

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from fieldcast.scores.alignment import AlignedForecasts
from fieldcast.scores.diagnostics.reconstruction import over_times, rank_shares
from fieldcast.scores.spectra import Latitudes
from fieldcast.scores.statistics import ranks

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
            np.moveaxis(self.histogram, 2, 0), self.aligned.forecasts["start"], self.aligned.truth
        )
        ranked, waves = ("lead", "variable", "rank"), ("lead", "variable", "wavenumber")
        wavelength = self.latitudes.wavelengths
        return xr.Dataset(
            {
                "rank_histogram": (ranked, mean),
                "rank_low": (ranked, low),
                "rank_high": (ranked, high),
                **{f"spectrum_{name}": (waves, values) for name, values in self.spectra.items()},
            },
            coords={
                "lead": ("lead", self.aligned.leads, {"long_name": "lead in hours"}),
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
