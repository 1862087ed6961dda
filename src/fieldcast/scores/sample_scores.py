"""Distances of a set of samples from real states, with the scores of a perfect model and of noise."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from fieldcast.scores.bootstrap import Score
from fieldcast.scores.distances.frechet import frechet_distance
from fieldcast.scores.distances.kernel import kernel_distance
from fieldcast.scores.distances.neighbours import Store
from fieldcast.scores.distances.two_sample import two_sample

FLOOR_SETS = 20  # sets of training states that stand for a perfect model


class Sets(NamedTuple):
    """Numbers that describe each sample, each real test state and each training state, in the same columns."""

    samples: Float[np.ndarray, "n column"]
    test: Float[np.ndarray, "m column"]
    training: Store  # a row for each training state


def set_scores(
    features: Sets,
    noise: Float[np.ndarray, "n_noise column"] | None,
    blocks: Integer[np.ndarray, " m"] | None,
    seed: int,
) -> Iterator[tuple[str, Score]]:
    """Yield fid, kid, c2st, their floors and ceilings, and kid_sd, the standard deviation over subsets.

    Floors replace the samples by as many training states; they contain the difference between training and test
    years. FID depends on the size of the sets: if there are fewer training states than samples, only that many
    samples are scored (`scored_count`), and if there are not twice as many, floors have no interval.
    """
    count = scored_count(features)
    samples, test, training = features.samples[:count], features.test, features.training
    yield "fid", Score(frechet_distance(samples, test))
    kernel = kernel_distance(samples, test, seed=seed, blocks=blocks)
    yield "kid", Score(kernel.mean, *kernel.interval)
    yield "kid_sd", Score(kernel.sd)
    yield "c2st", Score(*two_sample(samples, test, blocks=blocks, seed=seed))
    rng = np.random.default_rng([seed, len(training), len(samples)])
    perfect = [training[rng.permutation(len(training))[:count]] for _ in range(FLOOR_SETS)]
    differ = len(training) >= 2 * count  # else the sets are nearly the same, and so are their scores
    yield "fid_floor", mean_over_sets([frechet_distance(states, test) for states in perfect], differ)
    yield "kid_floor", mean_over_sets([kernel_mean(states, test, seed) for states in perfect], differ)
    yield "c2st_floor", Score(two_sample(perfect[0], test, blocks=blocks, seed=seed).accuracy)
    if noise is not None:
        noise = noise[:count]
        yield "fid_ceiling", Score(frechet_distance(noise, test))
        yield "kid_ceiling", Score(kernel_mean(noise, test, seed))


def kernel_mean(x: Float[np.ndarray, "n column"], test: Float[np.ndarray, "m column"], seed: int) -> float:
    """The kernel distance, without its error."""
    return kernel_distance(x, test, seed=seed, error=False).mean


def scored_count(features: Sets) -> int:
    """Number of samples that are scored: as many as there are training states for the floor, at most all.

    If a feature is not finite all samples are scored, so that a model that blew up is penalised.
    """
    finite = np.isfinite(features.samples).all()
    return min(len(features.samples), len(features.training)) if finite else len(features.samples)


def mean_over_sets(values: list[float], differ: bool = True) -> Score:
    """Mean over sets, and the interval that holds 95 % of them if the sets `differ`."""
    low, high = np.quantile(values, [0.025, 0.975]) if differ else (math.nan, math.nan)
    return Score(float(np.mean(values)), float(low), float(high))
