"""Gappy PCA: recovered truth, and the ridge regression and principal components of a library."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from fieldcast.models import masks
from fieldcast.models.core import Batch, Context
from fieldcast.models.gappy_pca import GappyPCA
from fieldcast.models.gaussian.modes import modes
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space


def make_space(latitudes=8, columns=12, variables=2, exists=None):
    phi = torch.linspace(-1.5, 1.5, latitudes)[:, None]
    lam = (torch.arange(columns) * 2 * np.pi / columns)[None]
    z = phi.sin().expand(latitudes, columns)
    points = torch.stack([phi.cos() * lam.cos(), phi.cos() * lam.sin(), z], dim=-1)
    area = phi.cos().expand(latitudes, columns)
    exists = torch.ones(latitudes, columns, dtype=torch.bool) if exists is None else exists
    names, static = tuple(f"v{i}" for i in range(variables)), torch.zeros(0, latitudes, columns)
    return Space(names, True, area / area[exists].mean(), exists, points, static, torch.ones(variables))


def states(space, count, rank=6, seed=0):
    """Fields in the span of a few patterns, of falling variance."""
    pattern = RandomStreams(seed, torch.arange(rank)).normal(*space.state_shape)[:, 0]
    score = RandomStreams(seed + 1, torch.arange(count)).normal(rank)[:, 0] / torch.arange(1, rank + 1)
    return torch.einsum("tr,rvyx->tvyx", score, pattern)


def solved(space, x, **values):
    model = GappyPCA(space)
    model.solve([Batch(part, Context(len(part))) for part in x.split(17)])
    model.choose(**values)
    return model


def fill(model, x, mask, noise=0.0, members=1):
    c = Context(len(x), observed=torch.where(mask, x, 0.0), mask=mask, noise=noise)
    return model.sample(c, RandomStreams(0, torch.arange(len(x)), members=members))


@pytest.mark.parametrize("times", [40, 400])  # fewer than cells, and more
def test_a_field_in_the_span_of_the_modes_is_recovered_from_a_few_cells(times):
    space = make_space()
    x = states(space, times + 5)
    model = solved(space, x[:times], modes=6.0, ridge=0.0)
    assert len(model.features) == 6  # what is left is rounding
    k = torch.full((5,), 0.15)
    mask = masks.draw(("random",), k, RandomStreams(0, torch.arange(5)), space, per_variable=True)
    result = fill(model, x[times:], mask, members=2)
    assert result.shape == (5, 2, *space.state_shape)
    assert torch.allclose(result[:, 0], x[times:], atol=2e-3)
    assert torch.equal(result[:, 0], result[:, 1])


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_gappy_pca_is_the_ridge_regression_on_the_modes(noise):
    space = make_space()
    x = states(space, 60, rank=30)
    model = solved(space, x[:50], modes=10.0, ridge=0.3)
    mask = masks.draw(("random", "blocks"), (0.05, 0.5), RandomStreams(3, torch.arange(10)), space)
    mask[5:] = mask[4]
    result = fill(model, x[50:], mask, noise)[:, 0]
    f = model.features[:10].flatten(1).double().numpy()
    for got, row, observed in zip(result, x[50:], mask, strict=True):
        where = observed.flatten().numpy()
        ridge = Ridge(alpha=0.3 + noise**2, fit_intercept=False, tol=1e-10)
        ridge.fit(f[:, where].T, row.flatten().double().numpy()[where])
        assert np.abs(got.flatten().numpy() - ridge.coef_ @ f).max() < 1e-5


@pytest.mark.parametrize("times", [40, 400])
def test_modes_are_the_principal_components_of_states_weighted_by_area(times):
    space = make_space()
    x = states(space, times, rank=30).flatten(1)
    x = torch.cat([x, -x])  # no mean, or the library would take it out
    area = space.area.expand(space.state_shape).flatten()
    f = modes(x, area, 8)
    pca = PCA(8, svd_solver="full").fit((x * area.sqrt()).double().numpy())
    variance = ((f * area.sqrt()) ** 2).sum(1).numpy()
    assert np.allclose(variance, pca.explained_variance_ * (len(x) - 1) / len(x), rtol=1e-4)
    expected = pca.components_ * np.sqrt(variance)[:, None]
    ours = (f * area.sqrt()).numpy()
    sign = np.sign((ours * expected).sum(1, keepdims=True))
    assert np.abs(ours - sign * expected).max() < 2e-3 * np.abs(expected).max()


def test_all_modes_give_the_covariance_whatever_the_area():
    space = make_space()
    x = states(space, 400, rank=30).flatten(1)
    for area in (torch.ones(x.shape[1]), space.area.expand(space.state_shape).flatten()):
        f = modes(x, area, 400)
        covariance = x.T @ x / len(x)
        assert torch.allclose(f.T @ f, covariance, atol=1e-3 * float(covariance.max()))


def test_variables_inform_each_other():
    space = make_space()
    x = states(space, 105)
    model = solved(space, x[:100], modes=6.0, ridge=1e-4)
    mask = torch.zeros(5, *space.state_shape, dtype=torch.bool)
    mask[:, 0] = True  # nothing of the second variable
    assert torch.allclose(fill(model, x[100:], mask)[:, 0], x[100:], atol=2e-2)


def test_without_observations_the_climatology_remains():
    exists = torch.ones(8, 12, dtype=torch.bool)
    exists[2:5, 3:7] = False
    space = make_space(exists=exists)
    x = states(space, 60)
    x[..., ~exists] = 0.0
    model = solved(space, x, modes=20.0, ridge=0.1)
    result = fill(model, x[:3], torch.zeros(3, *space.state_shape, dtype=torch.bool))
    assert (result == 0).all()
    hidden = x.clone()
    hidden[..., ~exists] = torch.nan
    other = solved(space, hidden, modes=20.0, ridge=0.1)
    assert torch.equal(model.features, other.features)
    mask = masks.draw(("random",), (0.2, 0.2), RandomStreams(0, torch.arange(3)), space)
    assert (fill(model, x[:3], mask)[..., ~exists] == 0).all()


def test_a_fresh_model_takes_the_state_of_a_solved_one():
    space = make_space()
    x = states(space, 60)
    model = solved(space, x, modes=10.0, ridge=0.03)
    fresh = GappyPCA(space)
    fresh.load_state_dict(model.state_dict(), strict=True)
    mask = masks.draw(("random",), (0.2, 0.2), RandomStreams(0, torch.arange(4)), space)
    assert torch.equal(fill(fresh, x[:4], mask), fill(model, x[:4], mask))
    assert fresh.tuned_values() == model.tuned_values()
    with pytest.raises(RuntimeError, match="size mismatch"):
        GappyPCA(make_space(columns=16)).load_state_dict(model.state_dict())


def test_a_short_record_and_few_observations_need_the_ridge():
    """Least squares with as many modes as observations amplifies noise; a ridge, or knowing it, does not."""
    space = make_space()
    x = states(space, 230, rank=60)
    truth, training = x[200:], x[:200]
    mask = masks.draw(("random",), torch.full((30,), 0.3), RandomStreams(0, torch.arange(30)), space)
    noisy = truth + 0.5 * RandomStreams(9, torch.arange(30)).normal(*space.state_shape)[:, 0]
    error = {}
    for ridge in (1e-4, 0.3):
        model = solved(space, training, modes=50.0, ridge=ridge)
        error[ridge] = float((fill(model, noisy, mask)[:, 0] - truth)[~mask].square().mean())
    informed = solved(space, training, modes=50.0, ridge=1e-4)
    error["noise"] = float((fill(informed, noisy, mask, noise=0.5)[:, 0] - truth)[~mask].square().mean())
    assert error[0.3] < 0.7 * error[1e-4]
    assert error["noise"] < 0.7 * error[1e-4]
