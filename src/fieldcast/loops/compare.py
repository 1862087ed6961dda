"""Samples beside real states of the same kind: what their evaluation needs of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float

from fieldcast.fields import grid
from fieldcast.fields.splits import select
from fieldcast.loops.features import load_features
from fieldcast.loops.state_codecs import AnyDayCodec, ImageCodec
from fieldcast.loops.tasks import evenly
from fieldcast.models import pixels
from fieldcast.models.draws import Draws
from fieldcast.verification.sets import Sets

SETS = 8  # training states whose features are found: so many times the samples


class Compared(NamedTuple):
    """Samples, test and training states, as features and as standardised cells."""

    real: xr.Dataset  # the test split, as the model is asked to draw it
    training: xr.Dataset
    features: Sets
    states: Sets
    known: dict[str, Any]  # of the features
    noise: Float[np.ndarray, "state feature"]


def compare(
    samples: xr.Dataset, fields: xr.Dataset, normalisation: xr.Dataset, splits: Mapping[str, Any],
    extractor: bytes, seed: int,
) -> Compared:  # fmt: skip
    """Of images real states are treated as the model's training data were: binarised, if these were."""
    real, training = (
        real_states(fields, splits, name, samples.attrs["treatment"]) for name in ("test", "train")
    )
    features = load_features(extractor)
    dim = "sample" if "sample" in training.dims else "time"
    count = samples.sizes["sample"]
    some = training.isel({dim: evenly(training.sizes[dim], SETS * count).numpy()})
    return Compared(
        real,
        training,
        Sets(features(samples), features(real), features(some)),
        Sets(*(cells(one, fields, normalisation) for one in (samples, real, training))),
        features.known,
        features(noise(training, count, seed)),
    )


def real_states(fields: xr.Dataset, splits: Mapping[str, Any], name: str, treatment: str) -> xr.Dataset:
    """A split: fields as they are, images as they look after a treatment, which is always the same one."""
    part = select(fields, splits, name)
    if "sample" not in part.dims:
        return part
    codec = ImageCodec(treatment, fields.attrs["levels"])  # type: ignore[arg-type]  # of a checked option
    draws = pixels.fixed(Draws(0, torch.arange(part.sizes["sample"])))
    seen = codec.decode(codec.seen(codec.encode(part), draws))
    return part.assign(image=(part["image"].dims, seen["image"].values, part["image"].attrs))


def cells(
    states: xr.Dataset, fields: xr.Dataset, normalisation: xr.Dataset
) -> Float[np.ndarray, "state cell"]:
    """The cells that exist of some states, standardised; of images shares of white."""
    if "sample" in fields.dims:
        x = states["image"].values
        return x.reshape(len(x), -1) / np.float32(fields.attrs["levels"] - 1)
    x = AnyDayCodec.of(fields, normalisation).encode(states).numpy()
    exists = grid.exists(fields).all("variable").values
    return x[:, :, exists].reshape(len(x), -1)


def noise(training: xr.Dataset, count: int, seed: int) -> xr.Dataset:
    """States whose cells are independent, each normal with the mean and deviation of its training values."""
    rng = np.random.default_rng([seed, count])
    dim = "sample" if "sample" in training.dims else "time"
    found = {}
    for name, values in training.data_vars.items():
        if dim in values.dims:
            x = values.transpose(dim, ...).values
            cells = rng.standard_normal((count, *x.shape[1:]), dtype=np.float32)
            found[name] = (("sample", *values.dims[1:]), x.mean(axis=0) + x.std(axis=0) * cells)
    return xr.Dataset(found)
