"""Weights of hidden values as samples of the missing values, for means over the missing values.

Missing and hidden values are classified by the number of steps from an observation of the same cell, in powers of 2,
separately at times with and without observations of their variable; by the distance from an observation of the same
time, in powers of the root of 2; and by the number of observations of their cell, in powers of 2. The weights are
areas, scaled in turn to the total area of the missing values in each class of observations, distance and steps
(iterative proportional fitting: Deming and Stephan 1940).
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.models.gaps.error_variance import median_distance
from fieldcast.models.gaps.pieces import counts, pieces
from fieldcast.models.gaps.reach import nearest_observation, present_variables, steps_to_observation
from fieldcast.models.gaps.record import Record

STEP_CLASSES = 32  # number of classes of steps: 1, 2 to 3, 4 to 7, ...
EACH_SIDE = 4  # number of classes of distance on each side of the median, and of counts below their median
RAKING_ITERATIONS = 10  # iterations of the proportional fitting
MIN_HIDDEN_VALUES = 30  # smallest number of hidden values of a class; smaller classes are merged with others


def weights(
    record: Record, hidden: Bool[Tensor, "time cell"], whole: Bool[Tensor, " hidden"],
    area: Float[Tensor, " hidden"],
) -> Float[Tensor, " hidden"]:  # fmt: skip
    """Weights of the hidden values in means over the missing values; see the module."""
    observed, columns = record.observed, record.columns
    visible = observed & ~hidden
    steps = steps_to_observation(visible, record.segment)[hidden]
    distance = nearest_observation(visible, columns, hidden)[hidden]
    of_missing = nearest_observation(observed, columns, ~observed & observed.any(0))
    median = median_distance(of_missing.flatten())
    by_steps = class_of_steps(steps, whole), area_by_steps(record)
    by_distance = class_of_distance(distance, median), area_by_distance(of_missing, median, columns.area)
    of_cell = class_of_count(counts(observed)[1])
    by_count = of_cell[hidden.nonzero()[:, 1]], area_by_count(record, of_cell)
    weight = area
    for _ in range(RAKING_ITERATIONS):
        for of_value, total in (by_count, by_distance, by_steps):
            weight = rake(of_value, weight, total)
    return weight


def class_of_steps(steps: Int[Tensor, " n"], whole: Bool[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Class of values by their steps from an observation; `whole`: at times without any of their variable."""
    return steps.clamp(min=1).double().log2().long().clamp(max=STEP_CLASSES - 1) + STEP_CLASSES * whole


def area_by_steps(record: Record) -> Float[Tensor, " class"]:
    """Area of the missing values of each class of steps."""
    observed, variable, area = record.observed, record.columns.variable, record.columns.area
    ever, absent = observed.any(0), ~present_variables(observed, variable)
    total = torch.zeros(2 * STEP_CLASSES, dtype=torch.float64, device=observed.device)
    for cells in pieces(observed.shape[1], len(observed)):
        missing = ~observed[:, cells] & ever[cells]
        steps = steps_to_observation(observed[:, cells], record.segment)[missing]
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
    missing = (len(observed) - counts(observed)[1]) * observed.any(0)
    total = torch.zeros(2 * STEP_CLASSES, dtype=torch.float64, device=observed.device)
    return total.index_add_(0, of_cell, record.columns.area.double() * missing)


def rake(
    of_value: Int[Tensor, " hidden"], area: Float[Tensor, " hidden"], total: Float[Tensor, " class"]
) -> Float[Tensor, " hidden"]:
    """Scale the areas of hidden values so that those of each class add up to the area of its missing values.

    A class with fewer than `MIN_HIDDEN_VALUES` hidden values is merged with the next lower class that has enough, or
    else with the next higher one.
    """
    count = torch.bincount(of_value, minlength=2 * STEP_CLASSES)
    merged = torch.arange(2 * STEP_CLASSES, device=of_value.device)
    for classes in merged.clone().split(STEP_CLASSES):
        enough = classes[count[classes] >= MIN_HIDDEN_VALUES]
        if not len(enough):
            enough = classes[count[classes].argmax()][None]
        merged[classes] = enough[(torch.searchsorted(enough, classes, right=True) - 1).clamp(min=0)]
    zero = torch.zeros_like(total)
    of_missing = zero.index_add(0, merged, total)
    of_hidden = zero.index_add(0, merged[of_value], area)
    scale = of_missing / of_hidden.where(of_hidden > 0, torch.inf)
    weight = area * scale[merged[of_value]]
    return weight / weight.sum() if weight.any() else area / area.sum()
