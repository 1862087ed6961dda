import math

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily
from torch.distributions import Normal as TorchNormal

from fieldcast.models.core import Batch, Context
from fieldcast.models.distributions import Normal, StandardNormal
from fieldcast.models.priors import CouplingPrior, Mixed, Mixture, Vamp, prior_given_encoder
from fieldcast.models.random_streams import RandomStreams


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def single(members):
    return RandomStreams(0, torch.zeros(1, dtype=torch.long), members)


def randomised(prior):
    for p in prior.parameters():
        torch.nn.init.normal_(p, std=0.5)
    return prior


def grid(span=7.0, count=281):
    """Points (1, N, 2) of a square, and the area of each."""
    axis = torch.linspace(-span, span, count)
    points = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1).reshape(1, -1, 2)
    return points, float((axis[1] - axis[0]) ** 2)


def test_a_mixture_is_that_of_torch():
    prior = randomised(Mixture(3, components=4))
    parts = Independent(TorchNormal(prior.means, torch.exp(prior.log_variances / 2)), 1)
    expected = MixtureSameFamily(Categorical(logits=prior.logits), parts)
    z = torch.randn(5, 6, 3)
    assert torch.allclose(prior.log_prob(z), expected.log_prob(z), atol=1e-5)
    drawn = prior.draw(single(50_000))[0]
    assert torch.allclose(drawn.mean(0), expected.mean, atol=0.03)
    assert torch.allclose(drawn.var(0), expected.variance, rtol=0.05)


def test_a_mixture_learns_two_clusters():
    """Clusters at -2 and 2 have a known entropy: their overlap is nothing."""
    prior = Mixture(1, components=4)
    sign = torch.where(torch.rand(1000) < 0.25, -2.0, 2.0)
    z = (sign + 0.3 * torch.randn(1000))[:, None, None]
    optimiser = torch.optim.Adam(prior.parameters(), lr=0.05)
    for _ in range(200):
        optimiser.zero_grad()
        (-prior.log_prob(z).mean()).backward()
        optimiser.step()
    entropy = -0.25 * math.log(0.25) - 0.75 * math.log(0.75) + 0.5 * math.log(2 * math.pi * math.e * 0.09)
    assert -prior.log_prob(z).mean().item() == pytest.approx(entropy, abs=0.06)


@pytest.mark.parametrize("kind", [Mixture, CouplingPrior])
def test_densities_integrate_to_one_and_match_the_draws(kind):
    prior = kind(2)
    with torch.no_grad():
        for p in prior.parameters():
            p.add_(0.15 * torch.randn_like(p))
    points, area = grid()
    p = prior.log_prob(points)[0].detach().exp()
    assert float(p.sum() * area) == pytest.approx(1, abs=0.01)
    drawn = prior.draw(single(50_000))[0].detach()
    mean = (p[:, None] * points[0]).sum(0) * area
    assert torch.allclose(drawn.mean(0), mean, atol=0.04)
    variance = (p[:, None] * (points[0] - mean) ** 2).sum(0) * area
    assert torch.allclose(drawn.var(0), variance, rtol=0.06)


def test_a_flow_prior_starts_as_the_standard_normal():
    z = torch.randn(2, 3, 4)
    assert torch.allclose(CouplingPrior(4).log_prob(z), StandardNormal(4).log_prob(z), atol=1e-5)
    assert len(CouplingPrior(4).layers) == 10


def test_one_component_is_too_few_for_a_flow():
    with pytest.raises(TypeError, match="two or more"):
        CouplingPrior(1)


class Halving(torch.nn.Module):
    """q(z | x) = N(first two cells / 2, 1)."""

    def forward(self, batch):
        mean = batch.x.flatten(1)[:, :2] / 2
        return Normal(mean, torch.zeros_like(mean))


def test_a_vamp_prior_is_the_mixture_of_the_posteriors_of_its_inputs(space):
    prior = Vamp(space, components=3)
    torch.nn.init.normal_(prior.logits)
    z = torch.randn(4, 2, 2)
    weights = torch.softmax(prior.logits, 0)
    means = prior.inputs.flatten(1)[:, :2] / 2
    expected = sum(
        w * TorchNormal(m, 1.0).log_prob(z).sum(-1).exp() for w, m in zip(weights, means, strict=True)
    ).log()
    p = prior_given_encoder(prior, Halving())
    assert torch.allclose(p.log_prob(z), expected, atol=1e-5)
    p.log_prob(z).sum().backward()
    assert prior.inputs.grad.abs().sum() > 0


def test_pseudo_inputs_start_at_training_states_and_stay_within_bounds(space):
    prior, x = Vamp(space, components=3, bounds=(0.0, 1.0)), torch.rand(20, *space.state_shape) * 3
    prior.prepare(Batch(x, Context(20)), RandomStreams(0, torch.arange(20)))
    assert all(any(torch.equal(u, state) for state in x) for u in prior.inputs)
    encoded = []
    prior_given_encoder(prior, lambda batch: encoded.append(batch.x) or Halving()(batch))
    assert float(encoded[0].max()) <= 1
    assert not any("encoder" in name for name in prior.state_dict())


def test_other_priors_do_not_look_at_the_encoder():
    prior = StandardNormal(2)
    assert prior_given_encoder(prior, None) is prior


def test_draws_after_a_mixture_differ_from_those_of_its_part():
    streams = RandomStreams(0, torch.arange(4), 6)
    z = Mixed(Normal(torch.zeros(1, 3), torch.zeros(1, 3)), torch.zeros(1)).draw(streams)
    assert not torch.isclose(z, streams.normal(3)).any()


def test_draws_from_a_mixture_do_not_depend_on_rows_or_members():
    parts = Normal(torch.randn(5, 3), torch.zeros(5, 3))
    mixed = Mixed(parts, torch.randn(5))
    streams = RandomStreams(0, torch.arange(4), 6)
    whole = mixed.draw(streams)
    assert torch.allclose(mixed.draw(RandomStreams(0, torch.tensor([2]), 2, first=3)), whole[[2]][:, 3:5])
    per_row = mixed.draw(RandomStreams(0, torch.arange(4), 6).per_row())
    assert torch.allclose(per_row[:, 0].unflatten(0, (4, 6)), whole)
