"""Scores at observations that a cycle never assimilates, which need no truth.

Whole blocks of neighbouring cells are left out, at all times: the neighbour of a cell, or the cell itself on the day
before, would reveal its value. The scored quantity is the predicted observation x + eps with observation error eps.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import nan

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree
from torch import Tensor

from fieldcast.errors import InputError
from fieldcast.geometry import great_circle_km
from fieldcast.models import masks
from fieldcast.models.random_streams import RandomStreams, seed_for
from fieldcast.models.space import Space, evenly
from fieldcast.scores.observations import observation_statistics

MEASURED_TIMES = 60  # times of a record at which distances to observations are measured, at most
SUMS = ("count", "crps", "square", "coverage")  # sums over observations, see `observation_statistics`


def withheld_cells(
    mask: Bool[Tensor, "time variable y x"], share: float, space: Space, seed: int
) -> Bool[Tensor, "y x"]:
    """Mask of blocks of cells that hold about a share of all observations; no cell for a share of 0.

    These are the cells where a smooth random field is lowest, as for the clouds of `masks.blocks`.
    """
    count = mask.sum((0, 1))
    if share == 0:
        return torch.zeros_like(count, dtype=torch.bool)
    streams = RandomStreams(seed_for("withheld", seed), torch.zeros(1, dtype=torch.long, device=mask.device))
    order = masks.smooth_field(streams, space, 1).flatten().argsort()
    below = count.flatten()[order].cumsum(0) <= share * count.sum()
    cells = torch.zeros_like(below).scatter(0, order, below).view_as(count)
    if not count[cells].sum():
        raise InputError(
            f"withheld = {share:g}: this share of the {int(count.sum())} observations is less than the observations "
            "of a single cell; withhold more, or set it to 0."
        )
    return cells


def distances_km(
    mask: Bool[Tensor, "time variable y x"], withheld: Bool[Tensor, "y x"], space: Space
) -> Float[np.ndarray, "variable 2"]:
    """Median distances [km] from the withheld observations, and from missing values, to the nearest assimilated ones.

    Observations of the same time and variable count; a time without any is infinitely far. A long record is measured at
    evenly spaced times.
    """
    points, exists = space.points.flatten(0, 1).cpu().numpy(), space.exists.flatten().cpu().numpy()
    left_out = withheld.flatten().cpu().numpy()
    observed = mask[evenly(len(mask), min(len(mask), MEASURED_TIMES))].flatten(2).cpu().numpy()
    medians = np.full((observed.shape[1], 2), nan)
    for v in range(observed.shape[1]):
        for number, kind in enumerate((observed[:, v] & left_out, exists & ~observed[:, v])):
            chords = [
                chords_to(points[present & ~left_out], points[cells])
                for present, cells in zip(observed[:, v], kind, strict=True)
            ]
            if any(map(len, chords)):
                medians[v, number] = great_circle_km(float(np.median(np.concatenate(chords))))
    return medians


def chords_to(
    points: Float[np.ndarray, "point 3"], locations: Float[np.ndarray, "location 3"]
) -> Float[np.ndarray, " location"]:
    """Chord from each location to the nearest point; infinite if there is no point."""
    return cKDTree(points).query(locations)[0] if len(points) else np.full(len(locations), np.inf)


def withheld_sums(
    y: Float[Tensor, "variable y x"],
    estimates: Mapping[str, Float[Tensor, "1 members variable y x"]],
    noise: float,
    seed: int,
    time: int,
) -> dict[str, Float[np.ndarray, "variable sum"]]:
    """SUMS over the withheld observations of one time, by the name of the estimate.

    Parameters
    ----------
    y
        Withheld observations, NaN elsewhere, in anomaly standard deviations.
    estimates
        Members by name; all have the same observation errors.
    noise
        Standard deviation of the observation errors.
    seed
        Seed of the draws of the errors.
    time
        Number of the time; the draws depend on it.
    """
    by_name = {}
    for name, members in estimates.items():
        shape, zero = members.shape, torch.zeros(1, dtype=torch.long, device=members.device)
        draws = RandomStreams(seed_for("errors of withheld observations", seed), zero, shape[1]).at_lead(time)
        predicted = (members + noise * draws.normal(*shape[2:]))[0].double()
        by_name[name] = np.array([sums_of(predicted[:, v], values) for v, values in enumerate(y)])
    return by_name


def sums_of(predicted: Float[Tensor, "members y x"], y: Float[Tensor, "y x"]) -> list[float]:
    """SUMS of one variable; NaN for a score that needs more members."""
    observed = y.isfinite()
    if not observed.any():
        return [0.0] * len(SUMS)
    columns = observation_statistics(predicted[:, observed].cpu().numpy(), y[observed].double().cpu().numpy())
    totals = {"count": float(observed.sum())} | {name: float(x.sum()) for name, x in columns.items()}
    return [totals.get(name, nan) for name in SUMS]


def withheld_scores(sums: Float[np.ndarray, "*shape sum"]) -> dict[str, Float[np.ndarray, "*shape"]]:
    """Fair CRPS, RMSE of the mean and 90 % coverage from SUMS; NaN without withheld observations."""
    count, crps, square, inside = np.moveaxis(sums, -1, 0)
    count = np.where(count > 0, count, nan)
    return {"crps": crps / count, "rmse": np.sqrt(square / count), "coverage90": inside / count}
