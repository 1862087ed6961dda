"""The Kalman smoother is conditioning in one Gaussian over all times; EM recovers the dynamics."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from fieldcast.models.gaps.expectation_maximisation import fit as fit_low_rank
from fieldcast.models.gaps.low_rank_gaussian import LowRank
from fieldcast.models.gaps.smoother import Dynamics, fit
from fieldcast.models.random_streams import RandomStreams


def system(cells: int, noise: float = 0.3) -> Dynamics:
    generator = torch.Generator().manual_seed(2)
    mean = torch.randn(cells, generator=generator, dtype=torch.float64)
    weights = torch.randn(2, cells, generator=generator, dtype=torch.float64)
    propagator = 0.95 * torch.tensor([[0.9, -0.4], [0.4, 0.9]], dtype=torch.float64)
    identity = torch.eye(2, dtype=torch.float64)
    low_rank = LowRank(mean, weights, torch.tensor(noise, dtype=torch.float64))
    return Dynamics(low_rank, propagator, 0.2 * identity, 2 * identity)


def run(model: Dynamics, segment: torch.Tensor, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    z = torch.empty(len(segment), 2, dtype=torch.float64)
    for t in range(len(segment)):
        eta = torch.randn(2, generator=generator, dtype=torch.float64)
        begins = t == 0 or segment[t] != segment[t - 1]
        z[t] = 2**0.5 * eta if begins else model.propagator @ z[t - 1] + 0.2**0.5 * eta
    e = torch.randn(len(segment), len(model.low_rank.mean), generator=generator, dtype=torch.float64)
    return model.low_rank.mean + z @ model.low_rank.weights + model.low_rank.variance.sqrt() * e


def dense(model: Dynamics, segment: torch.Tensor) -> torch.Tensor:
    """Covariance of (z_1 .. z_T), by the propagation written out."""
    times = len(segment)
    covariance = torch.zeros(times, 2, times, 2, dtype=torch.float64)
    for t in range(times):
        if t == 0 or segment[t] != segment[t - 1]:
            covariance[t, :, t] = model.start
            continue
        for s in range(t):
            covariance[t, :, s] = model.propagator @ covariance[t - 1, :, s]
            covariance[s, :, t] = covariance[t, :, s].T
        covariance[t, :, t] = (
            model.propagator @ covariance[t - 1, :, t - 1] @ model.propagator.T + model.forcing
        )
    return covariance.reshape(2 * times, 2 * times)


@pytest.fixture
def case() -> tuple[Dynamics, torch.Tensor, torch.Tensor, torch.Tensor]:
    model, segment = system(5), torch.tensor([0] * 7 + [1] * 4)
    observed = torch.rand(11, 5, generator=torch.Generator().manual_seed(4)) < 0.5
    observed[3], observed[7] = False, False
    return model, run(model, segment), observed, segment


def test_equals_the_conditional_of_the_dense_gaussian(case) -> None:
    model, x, observed, segment = case
    prior = dense(model, segment)
    operator = torch.kron(torch.eye(11, dtype=torch.float64), model.low_rank.weights.T.contiguous())
    of_x = operator @ prior @ operator.T + model.low_rank.variance * torch.eye(55, dtype=torch.float64)
    o = observed.flatten()
    y = (x - model.low_rank.mean).flatten()[o]
    gain = torch.linalg.solve(of_x[o][:, o], (operator @ prior)[o]).T
    mean, covariance = gain @ y, prior - gain @ (operator @ prior)[o]
    smoothed = model.smooth(x, observed, segment)
    assert torch.allclose(smoothed.mean.flatten(), mean, atol=1e-8)
    blocks = covariance.reshape(11, 2, 11, 2)
    for t in range(11):
        assert torch.allclose(smoothed.covariance[t], blocks[t, :, t], atol=1e-8)
        if t not in (0, 7):
            assert torch.allclose(smoothed.lagged[t], blocks[t, :, t - 1], atol=1e-8)
    exact = multivariate_normal.logpdf(y.numpy(), cov=of_x[o][:, o].numpy())
    assert smoothed.log_likelihood == pytest.approx(float(exact), abs=1e-8)


def test_draws_have_the_moments_of_the_smoother(case) -> None:
    model, x, observed, segment = case
    drawn = model.draw(x, observed, segment, RandomStreams(0, torch.arange(11), 200))
    smoothed, w = model.smooth(x, observed, segment), model.low_rank.weights
    mean = model.low_rank.mean + smoothed.mean @ w
    variance = torch.einsum("qc, tqr, rc -> tc", w, smoothed.covariance, w) + model.low_rank.variance
    held_out = ~observed
    assert torch.equal(drawn[:, 0][observed], x[observed])
    standard = (drawn.mean(1) - mean)[held_out] / variance.sqrt()[held_out] * 200**0.5
    assert float(standard.abs().max()) < 4.5
    assert torch.allclose(drawn.std(1)[held_out], variance.sqrt()[held_out], rtol=0.2)


def test_the_likelihood_never_falls_and_the_dynamics_are_recovered() -> None:
    truth, segment = system(12), torch.arange(240) // 120
    x = run(truth, segment)
    observed = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < 0.4
    start, _ = fit_low_rank(x, observed, 2)
    model, history = fit(x, observed, segment, start, iterations=15, tolerance=-1.0)
    assert np.diff(history).min() > -1e-9
    assert np.allclose(  # z is determined up to a change of basis, which keeps the eigenvalues of A
        np.sort_complex(np.linalg.eigvals(model.propagator.numpy())),
        np.sort_complex(np.linalg.eigvals(truth.propagator.numpy())),
        atol=0.08,
    )
    held_out = ~observed
    error = {}
    for name, filled in (
        ("low rank", start.expected(x, observed)),
        ("smoother", model.low_rank.mean + model.smooth(x, observed, segment).mean @ model.low_rank.weights),
    ):
        error[name] = float((filled - x)[held_out].square().mean())
    assert error["smoother"] < error["low rank"]
