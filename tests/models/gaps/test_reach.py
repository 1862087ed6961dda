"""E-folding lengths of a field whose correlation is known, and the nearest observations by brute force."""

import math

import numpy as np
import pytest
import torch

from fieldcast.geometry import unit_points
from fieldcast.models.gaps import reach

TIMES, CELLS = 600, 120
LENGTH, DURATION = 0.3, 5.0


@pytest.fixture(scope="module")
def field() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Exponential correlation exp(-d / L) on an arc, AR(1) in time; half of the values are missing."""
    generator = torch.Generator().manual_seed(0)
    angle = torch.linspace(0, 1.5, CELLS)
    points = torch.stack([angle.cos(), angle.sin(), torch.zeros(CELLS)], 1)
    root = torch.linalg.cholesky((-torch.cdist(points, points) / LENGTH).exp() + 1e-4 * torch.eye(CELLS))
    phi = math.exp(-1 / DURATION)
    x = torch.zeros(TIMES, CELLS)
    for t in range(1, TIMES):
        x[t] = phi * x[t - 1] + math.sqrt(1 - phi**2) * root @ torch.randn(CELLS, generator=generator)
    return x, torch.rand(TIMES, CELLS, generator=generator) < 0.5, points


def test_e_folding_lengths_are_recovered(field: tuple[torch.Tensor, ...]) -> None:
    x, observed, points = field
    assert reach.e_folding_distance(x, observed, points) == pytest.approx(LENGTH, rel=0.25)
    assert reach.e_folding_steps(x, observed, torch.zeros(TIMES, dtype=torch.long)) == pytest.approx(
        DURATION, abs=1
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("spacing", [1e-3, 1.6e-5])
def test_cells_of_a_fine_grid_are_not_away_from_themselves(dtype: torch.dtype, spacing: float) -> None:
    """Cells 6 km and 100 m apart: |x|^2 - 2 xy + |y|^2 would be dominated by rounding errors."""
    generator, degrees = torch.Generator().manual_seed(3), 40 + np.rad2deg(spacing) * np.arange(30)
    points = torch.from_numpy(unit_points(degrees, degrees)).reshape(900, 3)
    distance = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    root = torch.linalg.cholesky((-distance / (3 * spacing)).exp() + 1e-4 * torch.eye(900))
    x = (torch.randn(TIMES, 900, generator=generator) @ root.T.float()).to(dtype)
    length = reach.e_folding_distance(x, torch.ones_like(x, dtype=torch.bool), points.to(dtype))
    assert length == pytest.approx(3 * spacing, rel=0.1)


def test_binned_values_equal_those_of_all_pairs() -> None:
    generator = torch.Generator().manual_seed(1)
    observed = torch.rand(30, 12, generator=generator) < 0.02
    segment = torch.arange(30) // 17
    points = torch.nn.functional.normalize(torch.randn(12, 3, generator=generator), dim=1).numpy()
    columns = reach.Columns(points, torch.zeros(12, dtype=torch.long), torch.ones(12))
    reached = reach.is_within_reach(
        reach.nearest_observation(observed, columns, ~observed), segment, 0.5, 3, 2.0
    )
    distance = np.linalg.norm(points[:, None] - points, axis=2) / 0.5
    for t in range(30):
        for c in range(12):
            r = [
                math.hypot(distance[c, j], (t - i) / 3)
                for i, j in observed.nonzero().tolist()
                if segment[i] == segment[t]
            ]
            assert reached[t, c] == (min(r, default=math.inf) <= 2.0), (t, c)


@pytest.mark.parametrize("few", [0, reach.FEW], ids=["trees", "distances"])
def test_the_nearest_observation_is_one_of_the_same_time_and_variable(
    few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "FEW", few)
    generator = torch.Generator().manual_seed(2)
    observed = torch.rand(20, 16, generator=generator) < 0.3
    observed[4, 9:] = False
    points = torch.nn.functional.normalize(torch.randn(16, 3, generator=generator), dim=1)
    variable = (torch.arange(16) >= 9).long()
    requested = torch.rand(20, 16, generator=generator) < 0.5
    columns = reach.Columns(points.numpy(), variable, torch.ones(16))
    distance = reach.nearest_observation(observed, columns, requested)
    apart = torch.cdist(points, points).masked_fill(variable[:, None] != variable, math.inf)
    for t in range(20):
        nearest = apart.masked_fill(~observed[t], math.inf).amin(1)
        expected = torch.where(requested[t] & ~observed[t], nearest, 0.0)
        torch.testing.assert_close(distance[t], expected, rtol=1e-4, atol=1e-4)
    assert distance[4, 9:].max() == math.inf


def test_steps_to_the_nearest_observation_in_time_by_brute_force() -> None:
    observed = torch.rand(30, 8, generator=torch.Generator().manual_seed(3)) < 0.15
    observed[:, 7] = False
    segment = torch.arange(30) // 12
    steps = reach.steps_to_observation(observed, segment)
    for cell in range(8):
        times = observed[:, cell].nonzero()[:, 0]
        apart = (torch.arange(30)[:, None] - times).abs()
        apart[segment[:, None] != segment[times]] = 30
        expected = torch.cat([apart, torch.full((30, 1), 30)], 1).min(1).values
        assert torch.equal(steps[:, cell].long(), expected)
    assert (steps[:, 7] == 30).all()


def test_steps_in_a_record_of_very_many_segments() -> None:
    """More than four bytes count: each of 50,000 times is a segment of its own."""
    observed = torch.arange(50_000)[:, None] % 2 == 0
    steps = reach.steps_to_observation(observed, torch.arange(50_000))
    assert torch.equal(steps, torch.where(observed, 0, 50_000).int())


def test_variables_that_are_present_at_each_time() -> None:
    observed = torch.zeros(3, 4, dtype=torch.bool)
    observed[0, 1] = observed[2, 2] = observed[2, 3] = True
    present = reach.present_variables(observed, torch.tensor([0, 0, 2, 2]))
    assert present.tolist() == [[True, False, False], [False] * 3, [False, False, True]]
