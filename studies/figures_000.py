"""Pictures of report 000, for docs/reports/000.md, drawn from the numbers in docs/reports/data/000.

`python -m studies.figures_000` draws the pictures from the stored numbers alone. `--store FOLDER ...` first puts the
numbers of finished runs there, which the data roots FOLDER hold, in place of those of the same experiments. The runs
are those of the environment `base`: the experiments of `RECONSTRUCTIONS`, `STEPS` and `ERRORS`, as in

    kedro run --env base --pipelines reconstruct.denoising_vae,forecast.vae,forecast.persistence

of which the long rollouts of `FORMS` are drawn, too.

A picture whose numbers are not stored is not drawn.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from fieldcast import calendars
from fieldcast.atomic import write_atomically
from fieldcast.experiments import experiments
from fieldcast.figures.curves import over_time
from fieldcast.figures.forecast_maps import step_maps
from fieldcast.figures.long_rollout import long_run
from fieldcast.figures.maps import CONTOUR_QUANTILES, field_colours, one_case
from fieldcast.figures.sheet import UNOBSERVED_COLOUR, Outline, Sheet, contour_lines
from fieldcast.figures.style import (
    INK,
    NORMAL_FONT,
    LineStyle,
    draw_legend,
    escape,
    looks,
    new_figure,
    percent,
    style_axes,
    wrap_name,
)
from fieldcast.figures.training import loss_curves, training_rows
from fieldcast.scores import bootstrap
from fieldcast.scores.metrics import METRICS
from fieldcast.scores.statistics_table import error_over_time
from studies.make_tables import CONF, ROOT
from studies.paired import statistics_at
from studies.stored_pictures import write_picture

DATA = ROOT / "docs" / "reports" / "data" / "000"
IMAGES = ROOT / "docs" / "reports" / "images"
RECONSTRUCTIONS = ("denoising_vae", "denoising_vae_residual", "denoising_vae_residual_rk4")
STEPS = ("vae", "vae_rk4", "vae_mean", "vae_rk4_mean", "decoder_l1", "decoder_l2", "decoder_l5")
ERRORS = ("decoder_l1", "decoder_l2", "decoder_l5", "vae", "persistence")
FORMS = ("vae", "vae_rk4", "vae_mean", "vae_rk4_mean")  # of the full VAE, in long rollouts
EVERY_STEP_TO, THEN_EACH = 100, 20  # steps of a long rollout that are stored
VARIABLE = "z500"
MAX_STEPS = 10  # steps of a forecast that are drawn
LEVELS = 250  # numbers of values of a stored map; a picture has 256 colours
DAY = 24.0  # hours


def main() -> int:
    """Store numbers if asked to, and draw the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, nargs="*", default=[], metavar="FOLDER", help="data roots")
    for folder in parser.parse_args().store:
        store(folder)
    for file in draw():
        sys.stdout.write(f"{file.relative_to(ROOT)}: {file.stat().st_size / 1000:.0f} kB\n")
    return 0


def store(data_root: Path, data: Path = DATA) -> None:
    """Store the numbers behind the pictures that a data root holds.

    `errors.csv`: RMSE over time of reconstructions by k; `losses.csv`: rows of their training; `reconstructions.nc`:
    truth, observations and means; `steps.nc`: the first steps of forecasts; `lead_errors.csv`: their RMSE by lead;
    `stability.csv`: error, mean, deviation and power of the long rollouts by step.
    """
    data.mkdir(parents=True, exist_ok=True)
    results = {
        task: {
            name: folder
            for name in names
            if (folder := data_root / "08_reporting" / task / name).joinpath("scores.parquet").exists()
        }
        for task, names in (("reconstruct", RECONSTRUCTIONS), ("forecast", dict.fromkeys((*STEPS, *ERRORS))))
    }
    merge(data / "errors.csv", (errors(name, folder) for name, folder in results["reconstruct"].items()))
    merge(data / "losses.csv", losses(data_root, results["reconstruct"]))
    merge(
        data / "lead_errors.csv",
        (lead_errors(name, folder) for name, folder in results["forecast"].items() if name in ERRORS),
    )
    rollouts = {
        name: table
        for name in FORMS
        if (table := data_root / "07_model_output" / "forecast" / name / "stability.csv").exists()
    }
    merge(data / "stability.csv", (long_rollout(name, table) for name, table in rollouts.items()))
    maps = {
        "reconstructions.nc": [reconstruction(n, folder) for n, folder in results["reconstruct"].items()],
        "steps.nc": [
            field for n, folder in results["forecast"].items() if n in STEPS for field in steps(n, folder)
        ],
    }
    for file, fields in maps.items():
        if fields:
            merge_maps(data / file, fields, data_root)


