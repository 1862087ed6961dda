"""Censored values: their latent values, the variance of their errors, and their CRPS."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm, truncnorm

from fieldcast.models.gaps.censored import (
    Censored,
    censored_crps,
    expected_squares,
    mode,
    with_latent_values,
)
from fieldcast.models.gaps.error_variance import ErrorPredictors, error_variance
from fieldcast.models.gaps.low_rank_gaussian import LowRank
from fieldcast.models.gaps.reach import Columns
from fieldcast.models.gaps.record import Bounds, Record

INFINITE = torch.tensor(torch.inf, dtype=torch.float64)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def record_of(
    latent: torch.Tensor, observed: torch.Tensor, low: float, high: float = np.inf
) -> tuple[Record, Bounds]:
    """A record whose values are cut at two bounds."""
    x = latent.clamp(low, high).float()
    bounds = Bounds(torch.full_like(x, low), torch.full_like(x, high))
    angle = np.linspace(0, 1, x.shape[1])
    points = np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
    columns = Columns(points, torch.zeros(x.shape[1], dtype=torch.long), torch.ones(x.shape[1]))
    segment = torch.zeros(len(x), dtype=torch.long)
    return Record(x.masked_fill(~observed, 0.0), observed, segment, columns, bounds=bounds), bounds


@pytest.mark.parametrize("high", [np.inf, 1.5])
def test_latent_values_are_recovered_beyond_their_bounds(high: float) -> None:
    """Smooth fields of three modes: the error is a fraction of that of any one number in place of the values."""
    latent = normal(200, 3) @ normal(3, 40, seed=1) + 0.1 * normal(200, 40, seed=2)
    observed = normal(200, 40, seed=3) < 0.5
    record, (low, top) = record_of(latent, observed, -0.3, high)
    filled = with_latent_values(record)
    below, above = observed & (record.x <= low), observed & (record.x >= top)
    assert float(below.double().mean()) > 0.2
    for censored, beyond in ((below, filled.x <= low), (above, filled.x >= top)):
        if censored.any():
            truth, value = latent[censored], filled.x[censored].double()
            assert beyond[censored].all()
            assert float((value - truth).square().mean().sqrt()) < 0.6 * float(truth.std())
    exact = ~(below | above)
    torch.testing.assert_close(filled.x[exact & observed], record.x[exact & observed])
    without = Record(
        record.x.clamp(min=-0.29), observed, record.segment, record.columns, bounds=record.bounds
    )
    assert (with_latent_values(without) is without) == (high == np.inf)


def test_the_mode_is_that_of_the_censored_likelihood() -> None:
    """No gradient of log N(z) + sum log N(x) + sum log Phi((b - f) / s), by automatic differentiation, is left."""
    model = LowRank(normal(12), normal(2, 12, seed=1), torch.tensor(0.3, dtype=torch.float64))
    side = (normal(5, 12, seed=2) > 0.3).double() - (normal(5, 12, seed=3) > 1).double()
    exact = (side == 0) & (normal(5, 12, seed=4) > 0)
    values = Censored(normal(5, 12, seed=5), exact, side)
    z = torch.zeros(5, 2, dtype=torch.float64)
    for _ in range(5):
        z, precision = mode(model, values, z)
    z.requires_grad_()
    scaled = (values.x - model.mean - z @ model.weights) / 0.3**0.5
    log_p = -z.square().sum() / 2 - (scaled.square() * exact).sum() / 2
    log_p = log_p + (torch.special.log_ndtr(side * scaled) * side.abs()).sum()
    gradient = torch.autograd.grad(log_p, z, create_graph=True)[0]
    assert float(gradient.detach().abs().max()) < 1e-6
    second = torch.stack(
        [torch.autograd.grad(gradient[:, k].sum(), z, retain_graph=True)[0] for k in range(2)], 1
    )
    torch.testing.assert_close(-second, precision, atol=1e-5, rtol=1e-5)


def test_expected_squares_are_those_of_a_truncated_normal() -> None:
    mean, variance = torch.tensor([0.7, -3.0, 5.0]).double(), torch.tensor([0.5, 1.0, 2.0]).double()
    deviation = variance.sqrt().numpy()
    # truth at most 0.2, represented by 0.1: the bound minus it is 0.1; the error is mean - truth
    beyond = Bounds(torch.full_like(mean, 0.1), INFINITE.expand(3))
    below = [
        truncnorm((m - 0.2) / s, np.inf, scale=s).moment(2)
        for m, s in zip(mean.numpy(), deviation, strict=True)
    ]
    torch.testing.assert_close(expected_squares(mean - 0.1, beyond, variance), torch.tensor(below).double())
    beyond = Bounds(-INFINITE.expand(3), torch.full_like(mean, -0.1))
    above = [
        truncnorm(-np.inf, (m - 0.2) / s, scale=s).moment(2)
        for m, s in zip(mean.numpy(), deviation, strict=True)
    ]
    torch.testing.assert_close(expected_squares(mean - 0.3, beyond, variance), torch.tensor(above).double())
    beyond = Bounds(torch.full_like(mean, -1.0), torch.full_like(mean, 1.0))
    torch.testing.assert_close(expected_squares(mean, beyond, variance), mean.square())


def test_the_error_variance_of_censored_values_is_recovered() -> None:
    """Two thirds of the truth are at a bound; as errors of the bound, they give half of the variance."""
    number = 6000
    mean, ones = normal(number) - 0.4, torch.ones(number, dtype=torch.float64)
    truth = (mean + 0.8 * normal(number, seed=1)).clamp(min=0.0)
    predictors = ErrorPredictors(0.5 * ones, ones, ones, 0.1 * ones, 50 * ones)
    beyond = Bounds(-truth, INFINITE.expand(number))
    fitted = error_variance(mean - truth, predictors, ones, beyond)(predictors)
    assert float(fitted[0]) == pytest.approx(0.64, rel=0.05)
    assert abs(float(error_variance(mean - truth, predictors, ones)(predictors)[0]) - 0.64) > 0.1


@pytest.mark.parametrize("truth", [-2.0, 0.0, 0.3, 1.0, 4.0])
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-np.inf, 1.0), (0.0, np.inf), (-np.inf, np.inf)])
def test_the_crps_of_a_censored_normal_is_its_integral(truth: float, low: float, high: float) -> None:
    mean, spread = 0.4, 0.7
    first, last = max(low, -8.0), min(high, 9.0)
    expected = quad(
        lambda x: (norm.cdf(x, mean, spread) - (x >= truth)) ** 2,
        first,
        last,
        points=[min(max(truth, first), last)],
    )[0]
    ends = (torch.tensor([end - truth], dtype=torch.float64) for end in (low, high))
    beyond = Bounds(*ends)
    crps = censored_crps(torch.tensor([mean - truth]).double(), beyond, torch.tensor([spread]).double())
    assert float(crps[0]) == pytest.approx(expected, abs=1e-6)
