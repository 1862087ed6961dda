"""Records whose gaps are filled, and the values that are removed from them.

Synthetic records: `waves` (damped waves of a red spectrum that turn), `moving` (drifting waves of a power-law
spectrum), `fading_waves` (a few first-order autoregressive waves), and of real quantities `quantity_with_gaps`. `CASES`
are the sizes of records that users bring. Gaps: `blobs` (discs, others at each time), `lasting` (discs that last),
`clouds` (large areas with smooth borders), and `seldom` (cells with few observations).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float
from scipy.special import ndtri

from fieldcast.geometry import unit_points

SHARE, SEED = 0.6, 0
SYNTHETIC = {"monthly": ("MS", 120, 89, 180), "waves": ("D", 1000, 64, 64)}
WAVES, LAND = 30, 0.3
WAVELENGTH, NUMBER = 0.15, 60  # clouds: sizes on the unit sphere; waves
SPARSE_SHARE = 0.33  # share of the cells that have few observations
MOVING = "moving"
SHAPE = 1000, 40, 40  # times, rows and columns of moving features
# slope of amplitudes, cells a step, steps of the largest wave
SPECTRUM, DRIFT, LIFETIME = -2.0, (0.7, 0.2), 10
# places of fading waves, unless they are given
LATITUDE, LONGITUDE = np.arange(40, 56, 2.0), np.arange(0, 20, 2.5)
MEAN, SIZE = 15.0, 3.0  # of the records of `CASES` [degC]


class Case(NamedTuple):
    """The size of a record, and what filling it took, and should take at most, on two cores.

    Latitudes and longitudes are first, last and number. A `share` [%] of the values is removed in blobs; by default
    discs of about 35 % are.
    """

    times: int
    latitude: tuple[float, float, int]
    longitude: tuple[float, float, int]
    goal: float  # [s]
    before: str
    step: str = "D"
    variables: int = 1
    share: float | None = None


CASES = {
    "small": Case(300, (20, 60, 17), (-80, 0, 33), 20, "137 s, beside other work"),
    "daily": Case(1000, (30, 46, 64), (0, 16, 64), 45, "155 s"),
    "long": Case(30_000, (40, 44, 3), (0, 5, 3), 120, "22 min, on half a core", "h"),
    "wide": Case(40, (30, 49.9, 200), (0, 29.9, 300), 180, "not in 10 min"),
    "years": Case(4018, (30, 60, 21), (-20, 15, 24), 360, "31 min, beside other work", "D", 3, 60),
    "satellite": Case(9131, (30, 60, 112), (-20, 15, 112), 1800, "", "D", 1, 60),
}  # `before`: as measured before the methods raced, on two cores


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
    frequency, times, rows, columns = SYNTHETIC[size]
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


def moving(rng: np.random.Generator, shape: tuple[int, int, int] = SHAPE) -> xr.Dataset:
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


def variable(source: str, times: int | None) -> xr.Dataset:
    """The first variable of a source, at its first times."""
    if source in SYNTHETIC:
        complete = synthetic(source)
    elif source == MOVING:
        complete = moving(np.random.default_rng(SEED))
    elif source in CASES:
        complete = record_of(CASES[source], "waves")[0]
    else:
        complete = xr.open_zarr(source) if Path(source).is_dir() else xr.open_dataset(source)
        complete = complete.rename({"valid_time": "time"} if "valid_time" in complete.dims else {})
    name = next(v for v in complete.data_vars if "time" in complete[v].dims)
    return complete[[name]].isel(time=slice(0, times)).load()


def latitude_of(data: xr.Dataset) -> str:
    """Name of the latitudes."""
    return next(name for name in ("latitude", "lat") if name in data.coords)


def clouds(
    points: Float[np.ndarray, "cell 3"], times: int, rng: np.random.Generator, share: float = 50
) -> Bool[np.ndarray, "time cell"]:
    """Mask of the cells in which a sum of waves on the unit sphere, others at each time, is above a limit.

    On average over the times these are a share [%] of them: the sum is Gaussian.
    """
    phase = points @ rng.normal(size=(NUMBER, 3)).T / WAVELENGTH
    cosine, sine = rng.normal(size=(2, times, NUMBER))
    limit = np.sqrt(NUMBER) * ndtri(1 - share / 100)
    return np.asarray(cosine @ np.cos(phase).T + sine @ np.sin(phase).T > limit)


def under_clouds(truth: xr.Dataset, share: float) -> xr.Dataset:
    """A record of one variable without the values under clouds."""
    (name,) = truth.data_vars
    longitude = truth["longitude" if "longitude" in truth.coords else "lon"].values
    points = unit_points(truth[latitude_of(truth)].values, longitude).reshape(-1, 3)
    removed = clouds(points, len(truth.time), np.random.default_rng(SEED), share)
    return truth.assign({name: truth[name].where(~removed.reshape(truth[name].shape))})


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


def fading_waves(
    times: int = 120, seed: int = 0, latitude: Float[np.ndarray, " row"] = LATITUDE,
    longitude: Float[np.ndarray, " column"] = LONGITUDE, step: str = "D",
) -> tuple[Float[np.ndarray, "time row column"], Bool[np.ndarray, "time row column"], dict[str, object]]:  # fmt: skip
    """Values of a record, where they are missing, a disc of about 35 % of each day, and coordinates.

    Six first-order autoregressive waves with 5 % of noise.
    """
    rng = np.random.default_rng(seed)
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
        "time": pd.date_range("2001-01-01", periods=times, freq=step),
        "lat": ("lat", latitude, {"units": "degrees_north"}),
        "lon": ("lon", longitude, {"units": "degrees_east"}),
    }
    return values, missing, axes


def record_of(case: Case, kind: str) -> tuple[xr.Dataset, Bool[np.ndarray, "time row column"]]:
    """A complete record of the size of a case, of fading waves or of moving features, and the values to remove."""
    latitude, longitude = (np.linspace(*each) for each in (case.latitude, case.longitude))
    shape = case.times, case.latitude[2], case.longitude[2]
    fields = {}
    for v in range(case.variables):
        values, removed, axes = fading_waves(case.times, v, latitude, longitude, case.step)
        if kind == MOVING:
            values = moving(np.random.default_rng(v), shape)["sst"].values
        scaled = (MEAN + SIZE * values).astype(np.float32)
        fields[f"sst_{v}" if v else "sst"] = (("time", "lat", "lon"), scaled, {"units": "degC"})
    if case.share is not None:
        removed = blobs(*shape, np.random.default_rng(SEED), case.share)
    return xr.Dataset(fields, axes), removed


def quantity_with_gaps(kind: str, seed: int) -> tuple[xr.Dataset, xr.Dataset]:
    """A record of rain or chlorophyll of 120 days, a function of `fading_waves`: its truth, and what is observed."""
    v, missing, coords = fading_waves(seed=seed)
    if kind == "rain":
        name, values, attrs = "tp", 10 * np.maximum(v - 0.8, 0) ** 2, {"units": "mm"}
    else:
        name, values, attrs = "chlor_a", np.exp(1.3 * v - 1.5), {"units": "mg m-3"}
        attrs |= {"valid_min": np.float32(0.001), "valid_max": np.float32(max(100, values.max()))}
    dims = ("time", "lat", "lon")
    truth, gappy = (
        xr.Dataset({name: (dims, x.astype(np.float32), attrs)}, coords)
        for x in (values, np.where(missing, np.nan, values))
    )
    return truth, gappy


def root_mean_square(x: Float[np.ndarray, " n"], area: Float[np.ndarray, " n"]) -> float:
    """Root of the mean square, weighted by area; without NaN, where a cell has no value before or after."""
    return float(np.sqrt(np.average(np.nan_to_num(x) ** 2, weights=area * np.isfinite(x))))


def row_areas(data: xr.Dataset) -> Float[np.ndarray, "row 1"]:
    """Area of the cells of each row, relative to the equator."""
    return np.cos(np.deg2rad(data[latitude_of(data)].values))[:, None]
