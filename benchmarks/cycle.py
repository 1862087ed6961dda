"""A cycle over a record of the simulated planet: `python -m benchmarks.cycle DATA_ROOT [FORECAST]`, after `make run`.

Writes DATA_ROOT/record.nc, the first 60 days of the test split, of which 5 % of the cells are observed each day with an
error of a tenth of the anomaly standard deviation, cycles over it, and prints the scores at withheld observations.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import fieldcast
from fieldcast.datasets import JSONDataset, ZarrDataset
from fieldcast.fields.conventions import time_varying
from fieldcast.fields.splits import select
from fieldcast.inference.cycle_quality import as_text

DAYS, OBSERVED, NOISE, SEED = 60, 0.05, 0.1, 1
FORECAST = "corrected_inverse_model"


def record(root: Path) -> xr.Dataset:
    """Observations of the first days of the test split, NaN elsewhere."""
    primary = root / "03_primary"
    fields = ZarrDataset(filepath=str(primary / "fields.zarr")).load()
    normalisation: Any = ZarrDataset(filepath=str(primary / "normalisation.zarr")).load()
    splits: Any = JSONDataset(filepath=str(primary / "splits.json")).load()
    truth = select(fields, splits, "test").isel(time=slice(DAYS))[list(time_varying(fields))]
    rng = np.random.default_rng(SEED)
    observed = xr.zeros_like(truth[next(iter(truth.data_vars))], dtype=bool)
    observed.values = rng.uniform(size=observed.shape) < OBSERVED
    noisy = {
        name: (
            x
            + NOISE
            * float(normalisation["anomaly_std"].sel(variable=name))
            * rng.standard_normal(x.shape, np.float32)
        )
        .where(observed)
        .assign_attrs(x.attrs)
        for name, x in truth.data_vars.items()
    }
    return truth.assign(noisy).drop_vars("segment")


def main(root: Path, forecast: str = FORECAST) -> None:
    """Write the record, cycle over it and print the scores."""
    observations = record(root)
    observations.to_netcdf(root / "record.nc")
    models = root / "06_models"
    forecaster = fieldcast.load(models / "forecast" / forecast / "checkpoint.safetensors")
    updater = fieldcast.load(models / "reconstruct/optimal_interpolation/checkpoint.safetensors")
    sys.stdout.write(as_text(fieldcast.cycle(forecaster, updater, observations, noise=NOISE)) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
