"""Observed values of a record that are held out from its fillers, which are scored there.

5 % of the observed values are held out in gaps like those of the record, and 5 % of the times of each variable as a
whole.

In gaps: a missing value is drawn together with the pattern of missing values around it, over the length of its gap. The
pattern is moved to another time and holds out the values observed there: at most a quarter of the values of that time
(one value if it has two or three), or more as long as it keeps as many values as the time of the missing value has. The
pattern extends to at least 1.3 times the distance of the missing value from the observations of its variable at its
time. Several candidate times are drawn, and the one is taken at which most of the observations near the gap exist: gaps
of the record there would make the held-out one larger. Held-out values lie as far from observations, in time and in
space, as missing values do.

Whole times: runs as long as the record's own runs without any observation of a variable, provided that four of them
make up at most 15 % of its times. Variables that lack observations at the same times are held out together. If no
variable ever lacks a whole time, single times of all variables are held out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from scipy.spatial import cKDTree
from torch import Tensor

from fieldcast.geometry import GOLDEN
from fieldcast.models.gaps.error_variance import median_distance
from fieldcast.models.gaps.in_time import counts, neighbours_in_time, pieces
from fieldcast.models.gaps.reach import nearest_observation, present_variables, steps_to_observation
from fieldcast.models.gaps.record import MIN_TIMES, Bounds, Record
from fieldcast.models.random_streams import generator_for
from fieldcast.models.space import evenly

GAP_SHARE = 0.05  # share of the observed values that are held out in gaps
WHOLE_TIME_SHARE = 0.05  # share of the times with observations of a variable that are held out as a whole
MAX_WHOLE_TIME_SHARE = 0.15  # largest such share, if fewer times would make too few runs
MIN_RUNS = 4  # number of runs of whole times to hold out: errors of different runs are independent
ENOUGH_VALUES = 2**19  # number of values, in at least `ENOUGH_GAPS` gaps or whole times, that suffice
NEAR_SHARE = 0.05  # share of the cells that belong to the pattern around a missing value
# smallest number of cells of a pattern, up to a quarter of all: in fewer, observations are close
MIN_NEAR_CELLS = 25
# radius of a pattern over the distance of its missing value from the observations of its time
REACH_FACTOR = 1.3
# largest share of the values of a time that is held out in gaps larger than those of the record
MAX_SHARE_OF_TIME = 0.25
MAX_SHARE_NEAREST = 0.2  # largest share of the observed values of a time that `nearest_in_gap` holds out
CANDIDATE_STARTS = 8  # starts that are drawn for each held-out gap, of which the best is taken
DRAWN_GAPS = 1000  # number of missing values that are drawn, each with its gap
ATTEMPTS_PER_GAP = 4  # how often each drawn gap is moved to another time, at most
SELECTIONS = 4  # least number of selections of held-out values, whose errors calibrate the spread of a method
MAX_SELECTIONS = 16
SMALL = 20_000  # largest number of values of a record that has more selections if they have few gaps
ENOUGH_GAPS = 100  # number of gaps that are not few


def hold_out_values(record: Record, seed: int, together: Int[Tensor, " cell"] | None = None) -> HeldOut:
    """Choose the held-out values: none where values are observed at too few times.

    `together` is the column with which the values of each column are held out; by default the column itself.
    """
    generator = generator_for("hidden values", seed)
    if together is None:
        group = held_out_groups(record, generator)
    else:
        alone, index = together.unique(return_inverse=True)
        group = held_out_groups(record.of_columns(alone), generator)[:, index]
    time, cell = group.nonzero(as_tuple=True)
    number, area, shape = group[time, cell], record.columns.area[cell], (len(group), group.shape[1])
    weight = weights(record, group != 0, number > 0, area.double())
    truth, whole = record.x[time, cell], number > 0
    # a large record has millions of them: integers of four bytes, and values as they are
    return HeldOut(shape, time.int(), cell.int(), truth, whole, number, area, weight).of_record(record)


def held_out_groups(record: Record, generator: torch.Generator) -> Int[Tensor, "time cell"]:
    """Number of the run of times (1, 2, ...) or gap (-1, -2, ...) with which each value is held out; 0 for none."""
    observed, variable = record.observed, record.columns.variable
    if int(observed.any(1).sum()) == MIN_TIMES:
        return torch.zeros_like(observed, dtype=torch.int32)
    present = present_variables(observed, variable)
    absent = None if record.masked is None else ~present & present_variables(record.missing, variable)
    run = hold_out_times(present, per_time(record, present), generator, absent)
    eligible = observed & (run == 0)[:, variable]
    group = hold_out_in_gaps(eligible, record, present, generator)
    for cells in pieces(observed.shape[1], len(observed)):  # values of a run are never held out in a gap
        group[:, cells] += run[:, variable[cells]] * observed[:, cells]
    return group


def per_time(record: Record, present: Bool[Tensor, "time variable"]) -> Float[Tensor, " variable"]:
    """Mean number of the observed values of each variable at a time at which it is observed."""
    values = torch.zeros(present.shape[1], dtype=torch.float64)
    values.index_add_(0, record.columns.variable.cpu(), counts(record.observed)[1].cpu().double())
    return values / present.sum(0).cpu().clamp(min=1)


def hold_out_times(
    present: Bool[Tensor, "time variable"], values: Float[Tensor, " variable"], generator: torch.Generator,
    absent: Bool[Tensor, "time variable"] | None = None,
) -> Int[Tensor, "time variable"]:  # fmt: skip
    """Number of the held-out run that each time of a variable belongs to, 0 for none.

    `present` is the mask of the variables observed at each time, `values` the number of values of one at such a time.
    `absent` is that of the variables that are missing at a whole time, by default all that are not observed.
    """
    device, present = present.device, present.cpu()
    absent, times = ~present if absent is None else absent.cpu(), present.sum(0)
    number, spare = torch.zeros_like(present, dtype=torch.int32), (times - MIN_TIMES).clamp(min=0)
    runs_of = [runs(column) for column in absent.T]
    lengths = torch.tensor([float(np.median(np.diff(of_v))) if of_v else 0.0 for of_v in runs_of])
    due = (
        (MIN_RUNS * lengths)
        .minimum(MAX_WHOLE_TIME_SHARE * times)
        .maximum(
            (WHOLE_TIME_SHARE * times).minimum((ENOUGH_VALUES / values.clamp(min=1)).clamp(min=ENOUGH_GAPS))
        )
        .long()
        .clamp(min=1)
    )
    due = due.minimum(spare) * (absent.any(0) | ~absent.any())
    longest = (due // MIN_RUNS).clamp(min=1).tolist()
    for first in torch.randperm(len(present), generator=generator).tolist():
        v = int(due.argmax())  # the variable with most times left to hold out
        if due[v] <= 0:
            break
        block = torch.ones_like(present[:1])
        if runs_of[v]:
            begin, end = runs_of[v][int(torch.randint(len(runs_of[v]), (1,), generator=generator))]
            block = absent[begin : min(end, begin + longest[v])]
        window = slice(first, first + len(block))
        held_out = block[: len(present) - first] & present[window] & (number[window] == 0)
        of_v = held_out[:, v] & (held_out[:, v].cumsum(0) <= due[v])
        held_out = held_out & of_v[:, None]
        held_out &= held_out.cumsum(0) <= spare
        number[window][held_out] = number.max() + 1
        due, spare = due - held_out.sum(0), spare - held_out.sum(0)
    return number.to(device)


def runs(selected: Bool[Tensor, " time"]) -> list[tuple[int, int]]:
    """First time, and time after the last, of the run of each selected time; runs occur as often as they have times."""
    edge = torch.zeros(1, dtype=torch.int8)
    change = torch.cat([edge, selected.to(torch.int8), edge]).diff()
    begins, ends = ((change == sign).nonzero()[:, 0].tolist() for sign in (1, -1))
    return [(begin, end) for begin, end in zip(begins, ends, strict=True) for _ in range(begin, end)]


def hold_out_in_gaps(
    eligible: Bool[Tensor, "time cell"], record: Record, present: Bool[Tensor, "time variable"],
    generator: torch.Generator,
) -> Int[Tensor, "time cell"]:  # fmt: skip
    """Number of the gap in which each eligible value is held out: -1, -2 and so on, or 0 for none.

    `present` is the mask of the variables observed at each time.
    """
    number = torch.zeros_like(eligible, dtype=torch.int32)
    wanted, cell_count = GAP_SHARE * int(eligible.count_nonzero()), eligible.shape[1]
    needed, some = wanted, 0
    least = max(1, int(NEAR_SHARE * cell_count), min(MIN_NEAR_CELLS, cell_count // 4))
    observed, bounded, of_time = record.observed, record.bounded, counts(eligible)[0]
    points, variable, _ = record.columns
    tree, allowed = cKDTree(points), (of_time * MAX_SHARE_OF_TIME).long().clamp(min=1) * (of_time > 1)
    available, left, kept = eligible.clone(), of_time.clone(), counts(observed)[0].clamp(min=1)
    missing = record.missing & observed.any(0) & present[:, variable]
    for gap, (first, time, last, cell) in enumerate(gaps(bounded, missing, generator), start=1):
        if needed <= 0 or (some >= ENOUGH_GAPS and wanted - needed >= ENOUGH_VALUES):
            break
        near = max(
            least, cells_within_reach(tree, points, observed[time] & (variable == variable[cell]), cell)
        )
        cells = torch.as_tensor(tree.query(points[cell], near)[1], device=eligible.device).view(-1)
        begin = best_start(available, observed, first, last, cells, generator)
        times = begin + torch.arange(last - first, device=eligible.device)[:, None]
        held_out = available[times, cells] & ~bounded[first:last, cells]
        most = torch.maximum(allowed[times], left[times] - kept[first:last, None])
        order = held_out.cumsum(1)  # cells are in order of their distance
        within = held_out & (order <= most)
        held_out = within if int(within.count_nonzero()) <= wanted else held_out & (order <= allowed[times])
        number[times, cells] -= gap * held_out.int()
        available[times, cells] &= ~held_out
        count = held_out.sum(1, keepdim=True)
        allowed[times] = (allowed[times] - count).clamp(min=0)
        left[times] -= count
        needed -= int(count.sum())
        some += bool(count.any())
    return number


def cells_within_reach(
    tree: cKDTree, points: Float[np.ndarray, "cell 3"], observed: Bool[Tensor, " cell"], cell: int
) -> int:
    """Number of cells within `REACH_FACTOR` times the distance of a cell from the nearest observation, or 0."""
    present = observed.cpu().numpy()
    if not present.any():
        return 0
    nearest = np.sqrt(((points[present] - points[cell]) ** 2).sum(-1).min())
    return int(tree.query_ball_point(points[cell], REACH_FACTOR * nearest, return_length=True))


def best_start(
    available: Bool[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], first: int, last: int,
    cells: Int[Tensor, " near"], generator: torch.Generator,
) -> int:  # fmt: skip
    """Draw some starts, and choose the one at which most of the observations near a gap exist, too.

    Observations at the times just before and after the gap count as well, because they bound it.
    """
    starts = torch.randint(len(available) - (last - first) + 1, (CANDIDATE_STARTS,), generator=generator)
    before, after = max(first - 1, 0), min(last + 1, len(available))
    around = observed[before:after, cells]
    offsets = torch.arange(before - first, after - first)
    times = starts[:, None] + offsets
    within = (times >= 0) & (times < len(available))
    exist = available[times.clamp(0, len(available) - 1)[..., None].to(cells), cells] & within[..., None].to(
        cells.device
    )
    return int(starts[(exist & around).sum((1, 2)).argmax()])


def gaps(
    bounded: Bool[Tensor, "time cell"], missing: Bool[Tensor, "time cell"], generator: torch.Generator
) -> Iterator[tuple[int, int, int, int]]:
    """Draw missing values; yield the first time, drawn time, time after the last, and cell of the gap of each.

    Gaps end at `bounded` values (`Record.bounded`).

    The order alternates between long and short gaps.
    """
    of_time = counts(missing)[0]
    until = of_time.cumsum(0)
    total = int(until[-1])
    if total == 0:
        return
    rank = torch.randint(total, (min(DRAWN_GAPS, total),), generator=generator).to(bounded.device)
    time = torch.searchsorted(until, rank, right=True)
    rank -= until[time] - of_time[time]
    # as numbers: an element of a tensor would keep the whole of it in memory
    drawn = [int(missing[t].nonzero()[r, 0]) for t, r in zip(time.tolist(), rank.tolist(), strict=True)]
    cell = torch.tensor(drawn, device=bounded.device)
    first, last = torch.empty_like(time), torch.empty_like(time)
    for some in pieces(len(time), len(bounded)):
        before, after = neighbours_in_time(bounded[:, cell[some]])
        index = time[some][None]
        first[some], last[some] = before.gather(0, index)[0] + 1, after.gather(0, index)[0]
    order = (last - first).argsort(stable=True)
    for turn in range(ATTEMPTS_PER_GAP * len(order)):
        i = order[int(GOLDEN * (turn + 1) % 1 * len(order))]
        yield int(first[i]), int(time[i]), int(last[i]), int(cell[i])


def nearest_in_gap(
    observed: Bool[Tensor, " cell"], other: Bool[Tensor, " cell"], points: Float[Tensor, "cell 3"],
    generator: torch.Generator,
) -> Bool[Tensor, " cell"]:  # fmt: skip
    """Select observed values of one time in the gap of another time, those nearest to a random one of them.

    At most a fifth of the observed values is selected, so that the time stays nearly as well observed as it was.
    """
    held_out, gap = torch.zeros_like(observed), (observed & ~other).nonzero()[:, 0]
    count = min(len(gap), int(MAX_SHARE_NEAREST * int(observed.sum())))
    if count:
        drawn = gap[int(torch.randint(len(gap), (1,), generator=generator))]
        distance = (points[gap] - points[drawn]).norm(dim=1)
        held_out[gap[distance.topk(count, largest=False).indices]] = True
    return held_out


# Observed values that are held out from the fillers of a record, with their weights.


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Held-out values as a list.

    Parameters
    ----------
    shape
        Numbers of times and cells of the record.
    time, cell
        Row and column of each value in the record.
    truth
        Value that was observed.
    whole
        Mask of the values at times at which all values of their variable are held out.
    group
        Number of the gap or run of times that each value was held out with; errors of one group are correlated.
    area
        Area of the cell of each value.
    weight
        Weight of each value in means over the missing values; the sum is 1.
    beyond
        Bounds of the record minus `truth`, if it has bounds.
    noise
        Variance of the error of each value, if observed values have errors.
    """

    shape: tuple[int, int]
    time: Int[Tensor, " held_out"]
    cell: Int[Tensor, " held_out"]
    truth: Float[Tensor, " held_out"]
    whole: Bool[Tensor, " held_out"]
    group: Int[Tensor, " held_out"]
    area: Float[Tensor, " held_out"]
    weight: Float[Tensor, " held_out"]
    beyond: Bounds | None = None
    noise: Float[Tensor, " held_out"] | None = None

    def of_cells(self, cells: slice) -> HeldOut:
        """The held-out values of some cells, numbered as in a record of these cells alone."""
        return self.within(slice(0, self.shape[0]), torch.arange(cells.start, cells.stop).to(self.cell))

    def inside(self, times: slice, cells: Int[Tensor, " some"]) -> Bool[Tensor, " held_out"]:
        """Mask of the values at some times in some cells."""
        selected = torch.zeros(self.shape[1], dtype=torch.bool, device=self.cell.device)
        selected[cells] = True
        return (self.time >= times.start) & (self.time < times.stop) & selected[self.cell]

    def within(self, times: slice, cells: Int[Tensor, " some"]) -> HeldOut:
        """The values at some times in some cells, numbered as in a record of these alone; their weights stay."""
        inside = self.inside(times, cells)
        others = {name: getattr(self, name)[inside] for name in ("truth", "whole", "group", "area", "weight")}
        number = self.cell.new_zeros(self.shape[1])
        number[cells] = torch.arange(len(cells)).to(number)
        return HeldOut(
            (times.stop - times.start, len(cells)), self.time[inside] - times.start, number[self.cell[inside]],
            beyond=self.beyond and self.beyond.at(inside), noise=None if self.noise is None else self.noise[inside],
            **others,
        )  # fmt: skip

    def of_record(self, record: Record) -> HeldOut:
        """The held-out values with the truth, the bounds and the errors of a record."""
        truth, beyond = record.x[self.time, self.cell], None
        if record.bounds is not None:
            low, high = record.bounds.at((self.time, self.cell))
            beyond = Bounds(low.double(), high.double()).minus(truth)
        noise = None if record.noise is None else self.at(record.noise)
        return replace(self, truth=truth, beyond=beyond, noise=noise)

    @property
    def mask(self) -> Bool[Tensor, "time cell"]:
        """Mask of the held-out values of the record."""
        mask = torch.zeros(self.shape, dtype=torch.bool, device=self.time.device)
        mask[self.time, self.cell] = True
        return mask

    def at(self, x: Shaped[Tensor, "time cell"]) -> Float[Tensor, " held_out"]:
        """Elements of a matrix at the held-out values, in double precision."""
        return x[self.time, self.cell].double()

    def weights(self, selected: Bool[Tensor, " held_out"]) -> Float[Tensor, " held_out"]:
        """Weights of the selected values, 0 for all others; areas instead if the weights of all selected are 0."""
        weight = self.weight * selected
        return weight if weight.any() else self.area.double() * selected


