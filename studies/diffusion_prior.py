"""The prior that a guided diffusion has learned: `python -m studies.diffusion_prior DATA_ROOT [EXPERIMENT [COUNT]]`.

DATA_ROOT is that of a run in which reconstruct.guided_diffusion, or another experiment of its kind, has been trained.
Draws without observations, on days of the test split, are compared with the test states, as standardised anomalies:
by a classifier two-sample test on the features of `inference/samples/features.py` (0.5: it cannot tell them apart),
with training states in place of draws as the floor; and by the zonal power spectrum, as ratios to that of the test
states. Reconstructions from a prior that the classifier recognises in 80 % of cases or more say little about the
sampler.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from fieldcast.encoding.checkpoint import unpack
from fieldcast.fields.splits import select
from fieldcast.inference.samples.features import FieldFeatures
from fieldcast.models.core import Context
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import evenly
from fieldcast.scores.distances import two_sample
from fieldcast.scores.sample import block_numbers
from fieldcast.scores.spectra import Latitudes
from studies import finished

TRAINING = 2000
BLOCK_DAYS = 10.0  # days of weather in a block of the test
WAVELENGTHS = 10000, 5000, 3000, 2000, 1500, 1200  # km


def compare(root: Path, experiment: str, count: int) -> None:
    path = root / "06_models" / experiment.replace(".", "/") / "checkpoint.safetensors"
    trained = unpack(path.read_bytes())
    model, codec = trained.model, trained.field_codec
    fields = xr.open_zarr(root / "03_primary" / "fields.zarr")
    splits = {name: trained.header["splits"][name] for name in ("train", "test")}
    training, test = (
        (split := select(fields, splits, name)).isel(time=evenly(split.sizes["time"], states).numpy())
        for name, states in (("train", TRAINING), ("test", count))
    )
    real, earlier = (codec.encode(split.load()) for split in (test, training))
    streams = RandomStreams(0, torch.arange(len(real)), 1)
    drawn = model.sample(Context(len(real), day=codec.days(test["time"])), streams)[:, 0]
    area, wraps = model.space.area.numpy(), model.space.wraps
    features = FieldFeatures.fit(earlier.numpy(), area, wraps)
    blocks, truth = block_numbers(test["time"], BLOCK_DAYS), features(real.numpy())
    floor = earlier[evenly(len(earlier), len(real))]
    for name, states in (("diffusion", drawn), ("training states", floor)):
        test_result = two_sample(features(states.numpy()), truth, blocks=blocks)
        print(f"C2ST, {name:16} {test_result.accuracy:.2f} ({test_result.low:.2f} to {test_result.high:.2f})")
    grid = fields.assign_attrs(wraps=wraps)
    latitudes = Latitudes.of(grid, np.ones(fields.sizes["latitude"], dtype=bool))
    power = latitudes.spectrum(drawn.numpy()) / latitudes.spectrum(real.numpy())
    print("km    " + "".join(f"{length:8d}" for length in WAVELENGTHS))
    nearest = [int(np.abs(latitudes.wavelengths[1:] - length).argmin()) + 1 for length in WAVELENGTHS]
    print("power " + "".join(f"{power[place]:8.2f}" for place in nearest))
    print(f"variance {float(drawn.var() / real.var()):.2f}")


def main() -> None:
    """Read the arguments, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=finished, metavar="DATA_ROOT")
    parser.add_argument("experiment", nargs="?", default="reconstruct.guided_diffusion")
    parser.add_argument("count", nargs="?", type=int, default=240, metavar="COUNT")
    compare(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
