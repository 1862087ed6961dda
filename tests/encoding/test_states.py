"""Fields and images on their way to states and back."""

import numpy as np
import pytest
import torch
import xarray as xr

from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.checkpoint import pack, unpack
from fieldcast.encoding.states import AnyDayCodec, ImageCodec, space_of_images
from fieldcast.errors import InputError
from fieldcast.fields.images import open_images
from fieldcast.fields.options import ImageSource
from fieldcast.models.configuration import build
from fieldcast.models.random_streams import RandomStreams

VAE = {
    "type": "vae.VAE",
    "latent": 2,
    "encoder": {"type": "encoders.Network", "latent": 2, "hidden": [8, 8]},
    "decoder": {"type": "decoders.DenseDecoder", "latent": 2, "hidden": [8, 8]},
    "likelihood": {"type": "likelihoods.Bernoulli"},
}


@pytest.fixture
def fields() -> xr.Dataset:
    rng = np.random.default_rng(0)
    values = (250 + 12 * rng.standard_normal((20, 3, 4))).astype(np.float32)
    values[:, 1, 2] = np.nan
    coords = {"time": np.arange(20), "latitude": [-30.0, 0.0, 30.0], "longitude": [0.0, 90.0, 180.0, 270.0]}
    t2m = (("time", "latitude", "longitude"), values, {"units": "K", "long_name": "temperature"})
    return xr.Dataset({"t2m": t2m}, coords)


@pytest.fixture
def codec(fields: xr.Dataset) -> AnyDayCodec:
    normal = xr.Dataset({"mean": ("variable", [250.0]), "std": ("variable", [12.0])}, {"variable": ["t2m"]})
    return AnyDayCodec.of(fields, normal)


def test_fields_are_standardised_by_the_training_split_and_come_back(
    fields: xr.Dataset, codec: AnyDayCodec
) -> None:
    x = codec.encode(fields)
    assert x.shape == (20, 1, 3, 4)
    assert torch.allclose(x[:, 0, 0, 0], torch.from_numpy((fields["t2m"].values[:, 0, 0] - 250) / 12))
    assert (x[:, 0, 1, 2] == 0).all()  # never exists: at the mean
    back = codec.decode(x)
    assert back["t2m"].dims == ("sample", "latitude", "longitude")
    assert back["t2m"].attrs == fields["t2m"].attrs
    expected = np.isfinite(fields["t2m"].values)
    assert np.allclose(back["t2m"].values[expected], fields["t2m"].values[expected], atol=1e-3)


def test_grey_values_come_back_from_every_treatment() -> None:
    images = open_images(ImageSource("digits"))
    for treatment, tolerance in (("grey", 1e-4), ("dequantised", 0.51), ("symmetric", 0.51)):
        codec = ImageCodec(treatment, 17)
        x = codec.apply_treatment(codec.encode(images), RandomStreams(1, torch.arange(1797)))
        assert np.abs(codec.decode(x)["image"].values - images["image"].values).max() < tolerance
    codec = ImageCodec("threshold", 17)
    black_and_white = codec.decode(
        codec.apply_treatment(codec.encode(images), RandomStreams(1, torch.arange(1797)))
    )
    assert set(np.unique(black_and_white["image"])) == {0.0, 16.0}


def test_the_codec_is_in_the_checkpoint(codec: AnyDayCodec) -> None:
    space = space_of_images(open_images(ImageSource("digits")))
    model = build(VAE, space)
    header = {"model": VAE, "task": "sample"}
    assert unpack(pack(model, ImageCodec("grey", 17), header)).codec == ImageCodec("grey", 17)
    back = unpack(pack(model, codec, header)).state_codec
    assert isinstance(back, AnyDayCodec)
    assert (back.mean, back.deviation) == (codec.mean, codec.deviation)
    assert back.attrs == codec.attrs
    with pytest.raises(InputError, match="of the task 'sample'"):
        unpack(pack(model, codec, header)).field_codec  # noqa: B018


def test_images_have_no_day() -> None:
    with pytest.raises(InputError, match="only the task sample takes them"):
        FieldCodec.of(open_images(ImageSource("digits")), xr.Dataset(), xr.Dataset())
