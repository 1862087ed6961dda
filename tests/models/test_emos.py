"""EMOS: the closed form of its score, its draws, and coefficients of simulated forecasts recovered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import integrate
from scipy.stats import norm

from fieldcast.errors import InputError
from fieldcast.inference.forecasts.ensemble import rollout
from fieldcast.models.core import Context, Solved
from fieldcast.models.emos import EMOS, moments, ranks
from fieldcast.models.layers.crps import normal_crps
from fieldcast.models.persistence import Persistence
from fieldcast.models.pool import Pool
from fieldcast.models.random_streams import RandomStreams
from fieldcast.tasks.forecast import Forecasting
from fieldcast.training.batches import ForecastWindows
from fieldcast.training.options import Fit
from fieldcast.training.state_source import InMemory
from fieldcast.training.tuning import fit_emos, forecasts, minimise_crps


class Signal(Solved):
    """Members about the damped last state, each with noise of its own."""

    history = 1

    def __init__(self, space):
        super().__init__(space)
        self.damping = torch.nn.Parameter(torch.tensor(0.5))

    def solve(self, training): ...

    def sample(self, c, draws):
        return self.damping * c.past[:, -1:] + 0.4 * draws.normal(*self.space.state_shape)


@pytest.fixture
def space(world):
    return world.space


def streams(members: int, count: int = 3) -> RandomStreams:
    return RandomStreams(1, torch.arange(count), members)


def test_the_score_is_the_integral_of_its_definition() -> None:
    for mu, sigma, y in ((0.3, 0.7, -0.4), (-1.0, 2.0, 2.5), (0.0, 1.0, 0.0)):
        below, _ = integrate.quad(lambda x, mu=mu, sigma=sigma: norm.cdf(x, mu, sigma) ** 2, -30, y)
        above, _ = integrate.quad(lambda x, mu=mu, sigma=sigma: norm.sf(x, mu, sigma) ** 2, y, 30)
        score = normal_crps(*(torch.tensor(value, dtype=torch.double) for value in (y - mu, sigma)))
        assert float(score) == pytest.approx(below + above, abs=1e-7)


def test_the_coefficients_of_simulated_forecasts_are_recovered() -> None:
    generator = torch.Generator().manual_seed(0)
    m, noise = torch.randn(2, 400, 2, 8, 12, generator=generator, dtype=torch.double)
    variance = 2 * torch.rand(400, 2, 8, 12, generator=generator, dtype=torch.double)
    given = torch.tensor([[0.2, 0.8, 0.3, 0.6], [-0.1, 1.1, 0.05, 1.4]], dtype=torch.double)
    a, b, c, d = given.T[..., None, None]
    v = 0.5 + torch.rand(2, 8, 12, generator=generator, dtype=torch.double)
    mu, sigma = a * v + b * m, (c * v**2 + d * variance).sqrt()
    y = mu + sigma * noise
    fitted, score = minimise_crps(m, variance, y, torch.ones(8, 12, dtype=torch.double), v)
    torch.testing.assert_close(fitted, given, atol=0.03, rtol=0)
    best = normal_crps(y - mu, sigma).mean()
    assert score <= float(best) + 1e-6


def test_without_a_spread_the_variance_is_that_of_the_regression() -> None:
    generator = torch.Generator().manual_seed(1)
    m, noise = torch.randn(2, 500, 1, 6, 6, generator=generator, dtype=torch.double)
    y = 0.7 * m + 0.5 * noise
    fitted, _ = minimise_crps(
        m, torch.zeros_like(m), y, torch.ones(6, 6, dtype=torch.double), torch.ones(1, 6, 6)
    )
    torch.testing.assert_close(fitted[0], fitted.new_tensor([0.0, 0.7, 0.25, 0.0]), atol=0.02, rtol=0)


def test_members_are_draws_in_the_ranks_of_the_forecasts(space) -> None:
    model = EMOS(space, {"forecaster": Signal(space)}, leads=2)
    model.coefficients[1] = torch.tensor([0.3, 0.5, 0.2, 2.0])
    x = Signal(space).sample(Context(3, past=torch.zeros(3, 1, *space.state_shape)), streams(40))
    drawn = model.calibrated(x, streams(40).at_lead(2))
    u = torch.rand(x.shape)
    assert torch.equal(ranks(drawn, u), ranks(x, u))
    m, variance = moments(x)
    z = (drawn - 0.3 - 0.5 * m[:, None]) / (0.2 + 2.0 * variance[:, None]).sqrt()
    values = z.flatten().double().detach().numpy()
    assert abs(values.mean()) < 0.03 and abs(values.std() - 1) < 0.03
    assert (
        np.abs(np.quantile(values, [0.05, 0.25, 0.75, 0.95]) - norm.ppf([0.05, 0.25, 0.75, 0.95])).max()
        < 0.04
    )
    assert not torch.equal(drawn, model.calibrated(x, streams(40).at_lead(1)))
    later = model.calibrated(x, streams(40).at_lead(7))  # the coefficients of lead 2, other draws
    assert torch.equal(ranks(later, u), ranks(x, u)) and not torch.equal(later, drawn)


def test_ranks_count_the_lower_members() -> None:
    x = torch.randn(3, 7, 2, 4, 5, generator=torch.Generator().manual_seed(0))
    lower = (x[:, None] < x[:, :, None]).sum(dim=2)
    assert torch.equal(ranks(x, torch.rand(x.shape)), lower)


def test_equal_members_are_exchangeable(space) -> None:
    """Six of ten members are copies: no member is lower than others on average."""
    model = EMOS(space, {"forecaster": Signal(space)})
    x = torch.randn(400, 10, *space.state_shape, generator=torch.Generator().manual_seed(0))
    x[:, 4:] = x[:, 4:5]
    drawn = model.calibrated(x, streams(10, 400).at_lead(1))
    mean = drawn[:, 4:].mean(dim=(0, 2, 3, 4))
    assert float((mean - mean.mean()).abs().max()) < 0.02
    whole = drawn[:, 4:].mean(dim=(2, 3, 4)) - drawn[:, 4:].mean(dim=(1, 2, 3, 4))[:, None]
    within = drawn[:, 4:] - drawn[:, 4:].mean(dim=1, keepdim=True)
    independent = float(within.square().mean()) / within[0, 0].numel()
    assert float(whole.square().mean()) == pytest.approx(independent, rel=0.15)


def test_cells_of_a_deterministic_forecast_are_independent(space) -> None:
    model = EMOS(space, {"forecaster": Persistence(space)})
    model.coefficients[:] = torch.tensor([0.0, 1.0, 1.0, 0.0])
    x = torch.zeros(200, 5, *space.state_shape)
    drawn = model.calibrated(x, streams(5, 200).at_lead(1))
    assert not model.deterministic
    first, second = drawn[:, :, 0, 3, 2].flatten(), drawn[:, :, 0, 3, 3].flatten()
    assert abs(float(torch.corrcoef(torch.stack([first, second]))[0, 1])) < 0.1


def test_a_rollout_continues_from_the_uncalibrated_members(space) -> None:
    part = Signal(space)
    model = EMOS(space, {"forecaster": part}, leads=3)
    model.coefficients[:] = torch.tensor([5.0, 0.0, 0.1, 0.0])
    context = Context(2, past=torch.ones(2, 1, *space.state_shape), day=torch.zeros(2)).repeat(4)
    bare = [c.past for _, c in rollout(part, context, streams(4, 2), 3)]
    steps = list(rollout(model, context, streams(4, 2), 3))
    assert all(torch.equal(c.past, past) for (_, c), past in zip(steps, bare, strict=True))
    assert all(abs(float(x.mean()) - 5) < 0.1 for x, _ in steps)


def test_the_fit_is_never_worse_than_the_forecasts_and_mends_their_spread(world, space) -> None:
    model = EMOS(space, {"forecaster": Signal(space)}, leads=3, members=6)
    windows = Forecasting().batches(world.split("validation"), world.codec, model, Fit(), False)
    model.solve(windows.states())
    x = torch.cat([batch.x for batch in windows.states()])
    torch.testing.assert_close(model.v, x.square().mean(0).sqrt())
    table = fit_emos(model, windows, 40, seed=0)
    assert [row["step"] for row in table] == [1, 2, 3]
    again = EMOS(space, {"forecaster": Signal(space)}, leads=3, members=6)
    weight = space.existing_area.double()
    weight = weight / weight.sum()
    for lead, (m, variance, y) in enumerate(forecasts(again, windows, 40, seed=0)):
        before = (normal_crps((y - m).double(), variance.double().sqrt()) * weight).sum((2, 3)).mean()
        mu, sigma = model.distribution(m, variance, lead + 1)
        after = (normal_crps((y - mu).double(), sigma.double()) * weight).sum((2, 3)).mean()
        assert float(after) == pytest.approx(table[lead]["validation"], rel=1e-5)
        assert after < before
        error, spread = (y - mu).square().mean(), sigma.square().mean()
        assert 0.85 < float(error / spread) < 1.15


def test_a_short_stretch_of_validation_states_decides_the_leads_that_it_holds(world, space) -> None:
    model = EMOS(space, {"forecaster": Signal(space)}, leads=6)
    split = world.split("validation").isel(time=slice(0, 4))
    windows = Forecasting().batches(split, world.codec, model, Fit(), False)
    assert len(fit_emos(model, windows, 40, seed=0)) == 3
    assert torch.equal(model.coefficients[2:], model.coefficients[2].expand(4, -1, -1))


def test_short_leads_are_fitted_to_the_starts_of_all_stretches(space) -> None:
    """Twenty stretches of twelve times, and one of seventeen, which alone holds fifteen leads, from two starts.

    States are their own times, so that y - m is the lead.
    """
    lengths = [12] * 20 + [17]
    segment = torch.arange(21).repeat_interleave(torch.tensor(lengths))
    x = torch.arange(float(len(segment)))[:, None, None, None].expand(-1, *space.state_shape)
    model = EMOS(space, {"forecaster": Persistence(space)}, leads=15)
    windows = ForecastWindows(InMemory(x, torch.zeros(len(x)), segment), space, 1)
    for lead, (m, _, y) in enumerate(forecasts(model, windows, 1000, seed=0), start=1):
        possible = sum(max(length - lead, 0) for length in lengths)
        assert possible / 2 <= len(m) <= possible
        assert (y - m == lead).all()
    assert lead == 15
    unbroken = replace(windows, data=InMemory(x, torch.zeros(len(x)), torch.zeros_like(segment)))
    assert {len(m) for m, _, _ in forecasts(model, unbroken, 1000, seed=0)} == {len(x) - 15}


def test_emos_calibrates_one_model(space) -> None:
    with pytest.raises(InputError, match="name one"):
        EMOS(space, {"first": Persistence(space), "second": Persistence(space)})
    calibrated = EMOS(space, {"forecaster": Persistence(space)})
    with pytest.raises(InputError, match=r"parts\.first calibrates"):
        Pool(space, {"first": calibrated})
