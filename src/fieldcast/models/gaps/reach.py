"""Reach of observations: the e-folding lengths of the correlation of anomalies in space and time.

    r^2 = (distance / L)^2 + (lag / tau)^2

is the distance of a value from an observation in e-folding lengths; at r = 1 the correlation of two values is about
1 / e. L and tau are estimated from pairs of observed values.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Integer
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from torch import Tensor

from fieldcast.models.gaps.in_time import TABLES, lagged_correlation, pieces

# largest number of cells whose correlations with all others are computed, and of such correlations
MAX_CENTRES, MAX_CORRELATIONS = 300, 2**23
DISTANCE_BINS = 30  # number of logarithmic bins of distance
FEW = 2**5  # values for which all distances take less time than a tree of the observations
MIN_PAIRS = 10  # smallest number of pairs of observed values for a correlation


class Columns(NamedTuple):
    """Positions, variables and areas of the columns of a record."""

    points: Float[np.ndarray, "column 3"]  # positions on the unit sphere
    variable: Int[Tensor, " column"]  # index of the variable, in ascending order
    area: Float[Tensor, " column"]  # area of the cell


def present_variables(
    observed: Bool[Tensor, "time cell"], variable: Int[Tensor, " cell"]
) -> Bool[Tensor, "time variable"]:
    """Whether any value of each variable is observed at each time; `variable` is the index of that of each cell."""
    present = observed.new_zeros(len(observed), int(variable.max()) + 1)
    for v in variable.unique().tolist():
        present[:, v] = observed[:, variable == v].any(1)
    return present


def e_folding_distance(
    x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], points: Float[Tensor, "cell 3"]
) -> float:
    """Chord L between points of the unit sphere at which the mean correlation falls below 1 / e.

    `x` has a variance of about 1 in each cell. If the correlation never falls as low, L is the mean distance in the
    last bin; without enough pairs, it is the largest distance.
    """
    centres = min(MAX_CENTRES, max(MAX_CORRELATIONS // x.shape[1], 1), x.shape[1])
    centre = torch.linspace(0, x.shape[1] - 1, centres, device=x.device).long().unique()
    at_centre = observed[:, centre]
    z, o = x[:, centre].masked_fill(~at_centre, 0.0), at_centre.to(x)
    correlation = x.new_empty(len(centre), x.shape[1])
    for cells in pieces(x.shape[1], max(x.shape[0], len(centre))):
        present = observed[:, cells].to(x)
        values = x[:, cells].masked_fill(~observed[:, cells], 0.0)
        square = (z.square().T @ present) * (o.T @ values.square())
        few = (o.T @ present < MIN_PAIRS) | (square <= 0)
        correlation[:, cells] = (z.T @ values / square.sqrt()).masked_fill_(few, torch.nan)

    def pairs() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Distances of some centres from all cells, in double precision, correlations, and which of them count."""
        # exact differences: with |x|^2 - 2 xy + |y|^2, rounding would put a cell at a distance > 0 from itself
        mode = "donot_use_mm_for_euclid_dist"
        for some in pieces(len(centre), TABLES * x.shape[1]):
            distance = torch.cdist(points[centre[some]].double(), points.double(), compute_mode=mode)
            yield distance, correlation[some], (distance > 0) & ~correlation[some].isnan()

    low, high, largest = math.inf, -math.inf, 0.0
    for distance, _, valid in pairs():
        largest = max(largest, float(distance.max()))
        if valid.any():
            ends = distance[valid].log().aminmax()
            low, high = min(low, float(ends.min)), max(high, float(ends.max))
    if low > high:  # no pair counts
        return largest
    sums = torch.zeros(3, DISTANCE_BINS, dtype=torch.float64, device=x.device)
    for distance, of_pair, valid in pairs():
        log_distance, pair_correlation = distance[valid].log(), of_pair[valid].double()
        bin_index = ((log_distance - low) / max(high - low, 1e-9) * DISTANCE_BINS).long()
        bin_index = bin_index.clamp(max=DISTANCE_BINS - 1)
        terms = torch.ones_like(pair_correlation), pair_correlation, log_distance
        for bin_sum, term in zip(sums, terms, strict=True):
            bin_sum.index_add_(0, bin_index, term)
    filled = sums[0] > 0
    mean, bin_distance = sums[1][filled] / sums[0][filled], (sums[2][filled] / sums[0][filled]).exp()
    below = (mean < 1 / math.e).nonzero()
    return float(bin_distance[below[0, 0]] if len(below) else bin_distance[-1])


