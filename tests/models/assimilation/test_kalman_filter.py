"""The Kalman filter of the linear inverse model against the textbook's, for a small system of known operators."""

import numpy as np
import pytest
import torch

from fieldcast.models.assimilation.filter import CycleState, cycle
from fieldcast.models.assimilation.kalman_filter import KalmanFilter
from fieldcast.models.core import Context
from fieldcast.models.linear_inverse_model import LinearInverseModel
from fieldcast.models.random_streams import RandomStreams
from fieldcast.training.batches import ForecastWindows
from fieldcast.training.state_source import InMemory

CELLS, TIMES, DAYS, NOISE = 24, 4000, 12, 0.4


def no_forecast(c, draws):
    raise AssertionError("the filter has its own dynamics")


@pytest.fixture
def small(space):
    part = {name: getattr(space, name)[3:6, :4] for name in ("area", "exists", "points")}
    return space.replace(**part, static=space.static[:, 3:6, :4])


def process(count, seed=0, spread=1.0):
    """x_{t+1} = A x_t + B x_{t-1} + e."""
    generator = np.random.default_rng(7)
    a, b = generator.normal(size=(2, CELLS, CELLS))
    a, b = (m / np.abs(np.linalg.eigvals(m)).max() for m in (a, b))
    root = np.eye(CELLS) + 0.3 * generator.normal(size=(CELLS, CELLS))
    x = np.zeros((count + 100, CELLS))
    e = np.random.default_rng(seed).normal(size=x.shape) @ root.T * spread
    for t in range(2, len(x)):
        x[t] = 0.6 * a @ x[t - 1] + 0.2 * b @ x[t - 2] + e[t]
    return torch.from_numpy(x[100:])


@pytest.fixture
def base(small):
    x = process(TIMES).float().view(TIMES, *small.state_shape)
    model = LinearInverseModel(small)
    states = InMemory(x, torch.zeros(TIMES), torch.zeros(TIMES, dtype=torch.long))
    model.solve(ForecastWindows(states, small, LinearInverseModel.history).states())
    return model


def contexts(space, x, share, seed=1):
    """Days (time, cycle, value) observed at random, a mask for each cycle."""
    generator = torch.Generator().manual_seed(seed)
    for state in x.view(*x.shape[:2], *space.state_shape):
        mask = torch.rand(state.shape, generator=generator) < share
        y = state + NOISE * torch.randn(state.shape, generator=generator, dtype=torch.double)
        yield Context(len(state), observed=y * mask, mask=mask, day=torch.zeros(len(state)), noise=NOISE)


def run(filter, observations, cycles, members=4):
    past = torch.zeros(cycles, members, 1, *filter.space.state_shape)
    streams = RandomStreams(3, torch.arange(cycles), members)
    return cycle(filter, no_forecast, observations, CycleState(past, filter.begin(cycles)), streams)


def matrices(base, states):
    """T, N, the covariance at the start and E of the state (a_t, b_t, a_{t-1}), dense, from the model's own parts."""
    operators, f = base.operators(), base.features.flatten(1).double()
    k, n = len(operators.L), len(f)
    size = n + k * (states - 1)
    step, noise, start = (torch.zeros(size, size, dtype=torch.double) for _ in range(3))
    g, c = operators.G.double(), base.covariances[:, :k, :k]
    step[:k, :k] = g[:, :k]
    step[k:n, k:n] = float(base.persistence) * torch.eye(n - k)
    noise[:k, :k], noise[k:n, k:n] = operators.Q, (1 - float(base.persistence) ** 2) * torch.eye(n - k)
    start[:k, :k], start[k:n, k:n] = c[0], torch.eye(n - k)
    if states == 2:
        step[:k, n:], step[n:, :k] = g[:, k:], torch.eye(k)
        start[n:, n:], start[:k, n:], start[n:, :k] = c[0], c[1], c[1].T
    e = torch.zeros(CELLS, size, dtype=torch.double)
    e[:, :k], e[:, k:n] = f[:k].T, operators.scale.double()[:, None] * f[k:].T
    return step, noise, start, e


@pytest.mark.parametrize("states", [1, 2])
@pytest.mark.parametrize("truncation", [CELLS, 10])
def test_mean_and_covariance_equal_the_textbook(small, base, states, truncation):
    base.choose(states=float(states), truncation=float(truncation), ridge=0.1, persistence=0.4)
    filter = KalmanFilter(small, base, adaptive=False)
    filter.choose(unresolved=0.0)
    observations = list(contexts(small, process(2 * DAYS, seed=5).view(DAYS, 2, CELLS), 0.4))
    days = list(run(filter, observations, 2))

    step, noise, start, e = matrices(base, states)
    for i in range(2):
        m, p = torch.zeros(len(step), dtype=torch.double), start
        for day, c in zip(days, observations, strict=True):
            m, p = step @ m, step @ p @ step.T + noise
            h = e[c.mask[i].flatten()]
            gain = p @ h.T @ torch.linalg.inv(h @ p @ h.T + NOISE**2 * torch.eye(len(h), dtype=torch.double))
            m, p = m + gain @ (c.observed[i][c.mask[i]] - h @ m), p - gain @ h @ p
            torch.testing.assert_close(day.state.memory["mean"][i], m, rtol=0, atol=1e-6)
            torch.testing.assert_close(day.state.memory["covariance"][i], p, rtol=0, atol=1e-6)


