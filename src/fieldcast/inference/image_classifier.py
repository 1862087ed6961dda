"""Classifiers of labelled images, whose last hidden layer gives the features of FID and KID.

A training depends on the machine's order of summation, and FID on the weights. So the classifiers of MNIST and
Fashion-MNIST are part of the package, classifiers/<name>.safetensors, with weights in half precision; other images get
a classifier of their own. `make classifiers MNIST=FOLDER FASHION_MNIST=FOLDER` makes the files again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from fieldcast import lineage
from fieldcast.encoding.selection import batch_index
from fieldcast.encoding.tensor_file import intact, tensor_digest
from fieldcast.errors import InputError
from fieldcast.fields.splits import SplitRanges, select
from fieldcast.models.classifier import Classifier
from fieldcast.progress import Progress

SHIPPED = Path(__file__).with_name("classifiers")
BEGINNING = 100  # images by which a data set is recognised
SEED = 0  # of the training, independent of the seed of a run
BATCH, RATE = 128, 1e-3
PIECE = 1024  # images at once


@dataclass(frozen=True)
class Architecture:
    """Everything that a `Classifier` is built with."""

    shape: Sequence[int]
    classes: int
    channels: Sequence[int] = (32, 64)
    features: int = 64

    def build(self) -> Classifier:
        """A classifier with random weights."""
        y, x = self.shape
        return Classifier((y, x), self.classes, self.channels, self.features)


def classifier_of(fields: xr.Dataset, splits: SplitRanges) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The shipped weights for data that begin like those of a shipped classifier; otherwise weights trained here.

    The header holds the architecture, the accuracy on the test split, and the digest of the weights.
    """
    state, built = shipped(fields) or trained(
        fields, splits, Architecture(tuple(fields["image"].shape[1:]), int(fields["label"].max()) + 1)
    )
    network = built.build()
    network.load_state_dict(state)
    test = select(fields, splits, "test")
    with torch.no_grad():
        pieces = fractions(test, fields.attrs["levels"]).split(PIECE)
        guess = torch.cat([network(piece).argmax(dim=1) for piece in pieces])
    accuracy = float((guess.numpy() == test["label"].values).mean())
    return state, {"architecture": asdict(built), "accuracy": accuracy, "weights": tensor_digest(state)}


def shipped(fields: xr.Dataset) -> tuple[dict[str, Tensor], Architecture] | None:
    """Weights and architecture of the shipped classifier of these data; None if there is none.

    Raises
    ------
    InputError
        For a damaged file.
    """
    start = beginning(fields)
    for path in sorted(SHIPPED.glob("*.safetensors")):
        state, header = stored_weights(path)
        if header["beginning"] == start:
            return state, Architecture(**header["architecture"])
    return None


def stored_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights in single precision, and the header, of a shipped classifier.

    Raises
    ------
    InputError
        If the file does not fit its digest.
    """
    try:
        tensors, header = intact(path.read_bytes())
    except ValueError as error:
        raise InputError(
            f"the classifier {path.name} of the package {error}: install Fieldcast again."
        ) from None
    return {name: tensor.float() for name, tensor in tensors.items()}, header


def beginning(fields: xr.Dataset) -> str:
    """Digest of the first images and their labels."""
    first = fields.isel(sample=slice(BEGINNING))
    return lineage.digest(first["image"].values.astype(np.uint8).tobytes(), first["label"].values.tolist())


def trained(
    fields: xr.Dataset,
    splits: SplitRanges,
    architecture: Architecture,
    epochs: int = 4,
    least: int = 600,
) -> tuple[dict[str, Tensor], Architecture]:
    """Weights of a classifier after some epochs, or at least as many steps, on the training split, by Adam."""
    training = select(fields, splits, "train")
    x, label = fractions(training, fields.attrs["levels"]), torch.from_numpy(training["label"].values)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)
        network = architecture.build()
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    steps = max(least, epochs * -(-len(x) // BATCH))
    for step in Progress(range(steps), unit="step"):
        index = batch_index(step, SEED, None, len(x), BATCH)
        optimiser.zero_grad(set_to_none=True)
        network.loss(x[index], label[index]).backward()
        optimiser.step()
    return network.state_dict(), architecture


def fractions(images: xr.Dataset, levels: int) -> Float[Tensor, "state 1 y x"]:
    """Grey values as fractions of white."""
    return torch.from_numpy(images["image"].values.astype(np.float32) / (levels - 1))[:, None]
