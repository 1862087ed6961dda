"""Distances of a set of samples from real states, with the scores of a perfect model and of noise."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float, Integer

from fieldcast.scores.bootstrap import Score
from fieldcast.scores.distances import Store, frechet_distance, kernel_distance, two_sample

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


# The two most active components of a latent code, a square that holds them, and a prior's mass beyond contours.


def most_active(latents: xr.Dataset) -> tuple[int, int]:
    """The two components whose posterior means vary most, in ascending order."""
    spread = latents["mean" if "mean" in latents else "drawn"].var("datum").to_numpy()
    first, second = sorted(np.argsort(-spread, kind="stable")[:2].tolist())
    return first, second


def limits_of(drawn: Float[np.ndarray, "datum 2"]) -> Float[np.ndarray, "end 2"]:
    """Corners of a square around the codes of data, with one scale for both axes.

    It is half as wide again as the middle 99 % of the codes in their wider component, so that the density of a prior
    is also visible where there are none. Single draws of a prior may be far away, and do not count.
    """
    finite = drawn[np.isfinite(drawn).all(1)]
    low = np.quantile(
        finite, 0.005, axis=0, method="higher"
    )  # so that it is none of few codes that is far away
    high = np.quantile(finite, 0.995, axis=0, method="lower")
    middle, half = (low + high) / 2, 0.75 * (high - low).max()
    return np.stack([middle - half, middle + half])


def mass_beyond(mass: Float[np.ndarray, "v u"]) -> Float[np.ndarray, "v u"]:
    """Probability of all cells that are less dense than each one: 1 - the mass of its region of highest density.

    `mass` is the probability of cells of one size; what the cells lack to 1 is beyond all of them, or if they exceed
    1, as a coarse grid does for a narrow peak, they are scaled to it.
    """
    flat = np.nan_to_num(mass.ravel()) / max(1.0, float(np.nansum(mass)))
    order = np.argsort(-flat, kind="stable")
    beyond = np.empty_like(flat)
    beyond[order] = 1 - np.cumsum(flat[order]) + flat[order] / 2
    return np.where(flat > 0, beyond, 0.0).reshape(mass.shape)
