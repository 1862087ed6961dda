"""Updates of a Gaussian model: H, the errors of observations, and a gain that has checked them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.models.core import Context
from fieldcast.models.gaussian import robustness
from fieldcast.models.gaussian.covariance_terms import CovarianceTerm
from fieldcast.models.gaussian.grid_points import GridPoints, ObservedPoints, observations
from fieldcast.models.gaussian.kalman_gain import CheckedGain, Operator, PointGain
from fieldcast.models.points import Points
from fieldcast.models.random_streams import UPDATE_STREAM, RandomStreams, seed_for

SPREAD_SEED = seed_for("spread")  # seed for the observation errors of a sample, shared by all data


class Conditioning(NamedTuple):
    """Data of a batch that one gain updates."""

    datum: Int[Tensor, " rows"]  # indices in the batch
    h: Callable[[Tensor], Tensor]  # (..., values) to (..., observed)
    innovation: Float[Tensor, "rows observed"]
    error: Float[Tensor, " observed"]  # standard deviations of the errors of the observations
    gain: Callable[[Tensor], Tensor]  # (r, observed) to (r, values)
    added_variance: Float[Tensor, " values"]  # variance to add to the members, see `robustness`
    accepted: Bool[Tensor, " observed"]


class ObservedData(NamedTuple):
    """All observations of data that share H and R, in cells and between them."""

    datum: Int[Tensor, " rows"]
    h: Operator
    y: Float[Tensor, "rows observed"]
    error: Float[Tensor, " observed"]  # variances
    cells: int  # number of observations in cells, which come first

    @property
    def in_cells(self) -> Int[Tensor, " cells"]:
        """The values that are observed in cells, as indices into (V, P) flattened."""
        return self.h.index[self.h.column[: self.cells, 0]]


def conditioned(
    conditionings: Iterable[Conditioning],
    b: Float[Tensor, "batch values"],
    e: Float[Tensor, "batch members values"],
    p: Float[Tensor, "sample values"],
    streams: RandomStreams,
) -> tuple[
    Float[Tensor, "batch values"], Float[Tensor, "batch values"], Float[Tensor, "batch members values"]
]:
    """Mean b + K (y - H b), spread and members b + e_j + K (y + eps_j - H (b + e_j)).

    The spread is the root mean square of p + K (eps - H p) over a sample of errors p; NaN without a sample.
    """
    numbers = torch.arange(len(p), device=b.device)
    m, s, d = torch.empty_like(b), torch.empty_like(b), torch.empty_like(e)
    for datum, h, innovation, error, gain, added_variance, _ in conditionings:
        # a stream independent of all other uses of `draws`
        stream = streams.fork(UPDATE_STREAM).of_data(datum)
        eps = stream.normal(len(error)) * error
        eps_of_sample = RandomStreams(SPREAD_SEED, numbers).normal(len(error))[:, 0] * error
        departures = innovation, (eps - h(e[datum])).flatten(0, 1), eps_of_sample - h(p)
        increments = gain(torch.cat(departures)).split([len(departure) for departure in departures])
        mean, members, deviations = increments
        m[datum] = b[datum] + mean
        d[datum] = m[datum][:, None] + e[datum] + members.unflatten(0, eps.shape[:2])
        if added_variance.any():
            d[datum] += stream.normal(len(added_variance)).to(b) * added_variance.sqrt()
        s[datum] = ((p + deviations).square().mean(0) + added_variance).sqrt()
    return m, s, d


def in_cells(
    group: ObservedPoints, gain: CheckedGain, background: Float[Tensor, "batch values"], grid: GridPoints
) -> Iterator[Conditioning]:
    """Updates by observations in cells: the data whose observations all pass their check, then each other datum."""
    index, variables = group.index, background.shape[-1] // len(grid)
    innovation = group.y - background[group.datum][:, index]
    for some, excess in gain.checked(innovation):
        added_variance = robustness.added_variance(excess, index, grid, variables).to(background)
        error = (gain.variance + excess).sqrt()
        yield Conditioning(
            group.datum[some], lambda x: x[..., index], innovation[some], error,
            partial(gain, excess=excess), added_variance, torch.ones_like(error, dtype=torch.bool),
        )  # fmt: skip


def at_points(
    observed: ObservedData, terms: Sequence[CovarianceTerm], error: Float[Tensor, " observed"],
    background: Float[Tensor, "batch values"],
) -> Iterator[Conditioning]:  # fmt: skip
    """Updates by observations in cells or between them, with error variances `error`.

    First the data whose observations all pass their check, together, then each other datum.
    """
    b = background[observed.datum]
    innovation = observed.y - observed.h(b)
    gain = PointGain(terms, observed.h, error, b[0])
    for some, accepted in gain.checked(innovation):
        yield Conditioning(
            observed.datum[some], observed.h, innovation[some], error.sqrt(),
            partial(gain, accepted=accepted), torch.zeros_like(b[0]), accepted,
        )  # fmt: skip


def observed_data(c: Context, grid: GridPoints, variables: range) -> Iterator[ObservedData]:
    """The observations of adjacent variables, in cells or between them, by groups of data that share H and R."""
    if c.points is not None:
        yield from all_observed(c, grid, variables)
        return
    observed, mask = c.observations()
    selected = slice(variables.start, variables.stop)
    for group in observations(grid, observed[:, selected], mask[:, selected]):
        index = group.index[:, None].expand(-1, 4)
        unit = torch.eye(4, dtype=torch.float64, device=index.device)[:1].expand(len(index), 4)
        yield ObservedData(
            group.datum, Operator.of(index, unit), group.y, c.noise**2 / group.count, len(index)
        )


def all_observed(c: Context, grid: GridPoints, variables: range) -> Iterator[ObservedData]:
    """The observations of adjacent variables, by groups of data of a context with points that share H and R."""
    assert c.points is not None
    observed, mask = c.observations()
    selected = slice(variables.start, variables.stop)
    points = c.points[(c.points.variable >= variables.start) & (c.points.variable < variables.stop)]
    for group in observations(grid, observed[:, selected], mask[:, selected]):
        for rows in sharing(points, group.datum):
            data = group.datum[rows]
            of_data = [points.of(datum[None]) for datum in data]
            first, cells = of_data[0], len(group.index)
            value = torch.cat([group.index[:, None].expand(-1, 4), touched(first, grid, variables.start)])
            unit = torch.eye(4, dtype=torch.float64, device=value.device)[:1].expand(cells, 4)
            h = Operator.of(value, torch.cat([unit, first.weights.double()]))
            y = torch.cat([group.y[rows], torch.stack([each.y for each in of_data]).double()], dim=1)
            error = torch.cat([c.noise**2 / group.count, first.error.double()])
            yield ObservedData(data, h, y, error, cells)


def sharing(points: Points, data: Int[Tensor, " rows"]) -> Iterator[Int[Tensor, " some"]]:
    """Groups of rows of `data` whose points have the same locations and errors, in the same order."""
    groups: dict[bytes, list[int]] = {}
    for row, datum in enumerate(data):
        of_datum = points.of(datum[None])
        key = (of_datum.variable, of_datum.cells, of_datum.weights, of_datum.error)
        groups.setdefault(b"".join(tensor.cpu().numpy().tobytes() for tensor in key), []).append(row)
    for rows in groups.values():
        yield torch.tensor(rows, device=data.device)


def touched(points: Points, grid: GridPoints, first: int) -> Int[Tensor, "n 4"]:
    """The values of each point, as indices into (V, P) flattened from variable `first`.

    A value of weight 0 is replaced by the one of the largest weight.
    """
    place = torch.zeros(grid.shape[0] * grid.shape[1], dtype=torch.int64, device=grid.cells.device)
    place[grid.cells] = grid.place
    heaviest = points.cells.gather(1, points.weights.argmax(1, keepdim=True))
    cells = torch.where(points.weights > 0, points.cells, heaviest)
    return (points.variable[:, None] - first) * len(grid) + place[cells]
