"""The gain patch by patch: that of one matrix where all observations are near, and nearly so where they are not."""

import pytest
import torch

from fieldcast.models.core import Batch, Context
from fieldcast.models.gaussian import block_gaussian
from fieldcast.models.gaussian.block_gaussian import LocalGain, patches
from fieldcast.models.gaussian.covariance_terms import (
    DiagonalCovariance,
    Kernel,
    Parametric,
    SecondMoment,
    Tapered,
    gaspari_cohn,
    matern32,
)
from fieldcast.models.gaussian.kalman_gain import Gain
from fieldcast.models.optimal_interpolation import OptimalInterpolation
from fieldcast.models.random_streams import RandomStreams

PLACES, VARIABLES, OBSERVED = 400, 2, 300


@pytest.fixture(scope="module")
def points():
    x = torch.randn(PLACES, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x / x.norm(dim=1, keepdim=True)


@pytest.fixture(scope="module")
def index():
    return torch.randperm(VARIABLES * PLACES, generator=torch.Generator().manual_seed(1))[:OBSERVED]


@pytest.fixture
def small_patches(monkeypatch):
    monkeypatch.setattr(block_gaussian, "MAX_INSIDE_OBSERVATIONS", 10)
    monkeypatch.setattr(block_gaussian, "NEARBY_OBSERVATIONS", 80)


def gains(points, index):
    """Gains of one covariance: of one matrix, and patch by patch."""
    generator = torch.Generator().manual_seed(2)
    days = torch.randn(50, VARIABLES * PLACES, generator=generator, dtype=torch.float64)
    moments = SecondMoment(days, torch.full((50,), 1 / 50, dtype=torch.float64))
    deviation = torch.linspace(0.5, 1.5, VARIABLES * PLACES, dtype=torch.float64)
    between = torch.tensor([[1, 0.4], [0.4, 1]], dtype=torch.float64)
    terms = [
        Tapered(0.3, moments, Kernel(gaspari_cohn, 4000.0, points), PLACES),
        Parametric(0.7, deviation, between, Kernel(matern32, 800.0, points)),
        DiagonalCovariance(deviation / 10),
    ]
    variance = torch.linspace(0.1, 0.5, OBSERVED, dtype=torch.float64)
    common = terms, index, variance, deviation, VARIABLES * PLACES
    return Gain(*common), LocalGain(*common, points)


def test_patches_divide_the_places_and_the_observations(points, index, small_patches):
    parts = list(patches(points, index % PLACES))
    assert torch.equal(torch.cat([part.points for part in parts]).sort().values, torch.arange(PLACES))
    assert torch.equal(torch.cat([part.inside for part in parts]).sort().values, torch.arange(OBSERVED))
    for part in parts:
        assert torch.isin(index[part.inside] % PLACES, part.points).all()
        assert torch.isin(part.inside, part.nearby).all()
        assert len(part.inside) <= 10
        assert len(part.nearby) == 80
        low, high = points[part.points].amin(0), points[part.points].amax(0)
        where = points[index % PLACES]
        away = ((low - where).clamp(min=0) + (where - high).clamp(min=0)).norm(dim=1)
        others = torch.ones(OBSERVED, dtype=torch.bool).index_fill(0, part.nearby, False)
        assert away[others].min() >= away[part.nearby].max() - 1e-12


def test_with_all_observations_near_it_is_the_gain_of_one_matrix(points, index, monkeypatch):
    monkeypatch.setattr(block_gaussian, "MAX_INSIDE_OBSERVATIONS", 10)
    whole, local = gains(points, index)
    variance = whole.variance + sum(term.variance_of(index) for term in whole.terms)
    assert torch.allclose(variance, whole.expected)
    assert len(local.patches) > OBSERVED / 10
    y = torch.randn(3, OBSERVED, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    y[:, 7] = 40.0
    assert torch.allclose(local(y), whole(y), atol=1e-10)
    excess = whole.excess(y)
    assert excess[:, 7].min() > 1
    assert torch.allclose(local.excess(y), excess)
    assert torch.allclose(local(y, excess[0]), whole(y, excess[0]), atol=1e-10)
    for (rows, first), (same, second) in zip(local.checked(y), whole.checked(y), strict=True):
        assert torch.equal(rows, same)
        assert torch.allclose(first, second)


def test_the_nearest_observations_are_nearly_enough(sized, monkeypatch):
    """A stationary Gaussian: errors within 2 % of those of all observations, and the spread is that of the errors."""
    space = sized(variables=1, latitudes=16, columns=32)
    places = space.points.flatten(0, 1).double()
    covariance = matern32(torch.cdist(places, places) * 6371.0, 1500.0)
    root = torch.linalg.cholesky(covariance + 1e-6 * torch.eye(len(places)))
    generator = torch.Generator().manual_seed(4)
    x = (torch.randn(460, len(places), generator=generator, dtype=torch.float64) @ root.T).float()
    x = x.unflatten(1, space.state_shape)
    model = OptimalInterpolation(space)
    model.solve([Batch(x[:400], Context(400))])
    model.choose(weight=0.0, length=1500.0, nugget=0.0)
    truth, mask = x[400:], torch.rand(1, *space.state_shape, generator=generator) < 0.5
    y = (truth + 0.1 * torch.randn(truth.shape, generator=generator)) * mask
    c = Context(60, observed=y, mask=mask.expand_as(y), noise=0.1)
    streams = RandomStreams(0, torch.arange(60), 20)
    m, _, _ = model.moments(c, streams.again())
    monkeypatch.setattr(block_gaussian, "MAX_GLOBAL_OBSERVATIONS", 100)
    monkeypatch.setattr(block_gaussian, "MAX_INSIDE_OBSERVATIONS", 10)
    monkeypatch.setattr(block_gaussian, "NEARBY_OBSERVATIONS", 60)  # with 2, errors are a fifth larger
    local, spread, d = model.moments(c, streams.again())
    hidden = (~mask).expand_as(truth)
    exact = (m - truth)[hidden].square().mean().sqrt()
    error = (local - truth)[hidden].square().mean().sqrt()
    assert not torch.equal(local, m)
    assert error == pytest.approx(float(exact), rel=0.003)
    assert d.var(1)[hidden].mean().sqrt() == pytest.approx(float(error), rel=0.1)
    assert spread[hidden].square().mean().sqrt() == pytest.approx(float(error), rel=0.1)
