import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern

from fieldcast.models import kriging as module
from fieldcast.models.configuration import check_model
from fieldcast.models.core import Batch, Context
from fieldcast.models.gaussian.covariance_terms import EARTH_RADIUS_KM, Kernel, exponential, matern32
from fieldcast.models.gaussian.grid_points import observations
from fieldcast.models.kriging import CorrelationRoot, Kriging, harmonics
from fieldcast.models.points import Points
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space


def globe(latitudes: int, columns: int, variables: int = 1, poles: bool = False) -> Space:
    edge = math.pi / 2 if poles else math.pi / 2 * (1 - 1 / latitudes)
    up, around = torch.meshgrid(
        torch.linspace(-edge, edge, latitudes), torch.arange(columns) * 2 * math.pi / columns, indexing="ij"
    )
    points = torch.stack([up.cos() * around.cos(), up.cos() * around.sin(), up.sin()], dim=-1)
    area = up.cos() + 0.01
    exists = torch.ones(latitudes, columns, dtype=torch.bool)
    names = tuple(f"v{i}" for i in range(variables))
    return Space(
        names,
        True,
        area / area.mean(),
        exists,
        points,
        torch.zeros(0, latitudes, columns),
        torch.ones(variables),
    )


def solved(space: Space, length: float, nugget: float = 0.0, seed: int = 0) -> Kriging:
    """Kriging whose deviation varies from place to place."""
    model = Kriging(space)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(50, *space.state_shape, generator=generator) * (
        1 + torch.rand(*space.state_shape, generator=generator)
    )
    model.solve([Batch(x[:20], Context(20)), Batch(x[20:], Context(30))])
    model.choose(length=length, nugget=nugget)
    return model


def context(x: torch.Tensor, mask: torch.Tensor, noise: float = 0.0) -> Context:
    return Context(len(x), observed=x * mask, mask=mask.expand_as(x), noise=noise)


@pytest.fixture
def small():
    """A small globe, its kriging, and a third of the cells of two variables, each with its own mask."""
    space = globe(7, 12, variables=2)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(4, *space.state_shape, generator=generator)
    mask = torch.rand(1, *space.state_shape, generator=generator) < 0.3
    return space, solved(space, 2500.0, 0.02), x, mask


def test_mean_and_deviation_agree_with_scikit_learn(small):
    _space, model, x, mask = small
    points, noise = model.grid.points.numpy(), 0.2
    for v in range(2):
        o = mask[0, v].flatten().nonzero()[:, 0]
        deviation = model.deviation[v].double().numpy()
        alpha = (noise**2 / deviation**2 + float(model.nugget))[o]
        reference = GaussianProcessRegressor(
            Matern(2500 / EARTH_RADIUS_KM, nu=1.5), alpha=alpha, optimizer=None
        )
        reference.fit(points[o], x[0, v].flatten()[o].double().numpy() / deviation[o])
        mean, sd = reference.predict(points, return_std=True)
        (group,) = observations(model.grid, x[:1, v : v + 1], mask[:, v : v + 1])
        gain = model.gain(range(v, v + 1), group, noise)
        k = gain(torch.eye(len(o), dtype=torch.float64))
        c = matern32(torch.cdist(model.grid.points, model.grid.points) * EARTH_RADIUS_KM, 2500.0)
        c *= torch.outer(*[torch.from_numpy(deviation)] * 2)
        ours = gain(x[0, v].flatten()[o][None].double())[0]
        np.testing.assert_allclose(ours.numpy(), mean * deviation, atol=1e-6)
        left = (c.diagonal() - (k * c[o]).sum(0)).sqrt()
        np.testing.assert_allclose(left.numpy(), sd * deviation, atol=1e-6)