def test_the_mean_moves_as_the_model_forecasts(small, base):
    base.choose(states=2.0, truncation=float(CELLS), ridge=0.1, persistence=0.4)
    system = KalmanFilter(small, base).dynamics()
    past = process(2).float().view(1, 2, *small.state_shape)
    a = torch.linalg.solve(system.E.T, past.flatten(2)[0].double().T).T  # (time, mode)
    x = system.ahead(torch.cat([a[1], a[0]]))[:CELLS] @ system.E

    torch.testing.assert_close(x.float(), base.mean(Context(1, past=past)).flatten(), rtol=0, atol=1e-4)


def test_members_are_draws_of_the_filters_gaussian(small, base):
    base.choose(states=2.0, truncation=10.0, persistence=0.4)
    filter = KalmanFilter(small, base, adaptive=False)
    observations = list(contexts(small, process(3).view(3, 1, CELLS), 0.4))
    *_, last = run(filter, observations, 1, members=20000)

    e = matrices(base, 2)[3]
    m, p = (last.state.memory[name][0] for name in ("mean", "covariance"))
    x = last.analysis[0].flatten(1).double()
    expected = e @ p @ e.T + torch.diag(0.1 * base.variance.flatten().double())
    scale = expected.diagonal().max()
    assert ((x.mean(0) - e @ m).abs() < 5 * (expected.diagonal() / len(x)).sqrt() + 1e-6).all()
    assert ((x - x.mean(0)).T @ (x - x.mean(0)) / len(x) - expected).abs().max() < 0.05 * scale


def test_without_observations_the_climatology_remains(small, base):
    """The start is stationary: with one state whatever the ridge."""
    base.choose(states=1.0, truncation=10.0, ridge=0.3, persistence=0.4)
    filter = KalmanFilter(small, base)
    zero = torch.zeros(1, *small.state_shape)
    nothing = [Context(1, mask=zero > 0, observed=zero, day=torch.zeros(1), noise=NOISE)] * 3
    *_, last = run(filter, nothing, 1)

    torch.testing.assert_close(
        last.state.memory["covariance"], filter.begin(1)["covariance"], rtol=0, atol=1e-6
    )
    assert float(last.state.memory["scale"]) == 1


@pytest.mark.parametrize("states", [1, 2])
def test_the_start_is_stationary_after_training_with_gaps(small, states):
    """Stretches of three persistent states, whose covariances alone belong to no stationary series."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 60, CELLS, generator=generator)
    x[1] = 0.99 * x[0] + 0.14 * x[1]
    x[2] = 0.99 * x[1] + 0.14 * x[2]
    states_in_time = x.transpose(0, 1).reshape(-1, *small.state_shape)
    stretch = torch.arange(len(states_in_time)) // 3
    base = LinearInverseModel(small)
    windows = ForecastWindows(
        InMemory(states_in_time, torch.zeros(len(stretch)), stretch), small, base.history
    )
    base.solve(windows.states())
    base.choose(states=float(states), truncation=10.0, ridge=0.0, persistence=0.4)
    system = KalmanFilter(small, base).dynamics()

    assert torch.linalg.eigvalsh(system.start)[0] > -1e-6
    after = system.ahead(system.ahead(system.start).mT) + system.N
    torch.testing.assert_close(after, system.start, rtol=0, atol=1e-4)


def test_the_scale_is_that_of_the_errors(small, base):
    """Noise of twice the variance: innovations tell, and the spread is that of the errors."""
    base.choose(states=2.0, truncation=float(CELLS), ridge=0.0)
    x = process(4 * 80, seed=2, spread=2**0.5).view(4, 80, CELLS).transpose(0, 1)
    scores = {}
    for adaptive in (True, False):
        filter = KalmanFilter(small, base, adaptive=adaptive)
        filter.choose(unresolved=0.0)
        late = list(run(filter, contexts(small, x, 0.3), 4, members=20))[30:]
        error = torch.stack([day.analysis.mean(1).flatten(1) for day in late]) - x[30:]
        spread = torch.stack([day.analysis.var(1).flatten(1) for day in late])
        scores[adaptive] = float((spread.mean() * 21 / 20).sqrt() / error.square().mean().sqrt())
        if adaptive:
            assert float(late[-1].state.memory["scale"].mean()) == pytest.approx(2, rel=0.2)
    assert scores[True] == pytest.approx(1, abs=0.05)
    assert scores[False] < 0.8


def test_a_gross_error_counts_for_nothing(small, base):
    filter = KalmanFilter(small, base)
    good = list(contexts(small, process(5).view(5, 1, CELLS), 0.5))
    c = good[-1]
    first = tuple(c.mask.nonzero()[0])
    wrong, without = c.observed.clone(), c.mask.clone()
    wrong[first], without[first] = 1e3, False
    last = [
        Context(1, observed=y, mask=mask, day=c.day, noise=NOISE)
        for y, mask in ((wrong, c.mask), (c.observed * without, without))
    ]
    rejected, missing = (list(run(filter, [*good[:-1], each], 1))[-1].state.memory for each in last)

    for name in ("mean", "covariance", "scale"):
        torch.testing.assert_close(rejected[name], missing[name], rtol=0, atol=1e-10)
