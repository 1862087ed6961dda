"""Fields of one variable from readings along tracks: altimeters, ships, floats, whose instruments move.

    y_k = m(p_k, theta_k) + z(p_k, t_k) + b_j + e_k,
    z ~ GP(0, s rho(D / L) rho(|t - t'| / T)),    b_j ~ N(0, w),    e_k ~ N(0, v),

with a mean m that is linear in space and has an annual cycle, the Matern correlation rho of smoothness 3/2, chord D,
and a bias b that the readings of a pass j share, such as an error of the orbit (Le Traon et al. 1998). s, L, T, w, v
maximise the likelihood of blocks of neighbouring readings. Readings of a pass within a fraction of L are averaged. A
field is kriged from the readings that are nearest in space and time. Passes are held out whole, in ten folds: the
variance of a held-out reading includes w and v.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from fieldcast import calendars
from fieldcast.fields.climatology import basis
from fieldcast.fields.gauges import MIN_SEASONAL_YEARS
from fieldcast.geometry import great_circle_km
from fieldcast.inference.stations.held_out import CLIMATOLOGY, FOLDS, KRIGING, NEAREST, HeldOut, spread_factor

WITHOUT_BIAS = "kriging without biases"
MIN_PASSES = 10  # smallest number of passes from which some are held out
MIN_DISTINCT = 0.7  # share of distinct places among readings above which an instrument moves
MIN_DISTINCT_NAMED = 0.3  # the same where tracks have names; moored platforms have them, too
MIN_PLACES = 50  # smallest number of places of an instrument that moves
MAX_GAP = 10.0  # gap in a track, in median intervals, at which another pass begins
NEIGHBOURS = 80  # averaged readings that a value is kriged from
BLOCKS, BLOCK = 8, 200  # blocks of the likelihood, and their averaged readings
ITERATIONS = 60  # of the fit
PRIOR = 1.5  # standard deviation of the logarithm of L and T about their first guesses
FIRST_BIN = 50  # parts of the extent of all readings that are averaged before L is known
BIN = 5.0  # parts of L and T within which the readings of a pass are averaged
MAX_SCORED = 4000  # largest number of held-out readings that are scored
TARGETS = 1000  # values kriged at once


def moves(table: pd.DataFrame) -> bool:
    """Whether the readings of a table are along tracks: it names tracks that move, or reads hardly any place twice."""
    columns = ["variable", "latitude", "longitude"]
    places = len(table.drop_duplicates(columns))
    if "track" in table:
        return places > MIN_DISTINCT_NAMED * len(table)
    if "station" in table and len(table.drop_duplicates([*columns, "station"])) == len(
        table.drop_duplicates(["variable", "station"])
    ):
        return False
    return bool(table["time"].nunique() > 1 and places > MIN_DISTINCT * len(table) and places >= MIN_PLACES)


def passes_of(table: pd.DataFrame) -> Int[np.ndarray, " n"]:
    """Number of the pass of each reading of a variable.

    A pass is the part of a track between gaps in time; without names, the part of the table without a gap or a step
    backwards.
    """
    name = next((each for each in ("track", "station") if each in table), None)
    number = np.zeros(len(table), dtype=int)
    tracks = [table.index] if name is None else table.groupby(name, dropna=False).groups.values()
    first = 0
    for rows in tracks:
        at = table.index.get_indexer(rows)
        seconds = table["time"].to_numpy().astype("M8[s]").astype(np.int64)[at]
        order = np.arange(len(at)) if name is None else np.argsort(seconds, kind="stable")
        interval = np.diff(seconds[order])
        usual = float(np.median(interval[interval > 0])) if (interval > 0).any() else np.inf
        begins = (interval < 0) | (interval > MAX_GAP * usual)
        number[at[order]] = first + np.concatenate([[0], np.cumsum(begins)])
        first = int(number[at].max()) + 1
    return number


class Readings(NamedTuple):
    """Readings, or averages of several."""

    point: Float[np.ndarray, "n 3"]
    hour: Float[np.ndarray, " n"]
    phase: Float[np.ndarray, " n"]  # of the annual cycle, in radians
    number: Int[np.ndarray, " n"]  # of the pass
    y: Float[np.ndarray, " n"]
    count: Float[np.ndarray, " n"]  # readings in an average

    def of(self, selected: Bool[np.ndarray, " n"]) -> Readings:
        """Some of the readings."""
        return Readings(*(array[selected] for array in self))


def readings_of(table: pd.DataFrame) -> Readings:
    """The readings of a variable, in the order of its table."""
    y, x = (np.deg2rad(table[axis].to_numpy(float)) for axis in ("latitude", "longitude"))
    point = np.stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)], 1)
    times = table["time"].to_numpy().astype("M8[s]")
    hour = times.astype(np.int64) / 3600.0
    phase = 2 * np.pi * calendars.fraction_of_year(times)
    return Readings(point, hour, phase, passes_of(table), table["value"].to_numpy(float), np.ones(len(table)))


def averaged(readings: Readings, chord: float, hours: float) -> Readings:
    """Averages of the readings of each pass within some chord along it, and within some hours."""
    order = np.lexsort((readings.hour, readings.number))
    point, hour, _, number, _, _ = (array[order] for array in readings)
    step = np.linalg.norm(np.diff(point, axis=0), axis=1) * (np.diff(number) == 0)
    along = np.floor(np.concatenate([[0.0], np.cumsum(step)]) / chord)
    key = np.stack([number, along, np.floor((hour - hour.min()) / hours)], 1)
    _, group, count = np.unique(key, axis=0, return_inverse=True, return_counts=True)
    group = group.ravel()
    sums = [np.stack([np.bincount(group, column) for column in point.T], 1)]
    sums += [np.bincount(group, readings[k][order])[:, None] for k in (1, 4)]
    mean = [each / count[:, None] for each in sums]
    first = np.unique(group, return_index=True)[1]
    centre = mean[0] / np.linalg.norm(mean[0], axis=1, keepdims=True)
    return Readings(
        centre, mean[1][:, 0], readings.phase[order][first], number[first], mean[2][:, 0], count.astype(float)
    )


class Mean(NamedTuple):
    """A mean that is linear in space, with an annual cycle in records of two years or more."""

    coefficient: Float[np.ndarray, " term"]
    centre: Float[np.ndarray, "3"]
    seasonal: bool

    @classmethod
    def of(cls, readings: Readings) -> Mean:
        """Least squares."""
        seasonal = np.ptp(readings.hour) / 24 >= MIN_SEASONAL_YEARS * 365
        mean = cls(np.zeros(0), readings.point.mean(0), bool(seasonal))
        terms = mean.terms(readings)
        return mean._replace(coefficient=np.linalg.lstsq(terms, readings.y, rcond=1e-6)[0])

    def terms(self, readings: Readings) -> Float[np.ndarray, "n term"]:
        """Constant, coordinates and harmonics."""
        columns = [np.ones((len(readings.hour), 1)), readings.point - self.centre]
        return np.concatenate(columns + ([basis(readings.phase)[:, 1:3]] if self.seasonal else []), axis=1)

    def at(self, readings: Readings) -> Float[np.ndarray, " n"]:
        """The mean at the places and times of readings."""
        return self.terms(readings) @ self.coefficient


@dataclass(frozen=True, eq=False)
class TrackKriging:
    """Averaged readings along tracks, and the parameters of their covariance.

    Parameters
    ----------
    readings
        Averaged readings.
    mean
        Mean of the field.
    signal, bias, error
        Variances s, w and v.
    length, duration
        L, a chord on the unit sphere, and T in hours.
    """

    readings: Readings
    mean: Mean
    signal: float
    bias: float
    error: float
    length: float
    duration: float

    @classmethod
    def fit(cls, readings: Readings, seed: int, with_bias: bool) -> TrackKriging:
        """Fit mean and covariance: first with averages over a part of the extent, then over a part of L and T."""
        length = float(np.linalg.norm(np.ptp(readings.point, axis=0))) / 4
        duration = max(float(np.ptp(readings.hour)) / 4, 1.0)
        first = averaged(readings, 4 * length / FIRST_BIN, 4 * duration / FIRST_BIN)
        kriging = cls.fit_averages(first, length, duration, seed, with_bias)
        fine = averaged(readings, kriging.length / BIN, kriging.duration / BIN)
        return cls.fit_averages(fine, kriging.length, kriging.duration, seed, with_bias)

    @classmethod
    def fit_averages(
        cls, readings: Readings, length: float, duration: float, seed: int, with_bias: bool
    ) -> TrackKriging:
        """Maximise the likelihood of blocks, from first guesses of L and T."""
        mean = Mean.of(readings)
        residual = readings.y - mean.at(readings)
        variance = max(float(residual.var()), np.finfo(float).tiny)
        scaled = coordinates(readings, length, duration)
        size, rng = min(BLOCK, len(residual)), np.random.default_rng(seed)
        centres = rng.choice(len(residual), min(BLOCKS, -(-len(residual) // size)), replace=False)
        index = cKDTree(scaled).query(scaled[centres], size)[1].reshape(len(centres), size)
        blocks = Block.of(readings, residual / np.sqrt(variance), index)
        guess = torch.tensor([0.6, 0.1, 0.1, length, duration], dtype=torch.float64).log()
        theta = guess.clone().requires_grad_()
        optimizer = torch.optim.LBFGS([theta], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimizer.zero_grad()
            prior = ((theta - guess)[3:] / PRIOR).square().sum() / 2 + (
                (theta - guess)[:3] / 3
            ).square().sum() / 2
            value = blocks.negative_log_likelihood(theta.exp(), with_bias) + prior
            value.backward()
            return value

        with torch.enable_grad():
            optimizer.step(loss)
        s, w, v, fitted_length, fitted_duration = theta.detach().exp().tolist()
        w = w * with_bias
        return cls(readings, mean, s * variance, w * variance, v * variance, fitted_length, fitted_duration)

    def without(self, removed: Bool[np.ndarray, " n"]) -> TrackKriging:
        """Keep the covariance, and fit the mean to the averages of the other passes."""
        readings = self.readings.of(~removed)
        return replace(self, readings=readings, mean=Mean.of(readings))

    def at(
        self, targets: Readings
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Expected field, variance of the error of a reading there, and scaled distance to the nearest average."""
        given = self.readings
        residual = given.y - self.mean.at(given)
        tree = cKDTree(coordinates(given, self.length, self.duration))
        number = min(NEIGHBOURS, len(residual))
        distance, index = tree.query(coordinates(targets, self.length, self.duration), number)
        index, distance = index.reshape(-1, number), distance.reshape(-1, number)
        z, variance = np.empty((2, len(index)))
        parameters = torch.tensor(
            [self.signal, self.bias, self.error, self.length, self.duration], dtype=torch.float64
        )
        for first in range(0, len(index), TARGETS):
            here = slice(first, first + TARGETS)
            block = Block.of(given, residual, index[here])
            root = torch.linalg.cholesky(block.covariance(parameters))
            chord = np.linalg.norm(given.point[index[here]] - targets.point[here, None], axis=-1)
            lag = np.abs(given.hour[index[here]] - targets.hour[here, None])
            cross = self.signal * matern(torch.from_numpy(chord) / self.length)
            cross = cross * matern(torch.from_numpy(lag) / self.duration)
            weight = torch.cholesky_solve(cross[..., None], root)[..., 0]
            z[here] = (weight * block.y).sum(1).numpy()
            variance[here] = (self.signal - (weight * cross).sum(1)).clamp(min=0).numpy()
        return self.mean.at(targets) + z, variance + self.bias + self.error, distance[:, 0]