def are_few(selections: Sequence[HeldOut], values: int) -> bool:
    """Whether a record of so many values needs more selections: it has too few, or is small and they have few gaps."""
    gaps_in = (len(held_out.group[held_out.weight > 0].unique()) for held_out in selections)
    more = values <= SMALL and len(selections) < MAX_SELECTIONS
    return len(selections) < SELECTIONS or (more and sum(gaps_in) < ENOUGH_GAPS)


def join_selections(selections: Sequence[HeldOut]) -> HeldOut:
    """Concatenate several selections from a record, with equal total weights and distinct numbers of groups."""
    groups, largest = [], 0
    for held_out in selections:
        groups.append(held_out.group + largest * held_out.group.sign())
        largest += int(held_out.group.abs().max())
    tensors = {
        name: torch.cat([getattr(held_out, name) for held_out in selections])
        for name in ("time", "cell", "truth", "whole", "area")
    }
    weight = torch.cat([held_out.weight / len(selections) for held_out in selections])
    beyond = [held_out.beyond for held_out in selections if held_out.beyond is not None]
    joined = Bounds(*(torch.cat(bound) for bound in zip(*beyond, strict=True))) if beyond else None
    noise = [held_out.noise for held_out in selections if held_out.noise is not None]
    return HeldOut(
        selections[0].shape, **tensors, group=torch.cat(groups), weight=weight, beyond=joined,
        noise=torch.cat(noise) if noise else None,
    )  # fmt: skip


