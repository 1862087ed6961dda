"""Intervals by resampling blocks of times.

Weather at neighbouring times is correlated, so whole blocks of times are drawn, at least 10 days long so that blocks
are nearly independent, and wrapped round the end of the series (circular block bootstrap: Politis and Romano 1992). In
records of months, such as those of the sea surface, anomalies decay over half a year (Frankignoul and Hasselmann 1977),
so blocks last half a year. Each score is computed anew from the means of each of 1000 resamples, so that roots and
ratios are taken of means here too. All experiments share the resamples, and differences between two experiments are
taken time by time beforehand.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

RESAMPLES = 1000
BLOCK_DAYS = 10.0  # least length of a block
MONTHLY_BLOCK_DAYS = 180.0  # least length of a block of a record whose step is in months
MIN_BLOCKS = 3  # with fewer, resamples are rotations of one another and the interval is far too narrow


class Score(NamedTuple):
    """A value and its 95 % interval, which may be NaN."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def verdict(self) -> str:
        """Verdict from the interval of a paired difference of a score that is better when lower."""
        if math.isnan(self.low) or math.isnan(self.high):
            return "no interval"
        return "better" if self.high < 0 else "worse" if self.low > 0 else "not separated"


def block_days(months: int) -> float:
    """Least length of a block of a record whose step is a number of months, or hours (0 months)."""
    return MONTHLY_BLOCK_DAYS if months else BLOCK_DAYS


def block_length(times: Shaped[np.ndarray, " time"], days: float = BLOCK_DAYS) -> int:
    """Number of times (numpy datetimes, ascending) in a block of at least `days`; 1 where times are further
    apart."""
    if len(times) < 2:
        return 1
    spacing = np.median(np.diff(times) / np.timedelta64(1, "s")) / 86400.0
    return max(1, math.ceil(days / spacing - 1e-9)) if spacing > 0 else len(times)


def block_weights(
    times: int, length: int, seed: int = 0, resamples: int = RESAMPLES
) -> Float[np.ndarray, "resample time"]:
    """Weight of each time in each resample, its count over the number of times: a resampled mean is weights @ values.

    There is no resample, and so no interval, where the times hold fewer than three blocks.
    """
    if times < MIN_BLOCKS * length:
        return np.zeros((0, times))
    rng = np.random.default_rng([seed, times, length])
    starts = rng.integers(0, times, (resamples, math.ceil(times / length), 1))
    indices = ((starts + np.arange(length)) % times).reshape(resamples, -1)[:, :times]
    offset = np.arange(resamples)[:, None] * times
    counts = np.bincount((indices + offset).ravel(), minlength=resamples * times)
    return counts.reshape(resamples, times) / times


def mean_weights(times: int) -> Float[np.ndarray, "1 time"]:
    """The weights of the mean over all times."""
    return np.full((1, times), 1 / times)


def mean_and_resamples(times: int, length: int, seed: int = 0) -> Float[np.ndarray, "row time"]:
    """The weights of the mean over all times, then those of `block_weights`."""
    return np.concatenate([mean_weights(times), block_weights(times, length, seed)])


def resampled_means(
    values: Float[np.ndarray, " time *shape"], weights: Float[np.ndarray, "resample time"]
) -> Float[np.ndarray, " resample *shape"]:
    """Mean over times of each resample.

    Parameters
    ----------
    values
        One value per time; a time without a value (NaN) is left out, an infinite one is not.
    weights
        How often each resample has each time.
    """
    present = ~np.isnan(values)
    total = np.tensordot(weights, present.astype(float), 1)
    with np.errstate(invalid="ignore"):  # 0 times infinity: an interval that does not exist
        mean = np.tensordot(weights, np.where(present, values, 0.0), 1)
    return mean / np.where(total > 0, total, np.nan)


def interval(
    samples: Float[np.ndarray, " resample *shape"], level: float = 0.95
) -> tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]:
    """Lower and upper percentiles of resampled scores; NaN without resamples."""
    if not len(samples):
        missing = np.full(samples.shape[1:], np.nan)
        return missing, missing.copy()
    with np.errstate(invalid="ignore"):  # infinite samples: an interval that does not exist
        low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high
