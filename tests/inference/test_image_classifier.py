"""The classifier of the features: shipped for known images, so that FID is the same everywhere, else trained."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from fieldcast.encoding.tensor_file import pack_bytes, unpack_intact
from fieldcast.errors import InputError
from fieldcast.fields.images import open_images, split
from fieldcast.fields.options import ImageSource
from fieldcast.inference.samples import features
from fieldcast.inference.samples.features import (
    SHIPPED,
    Architecture,
    classifier_of,
    first_images_digest,
    fit_features,
    load_features,
)

SMALL = Architecture((8, 8), 10, channels=(2, 3), features=5)


@pytest.fixture
def images() -> xr.Dataset:
    return open_images(ImageSource("digits", train=300, test=60))


@pytest.fixture
def folder(tmp_path: Path, images: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of a shipped classifier of these digits, with random weights in half precision."""
    state = {name: tensor.half() for name, tensor in SMALL.build().state_dict().items()}
    header = {"architecture": vars(SMALL), "beginning": first_images_digest(images)}
    (tmp_path / "digits.safetensors").write_bytes(pack_bytes(state, header))
    monkeypatch.setattr(features, "SHIPPED", tmp_path)
    return tmp_path


def test_known_images_get_the_shipped_weights(images: xr.Dataset, folder: Path) -> None:
    stored, _ = unpack_intact((folder / "digits.safetensors").read_bytes())
    fewer = open_images(ImageSource("digits", train=200, test=30))  # they begin like the others
    for fields in (images, fewer):
        state, header = classifier_of(fields, split(fields))
        assert all(torch.equal(state[name], stored[name].float()) for name in stored)
        network = SMALL.build()
        network.load_state_dict(state)
        test = fields.isel(sample=slice(fields.attrs["train"], None))
        guess = network(torch.from_numpy(test["image"].values / 16)[:, None]).argmax(1).numpy()
        assert header["accuracy"] == np.mean(guess == test["label"].values)
    features = load_features(fit_features(images, xr.Dataset(), split(images), None))
    assert features.facts["features"] == 5


def test_other_images_or_labels_get_weights_of_their_own(
    images: xr.Dataset, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = Architecture((8, 8), 10).build().state_dict()
    monkeypatch.setattr(features, "train_classifier", lambda fields, splits, built: (state, built))
    first = images["label"].values.copy()
    first[0] = (first[0] + 1) % 10
    turned = images.assign(image=images["image"][:, ::-1].assign_coords(y=images["y"]))
    for other in (turned, images.assign_coords(label=("sample", first))):
        _, header = classifier_of(other, split(other))
        assert header["architecture"]["features"] == 64


def test_a_changed_file_is_refused(images: xr.Dataset, folder: Path) -> None:
    path = folder / "digits.safetensors"
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(InputError, match=r"digits\.safetensors of the package was changed .*: install"):
        classifier_of(images, split(images))


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_the_package_has_a_small_classifier(name: str) -> None:
    path = SHIPPED / f"{name}.safetensors"
    tensors, header = unpack_intact(path.read_bytes())
    network = Architecture(**header["architecture"]).build()
    network.load_state_dict(tensors)
    assert network(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert path.stat().st_size < 150_000
