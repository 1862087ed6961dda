"""Protocols as Python 3.12 and newer see models: without their submodules, parameters and buffers."""

import importlib
import inspect
import pkgutil

import pytest
from typing_extensions import get_protocol_members, is_protocol

from fieldcast import models
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
    "HasMoments": {"type": "optimal_interpolation.OptimalInterpolation"},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_models_have_their_capabilities(space, name):
    model, protocol = build(CONFIGS[name], space), getattr(capabilities, name)
    assert isinstance(model, protocol)
    for member in get_protocol_members(protocol):
        inspect.getattr_static(model, member)  # raises AttributeError for a submodule


def test_no_protocol_names_what_torch_keeps_apart(space):
    kept = set()
    for model in (build(config, space) for config in CONFIGS.values()):
        for named in (model.named_children(), model.named_parameters(), model.named_buffers()):
            kept |= {name for name, _ in named if "." not in name}
    assert {"space", "anomalies"} <= kept
    names = (module.name for module in pkgutil.walk_packages(models.__path__, f"{models.__name__}."))
    protocols = {
        each
        for module in map(importlib.import_module, names)
        for each in vars(module).values()
        if is_protocol(each) and getattr(each, "_is_runtime_protocol", False)
    }
    assert len(protocols) > 10
    named = {each: kept & get_protocol_members(each) for each in protocols}
    assert not any(named.values()), named
