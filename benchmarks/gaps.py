"""A complete record with 60 % of every field hidden in blobs, and filled: `python -m benchmarks.gaps FILE`.

FILE is a NetCDF file without missing values, such as the planet's z500. Prints, at all hidden values, the RMSE beside
that of linear interpolation in time and of DINEOF, the ratio of spread and error, and how often errors exceed 5 and 20
spreads.
`python -m benchmarks.gaps monthly` and `daily` print time and peak memory for 120 months of 89 x 180 cells with land,
and for 1000 days of 64 x 64 cells; `large` for 3000 days of 96 x 96. The peak is that of the resident memory while
`fill_gaps` runs (Linux).
`python -m benchmarks.gaps lengths SOURCE LENGTH [LENGTH ...]` hides 60 % in discs that last so many steps, each length
with the same share, in the first 1000 times of the first variable of SOURCE (a NetCDF file, a Zarr store or `monthly`).
Prints rows of a table: the errors of missing values by the length of the gap that they belong to.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Bool, Float

from fieldcast.encoding.gappy_record import GappyRecord
from fieldcast.fields.ingest import ingest
from fieldcast.models.gaps.in_time import gap_lengths
from fieldcast.models.gaps.record import dineof
from fieldcast.training.fill_gaps import fill_gaps

SHARE, SEED = 0.6, 0
SIZES = {"monthly": ("MS", 120, 89, 180), "daily": ("D", 1000, 64, 64), "large": ("D", 3000, 96, 96)}
WAVES, LAND = 30, 0.3
TIMES = 1000  # of a record with lasting gaps
NINETY = 1.645  # spreads on each side of the mean


def blobs(
    times: int, rows: int, columns: int, rng: np.random.Generator
) -> Bool[np.ndarray, "time row column"]:
    """Discs that cover 60 % of every field."""
    row, column = np.arange(rows)[:, None], np.arange(columns)
    hidden = np.zeros((times, rows, columns), dtype=bool)
    for day in range(times):
        while hidden[day].mean() < SHARE:
            size = rng.uniform(0.05, 0.2) * min(rows, columns)
            i, j = rng.uniform(0, rows), rng.uniform(0, columns)
            hidden[day] |= (row - i) ** 2 + (column - j) ** 2 < size**2
    return hidden


def lasting(
    times: int, rows: int, columns: int, lengths: list[int], rng: np.random.Generator
) -> Bool[np.ndarray, "time row column"]:
    """Discs that last; those of each length cover the same share, 60 % in all."""
    row, column = np.arange(rows)[:, None], np.arange(columns)
    hidden = np.zeros((times, rows, columns), dtype=bool)
    for number, length in enumerate(sorted(lengths, reverse=True), start=1):
        while (lacking := SHARE * number / len(lengths) - hidden.mean()) > 0:
            for _ in range(max(1, int(lacking * times / length / 2))):
                size = rng.uniform(0.05, 0.2) * min(rows, columns)
                i, j, first = rng.uniform(0, rows), rng.uniform(0, columns), rng.integers(1 - length, times)
                disc = (row - i) ** 2 + (column - j) ** 2 < size**2
                hidden[max(first, 0) : first + length] |= disc
    return hidden


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


def synthetic(size: str) -> xr.Dataset:
    """A record of waves; of the monthly one a part is land."""
    frequency, times, rows, columns = SIZES[size]
    values = waves(times, rows, columns, np.random.default_rng(SEED))
    if size == "monthly":
        values[:, :, : int(LAND * columns)] = np.nan
    axes = {
        "time": pd.date_range("2001-01-01", periods=times, freq=frequency),
        "latitude": np.linspace(-60, 60, rows),
        "longitude": np.arange(columns) * 360 / columns,
    }
    return xr.Dataset({"sst": (("time", "latitude", "longitude"), values, {"units": "K"})}, axes)


def memory(what: str) -> int:
    """Resident memory of this process [bytes]: VmRSS now, VmHWM at most since the last reset."""
    line = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    return int(line[1]) * 1024 if line else 0


def dineof_rmse(gappy: xr.Dataset, truth: xr.Dataset) -> dict[str, float]:
    """RMSE of DINEOF at the hidden values of each variable, in its units."""
    fields, complete = (ingest(part, missing="train")[0] for part in (gappy, truth.copy()))
    own = GappyRecord.of(fields, torch.device("cpu"))
    x = own.codec.encode(complete)[:, own.there]
    error = (dineof(own.record, None).mean - x) * own.scale
    hidden = ~own.record.observed & torch.isfinite(x)
    columns = [(name, own.variable == v) for v, name in enumerate(own.codec.variables)]
    return {name: float(error[:, of][hidden[:, of]].square().mean().sqrt()) for name, of in columns}


def score(truth: xr.Dataset, libraries: int) -> None:
    """Hide, fill, and print the errors of each variable; `libraries` is the memory before there were data."""
    shape = truth[next(iter(truth.data_vars))].shape
    hidden = blobs(*shape, np.random.default_rng(SEED))
    gappy = truth.where(~xr.DataArray(hidden, dims=truth[next(iter(truth.data_vars))].dims))
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # reset VmHWM
    before, begun = memory("VmRSS"), time.perf_counter()
    filled = fill_gaps(gappy)
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
        scored = hidden & truth[name].notnull().values
        linear = gappy[name].interpolate_na("time").ffill("time").bfill("time")
        error = (filled[f"{name}_mean"] - truth[name]).values[scored].astype(float)
        in_time = (linear - truth[name]).values[scored].astype(float)
        spread = filled[f"{name}_spread"].values[scored].astype(float)
        rmse = np.sqrt(np.mean(error**2))
        print(
            f"{name}: RMSE {rmse:.3g}, {rmse / np.sqrt(np.nanmean(in_time**2)):.2f} of linear in time, "
            f"{rmse / by_dineof[str(name)]:.2f} of DINEOF; spread / error "
            f"{np.sqrt(np.mean(spread**2)) / rmse:.2f}; {np.mean(abs(error) > 5 * spread):.3%} of {error.size} errors "
            f"exceed 5 spreads, {np.sum(abs(error) > 20 * spread)} exceed 20"
        )


def by_length(source: str, lengths: list[int]) -> None:
    """Hide discs that last, fill, and print errors by the length of gaps as rows of a table."""
    if source in SIZES:
        complete = synthetic(source)
    else:
        complete = xr.open_zarr(source) if Path(source).is_dir() else xr.open_dataset(source)
    name = next(v for v in complete.data_vars if "time" in complete[v].dims)
    truth = complete[[name]].isel(time=slice(0, TIMES)).load()
    values = truth[name].values.astype(np.float32)
    hidden = lasting(*values.shape, lengths, np.random.default_rng(SEED))
    gappy = truth.assign({name: truth[name].copy(data=np.where(hidden, np.float32(np.nan), values))})
    filled = fill_gaps(gappy)
    missing = hidden & np.isfinite(values)
    observed = torch.from_numpy(np.isfinite(gappy[name].values).reshape(len(values), -1))
    length = gap_lengths(observed).numpy().reshape(values.shape)[missing]
    error = (filled[f"{name}_mean"].values - values)[missing].astype(float)
    spread = filled[f"{name}_spread"].values[missing].astype(float)
    method, reported = (
        match[1] if (match := re.search(pattern, filled.attrs["comment"])) else "-"
        for pattern in (r"Filled by (\w+)", r"The spread is [a-z ]+: ([\d.]+) of the error")
    )
    lower = sorted({1, *lengths})
    label = f"{name}, {', '.join(map(str, lengths))}"
    for least, most in [*zip(lower, [*lower[1:], np.inf], strict=True), (1, np.inf)]:
        here = (length >= least) & (length < most)
        if not here.any():
            continue
        e, s = error[here], spread[here]
        ratio = np.sqrt((s**2).mean() / (e**2).mean())
        covered, beyond = (abs(e) < NINETY * s).mean(), (abs(e) > 5 * s).mean()
        kind = (
            "all"
            if (least, most) == (1, np.inf)
            else f"{least} to {most - 1:g}"
            if most < np.inf
            else f"{least} on"
        )
        print(
            f"| {label} | {method} | {kind} | {here.sum()} | {np.sqrt((e**2).mean()):.3g} | {ratio:.2f} "
            f"| {reported if kind == 'all' else ''} | {covered:.2f} | {beyond:.3%} |"
        )


if __name__ == "__main__":
    if sys.argv[1] == "lengths":
        by_length(sys.argv[2], [int(length) for length in sys.argv[3:]])
        sys.exit()
    source, libraries = sys.argv[1], memory("VmRSS")  # those of `fill_gaps` are imported
    score(synthetic(source) if source in SIZES else xr.load_dataset(source), libraries)
