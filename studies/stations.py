"""Stations of the simulated planet, whose truth is known: `python -m studies.stations DATA_ROOT`, after `make run`.

Writes DATA_ROOT/stations.csv: 300 places drawn evenly over the sphere, on 30 days of the test split, which read the
bilinear interpolation of each variable with an error of half its anomaly standard deviation that the table does not
state. Then fills the fields with every trained experiment of `reconstruct` that accepts stations, and prints the error
of the mean field against the truth beside what the readings alone can tell: the scores at held-out stations.
`python -m studies.stations DATA_ROOT many` prints the time and the peak memory of 100 000 observations.
`python -m studies.stations DATA_ROOT alone` needs no experiment: it makes fields from 109 500 readings of the same
places, on 365 successive days, and from nothing else.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

import fieldcast
from fieldcast.fields.conventions import EXTRAPOLATED
from fieldcast.fields.gauges import Gauges
from fieldcast.fields.splits import select
from fieldcast.geometry import GRID, area_mean, cell_areas, unit_points
from fieldcast.inference.stations.gridding import grid_and_score
from fieldcast.inference.stations.held_out import degrees_of_columns as in_degrees
from fieldcast.inference.stations.held_out import interpolate, scores_at_held_out
from fieldcast.inference.trained_model import TrainedModel
from fieldcast.scores.held_out import as_text
from studies import finished

STATIONS, DAYS, ERROR, SEED = 300, 30, 0.5, 0
OBSERVATIONS, SHORT_DAYS, YEAR_DAYS = 100_000, 10, 365


def readings(truth: xr.Dataset, deviation: dict[str, float], places: int, seed: int) -> pd.DataFrame:
    """Readings of stations: one row for each variable, place and time."""
    rng = np.random.default_rng(seed)
    latitude = np.degrees(np.arcsin(rng.uniform(-0.99, 0.99, places)))
    longitude = rng.uniform(0, float(truth["longitude"][-1]), places)
    at = {"latitude": ("station", latitude), "longitude": ("station", longitude)}
    tables = []
    for variable, scale in deviation.items():
        exact = truth[variable].interp(at)
        read = exact + ERROR * scale * rng.normal(size=exact.shape)
        read = (
            read.clip(min=0) if float(truth[variable].min()) >= 0 else read
        )  # no instrument reads a negative speed
        table = read.rename("value").drop_attrs().to_dataframe().reset_index()
        tables.append(table.assign(variable=variable, units=truth[variable].attrs["units"]))
    return pd.concat(tables).dropna()


def test_split(root: Path) -> xr.Dataset:
    """Fields of the test split."""
    fields = xr.open_zarr(root / "03_primary" / "fields.zarr")
    splits = json.loads((root / "03_primary" / "splits.json").read_text(encoding="utf-8"))
    return select(fields, splits, "test")


def score(root: Path) -> None:
    """Print scores at held-out stations, and errors against the truth."""
    test = test_split(root)
    files = sorted((root / "06_models" / "reconstruct").glob("*/checkpoint.safetensors"))
    models = {f"reconstruct.{file.parent.name}": fieldcast.load(file, "cpu") for file in files}
    models = {name: model for name, model in models.items() if model.checkpoint.model.accepts_points}
    codec = next(iter(models.values())).checkpoint.field_codec
    deviation = dict(zip(codec.variables, map(float, codec.deviation), strict=True))
    some = test.isel(time=np.linspace(0, test.sizes["time"] - 1, DAYS).astype(int)).load()
    table = readings(some, deviation, STATIONS, SEED)
    table.to_csv(root / "stations.csv", index=False)
    sys.stdout.write(
        f"{len(table)} observations of {STATIONS} stations on {DAYS} days: {root / 'stations.csv'}\n\n"
    )
    scores, _ = scores_at_held_out(models, table, 19, SEED)
    sys.stdout.write(as_text(scores, "readings at held-out stations") + "\n\n")
    sys.stdout.write(
        f"{'RMSE of the mean field against the truth':42}" + "".join(f"{v:>10}" for v in deviation) + "\n"
    )
    for name, model in models.items():
        errors = against_truth(model, table, some)
        sys.stdout.write(f"{name:42}" + "".join(f"{errors[v]:10.3g}" for v in deviation) + "\n")


def against_truth(model: TrainedModel, table: pd.DataFrame, truth: xr.Dataset) -> dict[str, float]:
    filled = model.fill(stations=table, members=19)
    area = cell_areas(truth["latitude"], truth["longitude"])
    return {
        str(v): float(np.sqrt(area_mean((filled[f"{v}_mean"].values - truth[v].values) ** 2, area).mean()))
        for v in model.checkpoint.field_codec.variables
    }


def time_many(root: Path) -> None:
    """Print time and peak memory of 100 000 observations of ten days."""
    model = fieldcast.load(
        root / "06_models" / "reconstruct" / "optimal_interpolation" / "checkpoint.safetensors", "cpu"
    )
    variable, scale = (
        model.checkpoint.field_codec.variables[0],
        float(model.checkpoint.field_codec.deviation[0]),
    )
    few = test_split(root).isel(time=slice(0, SHORT_DAYS)).load()
    table = readings(few, {variable: scale}, OBSERVATIONS // SHORT_DAYS, SEED + 1)
    begin = time.perf_counter()
    model.fill(stations=table, members=19)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    sys.stdout.write(
        f"{len(table)} observations of {variable} on {SHORT_DAYS} days, {few[variable][0].size} cells, 19 members: "
        f"{time.perf_counter() - begin:.0f} s; peak memory of the process {peak:.1f} GB\n"
    )


def score_alone(root: Path) -> None:
    """Print scores of fields from stations alone, and errors and spread against the truth."""
    year = test_split(root)[["z500"]].isel(time=slice(0, YEAR_DAYS)).load()
    normalisation = xr.open_zarr(root / "03_primary" / "normalisation.zarr")
    scale = float(normalisation["anomaly_std"].sel(variable="z500"))
    table = readings(year, {"z500": scale}, STATIONS, SEED)
    begin = time.perf_counter()
    result = grid_and_score(table, None, year, None, SEED, "cpu", "the table of stations", "none")
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    sys.stdout.write(f"{result.text}\n\n")
    area = cell_areas(year["latitude"], year["longitude"])
    truth = year["z500"].transpose("time", *GRID).values

    def rmse(error: np.ndarray) -> float:
        return float(np.sqrt(area_mean(error**2, area).mean()))

    error, spread = result.fields["z500"].values - truth, result.fields["z500_spread"].values
    sys.stdout.write(f"RMSE against the truth [m]\n{'kriging':24}{rmse(error):8.3g}\n")
    record, readings_of = Gauges.read(table, None, "the table").of("z500")
    points = unit_points(year["latitude"], year["longitude"]).reshape(-1, 3)
    at = np.stack(np.meshgrid(year["longitude"], year["latitude"]), -1).reshape(-1, 2)
    of_stations = in_degrees(readings_of, record.x.shape[1])
    for name, x in zip(("nearest", "linear"), interpolate(record, of_stations, points, at), strict=True):
        sys.stdout.write(f"{name:24}{rmse(x.reshape(truth.shape) - truth):8.3g}\n")
    of_reading = np.sqrt(rmse(error) ** 2 + (ERROR * scale) ** 2)
    sys.stdout.write(
        f"spread / error of a reading: {rmse(spread) / of_reading:.3g}; extrapolated: "
        f"{float((result.fields['z500_flag'] == EXTRAPOLATED).mean()):.1%}\n"
        f"{len(table)} readings, {truth.size} values: {seconds:.0f} s; peak memory of the process {peak:.1f} GB\n"
    )


def main() -> None:
    """Read the arguments, and print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", nargs="?", type=finished, default="data", metavar="DATA_ROOT")
    parser.add_argument(
        "part", nargs="?", choices=["many", "alone"], help="by default the scores of experiments"
    )
    arguments = parser.parse_args()
    {"many": time_many, "alone": score_alone}.get(arguments.part, score)(arguments.root)


if __name__ == "__main__":
    main()
