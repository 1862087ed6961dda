"""The linear inverse model: processes of known operators and covariances, and what must hold whatever the data."""

import copy

import numpy as np
import pytest
import torch
from scipy.linalg import solve_discrete_lyapunov

from fieldcast.models.core import Context
from fieldcast.models.gaussian.training_series import series
from fieldcast.models.linear_inverse_model import (
    LinearInverseModel,
    autoregression,
    lagged_covariances,
    stationary_covariances,
)
from fieldcast.models.random_streams import RandomStreams
from fieldcast.training.batches import ForecastWindows
from fieldcast.training.state_source import InMemory

CELLS = 24  # values of a small state: 2 x 3 x 4
TIMES = 20000


@pytest.fixture
def small(space):
    part = {name: getattr(space, name)[3:6, :4] for name in ("area", "exists", "points")}
    return space.replace(**part, static=space.static[:, 3:6, :4])


def windows(space, x, segment=None):
    segment = torch.zeros(len(x), dtype=torch.long) if segment is None else segment
    x = x.float().reshape(len(x), *space.state_shape)
    return ForecastWindows(
        InMemory(x, torch.zeros(len(x)), segment), space, LinearInverseModel.history
    ).states()


def solved(space, x, segment=None, **tuned):
    model = LinearInverseModel(space)
    model.solve(windows(space, x, segment))
    model.choose(**{"truncation": 700.0, "ridge": 0.0, **tuned})
    return model


def simulate(operators, covariance, count=TIMES, seed=0):
    """x_{t+1} = A_1 x_t + A_2 x_{t-1} + e, e ~ N(0, covariance)."""
    generator = np.random.default_rng(seed)
    e = generator.normal(size=(count, CELLS)) @ np.linalg.cholesky(covariance).T
    x = np.zeros((count, CELLS))
    for t in range(count):
        x[t] = e[t] + sum(a @ x[t - 1 - lag] for lag, a in enumerate(operators) if t > lag)
    return torch.from_numpy(x)


def operator(radius, seed):
    a = np.random.default_rng(seed).normal(size=(CELLS, CELLS))
    return a * radius / np.abs(np.linalg.eigvals(a)).max()


def covariance(seed):
    root = np.random.default_rng(seed).normal(size=(CELLS, CELLS))
    return root @ root.T / CELLS + 0.2 * np.eye(CELLS)


