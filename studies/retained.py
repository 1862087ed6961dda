"""The cost of keeping a part of the training states: `python -m studies.retained FIELDS [--kept 1 0.5 0.28 0.14]`.

FIELDS is the Zarr store of a finished ingestion, such as data/03_primary/fields.zarr. Optimal interpolation is fitted
and tuned with all training states and with parts of them, selected as in `models.gaussian.training_series`, and
reconstructs test times from 5 % random observations with noise 0.1. Prints fair CRPS and RMSE at the unobserved cells,
relative to all states in single precision, the spread-skill ratio, and the size of the checkpoint.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
import xarray as xr

import fieldcast
from fieldcast.fields.splits import make, select
from fieldcast.models.gaussian import training_series

EXPERIMENT, OBSERVED, NOISE, SCORED, MEMBERS, SEED = "reconstruct.optimal_interpolation", 0.05, 0.1, 48, 19, 0


def scores(fields: xr.Dataset, kept: int, exact: bool = False) -> dict[str, float]:
    """Scores, means over the variables of ratios to the standard deviation, and the size of the file in MB."""
    splits = make(fields["time"])
    training, test = (select(fields, splits, part) for part in ("train", "test"))
    with (
        patch.object(training_series, "MAX_STATES", kept),
        patch.object(training_series, "rounded", (lambda x: x) if exact else training_series.rounded),
    ):
        model = fieldcast.fit(fields, EXPERIMENT, seed=SEED, device="cpu")
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        model.save(file.name)
        size = Path(file.name).stat().st_size / 1e6
    truth = test.isel(time=slice(None, None, test.sizes["time"] // SCORED))
    names = [name for name in truth.data_vars if "time" in truth[name].dims]
    rng = np.random.default_rng(SEED)
    observed, scale = truth.copy(), {}
    for name in names:
        x = truth[name]
        scale[name] = float((x - x.mean("time")).std())
        noisy = x + NOISE * scale[name] * rng.standard_normal(x.shape).astype(np.float32)
        observed[name] = noisy.where(rng.random(x.shape) < OBSERVED).assign_attrs(x.attrs)
    draws = model.fill(observed, MEMBERS, NOISE, SEED)[names]
    table = fieldcast.score(
        truth[names], draws, task="reconstruct", observed=observed[names], training=training[names]
    )
    table = table[(table["cells"] == "unobserved") & table["variable"].isin(names)]
    means = {
        score: float(np.mean([value / scale[name] for name, value in rows[["variable", "value"]].to_numpy()]))
        for score, rows in table[table["score"].isin(["crps", "rmse"])].groupby("score")
    }
    return means | {"ssr": table[table["score"] == "ssr"]["value"].mean(), "megabytes": size}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("fields")
    parser.add_argument("--kept", nargs="+", type=float, default=[1, 0.5, 0.28, 0.14])
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    fields = xr.open_zarr(given.fields)
    number = select(fields, make(fields["time"]), "train").sizes["time"]
    whole = scores(fields, number, exact=True)
    print("training states  precision   CRPS / all   RMSE / all   spread-skill    MB")
    for share, exact in [(1.0, True), *((share, False) for share in given.kept)]:
        row = whole if exact else scores(fields, round(share * number))
        print(
            f"{round(share * number):15d}  {'single' if exact else 'half':9}  {row['crps'] / whole['crps']:11.4f}"
            f"  {row['rmse'] / whole['rmse']:11.4f}  {row['ssr']:13.3f}  {'' if exact else round(row['megabytes']):>4}",
            flush=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()
