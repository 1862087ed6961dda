"""The gain of observations between cells, against the Gaussian formulas written out with dense matrices."""

import pytest
import torch
from torch import Tensor

from fieldcast.models.gaussian.conditioning import touched
from fieldcast.models.gaussian.covariance_terms import SecondMoment, Tapered
from fieldcast.models.gaussian.grid_points import GridPoints
from fieldcast.models.gaussian.kalman_gain import InformationForm, InnovationForm, Operator, PointGain
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
    return Operator.of(touched(points, GridPoints(space), 0), points.weights.double())


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
    part = Tapered(1.0, SecondMoment(anomalies, share), None, space.area.numel())
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
    torch.testing.assert_close(points.at(x[:1].unflatten(-1, space.state_shape))[:, 0], h @ x[0, 0])
    touched = h[:, operator.index]
    y, precision = torch.randn(2, N, dtype=torch.float64), torch.rand(N, dtype=torch.float64)
    torch.testing.assert_close(operator.transposed(y), y @ touched)
    torch.testing.assert_close(operator.squared(precision), touched.T @ torch.diag(precision) @ touched)
    block = c[operator.index][:, operator.index]
    torch.testing.assert_close(operator.variance(block), (touched @ block @ touched.T).diagonal())


@pytest.mark.parametrize("form", [InnovationForm, InformationForm])
def test_increments_equal_dense_linear_algebra(
    world: tuple[Points, Operator, Tapered, Tensor, Tensor], form: type[InnovationForm | InformationForm]
) -> None:
    points, operator, part, c, h = world
    d, error = torch.randn(3, N, dtype=torch.float64), points.error.double()
    s = h @ c @ h.T + torch.diag(error)
    gain = PointGain([part], operator, error, c[0])
    solver = form(operator, gain.covariance, error)
    gain.__dict__["whole"] = solver
    every = torch.ones(N, dtype=torch.bool)
    torch.testing.assert_close(gain(d, every), d @ torch.linalg.solve(s, h @ c), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(solver.solve(d), d @ torch.linalg.inv(s), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(
        solver.inverse_diagonal(), torch.linalg.inv(s).diagonal(), rtol=1e-8, atol=1e-8
    )
    assert not gain.fails(d).any()


def test_many_observations_take_the_information_form(
    world: tuple[Points, Operator, Tapered, Tensor, Tensor],
) -> None:
    points, operator, part, c, _ = world
    assert isinstance(PointGain([part], operator, points.error, c[0]).whole, InnovationForm)
    several = Operator(operator.index, operator.column.repeat(8, 1), operator.weights.repeat(8, 1))
    assert isinstance(PointGain([part], several, points.error.repeat(8), c[0]).whole, InformationForm)


def test_a_gross_error_is_left_out_and_an_extreme_with_neighbours_is_not(
    world: tuple[Points, Operator, Tapered, Tensor, Tensor], space: Space
) -> None:
    points, operator, part, c, h = world
    s = h @ c @ h.T + torch.diag(points.error.double())
    state = torch.linalg.cholesky(c + 1e-9 * torch.eye(len(c))) @ torch.randn(len(c), dtype=torch.float64)
    d = (h @ state).repeat(2, 1)
    d[1, 3] += 12 * s[3, 3].sqrt()
    gain = PointGain([part], operator, points.error, c[0])
    (good, every), (bad, kept) = gain.checked(d)
    assert good.tolist() == [0]
    assert every.all()
    assert bad.tolist() == [1]
    assert (~kept).nonzero().flatten().tolist() == [3]
    expected = d[1, kept] @ torch.linalg.solve(s[kept][:, kept], (h @ c)[kept])
    torch.testing.assert_close(gain(d[1:], kept)[0], expected, rtol=1e-8, atol=1e-8)
    twice = points[torch.tensor([*range(N), 3])]  # a second station at the same place reads the same
    confirmed = PointGain([part], operator_of(twice, space), 0 * twice.error + 1e-4, c[0])
    assert not confirmed.fails(torch.cat([d[1], d[1, 3:4]])[None]).any()
