"""A cycle over a record of the simulated planet: `python -m studies.cycle DATA_ROOT`, after `make run`.

Writes DATA_ROOT/record.nc, the first 60 days of the test split, observed with an error of a tenth of the anomaly
standard deviation, cycles over it, and prints the scores at held-out observations, then those of the analyses against
the truth at unobserved cells. By default 5 % of the cells are observed each day, at random; with `--clouds` 30 %, those
that moving clouds leave clear. `--updater assimilate.lim_filter` and `--forecaster forecast.linear_inverse_model` name
other experiments that have been trained there.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

import fieldcast
from fieldcast.datasets import ZarrDataset
from fieldcast.fields.conventions import time_varying
from fieldcast.fields.splits import select
from fieldcast.inference.cycle.held_out import as_text
from fieldcast.inference.trained_model import TrainedModel
from fieldcast.models import masks
from fieldcast.models.random_streams import RandomStreams

DAYS, NOISE, SEED = 60, 0.1, 1
OBSERVED, CLEAR = 0.05, 0.3  # shares of observed cells, at random and between clouds
SCORES = "crps", "rmse", "ssr", "coverage90"


def test_days(root: Path) -> tuple[xr.Dataset, xr.Dataset, xr.DataArray]:
    """The first days of the test split, the training split, and the anomaly standard deviations."""
    primary = root / "03_primary"
    fields = ZarrDataset(filepath=str(primary / "fields.zarr")).load()
    normalisation: Any = ZarrDataset(filepath=str(primary / "normalisation.zarr")).load()
    splits: Any = json.loads((primary / "splits.json").read_text())
    names = list(time_varying(fields))
    truth = select(fields, splits, "test").isel(time=slice(DAYS))[names].drop_vars("segment")
    return truth, select(fields, splits, "train")[names], normalisation["anomaly_std"]


def record(truth: xr.Dataset, observed: xr.DataArray, deviation: xr.DataArray) -> xr.Dataset:
    """Observations of the observed cells, NaN elsewhere."""
    rng = np.random.default_rng(SEED)
    noise = {name: NOISE * float(deviation.sel(variable=name)) for name in truth.data_vars}
    noisy = {
        name: (x + noise[name] * rng.standard_normal(x.shape, np.float32))
        .where(observed)
        .assign_attrs(x.attrs)
        for name, x in truth.data_vars.items()
    }
    return truth.assign(noisy)


def observed_cells(truth: xr.Dataset, model: TrainedModel, clouds: bool) -> xr.DataArray:
    """The cells that are observed each day, the same of all variables."""
    pattern, k = ("blocks", CLEAR) if clouds else ("random", OBSERVED)
    streams = RandomStreams(SEED, torch.arange(DAYS))
    mask = masks.draw((pattern,), (k, k), streams, model.checkpoint.model.space)[:, 0]
    return xr.zeros_like(truth[next(iter(truth.data_vars))], dtype=bool).copy(data=mask.numpy())


def main() -> None:
    """Write the record, cycle over it and print the scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--clouds", action="store_true")
    parser.add_argument("--updater", default="reconstruct.optimal_interpolation")
    parser.add_argument("--forecaster", default="forecast.corrected_inverse_model")
    options = parser.parse_args()
    updater, forecaster = (
        fieldcast.load(options.root / "06_models" / address.replace(".", "/") / "checkpoint.safetensors")
        for address in (options.updater, options.forecaster)
    )
    truth, training, deviation = test_days(options.root)
    observations = record(truth, observed_cells(truth, updater, options.clouds), deviation)
    observations.to_netcdf(options.root / "record.nc")
    analyses = fieldcast.cycle(forecaster, updater, observations, noise=NOISE)
    sys.stdout.write(as_text(analyses) + "\n\nanalyses at unobserved cells, against the truth\n")
    table = fieldcast.score(truth, analyses, task="reconstruct", observed=observations, training=training)
    of_cells = table[(table["cells"] == "unobserved") & table["score"].isin(SCORES)]
    scores = of_cells.pivot_table(index="variable", columns="score", values="value")[list(SCORES)]
    sys.stdout.write(scores.to_string(float_format="{:.4g}".format) + "\n")


if __name__ == "__main__":
    main()
