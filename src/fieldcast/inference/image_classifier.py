"""Classifiers of labelled images, whose last hidden layer gives the features of FID and KID.

FID depends on the weights of the classifier, which depend on the order of summation and hence on the machine that
trained it. The classifiers of MNIST and Fashion-MNIST are therefore part of the package,
classifiers/<name>.safetensors, with weights in half precision; for other images a classifier is trained.
`make classifiers MNIST=FOLDER FASHION_MNIST=FOLDER` makes the files again.
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
from fieldcast.encoding.tensor_file import tensor_digest, unpack_intact
from fieldcast.errors import InputError
from fieldcast.fields.splits import SplitRanges, select
from fieldcast.models.classifier import Classifier
from fieldcast.progress import Progress

SHIPPED = Path(__file__).with_name("classifiers")
IDENTIFYING_IMAGES = 100  # number of first images that identify a data set
SEED = 0  # seed of the training, independent of the seed of a run
BATCH, LEARNING_RATE = 128, 1e-3
IMAGES_AT_ONCE = 1024  # images in a batch that is not trained on


@dataclass(frozen=True)
class Architecture:
    """Arguments of a `Classifier`."""

    shape: Sequence[int]
    classes: int
    channels: Sequence[int] = (32, 64)
    features: int = 64

    def build(self) -> Classifier:
        """A classifier with random weights."""
        y, x = self.shape
        return Classifier((y, x), self.classes, self.channels, self.features)


def classifier_of(fields: xr.Dataset, splits: SplitRanges) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Shipped weights if the first images are those of a shipped classifier; otherwise weights trained here.

    The header holds the architecture, the accuracy on the test split, and the digest of the weights.
    """
    state, architecture = shipped_classifier(fields) or train_classifier(
        fields, splits, Architecture(tuple(fields["image"].shape[1:]), int(fields["label"].max()) + 1)
    )
    network = architecture.build()
    network.load_state_dict(state)
    test = select(fields, splits, "test")
    with torch.no_grad():
        pieces = fractions(test, fields.attrs["levels"]).split(IMAGES_AT_ONCE)
        guess = torch.cat([network(piece).argmax(dim=1) for piece in pieces])
    accuracy = float((guess.numpy() == test["label"].values).mean())
    return state, {
        "architecture": asdict(architecture),
        "accuracy": accuracy,
        "weights": tensor_digest(state),
    }


def shipped_classifier(fields: xr.Dataset) -> tuple[dict[str, Tensor], Architecture] | None:
    """Weights and architecture of the shipped classifier of these data; None if there is none.

    Raises
    ------
    InputError
        For a damaged file.
    """
    start = first_images_digest(fields)
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
        If the file does not match its digest.
    """
    try:
        tensors, header = unpack_intact(path.read_bytes())
    except ValueError as error:
        raise InputError(
            f"the classifier {path.name} of the package {error}: install Fieldcast again."
        ) from None
    return {name: tensor.float() for name, tensor in tensors.items()}, header


def first_images_digest(fields: xr.Dataset) -> str:
    """Digest of the first images and their labels, which identifies a data set."""
    first = fields.isel(sample=slice(IDENTIFYING_IMAGES))
    return lineage.digest(first["image"].values.astype(np.uint8).tobytes(), first["label"].values.tolist())


def train_classifier(
    fields: xr.Dataset,
    splits: SplitRanges,
    architecture: Architecture,
    epochs: int = 4,
    least: int = 600,
) -> tuple[dict[str, Tensor], Architecture]:
    """Train a classifier with Adam on the training split, for some epochs and at least `least` steps."""
    training = select(fields, splits, "train")
    x, label = fractions(training, fields.attrs["levels"]), torch.from_numpy(training["label"].values)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)
        network = architecture.build()
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
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
