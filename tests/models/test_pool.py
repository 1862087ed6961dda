"""Oracles: the draws of a part alone, bit for bit; the method of the largest remainder; shares that add up."""

import math

import pytest
import torch

from fieldcast.errors import InputError
from fieldcast.inference.forecasts.ensemble import rollout
from fieldcast.models.configuration import build
from fieldcast.models.core import Context
from fieldcast.models.pool import Pool, shares
from fieldcast.models.random_streams import RandomStreams

VAE = {"type": "vae.ConditionalVAE", "latent": 4, "history": 1}
STEPPED = {"type": "stepped.Stepped", "model": VAE}
ENSEMBLE = {"type": "stepped.Stepped", "model": {"type": "ensemble.Ensemble", "channels": [8, 8], "noise": 4}}


def built(space, **parts):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build({"type": "pool.Pool", "parts": parts}, space)
        for weight in model.parameters():
            if not weight.any():
                weight.data = 0.1 * torch.randn(weight.shape)
    return model.eval()


def weighted(model, *weights):
    model.weights = torch.tensor(weights)
    return model


def context(space, count=3):
    past = torch.randn(count, 2, *space.state_shape, generator=torch.Generator().manual_seed(1))
    return Context(count, past=past, day=torch.linspace(0, 1, count))


def streams(count=3, members=5):
    return RandomStreams(7, torch.arange(count), members)


def test_a_pool_of_one_part_draws_what_the_part_draws(space):
    model, c = built(space, only=ENSEMBLE), context(space)
    part = model.parts["only"]
    with torch.no_grad():
        assert torch.equal(model.sample(c, streams()), part.sample(c, streams()))
        pooled, alone = ([x for x, _ in rollout(drawn, c.repeat(5), streams(), 3)] for drawn in (model, part))
    assert all(torch.equal(x, y) for x, y in zip(pooled, alone, strict=True))


def test_each_member_is_rolled_out_by_its_own_part(space):
    """Member k is member k of the part's own ensemble; a part reads as many past states as it was trained with."""
    model, c = weighted(built(space, first=STEPPED, second=ENSEMBLE), 0.4, 0.6), context(space)
    assert model.history == 2
    part_of = shares(model.weights, 5)
    assert part_of.tolist() == [1, 0, 1, 0, 1]
    with torch.no_grad():
        *_, (pooled, _) = rollout(model, c.repeat(5), streams(), 3)
        for place, part in enumerate(model.parts.values()):
            past = c.past[:, -part.history :]
            alone = Context(3, past=past, day=c.day)
            *_, (x, _) = rollout(part, alone.repeat(5), streams(), 3)
            assert torch.allclose(pooled[:, part_of == place], x[:, part_of == place], atol=1e-6)


def test_members_drawn_at_once_equal_those_drawn_by_row(space):
    model, c = weighted(built(space, first=STEPPED, second=ENSEMBLE), 0.3, 0.7), context(space)
    with torch.no_grad():
        rows = model.sample(c.repeat(5), streams().per_row())[:, 0].unflatten(0, (3, 5))
        assert torch.allclose(model.sample(c, streams()), rows, atol=1e-6)


@pytest.mark.parametrize("members", [1, 4, 10, 24, 33])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.35, 0.5, 0.62, 1.0])
def test_two_parts_divide_members_by_the_largest_remainder(members, share):
    part_of = shares(torch.tensor([share, 1 - share]), members)
    counts = [int((part_of == part).sum()) for part in range(2)]
    quotas = [share * members, (1 - share) * members]
    whole = [math.floor(quota + 1e-6) for quota in quotas]
    remainders = [quota - number for quota, number in zip(quotas, whole, strict=True)]
    if sum(whole) < members:
        best = max(remainders)
        assert counts in [
            [number + (part == winner) for part, number in enumerate(whole)]
            for winner in range(2)
            if remainders[winner] > best - 1e-5
        ]
    else:
        assert counts == whole


def test_the_part_of_a_member_does_not_depend_on_the_number_of_members():
    weights = torch.tensor([0.5, 0.3, 0.2])
    assert torch.equal(shares(weights, 24)[:10], shares(weights, 10))
    assert torch.bincount(shares(weights, 10)).tolist() == [5, 3, 2]


def test_a_pool_without_parts_is_refused(space):
    with pytest.raises(InputError, match="parts is empty"):
        Pool(space, {})
