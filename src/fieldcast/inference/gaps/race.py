"""A race of the methods that fill gaps: on samples of the record that grow fourfold, with fewer methods each time.

A sample is a stretch of times and a window of cells, which contains the next smaller sample. Its held-out values are
those of the comparison that lie in it, with their weights. After each round D is the CRPS of a method minus that of
the best, with the standard error e of this paired difference over the held-out gaps. Learning curves cross: modes need
a longer record than the correlation of neighbours does. A method therefore leaves only if

    D > e in two successive rounds,    and D > (1 - MIN_SHRINKAGE) times the D of the round before;

after the last round also if it ties with a method of less work, D <= e <= MAX_TIE CRPS, unless it has just come
closer, or if it comes closer too slowly to win: if D > e still, and

    D - s (D' - D) > e,    with D' the D of the round before, s = `SLOWING`.

All that are left are fitted to the whole record. An error that a longer record lowers falls as some power of the work,
at least its root: a quadrupled record halves the change from one round to the next, or more than that.
"""

from __future__ import annotations

import math
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
LEAST_WORK = (
    2**21
)  # least work of a record that is raced, in values; all methods together take less than a minute
FIRST_WORK = 2**16  # least work of the first sample; it takes each method about a second
MIN_ROUNDS = 2  # least number of samples
CELLS_PER_TIME = (
    500  # number of cells whose work is that of a time by itself: a step of a filter, a factorisation
)
# least times of a sample, and its least observed values at a time on average, unless the record has fewer: fewer do not
# determine the modes that a method tries. A sample also has `CELLS_PER_TIME` cells: fewer save little work, and few
# modes describe a small window well, so that methods with modes do better there than with the whole record
MIN_TIMES, MIN_OBSERVED = 100, 50
MIN_SHRINKAGE = 1 / 3  # share by which a distance shrinks between two rounds if the curves may cross
SLOWING = GROWTH**-0.5  # largest ratio of the change of a distance to its change in the round before
MAX_TIE = 0.05  # largest paired error of methods that tie, as a share of the CRPS
MIN_GAPS = 5  # least number of held-out gaps of equal weight in a sample
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
        weight = held_out.weights(torch.ones_like(held_out.whole))
        return replace(part, requested=held_out.mask), replace(held_out, weight=weight / weight.sum())


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


def work_of(times: float | int, cells: float | int) -> float:
    """Work of a method on so many times and cells, in values."""
    return float(times * (cells + CELLS_PER_TIME))


def sample_sizes(
    times: int, cells: int, observed: float = 1.0, fewest: int = MIN_ROUNDS
) -> list[tuple[int, int]]:
    """Times and cells of the samples of a record, ascending; none if they are fewer than `fewest`.

    `observed` is the share of the values that are observed. `LEAST_WORK` holds for a race of several rounds. Times and
    cells are divided by the same factor f from one sample to the next smaller one, as far as both are above their
    least: t / f (c / f + b) = t (c + b) / `GROWTH`, with b = `CELLS_PER_TIME`.
    """
    sizes: list[tuple[int, int]] = []
    t, c, b = float(times), float(cells), CELLS_PER_TIME
    least_times, least_cells = min(t, MIN_TIMES), min(c, max(MIN_OBSERVED / observed, b))
    if fewest > 1 and work_of(times, cells) < LEAST_WORK:
        return []
    while (work := work_of(t, c) / GROWTH) >= FIRST_WORK:
        f = GROWTH * (b + math.sqrt(b**2 + 4 * c * (c + b) / GROWTH)) / (2 * (c + b))
        c = max(c / f, least_cells)
        t = max(work / (c + b), least_times)
        c = max(work / t - b, least_cells)
        if work_of(t, c) > GROWTH**0.5 * work:  # both are at their least
            break
        sizes.append((round(t), round(c)))
    return sizes[::-1] if len(sizes) >= fewest else []


def samples(record: Record, held_out: HeldOut, fewest: int = MIN_ROUNDS) -> list[Sample]:
    """The samples of a record, each inside the next and the record, where it has most weight of held-out values.

    No gap counts more than the mean one there: a heavy gap would draw all samples to itself. Samples in which the
    weight lies in less than `MIN_GAPS` held-out gaps are left out: they cannot tell methods apart. If less than
    `fewest` are left, there are none.
    """
    times, cells = record.x.shape
    part = Sample(slice(0, times), torch.arange(cells, device=record.x.device))
    parts: list[Sample] = []
    observed, evened = float(record.observed.float().mean()), with_even_gaps(held_out)
    for size in sample_sizes(times, cells, observed, fewest)[::-1]:
        part = densest(part, size, evened, record.columns.points)
        if effective_gaps(held_out.within(*part)) < MIN_GAPS:
            break
        parts.append(part)
    return parts[::-1] if len(parts) >= fewest else []


def with_even_gaps(held_out: HeldOut) -> HeldOut:
    """Held-out values with smaller weights in gaps that are heavier than the mean of those with weight."""
    index = held_out.group.unique(return_inverse=True)[1]
    weight = torch.bincount(index, held_out.weight)
    share = (weight[weight > 0].mean() / weight).clamp(max=1)
    return replace(held_out, weight=held_out.weight * share[index])


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
    """Methods that stay after some rounds, in their order; if `last`, those that are fitted to the whole record.

    These come closer fast enough to win there, and only one of those that tie is among them, of least work. The methods
    stand in descending order of their work.
    """
    leaving, now = leavers(rounds), rounds[-1].standings
    names = [name for name in now if name not in leaving]
    if last:
        largest = MAX_TIE * min(standing.crps for standing in now.values())
        *dearer, cheapest = [
            name for name in names if now[name].distance <= now[name].error <= largest
        ] or names[-1:]
        names = [name for name in names if name not in dearer or closes_in(name, cheapest, rounds)]
        names = [name for name in names if may_win(name, rounds)]
    return names


def may_win(name: str, rounds: Sequence[Round]) -> bool:
    """Whether a method may be ahead of the best one of the last round with the whole record."""
    if len(rounds) < 2:
        return True
    before, now = (each.standings[name] for each in rounds[-2:])
    return not now.behind or now.distance - SLOWING * (before.distance - now.distance) <= now.error


def closes_in(name: str, on: str, rounds: Sequence[Round]) -> bool:
    """Whether a method has gained on another between the last two rounds, by more than the paired errors."""
    gains = []
    for each in rounds[-2:]:
        one, other = each.standings[name], each.standings[on]
        gains.append(other.distance - one.distance)
    errors = [each.standings[which].error for each in rounds[-2:] for which in (name, on)]
    return gains[-1] - gains[0] > max(errors)
