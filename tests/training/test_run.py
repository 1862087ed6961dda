"""Warnings of a training that would run, and would not mean what its options say."""

import pytest
import torch

from fieldcast.encoding.states import ImageCodec, space_of_images
from fieldcast.fields.images import open_images
from fieldcast.fields.options import ImageSource
from fieldcast.models.configuration import build
from fieldcast.models.image_transforms import treat
from fieldcast.models.likelihoods import Bernoulli, ContinuousBernoulli, LearnedGaussian
from fieldcast.models.options import BINARY, Treatment
from fieldcast.models.random_streams import RandomStreams
from fieldcast.training.run import warn_of_grey_values

TREATMENTS = Treatment.__args__


@pytest.mark.parametrize("treatment", TREATMENTS)
@pytest.mark.parametrize("likelihood", [Bernoulli, ContinuousBernoulli, LearnedGaussian])
def test_a_bernoulli_likelihood_of_other_values_than_zeros_and_ones_is_warned_of(
    treatment: str, likelihood: type, caplog: pytest.LogCaptureFixture
) -> None:
    streams = RandomStreams(1, torch.arange(5))
    x = treat(torch.arange(5 * 9.0).reshape(5, 1, 3, 3) % 17, treatment, 17, streams)
    is_grey = bool(((x != 0) & (x != 1)).any())
    space = space_of_images(open_images(ImageSource("digits", train=10, test=10)))
    parts = {
        "encoder": {"type": "encoders.Network", "kind": "dense"},
        "decoder": {"type": "decoders.DenseDecoder"},
    }
    config = {
        "type": "vae.VAE",
        "latent": 2,
        **parts,
        "likelihood": {"type": f"likelihoods.{likelihood.__name__}"},
    }
    model = build(config, space)
    warn_of_grey_values(model, ImageCodec(treatment, 17))
    assert bool(caplog.messages) == (is_grey and likelihood is Bernoulli)
    if caplog.messages:
        assert f"grey values that options.treatment: {treatment} gives" in caplog.text


def test_binary_treatments_are_those_that_give_zeros_and_ones() -> None:
    values = torch.arange(64 * 9.0).reshape(64, 1, 3, 3) % 17
    streams = RandomStreams(1, torch.arange(64))
    binary = [
        name for name in TREATMENTS if set(treat(values, name, 17, streams).unique().tolist()) <= {0.0, 1.0}
    ]
    assert set(binary) == set(BINARY)
