"""Observed values of a record that are hidden from its fillers, one after another, which are scored there.

5 % of the observed values are hidden in gaps like those of the record, and 5 % of the times of each variable as wholes.

In gaps: a missing value is drawn together with the pattern of missing values around it, over the length of its gap. The
pattern is moved to another time and hides what is observed there: at most a quarter of the values of that time (one
value, where it has two or three). "Around" is at least 1.3 times its distance from the observations of its variable at
its time. Several such times are drawn, and those taken at which most of the observations near the gap exist as well:
gaps of the record there would make the hidden one larger. Hidden values thus lie as far from observations, in time and
in space, as missing ones do.

Whole times: runs as long as the record's own runs without any observation of a variable, provided that four of them
make up at most 15 % of its times. Variables that lack observations at the same times are hidden together. If no
variable ever lacks a whole time, single times of all variables are hidden.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from fieldcast.geometry import GOLDEN
from fieldcast.models.gaps.hidden import Hidden
from fieldcast.models.gaps.hidden_weights import weights
from fieldcast.models.gaps.in_time import neighbours_in_time
from fieldcast.models.gaps.pieces import counts, pieces
from fieldcast.models.gaps.reach import (
    Places,
    present_variables,
)
from fieldcast.models.gaps.record import FEWEST_TIMES, Record
from fieldcast.models.random_streams import generator_for

IN_GAPS = 0.05  # share of the observed values that are hidden in gaps
TIMES = 0.05  # share of the times with observations of a variable that are hidden as a whole
NEAR = 0.05  # share of the cells, around a missing value, whose gaps are taken together
FEWEST_NEAR = 25  # of these cells, up to a quarter of all: a gap in few cells has observations close by
REACH = 1.3  # times the distance of a missing value from the observations of its time: what is near it
LARGEST_SHARE = 0.25  # of the values of a time, hidden in gaps
LARGEST_SHARE_NEAREST = 0.2  # of the observed values of a time, hidden by `nearest_in_gap`
STARTS = 8  # of each gap that are drawn, of which the best is taken
MOST_TIMES = 0.15  # hidden as a whole, where this share is needed for enough runs
RUNS = 4  # of whole times, at least: their errors are independent of each other
SELECTIONS = 4  # of hidden values, to whose errors the spread of the chosen method is fitted
DRAWN = 1000  # missing values that are drawn
ATTEMPTS = 4  # to place the gap of each of them


def hide_values(record: Record, seed: int) -> Hidden:
    """Choose the hidden values: none where values are observed at too few times."""
    group = hidden_groups(record, generator_for("hidden values", seed))
    time, cell = group.nonzero(as_tuple=True)
    number, area = group[time, cell].long(), record.places.area[cell].double()
    weight = weights(record, group != 0, number > 0, area)
    truth, shape = record.x[time, cell].double(), (len(group), group.shape[1])
    return Hidden(shape, time, cell, truth, number > 0, number, area, weight)


def hidden_groups(record: Record, generator: torch.Generator) -> Int[Tensor, "time cell"]:
    """Number of the run of times (1, 2, ...) or gap (-1, -2, ...) with which each value is hidden; 0 for none."""
    observed, variable = record.observed, record.places.variable
    if int(observed.any(1).sum()) == FEWEST_TIMES:
        return torch.zeros_like(observed, dtype=torch.int32)
    present = present_variables(observed, variable)
    run = whole_times(present, generator)[:, variable]
    group = in_gaps(observed & (run == 0), observed, present, record.places, generator)
    group += torch.where(observed, run, 0)  # no run has values hidden in gaps
    return group


def whole_times(
    present: Bool[Tensor, "time variable"], generator: torch.Generator
) -> Int[Tensor, "time variable"]:
    """Number of the hidden run that each time of a variable belongs to, 0 for none.

    `present` says which variables are observed at a time.
    """
    device, present = present.device, present.cpu()
    absent, times = ~present, present.sum(0)
    number, spare = torch.zeros_like(present, dtype=torch.int32), (times - FEWEST_TIMES).clamp(min=0)
    runs_of = [runs(column) for column in absent.T]
    lengths = torch.tensor([float(np.median(np.diff(of_v))) if of_v else 0.0 for of_v in runs_of])
    due = (RUNS * lengths).minimum(MOST_TIMES * times).maximum(TIMES * times).long().clamp(min=1)
    due = due.minimum(spare) * (absent.any(0) | ~absent.any())
    longest = (due // RUNS).clamp(min=1).tolist()
    for first in torch.randperm(len(present), generator=generator).tolist():
        v = int(due.argmax())  # the variable of which most is left to hide
        if due[v] <= 0:
            break
        block = torch.ones_like(present[:1])
        if runs_of[v]:
            begin, end = runs_of[v][int(torch.randint(len(runs_of[v]), (1,), generator=generator))]
            block = absent[begin : min(end, begin + longest[v])]
        there = slice(first, first + len(block))
        hidden = block[: len(present) - first] & present[there] & (number[there] == 0)
        of_v = hidden[:, v] & (hidden[:, v].cumsum(0) <= due[v])
        hidden = hidden & of_v[:, None]
        hidden &= hidden.cumsum(0) <= spare
        number[there][hidden] = number.max() + 1
        due, spare = due - hidden.sum(0), spare - hidden.sum(0)
    return number.to(device)


def runs(selected: Bool[Tensor, " time"]) -> list[tuple[int, int]]:
    """First time, and time after the last, of the run of each selected time, so that runs count as their times do."""
    edge = torch.zeros(1, dtype=torch.int8)
    change = torch.cat([edge, selected.to(torch.int8), edge]).diff()
    begins, ends = ((change == sign).nonzero()[:, 0].tolist() for sign in (1, -1))
    return [(begin, end) for begin, end in zip(begins, ends, strict=True) for _ in range(begin, end)]


def in_gaps(
    left: Bool[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], present: Bool[Tensor, "time variable"],
    places: Places, generator: torch.Generator,
) -> Int[Tensor, "time cell"]:  # fmt: skip
    """Number of the gap in which each value of `left` is hidden, -1, -2 and so on; 0 for none.

    `present` says which variables are observed at a time.
    """
    number = torch.zeros_like(left, dtype=torch.int32)
    needed, cells_of_all = IN_GAPS * int(left.count_nonzero()), left.shape[1]
    least = max(1, int(NEAR * cells_of_all), min(FEWEST_NEAR, cells_of_all // 4))
    points, variable, of_time = places.points, places.variable, counts(left)[0]
    tree, allowed = cKDTree(points), (of_time * LARGEST_SHARE).long().clamp(min=1) * (of_time > 1)
    free = left.clone()  # not hidden yet
    missing = ~observed & observed.any(0) & present[:, variable]
    for gap, (first, time, last, cell) in enumerate(gaps(observed, missing, generator), start=1):
        if needed <= 0:
            break
        near = max(
            least, cells_within_reach(tree, points, observed[time] & (variable == variable[cell]), cell)
        )
        cells = torch.as_tensor(tree.query(points[cell], near)[1], device=left.device).view(-1)
        begin = best_start(free, observed, first, last, cells, generator)
        there = begin + torch.arange(last - first, device=left.device)[:, None]
        hidden = free[there, cells] & ~observed[first:last, cells]
        hidden &= hidden.cumsum(1) <= allowed[there]  # cells are in order of their distance
        number[there, cells] -= gap * hidden.int()
        free[there, cells] &= ~hidden
        allowed[there] -= hidden.sum(1, keepdim=True)
        needed -= int(hidden.count_nonzero())
    return number


def cells_within_reach(
    tree: cKDTree, points: Float[np.ndarray, "cell 3"], observed: Bool[Tensor, " cell"], cell: int
) -> int:
    """Number of cells within `REACH` times the distance of a cell from the observations of a time; 0 without any."""
    present = observed.cpu().numpy()
    if not present.any():
        return 0
    nearest = np.sqrt(((points[present] - points[cell]) ** 2).sum(-1).min())
    return int(tree.query_ball_point(points[cell], REACH * nearest, return_length=True))


def best_start(
    left: Bool[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], first: int, last: int,
    cells: Int[Tensor, " near"], generator: torch.Generator,
) -> int:  # fmt: skip
    """Draw some starts, and choose the one at which most of the observations near a gap exist, too.

    Those of the times before and after the gap count as well: they end it.
    """
    starts = torch.randint(len(left) - (last - first) + 1, (STARTS,), generator=generator)
    before, after = max(first - 1, 0), min(last + 1, len(left))
    around = observed[before:after, cells]
    offsets = torch.arange(before - first, after - first)
    there = starts[:, None] + offsets
    within = (there >= 0) & (there < len(left))
    exist = left[there.clamp(0, len(left) - 1)[..., None].to(cells), cells] & within[..., None].to(
        cells.device
    )
    return int(starts[(exist & around).sum((1, 2)).argmax()])


def gaps(
    observed: Bool[Tensor, "time cell"], missing: Bool[Tensor, "time cell"], generator: torch.Generator
) -> Iterator[tuple[int, int, int, int]]:
    """First time, time drawn, time after the last, and cell of gaps: those of missing values that are drawn.

    They are drawn at random and taken in an order that has long and short gaps in turn.
    """
    of_time = counts(missing)[0]
    until = of_time.cumsum(0)
    total = int(until[-1])
    if total == 0:
        return
    rank = torch.randint(total, (min(DRAWN, total),), generator=generator).to(observed.device)
    time = torch.searchsorted(until, rank, right=True)
    rank -= until[time] - of_time[time]
    cell = torch.stack(
        [missing[t].nonzero()[r, 0] for t, r in zip(time.tolist(), rank.tolist(), strict=True)]
    )
    first, last = torch.empty_like(time), torch.empty_like(time)
    for some in pieces(len(time), len(observed)):
        before, after = neighbours_in_time(observed[:, cell[some]])
        here = time[some][None]
        first[some], last[some] = before.gather(0, here)[0] + 1, after.gather(0, here)[0]
    order = (last - first).argsort(stable=True)
    for turn in range(ATTEMPTS * len(order)):
        i = order[int(GOLDEN * (turn + 1) % 1 * len(order))]
        yield int(first[i]), int(time[i]), int(last[i]), int(cell[i])


def nearest_in_gap(
    observed: Bool[Tensor, " cell"], other: Bool[Tensor, " cell"], points: Float[Tensor, "cell 3"],
    generator: torch.Generator,
) -> Bool[Tensor, " cell"]:  # fmt: skip
    """Observed values of one time that lie in the gap of another, the nearest to one of them that is drawn.

    At most a fifth of the observed values, so that the time stays nearly as well observed as it was.
    """
    hidden, gap = torch.zeros_like(observed), (observed & ~other).nonzero()[:, 0]
    count = min(len(gap), int(LARGEST_SHARE_NEAREST * int(observed.sum())))
    if count:
        drawn = gap[int(torch.randint(len(gap), (1,), generator=generator))]
        distance = (points[gap] - points[drawn]).norm(dim=1)
        hidden[gap[distance.topk(count, largest=False).indices]] = True
    return hidden