# Weights of held-out values as samples of the missing values, for means over the missing values.
#
# Missing and held-out values are classified by the number of steps from an observation of the same cell, in powers of
# 2, separately at times with and without observations of their variable; by the distance from an observation of the
# same time, in powers of the root of 2; and by the number of observations of their cell, in powers of 2. The weights
# are areas, scaled in turn to the total area of the missing values in each class of observations, distance and steps
# (iterative proportional fitting: Deming and Stephan 1940).


STEP_CLASSES = 32  # number of classes of steps: 1, 2 to 3, 4 to 7, ...
EACH_SIDE = 4  # number of classes of distance on each side of the median, and of counts below their median
RAKING_ITERATIONS = 10  # iterations of the proportional fitting
# largest number of missing values, approximately, whose distances are computed
MAX_DISTANCES = 2**18
# median distance of these missing values of a record, and their area in each class of distance
_MISSING: WeakKeyDictionary[Record, tuple[float, Tensor]] = WeakKeyDictionary()
MIN_HELD_OUT = 30  # smallest number of held-out values of a class; smaller classes are merged with others


def weights(
    record: Record, held_out: Bool[Tensor, "time cell"], whole: Bool[Tensor, " held_out"],
    area: Float[Tensor, " held_out"],
) -> Float[Tensor, " held_out"]:  # fmt: skip
    """Weights of the held-out values in means over the missing values; see the module."""
    observed, columns = record.observed, record.columns
    visible = observed & ~held_out
    steps = steps_to_observation(visible, record.segment, record.masked)[held_out]
    distance = nearest_observation(visible, columns, held_out)[held_out]
    if record not in _MISSING:
        _MISSING[record] = distances_of_missing(record)
    median, areas = _MISSING[record]
    by_steps = class_of_steps(steps, whole), area_by_steps(record)
    by_distance = class_of_distance(distance, median), areas
    of_cell = class_of_count(counts(observed)[1])
    by_count = of_cell[held_out.nonzero()[:, 1]], area_by_count(record, of_cell)
    weight = area
    for _ in range(RAKING_ITERATIONS):
        for of_value, total in (by_count, by_distance, by_steps):
            weight = rake(of_value, weight, total)
    return weight


