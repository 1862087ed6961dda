"""Climate of stations, and of other places.

    x_i(t) = c_i(theta) + s_i z_i(t),    c_i(theta) = sum_j b_j(theta) a_ij

with the annual cycle c_i as mean and harmonics b of the phase theta of the year, the standard deviation s_i and
anomalies z_i of variance 1. In less than two years of readings the cycle is the mean. The harmonics of a station are
those of its surroundings plus what its own readings determine (`fields.harmonics`: empirical Bayes). Its mean over
n_i of T times differs from that of all times by an error of the variance

    v_i = s_i^2 (1 / n_i - 1 / T) (1 + 2 tau),

tau the e-folding length of the correlation in time, and is corrected by that of its surroundings (`surfaces`). At other
places mean, harmonics of each order and log s are kriged separately, as in E-OBS the monthly means are before the
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
from fieldcast.models.gaps.reach import duration

PARTS = 72  # of the year, whose readings count together
COEFFICIENTS = 1 + 2 * HARMONICS
ENOUGH = 0.5  # of the median number of readings, for a cycle that counts at other places
SMALL = 0.02  # of the standard deviation: harmonics that are not kriged, as all of them are about the same
LEAST = 1e-6  # standard deviation, relative to the largest value
MEAN, DEVIATION = "mean", "log_deviation"


@dataclass(frozen=True, eq=False)
class Climate:
    """Climate of some places.

    Parameters
    ----------
    coefficient, variance
        a, and the variances of their errors.
    deviation, log_variance
        s, and the variance of the error of its logarithm.
    """

    coefficient: Float[np.ndarray, "place 13"]
    variance: Float[np.ndarray, "place 13"]
    deviation: Float[np.ndarray, " place"]
    log_variance: Float[np.ndarray, " place"]

    def mean(self, phase: Float[np.ndarray, " time"]) -> Float[np.ndarray, "time place"]:
        """c at some phases of the year."""
        return basis(phase) @ self.coefficient.T

    def error(self, phase: Float[np.ndarray, " time"]) -> Float[np.ndarray, "time place"]:
        """Variance of the error of c."""
        return basis(phase) ** 2 @ self.variance.T


@dataclass(frozen=True, eq=False)
class StationClimate:
    """Climate of the stations of a record, and what predicts it at other places."""

    stations: Climate
    surfaces: Mapping[str, Surface]  # the mean, log s, and the harmonics by their order

    @classmethod
    def of(cls, record: GaugeRecord, kernels: Mapping[str, Any]) -> StationClimate:
        """Fit the climate, with given kernels if there are any."""
        x, points, theta = record.x, record.points, record.phase
        a = np.zeros((x.shape[1], COEFFICIENTS))
        surfaces: dict[str, Surface] = {}
        if record.seasonal:
            surfaces = cycle_surfaces(record, kernels)
            a[:, 1:] = np.concatenate([surface.at(points)[0] for surface in surfaces.values()], axis=1)
            left = x - basis(theta) @ a.T
            mean = np.nanmean(left, axis=0)
            a += own_cycle(left - mean, theta)
            a[:, 0] += mean
        else:
            a[:, 0] = np.nanmean(x, axis=0)
        left = x - basis(theta) @ a.T
        s = standard_deviations(left, x)
        parts = np.nan_to_num(left / s), record.observed, record.segment
        tau = duration(*(torch.from_numpy(part) for part in parts))
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

    def at(self, points: Float[np.ndarray, "place 3"]) -> Climate:
        """The climate of other places."""
        predicted = {name: surface.at(points) for name, surface in self.surfaces.items()}
        a, variance = np.zeros((2, len(points), COEFFICIENTS))
        for part, column in zip((a, variance), range(2), strict=True):
            part[:, :1] = predicted[MEAN][column]
            orders = [values[column] for name, values in predicted.items() if name not in (MEAN, DEVIATION)]
            if orders:
                part[:, 1:] = np.concatenate(orders, axis=1)
        log_s, log_variance = (part[:, 0] for part in predicted[DEVIATION])
        return Climate(a, variance, np.exp(log_s), log_variance)


def cycle_surfaces(record: GaugeRecord, kernels: Mapping[str, Any]) -> dict[str, Surface]:
    """The harmonics of each order, from the stations with enough readings."""
    count = record.observed.sum(0)
    enough = count >= ENOUGH * np.median(count)
    x = record.x[:, enough]
    x = x - np.nanmean(x, axis=0)
    a = own_cycle(x, record.phase)[:, 1:]
    typical = float(np.sqrt(np.nanmean(x**2)))
    surfaces = {}
    for k in range(1, HARMONICS + 1):
        values = a[:, 2 * k - 2 : 2 * k]
        if np.sqrt(np.square(values).mean()) < SMALL * typical:
            surfaces[str(k)] = Surface(values.mean(0), values.std(0), None, values)
        else:
            surfaces[str(k)] = Surface.of(record.points[enough], values, None, kernels.get(str(k)))
    return surfaces


def own_cycle(
    x: Float[np.ndarray, "time station"], theta: Float[np.ndarray, " time"]
) -> Float[np.ndarray, "station 13"]:
    """Coefficients of the cycle that the readings of each station determine."""
    part = np.minimum((theta / (2 * np.pi) * PARTS).astype(int), PARTS - 1)
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
    """s of each station, shrunk towards that of all as by ten further readings; never 0."""
    observed = torch.from_numpy(np.isfinite(anomaly))
    s = deviations(torch.from_numpy(np.nan_to_num(anomaly)), observed).numpy()
    if not np.nan_to_num(anomaly).any():
        s = np.zeros_like(s)
    largest = float(np.nanmax(np.abs(x)))
    return np.maximum(s, LEAST * largest if largest > 0 else LEAST)
