"""The posterior of a Gaussian of low rank beside that of the dense Gaussian."""

import torch

from fieldcast.models.gaps.low_rank_gaussian import LowRank, pairs, symmetric
from fieldcast.models.random_streams import RandomStreams
from tests.models.gaps.low_rank_data import low_rank, sampled


def test_tables_of_pairs_are_symmetric_matrices() -> None:
    z = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(symmetric(pairs(z), 4), z[:, :, None] * z[:, None])


def test_expectation_is_that_of_the_dense_gaussian() -> None:
    model = low_rank(9, 2)
    x, observed = sampled(model, 5, 0.5)
    mean, spread = model.expected(x, observed), model.spread(x, observed)
    covariance = model.weights.T @ model.weights + model.variance * torch.eye(9, dtype=torch.float64)
    for t in range(5):
        o = observed[t]
        gain = torch.linalg.solve(covariance[o][:, o], covariance[o]).T
        expected = model.mean + gain @ (x[t] - model.mean)[o]
        conditional = covariance - gain @ covariance[o]
        assert torch.allclose(mean[t][~o], expected[~o], atol=1e-8) and torch.equal(mean[t][o], x[t][o])
        assert torch.allclose(spread[t][~o], conditional.diagonal().sqrt()[~o], atol=1e-8)
        assert not spread[t][o].any()


def test_draws_have_the_moments_of_the_conditional_distribution() -> None:
    model = low_rank(9, 2)
    x, observed = sampled(model, 2, 0.5)
    mean, spread = model.expected(x, observed), model.spread(x, observed)
    drawn = model.draw(x, observed, RandomStreams(3, torch.arange(2), 20000))
    assert torch.allclose(drawn.mean(1), mean, atol=0.03)
    assert torch.allclose(drawn.std(1), spread, atol=0.03)


def test_the_axes_are_orthogonal_and_hold_the_second_moment() -> None:
    model, area = low_rank(9, 2), torch.linspace(0.5, 1.5, 9, dtype=torch.float64)
    axes = model.axes(area)
    expected = model.weights.T @ model.weights + model.mean[:, None] * model.mean
    assert torch.allclose(axes.T @ axes, expected)
    gram = (axes * area) @ axes.T
    assert torch.allclose(gram, torch.diag(gram.diagonal()), atol=1e-10)
    assert (gram.diagonal().diff() < 0).all()


def test_the_posterior_of_smooth_fields_in_single_precision_is_exact() -> None:
    """s^2 as small as the rounding of W_o W_o^T in single precision."""
    model = low_rank(900, 5, noise=1e-5)
    x, observed = sampled(model, 20, 0.3)
    x, single = x.float(), LowRank(model.mean.float(), model.weights.float(), model.variance)
    double = LowRank(single.mean.double(), single.weights.double(), model.variance)
    for ours, exact in zip(
        single.posterior(x, observed), double.posterior(x.double(), observed), strict=True
    ):
        assert torch.allclose(ours, exact, rtol=1e-10, atol=1e-12)
