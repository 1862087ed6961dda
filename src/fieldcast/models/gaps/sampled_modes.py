"""Modes with red-noise amplitudes, of which every unknown is drawn from its posterior by Gibbs sampling.

    x_tc = m_c + w_c . z_t + e_tc,    e ~ N(0, s^2),    z_t = r z_(t-1) + (1 - r^2)^(1/2) eta_t,    eta ~ N(0, I_q)

A fit takes the modes, the noise and the values beyond a bound as if they were known. In a short record they are not:
few values are above a bound, and those of a gap are extrapolated by weights w that few times determine. Back in the
units of a mapped variable, where the mean depends on the spread, this matters most. Here weights,
means, amplitudes, noise and persistence are drawn in turn, each given all others (Geman and Geman 1984), so that a
filled value is as uncertain as all of them together:

    z_t         at even and then at odd times, given the neighbours in time; independent across segments
    (w_c, m_c)  a regression on (z, 1) with the prior N(0, diag(1/a_1, ..., 1/a_q, 1))
    a_k, 1/s^2  gamma; a_k is large for a mode that the record does not need (relevance: MacKay 1994)
    r           on a grid, uniform from 0 to .99

A value beyond a bound b has the likelihood Phi((b - m_c - w_c . z_t) / s) (Tobin 1958), which elliptical slice sampling
takes into account (Murray, Adams and MacKay 2010). Drawing such values themselves in turn with all others would leave
z and w where they are: each fixes the other to within s.

The work is that of about a thousand steps of EM, which records of a few thousand values allow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldcast.models.gaps.low_rank_gaussian import pairs, symmetric
from fieldcast.models.gaps.record import Filling, Record, empty_members, with_observed
from fieldcast.models.random_streams import RandomStreams, generator_for

MODES = 8  # number of modes, at most
BURN_IN, SWEEPS = 100, 250  # sweeps that are thrown away, and those that are kept
LEAST_NOISE = 1e-3  # s^2 that the prior of the noise suggests, with the weight of two values
SHRINKAGES = 50  # points that are tried in a move, after which it stays
FAR = -8.0  # standard deviations below which the tail of a Gaussian is drawn by its asymptotic form
PERSISTENCE = torch.linspace(0, 0.99, 100, dtype=torch.float64)  # values of r


@dataclass(frozen=True)
class SampledModes:
    """The method for a record; `seed` is that of the draws, of which members are some."""

    seed: int

    def __call__(self, record: Record, streams: RandomStreams | None) -> Filling:
        """Fill a record by the mean and the standard deviation of the draws."""
        r, deviation = record.scaled()
        chain = Chain(r, deviation, generator_for("sampled modes", self.seed))
        # numbers of their own, so that the mean does not depend on the members
        errors = generator_for("errors of sampled modes", self.seed)
        members = empty_members(r.x, streams)
        number = members.shape[1]
        kept = max(SWEEPS, number)
        first, second, noise = torch.zeros_like(chain.x), torch.zeros_like(chain.x), 0.0
        for _ in range(BURN_IN):
            chain.sweep()
        for k in range(kept):
            chain.sweep()
            values = chain.fitted()
            if k < SWEEPS:
                first += values / SWEEPS
                second += values.square() / SWEEPS
                noise += chain.variance / SWEEPS
            for member in range(-(-k * number // kept), -(-(k + 1) * number // kept)):
                e = torch.randn(values.shape, generator=errors, dtype=values.dtype)
                members[:, member] = values.add(e, alpha=chain.variance**0.5).to(members)
        mean, spread = first.to(r.x), (second - first.square()).clamp(min=0).add(noise).sqrt().to(r.x)
        filled = with_observed(record, mean.mul_(deviation), spread.mul_(deviation), members.mul_(deviation))
        return replace(filled, of_all=True)


class Chain:
    """The state of a Gibbs sampler of a record in units of its deviations."""

    def __init__(self, record: Record, deviation: Float[Tensor, " cell"], generator: torch.Generator) -> None:
        self.x, self.observed = record.x.cpu().double(), record.observed.cpu()
        self.generator = generator
        # 1 for a value below its bound and -1 for one above it; the bound times this, infinite for all others
        self.side, self.limit = torch.zeros_like(self.x), torch.full_like(self.x, torch.inf)
        for sign, of_side in zip((1, -1), record.bounds or (), strict=record.bounds is not None):
            bound = sign * of_side.cpu().double() / deviation.cpu()
            beyond = self.observed & (sign * self.x <= bound)
            self.side[beyond], self.limit[beyond] = sign, bound[beyond]
        self.exact = (self.observed & (self.side == 0)).double()
        self.is_censored = bool(self.side.any())
        # whether each time follows the one before in its segment
        follows = torch.zeros(len(self.x), 1, dtype=torch.bool)
        follows[1:, 0] = record.segment.cpu().diff() == 0
        self.follows, self.precedes = follows, follows.roll(-1, 0)
        q = min(MODES, *self.x.shape)
        u, size, _ = torch.linalg.svd(self.x, full_matrices=False)
        times = len(self.x)
        self.z = u[:, :q] * times**0.5
        self.theta = torch.zeros(self.x.shape[1], q + 1, dtype=torch.float64)
        self.relevance = times / (size[:q].square() + 1e-6 * size[0] ** 2 + 1e-12) * self.x.shape[1]
        self.variance, self.persistence = 0.1, 0.5
        self.draw_weights()

    def normal(self, *shape: int) -> Float[Tensor, "..."]:
        """Standard normal numbers."""
        return torch.randn(shape, generator=self.generator, dtype=torch.float64)

    def uniform(self, *shape: int) -> Float[Tensor, "..."]:
        """Uniform numbers from 0 to 1, both excluded."""
        return torch.rand(shape, generator=self.generator, dtype=torch.float64).clamp(min=1e-15)

    def gamma(self, shape: float, rate: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """Gamma numbers of a large shape, by the cube of a Gaussian (Wilson and Hilferty 1931)."""
        third = 1 / (9 * shape)
        root = 1 - third + third**0.5 * self.normal(*rate.shape)
        return shape * root.clamp(min=1e-3) ** 3 / rate

    def fitted(self) -> Float[Tensor, "time cell"]:
        """m_c + w_c . z_t."""
        return self.z @ self.theta[:, :-1].T + self.theta[:, -1]

    def sweep(self) -> None:
        """Draw every unknown once."""
        for parity in (0, 1):
            self.draw_amplitudes(torch.arange(parity, len(self.z), 2))
        self.draw_weights()
        self.draw_hyperparameters()

    def draw_amplitudes(self, at: Int[Tensor, " some"]) -> None:
        """Draw z of times that are no neighbours of each other."""
        r, q, w, mean = self.persistence, self.z.shape[1], self.theta[:, :-1], self.theta[:, -1]
        inner = 1 / (1 - r * r)
        before, after = self.follows[at].double(), self.precedes[at].double()
        own = 1 - before + inner * (before + r * r * after)
        residual = self.exact[at] * (self.x[at] - mean)
        z_before, z_after = self.z.roll(1, 0)[at], self.z.roll(-1, 0)[at]
        pull = residual @ w / self.variance + r * inner * (before * z_before + after * z_after)
        precision = symmetric(self.exact[at] @ pairs(w), q) / self.variance
        precision += own[:, :, None] * torch.eye(q, dtype=torch.float64)
        limit, side = self.limit[at] - self.side[at] * mean, self.side[at]
        self.z[at] = self.drawn(
            self.z[at], precision, pull, lambda z, rows: limit[rows] - side[rows] * (z @ w.T)
        )

    def draw_weights(self) -> None:
        """Draw the weights and means of all cells."""
        joint = torch.cat([self.z, torch.ones_like(self.z[:, :1])], 1)
        precision = symmetric(self.exact.T @ pairs(joint), joint.shape[1]) / self.variance
        precision += torch.diag(torch.cat([self.relevance, torch.ones(1, dtype=torch.float64)]))
        pull = (self.exact * self.x).T @ joint / self.variance
        limit, side = self.limit.T, self.side.T
        self.theta = self.drawn(
            self.theta, precision, pull, lambda w, rows: limit[rows] - side[rows] * (w @ joint.T)
        )

    def drawn(
        self, now: Float[Tensor, "n q"], precision: Float[Tensor, "n q q"], pull: Float[Tensor, "n q"],
        distance: Callable[[Float[Tensor, "some q"], Int[Tensor, " some"]], Float[Tensor, "some other"]],
    ) -> Float[Tensor, "n q"]:  # fmt: skip
        """Draw from N(P^-1 b, P^-1) times the probability of the censored values, Phi(distance / s).

        Points on the ellipse through the current one and a draw from the Gaussian, from an arc that shrinks to the
        current one until a point is accepted (Murray, Adams and MacKay 2010).
        """
        lower = torch.linalg.cholesky(precision)
        mean = torch.cholesky_solve(pull[..., None], lower)[..., 0]
        if not self.is_censored:
            return mean + self.deviate(lower)

        def log_probability(
            point: Float[Tensor, "some q"], rows: Int[Tensor, " some"]
        ) -> Float[Tensor, " some"]:
            return torch.special.log_ndtr(distance(mean[rows] + point, rows) / self.variance**0.5).sum(1)

        here, other, left = now - mean, self.deviate(lower), torch.arange(len(now))
        level = log_probability(here, left) + self.uniform(len(now)).log()
        angle = 2 * torch.pi * self.uniform(len(now))
        least, largest, moved = angle - 2 * torch.pi, angle, here.clone()
        for _ in range(SHRINKAGES):
            point = here[left] * angle.cos()[:, None] + other[left] * angle.sin()[:, None]
            refused = log_probability(point, left) <= level[left]
            moved[left[~refused]] = point[~refused]
            left, angle, least, largest = (part[refused] for part in (left, angle, least, largest))
            if not len(left):
                break
            least, largest = torch.where(angle < 0, angle, least), torch.where(angle < 0, largest, angle)
            angle = least + (largest - least) * self.uniform(len(left))
        return mean + moved

    def deviate(self, lower: Float[Tensor, "n q q"]) -> Float[Tensor, "n q"]:
        """Draw from N(0, P^-1), P = L L^T."""
        return torch.linalg.solve_triangular(lower.mT, self.normal(*lower.shape[:2], 1), upper=True)[..., 0]

    def errors(self) -> Float[Tensor, "time cell"]:
        """Errors e of the observed values, those of censored ones drawn, 0 elsewhere."""
        fitted, deviation = self.fitted(), self.variance**0.5
        of_exact = self.exact * (self.x - fitted)
        if not self.is_censored:
            return of_exact
        limit = (self.limit - self.side * fitted) / deviation
        below = self.side * deviation * self.below_limit(limit.clamp(max=30))
        return torch.where(self.side != 0, below, of_exact)

    def below_limit(self, limit: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """Standard normal numbers below a limit."""
        u = self.uniform(*limit.shape)
        near = torch.special.ndtri((u * torch.special.ndtr(limit)).clamp(min=1e-300, max=1 - 1e-15))
        return torch.where(limit < FAR, -(limit.square() - 2 * u.log()).sqrt(), near)

    def draw_hyperparameters(self) -> None:
        """Draw relevances, noise and persistence."""
        w = self.theta[:, :-1]
        self.relevance = self.gamma(1 + len(w) / 2, 1 + w.square().sum(0) / 2)
        square = self.errors().square().sum()
        precision = self.gamma(1 + float(self.observed.sum()) / 2, LEAST_NOISE + square / 2)
        self.variance = float(1 / precision)
        now, then = (part[self.follows[1:, 0]] for part in (self.z[1:], self.z[:-1]))
        r = PERSISTENCE
        misfit = now.square().sum() - 2 * r * (now * then).sum() + r * r * then.square().sum()
        log_density = -misfit / (2 * (1 - r * r)) - now.numel() / 2 * (1 - r * r).log()
        index = torch.multinomial(log_density.softmax(0), 1, generator=self.generator)
        self.persistence = float(r[index])