def merge(file: Path, parts: Iterable[pd.DataFrame]) -> None:
    """Put tables into a CSV file in place of the lines of the same experiments."""
    tables = list(parts)
    if not tables:
        return
    new = pd.concat(tables)
    if file.exists():
        before = pd.read_csv(file)
        new = pd.concat([before[~before["experiment"].isin(new["experiment"].unique())], new])
    write_atomically(file, new.to_csv(index=False, float_format="%.4g"))


def merge_maps(file: Path, fields: Sequence[xr.DataArray], data_root: Path) -> None:
    """Put maps into a NetCDF file in place of those of the same experiments, with the ground of the planet.

    A map is stored as 16-bit integers, of which `LEVELS` span the range of the file.
    """
    stored = {}
    if file.exists():
        with xr.open_dataset(file) as opened:
            stored = {str(name): values.load() for name, values in opened.data_vars.items()}
    stored |= {str(field.name): field.astype("float32") for field in fields}
    if (ground := ground_of(data_root)) is not None:
        stored["ground"] = ground
    dataset = xr.Dataset(stored)
    encoding = {}
    for name, values in dataset.data_vars.items():
        low, high = float(values.min()), float(values.max())
        encoding[name] = {
            "dtype": "int16", "scale_factor": (high - low) / LEVELS or 1.0, "add_offset": low,
            "_FillValue": -1, "zlib": True, "complevel": 9, "shuffle": True,
        }  # fmt: skip
    part = file.with_suffix(".part")
    dataset.to_netcdf(part, encoding=encoding)
    part.replace(file)


def ground_of(data_root: Path) -> xr.DataArray | None:
    """The height of the ground, whose contour is drawn on maps."""
    fields = xr.open_zarr(data_root / "03_primary" / "fields.zarr")
    ground = (v for v in fields.data_vars.values() if v.attrs.get("standard_name") == "surface_altitude")
    height = next(ground, None)
    return None if height is None else height.load().astype("float32")


def errors(experiment: str, folder: Path) -> pd.DataFrame:
    """RMSE at unobserved cells [anomaly standard deviations] at each time, for each k of random masks."""
    frame = error_over_time(pd.read_parquet(folder / "scores.parquet"), pattern="random")
    return frame.reset_index().melt("time", value_name="rmse").assign(experiment=experiment)


def losses(data_root: Path, names: Iterable[str]) -> Iterator[pd.DataFrame]:
    """Rows of the training of each experiment that has one."""
    for name in names:
        file = data_root / "06_models" / "reconstruct" / name / "history.csv"
        if file.exists():
            yield training_rows(pd.read_csv(file)).assign(experiment=name)


def lead_errors(experiment: str, folder: Path) -> pd.DataFrame:
    """RMSE [anomaly standard deviations] at each lead with its 95 % interval, from a block bootstrap of starts."""
    table, rows, metric = pd.read_parquet(folder / "scores.parquet"), [], METRICS["rmse"]
    for lead in sorted(table["lead_hours"].unique()):
        statistics = statistics_at(table, {"lead_hours": float(lead)})
        times = statistics.columns.to_numpy().astype("datetime64[s]")
        weights = bootstrap.mean_and_resamples(len(times), bootstrap.block_length(times))
        values = metric.function(*(weights @ statistics.loc[s].to_numpy() for s in metric.statistics))
        (low,), (high,) = bootstrap.interval(values[1:, None])
        rows.append({"lead_hours": lead, "rmse": float(values[0]), "low": float(low), "high": float(high)})
    return pd.DataFrame(rows).assign(experiment=experiment)


def long_rollout(experiment: str, file: Path) -> pd.DataFrame:
    """Statistics of the first steps of a long rollout, and of some later ones [anomaly standard deviations]."""
    columns = ["step", "finite", "mse", "mse_climatology", "mean", "std", "spectrum_ratio"]
    table = pd.read_csv(file)[columns]
    kept = table[(table["step"] <= EVERY_STEP_TO) | (table["step"] % THEN_EACH == 0)]
    return kept.assign(experiment=experiment)


