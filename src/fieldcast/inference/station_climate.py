"""Climate of stations, and of other locations.

    x_i(t) = c_i(theta) + s_i z_i(t),    c_i(theta) = sum_j b_j(theta) a_ij

with the annual cycle c_i as mean and harmonics b of the phase theta of the year, the standard deviation s_i and
anomalies z_i of variance 1. With less than two years of readings the cycle is the mean. The harmonics of a station are
those of its surroundings plus a correction by its own readings (`fields.harmonics`: empirical Bayes). Its mean over
n_i of T times differs from the mean over all times by an error of variance

    v_i = s_i^2 (1 / n_i - 1 / T) (1 + 2 tau),

where tau is the e-folding time of the correlation; the means of its surroundings correct it (`surfaces`). At other
locations the mean, the harmonics of each order and log s are kriged separately, as E-OBS kriges monthly means before
anomalies (Haylock et al. 2008, section 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from fieldcast.fields.gauges import GaugeRecord
from fieldcast.fields.harmonics import HARMONICS, basis, shrunk_cycle
from fieldcast.inference.surfaces import Surface
from fieldcast.models.gaps.cells import deviations
from fieldcast.models.gaps.reach import e_folding_steps

YEAR_PARTS = 72  # intervals of the year; the readings of an interval are pooled
COEFFICIENTS = 1 + 2 * HARMONICS  # the mean, and a cosine and sine of each harmonic
MIN_READINGS = 0.5  # share of the median number of readings that a station needs for its cycle to be kriged
MIN_AMPLITUDE = 0.02  # RMS of harmonics, in standard deviations, below which they are averaged and not kriged
MIN_DEVIATION = 1e-6  # lower bound of a standard deviation, relative to the largest value
MEAN, DEVIATION = "mean", "log_deviation"  # names of surfaces; harmonics are named by their order


@dataclass(frozen=True, eq=False)
class Climate:
    """Climate of some locations.

    Parameters
    ----------
    coefficient, variance
        Coefficients a, and the variances of their errors.
    deviation, log_variance
        Standard deviation s, and the variance of the error of its logarithm.
    """

    coefficient: Float[np.ndarray, "location 13"]
    variance: Float[np.ndarray, "location 13"]
    deviation: Float[np.ndarray, " location"]
    log_variance: Float[np.ndarray, " location"]

    def mean(self, phase: Float[np.ndarray, " time"]) -> Float[np.ndarray, "time location"]:
        """c at some phases of the year."""
        return basis(phase) @ self.coefficient.T

    def error(self, phase: Float[np.ndarray, " time"]) -> Float[np.ndarray, "time location"]:
        """Variance of the error of c."""
        return basis(phase) ** 2 @ self.variance.T


@dataclass(frozen=True, eq=False)
class StationClimate:
    """Climate of the stations of a record, and the surfaces that predict it at other locations."""

    stations: Climate
    surfaces: Mapping[str, Surface]  # the mean, log s, and the harmonics by their order

    @classmethod
    def of(cls, record: GaugeRecord, kernels: Mapping[str, Any]) -> StationClimate:
        """Fit the climate to a record; kernels that are given are not fitted."""
        x, points, theta = record.x, record.points, record.phase
        a = np.zeros((x.shape[1], COEFFICIENTS))
        surfaces: dict[str, Surface] = {}
        if record.seasonal:
            surfaces = cycle_surfaces(record, kernels)
            a[:, 1:] = np.concatenate([surface.at(points)[0] for surface in surfaces.values()], axis=1)
            residual = x - basis(theta) @ a.T
            mean = np.nanmean(residual, axis=0)
            a += station_cycle(residual - mean, theta)
            a[:, 0] += mean
        else:
            a[:, 0] = np.nanmean(x, axis=0)
        residual = x - basis(theta) @ a.T
        s = standard_deviations(residual, x)
        arrays = np.nan_to_num(residual / s), record.observed, record.segment
        tau = e_folding_steps(*(torch.from_numpy(array) for array in arrays))
        error = s**2 * (1 / record.observed.sum(0) - 1 / len(x)) * (1 + 2 * tau)
        surfaces[MEAN] = Surface.of(points, a[:, :1], error, kernels.get(MEAN))
        surfaces[DEVIATION] = Surface.of(points, np.log(s)[:, None], None, kernels.get(DEVIATION))
        a[:, 0] = surfaces[MEAN].values[:, 0]
        return cls(Climate(a, np.zeros_like(a), s, np.zeros_like(s)), surfaces)

    @property
    def kernels(self) -> dict[str, Any]:
        """The kernels of the surfaces that have one."""
        return {name: surface.kernel for name, surface in self.surfaces.items() if surface.kernel}

    def anomalies(self, record: GaugeRecord) -> Float[np.ndarray, "time station"]:
        """z of the record, NaN where there is no reading."""
        return (record.x - self.stations.mean(record.phase)) / self.stations.deviation

    def at(self, points: Float[np.ndarray, "location 3"]) -> Climate:
        """The climate of other locations."""
        predicted = {name: surface.at(points) for name, surface in self.surfaces.items()}
        a, variance = np.zeros((2, len(points), COEFFICIENTS))
        for array, column in zip((a, variance), range(2), strict=True):
            array[:, :1] = predicted[MEAN][column]
            orders = [values[column] for name, values in predicted.items() if name not in (MEAN, DEVIATION)]
            if orders:
                array[:, 1:] = np.concatenate(orders, axis=1)
        log_s, log_variance = (array[:, 0] for array in predicted[DEVIATION])
        return Climate(a, variance, np.exp(log_s), log_variance)


def cycle_surfaces(record: GaugeRecord, kernels: Mapping[str, Any]) -> dict[str, Surface]:
    """Surfaces of the harmonics of each order, from the stations with enough readings."""
    count = record.observed.sum(0)
    enough = count >= MIN_READINGS * np.median(count)
    x = record.x[:, enough]
    x = x - np.nanmean(x, axis=0)
    a = station_cycle(x, record.phase)[:, 1:]
    overall_deviation = float(np.sqrt(np.nanmean(x**2)))
    surfaces = {}
    for k in range(1, HARMONICS + 1):
        values = a[:, 2 * k - 2 : 2 * k]
        if np.sqrt(np.square(values).mean()) < MIN_AMPLITUDE * overall_deviation:
            surfaces[str(k)] = Surface(values.mean(0), values.std(0), None, values)
        else:
            surfaces[str(k)] = Surface.of(record.points[enough], values, None, kernels.get(str(k)))
    return surfaces


def station_cycle(
    x: Float[np.ndarray, "time station"], theta: Float[np.ndarray, " time"]
) -> Float[np.ndarray, "station 13"]:
    """Coefficients of the annual cycle in the readings of each station, shrunk towards 0."""
    part = np.minimum((theta / (2 * np.pi) * YEAR_PARTS).astype(int), YEAR_PARTS - 1)
    present = np.unique(part)
    sums, counts = np.zeros((2, len(present), 1, x.shape[1]))
    np.add.at(sums[:, 0], np.searchsorted(present, part), np.nan_to_num(x))
    np.add.at(counts[:, 0], np.searchsorted(present, part), np.isfinite(x))
    middle = np.array([theta[part == number].mean() for number in present])
    at = 2 * np.pi * np.arange(2 * COEFFICIENTS) / (2 * COEFFICIENTS)
    cycle = shrunk_cycle(sums, counts, np.nansum(x**2, axis=0)[None], middle, at)[:, 0]
    return np.linalg.lstsq(basis(at), cycle, rcond=None)[0].T


def standard_deviations(
    anomaly: Float[np.ndarray, "time station"], x: Float[np.ndarray, "time station"]
) -> Float[np.ndarray, " station"]:
    """s of each station, shrunk towards the s of all stations with the weight of ten readings; never 0."""
    observed = torch.from_numpy(np.isfinite(anomaly))
    s = deviations(torch.from_numpy(np.nan_to_num(anomaly)), observed).numpy()
    if not np.nan_to_num(anomaly).any():
        s = np.zeros_like(s)
    largest = float(np.nanmax(np.abs(x)))
    return np.maximum(s, MIN_DEVIATION * largest if largest > 0 else MIN_DEVIATION)
