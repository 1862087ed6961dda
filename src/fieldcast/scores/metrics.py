"""Scores as functions of statistics that were averaged over cells and times before: roots and ratios last."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Means = Float[np.ndarray, "..."]


class Metric(NamedTuple):
    """A score: the statistics it needs, and the function of their means."""

    statistics: tuple[str, ...]
    of_means: Callable[..., Means]


def unchanged(mean: Means) -> Means:
    """The mean itself is the score."""
    return mean


def difference(own: Means, reference: Means) -> Means:
    """How much larger an experiment's mean is than the reference's."""
    with np.errstate(invalid="ignore"):  # both blew up
        return own - reference


def skill(own: Means, reference: Means) -> Means:
    """1 - own/reference of a score that is 0 at best: 1 is perfect, 0 is the reference, below is worse."""
    with np.errstate(invalid="ignore"):
        return 1 - own / np.where(reference > 0, reference, np.nan)


def unbiased_spread_skill_ratio(variance: Means, debiased_squared_error: Means) -> Means:
    """√(⟨s²⟩ / ⟨(x̄ - y)² - s²/M⟩): 1 for a calibrated ensemble of any size; NaN where the denominator is
    not positive.

    The name is WeatherBench-X's (`UnbiasedSpreadSkillRatio`).
    """
    denominator = np.where(debiased_squared_error > 0, debiased_squared_error, np.nan)
    with np.errstate(invalid="ignore"):  # a model that blew up: infinity over infinity
        return np.sqrt(variance / denominator)


METRICS: dict[str, Metric] = {
    "rmse": Metric(("squared_error",), np.sqrt),
    "mae": Metric(("absolute_error",), unchanged),
    "bias": Metric(("error",), unchanged),
    "ssim": Metric(("ssim",), unchanged),
    "crps": Metric(("crps",), unchanged),
    "ssr": Metric(("variance", "debiased_squared_error"), unbiased_spread_skill_ratio),
    "coverage50": Metric(("coverage50",), unchanged),
    "coverage90": Metric(("coverage90",), unchanged),
    "acc": Metric(("acc",), unchanged),
    "energy": Metric(("energy",), unchanged),
    "consistency": Metric(("observed_squared_error",), np.sqrt),
}