class Block(NamedTuple):
    """Blocks of readings as tensors."""

    chord: Float[Tensor, "block n n"]
    lag: Float[Tensor, "block n n"]
    same: Float[Tensor, "block n n"]  # 1 for readings of one pass
    share: Float[Tensor, "block n"]  # of the variance of an error in an average
    y: Float[Tensor, "block n"]

    @classmethod
    def of(cls, readings: Readings, y: Float[np.ndarray, " all"], index: Int[np.ndarray, "block n"]) -> Block:
        """Blocks of averages, with their deviations from a mean."""
        point, hour, number = (
            torch.from_numpy(array[index]) for array in (readings.point, readings.hour, readings.number)
        )
        return cls(
            torch.cdist(point, point),
            (hour[:, :, None] - hour[:, None]).abs(),
            (number[:, :, None] == number[:, None]).double(),
            torch.from_numpy(1 / readings.count[index]),
            torch.from_numpy(y[index]),
        )

    def covariance(self, parameters: Float[Tensor, "5"]) -> Float[Tensor, "block n n"]:
        """Covariance of averages with the parameters s, w, v, L, T."""
        s, w, v, length, duration = parameters
        signal = s * matern(self.chord / length) * matern(self.lag / duration)
        return signal + w * self.same + torch.diag_embed(v * self.share + 1e-6 * s)

    def negative_log_likelihood(self, parameters: Float[Tensor, "5"], with_bias: bool) -> Float[Tensor, ""]:
        """-log p(y), without its constant."""
        kept = torch.tensor([1.0, float(with_bias), 1.0, 1.0, 1.0], dtype=torch.float64)
        root = torch.linalg.cholesky(self.covariance(parameters * kept))
        white = torch.linalg.solve_triangular(root, self.y[..., None], upper=False)
        return white.square().sum() / 2 + root.diagonal(dim1=1, dim2=2).log().sum()


