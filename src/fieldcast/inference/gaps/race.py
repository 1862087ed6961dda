"""A race of the methods that fill gaps: on samples of the record that grow fourfold, with fewer methods each time.

A sample is a stretch of times and a window of cells, which contains the next smaller sample. Its held-out values are
those of the comparison that lie in it, with their weights. After each round D is the CRPS of a method minus that of
the best, with the standard error e of this paired difference over the held-out gaps. Learning curves cross: modes need
a longer record than the correlation of neighbours does. A method therefore leaves only if

    D > e in two successive rounds,    and D > (1 - MIN_SHRINKAGE) times the D of the round before;

after the last round also if it ties with a method of less work, D <= e, unless it has just come closer to it. All that
are left are fitted to the whole record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from fieldcast.inference.quantities import Scored, difference
from fieldcast.models.gaps.held_out import HeldOut
from fieldcast.models.gaps.record import Record

GROWTH = 4  # factor from the work of a sample to that of the next
FIRST_WORK = 2**16  # least work of the first sample, in values; it takes each method about a second
CELLS_PER_TIME = (
    500  # number of cells whose work is that of a time by itself: a step of a filter, a factorisation
)
MIN_TIMES, MIN_CELLS = 100, 100  # least size of a sample, unless the record has fewer
MIN_SHRINKAGE = 1 / 3  # share by which a distance shrinks between two rounds if the curves may cross
MIN_GAPS = 10  # least number of held-out gaps of equal weight in a sample
CENTRES = 64  # number of cells that are tried as the centre of a window


class Sample(NamedTuple):
    """A part of a record."""

    times: slice
    cells: Int[Tensor, " some"]  # in ascending order

    def of(self, record: Record, held_out: HeldOut) -> tuple[Record, HeldOut]:
        """The sample of a record and of its held-out values, which are its requested values."""
        part = record.of_columns(self.cells)
        part = Record(
            part.x[self.times], part.observed[self.times], part.segment[self.times], part.columns,
            bounds=part.bounds and part.bounds.at((self.times,)),
            noise=None if part.noise is None else part.noise[self.times],
        )  # fmt: skip
        held_out = held_out.within(self.times, self.cells)
        return replace(part, requested=held_out.mask), held_out


class Standing(NamedTuple):
    """The place of a method in a round: its CRPS, D and e."""

    crps: float
    distance: float
    error: float

    @property
    def behind(self) -> bool:
        """Whether the method is behind the best by more than the paired error."""
        return self.distance > self.error


class Round(NamedTuple):
    """One round: the size of its sample, and the standings of the methods that took part."""

    times: int
    cells: int
    standings: Mapping[str, Standing]


def sample_sizes(times: int, cells: int) -> list[tuple[int, int]]:
    """Times and cells of the samples of a record, ascending; none for a record about as cheap as the first one.

    From one sample to the next times and cells double, or one of them grows fourfold if the other is at its least.
    """
    sizes: list[tuple[int, int]] = []
    t, c = float(times), float(cells)
    while t * (c + CELLS_PER_TIME) >= GROWTH**2 * FIRST_WORK or (
        sizes and t * (c + CELLS_PER_TIME) >= GROWTH * FIRST_WORK
    ):
        of_times = min(max(GROWTH**0.5, GROWTH * MIN_CELLS / c), max(1.0, t / MIN_TIMES))
        t, c = t / of_times, max(c * of_times / GROWTH, min(c, MIN_CELLS))
        sizes.append((round(t), round(c)))
    return sizes[::-1]


def samples(record: Record, held_out: HeldOut) -> list[Sample]:
    """The samples of a record, each inside the next and the record, where it has most weight of held-out values.

    Samples in which the weight lies in less than `MIN_GAPS` held-out gaps are left out: they cannot tell methods apart.
    """
    part = Sample(slice(0, len(record.x)), torch.arange(record.x.shape[1], device=record.x.device))
    parts: list[Sample] = []
    for size in sample_sizes(*record.x.shape)[::-1]:
        part = densest(part, size, held_out, record.columns.points)
        if effective_gaps(held_out.within(*part)) < MIN_GAPS:
            break
        parts.append(part)
    return parts[::-1] if len(parts) > 1 else []


def effective_gaps(held_out: HeldOut) -> float:
    """Number of gaps of equal weight that would determine a mean as well: (sum w)^2 / sum w^2; 0 without weight."""
    index = held_out.group.unique(return_inverse=True)[1]
    weight = torch.bincount(index, held_out.weight)
    return float(weight.sum().square() / weight.square().sum()) if weight.any() else 0.0


def densest(
    within: Sample, size: tuple[int, int], held_out: HeldOut, points: Float[np.ndarray, "cell 3"]
) -> Sample:
    """The stretch of times, and then the window of nearest cells, with most weight of held-out values."""
    (times, cells), weight = size, held_out.weight
    inside = held_out.inside(*within)
    of_time = torch.bincount(held_out.time[inside], weight[inside], held_out.shape[0]).cpu()
    total = torch.cat([of_time.new_zeros(1), of_time.cumsum(0)])
    begins = torch.arange(within.times.start, within.times.stop - times + 1)
    begin = int(begins[(total[begins + times] - total[begins]).argmax()])
    stretch = slice(begin, begin + times)
    inside = held_out.inside(stretch, within.cells)
    of_cell = torch.bincount(held_out.cell[inside], weight[inside], held_out.shape[1]).cpu().numpy()
    own = within.cells.cpu().numpy()
    centres = np.unique(np.linspace(0, len(own) - 1, CENTRES).astype(int))
    near = cKDTree(points[own]).query(points[own[centres]], cells)[1].reshape(len(centres), cells)
    window = np.sort(own[near[of_cell[own[near]].sum(1).argmax()]])
    return Sample(stretch, torch.from_numpy(window).to(within.cells))


def standings(scores: Mapping[str, Scored]) -> dict[str, Standing]:
    """The places of the methods of a round."""
    crps = {name: float(np.average(scored.crps, weights=scored.weight)) for name, scored in scores.items()}
    best = scores[min(crps, key=crps.__getitem__)]
    return {
        name: Standing(crps[name], *difference([scored], [best])) if scored is not best
        else Standing(crps[name], 0.0, 0.0)
        for name, scored in scores.items()
    }  # fmt: skip


def leavers(rounds: Sequence[Round]) -> list[str]:
    """Methods that leave after the last of some rounds because another is ahead."""
    if len(rounds) < 2:
        return []
    before, now = (each.standings for each in rounds[-2:])
    return [
        name
        for name, standing in now.items()
        if before[name].behind
        and standing.behind
        and standing.distance > (1 - MIN_SHRINKAGE) * before[name].distance
    ]


def staying(rounds: Sequence[Round], last: bool) -> list[str]:
    """Methods that stay after some rounds, in their order; if `last`, only one of those that tie, of least work.

    The methods stand in descending order of their work.
    """
    leaving, now = leavers(rounds), rounds[-1].standings
    names = [name for name in now if name not in leaving]
    if last:
        *dearer, cheapest = [name for name in names if not now[name].behind]
        names = [name for name in names if name not in dearer or closes_in(name, cheapest, rounds)]
    return names


def closes_in(name: str, on: str, rounds: Sequence[Round]) -> bool:
    """Whether a method has gained on another between the last two rounds, by more than the paired errors."""
    gains = []
    for each in rounds[-2:]:
        one, other = each.standings[name], each.standings[on]
        gains.append(other.distance - one.distance)
    errors = [each.standings[which].error for each in rounds[-2:] for which in (name, on)]
    return gains[-1] - gains[0] > max(errors)
