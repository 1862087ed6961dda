"""Features in which FID, KID and classifiers compare sets of states: computed once for some data, with a fixed seed.

For images with labels: the last hidden layer of a classifier (`image_classifier`). For fields, and for images without
labels: principal components and local statistics of half of the training split, so that the other half can stand for a
perfect model. Distances in other features are not comparable, so every score holds their digest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
import xarray as xr
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from fieldcast import calendars, geometry, lineage
from fieldcast.encoding.states import AnyDayCodec, standardise
from fieldcast.encoding.tensor_file import (
    pack_bytes,
    tensor_digest,
    unpack_bytes,
    unpack_intact,
    unpack_state,
)
from fieldcast.errors import InputError
from fieldcast.fields import domain
from fieldcast.fields.prepared import of_own_values
from fieldcast.fields.splits import SplitRanges, select
from fieldcast.kinds import SAMPLE, are_images, state_dimension
from fieldcast.models.random_streams import batch_index
from fieldcast.models.space import evenly
from fieldcast.runtime import Progress
from fieldcast.scores.numbers import MAX_SCORED
from fieldcast.scores.regions import cell_weights

# Features of weather fields, for distances between sets of them: where the weather is, and how rough it is.


COMPONENTS = 64  # principal components, at most
STATES_PER_COMPONENT = 25  # with fewer, a component fits the noise of its states
PIECE = 256  # states in memory at a time


@dataclass(frozen=True)
class FieldFeatures:
    """Principal components of a whole state, and local statistics of each of its variables.

    With x' = x - mean, mean that of training states cell by cell: the coordinates of √area x' on `components`;
    then, for each variable, the root-mean-square differences of x' along rows, and along columns, in each of three
    bands of rows of equal area (on the globe the tropics, to 19.5 degrees, and either side of them), the skewness of
    x' over cells, its smallest and its largest value. Each less its mean over training states, divided by its
    standard deviation there, so that no feature counts more for its unit. Roughness hardly shows in the leading
    components; the differences are there to expose a model that blurs.

    Cells that do not exist are left out, and so are differences across them.

    Parameters
    ----------
    mean
        Mean of training states.
    exists, area
        Mask of existing cells, and cell areas.
    components
        Orthonormal principal components over the existing cells.
    centre, scale
        Mean and standard deviation of the features over training states.
    wraps
        Whether the last cell of a row is a neighbour of its first.
    """

    mean: Float[np.ndarray, "variable y x"]
    exists: Bool[np.ndarray, "variable y x"]
    area: Float[np.ndarray, "y x"]
    components: Float[np.ndarray, "component cell"]
    centre: Float[np.ndarray, "*feature"]
    scale: Float[np.ndarray, "*feature"]
    wraps: bool

    @classmethod
    def fit(
        cls,
        training: Float[np.ndarray, "n variable y x"],
        area: Float[np.ndarray, "y x"],
        wraps: bool,
        components: int = COMPONENTS,
    ) -> FieldFeatures:
        """Fit to standardised training states, all in memory: a few thousand, spread over the split, are enough.

        Cells of area 0 do not exist, nor do those that lack a value in any training state; their contents are
        ignored. There are at most `components` principal components, one for every 25 states. A statistic that does
        not vary in training is not scaled.
        """
        exists = np.isfinite(training).all(0) & (area > 0)
        mean = np.where(exists, training, 0.0).mean(0, dtype=float)
        no_components = np.zeros((0, int(exists.sum())))
        without_components = cls(
            mean, exists, area.astype(float), no_components, np.zeros(()), np.ones(()), wraps
        )
        cells = np.concatenate(
            [without_components._cells(part).astype(np.float32) for part in pieces(training)]
        )
        count = max(1, min(components, len(training) // STATES_PER_COMPONENT))
        # a fixed seed, so that every experiment has the same features
        from sklearn.decomposition import PCA  # slow to import

        pca = PCA(count, svd_solver="randomized", random_state=0).fit(cells)
        unscaled = replace(without_components, components=pca.components_.astype(float))
        raw = unscaled(training)
        spread = raw.std(0)
        return replace(unscaled, centre=raw.mean(0), scale=np.where(spread > 0, spread, 1.0))

    def arrays(self) -> dict[str, Shaped[np.ndarray, "..."]]:
        """All but `wraps`, by name: `FieldFeatures(**arrays, wraps=wraps)` has the same features."""
        return {name: value for name, value in vars(self).items() if name != "wraps"}

    @property
    def count(self) -> int:
        """Number of features."""
        return self.centre.size

    def __call__(self, states: Float[np.ndarray, "n variable y x"]) -> Float[np.ndarray, "n feature"]:
        """Features of states that are standardised like the training states; all NaN for a state that is not finite."""
        features = np.concatenate([self._raw(part) for part in pieces(states)])
        return (features - self.centre) / self.scale

    def _raw(self, states: Float[np.ndarray, "n variable y x"]) -> Float[np.ndarray, "n feature"]:
        """Features before they are standardised."""
        finite = (np.abs(np.where(self.exists, states, 0.0)) < MAX_SCORED).all((1, 2, 3))
        states = np.where(finite[:, None, None, None], states, 0.0)
        x = self._anomalies(states)
        features_of_kinds = [
            self._cells(states) @ self.components.T,
            self._roughness(x, axis=-1, closed=self.wraps),
            self._roughness(x, axis=-2, closed=False),
            self._shape(x),
        ]
        features = np.concatenate(features_of_kinds, axis=1)
        features[~finite] = np.nan
        return features

    def _anomalies(self, states: Float[np.ndarray, "n variable y x"]) -> Float[np.ndarray, "n variable y x"]:
        """x' in float64, 0 where no cell exists."""
        return np.where(self.exists, states - self.mean, 0.0)

    def _cells(self, states: Float[np.ndarray, "n variable y x"]) -> Float[np.ndarray, "n cell"]:
        """√area x' of existing cells."""
        return (self._anomalies(states) * np.sqrt(self.area))[:, self.exists]

    def _roughness(
        self, x: Float[np.ndarray, "n variable y x"], axis: int, closed: bool
    ) -> Float[np.ndarray, "n variable_and_band"]:
        """Root-mean-square difference of x' between each cell and the next along an axis, if both exist; where
        the axis is closed the last cell's next is the first. 0 where there are no such pairs."""
        pairs = self.exists & np.roll(self.exists, -1, axis)
        if not closed:
            np.moveaxis(pairs, axis, 0)[-1] = False
        weights = np.nan_to_num(
            cell_weights(self.area, pairs[:, None] & bands_of_rows(self.area)[:, :, None])
        )
        square = (np.roll(x, -1, axis) - x) ** 2
        return flatten(np.sqrt(np.einsum("nvyx,vbyx->nvb", square, weights, optimize=True)))

    def _shape(self, x: Float[np.ndarray, "n variable y x"]) -> Float[np.ndarray, "n variable_and_statistic"]:
        """Skewness over cells (0 of a constant), smallest and largest value of each variable."""
        weights = cell_weights(self.area, self.exists)
        centred = x - np.einsum("nvyx,vyx->nv", x, weights)[:, :, None, None]
        second, third = (np.einsum("nvyx,vyx->nv", centred**power, weights) for power in (2, 3))
        skewness = third / np.where(second > 0, second, 1.0) ** 1.5
        lowest = x.min((2, 3), where=self.exists, initial=np.inf)
        highest = x.max((2, 3), where=self.exists, initial=-np.inf)
        return flatten(np.stack([skewness, lowest, highest], axis=-1))