def reconstruction(experiment: str, folder: Path) -> xr.DataArray:
    """Truth, observations and mean at one time, dims (k, kind, latitude, longitude)."""
    stored = xr.open_zarr(folder / "examples.zarr").load()
    levels = [
        float(k)
        for k, pattern in zip(stored["k"].to_numpy(), stored["pattern"].to_numpy(), strict=True)
        if pattern == "random"
    ]
    kinds = ["truth", "observed", "mean"]
    cases = [
        one_case(stored, VARIABLE, "random", k, 0).sel(kind=kinds).drop_vars(["pattern", "k", "time"])
        for k in levels
    ]
    moment = calendars.iso(stored["time"].isel(time=[0]))[0][:10]
    together = xr.concat(cases, pd.Index(levels, name="k")).rename(experiment)
    return together.assign_attrs(stored[VARIABLE].attrs | {"moment": moment} | anomaly_of(stored))


def steps(experiment: str, folder: Path) -> list[xr.DataArray]:
    """The truth of the first steps, and mean and one member of a forecast, dims (kind, lead, latitude, longitude)."""
    stored = xr.open_zarr(folder / "examples.zarr").load()
    values = stored[VARIABLE].isel(lead=slice(0, MAX_STEPS + 1))
    attributes = stored[VARIABLE].attrs | {"start": str(stored.attrs["start"])} | anomaly_of(stored)
    drawn = values.sel(kind=["mean", "member_0"]).rename(experiment).assign_attrs(attributes)
    return [values.sel(kind="truth", drop=True).rename("truth").assign_attrs(attributes), drawn]


def anomaly_of(stored: xr.Dataset) -> dict[str, int]:
    """The attribute of examples that are anomalies."""
    return {"anomaly": 1} if "anomaly" in stored.attrs else {}


def draw(data: Path = DATA, images: Path = IMAGES) -> list[Path]:
    """Draw the pictures from the stored numbers; return their files."""
    images.mkdir(parents=True, exist_ok=True)
    return [write_picture(images / f"{name}.png", figure, file) for name, figure, file in figures(data)]


def figures(data: Path) -> Iterator[tuple[str, Figure, Path]]:
    """Name, figure and file of numbers of each picture of which the numbers are stored."""
    reconstruct, forecast = labels("reconstruct"), labels("forecast")
    if (file := data / "errors.csv").exists():
        table = pd.read_csv(file)
        frames = {
            reconstruct[name]: part.pivot(index="time", columns="k", values="rmse")
            for name, part in by_experiment(table, RECONSTRUCTIONS)
        }
        yield "error_over_time", over_time(frames), file
    if (file := data / "losses.csv").exists():
        parts = by_experiment(pd.read_csv(file), RECONSTRUCTIONS)
        figure = loss_curves(
            {reconstruct[name]: part.drop(columns="experiment") for name, part in parts},
            looks_of("reconstruct"),
        )
        upper, other = figure.axes[:2]
        other.sharey(upper)
        upper.autoscale(axis="y")
        yield "losses", figure, file
    if (file := data / "reconstructions.nc").exists():
        yield "reconstructions", reconstruction_columns(xr.load_dataset(file)), file
    if (file := data / "steps.nc").exists():
        stored = xr.load_dataset(file)
        for name in STEPS:
            if name in stored:
                example = example_of(stored, name)
                maps = step_maps(example, VARIABLE, forecast[name], outline=outline(stored))
                yield f"steps_{name}", maps, file
    if (file := data / "lead_errors.csv").exists():
        yield "decoder_errors", errors_by_lead(pd.read_csv(file)), file
    if (file := data / "stability.csv").exists():
        tables = {forecast[name]: part for name, part in by_experiment(pd.read_csv(file), FORMS)}
        yield "stability", long_run(tables, looks_of("forecast")), file


def example_of(stored: xr.Dataset, name: str) -> xr.Dataset:
    """Truth, mean and one member of a forecast, as an evaluation stores them, without the second member.

    Raises ValueError if it starts at another time than the truth, that of the runs which were stored last.
    """
    if stored[name].attrs["start"] != stored["truth"].attrs["start"]:
        raise ValueError(f"{name} starts at {stored[name].attrs['start']}: store all runs of one setting.")
    kinds = xr.concat([stored["truth"].expand_dims(kind=["truth"]), stored[name]], "kind")
    kinds = kinds.reindex(kind=["truth", "mean", "member_0", "member_1"]).assign_attrs(stored[name].attrs)
    return xr.Dataset({VARIABLE: kinds}, attrs=stored[name].attrs)


