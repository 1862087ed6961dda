"""Weights of hidden values in means over the missing values, of which they are samples.

Hidden values count as the missing ones of which they are samples: of a time with or without observations of their
variable; as many steps, in powers of 2, from an observation of their cell; as far, in powers of the root of 2, from one
of their time; and in a cell with as many observations, in powers of 2. Their weights are areas, scaled to the totals of
the classes of observations, distance and steps in turn (iterative proportional fitting: Deming and Stephan 1940).
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.models.gaps.error_variance import median_distance
from fieldcast.models.gaps.pieces import counts, pieces
from fieldcast.models.gaps.reach import nearest_observation, present_variables, steps_to_observation
from fieldcast.models.gaps.record import Record

CLASSES = 32  # of steps: 1, 2 to 3, 4 to 7, ...
EACH_SIDE = 4  # classes of distance nearer and farther than usual, and of fewer observations than usual
FITS = 10  # of the weights, to the classes of observations, distance and steps
FEWEST = 30  # hidden values of a class that counts by itself


def weights(
    record: Record, hidden: Bool[Tensor, "time cell"], whole: Bool[Tensor, " hidden"],
    area: Float[Tensor, " hidden"],
) -> Float[Tensor, " hidden"]:  # fmt: skip
    """Weights of the hidden values in means over the missing ones, see the module."""
    observed, places = record.observed, record.places
    left = observed & ~hidden
    steps = steps_to_observation(left, record.segment)[hidden]
    distance = nearest_observation(left, places, hidden)[hidden]
    of_missing = nearest_observation(observed, places, ~observed & observed.any(0))
    usual = median_distance(of_missing.flatten())
    by_steps = class_of_steps(steps, whole), area_by_steps(record)
    by_distance = class_of_distance(distance, usual), area_by_distance(of_missing, usual, places.area)
    of_cell = class_of_count(counts(observed)[1])
    by_count = of_cell[hidden.nonzero()[:, 1]], area_by_count(record, of_cell)
    weight = area
    for _ in range(FITS):
        for of_value, total in (by_count, by_distance, by_steps):
            weight = raked(of_value, weight, total)
    return weight


def class_of_steps(steps: Int[Tensor, " n"], whole: Bool[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Class of values that are some steps from an observation, of a time with or without any of their variable."""
    return steps.clamp(min=1).double().log2().long().clamp(max=CLASSES - 1) + CLASSES * whole


def area_by_steps(record: Record) -> Float[Tensor, " class"]:
    """Area of the missing values of each class."""
    observed, variable, area = record.observed, record.places.variable, record.places.area
    ever, absent = observed.any(0), ~present_variables(observed, variable)
    total = torch.zeros(2 * CLASSES, dtype=torch.float64, device=observed.device)
    for cells in pieces(observed.shape[1], len(observed)):
        missing = ~observed[:, cells] & ever[cells]
        steps = steps_to_observation(observed[:, cells], record.segment)[missing]
        whole = absent[:, variable[cells]][missing]
        of_value = area[cells].double().expand(missing.shape)[missing]
        total.index_add_(0, class_of_steps(steps, whole), of_value)
    return total


def class_of_distance(distance: Float[Tensor, "*n"], usual: float) -> Int[Tensor, "*n"]:
    """Class of values that are at some distance from the observations of their time; the last one has none."""
    ratio = torch.where(distance.isfinite() & (distance > 0), distance / usual, 1.0).double()
    number = (2 * ratio.log2()).round().long().clamp(-EACH_SIDE, EACH_SIDE) + EACH_SIDE
    return number.masked_fill(distance.isinf(), CLASSES)


def area_by_distance(
    distance: Float[Tensor, "time cell"], usual: float, area: Float[Tensor, " cell"]
) -> Float[Tensor, " class"]:
    """Area of the missing values of each class of distance; `distance` is 0 elsewhere."""
    total = torch.zeros(2 * CLASSES, dtype=torch.float64, device=distance.device)
    for cells in pieces(distance.shape[1], len(distance)):
        missing = distance[:, cells] > 0
        of_value = area[cells].double().expand(missing.shape)[missing]
        total.index_add_(0, class_of_distance(distance[:, cells][missing], usual), of_value)
    return total


def class_of_count(count: Int[Tensor, " cell"]) -> Int[Tensor, " cell"]:
    """Class of cells by their number of observations; the last one has three quarters of the median or more."""
    usual = count[count > 0].median()
    number = (count.clamp(min=1) / usual).double().log2().round().long()
    return number.clamp(-EACH_SIDE, 0) + EACH_SIDE


def area_by_count(record: Record, of_cell: Int[Tensor, " cell"]) -> Float[Tensor, " class"]:
    """Area of the missing values of each class of cells."""
    observed = record.observed
    missing = (len(observed) - counts(observed)[1]) * observed.any(0)
    total = torch.zeros(2 * CLASSES, dtype=torch.float64, device=observed.device)
    return total.index_add_(0, of_cell, record.places.area.double() * missing)


def raked(
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
    scale = of_missing / of_hidden.where(of_hidden > 0, torch.inf)
    weight = area * scale[joined[of_value]]
    return weight / weight.sum() if weight.any() else area / area.sum()
