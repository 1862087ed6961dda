"""Capabilities as Python 3.12 and newer see them: without what a module keeps among its parameters and submodules."""

import inspect

import pytest
from typing_extensions import get_protocol_members, is_protocol

from fieldcast.models import capabilities
from fieldcast.models.configuration import build

VAE = {
    "type": "vae.VAE",
    "encoder": {"type": "encoders.Network"},
    "decoder": {"type": "decoders.DenseDecoder"},
}
CONFIGS = {
    "HasLatents": VAE,
    "HasDensity": {"type": "flow.Flow"},
    "HasTrajectory": {"type": "diffusion.Diffusion"},
}
PROTOCOLS = {
    name: each
    for name, each in vars(capabilities).items()
    if is_protocol(each) and each.__module__ == capabilities.__name__
}


@pytest.mark.parametrize("name", CONFIGS)
def test_models_have_their_capabilities(space, name):
    model, protocol = build(CONFIGS[name], space), PROTOCOLS[name]
    assert isinstance(model, protocol)
    for member in get_protocol_members(protocol):
        inspect.getattr_static(model, member)  # raises AttributeError for a submodule


def test_no_capability_names_a_submodule(space):
    models = [build(config, space) for config in CONFIGS.values()]
    submodules = {name for model in models for name, _ in model.named_children()}
    assert "space" in submodules
    for name, protocol in PROTOCOLS.items():
        assert not submodules & get_protocol_members(protocol), name
