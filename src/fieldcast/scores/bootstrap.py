"""Intervals by resampling blocks of times.

Weather at neighbouring times is alike, so times are drawn in blocks long enough to forget (10 days), round
the end of the series (circular block bootstrap: Politis and Romano 1992), and a statistic of the resampled
means is computed anew for each of 1000 resamples: roots and ratios are taken of means here too. Experiments
share the resamples, and a difference between two of them is taken time by time before.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Shaped

RESAMPLES = 1000
BLOCK_DAYS = 10.0
FEWEST_BLOCKS = 3  # fewer, and the resamples are rotations of one another: an interval far too narrow


def block_length(times: Shaped[np.ndarray, " time"], days: float = BLOCK_DAYS) -> int:
    """Number of times (numpy datetimes, ascending) in a block of at least `days`; 1 where times are further
    apart."""
    if len(times) < 2:
        return 1
    spacing = np.median(np.diff(times) / np.timedelta64(1, "s")) / 86400.0
    return max(1, math.ceil(days / spacing - 1e-9))


def block_weights(
    times: int, length: int, seed: int = 0, resamples: int = RESAMPLES
) -> Float[np.ndarray, "resample time"]:
    """How often each time is in each resample, over the number of times: a resampled mean is weights @
    values.

    No resample (and so no interval) where the times hold fewer than three blocks.
    """
    if times < FEWEST_BLOCKS * length:
        return np.zeros((0, times))
    rng = np.random.default_rng([seed, times, length])
    starts = rng.integers(0, times, (resamples, math.ceil(times / length), 1))
    drawn = ((starts + np.arange(length)) % times).reshape(resamples, -1)[:, :times]
    rows = np.arange(resamples)[:, None] * times
    counts = np.bincount((drawn + rows).ravel(), minlength=resamples * times)
    return counts.reshape(resamples, times) / times


def resampled_means(
    values: Float[np.ndarray, " time *shape"], weights: Float[np.ndarray, "resample time"]
) -> Float[np.ndarray, " resample *shape"]:
    """Mean over times of each resample. A time without a value (NaN) is left out; an infinite one is not."""
    known = ~np.isnan(values)
    total = np.tensordot(weights, known.astype(float), 1)
    with np.errstate(invalid="ignore"):  # 0 times infinity: an interval that does not exist
        mean = np.tensordot(weights, np.where(known, values, 0.0), 1)
    return mean / np.where(total > 0, total, np.nan)


def interval(
    samples: Float[np.ndarray, " resample *shape"], level: float = 0.95
) -> tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]:
    """Lower and upper percentiles of resampled scores; NaN without resamples."""
    if not len(samples):
        none = np.full(samples.shape[1:], np.nan)
        return none, none.copy()
    with np.errstate(invalid="ignore"):  # infinite samples: an interval that does not exist
        low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high