def distances_of_missing(record: Record) -> tuple[float, Tensor]:
    """Median distance of missing values, and their area in each class of distance.

    Those at times without any of their variable, which have no distance, are all counted; of the others those of some
    times stand for all if there are more than `MAX_DISTANCES`.
    """
    observed, columns = record.observed, record.columns
    present = present_variables(observed, columns.variable)
    missing, at_absent = (
        record.missing & observed.any(0),
        observed.new_zeros(len(columns.area), dtype=torch.float64),
    )
    for v in columns.variable.unique().tolist():
        of_v = columns.variable == v
        at_absent[of_v] = missing[~present[:, v]][:, of_v].sum(0).double()
        missing[:, of_v] &= present[:, v, None]
    area, of_time = columns.area.double(), missing.any(1).nonzero()[:, 0]
    median, areas = 1.0, observed.new_zeros(2 * STEP_CLASSES, dtype=torch.float64)
    if len(of_time):
        share = MAX_DISTANCES / int(missing.count_nonzero())
        some = of_time[evenly(len(of_time), math.ceil(share * len(of_time))).to(of_time.device)]
        of_missing = nearest_observation(observed[some], columns, missing[some])
        median = median_distance(of_missing.flatten())
        areas = area_by_distance(of_missing, median, columns.area)
        if len(some) < len(of_time):
            areas *= (counts(missing)[1] * area).sum() / areas.sum()
    areas[STEP_CLASSES] += (at_absent * area).sum()
    return median, areas


