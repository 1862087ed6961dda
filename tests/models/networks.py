"""Weights that are not zero, and the check that a network is random by its streams alone."""

import torch

from fieldcast.models.core import Batch, Context
from fieldcast.models.random_streams import RandomStreams


def disturbed(model):
    """Give the layers that start at zero some weights."""
    generator = torch.Generator().manual_seed(1)
    for weight in model.parameters():
        if not weight.any():
            weight.data = 0.05 * torch.randn(weight.shape, generator=generator)
    return model


def require_own_randomness(model, batch: Batch) -> None:
    """Loss and draws neither read torch's global generator nor move it."""
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        loss = model.loss(batch, RandomStreams(0, torch.arange(2))).total
        draws = model.sample(Context(2), RandomStreams(0, torch.arange(2)))
        results.append(torch.cat([loss.view(1), draws.flatten()]))
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(*results)
