"""Image preprocessing: transforms x of grey values v = 0 .. levels - 1, and their Jacobians.

    threshold     x = 1 where v / (levels - 1) > 1 / 2, else 0           a discrete likelihood, static
    bernoulli     x = 1 with probability v / (levels - 1), drawn anew    discrete, dynamic; the test set is drawn once
    grey          x = v / (levels - 1)                                   no likelihood of discrete data
    dequantised   x = (v + u) / levels, u uniform, drawn anew            a density on (0, 1)
    symmetric     x = 2 (v + u) / levels - 1                             a density on (-1, 1)

Scores of different treatments are not comparable: each table names its treatment. Dequantised, E log p(x) + log |dx/dv|
is a lower bound on log P(v) (Theis et al. 2016, section 3.1), in bits per dimension after division by - log 2 and the
number of cells.
"""

from __future__ import annotations

import math
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from fieldcast.models.options import BINARY, Treatment
from fieldcast.models.random_streams import RandomStreams, seed_for


def treat(
    grey: Float[Tensor, "batch variable y x"], treatment: Treatment, levels: int, streams: RandomStreams
) -> Float[Tensor, "batch variable y x"]:
    """Transform grey values to x; `streams` of a training differ at each step, those of `fixed_streams` never do."""
    share = grey / (levels - 1)
    if treatment == "grey":
        return share
    if treatment == "threshold":
        return (share > 0.5).to(grey.dtype)
    pixels = replace(
        streams.alone(), seed=seed_for("pixels", streams.seed)
    )  # independent of the model's draws
    u = pixels.uniform(*grey.shape[1:])[:, 0]
    if treatment == "bernoulli":
        return (u < share).to(grey.dtype)
    x = (grey + u) / levels
    return x if treatment == "dequantised" else 2 * x - 1


def fixed_streams(streams: RandomStreams) -> RandomStreams:
    """Draws for scored data: functions of the datum alone, whatever the seed of the run."""
    return RandomStreams(seed_for("data that are scored"), streams.datum)


def grey_values(
    x: Float[Tensor, "*lead y x"], treatment: Treatment, levels: int
) -> Float[Tensor, "*lead y x"]:
    """Convert draws of a model to grey values, clamped to 0 .. levels - 1 and not rounded."""
    share = (x + 1) / 2 if treatment == "symmetric" else x
    if treatment in ("dequantised", "symmetric"):
        return (share * levels - 0.5).clamp(0, levels - 1)
    return (share * (levels - 1)).clamp(0, levels - 1)


def log_jacobian(treatment: Treatment, levels: int) -> float:
    """log dx/dv of a cell [nats]: added to log p(x) it gives the density of v + u. 0 for discrete x."""
    if treatment in BINARY:
        return 0.0
    if treatment == "grey":
        return -math.log(levels - 1)
    return -math.log(levels) + (math.log(2) if treatment == "symmetric" else 0.0)


def bits_per_dim(log_prob: Float[Tensor, "*shape"], cells: int, treatment: Treatment, levels: int) -> Tensor:
    """-log2 P(v) per cell, or a bound on it, from log p(x) in nats."""
    return -(log_prob / cells + log_jacobian(treatment, levels)) / math.log(2)
