import math

import pytest
import torch
from scipy import integrate
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import ContinuousBernoulli as TorchContinuous
from torch.distributions import Normal as TorchNormal

from fieldcast.models.likelihoods import (
    MAX_SERIES_LOG_ODDS,
    Bernoulli,
    ContinuousBernoulli,
    Gaussian,
    log_normaliser,
)
from fieldcast.models.random_streams import RandomStreams

EVERYWHERE = torch.ones(3, 4, dtype=torch.bool)


def states(seed=0, count=5):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 2, 3, 4, generator=generator), torch.rand(count, 2, 3, 4, generator=generator)


def test_densities_equal_torch():
    output, x = states()
    whole = {"dim": (1, 2, 3)}
    sigma = Gaussian(0.3)
    assert torch.allclose(
        sigma.log_prob(x, output, EVERYWHERE), TorchNormal(output, 0.3).log_prob(x).sum(**whole), rtol=1e-5
    )
    binary = (x > 0.5).float()
    expected = TorchBernoulli(logits=output).log_prob(binary).sum(**whole)
    assert torch.allclose(Bernoulli().log_prob(binary, output, EVERYWHERE), expected, rtol=1e-5)
    expected = TorchContinuous(logits=output.double()).log_prob(x.double()).sum(**whole)
    result = ContinuousBernoulli().log_prob(x.double(), output.double(), EVERYWHERE)
    assert torch.allclose(result, expected, atol=1e-2)  # torch's own series is coarse


def test_members_share_a_state():
    output, x = states()
    members = torch.stack([output, -output], dim=1)
    for likelihood in (Gaussian(0.3), Bernoulli(), ContinuousBernoulli()):
        both = likelihood.log_prob(x[:, None], members, EVERYWHERE)
        assert both.shape == (5, 2)
        assert torch.allclose(both[:, 1], likelihood.log_prob(x, -output, EVERYWHERE))


def test_cells_that_never_exist_do_not_count():
    output, x = states()
    exists = EVERYWHERE.clone()
    exists[0] = False
    for likelihood in (Gaussian(0.3), Bernoulli(), ContinuousBernoulli()):
        inner = likelihood.log_prob(x[:, :, 1:], output[:, :, 1:], EVERYWHERE[1:])
        assert torch.allclose(likelihood.log_prob(x, output, exists), inner, rtol=1e-5)


@pytest.mark.parametrize(
    "log_odds", [-30.0, -3.0, -0.06, -0.04, -1e-4, 0.0, 1e-8, 0.049, 0.051, 1.0, 12.0, 80.0]
)
def test_a_continuous_bernoulli_has_the_mass_one_and_its_mean(log_odds):
    """Numerical integration of m^x (1 - m)^(1 - x) C."""
    odds = torch.tensor(log_odds, dtype=torch.float64)
    constant = float(log_normaliser(odds)) - float(torch.nn.functional.softplus(odds))

    def density(x):
        return math.exp(log_odds * x + constant)

    ends = [1 / abs(log_odds) * 3] if abs(log_odds) > 4 else None
    points = None if ends is None else [1 - ends[0] if log_odds > 0 else ends[0]]
    mass = integrate.quad(density, 0, 1, points=points, epsabs=1e-13)[0]
    mean = integrate.quad(lambda x: x * density(x), 0, 1, points=points, epsabs=1e-13)[0]
    assert mass == pytest.approx(1, abs=1e-9)
    assert float(ContinuousBernoulli().mean(odds.view(1, 1))) == pytest.approx(mean, abs=1e-9)


def test_the_normaliser_is_smooth_where_its_series_takes_over_in_single_precision():
    """log C is log 2 at a half, and 2 artanh(1 - 2 m) / (1 - 2 m) elsewhere (Loaiza-Ganem and Cunningham, eq. 6)."""
    odds = torch.linspace(-0.2, 0.2, 2001, dtype=torch.float64)
    exact = torch.log(odds / 2 / torch.tanh(odds / 2)).nan_to_num(0.0) + math.log(2)
    assert torch.allclose(log_normaliser(odds), exact, atol=1e-11)
    assert torch.allclose(log_normaliser(odds.float()).double(), exact, atol=1e-6)
    assert float(log_normaliser(torch.zeros(1))) == pytest.approx(math.log(2))
    for edge in (MAX_SERIES_LOG_ODDS, 0.0, 2.0, -MAX_SERIES_LOG_ODDS):
        at = torch.tensor([edge], dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(log_normaliser(at).sum(), at)
        step = 1e-4
        ahead, behind = (
            math.log(2) if x == 0 else math.log(abs(x / math.tanh(x / 2))) for x in (edge + step, edge - step)
        )
        assert float(slope) == pytest.approx((ahead - behind) / (2 * step), abs=1e-6)


def test_draws_have_the_mean():
    output = torch.tensor([-20.0, -2.0, -1e-5, 0.0, 0.5, 4.0]).view(1, 1, 1, 1, 6)
    for likelihood in (Gaussian(0.5), Bernoulli(), ContinuousBernoulli()):
        drawn = likelihood.draw(
            output.expand(1, 40_000, 1, 1, 6), RandomStreams(0, torch.zeros(1, dtype=torch.long), 40_000)
        )
        assert torch.allclose(drawn.mean(1), likelihood.mean(output)[:, 0], atol=0.01)


def test_draws_of_a_continuous_bernoulli_follow_its_distribution():
    from scipy import stats

    for log_odds in (-3.0, 0.7, 0.0):
        output = torch.full((1, 5000, 1, 1, 1), log_odds)
        x = (
            ContinuousBernoulli()
            .draw(output, RandomStreams(0, torch.zeros(1, dtype=torch.long), 5000))
            .flatten()
        )

        def cumulative(x, a=log_odds):
            return x if a == 0 else (torch.expm1(torch.as_tensor(a * x)) / math.expm1(a)).numpy()

        assert stats.kstest(x.numpy(), cumulative).pvalue > 1e-3
