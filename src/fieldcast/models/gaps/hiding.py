"""Observed values of a record that are hidden from its fillers, one after another, which are scored there.

Hidden are 5 % of the observed values, in gaps of the record, and 5 % of the times as a whole.

In gaps: for a missing value that is drawn, what is missing near it for as long as its own gap lasts is hidden at other
times, as many and in succession, but at most a fifth of the values of a time. Hidden values thus lie as far from
observations in time as missing ones do, and in space where gaps hold few cells; values hidden at single times would
have observations of the times before and after beside them.

Whole times: runs as long as those of the record without any observation, as far as there are then at least five of
them; single times if it has none.

Hidden values count as the missing ones of which they are samples: of a time with or without any observations, and as
many steps, in powers of 2, from an observation of their cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from scipy.spatial import cKDTree
from torch import Tensor

from fieldcast.errors import InputError
from fieldcast.models.gaps.in_time import neighbours_in_time
from fieldcast.models.gaps.pieces import counts, pieces
from fieldcast.models.gaps.reach import Places, steps_to_observation
from fieldcast.models.gaps.record import FEWEST_TIMES, LEFT, Record
from fieldcast.models.random_streams import seed_for

IN_GAPS = 0.05  # share of the observed values that are hidden in gaps
TIMES = 0.05  # share of the times with observations that are hidden as a whole
NEAR = 0.05  # share of the cells, around a missing value, whose gaps are taken together
FEWEST_NEAR = 25  # of these cells, up to a quarter of all: a gap in few cells has observations close by
RUNS = 5  # of whole times, at least: their errors are independent of each other
DRAWN = 1000  # missing values that are drawn
ATTEMPTS = 4  # to place the gap of each of them
GOLDEN = 0.6180339887  # whose multiples are spread evenly modulo 1
CLASSES = 32  # of steps: 1, 2 to 3, 4 to 7, ...
FEWEST = 30  # hidden values of a class that counts by itself


@dataclass(frozen=True, eq=False)
class Hidden:
    """Hidden values, one after another.

    Parameters
    ----------
    shape
        Numbers of times and cells of the record.
    time, cell
        Their places in the record.
    truth
        Their values.
    whole
        Which of them belong to a time that is hidden as a whole.
    group
        Number of the gap, or run of times, with which each was hidden; their errors depend on each other.
    area
        Area of their cells.
    weight
        Weight of each in means over the missing values; the sum is 1.
    """

    shape: tuple[int, int]
    time: Int[Tensor, " hidden"]
    cell: Int[Tensor, " hidden"]
    truth: Float[Tensor, " hidden"]
    whole: Bool[Tensor, " hidden"]
    group: Int[Tensor, " hidden"]
    area: Float[Tensor, " hidden"]
    weight: Float[Tensor, " hidden"]

    @property
    def mask(self) -> Bool[Tensor, "time cell"]:
        """Mask of the hidden values of the record."""
        mask = torch.zeros(self.shape, dtype=torch.bool, device=self.time.device)
        mask[self.time, self.cell] = True
        return mask

    def at(self, x: Shaped[Tensor, "time cell"]) -> Float[Tensor, " hidden"]:
        """Values of a matrix at the hidden places."""
        return x[self.time, self.cell].double()

    def weights(self, selected: Bool[Tensor, " hidden"]) -> Float[Tensor, " hidden"]:
        """Weights of some of them, 0 elsewhere: areas, if they are samples of no missing value."""
        weight = self.weight * selected
        return weight if weight.any() else self.area * selected


def hide_values(record: Record, places: Places, seed: int) -> Hidden:
    """Choose the hidden values.

    Raises
    ------
    InputError
        If there are too few observed values to hide some.
    """
    generator = torch.Generator().manual_seed(seed_for("hidden values", seed))
    observed = record.observed
    times = int(observed.any(1).sum())
    run_of_time = whole_times(observed.any(1), generator)
    left = observed & (run_of_time == 0)[:, None]
    number = in_gaps(left, observed, places, generator)
    number += torch.where(
        observed, run_of_time[:, None], 0
    )  # in place: no time of a run has values hidden in gaps
    if times == FEWEST_TIMES or not number.any():
        raise InputError(
            f"the record has observed values at {times} of {len(observed)} times, too few to hide some and "
            " compare the methods there: give a longer record."
        )
    time, cell = number.nonzero(as_tuple=True)
    whole, group = run_of_time[time] > 0, number[time, cell].long()
    area = places.area[cell].double()
    steps = steps_to_observation(observed & (number == 0))[time, cell]
    weight = weights(kind(steps, whole), area, totals(observed, places.area))
    truth, shape = record.x[time, cell].double(), (len(observed), observed.shape[1])
    return Hidden(shape, time, cell, truth, whole, group, area, weight)


def whole_times(present: Bool[Tensor, " time"], generator: torch.Generator) -> Int[Tensor, " time"]:
    """Number of the hidden run that each time belongs to, 0 for none; `present` are the times with observations."""
    number, times = torch.zeros_like(present, dtype=torch.int32), int(present.sum())
    count = min(max(1, int(TIMES * times)), times - FEWEST_TIMES)
    lengths, longest = runs(~present), max(1, count // RUNS)
    for first in torch.randperm(len(present), generator=generator).tolist():
        if count <= 0:
            break
        length = lengths[int(torch.randint(len(lengths), (1,), generator=generator))] if lengths else 1
        length = min(length, longest)
        free = present[first : first + length] & (number[first : first + length] == 0)
        free &= free.cumsum(0) <= count
        number[first : first + length][free] = number.max() + 1
        count -= int(free.sum())
    return number


def runs(selected: Bool[Tensor, " time"]) -> list[int]:
    """Length of the run of each selected time, so that the lengths count as their times do."""
    edge = torch.zeros(1, dtype=torch.int8, device=selected.device)
    change = torch.cat([edge, selected.to(torch.int8), edge]).diff()
    lengths = (change == -1).nonzero()[:, 0] - (change == 1).nonzero()[:, 0]
    return [length for length in lengths.tolist() for _ in range(length)]


def in_gaps(
    left: Bool[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], places: Places, generator: torch.Generator
) -> Int[Tensor, "time cell"]:  # fmt: skip
    """Number of the gap in which each value of `left` is hidden, -1, -2 and so on; 0 for none."""
    number = torch.zeros_like(left, dtype=torch.int32)
    needed, cells_of_all = IN_GAPS * int(left.count_nonzero()), left.shape[1]
    near = max(1, int(NEAR * cells_of_all), min(FEWEST_NEAR, cells_of_all // 4))
    tree, allowed = cKDTree(places.points), counts(left)[0] // LEFT
    for gap, (first, last, cell) in enumerate(gaps(observed, generator), start=1):
        if needed <= 0:
            break
        cells = torch.as_tensor(tree.query(places.points[cell], near)[1], device=left.device).view(-1)
        begin = int(torch.randint(len(left) - (last - first) + 1, (1,), generator=generator))
        there = begin + torch.arange(last - first, device=left.device)[:, None]
        hidden = left[there, cells] & ~observed[first:last, cells] & (number[there, cells] == 0)
        hidden &= hidden.cumsum(1) <= allowed[there]  # cells are in order of their distance
        number[there, cells] -= gap * hidden.int()
        allowed[there] -= hidden.sum(1, keepdim=True)
        needed -= int(hidden.count_nonzero())
    return number


def gaps(observed: Bool[Tensor, "time cell"], generator: torch.Generator) -> Iterator[tuple[int, int, int]]:
    """First time, time after the last, and cell of gaps: those of missing values that are drawn.

    They are drawn at random and taken in an order that has long and short gaps in turn.
    """
    missing = ~observed & observed.any(0)
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
        yield int(first[i]), int(last[i]), int(cell[i])


def kind(steps: Int[Tensor, " n"], whole: Bool[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Class of values that are some steps from an observation, of a time with or without others."""
    return steps.clamp(min=1).double().log2().long().clamp(max=CLASSES - 1) + CLASSES * whole


