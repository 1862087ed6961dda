"""Parameters of kriging from the nearest observations, by the likelihood of hidden values; see `local_kriging`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import minimize
from torch import Tensor

from fieldcast.models.gaps.hidden import Hidden
from fieldcast.models.gaps.local_kriging import (
    MIN_NUGGET,
    SMOOTHNESS,
    CellSeries,
    KrigingModel,
    Targets,
    join_blocks,
    targets,
    windows,
)

INITIAL_NUGGET_AND_POWER = 0.05, 0.25  # first guess of n and a
# limits of L, tau, n and a, which keep C invertible and the reach short
RANGES = (1e-3, 4.0), (0.1, 100.0), (MIN_NUGGET, 0.9), (1e-2, 0.5)
BOUNDS = np.log(RANGES)
MAX_ITERATIONS = 15  # iterations of L-BFGS-B
DRAWN_TARGETS = 1000  # draws of hidden values that determine the parameters
MIN_TARGETS = 50  # smallest number of hidden values with a weight for which the parameters are fitted


def fit_kriging(
    series: CellSeries, hidden: Hidden, e_folding_distance: float, e_folding_steps: float
) -> KrigingModel:
    """The model that maximises the likelihood of hidden values.

    Parameters
    ----------
    series
        The series of all cells, in which the hidden values still count as observed.
    hidden
        The hidden values.
    e_folding_distance, e_folding_steps
        E-folding lengths of the correlation in space and time: the first guess of L and tau.
    """
    theta = torch.tensor(
        [e_folding_distance, e_folding_steps, *INITIAL_NUGGET_AND_POWER],
        dtype=torch.float64,
        device=series.x.device,
    ).log()
    low, high = torch.tensor(BOUNDS).to(theta).T
    theta, nu = theta.clamp(low, high), SMOOTHNESS[1]
    if int(hidden.weight.count_nonzero()) < MIN_TARGETS:
        return KrigingModel(KrigingModel.of(theta, nu).correlation)
    repeats = torch.zeros_like(series.observed, dtype=torch.int16)
    repeats[hidden.time, hidden.cell] = draws_per_value(hidden.weight).to(repeats)
    visible = series._replace(observed=series.observed & ~hidden.mask)
    for smoothness in (SMOOTHNESS[1:2], SMOOTHNESS):  # the neighbours depend on the correlation
        c = KrigingModel.of(theta, SMOOTHNESS[1]).correlation
        blocks = join_blocks(
            block
            for times, reached in windows(series.step, c)
            for block in targets(visible, c, repeats > 0, times, reached)
        )
        with one_thread():
            fits = [(*maximise_likelihood(theta, nu, visible, blocks, repeats), nu) for nu in smoothness]
        _, theta, nu = max(fits, key=lambda fit: fit[0])
    return KrigingModel.of(theta, nu)


def draws_per_value(weight: Float[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Count the draws of each value among `DRAWN_TARGETS` in proportion to the weights (systematic sampling)."""
    total = weight.cpu().cumsum(0)
    position = (torch.arange(DRAWN_TARGETS, dtype=total.dtype) + 0.5) / DRAWN_TARGETS * total[-1]
    return torch.bincount(torch.searchsorted(total, position, right=True), minlength=len(weight))


@torch.enable_grad()
def maximise_likelihood(
    theta: Float[Tensor, "4"], smoothness: float, series: CellSeries, blocks: list[Targets],
    repeats: Int[Tensor, "time cell"],
) -> tuple[float, Float[Tensor, "4"]]:  # fmt: skip
    """Maximise the mean of log p of some values from a first guess; return it and the logarithms of L, tau, n and a."""

    def loss(parameters: Float[np.ndarray, "4"]) -> tuple[float, Float[np.ndarray, "4"]]:
        candidate = torch.from_numpy(parameters).to(theta).requires_grad_()
        value = -log_prob(KrigingModel.of(candidate, smoothness), series, blocks, repeats)
        return float(value.detach()), torch.autograd.grad(value, candidate)[0].cpu().numpy()

    best = minimize(
        loss,
        theta.cpu().numpy(),
        jac=True,
        method="L-BFGS-B",
        bounds=BOUNDS,
        options={"maxiter": MAX_ITERATIONS},
    )
    return -best.fun, torch.from_numpy(best.x).to(theta)


def log_prob(
    model: KrigingModel, series: CellSeries, blocks: list[Targets], repeats: Int[Tensor, "time cell"]
) -> Float[Tensor, ""]:
    """Mean of log p of some values given their neighbours, up to a constant; `repeats` is how often each counts."""
    total = torch.zeros((), dtype=torch.float64, device=series.x.device)
    for block in blocks:
        conditional = block.conditional(series, model)
        error = series.x[block.time, block.cell] - conditional.mean
        terms = conditional.variance.log() + error.square() / conditional.variance
        total = total + (repeats[block.time, block.cell] * terms).sum()
    return -total / 2 / repeats.sum()


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread: for tables so small that several threads mostly wait for each other.

    Two of them take twice the time on idle cores, and five times on busy ones.
    """
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(count)
