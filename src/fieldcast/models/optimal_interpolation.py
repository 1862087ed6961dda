"""Optimal interpolation with the covariance of the training days across all variables.

    m = b + K (y - H b),    d_j = b + e_j + K (y + eps_j - H (b + e_j)),    K = C H^T (H C H^T + R)^-1,
    C = w T o S + (1 - w) D (Q (x) rho) D + U^2,

the update (Gandin 1963; Lorenc 1981) of a background b by observations y = H x + eps, eps ~ N(0, R), with
R = noise^2 + nugget D^2 + floor^2, and a blend of a sampled and a static covariance (Hamill and Snyder 2000). Without a
forecast b is 0, the climatology, and the errors e_j are training days of the season: conditioning by
kriging (Matheron's rule; Chiles and Delfiner 2012, section 7.3.1), which draws without factorising a posterior.

In C, S is the second moment of the training anomalies, T a taper (Gaspari-Cohn in chord distance, shared
by all pairs of variables), o the elementwise product; D holds the standard deviation of each variable at
each point, Q the correlations between variables (mean over the globe), rho a parametric correlation in
space. Each term is positive semi-definite, and so is C (Schur's product theorem). `robustness`
defines U^2, which is diagonal and nearly everywhere 0, and the check of observations.

Training days with missing values are completed by draws given their observed ones (`gaps.augmentation`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fieldcast.models.core import Context
from fieldcast.models.gaps import augmentation
from fieldcast.models.gaussian import robustness
from fieldcast.models.gaussian.block_gaussian import BlockGaussian, Covariance
from fieldcast.models.gaussian.conditioning import conditioned
from fieldcast.models.gaussian.covariance_terms import (
    CORRELATIONS,
    Correlation,
    CovarianceTerm,
    DiagonalCovariance,
    Kernel,
    Parametric,
    Tapered,
    gaspari_cohn,
)
from fieldcast.models.gaussian.training_series import TrainingDays
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space


class OptimalInterpolation(BlockGaussian, TrainingDays):
    """Optimal interpolation; see the module for the equations.

    Tuned: `weight` w; `taper`, the chord in km from which T is zero (0: no taper); `length` of rho in km;
    `nugget`, the observation error as a share of the local variance; `floor`, the standard deviation of the error of
    representativeness, which does not depend on the local variance.

    Parameters
    ----------
    space
        Grid of the states.
    correlation
        rho: `exponential` (of the great-circle distance), `matern32` or `matern52` (of the chord).
    """

    accepts_points = True
    learns_from_gaps = True
    choices: Mapping[str, Sequence[float]] = MappingProxyType(
        {
            # first, because it matters most for a short record
            "taper": (0.0, 28000.0, 18000.0, 10000.0, 5000.0),
            "weight": (0.5, 0.8, 0.95, 1.0),
            "length": (500.0, 1000.0, 1400.0, 2000.0),
            "nugget": (1e-5, 1e-3, 1e-2),
            "floor": robustness.FLOORS,
        }
    )

    def __init__(self, space: Space, correlation: Correlation = "matern32"):
        super().__init__(space)
        self.correlation = correlation
        initial = {"weight": 0.95, "taper": 18000.0, "length": 1400.0, "nugget": 1e-5, "floor": 0.0}
        for name, value in initial.items():
            self.register_buffer(name, torch.tensor(value))

    def complete(self, observed: Bool[Tensor, "training variable p"]) -> None:
        """Replace the missing values of the training days by draws given the observed ones."""
        augmentation.complete(self, observed)

    def sample(self, c: Context, streams: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        background = torch.zeros_like(c.base())
        return self.analyse(c, streams, background, self.season(c, streams))[2]

    def moments(
        self, c: Context, streams: RandomStreams, fold: int | None = None
    ) -> tuple[
        Float[Tensor, "batch variable y x"],
        Float[Tensor, "batch variable y x"],
        Float[Tensor, "batch members variable y x"],
    ]:
        """Mean m, spread s and draws d, from the training days outside `fold`.

        s is the root mean square of up to 200 deviations e + K (eps - H e), e training days evenly spaced over
        the whole record: it depends on mask, noise and fold only, unless an observation fails its check.
        """
        errors = self.season(c, streams, fold)
        pool = self.spread_pool(fold)
        m, s, d = self.analyse(c, streams, torch.zeros_like(c.base()), errors, pool=pool, fold=fold)
        return m, s, d

    def analyse(
        self,
        c: Context,
        streams: RandomStreams,
        background: Float[Tensor, "batch variable y x"],
        errors: Float[Tensor, "batch members variable y x"],
        *,
        pool: Float[Tensor, "pool variable y x"] | None = None,
        fold: int | None = None,
    ) -> tuple[
        Float[Tensor, "batch variable y x"],
        Float[Tensor, "batch variable y x"] | None,
        Float[Tensor, "batch members variable y x"],
    ]:
        """Mean m, spread and members d of a background b with errors e_j, after the observations of c.

        With the mean and deviations of a forecast ensemble, this is an ensemble Kalman filter with perturbed
        observations and the covariance C of this model, not of the members. Observations are checked against b. The
        spread is the root mean square of a sample of errors, `pool`, after an update with the same gain; None without
        a sample.
        """
        (block,), state = self.blocks(), self.anomalies.shape[1:]
        b, e = self.flat(background), self.flat(errors)  # (B, N), (B, M, N)
        p = b.new_zeros(0, b.shape[-1]) if pool is None else self.flat(pool)
        moments_and_draws = conditioned(self.conditionings(c, block, b, fold), b, e, p, streams)
        m, s, d = (self.grid.scatter(x.float().unflatten(-1, state)) for x in moments_and_draws)
        return m, None if pool is None else s, d

    def blocks(self) -> Sequence[range]:
        """Blocks of variables that share a covariance: a single one."""
        return [range(len(self.space.variables))]

    def covariance(self, block: range, fold: int | None = None) -> Covariance:
        """C, from the training days outside `fold`."""
        moments, deviation, between, rare = self.covariance_components(fold)
        dtype, w = deviation.dtype, float(self.weight)
        terms: list[CovarianceTerm] = []
        if w > 0:
            taper = self._kernel(gaspari_cohn, float(self.taper), dtype) if self.taper > 0 else None
            terms.append(Tapered(w, moments, taper, len(self.grid)))
        if w < 1:
            rho = self._kernel(CORRELATIONS[self.correlation], float(self.length), dtype)
            terms.append(Parametric(1 - w, deviation, between, rho))
        if rare.any():
            terms.append(DiagonalCovariance(rare.to(dtype)))
        return Covariance(terms, deviation.square(), deviation)

    def _kernel(
        self, function: Callable[[Tensor, float], Tensor], length: float, dtype: torch.dtype
    ) -> Kernel:
        points = self.grid.points.to(self.anomalies.device, dtype)
        return self.derive((function, length), lambda: Kernel(function, length, points))