def e_folding_steps(
    x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], segment: Int[Tensor, " time"]
) -> int:
    """First lag tau, in steps, at which the correlation of a cell with itself falls below 1 / e.

    At least 1, and at most half of the record and the longest lag within a segment.
    """
    longest = int(segment.bincount().max())
    largest = max(1, min(len(x) // 2, longest - 1))
    for lag in range(1, largest):
        if lagged_correlation(x, observed, segment, lag)[1] < 1 / math.e:  # false for NaN
            return lag
    return largest


def is_within_reach(
    nearest: Float[Tensor, "time cell"],
    segment: Int[Tensor, " time"],
    distance: float,
    steps: int,
    farthest: float,
) -> Bool[Tensor, "time cell"]:
    """Whether some observation of the same segment is within `farthest` e-folding lengths of each value.

    Parameters
    ----------
    nearest
        Chord to the nearest observation of the same time.
    segment
        Number of the unbroken stretch that each time belongs to.
    distance, steps
        L and tau.
    farthest
        Largest r.
    """
    in_reach = nearest <= farthest * distance
    for lag in range(1, min(int(farthest * steps), len(nearest) - 1) + 1):
        allowed = distance * math.sqrt(max(farthest**2 - (lag / steps) ** 2, 0.0))
        same_segment = (segment[lag:] == segment[:-lag])[:, None]
        for cells in pieces(nearest.shape[1], len(nearest)):
            near = nearest[:, cells] <= allowed
            in_reach[lag:, cells] |= same_segment & near[:-lag]
            in_reach[:-lag, cells] |= same_segment & near[lag:]
    return in_reach


def nearest_observation(
    observed: Bool[Tensor, "time cell"], columns: Columns, requested: Bool[Tensor, "time cell"]
) -> Float[Tensor, "time cell"]:
    """Chord to the nearest observation of the same time and variable, infinite if there is none; 0 if not requested."""
    present, needed = (mask.cpu().numpy() for mask in (observed, requested & ~observed))
    variable = columns.variable.cpu().numpy()
    distance = np.zeros(present.shape, dtype=np.float32)
    for v in np.unique(variable):
        first, last = np.searchsorted(variable, [v, v + 1])
        points = columns.points[first:last]
        for row, here, lacking in zip(
            distance[:, first:last], present[:, first:last], needed[:, first:last], strict=True
        ):
            some = lacking.nonzero()[0]
            if len(some) == 0:
                continue
            if not here.any():
                row[some] = np.inf
            elif len(some) <= FEW:
                row[some] = cdist(points[some], points[here]).min(1)
            else:  # quick to build, for one use
                tree = cKDTree(points[here], compact_nodes=False, balanced_tree=False)
                row[some] = tree.query(points[some])[0]
    return torch.from_numpy(distance).to(observed.device)


def steps_to_observation(
    observed: Bool[Tensor, "time cell"], segment: Int[Tensor, " time"],
    masked: Bool[Tensor, "time cell"] | None = None,
) -> Int[Tensor, "time cell"]:  # fmt: skip
    """Number of steps from each time to the nearest one of its segment at which the same cell was observed.

    If the cell is never observed in the segment, or only on the other side of a masked time, it is the number of all
    times.
    """
    steps = torch.empty_like(observed, dtype=torch.int32)
    times, number = len(observed), (segment.diff(prepend=segment[:1]) != 0).cumsum(0)
    never = times * (int(number.max()) + 3)  # segments are as far from each other as all times
    dtype = np.int32 if never < 2**30 else np.int64
    index = (np.arange(times) + times * number.cpu().numpy()).astype(dtype)[:, None]

    def nearest(mask: Bool[Tensor, "time some"]) -> tuple[Integer[np.ndarray, "time some"], ...]:
        """The last time at or before each one at which the mask is true, and the first at or after it."""
        true = mask.cpu().numpy()
        before, after = np.where(true, index, dtype(-never)), np.where(true, index, dtype(never))[::-1]
        np.maximum.accumulate(before, 0, out=before)
        np.minimum.accumulate(after, 0, out=after)
        return before, after[::-1]

    for cells in pieces(observed.shape[1], TABLES * times):
        before, after = nearest(observed[:, cells])
        if masked is not None:
            walls = nearest(masked[:, cells])
            before[walls[0] > before], after[walls[1] < after] = -never, never
        least = np.minimum(np.minimum(index - before, after - index), times)
        steps[:, cells] = torch.from_numpy(least).to(steps)
    return steps
