"""Optimal interpolation patch by patch beside one matrix: `python -m benchmarks.local_gain FILE [--share 0.25 0.5]`.

FILE is a complete record (NetCDF or Zarr), of which the first variables count, by default one. Optimal interpolation is
fitted and tuned as usual, and reconstructs test times from a share of the values, scattered and in swaths, with noise
0.1: with all observations in one matrix, and with those near each patch. Prints seconds, RMSE and fair CRPS of the
patches relative to one matrix, and both spread-skill ratios, means over the variables.
"""

from __future__ import annotations

import argparse
import logging
import time
from itertools import product
from unittest.mock import patch

import numpy as np
import torch
import xarray as xr

import fieldcast
from fieldcast.fields.ingest import ingest
from fieldcast.fields.splits import make, select
from fieldcast.models.gaussian import block_gaussian
from fieldcast.models.masks import PATTERN_FUNCTIONS
from fieldcast.models.random_streams import RandomStreams

EXPERIMENT, NOISE, SCORED, MEMBERS, SEED = "reconstruct.optimal_interpolation", 0.1, 16, 19, 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file")
    parser.add_argument("--share", nargs="+", type=float, default=[0.25, 0.5])
    parser.add_argument("--variables", type=int, default=1)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    opened = xr.open_zarr(given.file) if given.file.endswith(".zarr") else xr.open_dataset(given.file)
    weather = [name for name in opened.data_vars if opened[name].ndim == 3][: given.variables]
    fields = ingest(opened[weather])[0].load()
    names = list(fields.data_vars)
    splits = make(fields["time"])
    training, test = (select(fields, splits, part) for part in ("train", "test"))
    model = fieldcast.fit(fields, EXPERIMENT, seed=SEED, device="cpu")
    truth = test.isel(time=slice(None, None, test.sizes["time"] // SCORED)).isel(time=slice(SCORED))
    rng = np.random.default_rng(SEED)
    noise = truth.map(lambda x: x.copy(data=rng.standard_normal(x.shape, dtype=np.float32)))
    noisy = truth + NOISE * (training - training.mean("time")).std() * noise
    space = model.checkpoint.model.space
    print(
        "pattern  observed   seconds: one matrix, patches    RMSE    CRPS   spread-skill: one matrix, patches"
    )
    for share, pattern in product(given.share, ("random", "swaths")):
        left = torch.tensor([round(share * truth[names[0]][0].size)])
        mask = PATTERN_FUNCTIONS[pattern](RandomStreams(SEED, torch.arange(1)), space, left, 1)[0, 0]
        rank = mask.expand(space.shape).flatten().argsort().argsort().unflatten(0, space.shape)
        observed = noisy.where(xr.DataArray(rank.numpy() < int(left), dims=("latitude", "longitude")))
        for name in names:
            observed[name].attrs = truth[name].attrs
        results = []
        for most in (10**9, 0):
            with patch.object(block_gaussian, "MAX_GLOBAL_OBSERVATIONS", most):
                begin = time.perf_counter()
                draws = model.fill(observed, MEMBERS, NOISE, SEED)[names]
                spent = time.perf_counter() - begin
            table = fieldcast.score(truth, draws, task="reconstruct", observed=observed, training=training)
            kept = table["variable"].isin(names) & (table["cells"] == "unobserved")
            results.append((spent, table[kept].set_index(["variable", "score"])["value"].unstack()))
        (one, whole), (patches, local) = results
        ratio = (local / whole).mean()
        print(
            f"{pattern:8} {len(names) * int(left):8d} {one:21.1f} {patches:8.1f} {ratio['rmse']:10.3f}"
            f" {ratio['crps']:7.3f} {whole['ssr'].mean():19.2f} {local['ssr'].mean():10.2f}", flush=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()