def totals(observed: Bool[Tensor, "time cell"], area: Float[Tensor, " cell"]) -> Float[Tensor, " class"]:
    """Area of the missing values of each class."""
    ever, empty = observed.any(0), ~observed.any(1)
    total = torch.zeros(2 * CLASSES, dtype=torch.float64, device=observed.device)
    for cells in pieces(observed.shape[1], len(observed)):
        missing = ~observed[:, cells] & ever[cells]
        steps = steps_to_observation(observed[:, cells])[missing]
        of_value = area[cells].double().expand(missing.shape)[missing]
        total.index_add_(0, kind(steps, empty[:, None].expand(missing.shape)[missing]), of_value)
    return total


def weights(
    of_value: Int[Tensor, " hidden"], area: Float[Tensor, " hidden"], total: Float[Tensor, " class"]
) -> Float[Tensor, " hidden"]:
    """Areas, scaled so that those of each class of hidden values have the sum of the missing ones.

    Classes with fewer than `FEWEST` hidden values join the next nearer one with enough, or else the next farther one.
    """
    count = torch.bincount(of_value, minlength=2 * CLASSES)
    joined = torch.arange(2 * CLASSES, device=of_value.device)
    for part in joined.clone().split(CLASSES):
        enough = part[count[part] >= FEWEST]
        if not len(enough):
            enough = part[count[part].argmax()][None]
        joined[part] = enough[(torch.searchsorted(enough, part, right=True) - 1).clamp(min=0)]
    zero = torch.zeros_like(total)
    of_missing = zero.index_add(0, joined, total)
    of_hidden = zero.index_add(0, joined[of_value], area)
    scale = of_missing / of_hidden
    weight = area * scale[joined[of_value]]
    return weight / weight.sum() if weight.any() else area / area.sum()
