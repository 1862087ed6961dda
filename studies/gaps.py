"""A complete record with 60 % of every field removed in blobs, and filled: `python -m studies.gaps FILE`.

FILE is a NetCDF file without missing values, such as the planet's z500. Prints, at all removed values, the RMSE beside
that of linear interpolation in time and of DINEOF, the ratio of spread to error, and how often errors exceed 5 and 20
spreads. `FILE learned` tries `corrected_interpolation`, a network, too.
`python -m studies.gaps monthly` and `daily` print time and peak memory for 120 months of 89 x 180 cells with land,
and for 1000 days of 64 x 64 cells; `large` for 3000 days of 96 x 96. The peak is that of the resident memory while
`fill_gaps` runs (Linux).
`python -m studies.gaps lengths SOURCE LENGTH [LENGTH ...]` removes 60 % in discs that last so many steps, each length
with the same share, in the first 1000 times of the first variable of SOURCE (a NetCDF file, a Zarr store or `monthly`).
Prints rows of a table: the errors of missing values by the length of the gap that they belong to.
`python -m studies.gaps distances SOURCE [SEED]` removes half of every field in large areas with smooth borders, others
each day, in the first 600 times. Prints the errors by the distance from the nearest observation of the time. SEED is
that of the held-out values from which `fill_gaps` estimates its errors.
`python -m studies.gaps counts SOURCE [SEED]` removes 60 % of every field in discs, others each day, and in a third of
the cells, under other discs, all but 5 to 80 values. Prints the errors by the number of observations of the cell; SEED
draws the gaps.
`python -m studies.gaps append SOURCE [DAYS] [METHOD]` removes 60 % in blobs, in at most 20 x 20 cells, fills the first
1000 times, and appends DAYS (365) more, one by one; beside every fifth (each, of the first 20) the same method is
fitted to the record up to that day. Prints a row: the difference of both over the spread, for the first 20 days and for
all; the RMSE of the days as issued over that of the fits, and the share of days within 5 %; the RMSE of the days in the
end over that of one fit of all; and the processor time of an append and of a fit [s].
`python -m studies.gaps promises rain SEED [SEED ...]` (or `chlorophyll`) fills small records of a quantity that is not
Gaussian, one for each seed. Prints the expected RMSE of each report beside the true one, how often their ratio would be
within 1.5 if the truth were a draw of the result, and the calibration at the held-out values of all records together.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections import deque
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Bool, Float

from fieldcast.encoding.gappy_record import GappyRecord
from fieldcast.fields.ingest import ingest
from fieldcast.geometry import unit_points
from fieldcast.inference.file_options import GapFilling
from fieldcast.inference.gaps.calibration import groups
from fieldcast.inference.gaps.filling import TrustLimits, fill
from fieldcast.inference.gaps.own_units import of_variable, own_statistics, predictions
from fieldcast.inference.gaps.stored_fit import fill_options
from fieldcast.inference.gaps.trials import Comparison, Tried
from fieldcast.inference.quantities import choose_quantities
from fieldcast.models.gaps.fillers import FILLERS, dineof
from fieldcast.models.gaps.in_time import gap_lengths
from fieldcast.models.gaps.reach import Columns, nearest_observation
from fieldcast.models.gaps.trial import ErrorStatistics
from fieldcast.scores.held_out import score_held_out
from fieldcast.training.fill_gaps import fill_gaps, methods

SHARE, SEED = 0.6, 0
SIZES = {"monthly": ("MS", 120, 89, 180), "daily": ("D", 1000, 64, 64), "large": ("D", 3000, 96, 96)}
WAVES, LAND = 30, 0.3
TIMES = 1000  # number of times of a record with lasting gaps
DAYS, WAVELENGTH, NUMBER = 600, 0.15, 60  # record under clouds: times; sizes on the unit sphere; waves
# upper ends of classes of the distance from observations [row spacings]
DISTANCES = 1.2, 2.2, 3.2, 5, 8, np.inf
COUNTS = 1, 10, 20, 40, 80, 1_000_000  # upper ends of classes of the number of observations of a cell
SPARSE_SHARE = 0.33  # share of the cells that have few observations
MOVING = 1000, 40, 40  # times, rows and columns of moving features
# slope of amplitudes, cells a step, steps of the largest wave
SPECTRUM, DRIFT, LIFETIME = -2.0, (0.7, 0.2), 10
EARLY, EVERY = 20, 5  # days with a fit beside each append, and interval of later ones
WIDTH = 20  # rows and columns of a record to which days are appended
HALF_WIDTH_90 = 1.645  # half width of a 90 % interval [spreads]
# members of a filling; ratio of the expected and the true RMSE, or its inverse, at most
DRAWS, WITHIN = 60, 1.5


def blobs(
    times: int, rows: int, columns: int, rng: np.random.Generator, share: float = 100 * SHARE
) -> Bool[np.ndarray, "time row column"]:
    """Discs that cover a share [%] of every field."""
    row, column = np.arange(rows)[:, None], np.arange(columns)
    removed = np.zeros((times, rows, columns), dtype=bool)
    for day in range(times):
        while removed[day].mean() < share / 100:
            size = rng.uniform(0.05, 0.2) * min(rows, columns)
            i, j = rng.uniform(0, rows), rng.uniform(0, columns)
            removed[day] |= (row - i) ** 2 + (column - j) ** 2 < size**2
    return removed


def lasting(
    times: int, rows: int, columns: int, lengths: list[int], rng: np.random.Generator
) -> Bool[np.ndarray, "time row column"]:
    """Discs that last; those of each length cover the same share, 60 % in all."""
    row, column = np.arange(rows)[:, None], np.arange(columns)
    removed = np.zeros((times, rows, columns), dtype=bool)
    for number, length in enumerate(sorted(lengths, reverse=True), start=1):
        while (lacking := SHARE * number / len(lengths) - removed.mean()) > 0:
            for _ in range(max(1, int(lacking * times / length / 2))):
                size = rng.uniform(0.05, 0.2) * min(rows, columns)
                i, j, first = rng.uniform(0, rows), rng.uniform(0, columns), rng.integers(1 - length, times)
                disc = (row - i) ** 2 + (column - j) ** 2 < size**2
                removed[max(first, 0) : first + length] |= disc
    return removed


def waves(
    times: int, rows: int, columns: int, rng: np.random.Generator
) -> Float[np.ndarray, "time row column"]:
    """Damped, turning waves of a red spectrum and a little noise."""
    y, x = np.linspace(0, np.pi, rows), np.linspace(0, 2 * np.pi, columns, endpoint=False)
    number = rng.integers(1, 8, (2, WAVES))
    amplitude, speed = (
        1 / (number**2).sum(0),
        0.93 * np.exp(1j * rng.uniform(-0.5, 0.5, WAVES)),
    )
    patterns = np.exp(1j * number[0][:, None] * x)[:, None] * np.sin(number[1][:, None] * y)[..., None]
    z, fields = np.zeros(WAVES, dtype=complex), np.empty((times, rows, columns), dtype=np.float32)
    for field in fields:
        z = speed * z + rng.standard_normal(WAVES) + 1j * rng.standard_normal(WAVES)
        field[:] = np.tensordot(amplitude * z, patterns, axes=1).real
    return fields + 0.1 * fields.std() * rng.standard_normal(fields.shape).astype(np.float32)


def synthetic(size: str, more: int = 0) -> xr.Dataset:
    """A record of waves, with more times if asked; of the monthly one a part is land."""
    frequency, times, rows, columns = SIZES[size]
    times += more
    values = waves(times, rows, columns, np.random.default_rng(SEED))
    if size == "monthly":
        values[:, :, : int(LAND * columns)] = np.nan
    axes = {
        "time": pd.date_range("2001-01-01", periods=times, freq=frequency),
        "latitude": np.linspace(-60, 60, rows),
        "longitude": np.arange(columns) * 360 / columns,
    }
    return xr.Dataset({"sst": (("time", "latitude", "longitude"), values, {"units": "K"})}, axes)


def moving(rng: np.random.Generator, shape: tuple[int, int, int] = MOVING) -> xr.Dataset:
    """Drifting waves: amplitudes follow a power of the wavenumber k, lifetimes k^(-2/3); and 3 % of noise."""
    times, rows, columns = shape
    ky, kx = np.meshgrid(np.fft.fftfreq(rows) * rows, np.fft.fftfreq(columns) * columns, indexing="ij")
    k = np.hypot(ky, kx)
    amplitude = np.where(k > 0, np.maximum(k, 1) ** SPECTRUM, 0)
    kept = np.exp(-(np.maximum(k, 1) ** (2 / 3)) / LIFETIME)
    turn = np.exp(-2j * np.pi * (DRIFT[0] * kx / columns + DRIFT[1] * ky / rows))
    values, z = np.empty(shape, dtype=np.float32), np.zeros(k.shape, dtype=complex)
    for field in values:
        drawn = rng.standard_normal(k.shape) + 1j * rng.standard_normal(k.shape)
        z = kept * turn * z + np.sqrt(1 - kept**2) * amplitude * drawn
        field[:] = np.fft.ifft2(z).real
    values += 0.03 * values.std() * rng.standard_normal(shape).astype(np.float32)
    axes = {
        "time": pd.date_range("2001-01-01", periods=times),
        "latitude": np.linspace(20, 50, rows),
        "longitude": np.linspace(0, 30, columns),
    }
    return xr.Dataset(
        {"sst": (("time", "latitude", "longitude"), values / values.std(), {"units": "K"})}, axes
    )


def memory(what: str) -> int:
    """Resident memory of this process [bytes]: VmRSS now, VmHWM at most since the last reset."""
    line = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    return int(line[1]) * 1024 if line else 0


def dineof_rmse(gappy: xr.Dataset, truth: xr.Dataset) -> dict[str, float]:
    """RMSE of DINEOF at the removed values of each variable, in its units."""
    fields, complete = (ingest(part, missing="train")[0] for part in (gappy, truth.copy()))
    gappy_record = GappyRecord.of(fields, torch.device("cpu"))
    x = gappy_record.codec.encode(complete)[:, gappy_record.has_column]
    error = (dineof(gappy_record.record, None).mean - x) * gappy_record.scale
    removed = ~gappy_record.record.observed & torch.isfinite(x)
    area = gappy_record.record.columns.area.expand_as(error)
    columns = [(name, gappy_record.variable == v) for v, name in enumerate(gappy_record.codec.variables)]
    return {
        name: root_mean_square(error[:, of][removed[:, of]].numpy(), area[:, of][removed[:, of]].numpy())
        for name, of in columns
    }


def root_mean_square(x: Float[np.ndarray, " n"], area: Float[np.ndarray, " n"]) -> float:
    """Root of the mean square, weighted by area; without NaN, where a cell has no value before or after."""
    return float(np.sqrt(np.average(np.nan_to_num(x) ** 2, weights=area * np.isfinite(x))))


def row_areas(data: xr.Dataset) -> Float[np.ndarray, "row 1"]:
    """Area of the cells of each row, relative to the equator."""
    return np.cos(np.deg2rad(data[latitude_of(data)].values))[:, None]


def score(truth: xr.Dataset, libraries: int, learned: bool = False) -> None:
    """Remove values, fill, and print the errors of each variable; `libraries` is the memory before there were data."""
    times, rows, columns = truth[next(iter(truth.data_vars))].shape
    removed = blobs(times, rows, columns, np.random.default_rng(SEED))
    gappy = truth.where(~xr.DataArray(removed, dims=truth[next(iter(truth.data_vars))].dims))
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # reset VmHWM
    before, begun = memory("VmRSS"), time.perf_counter()
    filled = fill_gaps(gappy, learned=learned)
    seconds, peak = time.perf_counter() - begun, memory("VmHWM")
    print(filled.attrs["comment"])
    print(
        f"\n{seconds:.0f} s\nMemory: {libraries / 1e6:.0f} MB interpreter and libraries; record "
        f"{gappy.nbytes / 1e6:.0f} MB, result {filled.nbytes / 1e6:.0f} MB; fill_gaps added "
        f"{(peak - before) / 1e6:.0f} MB at most, {(peak - before) / gappy.nbytes:.1f} times the record, of which the "
        f"result is {filled.nbytes / gappy.nbytes:.1f}"
    )
    by_dineof = dineof_rmse(gappy, truth)
    for name in truth.data_vars:
        scored = removed & truth[name].notnull().values
        linear = gappy[name].interpolate_na("time").ffill("time").bfill("time")
        error = (filled[f"{name}_mean"] - truth[name]).values[scored].astype(float)
        in_time = (linear - truth[name]).values[scored].astype(float)
        spread = filled[f"{name}_spread"].values[scored].astype(float)
        area = np.broadcast_to(row_areas(truth), removed.shape)[scored]
        rmse = root_mean_square(error, area)
        print(
            f"{name}: RMSE {rmse:.3g}, {rmse / root_mean_square(in_time, area):.2f} of linear in time, "
            f"{rmse / by_dineof[str(name)]:.2f} of DINEOF; spread / error "
            f"{root_mean_square(spread, area) / rmse:.2f}; {np.mean(abs(error) > 5 * spread):.3%} of {error.size} "
            f"errors exceed 5 spreads, {np.sum(abs(error) > 20 * spread)} exceed 20"
        )


class Filled(NamedTuple):
    """Values that were removed and filled."""

    label: str
    method: str
    reported: str  # ratio of spread to error
    error: Float[np.ndarray, " missing"]
    spread: Float[np.ndarray, " missing"]
    area: Float[np.ndarray, " missing"]

    def row(self, here: Bool[np.ndarray, " missing"], kind: str) -> str:
        """A row of a table: RMSE, spread / error and coverage of some values, weighted by area."""
        e, s, w = self.error[here], self.spread[here], self.area[here] / self.area[here].sum()
        rmse = root_mean_square(e, w)
        ratio = root_mean_square(s, w) / rmse
        covered, beyond = (w * (abs(e) < HALF_WIDTH_90 * s)).sum(), (w * (abs(e) > 5 * s)).sum()
        return (
            f"| {self.label} | {self.method} | {kind} | {here.sum()} | {rmse:.3g} | {ratio:.2f} "
            f"| {self.reported if kind == 'all' else ''} | {covered:.2f} | {beyond:.3%} |"
        )


def variable(source: str, times: int | None) -> xr.Dataset:
    """The first variable of a source, at its first times."""
    if source in SIZES:
        complete = synthetic(source)
    else:
        complete = xr.open_zarr(source) if Path(source).is_dir() else xr.open_dataset(source)
    name = next(v for v in complete.data_vars if "time" in complete[v].dims)
    return complete[[name]].isel(time=slice(0, times)).load()


def remove_and_fill(
    truth: xr.Dataset, removed: Bool[np.ndarray, "time row column"], label: str, seed: int = 0
) -> Filled:
    """Remove values of the one variable, and fill them."""
    (name,) = truth.data_vars
    values = truth[name].values.astype(np.float32)
    gappy = truth.assign({name: truth[name].copy(data=np.where(removed, np.float32(np.nan), values))})
    filled, missing = fill_gaps(gappy, seed=seed), removed & np.isfinite(values)
    missing &= (np.isfinite(values) & ~removed).any(0)  # cells without any value stay empty
    method, reported = (
        match[1] if (match := re.search(pattern, filled.attrs["comment"])) else "-"
        for pattern in (r"Filled by (\w+)", rf"(?m)^{name} +\d+ +\S+% +\d+ +\d+ +([\d.]+)")
    )
    return Filled(
        label, method, reported,
        (filled[f"{name}_mean"].values - values)[missing].astype(float),
        filled[f"{name}_spread"].values[missing].astype(float),
        np.broadcast_to(row_areas(truth), missing.shape)[missing],
    )  # fmt: skip


def latitude_of(data: xr.Dataset) -> str:
    """Name of the latitudes."""
    return next(name for name in ("latitude", "lat") if name in data.coords)


def by_length(source: str, lengths: list[int]) -> None:
    """Remove discs that last, fill, and print errors by the length of gaps as rows of a table."""
    truth = variable(source, TIMES)
    (name,) = truth.data_vars
    values = truth[name].values
    times, rows, columns = values.shape
    removed = lasting(times, rows, columns, lengths, np.random.default_rng(SEED))
    filled = remove_and_fill(truth, removed, f"{name}, {', '.join(map(str, lengths))}")
    observed = torch.from_numpy((np.isfinite(values) & ~removed).reshape(len(values), -1))
    segment = torch.zeros(len(observed), dtype=torch.long)
    length = gap_lengths(observed, segment).numpy().reshape(values.shape)[removed & np.isfinite(values)]
    lower = sorted({1, *lengths})
    for least, most in zip(lower, [*lower[1:], np.inf], strict=True):
        here = (length >= least) & (length < most)
        if here.any():
            print(filled.row(here, f"{least} to {most - 1:g}" if most < np.inf else f"{least} on"))
    print(filled.row(length > 0, "all"))


def clouds(
    points: Float[np.ndarray, "cell 3"], times: int, rng: np.random.Generator
) -> Bool[np.ndarray, "time cell"]:
    """Mask of the cells in which a sum of waves on the unit sphere, others at each time, is positive."""
    phase = points @ rng.normal(size=(NUMBER, 3)).T / WAVELENGTH
    cosine, sine = rng.normal(size=(2, times, NUMBER))
    return np.asarray(cosine @ np.cos(phase).T + sine @ np.sin(phase).T > 0)


def by_distance(source: str, seed: int) -> None:
    """Remove large areas, fill, and print errors by the distance from observations as rows of a table."""
    truth = variable(source, DAYS)
    (name,) = truth.data_vars
    latitude = truth[latitude_of(truth)].values
    longitude = truth[next(name for name in ("longitude", "lon") if name in truth.coords)].values
    points = unit_points(latitude, longitude).reshape(-1, 3)
    exists = np.isfinite(truth[name].values).reshape(len(truth.time), -1)
    removed = clouds(points, len(exists), np.random.default_rng(SEED))
    filled = remove_and_fill(truth, removed.reshape(truth[name].shape), str(name), seed)
    nowhere, of_one = torch.zeros(len(points), dtype=torch.long), torch.ones(len(points))
    observed, missing = torch.from_numpy(exists & ~removed), torch.from_numpy(exists & removed)
    chord = nearest_observation(observed, Columns(points, nowhere, of_one), missing).numpy()[missing.numpy()]
    distance = chord / np.deg2rad(abs(latitude[1] - latitude[0]))
    for least, most in zip((0, *DISTANCES[:-1]), DISTANCES, strict=True):
        here = (distance >= least) & (distance < most)
        if here.any():
            print(filled.row(here, f"{least:g} to {most:g}" if most < np.inf else f"{least:g} on"))
    print(filled.row(distance > 0, "all"))


def seldom(times: int, rows: int, columns: int, rng: np.random.Generator) -> Float[np.ndarray, "row column"]:
    """Chance that a value is observed: small under discs, each with its own, which cover a third; 1 elsewhere."""
    row, column = np.arange(rows)[:, None], np.arange(columns)
    chance = np.ones((rows, columns))
    while (chance < 1).mean() < SPARSE_SHARE:
        size = rng.uniform(0.05, 0.2) * min(rows, columns)
        i, j = rng.uniform(0, rows), rng.uniform(0, columns)
        few = np.exp(rng.uniform(np.log(5), np.log(80)))
        chance[(row - i) ** 2 + (column - j) ** 2 < size**2] = few / times
    return chance


def by_count(source: str, seed: int) -> None:
    """Remove nearly all values of some cells, fill, and print errors by their observations as rows of a table."""
    truth, rng = variable(source, TIMES), np.random.default_rng(seed)
    (name,) = truth.data_vars
    exists = np.isfinite(truth[name].values)
    times, rows, columns = exists.shape
    chance = seldom(times, rows, columns, rng)
    removed = np.where(chance < 1, rng.random(exists.shape) >= chance, blobs(times, rows, columns, rng))
    filled, of_cell = remove_and_fill(truth, removed, str(name)), (exists & ~removed).sum(0)
    count = np.broadcast_to(of_cell, exists.shape)[exists & removed & (of_cell > 0)]
    for least, most in pairwise(COUNTS):
        here = (count >= least) & (count < most)
        if here.any():
            print(filled.row(here, f"{least} to {most - 1}" if most < COUNTS[-1] else f"{least} on"))
    print(filled.row(count > 0, "all"))


def by_race(source: str, share: float, first: int | None) -> None:
    """Race the methods, try all of them on the whole record, and print a row of a table."""
    data = moving(np.random.default_rng(SEED)) if source == "moving" else variable(source, first)
    (name,) = data.data_vars
    if share:
        times, rows, columns = data[name].shape
        removed = blobs(times, rows, columns, np.random.default_rng(SEED), share)
        data = data.where(~xr.DataArray(removed, dims=data[name].dims))
    comparison = Comparison.of(ingest(data, missing="train")[0], SEED, "cpu")
    begun, tried = time.process_time(), Tried()
    for _ in comparison.race(tried):
        pass
    of_race = time.process_time() - begun
    crps, seconds = {}, {}
    for method in FILLERS:
        begun = time.process_time()
        (trial,) = comparison.method_trials([method])
        crps[method], seconds[method] = trial.crps, time.process_time() - begun
    best, winner = (min(names, key=crps.__getitem__) for names in (crps, tried.finalists))
    full, fits = sum(seconds.values()), sum(seconds[method] for method in tried.finalists)
    print(
        f"| {Path(source).stem} | {share:g} | {' x '.join(map(str, comparison.held_out.shape))} | {best} | {winner} "
        f"| {crps[winner] / crps[best]:.3f} | {full:.1f} | {of_race + fits:.1f} "
        f"| {(of_race + fits - seconds[winner]) / full:.0%} |"
    )
    for number, each in enumerate(tried.rounds, start=1):
        places = [
            f"{method} {place.crps:.4f} ± {place.error:.4f}" for method, place in each.standings.items()
        ]
        print(f"    round {number}, {each.times} x {each.cells}: {', '.join(places)}")
    print(
        f"    whole: {', '.join(f'{method} {value:.4f} {seconds[method]:.1f} s' for method, value in crps.items())}"
    )


def by_append(source: str, days: int, method: str | None) -> None:
    """Append days one by one to a filled record, beside fits of all that is known then, and print a row of a table."""
    total = TIMES + days
    if source == "moving":
        truth = moving(np.random.default_rng(SEED), (total, WIDTH, WIDTH))
    else:
        truth = synthetic(source, days) if source in SIZES else variable(source, total)
    (name,) = truth.data_vars
    first, (_, *grid) = latitude_of(truth), truth[name].dims
    begin = max(0, truth.sizes[first] // 4 - WIDTH // 2)  # middle latitudes
    window = {dim: slice(begin, begin + WIDTH) if dim == first else slice(WIDTH) for dim in grid}
    truth = truth.isel(window)[[name]]
    values = truth[name].values
    times, rows, columns = values.shape
    removed = blobs(times, rows, columns, np.random.default_rng(SEED))
    gappy = truth.assign({name: truth[name].where(~removed)})
    gappy[name].attrs = {"units": truth[name].attrs.get("units", "1")}
    (squares, costs), part = np.zeros((2, 5)), (lambda data, t: data.isel(time=t))
    with tempfile.TemporaryDirectory() as folder:
        fit = Path(folder) / "fit"
        filled = fill_gaps(part(gappy, slice(TIMES)), method=method, quantities="none", fit=fit)
        used, early, ratios = filled.attrs["fieldcast_method"], 0.0, []
        for day in range(TIMES, total):
            begun = time.process_time()
            filled = fill_gaps(part(gappy, slice(day, day + 1)), append=filled, fit=fit)
            costs[0] += (appended := time.process_time()) - begun
            if day >= TIMES + EARLY and day % EVERY:
                continue
            whole = fit_whole(part(gappy, slice(day + 1)), used)[-1]
            costs[1] += time.process_time() - appended
            here = removed[day] & np.isfinite(whole)
            issued, spread = (
                filled[f"{name}_{of}"].values[-1][here].astype(float) for of in ("mean", "spread")
            )
            terms = issued - whole[here], spread, issued - values[day][here], whole[here] - values[day][here]
            squares[:4] += [np.square(term).sum() for term in terms]
            ratios.append(np.square(terms[2]).sum() / np.square(terms[3]).sum())
            if len(ratios) <= EARLY:
                early = squares[0] / squares[1]
    last = np.arange(total)[:, None, None] >= TIMES
    once = fit_whole(gappy, used)
    here = removed & last & np.isfinite(once)
    in_the_end = [(each - values)[here] for each in (filled[f"{name}_mean"].values, once)]
    ratio = np.sqrt(np.square(in_the_end[0]).sum() / np.square(in_the_end[1]).sum())
    within = np.mean(np.sqrt(ratios) <= 1.05)
    print(
        f"| {Path(source).stem} | {TIMES} + {days} x {values[0].size} | {used} "
        f"| {np.sqrt(early):.3f} | {np.sqrt(squares[0] / squares[1]):.3f} "
        f"| {np.sqrt(squares[2] / squares[3]):.3f} | {within:.0%} | {ratio:.3f} | {costs[0] / days:.2f} "
        f"| {costs[1] / len(ratios):.1f} |"
    )


def fit_whole(gappy: xr.Dataset, method: str) -> Float[np.ndarray, "time row column"]:
    """The values of a record that a method fills, fitted to all of it."""
    record = GappyRecord.of(ingest(gappy, missing="train")[0], torch.device("cpu"))
    mean = FILLERS[method](record.record, None).mean
    return record.on_grid(mean * record.scale + record.climatology(slice(None)), 0)


def fading_waves(times: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray, dict[str, object]]:
    """Values of a record, where they are missing, a disc of about 35 % of each day, and coordinates.

    Six first-order autoregressive waves with 5 % of noise.
    """
    rng = np.random.default_rng(seed)
    latitude, longitude = np.arange(40, 56, 2.0), np.arange(0, 20, 2.5)
    y, x = np.meshgrid(np.deg2rad(latitude), np.deg2rad(longitude), indexing="ij")
    shapes = []
    for i in range(6):
        east, north = rng.uniform(0, 6), rng.uniform(0, 6)
        shapes.append(np.cos((i // 2 + 1) * 3 * x + east) * np.cos((i % 2 + 1) * 3 * y + north))
    size = np.zeros((times, 6))
    for t in range(1, times):
        size[t] = 0.9 * size[t - 1] + 0.44 * rng.normal(size=6)
    values = np.einsum("tk,kyx->tyx", size, np.array(shapes)) + 0.05 * rng.normal(size=(times, *y.shape))
    missing, (rows, columns) = np.zeros(values.shape, dtype=bool), np.indices(y.shape)
    for t in range(times):
        row, column, radius = rng.integers(len(latitude)), rng.integers(len(longitude)), rng.uniform(0.3, 0.6)
        missing[t] = (rows - row) ** 2 + (columns - column) ** 2 < 0.8 * (radius * max(y.shape)) ** 2
    axes = {
        "time": pd.date_range("2001-01-01", periods=times),
        "lat": ("lat", latitude, {"units": "degrees_north"}),
        "lon": ("lon", longitude, {"units": "degrees_east"}),
    }
    return values, missing, axes


def quantity_with_gaps(kind: str, seed: int) -> tuple[xr.Dataset, xr.Dataset]:
    """A record of rain or chlorophyll of 120 days, a function of `fading_waves`: its truth, and what is observed."""
    v, missing, coords = fading_waves(seed=seed)
    if kind == "rain":
        name, values, attrs = "tp", 10 * np.maximum(v - 0.8, 0) ** 2, {"units": "mm"}
    else:
        name, values, attrs = "chlor_a", np.exp(1.3 * v - 1.5), {"units": "mg m-3"}
        attrs |= {"valid_min": np.float32(0.001), "valid_max": np.float32(100)}
    dims = ("time", "lat", "lon")
    truth, gappy = (
        xr.Dataset({name: (dims, x.astype(np.float32), attrs)}, coords)
        for x in (values, np.where(missing, np.nan, values))
    )
    return truth, gappy


def promises(kind: str, seeds: list[int]) -> None:
    """Fill records of a quantity, and print rows of a table: what their reports expect, and what is true."""
    print(
        "| seed | mapping | method | expected RMSE | RMSE | ratio | draws | spread-skill |\n"
        + "|---" * 8
        + "|"
    )
    ratios, shares, parts = [], [], list[pd.DataFrame]()
    for seed in seeds:
        truth, gappy = quantity_with_gaps(kind, seed)
        fields = ingest(gappy, missing="train")[0]
        mappings, choices = choose_quantities(fields, "auto", 0, "cpu")
        fillers = methods(fields, mappings, GapFilling(), 0, "cpu")
        comparison = Comparison.of(fields, 0, "cpu", fillers, mappings)
        tried = deque(comparison.trials(), maxlen=1).pop()[0]
        statistics = comparison.error_statistics(tried)
        filled = fill(
            comparison, tried, statistics, gappy, DRAWS, TrustLimits(), 0, choices, fill_options(seed=0)
        )[0]
        (name,) = truth.data_vars
        missing = gappy[name].isnull().values
        mean, spread, true = (
            x.values[missing].astype(float)
            for x in (filled[f"{name}_mean"], filled[f"{name}_spread"], truth[name])
        )
        members = filled[f"{name}_members"].transpose("member", *gappy[name].dims).values[:, missing]
        rmse, expected = (float(np.sqrt(np.mean(x**2))) for x in (mean - true, spread))
        of_members = np.sqrt(np.mean((members - mean) ** 2, 1))
        shares.append(float(np.mean(is_within(np.sqrt(np.mean(of_members**2)) / of_members))))
        ratios.append(expected / rmse)
        record = comparison.record()
        at_held_out = scored_predictions(record, fields, statistics)
        parts.append(at_held_out.assign(gap=1e6 * seed + at_held_out["gap"]))
        skill = np.sqrt(np.average(at_held_out["variance"], weights=at_held_out["weight"]))
        skill /= np.sqrt(np.average(at_held_out["square"], weights=at_held_out["weight"]))
        print(
            f"| {seed} | {record.own[0].quantity.kind if record.own[0].quantity else 'none'} | {tried.best.name} "
            f"| {expected:.3g} | {rmse:.3g} | {ratios[-1]:.2f} | {shares[-1]:.0%} | {skill:.2f} |",
            flush=True,
        )
    number = is_within(np.array(ratios)).sum()
    print(f"\nwithin {WITHIN:g}: {number} of {len(ratios)}; of the draws {np.mean(shares):.0%}\n")
    print("| values | number | gaps | share | interval |\n|---|---|---|---|---|")
    for group, of_group in pd.concat(parts).groupby("group", sort=False):
        columns = ("error", "square", "crps", "variance", "debiased", "coverage")
        table = score_held_out(
            "", "", {key: of_group[key].to_numpy() for key in columns}, of_group["weight"].to_numpy(),
            cluster=of_group["gap"].to_numpy(),
        )  # fmt: skip
        share, low, high = table.set_index("score").loc["coverage90", ["value", "low", "high"]]
        print(
            f"| {group} | {len(of_group)} | {of_group['gap'].nunique()} | {share:.3f} | {low:.3f} to {high:.3f} |"
        )


def is_within(ratio: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Whether ratios of the expected and the true RMSE are within a factor of `WITHIN`."""
    return np.abs(np.log(ratio)) <= np.log(WITHIN)


