"""Fields of one variable from its stations alone: a climate, and anomalies kriged in space and time.

    E x(p, t) = c(p, theta) + s(p) E z,
    var x(p, t) = var c + s^2 (var z + var(log s) ((E z)^2 + var z)),

with the climate c and s of the location (`station_climate`) and the anomaly z given the readings that are nearest in
space and time (`models.gaps.local_kriging`; Chiles and Delfiner 2012, section 3.3). It is the distribution of the
reading of a station there: the nugget of z, which holds instrument errors and local variability, is part of var z.
The correlation of z maximises the likelihood of hidden stations, from which no reading is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int8
from scipy.spatial import cKDTree
from torch import Tensor

from fieldcast.fields.fill_flags import EXTRAPOLATED, FILLED
from fieldcast.fields.gauges import GaugeRecord
from fieldcast.inference.gaps_result import MAX_LENGTHS, MAX_SPREAD_SHARE
from fieldcast.inference.station_climate import Climate, StationClimate
from fieldcast.models.gaps import local_kriging as kriging
from fieldcast.models.gaps import reach
from fieldcast.models.gaps.hidden import Hidden
from fieldcast.models.gaps.in_time import SEGMENT_SEPARATION
from fieldcast.models.gaps.local_kriging_fit import fit_kriging
from fieldcast.models.random_streams import seed_for
from fieldcast.models.selection import evenly

FOLDS = 10  # parts into which the stations are divided; one part is hidden at a time
MIN_HIDDEN = 20  # number of stations to hide in all, unless there are fewer
SCORED_TIMES = 100  # largest number of times whose hidden readings enter the likelihood
MIN_LENGTH = 2.0  # shortest initial length of the fit, in median distances between neighbouring stations
E_FOLDING = {0.5: 1.0, 1.5: 1.2391, 2.5: 1.2990}  # scaled distance of correlation 1 / e, by Matern smoothness
VALUES_AT_ONCE = 2**24  # values of all stations and of the cells that are in memory at once


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
        Anomalies of the stations.
    model
        Correlation of the anomalies.
    """

    record: GaugeRecord
    climate: StationClimate
    series: kriging.CellSeries
    model: kriging.KrigingModel

    @classmethod
    def fit(cls, record: GaugeRecord, seed: int, device: torch.device) -> StationKriging:
        """Fit climate and correlation to a record."""
        climate = StationClimate.of(record, {})
        series = anomalies(climate, record, device)
        segment = torch.from_numpy(record.segment).to(device)
        length = max(
            reach.e_folding_distance(series.x, series.observed, series.point),
            MIN_LENGTH * median_spacing(record.points),
        )
        duration = reach.e_folding_steps(series.x, series.observed, segment)
        copies, hidden = hidden_stations(series, seed)
        model = fit_kriging(copies, hidden, length, float(duration))
        return cls(record, climate, series, model)

    def without(self, removed: Bool[np.ndarray, " station"]) -> StationKriging:
        """Fit again without the stations of a mask; kernels and correlation stay those of all stations."""
        record = self.record.of(~removed)
        climate = StationClimate.of(record, self.climate.kernels)
        series = anomalies(climate, record, self.series.x.device)
        return StationKriging(record, climate, series, self.model)

    def at(
        self,
        points: Float[np.ndarray, "location 3"],
        requested: Bool[np.ndarray, "time location"] | None = None,
    ) -> Prediction:
        """Predict readings at other locations, by default at all times; values not requested are the climatology."""
        climate, phase = self.climate.at(points), self.record.phase
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
        self, points: Float[np.ndarray, "location 3"], values: int = VALUES_AT_ONCE
    ) -> Iterator[tuple[slice, Prediction, Int8[np.ndarray, "time location"]]]:
        """Yield predictions and flags piece by piece of the locations, with about `values` values in memory."""
        times, stations = self.series.x.shape
        size = max(values // times - stations, 2 * stations, 1)
        for first in range(0, len(points), size):
            piece = slice(first, first + size)
            gridded = self.at(points[piece])
            far = gridded.variance > MAX_SPREAD_SHARE**2 * gridded.climatological
            far |= ~self.within_reach(points[piece])
            yield piece, gridded, np.where(far, EXTRAPOLATED, FILLED).astype(np.int8)

    def within_reach(self, points: Float[np.ndarray, "location 3"]) -> Bool[np.ndarray, "time location"]:
        """Mask of the values within `MAX_LENGTHS` e-folding lengths of a reading."""
        stations = self.series.x.shape[1]
        joint, requested = with_locations(self.series.on("cpu"), points)
        count = joint.x.shape[1]
        columns = reach.Columns(joint.point.numpy(), torch.zeros(count, dtype=torch.int64), torch.ones(count))
        distance = reach.nearest_observation(joint.observed, columns, requested)[:, stations:]
        segment = torch.from_numpy(self.record.segment)
        return reach.is_within_reach(distance, segment, self.length, self.duration, MAX_LENGTHS).numpy()

    @property
    def length(self) -> float:
        """Chord on the unit sphere at which the correlation without the nugget is 1 / e."""
        return float(self.model.correlation.space) * E_FOLDING[self.model.correlation.smoothness]

    @property
    def duration(self) -> int:
        """Number of steps after which the correlation is 1 / e; at least 1."""
        steps = float(self.model.correlation.time) * E_FOLDING[self.model.correlation.smoothness]
        return max(1, round(steps))


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
    """The anomalies of the stations, 0 where there is no reading."""
    z = np.nan_to_num(climate.anomalies(record)).astype(np.float32)
    observed = torch.from_numpy(record.observed)
    number = torch.from_numpy(record.number.astype(np.float64))
    series = kriging.CellSeries(torch.from_numpy(z), observed, number, torch.from_numpy(record.points))
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


def hidden_stations(series: kriging.CellSeries, seed: int) -> tuple[kriging.CellSeries, Hidden]:
    """Copies of a series, far apart in time, and hidden readings: each copy hides the readings of other stations."""
    times, stations = series.x.shape
    folds = min(FOLDS, stations)
    generator = torch.Generator().manual_seed(seed_for("hidden stations", seed))
    fold = torch.randperm(stations, generator=generator).to(series.x.device) % folds
    copies = min(folds, -(-MIN_HIDDEN * folds // stations))
    step = torch.cat([series.step + copy * (series.step[-1] + SEGMENT_SEPARATION) for copy in range(copies)])
    repeated = kriging.CellSeries(
        series.x.repeat(copies, 1), series.observed.repeat(copies, 1), step, series.point
    )
    of_copy = torch.arange(copies, device=fold.device).repeat_interleave(times)
    time, station = (repeated.observed & (of_copy[:, None] == fold)).nonzero(as_tuple=True)
    return repeated, Hidden(
        (len(step), stations), time, station, repeated.x[time, station].double(),
        whole=torch.zeros_like(time, dtype=torch.bool), group=-1 - station,
        area=torch.ones_like(time, dtype=torch.float64), weight=time_weights(time, times),
    )  # fmt: skip


def time_weights(time: Int[Tensor, " hidden"], times: int) -> Float[Tensor, " hidden"]:
    """Weights of hidden readings: 1 at `SCORED_TIMES` times, evenly spread over the record, 0 at all others."""
    present = (time % times).unique()
    number = evenly(len(present), SCORED_TIMES)
    return torch.isin(time % times, present[number.to(time.device)]).double()