def test_draws_have_the_mean_and_covariance_of_the_posterior(small):
    _space, model, x, mask = small
    members, noise, v = 6000, 0.3, 1
    d = (
        model.sample(context(x[:1], mask, noise), RandomStreams(5, torch.tensor([3]), members))[0, :, v]
        .flatten(1)
        .double()
    )
    o = mask[0, v].flatten().nonzero()[:, 0]
    c = model.deviation[v].double()
    c = matern32(torch.cdist(model.grid.points, model.grid.points) * EARTH_RADIUS_KM, 2500.0) * torch.outer(
        c, c
    )
    r = torch.diag(noise**2 + float(model.nugget) * c.diagonal()[o])
    k = c[:, o] @ torch.linalg.inv(c[o][:, o] + r)
    mean, posterior = k @ x[0, v].flatten()[o].double(), c - k @ c[o]
    error = (d.mean(0) - mean) / (posterior.diagonal() / members).sqrt()
    assert error.abs().max() < 4.5
    sd = posterior.diagonal().sqrt()
    difference = (torch.cov(d.T) - posterior) / torch.outer(sd, sd) * math.sqrt(members)
    assert difference.abs().max() < 8  # in units of a sampling deviation of 1 to sqrt(2)
    assert difference.square().mean() < 2


def test_stations_and_cells_are_observed_together(small):
    """Mean of draws against the closed form, with H written out."""
    space, model, x, mask = small
    model.choose(nugget=0.0)
    cells = torch.stack(
        [torch.randperm(84, generator=torch.Generator().manual_seed(n))[:4] for n in range(40)]
    )
    weights = torch.full((40, 4), 0.25)
    variable, datum, y = torch.arange(40) % 2, torch.arange(40) // 10, torch.linspace(-1, 1, 40)
    points = Points(datum, variable, cells, weights, y, torch.full((40,), 0.2))
    c = replace(context(x, mask, 0.3), points=points)
    mean, rejected = model.analysis(c)
    assert not rejected.any()
    d = model.sample(c, RandomStreams(5, torch.arange(4), 3000))
    for row, v in ((0, 0), (3, 1)):
        o = mask[0, v].flatten().nonzero()[:, 0]
        own = (datum == row) & (variable == v)
        h = torch.zeros(int(own.sum()), 84, dtype=torch.float64).scatter_(1, cells[own], 0.25)
        h = torch.cat([torch.eye(84, dtype=torch.float64)[o], h])
        deviation = model.deviation[v].double()
        prior = matern32(torch.cdist(model.grid.points, model.grid.points) * EARTH_RADIUS_KM, 2500.0)
        prior = prior * torch.outer(deviation, deviation)
        r = torch.cat([torch.full((len(o),), 0.3**2), points.error[own]]).double()
        k = prior @ h.T @ torch.linalg.inv(h @ prior @ h.T + torch.diag(r))
        expected = k @ torch.cat([x[row, v].flatten()[o], y[own]]).double()
        np.testing.assert_allclose(mean[row, v].flatten(), expected, atol=1e-5)
        left = (prior - k @ h @ prior).diagonal().sqrt()
        assert ((d[row, :, v].mean(0).flatten() - expected) / left).abs().max() < 5 / math.sqrt(3000)
        np.testing.assert_allclose(d[row, :, v].std(0).flatten() / left, 1, atol=0.07)
    assert space.area.numel() == 84


def test_the_truth_is_one_of_the_draws():
    """Fields of the prior, observed: error and spread agree, and the truth ranks anywhere."""
    space = globe(6, 10)
    model = solved(space, 3000.0)
    count, members, noise = 300, 9, 0.2
    truth = model.sample(
        context(torch.zeros(1, 1, 6, 10), torch.zeros(1, 1, 6, 10, dtype=torch.bool)),
        RandomStreams(8, torch.tensor([0]), count),
    )[0]
    generator = torch.Generator().manual_seed(2)
    mask = (torch.rand(3, 1, 6, 10, generator=generator) < 0.2)[torch.arange(count) % 3]
    observed = truth + noise * torch.randn(truth.shape, generator=generator)
    d = model.sample(context(observed, mask, noise), RandomStreams(9, torch.arange(count), members))
    hidden = ~mask
    error = (d.mean(1) - truth).square()[hidden].mean()
    spread = d.var(1)[hidden].mean() * (1 + 1 / members)
    assert (spread / error).sqrt() == pytest.approx(1, abs=0.04)
    rank = (d < truth[:, None]).sum(1)[hidden]
    share = torch.bincount(rank, minlength=members + 1) / len(rank)
    assert (share - 0.1).abs().max() < 0.025