def class_of_steps(steps: Int[Tensor, " n"], whole: Bool[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Class of values by their steps from an observation; `whole`: at times without any of their variable."""
    return steps.clamp(min=1).double().log2().long().clamp(max=STEP_CLASSES - 1) + STEP_CLASSES * whole


def area_by_steps(record: Record) -> Float[Tensor, " class"]:
    """Area of the missing values of each class of steps."""
    observed, variable, area = record.observed, record.columns.variable, record.columns.area
    ever, absent = observed.any(0), ~present_variables(observed, variable)
    total = torch.zeros(2 * STEP_CLASSES, dtype=torch.float64, device=observed.device)
    for cells in pieces(observed.shape[1], len(observed)):
        masked = record.masked_in(cells)
        missing = ~observed[:, cells] & ever[cells]
        if masked is not None:
            missing &= ~masked
        steps = steps_to_observation(observed[:, cells], record.segment, masked)[missing]
        whole = absent[:, variable[cells]][missing]
        of_value = area[cells].double().expand(missing.shape)[missing]
        total.index_add_(0, class_of_steps(steps, whole), of_value)
    return total


def class_of_distance(distance: Float[Tensor, "*n"], median: float) -> Int[Tensor, "*n"]:
    """Class of values by their distance from the observations of their time; the last class has no observations."""
    ratio = torch.where(distance.isfinite() & (distance > 0), distance / median, 1.0).double()
    number = (2 * ratio.log2()).round().long().clamp(-EACH_SIDE, EACH_SIDE) + EACH_SIDE
    return number.masked_fill(distance.isinf(), STEP_CLASSES)


def area_by_distance(
    distance: Float[Tensor, "time cell"], median: float, area: Float[Tensor, " cell"]
) -> Float[Tensor, " class"]:
    """Area of the missing values of each class of distance; `distance` is 0 elsewhere."""
    total = torch.zeros(2 * STEP_CLASSES, dtype=torch.float64, device=distance.device)
    for cells in pieces(distance.shape[1], len(distance)):
        missing = distance[:, cells] > 0
        of_value = area[cells].double().expand(missing.shape)[missing]
        total.index_add_(0, class_of_distance(distance[:, cells][missing], median), of_value)
    return total


def class_of_count(count: Int[Tensor, " cell"]) -> Int[Tensor, " cell"]:
    """Class of cells by their number of observations; the last class has about 0.7 times the median or more."""
    median = count[count > 0].median()
    number = (count.clamp(min=1) / median).double().log2().round().long()
    return number.clamp(-EACH_SIDE, 0) + EACH_SIDE


def area_by_count(record: Record, of_cell: Int[Tensor, " cell"]) -> Float[Tensor, " class"]:
    """Area of the missing values of each class of cells."""
    observed = record.observed
    missing = (len(observed) - counts(record.bounded)[1]) * observed.any(0)
    total = torch.zeros(2 * STEP_CLASSES, dtype=torch.float64, device=observed.device)
    return total.index_add_(0, of_cell, record.columns.area.double() * missing)


def rake(
    of_value: Int[Tensor, " held_out"], area: Float[Tensor, " held_out"], total: Float[Tensor, " class"]
) -> Float[Tensor, " held_out"]:
    """Scale the areas of held-out values so that those of each class add up to the area of its missing values.

    A class with fewer than `MIN_HELD_OUT` held-out values is merged with the next lower class that has enough, or
    else with the next higher one.
    """
    count = torch.bincount(of_value, minlength=2 * STEP_CLASSES)
    merged = torch.arange(2 * STEP_CLASSES, device=of_value.device)
    for classes in merged.clone().split(STEP_CLASSES):
        enough = classes[count[classes] >= MIN_HELD_OUT]
        if not len(enough):
            enough = classes[count[classes].argmax()][None]
        merged[classes] = enough[(torch.searchsorted(enough, classes, right=True) - 1).clamp(min=0)]
    zero = torch.zeros_like(total)
    of_missing = zero.index_add(0, merged, total)
    of_held_out = zero.index_add(0, merged[of_value], area)
    scale = of_missing / of_held_out.where(of_held_out > 0, torch.inf)
    weight = area * scale[merged[of_value]]
    return weight / weight.sum() if weight.any() else area / area.sum()
