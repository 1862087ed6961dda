"""Fields of one variable from its stations alone: a climate, and anomalies kriged in space and time.

    E x(p, t) = c(p, theta) + s(p) E z,
    var x(p, t) = var c + s^2 (var z + var(log s) ((E z)^2 + var z)),

with the climate c and s of the location (below) and the anomaly z given the readings that are nearest in
space and time (`models.gaps.local_kriging`; Chiles and Delfiner 2012, section 3.3). It is the distribution of the
reading of a station there: the nugget of z, which holds instrument errors and local variability, is part of var z.
The correlation of z maximises the likelihood of held-out stations, from which no reading is used.

Gauges in one place (`places`) stay several: each has its own climate, and the mean of their k anomalies counts as an
observation with a nugget of n / k. Their differences show what no two readings share: n is at least the variance of
their anomalies about the mean of the place, half the mean square of the difference of two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int8
from scipy.spatial import cKDTree
from torch import Tensor

from fieldcast.fields.climatology import HARMONICS, basis, shrunk_cycle
from fieldcast.fields.conventions import EXTRAPOLATED, FILLED
from fieldcast.fields.gauges import GaugeRecord
from fieldcast.inference.gaps.result import MAX_LENGTHS, MAX_SPREAD_SHARE
from fieldcast.inference.stations.surfaces import Surface
from fieldcast.inference.stations.suspects import membership, places, variance_within
from fieldcast.models.gaps import local_kriging as kriging
from fieldcast.models.gaps import reach
from fieldcast.models.gaps.held_out import HeldOut
from fieldcast.models.gaps.in_time import SEGMENT_SEPARATION
from fieldcast.models.gaps.local_kriging import BOUNDS, MIN_NUGGET, SMOOTHNESS, fit_kriging
from fieldcast.models.gaps.reach import e_folding_steps
from fieldcast.models.gaps.record import deviations
from fieldcast.models.random_streams import seed_for
from fieldcast.models.space import evenly

# Climate of stations, and of other locations.
#
#     x_i(t) = c_i(theta) + s_i z_i(t),    c_i(theta) = sum_j b_j(theta) a_ij
#
# with the annual cycle c_i as mean and harmonics b of the phase theta of the year, the standard deviation s_i and
# anomalies z_i of variance 1. The harmonics of a station are those of its surroundings plus a correction by its own
# readings (`fields.climatology`: empirical Bayes). With less than two years of readings all stations have the same
# harmonics, a slow course, and each its own mean: a season in the anomalies would be correlated over a continent and
# for months, and no single L and tau would fit both it and the weather. The mean of a station over n_i of T times
# differs from the mean over all times by an error of variance
#
#     v_i = s_i^2 (1 / n_i - 1 / T) (1 + 2 tau),
#
# where tau is the e-folding time of the correlation; the means of its surroundings correct it (below). At other
# locations the mean, the harmonics of each order and log s are kriged separately, as E-OBS kriges monthly means
# before anomalies (Haylock et al. 2008, section 4).


YEAR_PARTS = 72  # intervals of the year; the readings of an interval are pooled
COURSE_ITERATIONS = 10  # of the course that all stations share and of their means
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
    def of(
        cls, record: GaugeRecord, before: StationClimate | None = None, sill: float | None = None
    ) -> StationClimate:
        """Fit the climate to a record; kernels, and which surfaces have a drift, are those of another, if given.

        A given `sill` is the square of all standard deviations.
        """
        x, points, theta = record.x, record.points, record.phase
        fixed = {} if before is None else before.fixed
        a = np.zeros((x.shape[1], COEFFICIENTS))
        surfaces = cycle_surfaces(record, fixed) if record.seasonal else common_course(record)
        a[:, 1:] = np.concatenate(
            [surface.at(points, record.elevation)[0] for surface in surfaces.values()], axis=1
        )
        residual = x - basis(theta) @ a.T
        mean = np.nanmean(residual, axis=0)
        if record.seasonal:
            a += station_cycle(residual - mean, theta)
        a[:, 0] += mean
        residual = x - basis(theta) @ a.T
        s = standard_deviations(residual, x)
        s = s if sill is None else np.full_like(s, np.sqrt(sill))
        arrays = np.nan_to_num(residual / s), record.observed, record.segment
        tau = e_folding_steps(*(torch.from_numpy(array) for array in arrays))
        error = s**2 * (1 / record.observed.sum(0) - 1 / len(x)) * (1 + 2 * tau)
        for name, values, variance in ((MEAN, a[:, :1], error), (DEVIATION, np.log(s)[:, None], None)):
            kernel, drifts = fixed.get(name, (None, None))
            surfaces[name] = Surface.of(points, values, variance, kernel, record.elevation, drifts)
        a[:, 0] = surfaces[MEAN].values[:, 0]
        return cls(Climate(a, np.zeros_like(a), s, np.zeros_like(s)), surfaces)

    @property
    def fixed(self) -> dict[str, tuple[Any, bool]]:
        """The kernels of the surfaces that have one, and whether they have a drift."""
        return {
            name: (surface.kernel, surface.drifts)
            for name, surface in self.surfaces.items()
            if surface.kernel
        }

    def anomalies(self, record: GaugeRecord) -> Float[np.ndarray, "time station"]:
        """z of the record, NaN where there is no reading."""
        return (record.x - self.stations.mean(record.phase)) / self.stations.deviation

    def at(
        self, points: Float[np.ndarray, "location 3"], elevation: Float[np.ndarray, " location"] | None = None
    ) -> Climate:
        """The climate of other locations."""
        predicted = {name: surface.at(points, elevation) for name, surface in self.surfaces.items()}
        a, variance = np.zeros((2, len(points), COEFFICIENTS))
        for array, column in zip((a, variance), range(2), strict=True):
            array[:, :1] = predicted[MEAN][column]
            orders = [values[column] for name, values in predicted.items() if name not in (MEAN, DEVIATION)]
            if orders:
                array[:, 1:] = np.concatenate(orders, axis=1)
        log_s, log_variance = (array[:, 0] for array in predicted[DEVIATION])
        return Climate(a, variance, np.exp(log_s), log_variance)


def cycle_surfaces(record: GaugeRecord, fixed: Mapping[str, tuple[Any, bool]]) -> dict[str, Surface]:
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
            kernel, drifts = fixed.get(str(k), (None, None))
            some = record.of(enough)
            surfaces[str(k)] = Surface.of(some.points, values, None, kernel, some.elevation, drifts)
    return surfaces


def common_course(record: GaugeRecord) -> dict[str, Surface]:
    """The harmonics of the mean over all stations, by their order, the same everywhere; 0 with few times."""
    x, number = record.x, record.observed.sum(1)
    mean, a = np.nanmean(x, axis=0), np.zeros(2 * HARMONICS)
    enough = np.count_nonzero(number) > COEFFICIENTS
    # stations that have readings at one season only have other means
    for _ in range(COURSE_ITERATIONS if enough else 0):
        average = np.nansum(x - mean, axis=1) / np.where(number > 0, number, np.nan)
        a = station_cycle(average[:, None], record.phase)[0, 1:]
        mean = np.nanmean(x - (basis(record.phase)[:, 1:] @ a)[:, None], axis=0)
    everywhere = np.zeros((x.shape[1], 2))
    orders = enumerate(a.reshape(HARMONICS, 2), start=1)
    return {str(k): Surface(each, np.zeros(2), None, everywhere + each) for k, each in orders}


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


FOLDS = 10  # parts into which the stations are divided; one part is held out at a time
MIN_HELD_OUT = 20  # number of stations to hold out in all, unless there are fewer
SCORED_TIMES = 100  # largest number of times whose held-out readings enter the likelihood
MIN_LENGTH = 2.0  # shortest initial length of the fit, in median distances between neighbouring stations
E_FOLDING = {0.5: 1.0, 1.5: 1.2391, 2.5: 1.2990}  # scaled distance of correlation 1 / e, by Matern smoothness
VALUES_AT_ONCE = 2**24  # values of all stations and of the cells that are in memory at once


class Fixed(NamedTuple):
    """Parameters of the covariance that are given; None is fitted."""

    smoothness: float | None = None  # nu
    space: float | None = None  # L
    time: float | None = None  # tau [steps]
    sill: float | None = None  # variance of anomalies in squared units, the same everywhere
    nugget: float | None = None  # in squared units

    def bounds(self, sill: float, least: float) -> Float[np.ndarray, "4 2"]:
        """Limits of the logarithms of L, tau, n and a, with n at least `least` unless it is given."""
        bounds = np.array(BOUNDS)
        bounds[2, 0] = np.clip(np.log(max(least, MIN_NUGGET)), *BOUNDS[2])
        nugget = None if self.nugget is None else float(np.clip(self.nugget / sill, *np.exp(BOUNDS[2])))
        for row, value in enumerate((self.space, self.time, nugget)):
            if value is not None:
                bounds[row] = np.log(value)
        return bounds


FREE = Fixed()


class Prediction(NamedTuple):
    """Predicted readings at some locations."""

    mean: Float[np.ndarray, "time location"]
    variance: Float[np.ndarray, "time location"]
    climatological: Float[np.ndarray, "time location"]  # variance without any reading of the time


@dataclass(frozen=True, eq=False)
class StationKriging:
    """Prediction at other locations from a record.

    Parameters
    ----------
    record
        Readings of stations.
    climate
        Climate of the stations.
    series
        Anomalies of the places.
    model
        Correlation of the anomalies.
    fixed
        Parameters of the covariance that were given.
    """

    record: GaugeRecord
    climate: StationClimate
    series: kriging.CellSeries
    model: kriging.KrigingModel
    fixed: Fixed = FREE

    @classmethod
    def fit(
        cls, record: GaugeRecord, seed: int, device: torch.device, scored_times: int = SCORED_TIMES,
        fixed: Fixed = FREE,
    ) -> StationKriging:  # fmt: skip
        """Fit climate and correlation to a record; at most `scored_times` times enter the likelihood."""
        climate = StationClimate.of(record, None, fixed.sill)
        series = anomalies(climate, record, device)
        segment = torch.from_numpy(record.segment).to(device)
        length = max(
            reach.e_folding_distance(series.x, series.observed, series.point),
            MIN_LENGTH * median_spacing(series.point.cpu().numpy()),
        )
        duration = reach.e_folding_steps(series.x, series.observed, segment)
        copies, held_out = hold_out_stations(series, seed, scored_times)
        nugget = variance_within(climate.anomalies(record), places(record.points))
        bounds = fixed.bounds(float(np.mean(climate.stations.deviation**2)), nugget)
        smoothness = SMOOTHNESS if fixed.smoothness is None else (fixed.smoothness,)
        model = fit_kriging(copies, held_out, length, float(duration), bounds, smoothness)
        return cls(record, climate, series, model, fixed)

    def without(self, removed: Bool[np.ndarray, " station"]) -> StationKriging:
        """Fit again without the stations of a mask; kernels and correlation stay those of all stations."""
        record = self.record.of(~removed)
        climate = StationClimate.of(record, self.climate, self.fixed.sill)
        series = anomalies(climate, record, self.series.x.device)
        return StationKriging(record, climate, series, self.model, self.fixed)

    def at(
        self,
        points: Float[np.ndarray, "location 3"],
        requested: Bool[np.ndarray, "time location"] | None = None,
        elevation: Float[np.ndarray, " location"] | None = None,
    ) -> Prediction:
        """Predict readings at other locations, by default at all times; values not requested are the climatology."""
        climate, phase = self.climate.at(points, elevation), self.record.phase
        if requested is None:
            requested = np.ones((len(phase), len(points)), dtype=bool)
        z, deviation = krige(self.series, self.model, points, requested)
        error = climate.error(phase)
        return Prediction(
            climate.mean(phase) + climate.deviation * z,
            error + scaled_variance(climate, z, deviation**2),
            error + scaled_variance(climate, np.zeros_like(z), np.ones_like(z)),
        )

    def pieces(
        self,
        points: Float[np.ndarray, "location 3"],
        values: int = VALUES_AT_ONCE,
        elevation: Float[np.ndarray, " location"] | None = None,
    ) -> Iterator[tuple[slice, Prediction, Bool[np.ndarray, "time location"]]]:
        """Yield predictions, and which are `within_reach`, by pieces of the locations with about `values` in memory."""
        times, stations = self.series.x.shape
        size = max(values // times - stations, 2 * stations, 1)
        for first in range(0, len(points), size):
            piece = slice(first, first + size)
            height = None if elevation is None else elevation[piece]
            yield piece, self.at(points[piece], None, height), self.within_reach(points[piece])

    def within_reach(self, points: Float[np.ndarray, "location 3"]) -> Bool[np.ndarray, "time location"]:
        """Mask of the values within `MAX_LENGTHS` e-folding lengths of a reading."""
        stations = self.series.x.shape[1]
        joint, requested = with_locations(self.series.on("cpu"), points)
        count = joint.x.shape[1]
        columns = reach.Columns(joint.point.numpy(), torch.zeros(count, dtype=torch.int64), torch.ones(count))
        distance = reach.nearest_observation(joint.observed, columns, requested)[:, stations:]
        segment = torch.from_numpy(self.record.segment)
        return reach.is_within_reach(distance, segment, self.length, self.duration, MAX_LENGTHS).numpy()

    @cached_property
    def within_places(self) -> float:
        """Variance of readings about the mean of their place, in squared units; 0 if no two gauges share one."""
        return variance_within(self.record.x, places(self.record.points))

    @property
    def length(self) -> float:
        """Chord on the unit sphere at which the correlation without the nugget is 1 / e."""
        return float(self.model.correlation.space) * E_FOLDING[self.model.correlation.smoothness]

    @property
    def e_folding_time(self) -> float:
        """Number of steps after which the correlation without the nugget is 1 / e."""
        return float(self.model.correlation.time) * E_FOLDING[self.model.correlation.smoothness]

    @property
    def duration(self) -> int:
        """Whole number of steps after which the correlation is about 1 / e; at least 1."""
        return max(1, round(self.e_folding_time))


def flags(
    predictions: Sequence[Prediction], near: Bool[np.ndarray, "time location"]
) -> Int8[np.ndarray, "time location"]:
    """Flags of values: extrapolated if they are not near a reading, or the variances of all parts are too large."""
    variance, climatological = (
        np.sum(x, axis=0)
        for x in zip(*((each.variance, each.climatological) for each in predictions), strict=True)
    )
    far = variance > MAX_SPREAD_SHARE**2 * climatological
    return np.where(far | ~near, EXTRAPOLATED, FILLED).astype(np.int8)


def median_spacing(points: Float[np.ndarray, "station 3"]) -> float:
    """Median chord between a station and its nearest neighbour."""
    return float(np.median(cKDTree(points).query(points, 2)[0][:, 1]))


def scaled_variance(
    climate: Climate, mean: Float[np.ndarray, "time location"], variance: Float[np.ndarray, "time location"]
) -> Float[np.ndarray, "time location"]:
    """Variance of s z in the units of the variable."""
    uncertain = climate.log_variance * (mean**2 + variance)
    return np.asarray(climate.deviation**2 * (variance + uncertain))


def anomalies(climate: StationClimate, record: GaugeRecord, device: torch.device) -> kriging.CellSeries:
    """The anomalies of each place, means of those of its gauges; 0 where there is no reading."""
    z, points, readings = np.nan_to_num(climate.anomalies(record)), record.points, None
    observed, place = record.observed, places(points)
    if place.max() + 1 < len(points):
        of_place = membership(place)
        count = observed.astype(float) @ of_place
        z, observed, readings = z @ of_place / np.maximum(count, 1), count > 0, np.maximum(count, 1)
        points = of_place.T @ points
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    series = kriging.CellSeries(
        torch.from_numpy(z.astype(np.float32)),
        torch.from_numpy(observed),
        torch.from_numpy(record.number.astype(np.float64)),
        torch.from_numpy(points),
        readings=None if readings is None else torch.from_numpy(readings.astype(np.float32)),
    )
    return series.on(str(device))


def with_locations(
    series: kriging.CellSeries, points: Float[np.ndarray, "location 3"]
) -> tuple[kriging.CellSeries, Bool[Tensor, "time column"]]:
    """The series with columns for other locations, where nothing is observed; and the mask of these columns."""
    extra = series.x.new_zeros(len(series.x), len(points))
    nothing = torch.zeros_like(extra, dtype=torch.bool)
    joint = series._replace(
        x=torch.cat([series.x, extra], dim=1),
        observed=torch.cat([series.observed, nothing], dim=1),
        point=torch.cat([series.point, torch.from_numpy(points).to(series.point)]),
        readings=None if series.readings is None else torch.cat([series.readings, extra + 1], dim=1),
    )
    return joint, torch.cat([torch.zeros_like(series.observed), ~nothing], dim=1)


def krige(
    series: kriging.CellSeries, model: kriging.KrigingModel, points: Float[np.ndarray, "location 3"],
    requested: Bool[np.ndarray, "time location"],
) -> tuple[Float[np.ndarray, "time location"], Float[np.ndarray, "time location"]]:  # fmt: skip
    """Mean and standard deviation of the anomalies at other locations; 0 and 1 where they are not requested."""
    joint, columns = with_locations(series, points)
    stations = series.x.shape[1]
    columns[:, stations:] = torch.from_numpy(requested).to(columns.device)
    mean, spread = torch.zeros_like(joint.x), torch.ones_like(joint.x)
    kriging.predict(joint, model, columns, None, mean, spread, mean.new_empty(len(mean), 0, mean.shape[1]))
    z, deviation = (moment[:, stations:].double().cpu().numpy() for moment in (mean, spread))
    return z, deviation


def hold_out_stations(
    series: kriging.CellSeries, seed: int, scored_times: int = SCORED_TIMES
) -> tuple[kriging.CellSeries, HeldOut]:
    """Copies of a series, far apart in time, and held-out readings: each copy lacks those of other stations."""
    times, stations = series.x.shape
    folds = min(FOLDS, stations)
    generator = torch.Generator().manual_seed(seed_for("hidden stations", seed))
    fold = torch.randperm(stations, generator=generator).to(series.x.device) % folds
    copies = min(folds, -(-MIN_HELD_OUT * folds // stations))
    step = torch.cat([series.step + copy * (series.step[-1] + SEGMENT_SEPARATION) for copy in range(copies)])
    repeated = kriging.CellSeries(
        series.x.repeat(copies, 1), series.observed.repeat(copies, 1), step, series.point,
        readings=None if series.readings is None else series.readings.repeat(copies, 1),
    )  # fmt: skip
    of_copy = torch.arange(copies, device=fold.device).repeat_interleave(times)
    time, station = (repeated.observed & (of_copy[:, None] == fold)).nonzero(as_tuple=True)
    return repeated, HeldOut(
        (len(step), stations), time, station, repeated.x[time, station].double(),
        whole=torch.zeros_like(time, dtype=torch.bool), group=-1 - station,
        area=torch.ones_like(time, dtype=torch.float64), weight=time_weights(time, times, scored_times),
    )  # fmt: skip


def time_weights(time: Int[Tensor, " held_out"], times: int, scored_times: int) -> Float[Tensor, " held_out"]:
    """Weights of held-out readings: 1 at `scored_times` times, evenly spread over the record, 0 at all others."""
    present = (time % times).unique()
    number = evenly(len(present), scored_times)
    return torch.isin(time % times, present[number.to(time.device)]).double()
