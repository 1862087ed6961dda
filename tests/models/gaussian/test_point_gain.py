"""The gain of observations between cells, against the Gaussian formulas written out with dense matrices."""

import pytest
import torch
from torch import Tensor

from fieldcast.models.gaussian.conditioning import touched
from fieldcast.models.gaussian.covariance_terms import Moments, Tapered
from fieldcast.models.gaussian.grid_points import Places
from fieldcast.models.gaussian.point_gain import Operator, PointGain
from fieldcast.models.points import Points
from fieldcast.models.space import Space

N = 40


def some_points(space: Space, count: int) -> Points:
    torch.manual_seed(0)
    weights = torch.rand(count, 4)
    weights[: count // 2, 3] = 0  # at a coast
    weights /= weights.sum(1, keepdim=True)
    cells = torch.stack([torch.randperm(space.area.numel())[:4] for _ in range(count)])
    variable = torch.randint(len(space.variables), (count,))
    y, error = torch.randn(count), 0.1 + torch.rand(count)
    return Points(torch.zeros(count, dtype=torch.int64), variable, cells, weights, y, error)


def dense(points: Points, space: Space) -> Tensor:
    """H as a matrix (N, V * Y * X)."""
    h = torch.zeros(len(points), len(space.variables), space.area.numel(), dtype=torch.float64)
    for n in range(len(points)):
        for cell, weight in zip(points.cells[n], points.weights[n], strict=True):
            h[n, points.variable[n], cell] += weight
    return h.flatten(1)


def operator_of(points: Points, space: Space) -> Operator:
    return Operator.of(touched(points, Places(space), 0), points.weights.double())


@pytest.fixture
def world(space: Space) -> tuple[Points, Operator, Tapered, Tensor, Tensor]:
    points = some_points(space, N)
    torch.manual_seed(1)
    values = len(space.variables) * space.area.numel()
    anomalies = (
        torch.randn(400, values, dtype=torch.float64)
        @ torch.randn(values, values, dtype=torch.float64)
        / values**0.5
    )
    share = torch.full((400,), 1 / 400, dtype=torch.float64)
    part = Tapered(1.0, Moments(anomalies, share), None, space.area.numel())
    return (
        points,
        operator_of(points, space),
        part,
        anomalies.T @ anomalies / 400,
        dense(points, space),
    )


def test_the_operator_is_a_matrix(
    world: tuple[Points, Operator, Tapered, Tensor, Tensor], space: Space
) -> None:
    points, operator, _, c, h = world
    x = torch.randn(3, 5, h.shape[1], dtype=torch.float64)
    torch.testing.assert_close(operator(x), x @ h.T)
    torch.testing.assert_close(points.at(x[:1].unflatten(-1, space.state))[:, 0], h @ x[0, 0])
    touched = h[:, operator.index]
    y, precision = torch.randn(2, N, dtype=torch.float64), torch.rand(N, dtype=torch.float64)
    torch.testing.assert_close(operator.transposed(y), y @ touched)
    torch.testing.assert_close(operator.squared(precision), touched.T @ torch.diag(precision) @ touched)
    block = c[operator.index][:, operator.index]
    torch.testing.assert_close(operator.variance(block), (touched @ block @ touched.T).diagonal())


def test_increments_are_those_of_the_innovation_form(
    world: tuple[Points, Operator, Tapered, Tensor, Tensor], space: Space
) -> None:
    points, operator, part, c, h = world
    d = torch.randn(3, N, dtype=torch.float64)
    gain = PointGain([part], operator, points.error, d[0], c[0])
    expected = d @ torch.linalg.solve(h @ c @ h.T + torch.diag(points.error.double()), h @ c)
    torch.testing.assert_close(gain(d), expected, rtol=1e-8, atol=1e-8)
    assert not gain.rejected.any()


def test_a_gross_error_is_left_out_and_an_extreme_with_neighbours_is_not(
    world: tuple[Points, Operator, Tapered, Tensor, Tensor], space: Space
) -> None:
    points, operator, part, c, h = world
    s = h @ c @ h.T + torch.diag(points.error.double())
    state = torch.linalg.cholesky(c + 1e-9 * torch.eye(len(c))) @ torch.randn(len(c), dtype=torch.float64)
    d = h @ state
    d[3] += 12 * s[3, 3].sqrt()
    gain = PointGain([part], operator, points.error, d, c[0])
    assert gain.rejected.nonzero().flatten().tolist() == [3]
    kept = [n for n in range(N) if n != 3]
    expected = d[kept] @ torch.linalg.solve(s[kept][:, kept], (h @ c)[kept])
    torch.testing.assert_close(gain(d[None])[0], expected, rtol=1e-8, atol=1e-8)
    twice = points[torch.tensor([*range(N), 3])]  # a second station at the same place reads the same
    confirmed = PointGain(
        [part], operator_of(twice, space), 0 * twice.error + 1e-4, torch.cat([d, d[3:4]]), c[0]
    )
    assert not confirmed.rejected.any()