def flatten(x: Float[np.ndarray, "n variable statistic"]) -> Float[np.ndarray, "n variable_and_statistic"]:
    """Flatten so that all statistics of one variable precede those of the next."""
    return x.reshape(len(x), x.shape[1] * x.shape[2])


def pieces(states: Float[np.ndarray, "n variable y x"]) -> Iterator[Float[np.ndarray, "_ variable y x"]]:
    """Yield the states in pieces of at most PIECE; a single empty piece if there are none."""
    for first in range(0, max(1, len(states)), PIECE):
        yield states[first : first + PIECE]


def bands_of_rows(area: Float[np.ndarray, "y x"]) -> Bool[np.ndarray, "band y"]:
    """Rows that belong to each of three bands of equal area, in order; a band without rows is dropped."""
    row_area = area.sum(1)
    middle = (np.cumsum(row_area) - row_area / 2) / row_area.sum()
    band = np.minimum((3 * middle).astype(int), 2)
    return np.stack([band == number for number in np.unique(band)])


# A small image classifier, whose last hidden layer provides the features for FID and KID.
#
# Two convolutions of 3 x 3 with ReLU, each followed by a maximum over 2 x 2 cells, and a hidden layer: the usual
# replacement, for 28 x 28 grey images, of a network trained on photographs.


