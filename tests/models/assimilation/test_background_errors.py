"""Background errors of a cycle without calibration: those of a known forecast, and the taper that fits them."""

import logging

import pytest
import torch

from fieldcast.models.assimilation.background_errors import (
    background_errors,
    choose_taper,
    hybrid_of,
    learn_errors,
    networks_of,
    training_states,
)
from fieldcast.models.assimilation.hybrid import Hybrid
from fieldcast.models.core import Context
from fieldcast.models.gaussian.covariance_terms import chord, gaspari_cohn
from fieldcast.models.optimal_interpolation import OptimalInterpolation
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

TIMES, PHI = 1200, 0.7


def white(space: Space, count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, *space.state_shape, generator=torch.Generator().manual_seed(seed))


def decay(c: Context, streams: RandomStreams) -> torch.Tensor:
    """x' = 0.7 x, from the last state."""
    return PHI * c.base()[:, None]


def diverge(c: Context, streams: RandomStreams) -> torch.Tensor:
    """A forecast that is not finite."""
    return torch.nan * c.base()[:, None]


def keep(model: OptimalInterpolation, states: torch.Tensor, every: int = 1) -> OptimalInterpolation:
    """The model with every `every`-th of successive days as its training states."""
    number = torch.arange(0, len(states), every)
    model.keep(model.grid.gather(states[number]), torch.arange(len(states)) % 365 / 365, number)
    return model


@pytest.fixture
def interpolation(space: Space) -> OptimalInterpolation:
    """Optimal interpolation with independent training states on successive days."""
    return keep(OptimalInterpolation(space), white(space, TIMES))


def observed_at(mask: torch.Tensor, noise: float) -> Context:
    """A record with these masks."""
    return Context(len(mask), observed=0.0 * mask, mask=mask, day=torch.zeros(len(mask)), noise=noise)


@pytest.mark.parametrize("past", [1, 2])
def test_errors_after_exact_analyses_are_those_of_the_forecast(
    interpolation: OptimalInterpolation, space: Space, past: int
) -> None:
    masks, last = torch.ones(3, *space.state_shape, dtype=torch.bool), torch.tensor([5, 20, 50, 90])
    errors = background_errors(interpolation, decay, masks, 1e-3, last, past, seed=0)
    x = training_states(interpolation, last, 2)
    expected = PHI * x[:, 0] - x[:, 1]
    torch.testing.assert_close(errors, expected, atol=0.02, rtol=0)


def test_errors_where_nothing_is_observed_have_the_variance_of_climatological_members(
    interpolation: OptimalInterpolation, space: Space
) -> None:
    """White states of variance 1: 0.7^2 / 4 from the mean of four members, and 1 from the truth."""
    mask = torch.zeros(1, *space.state_shape, dtype=torch.bool)
    mask[..., :8] = True
    last = torch.arange(1, TIMES, 2)
    errors = background_errors(interpolation, decay, mask, 0.1, last, 1, seed=0)
    assert errors[..., 8:].var() == pytest.approx(1 + PHI**2 / 4, rel=0.05)
    observed = (PHI * 0.1) ** 2 * (1 + 1 / 4)  # error of an observation, and of four members that sample it
    in_groups = torch.cat([last[group::16] for group in range(16)])
    x = training_states(interpolation, in_groups, 2)
    assert (errors[..., :8] - (PHI * x[:, 0] - x[:, 1])[..., :8]).var() == pytest.approx(observed, rel=0.1)


@pytest.mark.parametrize("reach", [2500.0, None])
def test_the_taper_is_that_of_the_errors(space: Space, reach: float | None) -> None:
    """Errors with the correlation of Gaspari and Cohn, or of two patterns over the whole globe."""
    if reach is None:
        errors = torch.einsum("nk, kvyx -> nvyx", white(space, 200).flatten(1)[:, :2], white(space, 2, 1))
    else:
        points = space.points.flatten(0, 1).double()
        root = torch.linalg.cholesky(
            gaspari_cohn(chord(points, points), reach) + 1e-6 * torch.eye(len(points))
        )
        errors = (white(space, 200).flatten(2).double() @ root.T).float().unflatten(2, space.shape)
    filter, masks = Hybrid(space), white(space, 2, 2) > 0.5
    choose_taper(filter, errors, masks, 0.1, seed=0)
    assert float(filter.taper) in ((0.0,) if reach is None else (4500.0,))


def test_a_filter_learns_errors_if_the_interpolation_keeps_successive_states(
    interpolation: OptimalInterpolation, space: Space, caplog: pytest.LogCaptureFixture
) -> None:
    c = observed_at(white(space, 40, 2) > 0.8, 0.1)
    filter = hybrid_of(interpolation)
    learn_errors(filter, interpolation, decay, c, 1, seed=0)
    assert len(filter.errors) == 320 and float(filter.taper) == 4500.0
    gappy = keep(OptimalInterpolation(space), white(space, TIMES), every=2)
    few = keep(OptimalInterpolation(space), white(space, 20))
    for model, forecast in ((gappy, decay), (few, decay), (interpolation, diverge)):
        filter, before = hybrid_of(model), hybrid_of(model)
        caplog.clear()
        with caplog.at_level(logging.WARNING, "fieldcast"):
            learn_errors(filter, model, forecast, c, 1, seed=0)
        torch.testing.assert_close(filter.errors, before.errors)
        assert filter.tuned_values() == before.tuned_values() and "expect too little spread" in caplog.text


@pytest.mark.parametrize("last", [[9], [3, 300, 600, 899], list(range(1, 60))])
def test_a_few_errors_are_shared_by_the_groups(
    interpolation: OptimalInterpolation, space: Space, last: list
) -> None:
    masks = white(space, 5, 2) > 0.5
    errors = background_errors(interpolation, decay, masks, 0.1, torch.tensor(last), 1, seed=0)
    assert errors.shape == (len(last), *space.state_shape) and len(errors.unique(dim=0)) == len(last)


def test_analyses_of_few_states_do_not_know_the_state_that_they_estimate(space: Space) -> None:
    """White noise: observations say nothing about other cells, unless the state itself is in the covariance."""
    mask = torch.zeros(1, *space.state_shape, dtype=torch.bool)
    mask[..., ::2] = True
    model = keep(OptimalInterpolation(space), white(space, 100))
    model.choose(taper=0.0, weight=1.0)
    errors = background_errors(model, decay, mask, 0.1, torch.arange(1, 100), 1, seed=0)
    assert errors[..., 1::2].square().mean() > 1 + PHI**2


def test_networks_are_those_of_times_with_observations(space: Space) -> None:
    mask = white(space, 100, 2) > 1.2
    mask[::2] = False
    assert (networks_of(observed_at(mask, 0.1)).sum((1, 2, 3)) > 0).all()
    assert len(networks_of(observed_at(mask, 0.1))) == 16
    assert len(networks_of(observed_at(mask & False, 0.1))) == 1
