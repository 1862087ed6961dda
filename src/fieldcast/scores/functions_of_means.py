"""Scores as functions of means of statistics, or of an experiment's mean and those of others."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

Means = Float[np.ndarray, "..."]


def unchanged(mean: Means) -> Means:
    """Return the mean unchanged."""
    return mean


def difference(score: Means, reference: Means) -> Means:
    """Mean of an experiment minus that of the reference."""
    with np.errstate(invalid="ignore"):  # both diverged
        return score - reference


def skill(score: Means, reference: Means) -> Means:
    """Skill 1 - score/reference of a score that is 0 at best: 1 is perfect, 0 equals the reference."""
    with np.errstate(invalid="ignore"):
        return 1 - score / np.where(reference > 0, reference, np.nan)


def ratio(mean: Means, expected: Means) -> Means:
    """Mean over its expected value; NaN where nothing is expected."""
    with np.errstate(invalid="ignore", over="ignore"):
        return mean / np.where(expected > 0, expected, np.nan)


def rmse_skill(mean: Means, reference: Means, bound: Means) -> Means:
    """Skill score (r - x) / (r - b) of the roots x, r, b of three means: of forecasts, a reference and a bound.

    1 equals the bound, 0 the reference; NaN where the bound is not better than the reference.
    """
    x, r, b = (np.sqrt(each) for each in (mean, reference, bound))
    return ratio(r - x, r - b)


def signal_share(product: Means, squared: Means) -> Means:
    """Share 1 - <d_a d_b> / <d_b^2> of an innovation d_b that an analysis follows; d_a is the remainder."""
    return 1 - ratio(product, squared)


def root(mean: Means) -> Means:
    """Root of a mean of products, which may be negative by chance: then NaN."""
    return np.sqrt(np.where(mean >= 0, mean, np.nan))


def unbiased_spread_skill_ratio(variance: Means, debiased_squared_error: Means) -> Means:
    """Spread-skill ratio √(⟨s²⟩ / ⟨(x̄ - y)² - s²/M⟩), 1 for a calibrated ensemble of any size.

    NaN where the denominator is not positive. WeatherBench-X calls it `UnbiasedSpreadSkillRatio`.
    """
    denominator = np.where(debiased_squared_error > 0, debiased_squared_error, np.nan)
    with np.errstate(invalid="ignore"):  # a model that diverged: infinity over infinity
        return np.sqrt(variance / denominator)
