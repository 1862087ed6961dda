import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from fieldcast.models.schedule import Schedule


def every(schedule):
    return torch.arange(len(schedule))


def test_the_marginal_is_that_of_the_iterated_chain():
    """Mean and variance step by step: m -> sqrt(1 - beta) m, v -> (1 - beta) v + beta. Noise adds in variance."""
    schedule, mean, variance = (
        Schedule(50, 1e-3, 0.2),
        torch.ones(1, dtype=torch.float64),
        torch.zeros(1).double(),
    )
    for t, beta in enumerate(schedule.beta):
        mean, variance = (1 - beta).sqrt() * mean, (1 - beta) * variance + beta
        abar = schedule.abar(torch.tensor([t]))
        assert torch.allclose(abar.sqrt(), mean, atol=1e-14)
        assert torch.allclose(1 - abar, variance, atol=1e-14)
    wrong = 1 - torch.prod(1 - schedule.beta.sqrt()) ** 2  # would follow from a sum of standard deviations
    assert abs(float(wrong - variance)) > 1e-3


def test_three_steps_by_hand():
    """q(x_3 | x_0) has mean sqrt(alpha_1 alpha_2 alpha_3) x_0."""
    schedule = Schedule(3, 0.1, 0.3)
    x, eps = torch.tensor([[2.0]]), torch.zeros(1, 1)
    assert float(schedule.noised(x, torch.tensor([2]), eps)) == pytest.approx(2 * math.sqrt(0.9 * 0.8 * 0.7))


def test_the_chain_drawn_step_by_step_has_the_marginal():
    schedule = Schedule(20, 1e-3, 0.3)
    generator = torch.Generator().manual_seed(0)
    x = torch.full((200_000,), 1.5)
    for beta in schedule.beta.float():
        x = (1 - beta).sqrt() * x + beta.sqrt() * torch.randn(len(x), generator=generator)
    abar = float(schedule.abar(torch.tensor([19])))
    assert float(x.mean()) == pytest.approx(math.sqrt(abar) * 1.5, abs=0.01)
    assert float(x.var()) == pytest.approx(1 - abar, rel=0.01)


def test_a_state_of_the_chain_is_gaussian_only_given_the_data():
    """x_0 = 1 or -1: x_t has the fourth moment E (a x_0 + b e)^4 = a^4 + 6 a^2 b^2 + 3 b^4 and variance a^2 + b^2 = 1,
    so an excess kurtosis of -2 a^4 = -2 abar_t^2. Given x_0 it has none."""
    schedule, count = Schedule(20, 1e-3, 0.3), 400_000
    generator = torch.Generator().manual_seed(0)
    x0 = torch.randint(2, (count, 1), generator=generator) * 2.0 - 1
    eps = torch.randn(count, 1, generator=generator)
    for t in (0, 8, 19):
        now = torch.full((count,), t)
        x, abar = schedule.noised(x0, now, eps), float(schedule.abar(torch.tensor(t)))

        def excess(x: torch.Tensor) -> float:
            z = (x - x.mean()) / x.std()
            return float((z**4).mean()) - 3

        assert excess(x) == pytest.approx(-2 * abar**2, abs=0.02)
        assert excess(x[x0[:, 0] > 0]) == pytest.approx(0, abs=0.04)


def test_the_end_of_the_reports_chain():
    """abar_T = 4.0358e-5: 2.02e-5 nats a dimension of unit variance, 0.0158 for 784 with x_0^2 = 1."""
    schedule, last = Schedule(), torch.tensor([999])
    assert float(schedule.abar(last)) == pytest.approx(4.0358e-5, rel=1e-4)
    assert 784 * float(schedule.kl_to_standard(last, 1.0)) == pytest.approx(0.0158, abs=5e-5)


def test_the_divergence_from_the_end_is_that_of_two_gaussians():
    schedule = Schedule()
    t, x0 = every(schedule), torch.tensor(1.7, dtype=torch.float64)
    abar = schedule.abar(t)
    q = Normal(abar.sqrt() * x0, (1 - abar).sqrt())
    term = torch.ones((), dtype=torch.float64)
    expected = kl_divergence(q, Normal(torch.zeros_like(term), term))
    result = schedule.kl_to_standard(t, x0.square().expand(1000))
    assert torch.allclose(result, expected, rtol=0, atol=1e-10)
    assert (result.diff() < 0).all()  # each step forgets


def test_the_chain_forgets_only_if_the_noise_does_not_end():
    """sum beta = infinity: beta = 1 / (t + 1) forgets, beta = 1 / (t + 1)^2 ends at abar = 1 / 2."""
    schedule = Schedule(4000)
    t = torch.arange(1, 4001, dtype=torch.float64)
    for beta, limit in ((1 / (t + 1), 1 / 4001), (1 / (t + 1) ** 2, 4002 / 4001 / 2)):
        assert float(torch.cumprod(1 - beta, 0)[-1]) == pytest.approx(limit, rel=1e-9)
    assert float(schedule.abar_by_step[-1]) < math.exp(-float(schedule.beta.sum()))


@pytest.mark.parametrize("steps", [10, 50, 250, 1000, 4000])
def test_a_chain_of_any_length_forgets_the_data(steps):
    schedule = Schedule.of(steps)
    assert float(schedule.abar_by_step[-1]) < 1e-4 and len(schedule) == steps
    assert steps != 1000 or torch.equal(schedule.beta, Schedule().beta)


def test_the_posterior_is_bayes_rule():
    """q(x_s | x_t, x_0) of the joint Gaussian of (x_s, x_t) given x_0: its conditional mean and variance."""
    schedule = Schedule(100, 1e-3, 0.2)
    t, s = torch.tensor([1, 40, 99, 60]), torch.tensor([0, 39, 98, 20])
    now, then = schedule.abar(t), schedule.abar(s)
    a, b, v = schedule.posterior(t, s)
    covariance = (now / then).sqrt() * (1 - then)  # covariance of x_s and x_t
    gain = covariance / (1 - now)
    assert torch.allclose(b, gain, rtol=1e-12)
    assert torch.allclose(a, then.sqrt() - gain * now.sqrt(), rtol=1e-10)
    assert torch.allclose(v, (1 - then) - gain * covariance, rtol=1e-10)
    beta = schedule.beta[1]
    alpha, before = 1 - beta, schedule.abar_by_step[0]
    assert float(v[0]) == pytest.approx(float((1 - before) / (1 - alpha * before) * beta), rel=1e-10)


def test_the_first_step_back_ends_at_the_data():
    a, b, v = Schedule().posterior(torch.tensor([0]))
    assert (float(a), float(b), float(v)) == (1, 0, 0)


def test_the_noise_is_not_the_difference_of_two_states():
    """x_t - x_{t-1} has variance 2 - 2 sqrt(alpha) for x_0 of unit variance, the noise 1."""
    schedule, generator = Schedule(), torch.Generator().manual_seed(0)
    x, eps = torch.randn(2, 100_000, 1, generator=generator)
    beta = schedule.beta[0]
    after = schedule.noised(x, torch.zeros(100_000, dtype=torch.long), eps)
    assert float((after - x).var()) == pytest.approx(float(2 - 2 * (1 - beta).sqrt()), rel=0.02)
