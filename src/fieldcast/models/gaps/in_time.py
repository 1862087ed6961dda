"""Records cell by cell in time: linear interpolation, and red noise, between the observed neighbours of each value.

Red noise has the correlation rho^|t - u| (an AR(1) process), so that given its cell a value depends on its observed
neighbours i <= t <= j alone. With a = t - i, b = j - t and the variance v of the process,

    E x_t = (rho^a (1 - rho^2b) x_i + rho^b (1 - rho^2a) x_j) / (1 - rho^2(a+b)),
    var x_t = v (1 - rho^2a) (1 - rho^2b) / (1 - rho^2(a+b)),

without x_j E x_t = rho^a x_i, var x_t = v (1 - rho^2a). As rho rises to 1, this becomes linear interpolation.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

MAX_RHO = 1 - 1e-6  # upper limit of rho: at 1 the mean would be 0 / 0
MIN_PAIRS = 10  # smallest number of pairs of values for a correlation
# steps between segments, and to a missing neighbour: far enough that MAX_RHO^steps is 0
SEGMENT_SEPARATION = 2**30


def neighbours_in_time(
    observed: Bool[Tensor, "time cell"], masked: Bool[Tensor, "time cell"] | None = None
) -> tuple[Int[Tensor, "time cell"], Int[Tensor, "time cell"]]:
    """Index of the last observed time at or before each value (-1: none); of the first at or after it (T: none).

    A time on the other side of a masked one is none.
    """
    if masked is not None:
        before, after = neighbours_in_time(observed)
        wall_before, wall_after = neighbours_in_time(masked)
        none_before, none_after = before < wall_before, after > wall_after
        return before.masked_fill_(none_before, -1), after.masked_fill_(none_after, len(observed))
    times = len(observed)
    index = torch.arange(times, device=observed.device)[:, None]
    before = torch.where(observed, index, -1).cummax(0).values
    after = torch.where(observed, index, times).flip(0).cummin(0).values.flip(0)
    return before, after


def gap_lengths(
    observed: Bool[Tensor, "time cell"], segment: Int[Tensor, " time"]
) -> Int[Tensor, "time cell"]:
    """Number of times of its segment without an observation around each value; 0 where it is observed."""
    lengths = torch.zeros_like(observed, dtype=torch.int32)
    size = segment.unique_consecutive(return_counts=True)[1]
    end = size.cumsum(0).repeat_interleave(size)[:, None]
    begin = end - size.repeat_interleave(size)[:, None]
    for cells in pieces(observed.shape[1], TABLES * len(observed)):
        before, after = neighbours_in_time(observed[:, cells])
        lengths[:, cells] = (after.minimum(end) - before.maximum(begin - 1) - 1).clamp(min=0)
    return lengths


def linear_in_time(
    x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], hours: Float[Tensor, " time"],
    masked: Bool[Tensor, "time cell"] | None = None,
) -> Float[Tensor, "time cell"]:  # fmt: skip
    """Interpolation between the observed times of each cell, constant beyond them; NaN without one on either side.

    Times on the other side of a masked one are not used.
    """
    filled, last = torch.empty_like(x), len(x) - 1
    for cells in pieces(x.shape[1], TABLES * len(x)):
        walls = None if masked is None else masked[:, cells]
        before, after = neighbours_in_time(observed[:, cells], walls)
        values = torch.where(observed[:, cells], x[:, cells], 0.0)
        i = torch.where(before < 0, after.clamp(max=last), before)
        j = torch.where(after > last, before.clamp(min=0), after)
        interval = hours[j] - hours[i]
        share = (hours[:, None] - hours[i]) / torch.where(interval > 0, interval, 1.0)
        share = torch.where(interval > 0, share, 0.0).to(x)
        linear = (1 - share) * values.gather(0, i) + share * values.gather(0, j)
        filled[:, cells] = linear.masked_fill_((before < 0) & (after > last), math.nan)
    return filled


def red_noise(
    x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], segment: Int[Tensor, " time"],
    rho: float | None = None, masked: Bool[Tensor, "time cell"] | None = None,
) -> tuple[Float[Tensor, "time cell"], Float[Tensor, "time cell"]]:  # fmt: skip
    """Mean and standard deviation of each value as red noise of variance 1 about 0.

    Segments are independent, and so are the values of a cell on both sides of a masked one.
    """
    rho, step = persistence(x, observed, segment) if rho is None else rho, elapsed_steps(segment)
    mean, spread = torch.empty_like(x), torch.empty_like(x)
    for cells in pieces(x.shape[1], TABLES * len(x)):
        walls = None if masked is None else masked[:, cells]
        mean[:, cells], spread[:, cells] = between_neighbours(
            x[:, cells], observed[:, cells], step, rho, walls
        )
    return mean, spread


def elapsed_steps(segment: Int[Tensor, " time"]) -> Float[Tensor, " time"]:
    """Number of steps from the first time, with `SEGMENT_SEPARATION` more between segments."""
    step = torch.arange(len(segment), device=segment.device, dtype=torch.float64)
    return step + SEGMENT_SEPARATION * (segment.diff(prepend=segment[:1]) != 0).cumsum(0)


def between_neighbours(
    x: Float[Tensor, "time cell"],
    observed: Bool[Tensor, "time cell"],
    step: Float[Tensor, " time"],
    rho: float,
    masked: Bool[Tensor, "time cell"] | None = None,
) -> tuple[Float[Tensor, "time cell"], Float[Tensor, "time cell"]]:
    """Mean and standard deviation by the equations of the module; `step` counts from the first time."""
    last = len(x) - 1
    before, after = neighbours_in_time(observed, masked)
    x = torch.where(observed, x, 0.0)
    p = (rho ** torch.where(before < 0, SEGMENT_SEPARATION, step[:, None] - step[before.clamp(min=0)])).to(x)
    q = (
        rho ** torch.where(after > last, SEGMENT_SEPARATION, step[after.clamp(max=last)] - step[:, None])
    ).to(x)
    whole = (1 - (p * q).square()).clamp(min=torch.finfo(x.dtype).tiny)
    earlier, later = x.gather(0, before.clamp(min=0)), x.gather(0, after.clamp(max=last))
    mean = p * (1 - q.square()) * earlier + q * (1 - p.square()) * later
    variance = (1 - p.square()) * (1 - q.square()) / whole
    return torch.where(observed, x, mean / whole), variance.clamp(min=0).sqrt()


def persistence(
    x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], segment: Int[Tensor, " time"]
) -> float:
    """rho, estimated from the correlation r at the first lag with enough pairs as r^(1 / lag)."""
    for lag in range(1, len(x)):
        pairs, correlation = lagged_correlation(x, observed, segment, lag)
        if pairs >= MIN_PAIRS:
            return 0.0 if math.isnan(correlation) else min(max(correlation, 0.0) ** (1 / lag), MAX_RHO)
    return 0.0


def lagged_correlation(
    x: Float[Tensor, "time cell"],
    observed: Bool[Tensor, "time cell"],
    segment: Int[Tensor, " time"],
    lag: int,
) -> tuple[int, float]:
    """Number of pairs of observed values of a cell `lag` steps apart, and their correlation; NaN if all are 0."""
    follows = (segment[lag:] == segment[:-lag])[:, None]
    sums = torch.zeros(4, dtype=torch.float64, device=x.device)
    for cells in pieces(x.shape[1], len(x)):
        both = follows & observed[lag:, cells] & observed[:-lag, cells]
        later, earlier = (values[:, cells].masked_fill(~both, 0.0) for values in (x[lag:], x[:-lag]))
        terms = later.square(), earlier.square(), later * earlier, both
        sums += torch.stack([term.sum().double() for term in terms])
    squares = float(sums[0] * sums[1])
    return int(sums[3]), float(sums[2]) / squares**0.5 if squares > 0 else math.nan


# Pieces of the cells of a record, so that temporary tables do not grow with it.


MAX_TABLE_ENTRIES = 2**20  # largest number of entries of a temporary table
TABLES = 8  # number of tables of eight bytes an entry that are in memory together, at most


def pieces(cells: int, width: int) -> list[slice]:
    """Slices of the cells, whose tables of `width` values for each have at most `MAX_TABLE_ENTRIES` entries."""
    step = max(1, MAX_TABLE_ENTRIES // max(width, 1))
    return [slice(start, min(start + step, cells)) for start in range(0, cells, step)]


def zero_where_missing(
    x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"]
) -> Float[Tensor, "time cell"]:
    """The values, 0 where they are missing; x itself, not a copy of it, if it is 0 there."""
    missing = (x[:, cells].masked_fill(observed[:, cells], 0.0) for cells in pieces(x.shape[1], len(x)))
    return torch.where(observed, x, 0.0) if any(bool(values.any()) for values in missing) else x


def counts(observed: Bool[Tensor, "time cell"]) -> tuple[Int[Tensor, " time"], Int[Tensor, " cell"]]:
    """Number of observed values at each time and in each cell, in pieces: a sum of a mask takes eight bytes a value."""
    of_time, of_cell = (observed.new_zeros(size, dtype=torch.long) for size in observed.shape)
    for cells in pieces(observed.shape[1], len(observed)):
        of_time += observed[:, cells].sum(1)
        of_cell[cells] = observed[:, cells].sum(0)
    return of_time, of_cell
