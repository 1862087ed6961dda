"""Probabilistic PCA: the density of the dense covariance, known truths recovered, and that of a library."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA

from fieldcast.errors import InputError
from fieldcast.models.configuration import build
from fieldcast.models.core import Batch, Context
from fieldcast.models.gaps.record import cells
from fieldcast.models.probabilistic_pca import ProbabilisticPCA
from fieldcast.models.random_streams import RandomStreams


def gaussian(space, count, rank=3, deviation=0.3, seed=0):
    """States x = mean + W z + e, and mean, W^T and s of what they are drawn from."""
    datum = torch.arange(count)
    pattern = RandomStreams(seed, torch.arange(rank)).normal(*space.state_shape)[:, 0]
    weights = pattern * torch.tensor([2.0, 1.0, 0.5, 0.4][:rank])[:, None, None, None]
    mean = 3 * RandomStreams(seed + 1, torch.arange(1)).normal(*space.state_shape)[0, 0]
    z, e = (
        RandomStreams(seed + 2, datum).normal(rank)[:, 0],
        RandomStreams(seed + 3, datum).normal(*space.state_shape)[:, 0],
    )
    return mean + torch.einsum("tq,qvyx->tvyx", z, weights) + deviation * e, mean, weights


def solved(space, x, components=64, scaled=False):
    model = ProbabilisticPCA(space, components, scaled)
    model.solve(batches_of(x))
    return model


def batches_of(x):
    return [Batch(part, Context(len(part))) for part in x.split(17)]


def covariance(model):
    w = cells(model.space, model.weights).double()
    return w.T @ w + float(model.variance) * torch.eye(w.shape[1], dtype=w.dtype)


@pytest.fixture
def coast(sized):
    """3 x 4 cells of two variables, five of which are never there."""
    space = sized(2, 3, 4)
    exists = space.exists.clone()
    exists[0] = exists[2, 1] = False
    return space.replace(exists=exists)


@pytest.mark.parametrize("components", [0, 3, 40])
@pytest.mark.parametrize("times", [9, 200])  # fewer than cells, and more
def test_log_prob_is_that_of_the_dense_covariance(coast, times, components):
    x, *_ = gaussian(coast, times + 20)
    model = solved(coast, x[:times], components)
    values = cells(model.space, x[times:]).double().numpy()
    dense = multivariate_normal(cells(model.space, model.mean).double().numpy(), covariance(model).numpy())
    assert torch.allclose(model.log_prob(x[times:]).double(), torch.tensor(dense.logpdf(values)), rtol=1e-5)
    weights = model.log_weights(Batch(x[times:], Context(20)), RandomStreams(0, torch.arange(20), 3))
    assert torch.equal(weights, model.log_prob(x[times:])[:, None].expand(20, 3))


@pytest.mark.parametrize("components", [0, 3])
def test_scaled_states_have_the_density_of_a_library_with_the_jacobian_of_the_scaling(sized, components):
    """log p(x) = log p(D^-1 x) - log |D|, D the standard deviations; draws have the covariance D C D."""
    space = sized(2, 3, 4)
    x, *_ = gaussian(space, 150)
    x = x * torch.linspace(0.2, 5, 24).reshape(space.state_shape)
    model = solved(space, x, components, scaled=True)
    sd = x.double().std(0, correction=0).flatten()
    unit = (x.double().flatten(1) - x.double().flatten(1).mean(0)) / sd
    pca = PCA(components, svd_solver="full").fit(unit.numpy() * math.sqrt(149 / 150))
    expected = pca.score_samples(unit.numpy()) - float(sd.log().sum())
    assert np.allclose(model.log_prob(x), expected, rtol=1e-4)
    drawn = model.sample(Context(1), RandomStreams(0, torch.zeros(1, dtype=torch.long), 50_000))[0]
    ratio = torch.cov((drawn.double().flatten(1) / sd).T).numpy() - pca.get_covariance()
    assert np.abs(ratio).max() < 0.03


def test_a_cell_that_never_varied_keeps_its_value(space):
    x, *_ = gaussian(space, 60)
    x[:, 0, 0, 0] = 4.0
    model = solved(space, x, scaled=True)
    drawn = model.sample(Context(1), RandomStreams(0, torch.zeros(1, dtype=torch.long), 100))[0, :, 0, 0, 0]
    assert (drawn - 4).abs().max() < 0.01 and model.log_prob(x).isfinite().all()


@pytest.mark.parametrize("components", [0, 2, 10])
def test_the_model_equals_the_probabilistic_pca_of_a_library(sized, components):
    space = sized(2, 3, 4)
    x, *_ = gaussian(space, 150)
    pca = PCA(components, svd_solver="full").fit(x.flatten(1).double().numpy())
    mean = x.mean(0)
    unbiased = mean + (x - mean) * math.sqrt(150 / 149)  # the library divides by one state fewer
    model = solved(space, unbiased, components)
    assert float(model.variance) == pytest.approx(pca.noise_variance_, rel=1e-5)
    assert np.allclose(covariance(model), pca.get_covariance(), rtol=1e-4, atol=1e-4)
    assert np.allclose(model.log_prob(x), pca.score_samples(x.flatten(1).double().numpy()), rtol=1e-4)


def test_more_states_than_cells_or_fewer_makes_no_difference(coast):
    """Every state four times over has the same covariance."""
    x, *_ = gaussian(coast, 11)
    few, many = solved(coast, x, 4), solved(coast, x.repeat(4, 1, 1, 1), 4)
    assert len(few.weights) == len(many.weights) == 4
    assert torch.allclose(few.variance, many.variance, rtol=1e-5)
    assert torch.allclose(covariance(few), covariance(many), atol=1e-5)


def test_a_known_gaussian_is_recovered_from_many_states(coast):
    x, mean, weights = gaussian(coast, 20_000)
    model = solved(coast, x, 3)
    assert float(model.variance) == pytest.approx(0.09, rel=0.02)
    w = cells(model.space, weights).double()
    truth = w.T @ w + 0.09 * torch.eye(w.shape[1])
    size = float(truth.diagonal().max())
    assert torch.allclose(covariance(model), truth, atol=0.03 * size)
    assert torch.allclose(
        cells(model.space, model.mean), cells(model.space, mean), atol=0.03 * math.sqrt(size)
    )


def test_draws_have_the_mean_and_covariance_of_the_model(coast):
    model = solved(coast, gaussian(coast, 200)[0], 3)
    x = model.sample(Context(2), RandomStreams(5, torch.arange(2), 20_000))
    assert x.shape == (2, 20_000, *coast.state_shape)
    assert not x[..., ~coast.exists].any()
    for row in cells(model.space, x):
        size = float(covariance(model).diagonal().max())
        assert torch.allclose(torch.cov(row.T).double(), covariance(model), atol=0.03 * size)
        assert torch.allclose(row.mean(0), cells(model.space, model.mean), atol=0.03 * math.sqrt(size))
    again = model.sample(Context(1), RandomStreams(5, torch.ones(1, dtype=torch.long), 2, first=10))
    assert torch.allclose(again[0], x[1, 10:12], atol=1e-6)  # however they are batched


def test_the_expected_density_of_its_own_draws_is_minus_the_entropy(coast):
    model = solved(coast, gaussian(coast, 200)[0], 3)
    x = model.sample(Context(1), RandomStreams(0, torch.zeros(1, dtype=torch.long), 20_000))[0]
    entropy = multivariate_normal(cov=covariance(model).numpy()).entropy()
    assert float(model.log_prob(x).mean()) == pytest.approx(-entropy, abs=0.1)


def test_states_in_few_dimensions_leave_one_to_the_noise(coast):
    x, *_ = gaussian(coast, 50, rank=3, deviation=0.0)
    model = solved(coast, x)
    assert len(model.weights) == 2
    assert float(model.variance) > 0
    assert torch.isfinite(model.log_prob(x)).all()


@pytest.mark.parametrize("components", [199, 5])
def test_hardly_any_variance_beyond_the_axes_is_the_same_in_memory_and_streamed(sized, components):
    space = sized(1, 10, 20)
    rng = np.random.default_rng(0)
    axes, deviations = np.linalg.qr(rng.normal(size=(200, 200)))[0], np.logspace(0, -4.5, 200)
    x = torch.tensor((rng.normal(size=(600, 200)) * deviations) @ axes.T).float().view(-1, 1, 10, 20)
    memory, streamed = (ProbabilisticPCA(space, components) for _ in range(2))
    memory.solve(batches_of(x))
    streamed.solve_streamed(lambda: iter(batches_of(x)))
    assert float(streamed.variance) == pytest.approx(float(memory.variance), rel=1e-3)
    assert float(memory.variance) > 0


def test_states_that_are_all_the_same_are_refused(coast):
    with pytest.raises(InputError, match="all the same"):
        solved(coast, torch.full((10, *coast.state_shape), 0.1))


def test_a_stored_model_is_the_same_model(coast):
    x, *_ = gaussian(coast, 50)
    model = solved(coast, x, 4)
    again = build({"type": "probabilistic_pca.ProbabilisticPCA", "components": 4}, coast)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.log_prob(x), model.log_prob(x))
    streams = RandomStreams(0, torch.arange(2))
    assert torch.equal(
        again.sample(Context(2), streams), model.sample(Context(2), RandomStreams(0, torch.arange(2)))
    )
