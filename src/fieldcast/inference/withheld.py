"""Scores at observations that a cycle never assimilates, which need no truth.

Whole blocks of neighbouring cells are left out, at all times: the neighbour of a cell, or the cell itself on the day
before, would tell what it reads. What is scored is the predicted observation x + eps, eps the error of an observation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import nan

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fieldcast.errors import InputError
from fieldcast.models import masks
from fieldcast.models.random_streams import RandomStreams, seed_for
from fieldcast.models.space import Space
from fieldcast.scores.observations import observation_statistics


def withheld_cells(
    mask: Bool[Tensor, "time variable y x"], share: float, space: Space, seed: int
) -> Bool[Tensor, "y x"]:
    """Blocks of cells that hold a share of all observations, as nearly as whole cells allow; none for 0.

    They are the cells where a smooth random field is lowest, as clouds are in `masks.blocks`.

    Raises
    ------
    InputError
        If a share of the observations should be withheld, and too few cells have any.
    """
    count = mask.sum((0, 1))
    if share == 0:
        return torch.zeros_like(count, dtype=torch.bool)
    streams = RandomStreams(seed_for("withheld", seed), torch.zeros(1, dtype=torch.long, device=mask.device))
    order = masks.smooth_field(streams, space, 1).flatten().argsort()
    held = count.flatten()[order].cumsum(0) <= share * count.sum()
    cells = torch.zeros_like(held).scatter(0, order, held).view_as(count)
    if not count[cells].sum():
        raise InputError(
            f"withheld = {share:g} of the {int(count.sum())} observations is less than those of a single cell: "
            "withhold more, or 0."
        )
    return cells


class WithheldScores:
    """Sums of the scores of several estimates, by the name of the estimate and the number of the variable."""

    def __init__(self, y: Float[Tensor, "time variable y x"], noise: float, seed: int):
        """Take the withheld observations, NaN elsewhere, in standard deviations of the anomaly, and their error."""
        self.y, self.noise, self.seed = y, noise, seed_for("errors of withheld observations", seed)
        self.sums: dict[tuple[str, int], dict[str, float]] = {}

    def add(self, time: int, estimates: Mapping[str, Float[Tensor, "1 members variable y x"]]) -> None:
        """Score the members of each estimate at one time; all have the same errors of observation."""
        for name, members in estimates.items():
            shape, zero = members.shape, torch.zeros(1, dtype=torch.long, device=members.device)
            draws = RandomStreams(self.seed, zero, shape[1]).at_lead(time)
            predicted = (members + self.noise * draws.normal(*shape[2:]))[0].double()
            for v, y in enumerate(self.y[time]):
                observed = y.isfinite()
                sums = self.sums.setdefault((name, v), {"count": 0.0})
                if not observed.any():
                    continue
                members_there = predicted[:, v, observed].cpu().numpy()
                columns = observation_statistics(members_there, y[observed].double().cpu().numpy())
                sums["count"] += float(observed.sum())
                for column, values in columns.items():
                    sums[column] = sums.get(column, 0.0) + float(values.sum())

    def means(self) -> Iterator[tuple[str, int, dict[str, float]]]:
        """Estimate, variable, and its fair CRPS, RMSE of the mean and coverage of 90 %; NaN where none was withheld."""
        for (name, v), sums in self.sums.items():
            count = sums["count"] or nan
            root = (sums.get("square", nan) / count) ** 0.5
            coverage = sums.get("coverage", nan) / count  # too few members have none
            yield name, v, {"crps": sums.get("crps", nan) / count, "rmse": root, "coverage90": coverage}
