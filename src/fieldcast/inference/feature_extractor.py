"""What sets of states are compared in by FID, KID and classifiers: made once for some data, with a seed of its own.

Of images with labels the last hidden layer of a classifier trained on the training split; of fields, and of images
without labels, principal components and local statistics of one half of it, so that the other half can stand for a
perfect model. Values of other features are not comparable, so the weights' hash stands beside every score.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from tqdm import tqdm

from fieldcast import geometry, lineage
from fieldcast.encoding.checkpoint import pack_bytes, tensor_digest, unpack_bytes, unpack_state
from fieldcast.encoding.selection import batch_index, evenly
from fieldcast.encoding.states import AnyDayCodec
from fieldcast.fields import calendars, domain
from fieldcast.fields.splits import along, select
from fieldcast.models.classifier import Classifier
from fieldcast.scores.field_features import FieldFeatures

SEED = 0  # of the features, whatever the seed of a run
EPOCHS, LEAST, BATCH, RATE = 4, 600, 128, 1e-3  # LEAST: steps, of few images
FITTED = 4096  # states that principal components are of
PIECE = 1024  # images at once

Rows = Float[np.ndarray, "state feature"]


@runtime_checkable
class Features(Protocol):
    """Of a data set of states, in physical units or grey values."""

    @property
    def known(self) -> dict[str, Any]:
        """extractor, features (how many), accuracy (of a classifier on the test split), weights (their hash)."""
        ...

    def __call__(self, states: xr.Dataset) -> Rows: ...

    def fitted_on(self, training: xr.Dataset) -> Bool[np.ndarray, " state"]:
        """Which states of the training split they were fitted on."""
        ...


@dataclass(frozen=True, eq=False)
class OfImages:
    """The last hidden layer of a classifier."""

    network: Classifier
    levels: int
    known: dict[str, Any]

    @torch.no_grad()
    def __call__(self, states: xr.Dataset) -> Rows:
        x = shares(states, self.levels)
        return (
            torch.cat([self.network.features(piece) for piece in x.split(PIECE)]).numpy().astype(np.float64)
        )

    def fitted_on(self, training: xr.Dataset) -> Bool[np.ndarray, " state"]:
        return np.ones(training.sizes["sample"], dtype=bool)


@dataclass(frozen=True, eq=False)
class OfFields:
    """Principal components and local statistics of standardised states."""

    features: FieldFeatures
    mean: Float[np.ndarray, " variable"]
    deviation: Float[np.ndarray, " variable"]
    known: dict[str, Any]

    def __call__(self, states: xr.Dataset) -> Rows:
        dim = along(states)
        starts = range(0, max(1, states.sizes[dim]), PIECE)
        parts = (states.isel({dim: slice(first, first + PIECE)}) for first in starts)
        return np.concatenate([self.features(standardised(x, self.mean, self.deviation)) for x in parts])

    def fitted_on(self, training: xr.Dataset) -> Bool[np.ndarray, " state"]:
        return every_other(training)


def fit_features(
    fields: xr.Dataset, normalisation: xr.Dataset, splits: Mapping[str, Any], earlier: bytes | None
) -> bytes:
    """The features of some data; `earlier` ones of the same data, labels and training states are kept."""
    labelled = "label" in fields.coords
    training = select(fields, splits, "train")
    fitted = training.sizes["sample"] if labelled else int(every_other(training).sum())
    sources = {
        "data": fields.attrs["digest"],
        "train": list(map(str, splits["train"])),
        "fitted": fitted,
        # of the test split too, on which the accuracy is measured
        "labels": lineage.digest(fields["label"].values) if labelled else "",
    }
    _, header = unpack_state(earlier, "The file of the features")
    if earlier is not None and not any(lineage.differences(header, sources)):
        return earlier
    if labelled:
        return of_images(fields, splits, sources)
    return of_fields(fields, normalisation, splits, sources)


def every_other(training: xr.Dataset) -> Bool[np.ndarray, " state"]:
    """Of fields the states of every other calendar year, from the first; of images every other one.

    Days of one season are alike, and years hardly: whole years are left for what must not have been seen. Of a single
    year all.
    """
    if along(training) == "sample":
        return np.arange(training.sizes["sample"]) % 2 == 0
    year = calendars.iso(training["time"]).astype("U4")
    return np.isin(year, np.unique(year)[::2])


def fresh(features: Features, training: xr.Dataset, least: int) -> Int[np.ndarray, " fresh"]:
    """Places of the training states that features were not fitted on; of all, where those are fewer than `least`."""
    unseen = np.flatnonzero(~features.fitted_on(training))
    return unseen if len(unseen) >= least else np.arange(training.sizes[along(training)])


def of_images(fields: xr.Dataset, splits: Mapping[str, Any], sources: lineage.Lineage) -> bytes:
    """A classifier trained on the training split."""
    levels, training, test = (
        fields.attrs["levels"],
        select(fields, splits, "train"),
        select(fields, splits, "test"),
    )
    x, label = shares(training, levels), torch.from_numpy(training["label"].values)
    classes = int(fields["label"].max()) + 1
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)
        network = Classifier(tuple(x.shape[2:]), classes)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    steps = max(LEAST, EPOCHS * -(-len(x) // BATCH))
    for step in tqdm(range(steps), unit="step", disable=None, leave=False):
        rows = batch_index(step, SEED, None, len(x), BATCH)
        optimiser.zero_grad(set_to_none=True)
        network.loss(x[rows], label[rows]).backward()
        optimiser.step()
    with torch.no_grad():
        guess = torch.cat([network(piece).argmax(dim=1) for piece in shares(test, levels).split(PIECE)])
    accuracy = float((guess.numpy() == test["label"].values).mean())
    state = network.state_dict()
    header = {
        **sources, "kind": "images", "levels": levels, "classes": classes, "shape": list(x.shape[2:]),
        "accuracy": accuracy, "weights": tensor_digest(state),
    }  # fmt: skip
    return pack_bytes(state, header)


def of_fields(
    fields: xr.Dataset, normalisation: xr.Dataset, splits: Mapping[str, Any], sources: lineage.Lineage
) -> bytes:
    """Principal components and local statistics of one half of the training split."""
    training, dim = select(fields, splits, "train"), along(fields)
    half = np.flatnonzero(every_other(training))
    training = training.isel({dim: half[evenly(len(half), FITTED).numpy()]})
    if dim == "sample":
        values = training["image"].values
        mean, deviation = np.array([values.mean()]), np.array([values.std()])
        area, wraps = np.ones(values.shape[1:]), False
    else:
        codec = AnyDayCodec.of(fields, normalisation)
        mean, deviation = codec.mean, codec.deviation
        area, wraps = areas(fields), bool(fields.attrs["wraps"])
    x = standardised(training, mean, deviation)
    arrays = {**FieldFeatures.fit(x, area, wraps).arrays(), "state_mean": mean, "state_deviation": deviation}
    tensors = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in arrays.items()}
    header = {**sources, "kind": "fields", "wraps": wraps, "weights": tensor_digest(tensors)}
    return pack_bytes(tensors, header)


def load_features(data: bytes) -> Features:
    """What `fit_features` made."""
    tensors, header = unpack_bytes(data, "the file of the features")
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    if header["kind"] == "images":
        network = Classifier(tuple(header["shape"]), header["classes"])
        network.load_state_dict(tensors)
        known = {"extractor": "classifier", "features": network.hidden.out_features}
        known |= {"accuracy": header["accuracy"], "weights": header["weights"]}
        return OfImages(network.eval(), header["levels"], known)
    mean, deviation = arrays.pop("state_mean"), arrays.pop("state_deviation")
    features = FieldFeatures(**arrays, wraps=header["wraps"])
    known = {"extractor": "principal components and local statistics", "weights": header["weights"]}
    return OfFields(
        features, mean, deviation, {**known, "features": features.count, "accuracy": float("nan")}
    )


def shares(images: xr.Dataset, levels: int) -> Float[torch.Tensor, "state 1 y x"]:
    """Grey values as shares of white."""
    return torch.from_numpy(images["image"].values.astype(np.float32) / (levels - 1))[:, None]


def standardised(
    states: xr.Dataset, mean: Float[np.ndarray, " variable"], deviation: Float[np.ndarray, " variable"]
) -> Float[np.ndarray, "state variable y x"]:
    """States in standard deviations of their variable."""
    arrays = [values.values for values in states.data_vars.values() if values.ndim == 3]
    return (np.stack(arrays, axis=1) - mean[:, None, None]) / deviation[:, None, None]


def areas(fields: xr.Dataset) -> Float[np.ndarray, "y x"]:
    """Of the cells that exist; 0 elsewhere."""
    exists = domain.exists(fields).all("variable").values
    return geometry.cell_areas(fields["latitude"].values, fields["longitude"].values, exists)