def matern(d: Tensor) -> Tensor:
    """Correlation of smoothness 3/2 at scaled distances."""
    d = np.sqrt(3) * d
    return (1 + d) * torch.exp(-d)


def coordinates(readings: Readings, length: float, duration: float) -> Float[np.ndarray, "n 4"]:
    """Places and times in units of L and T."""
    return np.concatenate([readings.point / length, readings.hour[:, None] / duration], axis=1)


class FittedTracks(NamedTuple):
    """The kriging of a variable, its predictions of held-out passes, and the factor of its spread."""

    kriging: TrackKriging
    predictions: HeldOut | None  # None with few passes
    q: float
    line: str  # summary for the report


def fit_tracks(table: pd.DataFrame, variable: str, seed: int) -> FittedTracks:
    """Krige a variable with biases of passes, if tracks have names and biases help at held-out passes."""
    readings = readings_of(table)
    passes = len(np.unique(readings.number))
    named = "track" in table or "station" in table
    kriging = TrackKriging.fit(readings, seed, with_bias=named)
    plain = kriging
    if named:  # from the same first guesses, so that both have the chance to be good
        averages, length, duration = kriging.readings, kriging.length, kriging.duration
        plain = TrackKriging.fit_averages(averages, length, duration, seed, with_bias=False)
    if passes < MIN_PASSES:
        return FittedTracks(
            kriging, None, 1.0, summary(variable, kriging, "spread from the kriging, not rescaled")
        )
    cluster = np.random.default_rng(seed).permutation(passes)[readings.number]
    scored = np.zeros(len(table), dtype=bool)
    scored[np.unique(np.linspace(0, len(table) - 1, MAX_SCORED).round().astype(int))] = True
    predictions = predict_passes({KRIGING: kriging, WITHOUT_BIAS: plain} if named else {KRIGING: plain},
                                 readings, table, cluster, scored)  # fmt: skip
    said = "no bias of passes is estimated, because tracks have no names"
    if named:
        y = predictions.table["value"].to_numpy(float)
        rmse = {
            name: float(np.sqrt(np.mean((predictions.mean[name] - y) ** 2)))
            for name in (KRIGING, WITHOUT_BIAS)
        }
        helps = rmse[KRIGING] < rmse[WITHOUT_BIAS]
        said = (
            f"a bias of each pass, of standard deviation {np.sqrt(kriging.bias):.3g}, "
            f"{'helps' if helps else 'does not help, and is left out'}: RMSE {rmse[KRIGING]:.4g} with it at held-out "
            f"passes, {rmse[WITHOUT_BIAS]:.4g} without"
        )
        if not helps:
            kriging = plain
            moments = [
                {name: each for name, each in values.items() if name != WITHOUT_BIAS}
                | {KRIGING: values[WITHOUT_BIAS]}
                for values in (predictions.mean, predictions.spread)
            ]
            predictions = replace(predictions, mean=moments[0], spread=moments[1])
    q = spread_factor(predictions.errors())
    said += f"; spread multiplied by {q:.3g}, so that it is right at held-out passes"
    return FittedTracks(kriging, predictions, q, summary(variable, kriging, said))


