"""How far samples are from real states as a whole, beside what a perfect model and what noise would score."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from fieldcast.scores.distances.frechet import frechet_distance
from fieldcast.scores.distances.kernel import kernel_distance
from fieldcast.scores.distances.neighbours import Store
from fieldcast.scores.distances.two_sample import two_sample

FLOORS = 20  # sets of training states that stand for a perfect model
NONE = float("nan")


class Sets(NamedTuple):
    """The same numbers of each sample, of each real test state and of each training state."""

    samples: Float[np.ndarray, "n column"]
    test: Float[np.ndarray, "m column"]
    training: Store  # k rows


class Score(NamedTuple):
    """A value and its 95 % interval, NaN where there is none."""

    value: float
    low: float = NONE
    high: float = NONE


def set_scores(
    features: Sets,
    noise: Float[np.ndarray, "n_noise column"] | None,
    blocks: Integer[np.ndarray, " m"] | None,
    seed: int,
) -> Iterator[tuple[str, Score]]:
    """fid, kid, c2st, their floors, ceilings, and kid_sd, the standard deviation over subsets.

    Floors set as many training states in the place of samples: they hold what the years of training and test differ
    in. FID depends on how many there are: where there are fewer training states than samples, only so many samples are
    scored (`rows_scored`), and where there are not twice as many, floors have no interval.
    """
    rows = rows_scored(features)
    samples, test, training = features.samples[:rows], features.test, features.training
    yield "fid", Score(frechet_distance(samples, test))
    kernel = kernel_distance(samples, test, seed=seed, blocks=blocks)
    yield "kid", Score(kernel.mean, *kernel.interval)
    yield "kid_sd", Score(kernel.sd)
    yield "c2st", Score(*two_sample(samples, test, blocks=blocks, seed=seed))
    rng = np.random.default_rng([seed, len(training), len(samples)])
    perfect = [training[rng.permutation(len(training))[:rows]] for _ in range(FLOORS)]
    apart = len(training) >= 2 * rows  # else the sets are nearly the same, and so are their scores
    yield "fid_floor", over_sets([frechet_distance(one, test) for one in perfect], apart)
    yield "kid_floor", over_sets([kernel_mean(one, test, seed) for one in perfect], apart)
    yield "c2st_floor", Score(two_sample(perfect[0], test, blocks=blocks, seed=seed).accuracy)
    if noise is not None:
        noise = noise[:rows]
        yield "fid_ceiling", Score(frechet_distance(noise, test))
        yield "kid_ceiling", Score(kernel_mean(noise, test, seed))


def kernel_mean(x: Float[np.ndarray, "n column"], test: Float[np.ndarray, "m column"], seed: int) -> float:
    """The kernel distance alone."""
    return kernel_distance(x, test, seed=seed, error=False).mean


def rows_scored(features: Sets) -> int:
    """N of all distances: as many samples as there are training states to set in their place, at most all.

    All where one is not finite: a model that blew up is not forgiven for where it did.
    """
    finite = np.isfinite(features.samples).all()
    return min(len(features.samples), len(features.training)) if finite else len(features.samples)


def over_sets(values: list[float], apart: bool = True) -> Score:
    """Mean, and the interval in which 95 % lie, if the sets are apart."""
    low, high = np.quantile(values, [0.025, 0.975]) if apart else (NONE, NONE)
    return Score(float(np.mean(values)), float(low), float(high))
