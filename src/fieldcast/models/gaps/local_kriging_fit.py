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
    LEAST_NUGGET,
    SMOOTHNESS,
    CellSeries,
    KrigingModel,
    Targets,
    targets,
    together,
    windows,
)

FIRST = 0.05, 0.25  # n and a before they are fitted
# of L, tau, n and a: C stays invertible, and the reach short
RANGES = (1e-3, 4.0), (0.1, 100.0), (LEAST_NUGGET, 0.9), (1e-2, 0.5)
BOUNDS = np.log(RANGES)
ITERATIONS = 15  # of L-BFGS-B
TARGETS = 1000  # hidden values that determine the parameters
FEWEST = 50  # of these, below which the parameters are not fitted


def fit_kriging(series: CellSeries, hidden: Hidden, length: float, duration: float) -> KrigingModel:
    """The model that maximises the likelihood of hidden values.

    Parameters
    ----------
    series
        The fields, in which the hidden values still count as observed.
    hidden
        The hidden values.
    length, duration
        E-folding lengths of the correlation in space and time: L and tau before they are fitted.
    """
    theta = torch.tensor([length, duration, *FIRST], dtype=torch.float64, device=series.x.device).log()
    least, most = torch.tensor(BOUNDS).to(theta).T
    theta, nu = theta.clamp(least, most), SMOOTHNESS[1]
    if int(hidden.weight.count_nonzero()) < FEWEST:
        return KrigingModel(KrigingModel.of(theta, nu).correlation)
    repeats = torch.zeros_like(series.observed, dtype=torch.int16)
    repeats[hidden.time, hidden.cell] = drawn_in_proportion(hidden.weight).to(repeats)
    kept = series._replace(observed=series.observed & ~hidden.mask)
    for smoothness in (SMOOTHNESS[1:2], SMOOTHNESS):  # the neighbours depend on the correlation
        c = KrigingModel.of(theta, SMOOTHNESS[1]).correlation
        blocks = together(
            some
            for times, reached in windows(series.step, c)
            for some in targets(kept, c, repeats > 0, times, reached)
        )
        with one_thread():
            tried = [(*maximised(theta, nu, kept, blocks, repeats), nu) for nu in smoothness]
        _, theta, nu = max(tried, key=lambda result: result[0])
    return KrigingModel.of(theta, nu)


def drawn_in_proportion(weight: Float[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Number of times that each is among `TARGETS` draws in proportion to their weights (systematic sampling)."""
    until = weight.cpu().cumsum(0)
    place = (torch.arange(TARGETS, dtype=until.dtype) + 0.5) / TARGETS * until[-1]
    return torch.bincount(torch.searchsorted(until, place, right=True), minlength=len(weight))


@torch.enable_grad()
def maximised(
    theta: Float[Tensor, "4"], smoothness: float, series: CellSeries, blocks: list[Targets],
    repeats: Int[Tensor, "time cell"],
) -> tuple[float, Float[Tensor, "4"]]:  # fmt: skip
    """Mean of log p of some values, and the logarithms of L, tau, n and a that maximise it, from those given."""

    def loss(parameters: Float[np.ndarray, "4"]) -> tuple[float, Float[np.ndarray, "4"]]:
        tried = torch.from_numpy(parameters).to(theta).requires_grad_()
        value = -log_prob(KrigingModel.of(tried, smoothness), series, blocks, repeats)
        return float(value.detach()), torch.autograd.grad(value, tried)[0].cpu().numpy()

    best = minimize(
        loss, theta.cpu().numpy(), jac=True, method="L-BFGS-B", bounds=BOUNDS, options={"maxiter": ITERATIONS}
    )
    return -best.fun, torch.from_numpy(best.x).to(theta)


def log_prob(
    model: KrigingModel, series: CellSeries, blocks: list[Targets], repeats: Int[Tensor, "time cell"]
) -> Float[Tensor, ""]:
    """Mean of log p of some values given their neighbours, each counted so often, without its constant."""
    total = torch.zeros((), dtype=torch.float64, device=series.x.device)
    for some in blocks:
        given = some.given(series, model)
        error = series.x[some.time, some.cell] - given.mean
        terms = given.variance.log() + error.square() / given.variance
        total = total + (repeats[some.time, some.cell] * terms).sum()
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