def summary(variable: str, kriging: TrackKriging, said: str) -> str:
    """Correlation of a variable, and what is said about its passes."""
    passes = len(np.unique(kriging.readings.number))
    return (
        f"{variable}: {passes} passes; correlation .48 at {great_circle_km(kriging.length):.0f} km and at "
        f"{kriging.duration / 24:.3g} days; {said}"
    )


def predict_passes(
    krigings: dict[str, TrackKriging], readings: Readings, table: pd.DataFrame, cluster: Int[np.ndarray, " n"],
    scored: Bool[np.ndarray, " n"],
) -> HeldOut:  # fmt: skip
    """Predict the scored readings from the passes of other folds; `station` of the table is the pass."""
    fold, of_pass = cluster % FOLDS, dict(zip(readings.number.tolist(), cluster.tolist(), strict=True))
    mean = {name: np.empty(int(scored.sum())) for name in (*krigings, CLIMATOLOGY, NEAREST)}
    spread = {name: np.empty(int(scored.sum())) for name in (*krigings, CLIMATOLOGY)}
    for number in np.unique(fold):
        here = scored & (fold == number)
        if not here.any():
            continue
        at, targets = (fold[scored] == number), readings.of(here)
        for name, kriging in krigings.items():
            removed = np.array([of_pass[each] % FOLDS == number for each in kriging.readings.number.tolist()])
            others = kriging.without(removed)
            mean[name][at], variance, _ = others.at(targets)
            spread[name][at] = np.sqrt(variance)
            if name == KRIGING:
                mean[CLIMATOLOGY][at] = others.mean.at(targets)
                spread[CLIMATOLOGY][at] = np.sqrt(kriging.signal + kriging.bias + kriging.error)
                tree = cKDTree(coordinates(others.readings, kriging.length, kriging.duration))
                nearest = tree.query(coordinates(targets, kriging.length, kriging.duration))[1]
                mean[NEAREST][at] = others.readings.y[nearest]
    places = (
        table.assign(station=readings.number).groupby("station")[["latitude", "longitude"]].transform("mean")
    )
    by_pass = table.assign(
        station=readings.number, latitude=places["latitude"], longitude=places["longitude"]
    )
    return HeldOut(by_pass[scored].reset_index(drop=True), cluster[scored], mean, spread)
