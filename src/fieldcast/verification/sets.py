"""How far samples are from real states as a whole, beside what a perfect model and what noise would score."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from .frechet import frechet_distance
from .kernel_distance import kernel_distance
from .two_sample import two_sample

FLOORS = 20  # sets of training states that stand for a perfect model
NONE = float("nan")


class Sets(NamedTuple):
    """The same numbers of each sample, of each real test state and of each training state."""

    samples: Float[np.ndarray, "n column"]
    test: Float[np.ndarray, "m column"]
    training: Float[np.ndarray, "k column"]


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

    Floors set so many training states in the place of samples: they hold what the years of training and test differ
    in, and a little of what the features know of the very states they were fitted on.
    """
    samples, test, training = features
    yield "fid", Score(frechet_distance(samples, test))
    kernel = kernel_distance(samples, test, seed=seed)
    yield "kid", Score(kernel.mean, *kernel.interval)
    yield "kid_sd", Score(kernel.sd)
    yield "c2st", Score(*two_sample(samples, test, blocks=blocks, seed=seed))
    rng = np.random.default_rng([seed, len(training), len(samples)])
    perfect = [training[rng.permutation(len(training))[: len(samples)]] for _ in range(FLOORS)]
    yield "fid_floor", over_sets([frechet_distance(one, test) for one in perfect])
    yield "kid_floor", over_sets([kernel_distance(one, test, seed=seed).mean for one in perfect])
    yield "c2st_floor", Score(two_sample(perfect[0], test, blocks=blocks, seed=seed).accuracy)
    if noise is not None:
        noise = noise[: len(samples)]
        yield "fid_ceiling", Score(frechet_distance(noise, test))
        yield "kid_ceiling", Score(kernel_distance(noise, test, seed=seed).mean)


def over_sets(values: list[float]) -> Score:
    """Mean, and the interval in which 95 % lie."""
    low, high = np.quantile(values, [0.025, 0.975])
    return Score(float(np.mean(values)), float(low), float(high))
