"""Day-of-year climatology of the training times.

c(D) = Σ_d w(D − d) x̄_d / Σ_d w(D − d) over the days d that have data, x̄_d the mean of all times of that
day, w(j) = 1 − |j| / H for |j| < H on the circle of 365 days, H = (window − 1) / 2 (WeatherBench 2, Rasp et
al. 2024). Taking daily means first keeps days that more years cover from weighing more. A harmonic of
angular frequency θ per day is damped by (sin(H θ / 2) / (H sin(θ / 2)))².

Unlike WeatherBench's, this climatology does not depend on the hour: the anomalies of a sub-daily record keep the
diurnal cycle, which raises the ACC of models that know the hour.

Where values are missing, each cell has its own days with data. A cell with fewer than ten training values takes the
mean of its nearest neighbours with more.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int, Shaped
from scipy.spatial import cKDTree
from threadpoolctl import ThreadpoolController

from fieldcast import calendars, geometry
from fieldcast.calendars import DAYS_PER_YEAR, TimeStep
from fieldcast.errors import InputError
from fieldcast.fields.conventions import KEPT_ATTRS, time_varying
from fieldcast.fields.domain import blocks, has_gaps
from fieldcast.geometry import evenly_spaced_indices

DAYS_PER_PENTAD = 5  # days that are summed before the harmonics are fitted
COUNT = {
    "units": "1",
    "long_name": "number of training values; cells with fewer than ten have the mean climatology of their neighbours",
}
CONSTANT = "training mean"  # kind of a climatology without seasons
SEASONAL = "day of year"  # kind of one whose days are averaged within a window
MIN_YEARS = 2  # shortest record, in years, with a seasonal climatology
MIN_VALUES = 10  # smallest number of training values for a cell to have its own climatology
NEIGHBOURS = 4  # number of cells whose mean replaces the climatology of a cell with fewer values
ENOUGH_VALUES = 30  # median number of values of a cell below which `shrink` averages over its surroundings
MAX_SURROUNDINGS = 100  # largest number of cells of such surroundings
MAX_ROUGHNESS = (
    2.0  # largest variance of means about those of their surroundings, in variances of their noise
)
CELLS_AT_ONCE = 10_000  # number of cells whose surroundings are in memory together
BLAS = ThreadpoolController()  # of numpy and scipy: a search through all loaded libraries takes milliseconds


def fit(training: xr.Dataset, window: int = 61, *, shrink: bool = False) -> xr.Dataset:
    """Climatology of each time-varying variable on (dayofyear, latitude, longitude), in its units; attrs `kind`.

    With less than two years of training times it is their mean on every day: kind "training mean". For monthly
    data, w is 1 within a calendar month and 0 between months: kind "month". With `shrink`, where values are
    missing, it is a shrunk annual cycle (below) instead: kind "harmonics"; a mean of n < 30 values, of days that differ
    from cell to cell, is averaged over the nearest (30 / n)^2 cells, because its noise would look like weather,
    unless the means of cells differ by more than their noise.
    Days without data within the window (in a seasonal record) take the mean of all days.

    Where values are missing, `<variable>_count` (latitude, longitude) holds the number of training values of each cell,
    which identifies the cells with the climatology of their neighbours.
    """
    # several threads would sum in another order, and a change of the last digit would change every trained model
    with BLAS.limit(limits=1, user_api="blas"):
        return _fit(training, window, shrink)


def _years(training: xr.Dataset, step: TimeStep) -> float:
    """Length of a record in years of its calendar, without its gaps if it has a step."""
    if step.months:
        return training.sizes["time"] * step.months / 12
    span = training.sizes["time"] * step.hours or calendars.hours(training["time"])[-1]
    return float(span / 24 / calendars.days_per_year(str(training["time"].dt.calendar)))


def _fit(training: xr.Dataset, window: int, shrink: bool) -> xr.Dataset:
    step = TimeStep.of(training)
    by_day = _years(training, step) >= MIN_YEARS
    average = shrink and not by_day
    shrink = shrink and by_day and has_gaps(training)
    days = np.arange(DAYS_PER_YEAR)
    weights = _same_month() if step.months else window_weights(days, window)
    if not by_day:  # one mean for all days, of those that the record has
        days = np.unique(calendars.day_of_year(training["time"]) - 1)
        weights = np.ones((1, len(days)))
    variables: dict[str, tuple[Any, ...]] = {}
    for name in time_varying(training):
        array = training[name]
        sums, counts = _daily_sums(array, days, has_gaps(training))
        if has_gaps(training):
            total = counts.sum(axis=0)
            if shrink:
                values = _harmonics(array, sums, counts, bool(step.months))
            else:
                if average:
                    sums, counts = _over_surroundings(sums, counts, array)
                values = _smoothed_where_observed(sums, counts, weights)
            few = min(MIN_VALUES, -(-training.sizes["time"] // 3))  # of a record of fewer than 30 times
            values = _from_neighbours(values, total >= few, array)
            variables[f"{name}_count"] = (("latitude", "longitude"), total.astype(np.int32), COUNT)
        elif by_day:
            values = _smoothed(sums, counts, weights)
        else:
            values = sums.sum(axis=0, keepdims=True) / counts.sum()
        # one field for all days takes the memory of one
        of_days = np.broadcast_to(values.astype(np.float32), (DAYS_PER_YEAR, *values.shape[1:]))
        attrs = {key: array.attrs[key] for key in KEPT_ATTRS if key in array.attrs}
        variables[name] = (("dayofyear", "latitude", "longitude"), of_days, attrs)
    coords = {
        "dayofyear": (
            "dayofyear",
            np.arange(1, DAYS_PER_YEAR + 1),
            {"long_name": "day of the year, 29 February = 28 February"},
        ),
        "latitude": training["latitude"],
        "longitude": training["longitude"],
    }
    kind = ("month" if step.months else SEASONAL) if by_day else CONSTANT
    kind = "harmonics" if shrink else kind
    return xr.Dataset(variables, coords, {"kind": kind, "window": window, "Conventions": "CF-1.11"})


def at(climatology: xr.Dataset, times: Any) -> xr.Dataset:
    """Climatology on the days of the given times: dims (time, latitude, longitude)."""
    values = calendars.values(times)
    days = xr.DataArray(calendars.day_of_year(values) - 1, dims="time", coords={"time": values})
    return climatology.isel(dayofyear=days).drop_vars("dayofyear")


def anomaly(fields: xr.Dataset, climatology: xr.Dataset) -> xr.Dataset:
    """Anomaly x − c(day) of the time-varying variables, in their units; lazy if the fields are."""
    names = time_varying(fields)
    # the climatology is gathered chunk by chunk where the fields are chunked
    if fields.chunks:
        climatology = climatology.chunk()
    with xr.set_options(keep_attrs=True):
        return fields[names] - at(climatology[names], fields["time"])


def window_weights(centres: Shaped[np.ndarray, " centre"], window: int) -> Float[np.ndarray, "centre 365"]:
    """Weights w(D − d) of the days d = 0..364 about each centre D, decaying linearly on the circle of 365 days."""
    distance = np.abs(centres[:, None] - np.arange(DAYS_PER_YEAR))
    return np.clip(1 - np.minimum(distance, DAYS_PER_YEAR - distance) / ((window - 1) / 2), 0.0, None)


def months() -> Int[np.ndarray, " 365"]:
    """Month of each day of the year, from 0."""
    return np.repeat(np.arange(12), np.diff(np.append(calendars.DAYS_BEFORE_MONTH, DAYS_PER_YEAR)))


def _same_month() -> Float[np.ndarray, "365 365"]:
    """Weights 1 between the days of one month, 0 between others."""
    return (months()[:, None] == months()).astype(float)


def _daily_sums(
    array: xr.DataArray, days: Int[np.ndarray, " day"], gaps: bool
) -> tuple[Float[np.ndarray, "day y x"], Float[np.ndarray, "day *cell"]]:
    """Sum and number of values for some days of the year, in ascending order, among which are all that it has.

    Without gaps, sums are NaN in cells that do not exist, and the numbers count fields.
    """
    number = np.searchsorted(days, calendars.day_of_year(array["time"]) - 1)
    sums = np.zeros((len(days), array.sizes["latitude"], array.sizes["longitude"]))
    counts = np.zeros_like(sums) if gaps else np.bincount(number, minlength=len(days)).astype(float)
    for span, x in blocks(array):
        for day in np.unique(number[span]):
            values_of_day = x[number[span] == day]
            if gaps:
                counts[day] += np.isfinite(values_of_day).sum(axis=0)
                values_of_day = np.nan_to_num(values_of_day, nan=0.0)
            sums[day] += values_of_day.sum(axis=0, dtype=np.float64)
    return sums, counts


def _smoothed(
    sums: Float[np.ndarray, "365 y x"],
    counts: Float[np.ndarray, " 365"],
    weights: Float[np.ndarray, "365 365"],
) -> Float[np.ndarray, "365 y x"]:
    has_data = counts > 0
    means = sums[has_data] / counts[has_data][:, None, None]
    total = weights[:, has_data].sum(axis=1)
    smooth = (
        np.tensordot(weights[:, has_data], means, axes=1) / np.where(total > 0, total, 1.0)[:, None, None]
    )
    smooth[total == 0] = means.mean(axis=0)
    return smooth


def _smoothed_where_observed(
    sums: Float[np.ndarray, "day y x"],
    counts: Float[np.ndarray, "day y x"],
    weights: Float[np.ndarray, "centre day"],
) -> Float[np.ndarray, "centre y x"]:
    """c(D) of each cell over its own days with data; NaN for a cell without any."""
    has_data = counts > 0
    means = sums / np.where(has_data, counts, 1.0)
    total = np.tensordot(weights, has_data.astype(float), axes=1)
    smooth = np.tensordot(weights, means, axes=1) / np.where(total > 0, total, 1.0)
    days = has_data.sum(axis=0)
    return np.where(total > 0, smooth, means.sum(axis=0) / np.where(days > 0, days, np.nan))


def _harmonics(
    array: xr.DataArray,
    sums: Float[np.ndarray, "365 y x"],
    counts: Float[np.ndarray, "365 y x"],
    monthly: bool,
) -> Float[np.ndarray, "365 y x"]:
    """The shrunk annual cycle of each cell about its mean; NaN for a cell without any value.

    Monthly data have one value for all days of a month.
    """
    total = counts.sum(axis=0)
    mean = sums.sum(axis=0) / np.where(total > 0, total, np.nan)
    centre = np.nan_to_num(mean)
    squares = np.zeros_like(centre)
    for _, x in blocks(array):
        squares += sum(np.nan_to_num(field - centre) ** 2 for field in x)  # one field in double precision
    if monthly:
        firsts, theta = calendars.DAYS_BEFORE_MONTH, 2 * np.pi * np.arange(12) / 12
        angle_of_day = theta[months()]
    else:
        firsts = np.arange(0, DAYS_PER_YEAR, DAYS_PER_PENTAD)
        angle_of_day = 2 * np.pi * np.arange(DAYS_PER_YEAR) / DAYS_PER_YEAR
        theta = angle_of_day[firsts + DAYS_PER_PENTAD // 2]
    of_part, in_part = (np.add.reduceat(part, firsts, axis=0) for part in (sums, counts))
    return mean + shrunk_cycle(of_part - in_part * centre, in_part, squares, theta, angle_of_day)


def _over_surroundings(
    sums: Float[np.ndarray, "day y x"], counts: Float[np.ndarray, "day y x"], array: xr.DataArray
) -> tuple[Float[np.ndarray, "day y x"], Float[np.ndarray, "day y x"]]:
    """Sums and numbers of values over the nearest cells with values, if a cell has fewer than `ENOUGH_VALUES`.

    They stay as they are if the means of cells differ from those of their surroundings by more than `MAX_ROUGHNESS`
    times what the variance of their values explains, as over mountains.
    """
    total = counts.sum(axis=0)
    exists = total > 0
    number = int(np.ceil(ENOUGH_VALUES / np.median(total[exists]))) ** 2 if exists.any() else 1
    number = min(number, MAX_SURROUNDINGS, int(exists.sum()))
    if number <= 1:
        return sums, counts
    points, own = geometry.points_of(array)[exists], np.stack([sums.sum(axis=0)[exists], total[exists]])
    tree, wide = cKDTree(points), np.empty_like(own)
    for first in range(0, len(points), CELLS_AT_ONCE):
        part = slice(first, first + CELLS_AT_ONCE)
        wide[:, part] = own[:, tree.query(points[part], number)[1]].sum(axis=-1)
    mean, of_surroundings = own[0] / own[1], wide[0] / wide[1]
    with warnings.catch_warnings(category=RuntimeWarning, action="ignore"):  # cells with a single value
        variance = array.var("time", ddof=1).to_numpy()[exists]
    roughness = np.nanmean((mean - of_surroundings) ** 2)
    if not roughness <= MAX_ROUGHNESS * np.nanmean(variance / own[1]):
        return sums, counts
    on_grid = np.zeros((2, *sums.shape))
    on_grid[:, 0, exists] = wide
    return on_grid[0], on_grid[1]


def _from_neighbours(
    values: Float[np.ndarray, "day y x"], enough: Bool[np.ndarray, "y x"], array: xr.DataArray
) -> Float[np.ndarray, "day y x"]:
    """Replace the values of cells without enough data by the mean of the nearest cells with enough."""
    if not enough.any():
        raise InputError(
            f"no cell of '{array.name}' has {MIN_VALUES} values in the record to learn from: give a longer period, "
            "a coarser grid, or leave the variable out with ingestion.variables"
        )
    points = geometry.points_of(array)
    nearest = min(NEIGHBOURS, int(enough.sum()))
    _, index = cKDTree(points[enough]).query(points[~enough], k=np.arange(1, nearest + 1))
    values[:, ~enough] = values[:, enough][:, index].mean(axis=2)
    return values


# Annual cycle as harmonics of the year, shrunk to what the record determines.
#
#     c(theta) = a_0 + sum_k (a_k cos k theta + b_k sin k theta),    k = 1 ... 6,
#
# at the phase theta of the year, with a_k, b_k ~ N(0, r_k s^2), s^2 the variance of the cell about its cycle.
# Expectation-maximisation fits the ratios r_k to all cells together (empirical Bayes; Efron and Morris 1973). Means
# of the few values of a month, or of the days around a date, would keep most of their noise; here harmonics that the
# record does not show vanish.


HARMONICS = 6
EM_ITERATIONS = 15
MAX_CELLS = 2000  # largest number of cells that the ratios r_k are estimated from, and solved at a time
FREE_PRECISION = 1e-9  # inverse of the prior variance of a_0, which is left practically free
ROUNDING = 1e-9  # largest absolute value of a function that vanishes up to rounding


def basis(theta: Float[np.ndarray, " phase"]) -> Float[np.ndarray, "phase 13"]:
    """The functions 1, cos k theta and sin k theta at some phases."""
    waves = [wave(k * theta) for k in range(1, HARMONICS + 1) for wave in (np.cos, np.sin)]
    return np.stack([np.ones_like(theta), *waves], axis=1)


def shrunk_cycle(
    sums: Float[np.ndarray, "part y x"], counts: Float[np.ndarray, "part y x"],
    squares: Float[np.ndarray, "y x"], theta: Float[np.ndarray, " part"], at: Float[np.ndarray, " phase"],
) -> Float[np.ndarray, "phase y x"]:  # fmt: skip
    """The annual cycle c of each cell at some phases.

    Parameters
    ----------
    sums, counts
        Sum and number of the values in each part of the year.
    squares
        Sum of the squares of all values.
    theta
        Phases of the parts.
    at
        Phases of the result.
    """
    grid = squares.shape
    total, number, square = sums.reshape(len(sums), -1), counts.reshape(len(sums), -1), squares.ravel()
    waves = basis(theta)
    order = np.repeat(np.arange(HARMONICS + 1.0), 2)[1:]
    nonzero = abs(waves).max(0) > ROUNDING  # the sine of 6 theta is 0 in each of twelve months
    waves, order = waves[:, nonzero], order[nonzero]
    cells = np.flatnonzero(number.sum(0) > len(order))
    cells = cells[evenly_spaced_indices(len(cells), MAX_CELLS)]
    precision = np.where(order == 0, FREE_PRECISION, 1.0)
    for _ in range(EM_ITERATIONS if len(cells) else 0):
        precision = updated_precision(
            total[:, cells], number[:, cells], square[cells], waves, order, precision
        )
    cycle = np.empty((len(at), len(square)))
    for piece in np.array_split(np.arange(len(square)), -(-len(square) // MAX_CELLS)):
        a = posterior(total[:, piece], number[:, piece], waves, precision)[0]
        cycle[:, piece] = basis(at)[:, nonzero] @ a.T
    return cycle.reshape(len(at), *grid)


def posterior(
    sums: Float[np.ndarray, "part cell"], counts: Float[np.ndarray, "part cell"],
    waves: Float[np.ndarray, "part wave"], precision: Float[np.ndarray, " wave"],
) -> tuple[
    Float[np.ndarray, "cell wave"], Float[np.ndarray, "cell wave wave"], Float[np.ndarray, "cell wave wave"]
]:  # fmt: skip
    """Mean and covariance (in units of s^2) of the coefficients, and their normal matrix."""
    normal = np.einsum("mc,mi,mj->cij", counts, waves, waves, optimize=True)
    covariance = np.linalg.inv(normal + np.diag(precision))
    return np.einsum("cij,cj->ci", covariance, sums.T @ waves), covariance, normal


def updated_precision(
    sums: Float[np.ndarray, "part cell"], counts: Float[np.ndarray, "part cell"], squares: Float[np.ndarray, " cell"],
    waves: Float[np.ndarray, "part wave"], order: Float[np.ndarray, " wave"], precision: Float[np.ndarray, " wave"],
) -> Float[np.ndarray, " wave"]:  # fmt: skip
    """1 / r_k of each function after one more iteration."""
    a, covariance, normal = posterior(sums, counts, waves, precision)
    misfit = squares - 2 * (a * (sums.T @ waves)).sum(1) + np.einsum("ci,cij,cj->c", a, normal, a)
    freedom = np.einsum("cij,cji->c", covariance, normal)  # degrees of freedom of the fit
    variance = np.maximum(
        misfit / np.maximum(counts.sum(0) - freedom, 1.0), FREE_PRECISION * squares + np.finfo(float).tiny
    )
    moment = (a**2 / variance[:, None] + np.einsum("cii->ci", covariance)).mean(0)
    ratio = np.array([moment[order == k].mean() for k in order])
    return np.where(order == 0, FREE_PRECISION, 1 / ratio)
