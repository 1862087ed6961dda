"""Report 000's "MSE below 1 up to 50 iterations", in its setting as far as that can be known.

    python -m studies.mse_of_000 planet --by variable        # the simulated planet every six hours
    python -m studies.mse_of_000 winter --by cell --path era5_djf_2.5deg.nc
    python -m studies.mse_of_000 winter --by cell --baselines --path era5_djf_2.5deg.nc     # without the VAE: seconds
    python -m studies.mse_of_000 --print-only                # the table, from the record; writes nothing
    python -m studies.mse_of_000 --write-only                # the picture as well

Fields are standardised with their season left in, by mean and deviation of the training split: of each variable over
all cells and times, or of each cell. The VAE of `forecast.vae` is trained on them as configured (seed 0), except for
what `CHANGED` says, and steps with the mean of ten draws as the tendency: at each stage of a Runge-Kutta step, as
`forecast.vae_rk4_mean`, or once in an Euler step. Then

    MSE_n = mean over initial times, variables and cells of (x_n - truth_n)^2,

cells without area weights, as a plain mean of an array has it; "all, by area" has the weights. The climatology is that
of `fields.climatology`: of the day of the year, or with less than two years the training mean of each cell. A forecast
of zero everywhere, the mean by which the fields are standardised, has an MSE of about 1 by construction.

Each run replaces its rows of docs/results/mse_of_000.csv, every step up to 100 and then each twentieth.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from fieldcast import calendars
from fieldcast.arguments import validated
from fieldcast.encoding.checkpoint import unpack
from fieldcast.encoding.options import Limits
from fieldcast.experiments import body_of
from fieldcast.fields import climatology as climatologies
from fieldcast.fields import normalisation as normalisations
from fieldcast.fields.conventions import time_varying
from fieldcast.fields.ingest import ingest
from fieldcast.fields.planet.dynamics import Planet, rounded
from fieldcast.fields.planet.options import STATE_STEP, PlanetOptions
from fieldcast.fields.planet.weather import VARIABLES, stored, weather, with_attributes
from fieldcast.fields.prepared import PreparedData
from fieldcast.fields.splits import SplitRanges, make, select
from fieldcast.geometry import cell_areas
from fieldcast.inference.forecasts.ensemble import EnsembleForecaster
from fieldcast.standalone.fitting import problem_of
from fieldcast.training.options import Fit
from fieldcast.training.run import Recipe, train
from studies.stored_pictures import write_picture

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
RECORD = ROOT / "docs" / "results" / "mse_of_000.csv"
PICTURE = ROOT / "docs" / "reports" / "images" / "mse_of_000.png"

PER_DAY = 4  # fields a day
NEVER = 1e9  # seconds between saves of the training state, of which only the end is needed here
YEAR = 365 * PER_DAY  # steps in a year of the planet
STARTS, STEPS = 8, 500  # initial times on the planet, and the steps after each
TRAINING_YEARS = 4  # of the planet; a year of validation and a year of initial times follow
WINTER_STARTS = 12  # successive initial times at the beginning of its test split
LIMIT = 1e4  # MSE of all variables at which a rollout ends: it has diverged
EVERY_STEP_TO, THEN_EACH = 100, 20  # the steps that the record holds
# what differs from the experiment: on six-hourly fields of four years ten epochs, as report 000 has them, take more
# steps; on 73 x 144 cells its decoder would have 120 million weights, instead of 30
CHANGED: dict[str, dict[str, Any]] = {"planet": {"steps": 3650}, "winter": {"channels": [2, 32]}}
METHODS = {
    "persistence": "persistence",
    "climatology": "climatology",
    "euler": "VAE, Euler",
    "rk4": "VAE, RK4",
}
BY = {"variable": "one mean and deviation for each variable", "cell": "mean and deviation of each cell"}
DATA = {"planet": "Simulated planet", "winter": "ERA5, one winter"}
ALL, BY_AREA = "all", "all, by area"
PANELS = (("planet", ALL), ("winter", ALL), ("winter", "msl"))
SHOWN_STEPS = 1, 4, 20, 50
LINES: dict[str, dict[str, Any]] = {
    "persistence": {"color": "#94714a", "linestyle": "--"},
    "climatology": {"color": "#a8a8a8", "linestyle": "--"},
    "euler": {"color": "#0072B2", "linewidth": 1.8},
    "rk4": {"color": "#D55E00", "linewidth": 1.8, "linestyle": (0, (4, 1.5))},
}

States = Float[np.ndarray, "start variable latitude longitude"]


@dataclass(frozen=True)
class Setting:
    """Fields every six hours with their splits, and the forecasts that are made from the test split.

    Parameters
    ----------
    fields
        Fields in physical units, as ingestion prepares them.
    splits
        First and last time of each split.
    starts
        Positions of the initial times.
    steps
        Number of steps of six hours.
    """

    fields: xr.Dataset
    splits: SplitRanges
    starts: Int[np.ndarray, " start"]
    steps: int


def planet() -> Setting:
    """The planet: years of training, one of validation, one of initial times, and the steps after the last of them."""
    first = (TRAINING_YEARS + 1) * YEAR
    length = first + YEAR + STEPS + PER_DAY
    fields, _ = ingest(six_hourly(PlanetOptions(years=length / PER_DAY / 365), seed=0), "the planet")
    iso = calendars.iso(fields["time"])
    ends = {"train": (0, first - YEAR), "validation": (first - YEAR, first), "test": (first, len(iso))}
    splits = {name: [str(iso[begin]), str(iso[end - 1])] for name, (begin, end) in ends.items()}
    return Setting(fields, splits, first + np.arange(STARTS) * YEAR // STARTS, STEPS)


def winter(path: str) -> Setting:
    """A file of six-hourly fields: forecasts from its first test states, as long as the last of them has a truth."""
    with xr.open_dataset(path) as dataset:
        fields, _ = ingest(dataset, path)
    splits = make(fields["time"])
    first = int(calendars.positions(fields["time"], [splits["test"][0]])[0])
    steps = fields.sizes["time"] - first - WINTER_STARTS
    return Setting(fields, splits, first + np.arange(WINTER_STARTS), steps)


def six_hourly(options: PlanetOptions, seed: int) -> xr.Dataset:
    """The weather of `planet.weather.simulate` four times a day; at midnight the fields are the same."""
    model, grid = Planet(options), options.grid()
    steps = round(1 / options.step)  # of the model, in a day
    shape = options.days * PER_DAY, options.n_latitude, options.n_longitude
    data = {name: np.empty(shape, np.float32) for name in VARIABLES}
    q, scratch = model.start(seed), model.sphere.scratch(6)
    for day in range(-options.spin_up, options.days):
        q = rounded(q, STATE_STEP)
        for step in range(steps):
            number, between = divmod(step * PER_DAY, steps)
            if day >= 0 and not between:
                for name, values in weather(model, grid, q).items():
                    data[name][day * PER_DAY + number] = stored(values)
            q = model.advance(q, day + step / steps, scratch)
    times = xr.date_range("0001-01-01", periods=shape[0], freq="6h", calendar="noleap", use_cftime=True)
    coords = {"time": times, "latitude": grid.latitude, "longitude": grid.longitude}
    dims = ("time", "latitude", "longitude")
    return with_attributes(xr.Dataset({name: (dims, values) for name, values in data.items()}, coords))


def standardised(setting: Setting, by: str) -> PreparedData:
    """Fields of mean 0 and deviation 1 in the training split, season left in, with a codec that changes nothing."""
    training = select(setting.fields, setting.splits, "train")
    dims = ("time", "latitude", "longitude") if by == "variable" else ("time",)
    names = list(time_varying(setting.fields))
    fields = setting.fields[names]
    with xr.set_options(keep_attrs=True):
        scaled = {
            v: (fields[v] - training[v].mean(dims, dtype=float)) / training[v].std(dims, dtype=float)
            for v in names
        }
        fields = fields.assign({v: x.astype(np.float32) for v, x in scaled.items()})
    training = select(fields, setting.splits, "train")
    nothing = xr.zeros_like(climatologies.fit(training))
    fitted = normalisations.fit(training, nothing)
    steps = fitted["tendency"] * fitted["anomaly_std"]  # the deviation of differences of one step
    fitted = fitted.assign(tendency=steps, anomaly_std=xr.ones_like(steps))
    return PreparedData(fields, nothing, fitted, setting.splits)


def trained(data: PreparedData, channels: list[int] | None = None, steps: int | None = None) -> bytes:
    """Checkpoint of `forecast.vae` with seed 0; with other `channels` of the decoder or gradient steps, if given."""
    body = body_of(CONF, "forecast.vae")
    fit = {**body["fit"], "ranks": 1, "save_every": NEVER} | ({"steps": steps} if steps else {})
    problem, model = problem_of("forecast.vae", body), with_channels(body["model"], channels)
    recipe = Recipe(problem, model, validated(Fit, fit, "fit"), 0, Limits(), "cpu")
    return next(saved.checkpoint for saved in train(recipe, data, None) if saved.checkpoint is not None)


def with_channels(model: Mapping[str, Any], channels: list[int] | None) -> dict[str, Any]:
    """The model of an experiment, with other `channels` of its decoder if they are given."""
    inner = dict(model["model"])
    if channels:
        inner["decoder"] = {**inner["decoder"], "channels": channels}
    return {**model, "model": inner}


def forecasts(
    data: PreparedData, setting: Setting, channels: list[int] | None = None, steps: int | None = None
) -> dict[str, Iterator[States]]:
    """The states of the VAE by both schemes, step by step, after its training."""
    initial = calendars.iso(setting.fields["time"].values[setting.starts]).tolist()
    checkpoint = trained(data, channels, steps)
    averaged = with_channels(body_of(CONF, "forecast.vae_rk4_mean")["model"], channels)

    def stepped(scheme: str) -> Iterator[States]:
        fitted = unpack(checkpoint, "the checkpoint", {**averaged, "scheme": scheme})
        forecaster = EnsembleForecaster(fitted.model, fitted.field_codec, data.fields, initial, 1, 0)
        return (state.x[:, 0].numpy() for state in forecaster.run(setting.steps))

    return {"euler": stepped("euler"), "rk4": stepped("rk4")}


def states_at(fields: xr.Dataset, positions: Int[np.ndarray, " start"]) -> States:
    """The states at some positions in time."""
    return np.stack([fields[v].values[positions] for v in time_varying(fields)], axis=1)


def persistence(initial: States) -> Iterator[States]:
    """Yield the initial states, for ever."""
    return repeat(initial)


def climatology(data: PreparedData, starts: Int[np.ndarray, " start"]) -> Iterator[States]:
    """Yield the climatology of the training split at each step after the initial times."""
    normal = climatologies.fit(select(data.fields, data.splits, "train"))
    for step in count(1):
        at = climatologies.at(normal, data.fields["time"].values[starts + step])
        yield np.stack([at[v].values for v in time_varying(data.fields)], axis=1)


def errors(
    methods: Mapping[str, Iterable[States]], truth: Callable[[int], States], steps: int,
    names: Sequence[str], area: Float[np.ndarray, "latitude longitude"],
) -> pd.DataFrame:  # fmt: skip
    """MSE of each method by variable and step; NaN from the step at which that of all variables exceeds `LIMIT`."""
    columns: dict[str, dict[tuple[str, int], float]] = {}
    for method, states in methods.items():
        columns[method] = {}
        for step, x in zip(range(1, steps + 1), states, strict=False):
            with np.errstate(over="ignore", invalid="ignore"):
                square = (x.astype(float) - truth(step)) ** 2
            of_variables = dict(zip(names, square.mean(axis=(0, 2, 3)), strict=True))
            means = {**of_variables, ALL: square.mean(), BY_AREA: (square * area / area.mean()).mean()}
            if not means[ALL] < LIMIT:
                break
            columns[method] |= {(name, step): float(value) for name, value in means.items()}
    table = pd.DataFrame(columns, columns=list(methods)).rename_axis(["variable", "step"])
    return table.sort_index(level="step", sort_remaining=False, kind="stable").reset_index()


def last_below(mse: pd.Series) -> str:
    """The last step before the first whose MSE, indexed by step, is not below 1; with a + if there is none.

    A hyphen for a method that was not run.
    """
    if mse.isna().all():
        return "-"
    above = ~(mse < 1).to_numpy()
    if not above.any():
        return f"{mse.index[-1]}+"
    first = int(above.argmax())
    return str(mse.index[first - 1]) if first else "0"


def record(name: str, by: str, table: pd.DataFrame) -> None:
    """Replace the rows of some data and standardisation in the record."""
    table = table.reindex(columns=["variable", "step", *METHODS])
    kept = table[(table["step"] <= EVERY_STEP_TO) | (table["step"] % THEN_EACH == 0)]
    rounded_to = kept.assign(**{method: kept[method].map("{:.3g}".format) for method in METHODS})
    fresh = rounded_to.replace("nan", "").assign(data=name, by=by)
    older = pd.read_csv(RECORD, dtype=str) if RECORD.exists() else fresh[:0]
    others = older[(older["data"] != name) | (older["by"] != by)]
    columns = ["data", "by", "variable", "step", *METHODS]
    whole = pd.concat([others, fresh.astype(str)])[columns]
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    whole.sort_values(["data", "by"], kind="stable").to_csv(RECORD, index=False)


def printed(table: pd.DataFrame) -> Iterator[str]:
    """The lines of the record's table: the last steps below 1 of each variable, and the MSE of all at some steps."""
    for (name, by), part in table.groupby(["data", "by"], sort=False):
        yield f"{DATA[name]}, every six hours; {BY[by]}"
        yield f"{'last step with an MSE below 1':32}" + "".join(f"{label:>14}" for label in METHODS.values())
        for variable in part["variable"].unique():
            values = part[part["variable"] == variable].set_index("step")
            yield f"{variable:32}" + "".join(f"{last_below(values[method]):>14}" for method in METHODS)
        whole = part[part["variable"] == ALL].set_index("step")
        for step in (each for each in SHOWN_STEPS if each in whole.index):
            numbers = (f"{whole.loc[step, method]:14.3g}".replace("nan", "  -") for method in METHODS)
            yield f"{f'MSE of all at step {step}':32}" + "".join(numbers)
        yield ""


