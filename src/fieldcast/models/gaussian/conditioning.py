"""What an update of a Gaussian model needs: H, the errors of observations, and a gain that has checked them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldcast.models.core import Context
from fieldcast.models.gaussian import robustness
from fieldcast.models.gaussian.covariance_terms import Part
from fieldcast.models.gaussian.grid_points import ObservedPlaces, Places, observations
from fieldcast.models.gaussian.kalman_gain import Gain
from fieldcast.models.gaussian.point_gain import Operator, PointGain
from fieldcast.models.points import Points


class Conditioning(NamedTuple):
    """Data of a batch that one gain updates."""

    datum: Int[Tensor, " rows"]  # indices in the batch
    h: Callable[[Tensor], Tensor]  # (..., values) to (..., observed)
    innovation: Float[Tensor, "rows observed"]
    error: Float[Tensor, " observed"]  # standard deviations of the errors of the observations
    gain: Callable[[Tensor], Tensor]  # (r, observed) to (r, values)
    doubt: Float[Tensor, " values"]  # variance to add to the members, see `robustness`


class Observed(NamedTuple):
    """All observations of one datum, in cells and between them."""

    datum: int
    h: Operator
    y: Float[Tensor, " observed"]
    error: Float[Tensor, " observed"]  # variances
    cells: int  # so many of them, the first, are in cells


def in_cells(
    group: ObservedPlaces, gain: Gain, background: Float[Tensor, "batch values"], places: Places
) -> Iterator[Conditioning]:
    """Updates by observations in cells: the data whose observations all pass their check, then each other datum."""
    index, variables = group.index, background.shape[-1] // len(places)
    innovation = group.y - background[group.datum][:, index]
    for some, excess in gain.checked(innovation):
        doubt = robustness.doubt(excess, index, places, variables).to(background)
        error = (gain.variance + excess).sqrt()
        checked = partial(gain, excess=excess)
        yield Conditioning(
            group.datum[some], lambda x: x[..., index], innovation[some], error, checked, doubt
        )


def at_points(
    observed: Observed, parts: Sequence[Part], error: Float[Tensor, " observed"],
    background: Float[Tensor, "batch values"],
) -> tuple[Conditioning, PointGain]:  # fmt: skip
    """The update of one datum by all its observations, whose error variances are `error`, and its gain."""
    b = background[observed.datum]
    innovation = observed.y - observed.h(b)
    gain = PointGain(parts, observed.h, error, innovation, b)
    datum = torch.tensor([observed.datum], device=b.device)
    return Conditioning(datum, observed.h, innovation[None], error.sqrt(), gain, torch.zeros_like(b)), gain


def all_observed(c: Context, places: Places, variables: range) -> Iterator[Observed]:
    """The observations of adjacent variables, for each datum of a context with points."""
    assert c.points is not None and c.observed is not None and c.mask is not None
    selected = slice(variables.start, variables.stop)
    for datum in range(c.count):
        this = slice(datum, datum + 1)
        (group,) = observations(places, c.observed[this, selected], c.mask[this, selected])
        cells = len(group.index)
        points = c.points.of(torch.tensor([datum]))
        points = points[(points.variable >= variables.start) & (points.variable < variables.stop)]
        value = torch.cat([group.index[:, None].expand(-1, 4), touched(points, places, variables.start)])
        unit = torch.eye(4, dtype=torch.float64, device=value.device)[:1].expand(cells, 4)
        h = Operator.of(value, torch.cat([unit, points.weights.double()]))
        error = torch.cat([c.noise**2 / group.count, points.error])
        yield Observed(datum, h, torch.cat([group.y[0], points.y]).double(), error.double(), cells)


def touched(points: Points, places: Places, first: int) -> Int[Tensor, "n 4"]:
    """The values of a point, into (V, P) flattened from variable `first`; a cell without weight counts as another."""
    place = torch.zeros(places.shape[0] * places.shape[1], dtype=torch.int64, device=places.cells.device)
    place[places.cells] = places.place
    heaviest = points.cells.gather(1, points.weights.argmax(1, keepdim=True))
    cells = torch.where(points.weights > 0, points.cells, heaviest)
    return (points.variable[:, None] - first) * len(places) + place[cells]