def test_exact_at_observations_without_nugget_and_noise(small):
    _, model, x, mask = small
    model.choose(nugget=0.0)
    d = model.sample(context(x, mask), RandomStreams(0, torch.arange(4), 3))
    assert ((d - x[:, None]) * mask).abs().max() < 1e-5


def test_nothing_observed_gives_the_prior(small):
    _space, model, x, mask = small
    d = model.sample(context(x[:1], mask & False), RandomStreams(0, torch.tensor([0]), 4000))[0]
    assert torch.allclose(d.std(0).flatten(1), model.deviation, rtol=0.06)


def test_members_do_not_know_the_batch_nor_the_global_random_state(small):
    space, model, x, _ = small
    mask = torch.rand(4, *space.state_shape, generator=torch.Generator().manual_seed(5)) < 0.4
    torch.manual_seed(0)
    whole = model.sample(context(x, mask, 0.1), RandomStreams(3, torch.arange(4), 5))
    torch.manual_seed(99)
    part = model.sample(context(x[2:3], mask[2:3], 0.1), RandomStreams(3, torch.tensor([2]), 5))
    assert torch.allclose(whole[2:3], part, atol=1e-5)
    other = model.sample(context(x[2:3], mask[2:3], 0.1), RandomStreams(4, torch.tensor([2]), 5))
    assert not torch.allclose(part, other, atol=0.1)


def test_poles_of_coincident_cells_do_no_harm():
    space = globe(9, 12, poles=True)
    model = solved(space, 3000.0)
    x = torch.ones(1, 1, 9, 12)
    d = model.sample(
        context(x, torch.ones(1, 1, 9, 12, dtype=torch.bool)), RandomStreams(0, torch.tensor([0]), 2)
    )
    assert torch.allclose(d, torch.ones_like(d), atol=1e-4)


def test_harmonics_are_orthonormal():
    x, weight = np.polynomial.legendre.leggauss(12)
    around = np.arange(24) * 2 * np.pi / 24
    sine = np.sqrt(1 - x**2)[:, None]
    points = np.stack(
        [sine * np.cos(around), sine * np.sin(around), np.broadcast_to(x[:, None], (12, 24))], -1
    )
    y = harmonics(torch.from_numpy(points.reshape(-1, 3)), 8).double()
    weights = torch.from_numpy(np.repeat(weight * 2 * np.pi / 24, 24))
    assert torch.allclose((y * weights[:, None]).T @ y, torch.eye(81, dtype=torch.float64), atol=1e-5)


@pytest.mark.parametrize(
    ("function", "length", "allowed"), [(matern32, 2000.0, 2e-3), (exponential, 3000.0, 0.07)]
)
def test_the_spectral_square_root_gives_the_correlation(monkeypatch, function, length, allowed):
    points = Kriging(globe(8, 12)).grid.points
    kernel = Kernel(function, length, points)
    expected = kernel.correlations_of(torch.arange(len(points)))
    exact = CorrelationRoot(kernel).root
    assert torch.allclose(exact @ exact.T, expected, atol=1e-9)
    monkeypatch.setattr(module, "MAX_EXACT_POINTS", 10)
    prior = CorrelationRoot(kernel)
    covariance = prior.root @ prior.root.T
    assert (covariance - expected).abs().max() < allowed  # what lies beyond degree 80 is white
    whole = covariance.diagonal() + prior.rest**2
    assert torch.allclose(whole, torch.ones_like(whole), atol=1e-3)


def test_a_loaded_model_draws_the_same(small):
    space, model, x, mask = small
    loaded = Kriging(space)
    loaded.load_state_dict(model.state_dict())
    assert loaded.tuned_values() == model.tuned_values()
    c, draws = context(x, mask), RandomStreams(0, torch.arange(4), 2)
    assert torch.equal(loaded.sample(c, draws.again()), model.sample(c, draws.again()))


def test_an_unknown_correlation_is_refused():
    with pytest.raises(ValueError, match="'gaussian' should be 'exponential', 'matern32' or 'matern52'"):
        check_model({"type": "kriging.Kriging", "correlation": "gaussian"}, "model")
