"""States as vectors of the values that exist, in units of their standard deviations."""

import numpy as np
import pytest
import torch

from fieldcast.models.core import Batch, Context
from fieldcast.models.gaps.record import MIN_DEVIATION, cells, deviations, scale_states, state
from fieldcast.models.space import Space


@pytest.fixture
def coastal(space: Space) -> Space:
    """Two variables on a grid with three cells of land."""
    space.exists[0, 3:6] = False
    return space


def test_a_state_of_its_values_is_the_state_without_the_land(coastal: Space) -> None:
    x = torch.randn(4, *coastal.state_shape, generator=torch.Generator().manual_seed(0))
    values = cells(coastal, x)
    assert values.shape == (4, 2 * (9 * 16 - 3))
    assert torch.equal(state(coastal, values), x.where(coastal.exists, 0.0))


def test_deviations_are_those_of_the_observed_values_and_ten_usual_ones() -> None:
    generator = torch.Generator().manual_seed(1)
    x = 1 + torch.randn(50, 6, generator=generator) * torch.arange(6)
    observed = torch.rand(50, 6, generator=generator) < 0.5
    square, n = np.where(observed, x.double().numpy() ** 2, 0).sum(0), observed.sum(0).numpy()
    expected = np.sqrt((square + 10 * square.sum() / n.sum()) / (n + 10))
    assert np.allclose(deviations(x, observed), expected, rtol=1e-5)


def test_constant_values_have_a_deviation_too() -> None:
    everywhere = torch.ones(8, 3, dtype=torch.bool)
    x = torch.tensor([0.0, 3.0, 4.0]).expand(8, 3)
    assert (deviations(x, everywhere) > MIN_DEVIATION).all()
    assert torch.equal(deviations(0 * x, everywhere), torch.ones(3))


def test_batches_are_joined_and_scaled(coastal: Space) -> None:
    x = torch.randn(10, *coastal.state_shape, generator=torch.Generator().manual_seed(2))
    observed = torch.ones_like(x, dtype=torch.bool)
    observed[2, 1, 4] = False
    parts = zip(x.split(4), observed.split(4), strict=True)
    joined = scale_states(coastal, [Batch(part, Context(len(part)), observed=there) for part, there in parts])
    assert torch.equal(joined.observed, cells(coastal, observed))
    assert torch.allclose(joined.x * joined.deviation, cells(coastal, x))
    assert torch.equal(joined.deviation, deviations(cells(coastal, x), joined.observed))
