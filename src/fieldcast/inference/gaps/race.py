"""A race of the methods that fill gaps: on samples of the record that grow fourfold, with fewer methods each time.

A sample is a stretch of times and some cells, evenly spread over the whole domain; it contains the next smaller sample.
Its held-out values are those of the comparison that lie in it, with their weights. Cells that are thinned keep all
gaps, few as they may be, and the number of modes, of which a small window needs fewer.

After each round D is the CRPS of a method minus that of the best, with the standard error e of this paired difference
over the held-out gaps. Learning curves cross: modes need a longer record than the correlation of neighbours does. A
method therefore leaves only if

    D > e in two successive rounds,    and D > (1 - MIN_SHRINKAGE) times the D of the round before;

after the last round also if it ties with a method of less work, D <= e <= MAX_TIE CRPS, unless it has just come
closer, or if it comes closer too slowly to win: if D > e still, and

    D - s (D' - D) > e,    s = (w^-1/2 - 1) / (w'^-1/2 - w^-1/2), at most `MAX_SLOWING`,

with D' its distance in the round before from the method that is the best now, and w' and w the shares of the two
samples in the work of the whole record. A method that is not behind in the round before leaves if
D - s max(D' - D, 0) > `FAR` e. All that are left are fitted to the whole record. An error that a longer record lowers
falls as some power of the work, at least its root: the change that is left is at most s times that of the last round.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from fieldcast.inference.quantities import Scored, difference
from fieldcast.models.gaps.fillers import local_kriging
from fieldcast.models.gaps.held_out import HeldOut
from fieldcast.models.gaps.local_kriging import DRAWN_TARGETS
from fieldcast.models.gaps.record import Filler, Record
from fieldcast.models.gaps.trial import Trial, crps_of_each, run_trial
from fieldcast.models.space import evenly

LOG = logging.getLogger(__name__)
KRIGING = local_kriging.__name__

GROWTH = 4  # factor from the work of a sample to that of the next
LAST = 8  # work of the record over that of the last sample, which has at least `LAST_WORK` or a quarter of the whole
MIN_ROUNDS = 2  # least number of samples
LARGEST, LARGEST_DOUBLED = (
    0.3,
    0.5,
)  # largest share of a sample in the work of the record, and of a doubled stretch
# least work of the first of more samples than that, and of the last one, in values
FIRST_WORK, LAST_WORK = 2**17, 2**19
# number of cells whose work is that of a time by itself: a step of a filter, a factorisation
CELLS_PER_TIME = 500
# least cells of a sample, and its least observed values at a time on average, unless the record has fewer
MIN_CELLS, MIN_OBSERVED = 250, 50
# least times of a sample, and of the last one of several, unless the record has fewer: modes fit a stretch that is
# hardly longer than their number better than the whole, and are ahead there without reason
MIN_TIMES, MIN_TIMES_LAST = 100, 300
MIN_SHRINKAGE = 1 / 3  # share by which a distance shrinks between two rounds if the curves may cross
# largest s: that of the last two samples of a large record; a doubled stretch makes two samples more alike, and what
# changes between them is chance
MAX_SLOWING = (1 - LAST**-0.5) / (GROWTH**0.5 - 1)
FAR = 2  # distance over the paired error of a method that is not behind in the round before, but cannot win
MAX_TIE = 0.05  # largest paired error of methods that tie, as a share of the CRPS
MIN_GAPS = 5  # number of held-out gaps of equal weight up to which the stretch of a sample is lengthened
# draws of held-out values by which kriging is fitted to a sample, half of those for a record: a quarter may be too few
DRAWS = 500
# power of the work that the time of a method is proportional to: at most, and of kriging, whose fit has a constant time
MAX_POWER, PART_CONSTANT = 0.8, 0.5


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
            masked=None if part.masked is None else part.masked[self.times],
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
    """One round: the size of its sample, its share in the work of the whole, and the standings of the methods."""

    times: int
    cells: int
    share: float
    standings: Mapping[str, Standing]


def work_of(times: float | int, cells: float | int) -> float:
    """Work of a method on so many times and cells, in values."""
    return float(times * (cells + CELLS_PER_TIME))


def sample_sizes(
    times: int, cells: int, observed: float = 1.0, fewest: int = MIN_ROUNDS
) -> list[tuple[int, int]]:
    """Times and cells of the samples of a record, ascending; none if they are fewer than `fewest`.

    `observed` is the share of the values that are observed. Times and cells are divided by the same factor f from the
    record to the last sample, and from one sample to the next smaller one, as far as both are above their least:
    t / f (c / f + b) = t (c + b) / q, with b = `CELLS_PER_TIME`, q = `LAST` (or less) and then `GROWTH`.
    """
    sizes: list[tuple[int, int]] = []
    t, c, b = float(times), float(cells), CELLS_PER_TIME
    q = min(LAST, max(GROWTH, work_of(t, c) / LAST_WORK))
    least_times, least_cells = min(t, MIN_TIMES), min(c, max(MIN_OBSERVED / observed, MIN_CELLS))
    least = min(t, MIN_TIMES_LAST) if fewest > 1 else least_times
    while True:
        work = work_of(t, c) / q
        f = q * (b + math.sqrt(b**2 + 4 * c * (c + b) / q)) / (2 * (c + b))
        c = max(c / f, least_cells)
        t = min(max(work / (c + b), least), t)
        c = min(max(work / t - b, least_cells), c * f)
        too_large = work_of(t, c) > min(GROWTH**0.5 * work, LARGEST * work_of(times, cells))
        if too_large or (len(sizes) >= MIN_ROUNDS and work < FIRST_WORK):
            return sizes[::-1] if len(sizes) >= fewest else []
        sizes.append((round(t), round(c)))
        q, least = GROWTH, least_times


def samples(record: Record, held_out: HeldOut, fewest: int = MIN_ROUNDS) -> list[Sample]:
    """The samples of a record, each inside the next and the record, at the times with most weight of held-out values.

    No gap counts more than the mean one there: a heavy gap would draw all samples to itself. A stretch whose
    weight lies in less than `MIN_GAPS` held-out gaps, which hardly tell methods apart, is doubled until it has so many,
    inside the next sample, or `LARGEST_DOUBLED` of the work. There are none if one holds no held-out value.
    """
    times, cells = record.x.shape
    part = Sample(slice(0, times), torch.arange(cells, device=record.x.device))
    parts: list[Sample] = []
    observed, evened = float(record.observed.float().mean()), with_even_gaps(held_out)
    for least, number in sample_sizes(times, cells, observed, fewest)[::-1]:
        within, length = part.times, least
        thinned = thinned_cells(part.cells, number, record.columns.points)
        part = Sample(densest(within, length, thinned, evened), thinned)
        longest = min(
            within.stop - within.start, int(LARGEST_DOUBLED * work_of(times, cells) / work_of(1, number))
        )
        while 2 * length <= longest and effective_gaps(held_out.within(*part)) < MIN_GAPS:
            length *= 2
            part = Sample(densest(within, length, thinned, evened), thinned)
        if not held_out.within(*part).weight.any():
            return []
        parts.append(part)
    return parts[::-1]


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


def densest(within: slice, length: int, cells: Int[Tensor, " some"], held_out: HeldOut) -> slice:
    """The stretch of so many times with most weight of held-out values in some cells."""
    inside = held_out.inside(within, cells)
    of_time = torch.bincount(held_out.time[inside], held_out.weight[inside], held_out.shape[0]).cpu()
    total = torch.cat([of_time.new_zeros(1), of_time.cumsum(0)])
    begins = torch.arange(within.start, within.stop - length + 1)
    begin = int(begins[(total[begins + length] - total[begins]).argmax()])
    return slice(begin, begin + length)


def thinned_cells(
    cells: Int[Tensor, " some"], number: int, points: Float[np.ndarray, "cell 3"]
) -> Int[Tensor, " fewer"]:
    """About so many of some cells, evenly spread in space; all variables of a place stay together.

    The leaves of a balanced k-d tree follow each other in space: every n-th of them is taken.
    """
    places, of_cell = np.unique(points[cells.cpu().numpy()], axis=0, return_inverse=True)
    order = cKDTree(places, leafsize=1).tree.indices
    taken = order[evenly(len(places), math.ceil(number * len(places) / len(cells))).numpy()]
    return cells[torch.from_numpy(np.isin(of_cell.reshape(-1), taken)).to(cells.device)]


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
    before, standings = (each.standings for each in rounds[-2:])
    now, best = standings[name], min(standings, key=lambda name: standings[name].crps)
    gain = before[name].crps - before[best].crps - now.distance
    first, last = (each.share**-0.5 for each in rounds[-2:])
    least = now.distance - max(gain, 0.0) * min((last - 1) / (first - last), MAX_SLOWING)
    return least <= (1 if before[name].behind else FAR) * now.error


def closes_in(name: str, on: str, rounds: Sequence[Round]) -> bool:
    """Whether a method has gained on another between the last two rounds, by more than the paired errors."""
    gains = []
    for each in rounds[-2:]:
        one, other = each.standings[name], each.standings[on]
        gains.append(other.distance - one.distance)
    errors = [each.standings[which].error for each in rounds[-2:] for which in (name, on)]
    return gains[-1] - gains[0] > max(errors)


def scored_trial(trial: Trial, held_out: HeldOut) -> Scored:
    """CRPS of a trial at its held-out values."""
    crps = crps_of_each(trial.error, trial.spread, held_out)
    return Scored(*(x.cpu().numpy() for x in (crps, held_out.weight, held_out.group)))


def run_round(
    part: Sample, fillers: Mapping[str, Filler], visible: Record, held_out: HeldOut,
    seconds: dict[str, list[tuple[float, float]]],
) -> Round:  # fmt: skip
    """Try some methods on a sample of the record of the visible values, and log the outcome.

    The time of each is added to `seconds`, with the share of the sample in the work of the whole record.
    """
    sample, of_sample = part.of(visible, held_out)
    scores = {}
    share = work_of(*sample.x.shape) / work_of(*visible.x.shape)
    for name, filler in fillers.items():
        begun = time.perf_counter()
        trial = run_trial(name, filler, sample, of_sample)
        seconds.setdefault(name, []).append((share, time.perf_counter() - begun))
        scores[name] = scored_trial(trial, of_sample)
    outcome = Round(len(sample.x), sample.x.shape[1], share, standings(scores))
    LOG.info(
        "CRPS on %d of %d times and %d of %d cells: %s",
        outcome.times, visible.x.shape[0], outcome.cells, visible.x.shape[1],
        ", ".join(f"{name} {standing.crps:.3f}" for name, standing in outcome.standings.items()),
    )  # fmt: skip
    return outcome


def expected_seconds(
    seconds_of: Mapping[str, Sequence[tuple[float, float]]], name: str, default: float, share: float = 1.0
) -> float:
    """Time of a method on a part with some share of the work of the whole, by a power law.

    `seconds_of` has the times of each method with their shares. The exponent is that of the last two times of the
    method, or else of most methods; without a time it is `default`. The fit of kriging to the whole takes as long as
    that to the first sample, for each draw; the one to a later sample begins with the parameters of the sample before,
    and most of the rest of its time grows with the work.
    """
    measured = seconds_of.get(name)
    if not measured:
        return default
    *earlier, (work, seconds) = measured
    power = PART_CONSTANT if name == KRIGING else 1.0
    if earlier and earlier[-1][0] < work:
        before, of_before = earlier[-1]
        ratio = max(seconds, 1e-3) / max(of_before, 1e-3)
        power = min(max(math.log(ratio) / math.log(work / before), 0.0), MAX_POWER)
        if name == KRIGING and share == 1 > work:
            return earlier[0][1] * DRAWN_TARGETS / DRAWS + seconds / work**MAX_POWER
    return float(seconds * (share / work) ** power)