def by_experiment(table: pd.DataFrame, names: Iterable[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """The lines of each experiment that has some."""
    for name in names:
        part = table[table["experiment"] == name]
        if len(part):
            yield name, part


def labels(task: str) -> dict[str, str]:
    """The label of each experiment of a task."""
    return {each.name: each.about.label for each in experiments(CONF).values() if each.task == task}


def looks_of(task: str) -> dict[str, LineStyle]:
    """The colours of the pages of runs, by label."""
    by_name = looks({each.name: each.about for each in experiments(CONF).values() if each.task == task})
    return {label: by_name[name] for name, label in labels(task).items()}


def outline(stored: xr.Dataset) -> Outline:
    """The contour of the mountains, at a quarter of the highest ground."""
    if "ground" not in stored:
        return []
    ground = stored["ground"].to_numpy().astype(float)
    return contour_lines(
        stored["longitude"].to_numpy(), stored["latitude"].to_numpy(), ground, 0.25 * float(ground.max())
    )


def reconstruction_columns(stored: xr.Dataset) -> Figure:
    """Draw rows of k: truth, sparse field and the mean of each model, all in the colours of the truth."""
    names = [name for name in RECONSTRUCTIONS if name in stored]
    first = stored[names[0]]
    truth = first.sel(kind="truth").isel(k=0).to_numpy()
    anomaly = "anomaly" in first.attrs
    colours = field_colours(truth, anomaly)
    contours = np.array([]) if anomaly else np.nanquantile(truth, CONTOUR_QUANTILES)
    grid = stored["latitude"].to_numpy(), stored["longitude"].to_numpy()
    titles = ["truth", "sparse field", *(wrap_name(labels("reconstruct")[name], 24) for name in names)]
    sheet = Sheet(*grid, len(titles), first.sizes["k"], left=0.12, top=0.32, outline=outline(stored))
    for row, k in enumerate(first["k"].to_numpy()):
        case = stored[names].sel(k=k)
        maps = [case[names[0]].sel(kind=kind) for kind in ("truth", "observed")]
        maps += [case[name].sel(kind="mean") for name in names]
        for column, values in enumerate(value.to_numpy() for value in maps):
            position = (column, row)
            sheet.draw(position, values, colours, UNOBSERVED_COLOUR if column == 1 else "white")
            if column != 1:
                sheet.contours(position, values, contours)
            if row == 0:
                sheet.title(position, titles[column])
        sheet.side((0, row), f"{percent(float(k))} observed")
    unit = escape(first.attrs.get("units", ""))
    heading = f"{VARIABLE}{', anomaly' if anomaly else ''}, {unit}, {first.attrs['moment']}; random masks"
    sheet.axes.text(-0.1 - sheet.beside, 0.3, heading, ha="left", va="top", fontsize=NORMAL_FONT, color=INK)
    sheet.bar(len(titles) - 1 + 0.055 * (len(titles) - 1), 0.22, colours, "")
    return sheet.figure


def errors_by_lead(table: pd.DataFrame) -> Figure:
    """Draw the RMSE against the step of one day for each experiment, with its 95 % interval."""
    figure = new_figure(3.6, width=7.5)
    axes = figure.subplots()
    names, appearance = labels("forecast"), looks_of("forecast")
    for name, part in by_experiment(table, ERRORS):
        look, step = appearance[names[name]], part["lead_hours"] / DAY
        axes.plot(
            step, part["rmse"], color=look.colour, linestyle=look.dash, linewidth=1.4, label=names[name]
        )
        axes.fill_between(step, part["low"], part["high"], color=look.colour, alpha=0.15, linewidth=0)
    axes.axhline(1.0, color=INK, linestyle=":", linewidth=1.0, label="climatology")
    axes.set_ylim(bottom=0)
    style_axes(axes, "Error of the ensemble mean", "step, days", "RMSE, anomaly standard deviations")
    draw_legend(figure, axes)
    return figure


if __name__ == "__main__":
    sys.exit(main())
