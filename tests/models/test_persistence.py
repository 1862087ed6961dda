"""Persistence and damped persistence: autoregressions of known slopes, and the least squares of a library."""

import numpy as np
import torch

from fieldcast.models.core import Context
from fieldcast.models.persistence import DampedPersistence, Persistence
from fieldcast.models.random_streams import RandomStreams
from fieldcast.training.batches import ForecastWindows
from fieldcast.training.state_source import InMemory


def noise(space, count, seed=0):
    return RandomStreams(seed, torch.arange(count)).normal(*space.state_shape)[:, 0]


def autoregression(space, rho, count):
    """x_{t+1} = rho x_t + sqrt(1 - rho^2) e."""
    x = noise(space, count)
    for t in range(1, count):
        x[t] = rho * x[t - 1] + (1 - rho**2).sqrt() * x[t]
    return x


def solved(space, x, segment=None, missing=None):
    segment = torch.zeros(len(x), dtype=torch.long) if segment is None else segment
    model = DampedPersistence(space)
    model.solve(ForecastWindows(InMemory(x, torch.zeros(len(x)), segment), space, model.history).states())
    return model


def test_persistence_is_the_last_state(space):
    past = noise(space, 6).unflatten(0, (3, 2))
    model = Persistence(space)
    model.solve([])
    x = model.sample(Context(3, past=past), RandomStreams(0, torch.arange(3), members=2))
    assert torch.equal(x, past[:, -1:].expand(-1, 2, -1, -1, -1))
    assert model.state_dict() == {}
    assert model.deterministic and model.history == 1


def test_the_slopes_of_an_autoregression_are_recovered(space):
    rho = torch.linspace(-0.5, 0.95, 288).reshape(space.state_shape)
    model = solved(space, autoregression(space, rho, 4000))
    error = (model.rho - rho) / ((1 - rho**2) / 4000).sqrt()  # in standard errors of the estimate
    assert error.abs().max() < 4.5
    assert abs(float(error.square().mean()) - 1) < 0.3


def test_the_slope_is_least_squares_within_segments(space):
    x = noise(space, 40) + 0.3
    segment = torch.arange(40) // 25
    model = solved(space, x, segment)
    pairs = [t for t in range(39) if t != 24]
    before, after = x[pairs].flatten(1).numpy(), x[[t + 1 for t in pairs]].flatten(1).numpy()
    slopes = [np.linalg.lstsq(before[:, [i]], after[:, i], rcond=None)[0][0] for i in range(0, 288, 50)]
    assert np.allclose(model.rho.flatten()[::50].numpy(), slopes, atol=1e-5)
    c = Context(2, past=x[:4].unflatten(0, (2, 2)))
    drawn = model.sample(c, RandomStreams(0, torch.arange(2), members=3))
    assert torch.equal(drawn, (model.rho * x[[1, 3]])[:, None].expand(-1, 3, -1, -1, -1))


def test_a_missing_or_constant_cell_has_no_slope(space):
    x = noise(space, 20)
    x[:, 0, 3] = 0.0
    x[:, 1, 4] = torch.nan
    rho = solved(space, x).rho
    assert not rho[0, 3].any() and not rho[1, 4].any()
    assert rho[0, 4].all()