def draw(table: pd.DataFrame) -> Figure:
    """MSE against step, a panel for each record and standardisation, with the line at 1 and the step 50."""
    panels = [panel for panel in PANELS if panel[0] in set(table["data"])]
    figure = Figure(figsize=(11, 2.9 * len(panels)), layout="constrained")
    grid = figure.subplots(len(panels), len(BY), squeeze=False, sharey=True)
    for axes, (name, variable) in zip(grid, panels, strict=True):
        for axis, (by, title) in zip(axes, BY.items(), strict=True):
            part = table[(table["data"] == name) & (table["by"] == by) & (table["variable"] == variable)]
            for method, label in METHODS.items():
                axis.loglog(part["step"], part[method], label=label, **LINES[method])
            axis.axhline(1, color="black", linewidth=1)
            axis.axvline(50, color="grey", linewidth=0.8, linestyle=":")
            axis.set(xlim=(1, 500 if name == "planet" else 60), ylim=(0.02, 20))
            described = "all variables" if variable == ALL else variable
            axis.set_title(f"{DATA[name]}, {described}\n{title}", fontsize=9)
            axis.set_xlabel("step of six hours")
            for ticks in (axis.xaxis, axis.yaxis):
                ticks.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes[0].set_ylabel("mean squared error")
    grid[0, 0].legend(loc="upper left")
    return figure


