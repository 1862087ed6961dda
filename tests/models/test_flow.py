import math

import pytest
import torch

from fieldcast.models.configuration import build
from fieldcast.models.core import Batch, Context
from fieldcast.models.random_streams import RandomStreams
from tests.models.networks import require_own_randomness


def make(space, noise=0.2, **keywords):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        flow = build({"type": "flow.Flow", "layers": 4, "hidden": 8, **keywords}, space)
        with torch.no_grad():
            for p in flow.parameters():
                p.add_(noise * torch.randn_like(p))
    return flow


KINDS = [
    {"network": "dense", "interval": [0, 1]},
    {"network": "convolution"},
    {"network": "dense"},
    {"network": "two dense", "scaled": False},
]


@pytest.mark.parametrize("keywords", KINDS)
def test_log_determinants_and_inverses_equal_autograd(sized, keywords):
    space = sized(2, 3, 4)
    flow = make(space, **keywords).double()
    x = torch.rand(2, *space.state_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    e, log_det = flow.encode(x)
    assert torch.allclose(flow.decode(e), x, atol=1e-9)
    jacobian = torch.autograd.functional.jacobian(lambda x: flow.encode(x[None])[0][0].flatten(), x[0])
    assert torch.allclose(log_det[0], torch.linalg.slogdet(jacobian.flatten(1))[1], atol=1e-8)
    dense = torch.distributions.Normal(0.0, 1.0).log_prob(e).sum(dim=(1, 2, 3))
    assert torch.allclose(flow.log_prob(x), dense + log_det)


@pytest.mark.parametrize("interval", [None, (0.0, 1.0), (-1.0, 1.0)])
def test_the_density_of_two_cells_integrates_to_one(sized, interval):
    """So the Jacobians of scale, of logit and of every layer are counted. The logit of the ends is finite: they are
    those of the 0.9 in the middle."""
    flow = make(sized(1, 1, 2, wraps=False), network="dense", interval=interval)
    low, high = interval or (-30.0, 30.0)
    width = (high - low) / 800
    axis = torch.arange(800) * width + low + width / 2
    points = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1).reshape(-1, 1, 1, 2)
    mass = flow.log_prob(points).detach().exp().sum() * width**2
    if interval is None:
        assert float(mass) == pytest.approx(1, abs=0.01)
    else:  # a share of draws lies outside, where the logit is of less than 0.05 or more than 0.95
        drawn = flow.sample(Context(1), RandomStreams(0, torch.zeros(1, dtype=torch.long), 100_000))
        inside = ((drawn > low) & (drawn < high)).all(dim=4).float().mean()
        assert float(mass) == pytest.approx(float(inside), abs=0.01)


def test_twenty_layers_of_256_by_default(space):
    with torch.random.fork_rng():
        flow = build({"type": "flow.Flow", "network": "dense"}, space)
    assert len(flow.layers) == 20
    assert flow.layers[0].network.inner.out_features == 256
    assert torch.equal(flow.layers[0].unchanged, flow.layers[1].transformed)


def test_two_networks_without_a_scale(sized):
    """Each of s and t depends on its own network alone."""
    flow = make(sized(1, 3, 4), network="two dense", scaled=False)
    x = torch.rand(5, *flow.space.state_shape, generator=torch.Generator().manual_seed(1))
    shift = flow.shift.clone()
    flow.prepare([Batch(x, Context(5))], RandomStreams(0, torch.arange(5)))
    assert torch.equal(flow.shift, shift) and not flow.shift.requires_grad
    layer = flow.layers[0]
    s, t = layer.terms(x)
    for term, other in ((s, layer.network.translation), (t, layer.network.scale)):
        gradients = torch.autograd.grad(term.sum(), other.parameters(), allow_unused=True, retain_graph=True)
        assert not any(gradient.any() for gradient in gradients)
    assert torch.equal(t, layer.network.translation(x * layer.unchanged)[:, 0] * layer.transformed)


def test_cells_that_never_exist_count_for_nothing(space):

    exists = space.exists.clone()
    exists[:3] = False
    flow = make(space.replace(exists=exists))
    x = torch.randn(2, *space.state_shape, generator=torch.Generator().manual_seed(0)) * exists
    other = x + ~exists * 3.0
    assert torch.allclose(flow.log_prob(x), flow.log_prob(other))
    drawn = flow.sample(Context(2), RandomStreams(0, torch.arange(2), 3))
    assert not drawn[..., :3, :].any()


def test_starts_at_the_gaussian_of_each_cell(space):
    generator = torch.Generator().manual_seed(0)
    mean, spread = (
        torch.randn(*space.state_shape, generator=generator),
        torch.rand(*space.state_shape, generator=generator) + 0.5,
    )
    x = mean + spread * torch.randn(3000, *space.state_shape, generator=generator)
    flow = make(space, noise=0.0)
    flow.prepare([Batch(x, Context(len(x)))], RandomStreams(0, torch.arange(len(x))))
    expected = torch.distributions.Normal(mean, spread).log_prob(x).sum(dim=(1, 2, 3)).mean()
    assert float(flow.log_prob(x).mean().detach()) == pytest.approx(float(expected), rel=0.01)


def test_learns_the_density_of_correlated_gaussians(sized):
    """Expected -log p is the entropy of the data plus what is not learnt yet."""
    space = sized(1, 2, 2, wraps=False)
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(4, 4, generator=generator)
    x = (torch.randn(4000, 4, generator=generator) @ root.T).view(-1, 1, 2, 2)
    flow = make(space, noise=0.0, network="dense", hidden=32, layers=6)
    flow.prepare([Batch(x, Context(len(x)))], RandomStreams(0, torch.arange(len(x))))
    optimiser = torch.optim.Adam(flow.parameters(), lr=5e-3)
    for step in range(400):
        index = torch.randint(4000, (256,), generator=generator)
        optimiser.zero_grad()
        flow.loss(Batch(x[index], Context(256)), RandomStreams(0, index, step=step)).total.backward()
        optimiser.step()
    entropy = 2 * math.log(2 * math.pi * math.e) + float(torch.linalg.slogdet(root)[1])
    results = -float(flow.log_prob(x).mean().detach())
    assert entropy - 0.1 < results < entropy + 0.15
    drawn = (
        flow.sample(Context(1), RandomStreams(0, torch.zeros(1, dtype=torch.long), 20_000))[0]
        .flatten(1)
        .detach()
    )
    assert torch.allclose(torch.cov(drawn.T), root @ root.T, atol=0.25 * float(root.square().sum(1).max()))


def test_the_density_is_the_weight_of_every_draw(space):
    flow = make(space)
    batch = Batch(torch.randn(2, *space.state_shape, generator=torch.Generator().manual_seed(0)), Context(2))
    weights = flow.log_weights(batch, RandomStreams(0, torch.arange(2), 3))
    assert torch.equal(weights, flow.log_prob(batch.x)[:, None].expand(2, 3))


def test_another_network_is_named(space):
    with pytest.raises(ValueError, match="attention"):
        make(space, network="attention")


def test_the_global_generator_is_neither_read_nor_moved(space):
    require_own_randomness(make(space), Batch(torch.zeros(2, *space.state_shape), Context(2)))
