"""Commands on a user's file: `fill`, `fill-gaps`, `grid-stations`, `predict` and `cycle`, each a pipeline."""

import os
from collections.abc import Mapping
from typing import Any

import click
from kedro.framework.session import KedroSession

from fieldcast.frame.commands.interruption import interruptible
from fieldcast.frame.commands.parameter_options import SectionCommand


@click.command(cls=SectionCommand, section="fill")
@click.argument("file", required=False)
@click.option(
    "--stations",
    help="CSV or Parquet: time, lat, lon, variable, value; in addition to FILE, or in its place.",
)
@click.option("--experiment", help="Address of a trained experiment, such as reconstruct.linear.")
@click.option("--output", help="NetCDF file to write; by default 07_model_output/fill.nc in the data root.")
@click.option("--members", type=int, help="Number of ensemble members.")
@click.option("--noise", type=float, help="Error of an observation, in anomaly standard deviations.")
@click.option(
    "--representativeness",
    type=float,
    help="Error of representativeness of stations, in addition to that of their instruments, in the variable's units; "
    "estimated by default.",
)
def fill(file: str | None, **options: Any) -> None:
    """Fill the gaps in FILE with a trained model.

    FILE is NetCDF or Zarr. This command is equivalent to `kedro run --pipelines fill`.
    """
    on_file("fill", {"observations": file} if file else {}, **options)


@click.command(cls=SectionCommand, section="fill", env="gaps")
@click.argument("file")
@click.option("--output", help="NetCDF file to write; by default 07_model_output/gaps.nc in the data root.")
@click.option("--members", type=click.IntRange(0), help="Number of ensemble members to write.")
@click.option(
    "--max-gap", type=click.IntRange(1), help="Longest gap of a cell that is filled, in time steps."
)
@click.option("--max-spread", type=float, help="Largest spread of a filled value, in the variable's units.")
def fill_gaps(file: str, env: str | None, params: Mapping[str, Any], **options: Any) -> None:
    """Fill the gaps of FILE from its own values.

    FILE is NetCDF or Zarr. This command is equivalent to `kedro run --env gaps --pipelines gaps`.
    """
    ingestion = {**params.get("ingestion", {}), "path": local(file)}
    on_file("gaps", {}, env=env or "gaps", params={**params, "ingestion": ingestion}, key="fill", **options)


@click.command(cls=SectionCommand, section="gridding")
@click.argument("stations")
@click.option(
    "--resolution", type=float, help="Degrees between the cells of a grid that covers the stations."
)
@click.option(
    "--like", help="NetCDF or Zarr, whose latitudes and longitudes are used in place of a resolution."
)
@click.option(
    "--step",
    type=float,
    help="Hours between fields; by default the most frequent interval between readings of a station.",
)
@click.option(
    "--output", help="NetCDF file to write; by default 07_model_output/gridding.nc in the data root."
)
def grid_stations(stations: str, like: str | None, **options: Any) -> None:
    """Make fields from STATIONS alone.

    STATIONS is a table, CSV or Parquet. This command is equivalent to `kedro run --pipelines gridding`.
    """
    files = {"stations": local(stations), **({"like": local(like)} if like else {})}
    on_file("gridding", files, **options)


@click.command(cls=SectionCommand, section="predict")
@click.argument("file")
@click.option("--experiment", help="Address of a trained experiment, such as forecast.crps_ensemble.")
@click.option(
    "--output", help="NetCDF file to write; by default 07_model_output/predict.nc in the data root."
)
@click.option("--steps", type=int, help="Length of the forecast, in time steps of the data.")
@click.option("--members", type=int, help="Number of ensemble members.")
def predict(file: str, **options: Any) -> None:
    """Forecast from the last states of FILE.

    FILE is NetCDF or Zarr. This command is equivalent to `kedro run --pipelines predict`.
    """
    on_file("predict", {"states": file}, **options)


@click.command(cls=SectionCommand, section="cycle")
@click.argument("file")
@click.option("--forecaster", help="Address of a trained experiment, such as forecast.crps_ensemble.")
@click.option("--updater", help="Address of a trained experiment, such as reconstruct.optimal_interpolation.")
@click.option("--output", help="NetCDF file to write; by default 07_model_output/cycle.nc in the data root.")
@click.option("--members", type=int, help="Size of the ensemble.")
@click.option("--noise", type=float, help="Error of an observation, in anomaly standard deviations.")
@click.option("--withheld", type=float, help="Share of the observations that is held out for verification.")
def cycle(file: str, **options: Any) -> None:
    """Analyse FILE step by step: forecast, then update.

    FILE is NetCDF or Zarr. This command is equivalent to `kedro run --pipelines cycle`.
    """
    on_file("cycle", {"observations": file}, **options)


@interruptible
def on_file(
    pipeline: str,
    source: Mapping[str, str],
    env: str | None,
    conf_source: str | None,
    params: Mapping[str, Any],
    output: str | None,
    key: str | None = None,
    **options: Any,
) -> None:
    """Run a pipeline that reads a user's file; options are parameters of the section `key`, by default of its name."""
    options |= {"output": local(output)} if output else {}
    options = {key: value for key, value in options.items() if value is not None}
    key = key or pipeline
    runtime_params = {**params, key: {**params.get(key, {}), **source, **options}}
    session = KedroSession.create(env=env, conf_source=conf_source, runtime_params=runtime_params)
    with session:
        session.run(pipeline_names=[pipeline])


def local(path: str) -> str:
    """A path that Kedro takes from the working folder, and not from the project's."""
    return path if "://" in path else os.path.abspath(path)
