"""Bred vectors of a linear model, which turn to its leading direction, and the size of all perturbations."""

import torch

from benchmarks.perturbations import REFERENCE, Cycle, bred_vectors, dimensions, perturbations
from fieldcast.models.persistence import DampedPersistence


def cycle_of(space, times=60, members=6) -> Cycle:
    generator = torch.Generator().manual_seed(0)
    states = [torch.randn(times, members, *space.state_shape, generator=generator) for _ in range(2)]
    return Cycle(states[0], states[1][:, 0], torch.zeros(times), torch.cat(states).flatten(0, 1))


def test_bred_vectors_turn_to_the_direction_that_decays_least(world):
    """One cell keeps its value and all others lose half of theirs: after 50 steps nothing else is left."""
    space = world.space
    model, cycle = DampedPersistence(space), cycle_of(space)
    model.rho.fill_(0.5)
    model.rho[0, 1, 2] = 1.0
    variance = torch.full((60, 1, 1, 1, 1), 0.3)
    bred = bred_vectors(model, cycle, variance)
    assert torch.allclose(bred.square().mean(dim=(2, 3, 4)), torch.tensor(0.3))
    last = bred[-1].flatten(1)
    leading = torch.zeros(space.state_shape)
    leading[0, 1, 2] = 1.0
    assert torch.allclose(
        last.abs() / last.norm(dim=1, keepdim=True), leading.flatten().expand(6, -1), atol=1e-5
    )
    assert dimensions(bred) < 1.01


def test_all_perturbations_are_as_large_as_those_of_the_analyses_and_leave_the_mean(world):
    space = world.space
    cycle = cycle_of(space)
    model = DampedPersistence(space)
    model.rho.fill_(0.9)
    added = perturbations(model, cycle)
    exact, none = added.pop("exact"), added.pop("none")
    expected = added[REFERENCE].square().mean(dim=(1, 2, 3, 4))
    for perturbation in added.values():
        assert torch.allclose(perturbation.mean(dim=1), torch.zeros(()), atol=1e-5)
        assert torch.allclose(perturbation.square().mean(dim=(1, 2, 3, 4)), expected, rtol=1e-4)
    assert not none.any()
    assert torch.allclose((cycle.mean + exact)[:, 3], cycle.truth, atol=1e-5)
