"""Optimal interpolation patch by patch beside one matrix: `python -m benchmarks.local_gain FILE [--share 0.25 0.5]`.

FILE is a complete record (NetCDF or Zarr), whose first variable counts. Optimal interpolation is fitted and tuned as
usual, and reconstructs test times from a share of the values, scattered and in swaths, with noise 0.1: with all
observations in one matrix, and with those near each patch. Prints seconds, RMSE and fair CRPS of the patches relative
to one matrix, and both spread-skill ratios.
"""

from __future__ import annotations

import argparse
import logging
import time
from unittest.mock import patch

import numpy as np
import torch
import xarray as xr

import fieldcast
from fieldcast.fields.ingest import ingest
from fieldcast.fields.splits import make, select
from fieldcast.models.gaussian import local_gain
from fieldcast.models.masks import PATTERNS
from fieldcast.models.random_streams import RandomStreams

EXPERIMENT, NOISE, SCORED, MEMBERS, SEED = "reconstruct.optimal_interpolation", 0.1, 16, 19, 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file")
    parser.add_argument("--share", nargs="+", type=float, default=[0.25, 0.5])
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    opened = xr.open_zarr(given.file) if given.file.endswith(".zarr") else xr.open_dataset(given.file)
    fields = ingest(opened[[next(iter(opened.data_vars))]])[0].load()
    (name,) = fields.data_vars
    splits = make(fields["time"])
    training, test = (select(fields, splits, part) for part in ("train", "test"))
    model = fieldcast.fit(fields, EXPERIMENT, seed=SEED, device="cpu")
    truth = test.isel(time=slice(None, None, test.sizes["time"] // SCORED)).isel(time=slice(SCORED))
    scale = float((training[name] - training[name].mean("time")).std())
    rng = np.random.default_rng(SEED)
    noisy = truth[name] + NOISE * scale * rng.standard_normal(truth[name].shape).astype(np.float32)
    print(
        "pattern  observed   seconds: one matrix, patches    RMSE    CRPS   spread-skill: one matrix, patches"
    )
    for share in given.share:
        for pattern in ("random", "swaths"):
            space = model.checkpoint.model.space
            left = torch.tensor([round(share * truth[name][0].size)])
            mask = PATTERNS[pattern](RandomStreams(SEED, torch.arange(1)), space, left, 1)[:, 0].expand(
                1, *space.shape
            )
            rank = mask.flatten().argsort().argsort().unflatten(0, space.shape)
            observed = truth.assign(
                {name: noisy.where(rank.numpy() < int(left)).assign_attrs(truth[name].attrs)}
            )
            results = []
            for most in (10**9, 0):
                with patch.object(local_gain, "ALL_AT_ONCE", most):
                    begin = time.perf_counter()
                    draws = model.fill(observed, MEMBERS, NOISE, SEED)[[name]]
                    spent = time.perf_counter() - begin
                table = fieldcast.score(
                    truth, draws, task="reconstruct", observed=observed, training=training
                )
                kept = (table["variable"] == name) & (table["cells"] == "unobserved")
                results.append((spent, table[kept].set_index("score")["value"]))
            (one, whole), (patches, local) = results
            print(
                f"{pattern:8} {int(left):8d} {one:21.1f} {patches:8.1f} {local['rmse'] / whole['rmse']:10.3f}"
                f" {local['crps'] / whole['crps']:7.3f} {whole['ssr']:19.2f} {local['ssr']:10.2f}", flush=True,
            )  # fmt: skip


if __name__ == "__main__":
    main()