def scored_predictions(record: GappyRecord, fields: xr.Dataset, statistics: ErrorStatistics) -> pd.DataFrame:
    """Statistics of the predictions of held-out values of the one variable, with their weight, gap and group."""
    (variable,), held_out = record.own, statistics.held_out
    assert variable.quantity is not None
    predicted = predictions(
        record, fields, held_out, statistics.error, statistics.spread, variable,
        of_variable(record, held_out, variable),
    )  # fmt: skip
    table = pd.DataFrame(own_statistics(variable.quantity, predicted))
    weight = held_out.weights(torch.ones_like(held_out.whole)).numpy()
    table = table.assign(weight=weight / weight.sum(), gap=held_out.group.numpy(), group="")
    for name, selected in groups(variable.quantity, predicted):
        table.loc[selected, "group"] = name
    return table[table["weight"] > 0]


def main() -> None:
    """Read the arguments, and print the tables that they ask for."""
    of_parts = ("race", "counts", "lengths", "distances", "append", "promises")
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "what", metavar="FILE", help=f"a NetCDF file, {', '.join(SIZES)}, or {', '.join(of_parts)}"
    )
    parser.add_argument("rest", nargs="*", metavar="ARGUMENT", help="see the beginning of this file")
    given = parser.parse_args()
    if given.what in of_parts:
        if not given.rest:
            parser.error(
                f"{given.what} needs a SOURCE: a NetCDF file, a Zarr store, or one of {', '.join(SIZES)}"
            )
        source, *numbers = given.rest
        if given.what == "race":
            by_race(
                source, float(numbers[0]) if numbers else 60.0, int(numbers[1]) if len(numbers) > 1 else None
            )
        elif given.what == "append":
            days, *method = numbers or ["365"]
            by_append(source, int(days), method[0] if method else None)
        elif given.what == "lengths":
            by_length(source, [int(length) for length in numbers])
        elif given.what == "promises":
            promises(source, [int(seed) for seed in numbers])
        elif given.what == "counts":
            by_count(source, int(numbers[0]) if numbers else 0)
        else:
            by_distance(source, int(numbers[0]) if numbers else 0)
        return
    libraries = memory("VmRSS")  # those of `fill_gaps` are imported
    truth = synthetic(given.what) if given.what in SIZES else xr.load_dataset(given.what)
    score(truth, libraries, learned=given.rest == ["learned"])


if __name__ == "__main__":
    main()