def main() -> None:
    """Run one setting, or none, and print and draw the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="?", choices=DATA)
    parser.add_argument("--by", choices=BY, help="standardisation; by default both")
    parser.add_argument("--path", help="file of the winter: six-hourly fields on (time, latitude, longitude)")
    parser.add_argument(
        "--baselines", action="store_true", help="only persistence and climatology: no training"
    )
    parser.add_argument("--print-only", action="store_true", help="run and write nothing: print the table")
    parser.add_argument(
        "--write-only", action="store_true", help="run nothing: draw the picture from the record"
    )
    arguments = parser.parse_args()
    from_record = arguments.print_only or arguments.write_only
    if arguments.data is None and not from_record:
        parser.error("name planet or winter, or give --print-only or --write-only")
    if arguments.data == "winter" and not arguments.path:
        parser.error("winter needs --path FILE")
    if not from_record:
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
        setting = planet() if arguments.data == "planet" else winter(arguments.path)
        for by in [arguments.by] if arguments.by else BY:
            data = standardised(setting, by)
            methods = {
                "persistence": persistence(states_at(data.fields, setting.starts)),
                "climatology": climatology(data, setting.starts),
            }
            if not arguments.baselines:
                methods |= forecasts(data, setting, **CHANGED[arguments.data])
            names = list(time_varying(data.fields))
            area = cell_areas(data.fields["latitude"], data.fields["longitude"])

            def truth(step: int, fields: xr.Dataset = data.fields) -> States:
                return states_at(fields, setting.starts + step)

            record(arguments.data, by, errors(methods, truth, setting.steps, names, area))
    table = pd.read_csv(RECORD)
    sys.stdout.write("\n".join(printed(table)))
    if not arguments.print_only:
        write_picture(PICTURE, draw(table), RECORD)


if __name__ == "__main__":
    main()
