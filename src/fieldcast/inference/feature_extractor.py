"""Features in which FID, KID and classifiers compare sets of states: computed once for some data, with a fixed seed.

For images with labels: the last hidden layer of a classifier (`image_classifier`). For fields, and for images without
labels: principal components and local statistics of half of the training split, so that the other half can stand for a
perfect model. Distances in other features are not comparable, so every score holds their digest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int

from fieldcast import calendars, geometry, lineage
from fieldcast.encoding.states import AnyDayCodec, standardise
from fieldcast.encoding.tensor_file import pack_bytes, tensor_digest, unpack_bytes, unpack_state
from fieldcast.fields import domain
from fieldcast.fields.splits import SplitRanges, select
from fieldcast.inference.image_classifier import IMAGES_AT_ONCE, Architecture, classifier_of, fractions
from fieldcast.kinds import are_images, state_dimension
from fieldcast.models.classifier import Classifier
from fieldcast.models.selection import evenly
from fieldcast.scores.field_features import FieldFeatures

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
        return np.ones(training.sizes["sample"], dtype=bool)


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
    fields: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges, earlier: bytes | None
) -> bytes:
    """The features of some data, as bytes; `earlier` ones of the same lineage are kept."""
    domain.require_complete(fields, "samples and their scores")
    labelled = "label" in fields.coords
    training = select(fields, splits, "train")
    count = training.sizes["sample"] if labelled else int(every_other(training).sum())
    sources = {
        "data": fields.attrs["digest"],
        "train": list(map(str, splits["train"])),
        "fitted": count,
        # all labels, because the accuracy is measured on the test split
        "labels": lineage.digest(fields["label"].values) if labelled else "",
        "version": VERSION,
    }
    _, header = unpack_state(earlier, "The file of the features")
    if earlier is not None and lineage.matches(header, sources):
        return earlier
    if labelled:
        return classifier_file(fields, splits, sources)
    return component_file(fields, normalisation, splits, sources)


def every_other(training: xr.Dataset) -> Bool[np.ndarray, " state"]:
    """Mask of the states of every other calendar year for fields, of every other state for images.

    Days of one season resemble each other, different years hardly do, so whole years are held out. The mask of a single
    year selects all of it.
    """
    if are_images(training):
        return np.arange(training.sizes["sample"]) % 2 == 0
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
    if dim == "sample":
        values = training["image"].values
        mean, deviation = np.array([values.mean()]), np.array([values.std()])
        area, wraps = np.ones(values.shape[1:]), False
    else:
        codec = AnyDayCodec.of(fields, normalisation)
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
    """Areas of the cells that exist; 0 elsewhere.

    Raises
    ------
    InputError
        If the variables exist in different cells.
    """
    return geometry.cell_areas(
        fields["latitude"].values, fields["longitude"].values, domain.common_cells(fields)
    )
