"""Censored values of a record: those at a bound stand for Gaussian values beyond it (Tobin 1958).

A dry place says no more than that the Gaussian value is below its bound. A filler that took the bound, or any one
number, for the value would flatten the fields near it. Instead each such value is replaced by its expectation in a
low-rank Gaussian (`low_rank_gaussian`), given the other values of its time,

    x_c = f_c + s E(e | f_c + s e beyond the bound b_c) = f_c -+ s phi(a_c) / Phi(a_c),
    f = m + W^T z,    a_c = +-(b_c - f_c) / s,    the upper signs for values below a bound,

at the mode of log p(z | observed values), which is concave: Newton's method finds it. The Gaussian and the values are
fitted in turn, an approximate expectation-maximisation (Meng and Rubin 1993). It starts from the record as it is.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fieldcast.models.gaps.expectation_maximisation import (
    MIN_EIGENVALUE,
    fit_best_rank,
    maximisation_step,
    second_moment,
)
from fieldcast.models.gaps.in_time import pieces
from fieldcast.models.gaps.low_rank_gaussian import LowRank, pairs, symmetric
from fieldcast.models.gaps.record import Bounds, Parameters, Record

RANKS = (5, 10, 20)  # numbers of modes that are tried
ROUNDS = 15  # rounds of EM: more let values that few others determine run away
NEWTON_STEPS = 3  # steps of a round; each starts from the mode of the one before
LATENT = "latent."  # beginning of the names of stored parameters
LONGEST_STEP = 3.0  # length of a step, in standard deviations of z, above which it is shortened


class Censored(NamedTuple):
    """Values of some times: observed ones, and the side of the bound on which censored ones lie."""

    x: Float[Tensor, "time cell"]  # at its bound where censored
    exact: Bool[Tensor, "time cell"]
    side: Float[Tensor, "time cell"]  # 1 below a bound, -1 above one, 0 if not censored or not observed

    def of_cells(self, cells: slice) -> Censored:
        """The values of some cells, in double precision."""
        return Censored(self.x[:, cells].double(), self.exact[:, cells], self.side[:, cells].double())


def with_latent_values(record: Record, fitted: Parameters | None = None) -> Record:
    """The record with Gaussian values in place of the observed ones at a bound; itself if there is none.

    The Gaussian in `fitted` is used as it is, and a new one is added.
    """
    if record.bounds is None:
        return record
    low, high = record.bounds
    below, above = (record.observed & beyond for beyond in (record.x <= low, record.x >= high))
    if not (below | above).any():
        return record
    fitted = {} if fitted is None else fitted
    deviation = fitted.setdefault(f"{LATENT}deviation", record.scaled()[1])
    scaled = replace(record, x=(record.x / deviation).masked_fill(~record.observed, 0.0))
    at_bound = torch.where(below, low, torch.where(above, high, record.x)) / deviation
    exact = record.observed & ~below & ~above
    values = Censored(at_bound, exact, below.to(record.x) - above.to(record.x))
    return replace(
        record, x=torch.where(below | above, latent_values(scaled, values, fitted) * deviation, record.x)
    )


def latent_values(record: Record, values: Censored, fitted: Parameters) -> Float[Tensor, "time cell"]:
    """Expectations of the censored values, and the exact ones; those of the record are the first guess."""
    x, observed = record.x, record.observed
    parameters = {name.removeprefix(LATENT): part for name, part in fitted.items() if name.startswith(LATENT)}
    if (model := LowRank.stored(parameters)) is not None:
        z = model.posterior(x, observed)[0]
        for _ in range(ROUNDS):
            z = mode(model, values, z)[0]
        return expectations(model, values, z)
    model = fit_best_rank(x, observed, RANKS)
    prior = second_moment(model.weights) + MIN_EIGENVALUE * torch.eye(model.rank).to(model.variance)
    z = model.posterior(x, observed)[0]
    for turn in range(ROUNDS):
        z, precision = mode(model, values, z)
        x = expectations(model, values, z)
        if turn < ROUNDS - 1:
            factor = torch.linalg.cholesky(model.variance.double() * precision)
            model, prior = maximisation_step(model, x, observed, z, factor, prior)
            z = model.posterior(x, observed)[0]
    fitted |= {f"{LATENT}{name}": part for name, part in model.parameters().items()}
    return x


def mode(
    model: LowRank, values: Censored, z: Float[Tensor, "time q"]
) -> tuple[Float[Tensor, "time q"], Float[Tensor, "time q q"]]:
    """Mode of p(z | observed values), and the negative second derivative of its logarithm, by Newton's method."""
    q, variance = model.rank, model.variance.double()
    precision = torch.eye(q).to(variance).expand(len(z), q, q)
    for _ in range(NEWTON_STEPS):
        table, pull = z.new_zeros(len(z), q * (q + 1) // 2), -z * variance
        for cells in pieces(model.weights.shape[1], max(table.shape[1], 4 * len(z))):
            here, w = values.of_cells(cells), model.weights[:, cells].double()
            f = model.mean[cells].double() + z @ w
            ratio, a = truncation(f, here, variance)
            residual = torch.where(here.exact, here.x - f, -here.side * variance.sqrt() * ratio)
            pull += residual @ w.T
            table += torch.where(here.exact, 1.0, ratio * (ratio + a)) @ pairs(w.T)
        precision = torch.eye(q).to(z) + symmetric(table, q) / variance
        lower = torch.linalg.cholesky(precision)
        step = torch.cholesky_solve((pull / variance)[..., None], lower)[..., 0]
        z = z + step / (step.norm(dim=1, keepdim=True) / LONGEST_STEP).clamp(min=1)
    return z, precision


def expectations(model: LowRank, values: Censored, z: Float[Tensor, "time q"]) -> Float[Tensor, "time cell"]:
    """The exact values, and the expectations of the censored ones given z; 0 where nothing is observed."""
    x, variance = torch.zeros_like(values.x), model.variance.double()
    for cells in pieces(x.shape[1], 4 * len(x)):
        here = values.of_cells(cells)
        f = model.mean[cells].double() + z @ model.weights[:, cells].double()
        censored = f - here.side * variance.sqrt() * truncation(f, here, variance)[0]
        x[:, cells] = torch.where(here.exact, here.x, censored * here.side.abs()).to(x)
    return x


def truncation(
    f: Float[Tensor, "time cell"], values: Censored, variance: Float[Tensor, ""]
) -> tuple[Float[Tensor, "time cell"], Float[Tensor, "time cell"]]:
    """phi(a) / Phi(a) and a, both 0 where no value is censored."""
    a = values.side * (values.x - f) / variance.sqrt()
    return inverse_mills_ratio(a) * values.side.abs(), a


def inverse_mills_ratio(a: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """phi(a) / Phi(a): the mean of a Gaussian above -a, which does not overflow."""
    return torch.exp(-a.square() / 2 - torch.special.log_ndtr(a)) / math.sqrt(2 * math.pi)


def expected_squares(
    error: Float[Tensor, " n"], beyond: Bounds, variance: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """E e^2 of the errors of latent values, whose truth is beyond a bound, and e^2 of others.

    A truth y <= b says that the error is at least k = mean - b: E (e^2 | e >= k) = v (1 + r h(r)) for a Gaussian of
    variance v, r = k / v^(1/2), h = phi / (1 - Phi).

    Parameters
    ----------
    error
        Mean minus the value that stands for the truth.
    beyond
        The bounds minus that value.
    variance
        v.
    """
    deviation, square = variance.sqrt(), error.square()
    for k, censored in ((error - beyond.low, beyond.low >= 0), (beyond.high - error, beyond.high <= 0)):
        r = torch.where(censored, k, 0.0) / deviation
        square = torch.where(censored, variance * (1 + r * inverse_mills_ratio(-r)), square)
    return square


def censored_crps(
    error: Float[Tensor, " n"], beyond: Bounds, spread: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """CRPS of a Gaussian whose values beyond the bounds are at them, for a truth that is cut there, too.

    s (G(z) - G(z_low) + G(-z) - G(-z_high)), z the standardised truth or bound, with G the integral of Phi^2,
    G(z) = z Phi(z)^2 + 2 phi(z) Phi(z) - Phi(2^(1/2) z) / pi^(1/2) (Jordan et al. 2019, appendix A).

    Parameters
    ----------
    error
        Mean minus truth.
    beyond
        The bounds minus the truth.
    spread
        Standard deviation of the Gaussian.
    """
    truth = torch.minimum(beyond.low.clamp(min=0), beyond.high).where(
        beyond.high > 0, beyond.high
    )  # 0 unless it is beyond
    z, low, high = ((value - error) / spread for value in (truth, beyond.low, beyond.high))
    return spread * (integral(z) - integral(low) + integral(-z) - integral(-high))


def integral(z: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The integral of Phi^2 from minus infinity to z, which may be infinite itself."""
    finite = z.clamp(-30, 30)
    phi, below = torch.exp(-finite.square() / 2) / math.sqrt(2 * math.pi), torch.special.ndtr(finite)
    value = (
        finite * below.square()
        + 2 * phi * below
        - torch.special.ndtr(math.sqrt(2) * finite) / math.sqrt(math.pi)
    )
    return value + (z - finite).clamp(min=0)
