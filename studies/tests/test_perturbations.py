"""Perturbed starts in linear models, whose bred vectors and forecasts are known."""

import torch

from fieldcast.models.core import Context, Model
from fieldcast.models.persistence import DampedPersistence
from fieldcast.models.random_streams import RandomStreams
from studies.perturbations import (
    EXACT,
    NONE,
    REFERENCE,
    Cycle,
    bred_vectors,
    dimensions,
    forecast_scores,
    newest_variance,
    perturbations,
)

TIMES, MEMBERS = 60, 6


def cycle_of(space) -> Cycle:
    generator = torch.Generator().manual_seed(0)
    analyses = torch.randn(TIMES, MEMBERS, *space.state_shape, generator=generator)
    truth, training = torch.randn(2, 2 * TIMES, *space.state_shape, generator=generator)
    return Cycle(analyses, truth, torch.arange(2 * TIMES) / 365, training)


class SecondOrder(Model):
    """x_t = 1.3 x_{t-1} - 0.36 x_{t-2}, whose solutions decay as 0.9^t and 0.4^t."""

    deterministic = True
    history = 2

    def sample(self, c: Context, streams: RandomStreams) -> torch.Tensor:
        before, last = c.states()[:, -2:].unbind(1)
        return (1.3 * last - 0.36 * before)[:, None].expand(-1, streams.members, -1, -1, -1)


class Seasonal(Model):
    """Every value is the day of the state."""

    deterministic = True
    history = 1

    def sample(self, c: Context, streams: RandomStreams) -> torch.Tensor:
        assert c.day is not None
        return c.day[:, None, None, None, None].expand(-1, streams.members, *self.space.state_shape)


def test_bred_vectors_turn_to_the_direction_that_decays_least(world):
    """One cell keeps its value and all others lose half of theirs, so nothing else is left."""
    model = DampedPersistence(world.space)
    model.rho.fill_(0.5)
    model.rho[0, 1, 2] = 1.0
    bred = bred_vectors(model, cycle_of(world.space))
    last = bred[-1, -1].flatten(1)
    leading = torch.zeros(world.space.state_shape)
    leading[0, 1, 2] = 1.0
    assert torch.allclose(last.abs() / last.norm(dim=1, keepdim=True), leading.flatten(), atol=1e-5)
    assert dimensions(bred) < 1.01


def test_a_bred_vector_and_its_past_are_the_slowest_mode(world):
    before, last = bred_vectors(SecondOrder(world.space), cycle_of(world.space)).unbind(1)
    assert torch.allclose(last, 0.9 * before, rtol=1e-3, atol=1e-4)


def test_perturbations_have_the_variance_of_the_analyses_and_leave_their_mean(world):
    model, cycle = DampedPersistence(world.space), cycle_of(world.space)
    model.rho.fill_(0.9)
    added = dict(perturbations(model, cycle))
    exact, none = added.pop(EXACT), added.pop(NONE)
    weight = world.space.weight / len(world.space.variables)
    expected = newest_variance(added[REFERENCE], weight).mean(dim=1)
    for perturbation in added.values():
        assert torch.allclose(perturbation.mean(dim=2), torch.zeros(()), atol=1e-5)
        assert torch.allclose(newest_variance(perturbation, weight).mean(dim=1), expected, rtol=1e-4)
    assert not none.any()
    starts = list(cycle.starts)
    assert torch.allclose((cycle.mean[starts] + exact[:, 0])[:, 3], cycle.truth[starts], atol=1e-5)


def test_an_exact_start_of_the_true_model_has_no_error_at_any_lead(world):
    cycle, model = cycle_of(world.space), DampedPersistence(world.space)
    model.rho.fill_(0.99)
    decay = 0.99 ** torch.arange(2 * TIMES)
    cycle = cycle._replace(truth=decay[:, None, None, None] * cycle.truth[:1])
    added = perturbations(model, cycle)
    crps = forecast_scores(model, cycle, added)["crps"]
    kinds = list(added)
    assert crps[:, kinds.index(EXACT)].max() < 1e-5
    assert crps[:, kinds.index(NONE)].min() > 0.1


def test_each_lead_is_verified_on_its_day(world):
    cycle, model = cycle_of(world.space), Seasonal(world.space)
    cycle = cycle._replace(truth=cycle.day[:, None, None, None].expand_as(cycle.truth))
    zeros = {NONE: torch.zeros(len(cycle.starts), 1, MEMBERS, *world.space.state_shape)}
    assert forecast_scores(model, cycle, zeros)["crps"].max() < 1e-4
