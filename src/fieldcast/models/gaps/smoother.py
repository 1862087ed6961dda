"""A linear dynamical system of modes, fitted to records with missing values by EM (Shumway and Stoffer 1982).

    z_1 ~ N(0, P),    z_t = A z_{t-1} + eta_t,    eta_t ~ N(0, Q),    x_t = m + W^T z_t + e_t,    e_t ~ N(0, s^2 I)

P is the covariance at the start of each segment. The Kalman filter runs in the q dimensions of z: with
M_t = W_o W_o^T / s^2 and b_t = W_o (x_o - m_o) / s^2, from a prediction N(z', P'),

    P_t = (P'^-1 + M_t)^-1 = P' (I + M_t P')^-1,    z_t = z' + P_t (b_t - M_t z'),
    -2 log p(x_o | before) = n log 2 pi s^2 + log |I + M_t P'| + |r|^2 / s^2 - (b_t - M_t z')^T P_t (b_t - M_t z'),

r = x_o - m_o - W_o^T z'. The Rauch-Tung-Striebel smoother runs back. The cost is linear in the number of times.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.models.gaps.expectation_maximisation import noise_variance, regression
from fieldcast.models.gaps.in_time import zero_where_missing
from fieldcast.models.gaps.low_rank_gaussian import LowRank, Moments
from fieldcast.models.gaps.record import one_thread
from fieldcast.models.random_streams import RandomStreams
from fieldcast.runtime import Progress

MIN_ITERATIONS = 3  # least number of M steps, after which hardly anything is left of where the fit began


@dataclass(frozen=True, eq=False)
class SmoothedMoments:
    """Moments of z given all observations, and the exact log-likelihood."""

    mean: Float[Tensor, "time q"]
    covariance: Float[Tensor, "time q q"]
    lagged: Float[Tensor, "time q q"]  # cov(z_t, z_{t-1}); 0 at the first time of a segment
    log_likelihood: float


@dataclass(frozen=True, eq=False)
class Dynamics:
    """Observation model (m, W, s^2) and propagation (A, Q, P)."""

    low_rank: LowRank
    propagator: Float[Tensor, "q q"]  # A
    forcing: Float[Tensor, "q q"]  # Q
    start: Float[Tensor, "q q"]  # P

    def smooth(
        self,
        x: Float[Tensor, "time cell"],
        observed: Bool[Tensor, "time cell"],
        segment: Int[Tensor, " time"],
    ) -> SmoothedMoments:
        """Filter forwards and smooth backwards; segments are independent of each other."""
        return self._smooth(self.low_rank.moments(x, observed), segment)

    def _smooth(self, sums: Moments, segment: Int[Tensor, " time"]) -> SmoothedMoments:
        s2 = self.low_rank.variance.double()
        m, b, square, count = sums.outer.div_(s2), sums.projected / s2, sums.square, sums.count
        starts = segment_begins(segment)
        predicted_cov, cov, log_det = self.filtered_covariances(m, starts)
        # z_t = P_t b_t + z' - P_t M_t z'
        mean, predicted = (cov @ b[..., None])[..., 0], torch.zeros_like(b)
        with one_thread():
            for t in range(1, len(b)):
                if not starts[t]:
                    torch.mv(self.propagator, mean[t - 1], out=predicted[t])
                    mean[t].add_(predicted[t]).addmv_(cov[t], m[t] @ predicted[t], alpha=-1)
        innovation = b - (m @ predicted[..., None])[..., 0]
        # |r|^2 about the prediction, from the moments about m
        about = (
            square / s2
            - 2 * (b * predicted).sum(1)
            + torch.einsum("ti, tij, tj -> t", predicted, m, predicted)
            - torch.einsum("ti, tij, tj -> t", innovation, cov, innovation)
        )
        likelihood = -(count * (2 * math.pi * s2).log() + log_det + about).sum() / 2
        del m, sums  # as large as the covariances
        lagged = predicted_cov  # in place of those that are needed no more
        with one_thread():
            for t in range(len(b) - 1, 0, -1):
                if starts[t]:
                    lagged[t] = 0.0
                    continue
                gain = self.smoother_gain(predicted_cov[t], cov[t - 1])
                mean[t - 1].addmv_(gain, mean[t] - predicted[t])
                cov[t - 1].addmm_(gain @ (cov[t] - predicted_cov[t]), gain.T)
                torch.mm(cov[t], gain.T, out=lagged[t])
        lagged[0] = 0.0
        if not mean.isfinite().all():
            raise torch.linalg.LinAlgError("the covariance of a forecast of the modes is singular")
        return SmoothedMoments(mean, cov, lagged, float(likelihood))

    def expected(
        self, mean: Float[Tensor, "time q"], covariance: Float[Tensor, "time q q"]
    ) -> tuple[Float[Tensor, "time cell"], Float[Tensor, "time cell"]]:
        """Mean and standard deviation of every value, of those of z."""
        model = self.low_rank
        w, variance = model.weights.double(), model.mean.new_empty(len(mean), len(model.mean))
        for t, of_z in enumerate(covariance):
            variance[t] = (model.variance.double() + ((of_z @ w) * w).sum(0)).to(variance)
        return model.decoded(mean, variance), variance.sqrt_()

    def draw(
        self, x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], segment: Int[Tensor, " time"],
        streams: RandomStreams,
    ) -> Float[Tensor, "time members cell"]:  # fmt: skip
        """Draw the whole record given its observed values: joint draws in time; the data of `streams` are the times.

        Each member is a free run (z*, x*) of the system plus the smoothed mean of x - x* (Durbin and Koopman 2002).
        Covariances and gains do not depend on the values, so that one pass serves all members.
        """
        model = self.low_rank
        eta, noise = streams.normal(model.rank).double(), streams.fork(0)
        roots = torch.linalg.cholesky(self.start), root_of(self.forcing)
        w, mean, s2 = model.weights.double(), model.mean.double(), model.variance.double()
        z, starts = torch.empty_like(eta), segment_begins(segment)
        for t in range(len(x)):
            z[t] = eta[t] @ roots[0].T if starts[t] else z[t - 1] @ self.propagator.T + eta[t] @ roots[1].T

        def free_run(k: int) -> Float[Tensor, "time cell"]:  # one member in memory
            e = noise.of_members(slice(k, k + 1)).normal(x.shape[1])[:, 0].double()
            return (z[:, k] @ w).add_(mean).add_(e.mul_(s2.sqrt()))

        b = torch.empty_like(eta)
        for k in range(streams.members):
            b[:, k] = torch.where(observed, x.double() - free_run(k), 0.0) @ w.T / s2
        z_hat = self.smoothed_means(model.moments(x, observed).outer / s2, b, starts)
        members = x.new_empty(len(x), streams.members, x.shape[1])
        for k in range(streams.members):
            members[:, k] = torch.where(observed, x, free_run(k).add_(z_hat[:, k] @ w).to(x))
        return members

    @one_thread()
    def smoothed_means(
        self, m: Float[Tensor, "time q q"], b: Float[Tensor, "time members q"], starts: list[bool]
    ) -> Float[Tensor, "time members q"]:
        """Means of z given the projections b of several records that are observed alike."""
        predicted_cov, cov, _ = self.filtered_covariances(m, starts)
        predicted, mean = torch.zeros_like(b), torch.empty_like(b)
        for t in range(len(b)):
            if not starts[t]:
                predicted[t] = mean[t - 1] @ self.propagator.T
            mean[t] = predicted[t] + (b[t] - predicted[t] @ m[t].T) @ cov[t].T
        for t in range(len(b) - 2, -1, -1):
            if not starts[t + 1]:
                gain = self.smoother_gain(predicted_cov[t + 1], cov[t])
                mean[t] += (mean[t + 1] - predicted[t + 1]) @ gain.T
        return mean

    @one_thread()
    def filtered_covariances(
        self, m: Float[Tensor, "time q q"], starts: list[bool]
    ) -> tuple[Float[Tensor, "time q q"], Float[Tensor, "time q q"], Float[Tensor, " time"]]:
        """P', P_t and log |I + M_t P'| of the Kalman filter, which do not depend on the observed values."""
        identity = torch.eye(m.shape[-1], dtype=m.dtype, device=m.device)
        predicted_cov, cov, diagonal = torch.empty_like(m), torch.empty_like(m), torch.empty_like(m[..., 0])
        for t in range(len(m)):
            predicted = (
                self.start
                if starts[t]
                else torch.addmm(self.forcing, self.propagator @ cov[t - 1], self.propagator.T)
            )
            predicted_cov[t] = predicted
            # (I + P' M)^-1 P', which is P' (I + M P')^-1
            factors, pivots, _ = torch.linalg.lu_factor_ex(torch.addmm(identity, predicted, m[t]))
            updated = torch.linalg.lu_solve(factors, pivots, predicted)
            torch.add(updated, updated.T, out=cov[t])
            cov[t] /= 2
            diagonal[t] = factors.diagonal()
        return predicted_cov, cov, diagonal.abs().log().sum(1)

    def smoother_gain(
        self, predicted_cov: Float[Tensor, "q q"], cov: Float[Tensor, "q q"]
    ) -> Float[Tensor, "q q"]:
        """Gain of the Rauch-Tung-Striebel smoother from a time, with P', to the one before, P_t A^T P'^-1."""
        return torch.linalg.solve_ex(predicted_cov, self.propagator @ cov)[0].mT


def segment_begins(segment: Int[Tensor, " time"]) -> list[bool]:
    """Whether each time is the first of its segment."""
    return torch.cat([segment.new_ones(1, dtype=torch.bool), segment.diff() != 0]).tolist()


def root_of(covariance: Float[Tensor, "q q"]) -> Float[Tensor, "q q"]:
    """A square root of a covariance that may be singular."""
    variance, axes = torch.linalg.eigh(covariance)
    return axes * variance.clamp(min=0).sqrt()


def fit(
    x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], segment: Int[Tensor, " time"],
    start: LowRank | Dynamics, iterations: int = 15, tolerance: float = 1e-4,
) -> tuple[Dynamics, list[float]]:  # fmt: skip
    """Fit the system by EM; also the log-likelihood before each iteration, per observed value.

    Parameters
    ----------
    x, observed, segment
        Record in order of time: values (anything where missing), which are observed, number of the unbroken stretch.
    start
        Observation model to start from, fitted without dynamics, or a system.
    iterations, tolerance
        Largest number of iterations, and rise of the log-likelihood per observed value below which they end.
    """
    x = zero_where_missing(x, observed)
    if isinstance(start, LowRank):
        identity = torch.eye(start.rank, dtype=torch.float64, device=x.device)
        start = Dynamics(start, 0.5 * identity, 0.75 * identity, identity)
    system = start
    history: list[float] = []
    for _ in Progress(range(iterations), unit="iteration"):
        smoothed = system.smooth(x, observed, segment)
        history.append(smoothed.log_likelihood / int(observed.count_nonzero()))
        if len(history) > MIN_ITERATIONS and history[-1] - history[-2] < tolerance:
            break
        system = maximisation_step(x, observed, segment, smoothed)
    return system, history


def maximisation_step(
    x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], segment: Int[Tensor, " time"],
    smoothed: SmoothedMoments,
) -> Dynamics:  # fmt: skip
    """The M step."""
    z = smoothed.mean
    moment = torch.baddbmm(smoothed.covariance, z[:, :, None], z[:, None])
    theta, misfit, _ = regression(x, observed, z, moment, torch.zeros_like(moment[0]))
    low_rank = LowRank(theta[:, -1].to(x), theta[:, :-1].T.to(x), noise_variance(misfit, x, observed))
    follows = segment.diff() == 0
    begins = torch.cat([torch.ones_like(follows[:1]), ~follows])
    start = moment[begins].mean(0)
    if not follows.any():  # every time is a segment of its own: nothing follows from the one before
        return Dynamics(low_rank, torch.zeros_like(start), start, start)
    follow = follows.to(z)  # sums, not selections, which are as large as the covariances
    before, now = (torch.einsum("t, tij -> ij", follow, part) for part in (moment[:-1], moment[1:]))
    across = smoothed.lagged.sum(0) + z[1:].T @ (z[:-1] * follow[:, None])
    propagator = torch.linalg.solve(before, across.T).T
    forcing = (now - propagator @ across.T) / follows.sum()
    return Dynamics(low_rank, propagator, (forcing + forcing.T) / 2, start)