class Classifier(nn.Module):
    """Classes of images x in [0, 1].

    Parameters
    ----------
    shape
        Numbers (Y, X) of cells of an image.
    classes
        Number of classes.
    channels
        Channels of the two convolutions.
    features
        Size of the hidden layer.
    """

    def __init__(
        self, shape: tuple[int, int], classes: int, channels: Sequence[int] = (32, 64), features: int = 64
    ):
        super().__init__()
        first, second = channels
        self.convolutions = nn.ModuleList(
            [nn.Conv2d(1, first, 3, padding=1), nn.Conv2d(first, second, 3, padding=1)]
        )
        self.hidden = nn.Linear(second * (shape[0] // 4) * (shape[1] // 4), features)
        self.out = nn.Linear(features, classes)

    def features(self, x: Float[Tensor, "batch 1 y x"]) -> Float[Tensor, "batch features"]:
        """The last hidden layer."""
        for convolution in self.convolutions:
            x = F.max_pool2d(F.relu(convolution(x)), 2)
        return F.relu(self.hidden(x.flatten(1)))

    def forward(self, x: Float[Tensor, "batch 1 y x"]) -> Float[Tensor, "batch classes"]:
        """Log odds of the classes."""
        return self.out(self.features(x))

    def loss(self, x: Float[Tensor, "batch 1 y x"], label: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
        """Cross entropy [nats]."""
        return F.cross_entropy(self(x), label)


VERSION = 2  # version of the features: stored features of another version are fitted again
MAX_FITTED_STATES = 4096  # largest number of states from which principal components are computed

FeatureTable = Float[np.ndarray, "state feature"]


@runtime_checkable
class Features(Protocol):
    """Features of a data set of states, in physical units or grey values."""

    @property
    def facts(self) -> dict[str, Any]:
        """Entries extractor, features (number), accuracy (of a classifier on the test split) and weights (digest)."""
        ...

    def __call__(self, states: xr.Dataset) -> FeatureTable: ...

    def fitted_mask(self, training: xr.Dataset) -> Bool[np.ndarray, " state"]:
        """Mask of the training states that the features were fitted on."""
        ...


@dataclass(frozen=True, eq=False)
class ClassifierFeatures:
    """The last hidden layer of a classifier."""

    network: Classifier
    levels: int
    facts: dict[str, Any]

    @torch.no_grad()
    def __call__(self, states: xr.Dataset) -> FeatureTable:
        x = fractions(states, self.levels)
        return (
            torch.cat([self.network.features(piece) for piece in x.split(IMAGES_AT_ONCE)])
            .numpy()
            .astype(np.float64)
        )

    def fitted_mask(self, training: xr.Dataset) -> Bool[np.ndarray, " state"]:
        return np.ones(training.sizes[SAMPLE], dtype=bool)


@dataclass(frozen=True, eq=False)
class ComponentFeatures:
    """Principal components and local statistics of standardised states."""

    features: FieldFeatures
    mean: Float[np.ndarray, " variable"]
    deviation: Float[np.ndarray, " variable"]
    facts: dict[str, Any]

    def __call__(self, states: xr.Dataset) -> FeatureTable:
        dim = state_dimension(states)
        starts = range(0, max(1, states.sizes[dim]), IMAGES_AT_ONCE)
        pieces = (states.isel({dim: slice(first, first + IMAGES_AT_ONCE)}) for first in starts)
        return np.concatenate(
            [self.features(standardise(arrays_of(x), self.mean, self.deviation)) for x in pieces]
        )

    def fitted_mask(self, training: xr.Dataset) -> Bool[np.ndarray, " state"]:
        return every_other(training)


def fit_features(
    fields: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges, previous: bytes | None
) -> bytes:
    """The features of some data, as bytes; `previous` ones of the same lineage are kept."""
    domain.require_complete(fields, "samples and their scores")
    sources = made_from(fields, splits)
    _, header = unpack_state(previous, "The file of the features")
    if previous is not None and lineage.matches(header, sources):
        return previous
    if "label" in fields.coords:
        return classifier_file(fields, splits, sources)
    return component_file(fields, normalisation, splits, sources)


def made_from(fields: xr.Dataset, splits: SplitRanges) -> dict[str, Any]:
    """Everything that the features depend on."""
    labelled = "label" in fields.coords
    training = select(fields, splits, "train")
    return {
        "data": fields.attrs["digest"],
        "train": list(map(str, splits["train"])),
        "fitted": training.sizes[SAMPLE] if labelled else int(every_other(training).sum()),
        # all labels, because the accuracy is measured on the test split
        "labels": lineage.digest(fields["label"].values) if labelled else "",
        "version": VERSION,
    }


def every_other(training: xr.Dataset) -> Bool[np.ndarray, " state"]:
    """Mask of the states of every other calendar year for fields, of every other state for images.

    Days of one season resemble each other, different years hardly do, so whole years are held out. The mask of a single
    year selects all of it.
    """
    if are_images(training):
        return np.arange(training.sizes[SAMPLE]) % 2 == 0
    year = calendars.iso(training["time"]).astype("U4")
    return np.isin(year, np.unique(year)[::2])


def unfitted_positions(features: Features, training: xr.Dataset, least: int) -> Int[np.ndarray, " state"]:
    """Positions of training states that the features were not fitted on; all states if there are fewer than `least`."""
    positions = np.flatnonzero(~features.fitted_mask(training))
    return positions if len(positions) >= least else np.arange(training.sizes[state_dimension(training)])


def classifier_file(fields: xr.Dataset, splits: SplitRanges, sources: lineage.Lineage) -> bytes:
    """A classifier of these images, as bytes: a shipped one, or one trained on the training split."""
    state, header = classifier_of(fields, splits)
    return pack_bytes(state, {**sources, "kind": "images", "levels": fields.attrs["levels"], **header})


def component_file(
    fields: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges, sources: lineage.Lineage
) -> bytes:
    """Principal components and local statistics of half of the training split, as bytes."""
    training, dim = select(fields, splits, "train"), state_dimension(fields)
    half = np.flatnonzero(every_other(training))
    training = training.isel({dim: half[evenly(len(half), MAX_FITTED_STATES).numpy()]})
    if dim == SAMPLE:
        values = training["image"].values
        mean, deviation = np.array([values.mean()]), np.array([values.std()])
        area, wraps = np.ones(values.shape[1:]), False
    else:
        codec = AnyDayCodec.of(fields, of_own_values(normalisation))
        mean, deviation = codec.mean, codec.deviation
        area, wraps = existing_areas(fields), bool(fields.attrs["wraps"])
    x = standardise(arrays_of(training), mean, deviation)
    arrays = {**FieldFeatures.fit(x, area, wraps).arrays(), "state_mean": mean, "state_deviation": deviation}
    tensors = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in arrays.items()}
    header = {**sources, "kind": "fields", "wraps": wraps, "weights": tensor_digest(tensors)}
    return pack_bytes(tensors, header)


def load_features(data: bytes) -> Features:
    """The features that `fit_features` stored."""
    tensors, header = unpack_bytes(
        data, "the file of the features", "make it again with `kedro run --pipelines features`"
    )
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    if header["kind"] == "images":
        network = Architecture(**header["architecture"]).build()
        network.load_state_dict(tensors)
        facts = {"extractor": "classifier", "features": network.hidden.out_features}
        facts |= {"accuracy": header["accuracy"], "weights": header["weights"]}
        return ClassifierFeatures(network.eval(), header["levels"], facts)
    mean, deviation = arrays.pop("state_mean"), arrays.pop("state_deviation")
    features = FieldFeatures(**arrays, wraps=header["wraps"])
    facts = {"extractor": "principal components and local statistics", "weights": header["weights"]}
    return ComponentFeatures(
        features, mean, deviation, {**facts, "features": features.count, "accuracy": float("nan")}
    )


def arrays_of(states: xr.Dataset) -> Float[np.ndarray, "state variable y x"]:
    """The values of all variables on the grid."""
    return np.stack([values.values for values in states.data_vars.values() if values.ndim == 3], axis=1)


def existing_areas(fields: xr.Dataset) -> Float[np.ndarray, "y x"]:
    """Areas of the cells that exist; 0 elsewhere."""
    return geometry.cell_areas(
        fields["latitude"].values, fields["longitude"].values, domain.common_cells(fields)
    )


# Classifiers of labelled images, whose last hidden layer gives the features of FID and KID.
#
# FID depends on the weights of the classifier, which depend on the order of summation and hence on the machine that
# trained it. The classifiers of MNIST and Fashion-MNIST are therefore part of the package,
# classifiers/<name>.safetensors, with weights in half precision; for other images a classifier is trained. `make
# classifiers MNIST=FOLDER FASHION_MNIST=FOLDER` makes the files again.


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
    return state, {
        "architecture": asdict(architecture),
        "accuracy": accuracy_of(state, architecture, select(fields, splits, "test"), fields.attrs["levels"]),
        "weights": tensor_digest(state),
    }


def accuracy_of(
    state: Mapping[str, Tensor], architecture: Architecture, images: xr.Dataset, levels: int
) -> float:
    """Share of images that a classifier with these weights puts into their class."""
    network = architecture.build()
    network.load_state_dict(state)
    with torch.no_grad():
        pieces = fractions(images, levels).split(IMAGES_AT_ONCE)
        guess = torch.cat([network(piece).argmax(dim=1) for piece in pieces])
    return float((guess.numpy() == images["label"].values).mean())


def shipped_classifier(fields: xr.Dataset) -> tuple[dict[str, Tensor], Architecture] | None:
    """Weights and architecture of the shipped classifier of these data; None if there is none."""
    start = first_images_digest(fields)
    for path in sorted(SHIPPED.glob("*.safetensors")):
        state, header = stored_weights(path)
        if header["beginning"] == start:
            return state, Architecture(**header["architecture"])
    return None


def stored_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights in single precision, and the header, of a shipped classifier."""
    try:
        tensors, header = unpack_intact(path.read_bytes())
    except ValueError as error:
        raise InputError(
            f"the classifier {path.name} of the package {error}: install Fieldcast again."
        ) from None
    return {name: tensor.float() for name, tensor in tensors.items()}, header


def first_images_digest(fields: xr.Dataset) -> str:
    """Digest of the first images and their labels, which identifies a data set."""
    first = fields.isel({SAMPLE: slice(IDENTIFYING_IMAGES)})
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