def in_cells(model, matrix):
    """Blocks of a matrix between coefficients as matrices between cells: F M (F^T A F)^-1 F^T A."""
    f = model.features.flatten(1).double().numpy()
    variances = model.mode_variances()
    to = np.stack([model.coefficients(row, variances).double().numpy() for row in torch.eye(CELLS)], axis=1)
    return [f.T @ block @ to for block in np.split(np.asarray(matrix), matrix.shape[1] // len(f), axis=1)]


def spectral_radius(g):
    modes = len(g)
    below = np.eye(g.shape[1] - modes, g.shape[1])
    return np.abs(np.linalg.eigvals(np.concatenate([g, below]))).max()


def test_an_ornstein_uhlenbeck_process_is_recovered(small):
    """Operator and covariance of the noise, in standard errors of the best estimates there are."""
    a, q = operator(0.9, 1), covariance(2)
    model = solved(small, simulate([a], q))
    derived = model.operators()
    (estimate,) = in_cells(model, derived.G.numpy())
    stationary = solve_discrete_lyapunov(a, q)
    error = np.sqrt(np.outer(np.diag(q), np.diag(np.linalg.inv(stationary))) / TIMES)
    assert abs(np.mean(((estimate - a) / error) ** 2) - 1) < 0.3
    assert np.abs((estimate - a) / error).max() < 4.5
    f = model.features.flatten(1).double().numpy()
    error = np.sqrt((q**2 + np.outer(np.diag(q), np.diag(q))) / TIMES)
    assert np.abs((f.T @ derived.Q.numpy() @ f - q) / error).max() < 4.5
    assert torch.allclose(derived.root @ derived.root.T, derived.Q.float(), atol=1e-6)


def test_an_autoregression_of_order_two_needs_two_states(small):
    a1, a2, q = operator(0.5, 3), -0.4 * np.eye(CELLS), covariance(4)
    x = simulate([a1, a2], q)
    model = solved(small, x, states=2.0)
    estimate = in_cells(model, model.operators().G.numpy())
    assert np.abs(estimate[0] - a1).max() < 0.05
    assert np.abs(estimate[1] - a2).max() < 0.05
    f = model.features.flatten(1).double().numpy()
    assert np.allclose(f.T @ model.operators().Q.numpy() @ f, q, atol=0.06)
    past = x[:200].float().reshape(100, 2, *small.state_shape)
    model.deterministic = True
    drawn = model.sample(Context(100, past=past), RandomStreams(0, torch.arange(100)))[:, 0].flatten(1)
    expected = x[1:200:2] @ torch.from_numpy(a1).T + x[:200:2] @ torch.from_numpy(a2).T
    assert (drawn - expected).square().mean() < 0.002 * x.square().mean()
    model.choose(states=1.0)
    single = model.sample(Context(100, past=past), RandomStreams(0, torch.arange(100)))[:, 0].flatten(1)
    assert (single - expected).square().mean() > 0.05 * x.square().mean()


@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_its_stationary_covariance_is_that_of_the_training_states(small, ridge):
    """Stationary covariance in closed form, P = G P G^T + Q, and over a long simulation."""
    x = simulate([operator(0.9, 1)], covariance(2), 3000)
    model = solved(small, x, ridge=ridge)
    derived = model.operators()
    stationary = solve_discrete_lyapunov(derived.G.double().numpy(), derived.Q.numpy())
    assert np.allclose(stationary, model.covariances[0].numpy(), atol=1e-4)
    batch_size, states = 2000, []
    c = Context(batch_size, past=torch.zeros(batch_size, 2, *small.state_shape))
    for step in range(60):
        drawn = model.sample(c, RandomStreams(0, torch.arange(batch_size), step=step))[:, 0]
        c = c.advance(drawn, 0.0)
        if step >= 40:
            states.append(drawn.flatten(1))
    simulated, given = (z.T.double() @ z.double() / len(z) for z in (torch.cat(states), x))
    deviation = given.diagonal().sqrt()
    assert ((simulated - given) / deviation[:, None] / deviation).abs().max() < 0.05


@pytest.mark.parametrize("states", [1.0, 2.0])
@pytest.mark.parametrize("ridge", [0.0, 0.01, 1.0])
@pytest.mark.parametrize(("count", "length"), [(20, 7), (60, 20), (60, 4), (400, 134), (400, 5)])
def test_noise_has_no_negative_variance_and_the_operator_is_stable(small, count, length, ridge, states):
    """The record drifts, is in pieces, and has fewer times than a state has values."""
    x = simulate([operator(0.99, 5)], covariance(6), count) + torch.linspace(0, 5, count)[:, None]
    segment = torch.arange(count) // length
    derived = solved(small, x, segment, ridge=ridge, states=states).operators()
    assert torch.linalg.eigvalsh(derived.Q).min() > -1e-5  # C_0 is the identity to single precision
    assert spectral_radius(derived.G.double().numpy()) < 1 + 1e-5


def test_lags_do_not_cross_the_end_of_a_segment(small):
    x = simulate([operator(0.9, 1)], covariance(2), 30)
    segment = (torch.arange(30) >= 13).long()
    record = series(windows(small, x, segment), small.exists)
    estimate = lagged_covariances(x, record.stretch)
    for lag in range(3):
        pairs = [t for t in range(30 - lag) if segment[t] == segment[t + lag]]
        mean = sum(torch.outer(x[t + lag], x[t]) for t in pairs) / len(pairs)
        assert torch.allclose(estimate[lag], (1 - lag / 30) * mean)


def test_gaps_do_not_shrink_the_operator(small):
    """The operator of a record with a gap after every ten states is that of least squares over the same pairs."""
    x = simulate([operator(0.9, 1)], covariance(2))
    kept = torch.arange(TIMES) % 11 > 0
    segment = (torch.arange(TIMES) // 11)[kept]
    model = solved(small, x[kept], segment)
    (estimate,) = in_cells(model, model.operators().G)
    pairs = kept[1:] & kept[:-1]
    expected = np.linalg.lstsq(x[:-1][pairs].numpy(), x[1:][pairs].numpy(), rcond=None)[0].T
    assert np.abs(estimate - expected).max() < 0.02  # 0.057 if the pairs were divided by n


def test_covariances_after_gaps_are_those_stationary_covariances(small):
    """Pairs of states in which x_{t+1} = 1.2 x_t on average belong to no stationary series."""
    eye = torch.eye(2, dtype=torch.double)
    stretched = stationary_covariances(torch.stack([eye, 1.2 * eye]))
    assert torch.allclose(stretched[0], eye) and torch.allclose(stretched[1], eye)
    possible = torch.stack([eye, 0.9 * eye, 0.8 * eye])
    assert torch.equal(stationary_covariances(possible), possible)


def test_a_ridge_shrinks_the_operator_towards_the_climatology(small):
    x = simulate([operator(0.9, 1)], covariance(2), 500)
    c = lagged_covariances(x, series(windows(small, x), small.exists).stretch)
    none, q = autoregression(c, torch.zeros(CELLS).double(), 1)
    assert torch.allclose(none @ c[0], c[1])
    assert torch.allclose(q, c[0] - c[1] @ torch.linalg.solve(c[0], c[1].T))
    much, noise = autoregression(c, torch.full((CELLS,), 1e9).double(), 1)
    assert much.abs().max() < 1e-6
    assert torch.allclose(noise, c[0])


def test_the_residual_of_the_modes_persists_and_keeps_its_variance(space):
    x = RandomStreams(0, torch.arange(100)).normal(*space.state_shape)[:, 0] * torch.linspace(0.1, 2, 16)
    model = solved(space, x, truncation=30.0, persistence=0.6)
    f, derived = model.features.flatten(1), model.operators()
    assert len(f) == 100
    per_cell = f[:30].square().sum(0) + derived.scale.square() * f[30:].square().sum(0)
    assert torch.allclose(per_cell, x.square().mean(0).flatten(), rtol=1e-4)
    now = RandomStreams(1, torch.arange(1)).normal(*space.state_shape)[:, 0].flatten(1)
    r = now - model.coefficients(now, derived.L) @ f[:30]
    assert model.coefficients(r, derived.L).abs().max() < 1e-4
    past = r.unflatten(1, space.state_shape)[:, None].expand(-1, 2, -1, -1, -1)
    drawn = model.sample(Context(1, past=past), RandomStreams(0, torch.arange(1), members=4000))[0].flatten(1)
    noise = drawn - 0.6 * r
    expected = f[:30].T @ derived.Q.float() @ f[:30]
    expected += 0.64 * (f[30:] * derived.scale).T @ (f[30:] * derived.scale)
    deviation = expected.diagonal().sqrt()
    error = (noise.T @ noise / 4000 - expected) / deviation[:, None] / deviation
    assert error.abs().max() < 6 / 4000**0.5


def test_without_noise_the_step_is_the_mean_of_its_draws(small):
    x = simulate([operator(0.9, 1)], covariance(2), 300)
    model = solved(small, x, truncation=10.0, states=2.0)
    still = LinearInverseModel(small, stochastic=False)
    still.load_state_dict(model.state_dict())
    assert still.deterministic and not model.deterministic
    c = Context(2, past=x[:4].float().reshape(2, 2, *small.state_shape))
    drawn = model.sample(c, RandomStreams(0, torch.arange(2), members=4000))
    mean = still.sample(c, RandomStreams(0, torch.arange(2), members=3))
    assert torch.equal(mean[:, 0], mean[:, 2])
    assert ((drawn.mean(1) - mean[:, 0]) / drawn.std(1) * 4000**0.5).abs().max() < 4.5


def test_draws_do_not_depend_on_the_batch(small):
    x = simulate([operator(0.9, 1)], covariance(2), 300)
    model = solved(small, x, truncation=10.0, states=2.0)
    past = x[:12].float().reshape(6, 2, *small.state_shape)
    whole = model.sample(Context(6, past=past), RandomStreams(0, torch.arange(6), members=3))
    alone = model.sample(Context(1, past=past[4:5]), RandomStreams(0, torch.tensor([4]), members=3))
    assert torch.allclose(alone[0], whole[4], atol=1e-5)
    batch_size = model.sample(
        Context(6, past=past).repeat(3), RandomStreams(0, torch.arange(6), members=3).per_row()
    )
    assert torch.allclose(batch_size[:, 0].unflatten(0, (6, 3)), whole, atol=1e-5)


def test_operators_follow_the_chosen_values_and_the_solution(small):
    x = simulate([operator(0.9, 1)], covariance(2), 300)
    model = solved(small, x, truncation=10.0)
    first = model.operators()
    assert model.operators() is first
    model.choose(truncation=5.0, states=2.0)
    assert model.operators().G.shape == (5, 10)
    model.choose(truncation=10.0, states=1.0)
    assert model.operators() is first
    for count in range(200, 260, 20):
        model.solve(windows(small, x[:count]))
        assert not torch.equal(model.operators().G, first.G)
    model.load_state_dict(solved(small, x, truncation=10.0).state_dict())
    assert torch.equal(model.operators().G, first.G)
    fresh = LinearInverseModel(small)
    fresh.load_state_dict(model.state_dict(), strict=True)
    c = Context(2, past=x[:4].float().reshape(2, 2, *small.state_shape))
    streams = RandomStreams(0, torch.arange(2), members=3)
    assert torch.equal(fresh.sample(c, streams.again()), model.sample(c, streams.again()))
    assert torch.equal(copy.deepcopy(model).sample(c, streams.again()), model.sample(c, streams.again()))


def test_missing_cells_are_zero_and_carry_no_information(small):
    exists = small.exists.clone()
    exists[1, 1:3] = False
    space = small.replace(exists=exists)
    x = simulate([operator(0.9, 1)], covariance(2), 300).float().reshape(300, *small.state_shape)
    model = solved(space, x.masked_fill(~exists, torch.nan), truncation=8.0)
    c = Context(3, past=x[:6].unflatten(0, (3, 2)))
    hidden = Context(3, past=c.past.masked_fill(~exists, torch.nan))
    streams = RandomStreams(0, torch.arange(3), members=2)
    drawn = model.sample(hidden, streams.again())
    assert torch.equal(drawn, model.sample(c, streams.again()))
    assert not drawn[..., ~exists].any()
