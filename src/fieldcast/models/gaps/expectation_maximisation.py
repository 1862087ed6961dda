"""Probabilistic PCA fitted to data with missing values by expectation-maximisation, with the exact likelihood.

The model is that of `low_rank_gaussian` (Tipping and Bishop 1999; Ilin and Raiko 2010, section 3.2), whose posterior is
the E step. The M step regresses each cell on (z, 1) over the times that observe it; the normal equations of all cells
are the product of the mask with a table of pairs. Afterwards the latents are whitened (parameter-expanded EM: Liu,
Rubin and Wu 1998), which also never lowers the likelihood and takes far fewer iterations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fieldcast.errors import InputError
from fieldcast.models.gaps.in_time import counts, pieces, zero_where_missing
from fieldcast.models.gaps.low_rank_gaussian import LowRank, symmetric
from fieldcast.models.space import evenly
from fieldcast.runtime import Progress

RANKS = (5, 10, 20, 40, 80)  # numbers of modes that are tried
HELD_OUT_SHARE = 0.03  # share of the observed values that are held out to choose the rank
SEARCH_ITERATIONS = 10  # EM iterations for each rank that is tried
# least numbers of values of the part of a large record on which the rank is chosen: observed ones at each time for each
# mode of the largest rank, and all; with half as many observed ones, fewer modes are best than for the whole record
OBSERVED_PER_MODE, MIN_SEARCHED = 20, 2**20
MIN_EIGENVALUE = 1e-6  # smallest eigenvalue of V, as a share of the mean: axes that explain nothing vanish
MIN_NOISE = 1e-4  # smallest s^2, as a share of the mean square: M stays invertible for data without noise
POWER_STEPS = 4  # steps of the subspace iteration that gives the first axes


def fit(
    x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], rank: int, *,
    iterations: int = 100, tolerance: float = 1e-5, start: LowRank | None = None, shrink: bool = False,
) -> tuple[LowRank, list[float]]:  # fmt: skip
    """Fit mean, axes and noise to the observed values; also log p(x_o) before each iteration, per observed value.

    Parameters
    ----------
    x, observed
        Values (anything where missing), and which are observed.
    rank
        Number q of axes.
    iterations, tolerance
        Iterations end after `iterations`, or when the log-likelihood per observed value changes by less than
        `tolerance`.
    start
        Fit to start from, of this or a smaller rank; by default the axes of x with 0 for missing values.
    shrink
        Whether the weights w_c of a cell have the prior N(0, V), with V the mean of E w_c w_c^T over cells, which keeps
        cells with few observations from being fitted to their noise (as the priors of Ilin and Raiko 2010, section 4);
        otherwise EM maximises the likelihood.
    """
    any_value = observed.any(1)
    times, count = int(any_value.sum()), int(observed.count_nonzero())
    if min(times - 1, count) < rank:
        raise InputError(
            f"{count} observed values at {times} times are too few for {rank} modes: ask for fewer, or give more data."
        )
    if times < len(x):
        x, observed = x[any_value], observed[any_value]
    x = zero_where_missing(x, observed)
    model = initial_model(x, observed, rank, start)
    prior = prior_of(model)
    history: list[float] = []
    for _ in Progress(range(iterations), unit="iteration"):
        z, factor, log_prob = model.posterior(x, observed)
        history.append(float(log_prob.sum()) / count)
        if len(history) > 1 and abs(history[-1] - history[-2]) < tolerance:
            break
        model, prior = maximisation_step(model, x, observed, z, factor, prior if shrink else None)
    return model, history


def initial_model(
    x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], rank: int, start: LowRank | None
) -> LowRank:
    """The start of EM: leading axes of the residual of `start`, beside its own, and half of the variance as noise."""
    if start is not None and start.rank == rank:
        return start
    if start is None:
        mean = x.sum(0) / counts(observed)[1].clamp(min=1)
        start = LowRank(mean, x.new_zeros(0, x.shape[1]), torch.tensor(1.0, dtype=torch.float64))
    z = start.posterior(x, observed)[0]
    # in place, because the residual is as large as the record
    residual = start.decoded(z, x).sub_(x).neg_().masked_fill_(~observed, 0.0)
    total = torch.linalg.vector_norm(residual).double().square() / observed.count_nonzero()
    more = rank - start.rank
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(x.shape[1], more, generator=generator, dtype=x.dtype).to(x.device)
    for _ in range(POWER_STEPS):
        basis = torch.linalg.qr(residual.T @ (residual @ basis))[0]
    size = (residual @ basis).square().mean(0).sqrt()
    return LowRank(start.mean, torch.cat([start.weights.to(x), basis.T * size[:, None]]), total / 2)


def maximisation_step(
    model: LowRank, x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"],
    z: Float[Tensor, "time q"], factor: Float[Tensor, "time q q"], prior: Float[Tensor, "q q"] | None,
) -> tuple[LowRank, Float[Tensor, "q q"]]:  # fmt: skip
    """The M step, with the latents whitened, and E w_c w_c^T; `prior` is V. Overwrites `factor`, a large array."""
    q, variance = model.rank, model.variance.double()
    moment = factor
    for times in pieces(len(z), q * q):
        outer = z[times, :, None] * z[times, None]
        moment[times] = outer.add_(torch.cholesky_inverse(factor[times]).mul_(variance))
    ridge = (
        z.new_zeros(q, q)
        if prior is None
        else variance * torch.cholesky_inverse(torch.linalg.cholesky(prior))
    )
    theta, misfit, inverse = regression(x, observed, z, moment, ridge)
    centre = z.mean(0)
    root = torch.linalg.cholesky(moment.mean(0) - centre[:, None] * centre)
    weights, mean = theta[:, :q].T, theta[:, q]
    updated = LowRank(
        (mean + centre @ weights).to(x), (root.T @ weights).to(x), noise_variance(misfit, x, observed)
    )
    v = root.T @ (second_moment(weights) + variance * inverse) @ root
    return updated, v + MIN_EIGENVALUE * v.trace() / q * torch.eye(q).to(v)


def noise_variance(
    misfit: Float[Tensor, " cell"], x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"]
) -> Float[Tensor, ""]:
    """s^2 from the sum of squared errors of each cell; x is 0 where it is not observed."""
    least = MIN_NOISE * torch.linalg.vector_norm(x).double().square()
    return misfit.sum().clamp(min=least) / observed.count_nonzero()


def prior_of(model: LowRank) -> Float[Tensor, "q q"]:
    """V of a model, positive definite."""
    return second_moment(model.weights) + MIN_EIGENVALUE * torch.eye(model.rank).to(model.variance)


def second_moment(weights: Float[Tensor, "q cell"]) -> Float[Tensor, "q q"]:
    """Mean over cells of w_c w_c^T, in double precision."""
    w = weights.double()
    return w @ w.T / w.shape[1]


def regression(
    x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], z: Float[Tensor, "time q"],
    moment: Float[Tensor, "time q q"], ridge: Float[Tensor, "q q"],
) -> tuple[Float[Tensor, "cell q1"], Float[Tensor, " cell"], Float[Tensor, "q q"]]:  # fmt: skip
    """Regress each cell on (z, 1) over the times that observe it, given E z and E z z^T.

    theta_c = argmin sum_t o_tc E (x_tc - theta . (z_t, 1))^2 + w^T ridge w, theta = (w, m); that sum without the ridge;
    and the mean over cells of the inverse of the system for w. Cells never observed have theta 0. x is 0 where it is
    not observed.
    """
    ones = z.new_ones(len(z), 1)
    joint = torch.cat([z, ones], dim=1)
    size = joint.shape[1]
    i, j = torch.triu_indices(size, size, device=z.device)
    last = j == size - 1
    products = joint.new_empty(len(z), len(i))  # upper triangles of the second moments of (z, 1)
    products[:, ~last], products[:, last] = moment[:, i[~last], j[~last]], joint
    padded, inverse = z.new_zeros(size, size), torch.zeros_like(ridge)
    padded[:-1, :-1] = ridge
    theta, misfit = [], []
    # each piece has five copies in double precision
    for cells in pieces(x.shape[1], max(size * size, len(x))):
        values = x[:, cells].double()
        normal = symmetric(observed[:, cells].double().T @ products, size)
        right = values.T @ joint
        count = observed[:, cells].sum(0)
        system = normal + padded + torch.diag_embed((count == 0).double()[:, None].expand(-1, size))
        lower = torch.linalg.cholesky(system)
        solution = torch.cholesky_solve(right[..., None], lower)[..., 0]
        square = values.square().sum(0)
        fitted = (normal @ solution[..., None])[..., 0]
        inverse += torch.cholesky_inverse(lower)[:, :-1, :-1].sum(0)
        theta.append(solution)
        misfit.append(square - 2 * (solution * right).sum(1) + (solution * fitted).sum(1))
    return torch.cat(theta), torch.cat(misfit), inverse / x.shape[1]


def fit_best_rank(
    x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], ranks: Sequence[int]
) -> LowRank:
    """Fit with the rank, among ascending `ranks`, that predicts held-out values best; each starts from the one before.

    3 % of the observed values are held out for the choice. Ranks that the data do not determine are left out.
    """
    return fit_last(x, observed, best_rank(x, observed, ranks))


def best_rank(
    x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], ranks: Sequence[int]
) -> LowRank:
    """The fit with the best rank of `fit_best_rank`, to the values that are not held out for the choice."""
    held_out = observed & (
        torch.rand(observed.shape, generator=torch.Generator().manual_seed(0)) < HELD_OUT_SHARE
    ).to(observed)
    visible = observed & ~held_out
    largest = int(min(visible.any(1).sum() - 1, visible.count_nonzero()))
    widest = max(1, x.shape[1] - 1)  # as many modes as values leave no noise
    tried: list[tuple[float, LowRank]] = []
    for rank in [rank for rank in ranks if rank <= min(largest, widest)] or [min(ranks[0], widest)]:
        start = tried[-1][1] if tried else None
        model, _ = fit(
            x, visible, rank, iterations=SEARCH_ITERATIONS, tolerance=1e-4, start=start, shrink=True
        )
        mean = model.expected(x, visible)
        error = float((mean[held_out] - x[held_out]).double().square().mean()) if held_out.any() else 0.0
        if tried and error > tried[-1][0]:
            break
        tried.append((error, model))
    return tried[-1][1]


def fit_thinned(
    x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], ranks: Sequence[int]
) -> LowRank:
    """Fit a large record with the rank that is best for some of its cells, evenly spread (`fit_best_rank`).

    These cells have `OBSERVED_PER_MODE` observed values for each mode on average, and `MIN_SEARCHED` values in all.
    """
    share = float(observed.count_nonzero()) / observed.numel()
    number = max(OBSERVED_PER_MODE * max(ranks) / share, MIN_SEARCHED / len(x))
    if number >= x.shape[1]:
        return fit_best_rank(x, observed, ranks)
    cells = evenly(x.shape[1], math.ceil(number)).to(x.device)
    values, present = x[:, cells], observed[:, cells]
    model = best_rank(values, present, ranks)
    z, factor, _ = model.posterior(values, present)
    # the weights of all cells, by one M step from the modes of some
    x = zero_where_missing(x, observed)
    model, _ = maximisation_step(model, x, observed, z, factor, prior_of(model))
    del values, present, z, factor  # a large part of the record, and tables of all times
    return fit_last(x, observed, model)


def fit_last(
    x: Float[Tensor, "time cell"],
    observed: Bool[Tensor, "time cell"],
    start: LowRank,
    tolerance: float = 1e-4,
) -> LowRank:
    """The last fit, to all observed values, with the rank of another one, or of one to a similar record."""
    return fit(
        x,
        observed,
        start.rank,
        iterations=2 * SEARCH_ITERATIONS,
        tolerance=tolerance,
        start=start,
        shrink=True,
    )[0]
