"""Features for the comparison of sets of states: fitted once, reproducible, and discriminating."""

import numpy as np
import pytest
import xarray as xr

from fieldcast.fields.images import open_images, split
from fieldcast.fields.options import ImageSource
from fieldcast.inference.samples import features
from fieldcast.inference.samples.features import fit_features, load_features


@pytest.fixture(scope="module")
def images() -> xr.Dataset:
    return open_images(ImageSource("digits"))


@pytest.fixture(scope="module")
def of_labels(images: xr.Dataset) -> bytes:
    return fit_features(images, xr.Dataset(), split(images), None)


def test_a_classifier_of_the_digits_knows_them(images: xr.Dataset, of_labels: bytes) -> None:
    result = load_features(of_labels)
    assert result.facts["accuracy"] > 0.85
    assert result(images.isel(sample=slice(5))).shape == (5, result.facts["features"])


def test_features_are_the_same_each_time_and_kept_while_the_data_are(
    images: xr.Dataset, of_labels: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = split(images)
    assert fit_features(images, xr.Dataset(), splits, None) == of_labels
    monkeypatch.setattr(features, "classifier_file", lambda *given: b"made again")
    assert fit_features(images, xr.Dataset(), splits, of_labels) is of_labels
    other = images.assign_attrs(digest="other")
    assert fit_features(other, xr.Dataset(), splits, of_labels) == b"made again"


def test_other_labels_of_the_same_images_are_other_features(
    images: xr.Dataset, of_labels: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "classifier_file", lambda *given: b"a classifier")
    monkeypatch.setattr(features, "component_file", lambda *given: b"components")
    splits, label = split(images), images["label"].values.copy()
    for place in (0, -1):  # in the training split; in the test split, which gives the accuracy
        changed = label.copy()
        changed[place] = (changed[place] + 1) % 10
        relabelled = images.assign_coords(label=("sample", changed))
        assert fit_features(relabelled, xr.Dataset(), splits, of_labels) == b"a classifier"
    assert fit_features(images.drop_vars("label"), xr.Dataset(), splits, of_labels) == b"components"


def test_without_labels_there_are_principal_components(images: xr.Dataset) -> None:
    created = fit_features(images.drop_vars("label"), xr.Dataset(), split(images), None)
    result = load_features(created)
    records = result(images.isel(sample=slice(0, 1250, 2)))  # the half that they are fitted on
    assert records.shape[1] == result.facts["features"]
    assert np.allclose(records.mean(axis=0), 0, atol=1e-6) and np.allclose(records.std(axis=0), 1, atol=1e-6)
    assert np.isnan(result.facts["accuracy"])
