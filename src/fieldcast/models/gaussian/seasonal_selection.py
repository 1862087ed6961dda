"""Length, years and seasons of a record of training times, given in order as fractions of the year."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

FOLDS = 5  # number of folds for cross-fitting
# greatest distance from the target day of the year, in years (44 days of a year of 360)
SEASON_HALF_WIDTH = 45 / 365
# The fraction of the year falls by less than this at the end of 29 February, which counts as the 28th, and by more
# where a year begins.
LEAP_DAY_SHIFT = 1.5 / 365
MIN_TIMES = 30  # smallest number of times within the season; with fewer, all seasons are used


def steps(days: Float[Tensor, " n"]) -> Float[Tensor, " n-1"]:
    """Years from each time to the next; gaps must be shorter than a year."""
    step = days.diff()
    return torch.where(starts_year(days), step % 1, step.clamp(min=0))


def starts_year(days: Float[Tensor, " n"]) -> Bool[Tensor, " n-1"]:
    """Whether each time but the first is of a later year than the one before."""
    return days.diff() < -LEAP_DAY_SHIFT


def elapsed(days: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Years since the first time; gaps must be shorter than a year."""
    return torch.cat([days.new_zeros(1), steps(days).cumsum(0)])


def cross_fitting_folds(days: Float[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Fold 0 .. 4 of each time: the number of its year within the record modulo 5, or the fifth of a shorter record.

    Neighbouring times are correlated: whole years or fifths are held out, never single days. Unknown days are NaN.
    """
    if len(days) and not days.isnan().any() and elapsed(days.double())[-1] >= FOLDS - 0.1:
        return torch.cat([days.new_zeros(1), starts_year(days).to(days.dtype).cumsum(0)]).long() % FOLDS
    return torch.arange(len(days), device=days.device) * FOLDS // max(len(days), 1)


def within_season(
    days: Float[Tensor, " n"],
    target_days: Float[Tensor, " batch"],
    allowed: Bool[Tensor, "batch n"],
    window: float = SEASON_HALF_WIDTH,
    years: int = 1,
) -> Bool[Tensor, "batch n"]:
    """The allowed times within `window` (by default 45 days) of each target day of the year.

    All allowed times are returned if the record is more than `window` shorter than `years`, if days are unknown, or if
    fewer than 30 allowed times lie in the window.
    """
    if days.isnan().any() or elapsed(days.double())[-1] < years - window:
        return allowed
    difference = (days - target_days[:, None] + 0.5) % 1 - 0.5
    in_season = allowed & (difference.abs() <= window)
    return torch.where(in_season.sum(1, keepdim=True) >= MIN_TIMES, in_season, allowed)


def pick(allowed: Bool[Tensor, "batch n"], u: Float[Tensor, "batch members"]) -> Int[Tensor, "batch members"]:
    """Map each u in (0, 1) to an allowed time: uniform u select all allowed times with equal probability."""
    rank = (u * allowed.sum(1, keepdim=True)).long() + 1
    return torch.searchsorted(allowed.long().cumsum(1), rank).clamp(max=allowed.shape[1] - 1)
