"""Probabilistic PCA fitted to data with missing values by expectation-maximisation, with the exact likelihood.

    x_t = m + W^T z_t + e,    z_t ~ N(0, I_q),    e ~ N(0, s^2 I),    of which the cells o_t are observed

(Tipping and Bishop 1999; Ilin and Raiko 2010, section 3.2). With W_o the observed columns of W (q, C) and
r = x_o - m_o,

    M_t = W_o W_o^T + s^2 I,    E z_t = M_t^-1 W_o r,    cov z_t = s^2 M_t^-1,
    -2 log p(x_o) = n log 2 pi + (n - q) log s^2 + log |M_t| + (|r|^2 - (W_o r)^T E z_t) / s^2.

The M step regresses each cell on (z, 1) over the times that observe it. Both sums over masks, W_o W_o^T for all times
and the normal equations of all cells, are products of the mask with a table of pairs: times differ in their masks, and
nothing loops over them. Afterwards the latents are whitened (parameter-expanded EM: Liu, Rubin and Wu 1998), which also
never lowers the likelihood and takes far fewer iterations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fieldcast.errors import InputError
from fieldcast.models.random_streams import RandomStreams

PAIRS = 2**24  # entries of a table of pairs that are in memory at once
SYSTEMS = (
    2**20
)  # entries of the systems of cells that are solved at once, in double precision and five copies
RANKS = (5, 10, 20, 40, 80)  # among which models choose
HIDDEN = 0.03  # share of the observed values that are hidden to choose the rank
SEARCH = 10  # iterations for each rank
LEAST = 1e-6  # least eigenvalue of V, as a share of the mean: axes that explain nothing vanish
LEAST_NOISE = 1e-4  # least s^2, as a share of the mean square: M stays invertible for data without noise
POWER_STEPS = 4  # of the subspace iteration that starts EM


@dataclass(frozen=True, eq=False)
class LowRank:
    """A Gaussian of rank q plus noise: N(m, W^T W + s^2 I)."""

    mean: Float[Tensor, " cell"]
    weights: Float[Tensor, "q cell"]
    variance: Float[Tensor, ""]  # s^2

    @property
    def rank(self) -> int:
        """q."""
        return len(self.weights)

    def axes(self, area: Float[Tensor, " cell"]) -> Float[Tensor, "axis cell"]:
        """F^T with F F^T = W^T W + m m^T, the second moment about 0: rows orthogonal under `area`, largest first."""
        rows = torch.cat([self.weights, self.mean[None]]).double()
        _, order = torch.linalg.eigh((rows * area.double()) @ rows.T)
        return (order.flip(1).T @ rows).to(self.weights)

    def posterior(
        self, x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"]
    ) -> tuple[Float[Tensor, "time q"], Float[Tensor, "time q q"], Float[Tensor, " time"]]:
        """E z, the Cholesky factor of M, and log p(x_o) of each time, in double precision."""
        o = observed.to(x)
        r = torch.where(observed, x - self.mean.to(x), 0.0)
        w, variance = self.weights.to(x), self.variance.double()
        systems = x.new_zeros(len(x), self.rank * (self.rank + 1) // 2, dtype=torch.float64)
        for cells in pieces(w.shape[1], systems.shape[1]):
            systems += (o[:, cells] @ pairs(w[:, cells].T)).double()
        m = symmetric(systems, self.rank)
        m.diagonal(dim1=1, dim2=2).add_(variance)
        factor, b = torch.linalg.cholesky(m), (r @ w.T).double()
        z = torch.cholesky_solve(b[..., None], factor)[..., 0]
        n, square = observed.sum(1).double(), (r * r).sum(1).double()
        log_det = 2 * factor.diagonal(dim1=1, dim2=2).log().sum(1) + (n - self.rank) * variance.log()
        log_prob = -(n * math.log(2 * math.pi) + log_det + (square - (b * z).sum(1)) / variance) / 2
        return z, factor, log_prob

    def expected(
        self, x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"]
    ) -> Float[Tensor, "time cell"]:
        """Mean of every value given the observed ones, which keep theirs."""
        z = self.posterior(x, observed)[0]
        return torch.where(observed, x, (self.mean.double() + z @ self.weights.double()).to(x))

    def spread(
        self, x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"]
    ) -> Float[Tensor, "time cell"]:
        """Standard deviation of every value given the observed ones, which have 0."""
        spread, w = torch.empty_like(x), self.weights.double()
        for t, lower in enumerate(self.posterior(x, observed)[1]):
            rooted = torch.linalg.solve_triangular(lower, w, upper=False)
            spread[t] = (self.variance.double() * (1 + rooted.square().sum(0))).sqrt().to(x)
        return spread.masked_fill(observed, 0.0)

    def draw(
        self, x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], draws: RandomStreams
    ) -> Float[Tensor, "time members cell"]:
        """Draw every value given the observed ones; the data of `draws` are the times."""
        z, factor, _ = self.posterior(x, observed)
        noise = self.variance.double().sqrt()
        eps = torch.linalg.solve_triangular(
            factor.mT, noise * draws.normal(self.rank).double().mT, upper=True
        )
        values = (z[:, None] + eps.mT).to(x) @ self.weights.to(x) + self.mean.to(x)
        values = values + noise.to(x) * draws.normal(x.shape[1]).to(x)
        return torch.where(observed[:, None], x[:, None], values)


def pairs(z: Float[Tensor, "row q"]) -> Float[Tensor, "row pair"]:
    """Products z_i z_j of each row, i <= j."""
    i, j = torch.triu_indices(z.shape[1], z.shape[1], device=z.device)
    return z[:, i] * z[:, j]


def symmetric(table: Float[Tensor, "row pair"], size: int) -> Float[Tensor, "row q q"]:
    """Symmetric matrices from their upper triangles, in the order of `pairs`."""
    i, j = torch.triu_indices(size, size, device=table.device)
    out = table.new_empty(len(table), size, size)
    out[:, i, j], out[:, j, i] = table, table
    return out


def pieces(cells: int, width: int, entries: int = PAIRS) -> list[slice]:
    """Slices of the cells, whose tables of `width` values for each have a bounded number of entries."""
    step = max(1, entries // max(width, 1))
    return [slice(start, start + step) for start in range(0, cells, step)]


def fit(
    x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], rank: int, *,
    iterations: int = 100, tolerance: float = 1e-5, start: LowRank | None = None, shrink: bool = False,
) -> tuple[LowRank, list[float]]:  # fmt: skip
    """Fit mean, axes and noise to the observed values; also log p(x_o) before each iteration, per observed value.

    Parameters
    ----------
    x, observed
        Values (anything where missing), and which are observed. Sums over them are computed in the precision of x.
    rank
        Number q of axes.
    iterations, tolerance
        Iterations end after so many, or when the log-likelihood per observed value changes by less than the tolerance.
    start
        Fit to start from, of this or a smaller rank; by default the axes of x with 0 for missing values.
    shrink
        Whether the weights w_c of a cell have the prior N(0, V), with V the mean of E w_c w_c^T over cells, which keeps
        cells with few observations from being fitted to their noise (as the priors of Ilin and Raiko 2010, section 4);
        otherwise EM maximises the likelihood.

    Raises
    ------
    InputError
        If there are fewer observed values, or times with any, than axes.
    """
    any_value = observed.any(1)
    times, count = int(any_value.sum()), int(observed.sum())
    if min(times - 1, count) < rank:
        raise InputError(
            f"{count} observed values at {times} times are too few for {rank} modes: ask for fewer, or give more data."
        )
    x, observed = x[any_value], observed[any_value]
    x = torch.where(observed, x, 0.0)
    model = initial(x, observed, rank, start)
    prior = second_moment(model.weights) + LEAST * torch.eye(rank).to(model.variance)
    history: list[float] = []
    for _ in range(iterations):
        z, factor, log_prob = model.posterior(x, observed)
        history.append(float(log_prob.sum()) / count)
        if len(history) > 1 and abs(history[-1] - history[-2]) < tolerance:
            break
        model, prior = maximised(model, x, observed, z, factor, prior if shrink else None)
    return model, history


def initial(
    x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], rank: int, start: LowRank | None
) -> LowRank:
    """The start of EM: leading axes of the residual of `start`, beside its own, and half of the variance as noise."""
    count = observed.sum(0).clamp(min=1)
    if start is None:
        mean = x.sum(0) / count
        start = LowRank(mean, x.new_zeros(0, x.shape[1]), torch.tensor(1.0, dtype=torch.float64))
    z = start.posterior(x, observed)[0].to(x)
    residual = torch.where(observed, x - start.mean.to(x) - z @ start.weights.to(x), 0.0)
    total = residual.square().sum().double() / observed.sum()
    more = rank - start.rank
    if more == 0:
        return start
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(x.shape[1], more, generator=generator, dtype=x.dtype).to(x.device)
    for _ in range(POWER_STEPS):
        basis = torch.linalg.qr(residual.T @ (residual @ basis))[0]
    size = (residual @ basis).square().mean(0).sqrt()
    return LowRank(start.mean, torch.cat([start.weights.to(x), basis.T * size[:, None]]), total / 2)


def maximised(
    model: LowRank, x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"],
    z: Float[Tensor, "time q"], factor: Float[Tensor, "time q q"], prior: Float[Tensor, "q q"] | None,
) -> tuple[LowRank, Float[Tensor, "q q"]]:  # fmt: skip
    """The M step, with the latents whitened, and E w_c w_c^T; `prior` is V."""
    q, variance = model.rank, model.variance.double()
    moment = variance * torch.cholesky_inverse(factor) + z[:, :, None] * z[:, None]
    ridge = (
        z.new_zeros(q, q)
        if prior is None
        else variance * torch.cholesky_inverse(torch.linalg.cholesky(prior))
    )
    theta, misfit, inverse = regression(x, observed, z, moment, ridge)
    centre = z.mean(0)
    root = torch.linalg.cholesky(moment.mean(0) - centre[:, None] * centre)
    weights, mean = theta[:, :q].T, theta[:, q]
    fitted = LowRank(
        (mean + centre @ weights).to(x), (root.T @ weights).to(x), noise_variance(misfit, x, observed)
    )
    v = root.T @ (second_moment(weights) + variance * inverse) @ root
    return fitted, v + LEAST * v.trace() / q * torch.eye(q).to(v)


def noise_variance(
    misfit: Float[Tensor, " cell"], x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"]
) -> Float[Tensor, ""]:
    """s^2 from the sum of squared errors of each cell; x is 0 where it is not observed."""
    least = LEAST_NOISE * x.square().sum().double()
    return misfit.sum().clamp(min=least) / observed.sum()


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
    table = joint.new_empty(len(z), size, size)
    table[:, :-1, :-1], table[:, -1], table[:, :, -1] = moment, joint, joint
    i, j = torch.triu_indices(size, size, device=z.device)
    products, o = table[:, i, j].to(x), observed.to(x)
    padded, inverse = torch.zeros_like(table[0]), torch.zeros_like(ridge)
    padded[:-1, :-1] = ridge
    theta, misfit = [], []
    for cells in pieces(x.shape[1], size * size, SYSTEMS):
        normal = symmetric((o[:, cells].T @ products).double(), size)
        right = (x[:, cells].T @ joint.to(x)).double()
        count = observed[:, cells].sum(0)
        system = normal + padded + torch.diag_embed((count == 0).double()[:, None].expand(-1, size))
        lower = torch.linalg.cholesky(system)
        solution = torch.cholesky_solve(right[..., None], lower)[..., 0]
        square = x[:, cells].square().sum(0).double()
        fitted = (normal @ solution[..., None])[..., 0]
        inverse += torch.cholesky_inverse(lower)[:, :-1, :-1].sum(0)
        theta.append(solution)
        misfit.append(square - 2 * (solution * right).sum(1) + (solution * fitted).sum(1))
    return torch.cat(theta), torch.cat(misfit), inverse / x.shape[1]


def fitted_rank(
    x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], ranks: Sequence[int]
) -> LowRank:
    """Fit with the rank, among ascending `ranks`, that predicts hidden values best; each starts from the one before.

    3 % of the observed values are hidden for the choice. Ranks that the data do not determine are left out.

    Raises
    ------
    InputError
        If the data do not determine the smallest rank.
    """
    hidden = observed & (torch.rand(observed.shape, generator=torch.Generator().manual_seed(0)) < HIDDEN).to(
        observed
    )
    kept = observed & ~hidden
    largest = int(min(kept.any(1).sum() - 1, kept.sum()))
    tried: list[tuple[float, LowRank]] = []
    for rank in [rank for rank in ranks if rank <= largest] or ranks[:1]:
        start = tried[-1][1] if tried else None
        model, _ = fit(x, kept, rank, iterations=SEARCH, tolerance=1e-4, start=start, shrink=True)
        mean = model.expected(x, kept)
        error = float((mean - x)[hidden].double().square().mean()) if hidden.any() else 0.0
        if tried and error > tried[-1][0]:
            break
        tried.append((error, model))
    best = tried[-1][1]
    return fit(x, observed, best.rank, iterations=2 * SEARCH, tolerance=1e-4, start=best, shrink=True)[0]
