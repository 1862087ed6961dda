"""DINEOF's published example, the sea surface temperature of the Alboran Sea, filled by the methods of this project.

    python -m studies.dineof_example alboranSST_small.nc              # both tables, and the picture
    python -m studies.dineof_example alboranSST_small.nc --draws 5    # fewer draws
    python -m studies.dineof_example alboranSST_small.nc --no-tables  # the race, its fills, and the picture
    python -m studies.dineof_example alboranSST_small.nc --program dineof  # beside DINEOF's own program

The file is `SmallExample/alboranSST_small.nc` of https://github.com/aida-alvera/DINEOF: ten days of AVHRR
temperature of 201 x 301 cells, 22,186 of them sea, of which 45 % are missing. DINEOF's own cross-validation holds out
2,258 single pixels at random, and gives .4445 degC with three modes. Each of the draws here holds out as many pixels,
either single ones or clouds: the 500 missing pixels around a random one, moved to another day. The methods see the same
values:

* `nearest four`: the mean of the four nearest pixels of the day;
* `DINEOF as published`: `models.gaps.dineof` on the temperatures, the least error over the number of modes, which the
  held-out values themselves choose, as in the published number;
* `pyDINEOF`, if it is installed (`pip install pydineof`): logarithms of the temperatures, up to three modes, which is
  as many as ten days allow it; cells whose every value is held out, which it leaves empty, do not count;
* `DINEOF (Fortran)`, with `--program`: its entry `clouds` holds the same values out, and the least error over the
  number of modes is the one that it prints; up to five modes and the filter in time, as in the example;
* the methods of `fill_gaps`, each on anomalies from the mean of the cell.

The race of `fill_gaps` on the whole record names one of them. It fills the record under the clouds of each draw, too:
the ratio of its spread and its errors, and the picture, are of these fills.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Shaped
from matplotlib.figure import Figure
from scipy.spatial import cKDTree
from scipy.stats import norm

from fieldcast import fill_gaps
from fieldcast.atomic import atomic
from fieldcast.encoding.gappy_record import GappyRecord
from fieldcast.fields.ingest import ingest
from fieldcast.models.gaps.dineof import MAX_MODES, dineof, fill_by_dineof
from fieldcast.models.gaps.fillers import FILLERS
from studies.stored_pictures import write_picture

PIXELS, CLOUD = 2258, 500  # held-out values of a draw, and of a cloud
MIN_SHARE = 0.5  # least share of a cloud that is observed at its other day
KEPT = 0.5  # least share of the observed values of a day that are not held out
DAY = 5  # day of the picture
PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "filled_sea.png"
NUMBERS = PICTURE.parent / "numbers" / "filled_sea.nc"  # from which it is drawn
NEAREST, PUBLISHED, PEER = "nearest four", "DINEOF as published", "pyDINEOF"
FORTRAN = "DINEOF (Fortran)"
INIT = """data = ['record.nc#SST']
mask = ['record.nc#mask']
time = 'record.nc#time'
alpha = {alpha:.5f}
numit = 3
nev = {modes}
neini = 1
ncv = {krylov}
tol = 1.0e-8
nitemax = 300
toliter = 1.0e-3
rec = 1
eof = 0
norm = 0
Output = './'
results = ['filled.nc#SST']
EOF.U = ['eof.nc#U']
EOF.V = 'eof.nc#V'
EOF.Sigma = 'eof.nc#S'
seed = 243435
"""
Mask = Bool[np.ndarray, "time cell"]
Values = Float[np.ndarray, "time cell"]


def pixels(observed: Mask, points: Float[np.ndarray, "cell 3"], rng: np.random.Generator) -> Mask:
    """Single observed values, drawn at random."""
    held_out, index = np.zeros_like(observed), np.flatnonzero(observed)
    held_out.flat[rng.choice(index, PIXELS, replace=False)] = True
    return held_out


def clouds(observed: Mask, points: Float[np.ndarray, "cell 3"], rng: np.random.Generator) -> Mask:
    """Observed values under the clouds of other days, until they are as many as `PIXELS`."""
    held_out, missing = np.zeros_like(observed), np.flatnonzero(~observed)
    while held_out.sum() < PIXELS:
        day, cell = divmod(int(rng.choice(missing)), observed.shape[1])
        cloudy = np.flatnonzero(~observed[day])
        cloud = cloudy[cKDTree(points[cloudy]).query(points[cell], min(CLOUD, len(cloudy)))[1]]
        other = int(rng.integers(len(observed)))
        uncovered = observed[other, cloud] & ~held_out[other, cloud]
        left = (observed[other] & ~held_out[other]).sum() - uncovered.sum()
        if uncovered.mean() >= MIN_SHARE and left >= KEPT * observed[other].sum():
            held_out[other, cloud[uncovered]] = True
    return held_out


def nearest_four(x: Values, visible: Mask, points: Float[np.ndarray, "cell 3"]) -> Values:
    """The mean of the four nearest visible values of each day."""
    filled = np.full_like(x, np.nan)
    for day, present in enumerate(visible):
        near = np.flatnonzero(present)
        filled[day] = x[day, near[cKDTree(points[near]).query(points, 4)[1]]].mean(1)
    return filled


def peer(field: xr.DataArray, mask: xr.DataArray) -> Values:
    """The record as pyDINEOF fills it, as a matrix of the cells of the mask."""
    from pydineof.main import run_2D

    with contextlib.redirect_stdout(io.StringIO()):
        filled = run_2D(field, mask, nev=3, ncv=9, seed=0)
    return filled.transpose("time", "lat", "lon").values[:, mask.values]


def by_program(
    program: Path, x: Float[np.ndarray, "time y x"], times: Shaped[np.ndarray, " time"],
    cells: Bool[np.ndarray, "y x"], modes: int, held_out: Mask | None = None,
) -> tuple[float, Float[np.ndarray, "time y x"]]:  # fmt: skip
    """The record as DINEOF's program fills it, with its expected error, at values that it holds out if none are given.

    Its filter in time is that of its example, alpha .01 and 3 iterations, for times in days, or the strongest one that
    is stable. With fewer cells than times it would read held-out values in another order.
    """
    days = (times - times[0]) / np.timedelta64(1, "D")
    modes, alpha = min(modes, len(x) - 6), min(0.01, np.diff(days).min() ** 2 / 4)
    if held_out is not None and cells.sum() < len(x):
        raise ValueError("held-out values need at least as many cells as times")
    with tempfile.TemporaryDirectory() as folder:
        data = {
            "SST": (("time", "lat", "lon"), x.astype(np.float32)),
            "mask": (("lat", "lon"), cells.astype("f4")),
        }
        init = INIT.format(alpha=alpha, modes=modes, krylov=modes + 5)
        # numbers of a cell of the mask, of which columns come one after the other, and of a time
        if held_out is not None:
            number, (day, cell) = np.zeros(cells.shape), np.nonzero(held_out)
            number.T[cells.T] = np.arange(cells.sum()) + 1
            data["clouds"] = (("two", "point"), np.stack([number[cells][cell], day + 1]).astype("f4"))
            init += "clouds = 'record.nc#clouds'\n"
        record = xr.Dataset(data, {"time": days.astype("f4")})
        fill = {name: {"_FillValue": np.float32(9999.0)} for name in record.variables}
        record.to_netcdf(Path(folder, "record.nc"), format="NETCDF3_CLASSIC", encoding=fill)
        Path(folder, "dineof.init").write_text(init, encoding="utf-8")
        done = subprocess.run(
            [program.resolve(), "dineof.init"], cwd=folder, capture_output=True, text=True, check=False
        )
        error = re.search(r"expected error calculated by cross-validation\s+(\S+)", done.stdout)
        if error is None:
            raise SystemExit(f"{program}: {(done.stdout + done.stderr).strip()[-300:]}")
        return float(error[1]), xr.load_dataset(Path(folder, "filled.nc"))["SST"].values


def errors_of_draws(
    dataset: xr.Dataset,
    hold_out: Callable[..., Mask],
    draws: int,
    names: list[str],
    program: Path | None = None,
) -> Iterator[tuple[Mask, dict[str, tuple[float, float]]]]:
    """Yield the held-out values of each draw, and the RMSE [degC] and processor time [s] of each method there."""
    fields = read(dataset)
    gappy = GappyRecord.of(fields, torch.device("cpu"))
    record, scale = gappy.record, float(gappy.codec.deviation[0])
    observed, points = record.observed.numpy(), record.columns.points
    x = np.where(observed, record.x.numpy() * scale + gappy.climatology(slice(None)).numpy(), np.nan)
    cells = xr.DataArray(gappy.has_column[0].numpy(), dims=("lat", "lon"))
    for seed in range(draws):
        mask = hold_out(observed, points, np.random.default_rng(seed))
        visible, tensor = gappy.without(torch.from_numpy(mask), fields), torch.from_numpy(x).float()
        climatology = visible.climatology(slice(None)).numpy()
        scores = {}
        for name in names:
            begun = time.process_time()
            if name == NEAREST:
                filled = nearest_four(x, observed & ~mask, points)
            elif name == PUBLISHED:
                present = torch.from_numpy(observed)
                result = dineof(tensor.nan_to_num(), present, torch.from_numpy(mask), MAX_MODES)
                scores[name] = float(result.errors.min()), time.process_time() - begun
                continue
            elif name == FORTRAN:
                assert program is not None
                grid = np.full((len(x), *cells.shape), np.nan, np.float32)
                grid[:, cells.values] = x
                begun = processor_of_children()
                error = by_program(program, grid, fields["time"].values, cells.values, 5, mask)[0]
                scores[name] = error, processor_of_children() - begun
                continue
            elif name == PEER:
                grid = np.full((len(x), *cells.shape), np.nan, np.float32)
                grid[:, cells.values] = np.where(mask, np.nan, x)
                field = xr.DataArray(grid, {"time": fields["time"].values}, ("time", "lat", "lon"))
                filled = peer(field, cells)
            else:
                filled = FILLERS[name](visible.record, None).mean.numpy() * scale + climatology
            seconds = time.process_time() - begun
            scores[name] = float(np.sqrt(np.nanmean((filled - x)[mask] ** 2))), seconds
        yield mask, scores


def processor_of_children() -> float:
    """The processor time of the programs that have ended [s]."""
    return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def read(dataset: xr.Dataset) -> xr.Dataset:
    """The fields of the file, of which a day is missing."""
    return ingest(dataset, gaps="keep", missing="train", fewest=3)[0]


def standardised(dataset: xr.Dataset, masks: list[Mask], method: str) -> Float[np.ndarray, " value"]:
    """Errors over spreads of a method at the held-out values of some draws."""
    gappy = GappyRecord.of(read(dataset), torch.device("cpu"))
    cells, ratios = gappy.has_column[0].numpy(), []
    for mask in masks:
        grid = np.zeros((len(mask), *cells.shape), dtype=bool)
        grid[:, cells] = mask
        hidden = dataset.assign(SST=dataset["SST"].where(~grid))
        filled = fill_gaps(hidden, method=method, gaps="keep")
        error, spread = (filled["SST"] - dataset["SST"]).values[grid], filled["SST_spread"].values[grid]
        ratios.append(np.stack([error, spread]))
    error, spread = np.concatenate(ratios, 1)
    print(
        f"{method} under clouds: RMSE {np.sqrt(np.mean(error**2)):.3f}, spread / error "
        f"{np.sqrt(np.mean(spread**2) / np.mean(error**2)):.2f}, "
        f"within the 90 % interval {np.mean(np.abs(error) < norm.ppf(0.95) * spread):.0%}"
    )
    return error / spread


def print_table(scores: list[dict[str, tuple[float, float]]], best: str) -> None:
    """A row for each method: mean and deviation of its errors, paired differences from the best, time."""
    print("| method | RMSE [degC] | beyond that of the winner | s |\n|---|---|---|---|")
    of_best = np.array([each[best][0] for each in scores])
    for name in scores[0]:
        rmse, seconds = np.array([each[name] for each in scores]).T
        beyond = rmse - of_best
        error = beyond.std(ddof=1) / np.sqrt(len(beyond)) if len(beyond) > 1 else np.nan
        print(
            f"| {name} | {rmse.mean():.4f} ± {rmse.std(ddof=1):.4f} | "
            f"{'' if name == best else f'{beyond.mean():+.4f} ± {error:.4f}'} | {seconds.mean():.1f} |"
        )


def print_smooth(dataset: xr.Dataset) -> None:
    """Print the distance of low-rank and of smoothed fields from the observed values, if these are not kept."""
    x = torch.from_numpy(dataset["SST"].values[:, dataset["mask"].values > 0])
    x = x[:, x.isfinite().any(0)]
    unpinned = fill_by_dineof(x.nan_to_num(), x.isfinite())
    low_rank = (unpinned.values - unpinned.mean) @ unpinned.axes.T @ unpinned.axes
    residual = (low_rank + unpinned.mean - x)[x.isfinite()].square().mean().sqrt()
    print(f"DINEOF with {unpinned.modes} modes at the observed values, not pinned: RMSE {residual:.4f} degC")
    smooth = fill_gaps(dataset, gaps="keep", noise="0.1 degC", method="local_kriging")
    change = float(((smooth["SST"] - dataset["SST"]) ** 2).mean() ** 0.5)
    print(f"local_kriging there, if observed values have errors of 0.1 degC: {change:.4f} degC\n")


def stored_day(dataset: xr.Dataset, filled: xr.Dataset, ratios: Float[np.ndarray, " value"]) -> xr.Dataset:
    """The numbers of the picture: one day as observed and filled, its spread, a histogram of errors / spreads."""
    day = filled.isel(time=DAY)
    density, edges = np.histogram(ratios, np.linspace(-5, 5, 51), density=True)
    maps = {"observed": dataset["SST"].isel(time=DAY), "filled": day["SST"], "spread": day["SST_spread"]}
    fields = xr.Dataset({name: field.astype(np.float32) for name, field in maps.items()})
    date = str(fields["time"].values)[:10]
    fields = fields.drop_vars(set(fields.coords) - {"lat", "lon"}).drop_attrs()
    return fields.assign(density=("bin", density), edge=("edges", edges)).assign_attrs(date=date)


def draw(stored: xr.Dataset) -> Figure:
    """One day as it was observed, filled, its spread, and a histogram of errors over spreads."""
    figure = Figure((11, 6.2), layout="constrained")
    axes = figure.subplots(2, 2)
    limits = {f"v{end}": float(stored["filled"].quantile(q)) for end, q in (("min", 0.01), ("max", 0.99))}
    panels = (
        ("observed", f"observed on {stored.attrs['date']}", "turbo", limits),
        ("filled", "filled", "turbo", limits),
        ("spread", "standard deviation", "magma", {"vmin": 0.0}),
    )
    for ax, (name, title, colours, options) in zip(axes.flat, panels, strict=False):
        image = ax.pcolormesh(
            stored["lon"], stored["lat"], stored[name], cmap=colours, rasterized=True, **options
        )
        ax.set(title=title, aspect=1.25)
        ax.set_facecolor("0.75")
        figure.colorbar(image, ax=ax, label="°C")
    ax, z = axes[1, 1], np.linspace(-5, 5, 200)
    ax.stairs(stored["density"], stored["edge"], fill=True, color="#4c72b0", label="held out under clouds")
    ax.plot(z, norm.pdf(z), "k", label="standard Gaussian")
    ax.set(title="errors / spread", xlim=(-5, 5))
    ax.legend(frameon=False)
    return figure


def main() -> None:
    """Print both tables, and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", help="alboranSST_small.nc")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--no-tables", action="store_true", help="only the race, its fills, and the picture")
    parser.add_argument("--program", type=Path, help="the program that `make` of DINEOF's sources builds")
    options = parser.parse_args()
    dataset, names = xr.load_dataset(options.file), [NEAREST, PUBLISHED, *FILLERS]
    try:
        import pydineof  # noqa: F401

        names.insert(2, PEER)
    except ImportError:
        print("pyDINEOF is not installed; its rows are left out.")
    if options.program:
        names.insert(2, FORTRAN)
        x, times, sea = (dataset[name].values for name in ("SST", "time", "mask"))
        print(
            f"{FORTRAN} at pixels that it draws itself: {by_program(options.program, x, times, sea > 0, 5)[0]:.4f}"
        )
    begun = time.process_time()
    filled = fill_gaps(dataset, gaps="keep")
    best = filled.attrs["comment"].split()[2].strip(",.")
    print(
        f"The race chooses {best}; with the fill, its spread and report {time.process_time() - begun:.0f} s.\n"
    )
    if options.no_tables:
        masks = [mask for mask, _ in errors_of_draws(dataset, clouds, options.draws, [])]
    else:
        print_smooth(dataset)
        for hold_out in (pixels, clouds):
            draws = errors_of_draws(dataset, hold_out, options.draws, names, options.program)
            masks, scores = map(list, zip(*draws, strict=True))
            print(f"{options.draws} draws of {hold_out.__name__}\n")
            print_table(scores, best)
            print()
    ratios = standardised(dataset, masks, best)
    packed = {"zlib": True, "dtype": "int16", "scale_factor": 1e-3, "_FillValue": -32768}
    with atomic(NUMBERS) as partial:
        stored_day(dataset, filled, ratios).to_netcdf(
            partial, encoding=dict.fromkeys(("observed", "filled", "spread"), packed)
        )
    write_picture(PICTURE, draw(xr.load_dataset(NUMBERS)), NUMBERS)


if __name__ == "__main__":
    main()
