"""Simple kriging: a Gaussian posterior from a parametric covariance, separately for each variable.

    x ~ N(0, D rho D + U^2),    y = H x + eps,    eps ~ N(0, R),    R = noise^2 + nugget D^2 + floor^2,
    d_j = u_j + K (y + eps_j - H u_j),    K = C H^T (H C H^T + R)^-1,    u_j ~ N(0, C),    C = D rho D + U^2

D is the standard deviation of the training anomalies at each point, rho a correlation in space. `robustness` defines
U^2, which is diagonal and nearly everywhere 0, and the check of observations. Updating
unconditional draws u_j with the gain gives draws of the posterior (Chiles and Delfiner 2012, "Geostatistics", 7.3.1),
exact for up to `MAX_EXACT_POINTS` points.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import eval_legendre, sph_legendre_p_all
from torch import Tensor

from fieldcast.models.core import Batch, Context
from fieldcast.models.gaussian import robustness
from fieldcast.models.gaussian.block_gaussian import BlockGaussian, Covariance
from fieldcast.models.gaussian.covariance_terms import (
    CORRELATIONS,
    EARTH_RADIUS_KM,
    Correlation,
    CovarianceTerm,
    DiagonalCovariance,
    Kernel,
    Parametric,
)
from fieldcast.models.gaussian.grid_points import GridPoints
from fieldcast.models.gaussian.kalman_gain import cholesky
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

# largest number of points for a Cholesky factor of the prior: 130 MB while it is computed
MAX_EXACT_POINTS = 4000
MAX_DEGREE = 80  # largest degree of the spherical harmonics for more points: half a wave is 250 km
QUADRATURE_NODES = 512  # nodes of the quadrature for the variances of the harmonics
POINTS_PER_BATCH = 512  # points whose harmonics are computed together
MAX_DOUBLE_POINTS = 2500  # largest number of points with double precision throughout


def harmonics(points: Float[Tensor, "p 3"], degree: int) -> Float[Tensor, "p terms"]:
    """Y_lm, real and orthonormal, at points of the unit sphere: (degree + 1)^2 terms, ordered by l."""
    values = []
    orders = np.arange(1, degree + 1)
    for batch in points.double().cpu().split(POINTS_PER_BATCH):
        polar = np.arccos(batch[:, 2].clamp(-1, 1).numpy())
        angle = orders[:, None] * np.arctan2(batch[:, 1].numpy(), batch[:, 0].numpy())
        legendre = sph_legendre_p_all(degree, degree, polar)[0]  # (l, m, p)
        waves = np.sqrt(2) * np.stack([np.cos(angle), np.sin(angle)])
        degrees = []
        for n in range(degree + 1):
            degrees += [legendre[n, :1], *(legendre[n, 1 : n + 1] * waves[:, :n])]
        values.append(torch.from_numpy(np.concatenate(degrees)).T.float())
    return torch.cat(values).to(points.device)


def degree_variances(kernel: Kernel, degree: int) -> Float[Tensor, " degrees"]:
    """b_l of rho(angle) = sum_l b_l P_l(cos angle): the variance of a random field at each degree."""
    x, weight = np.polynomial.legendre.leggauss(QUADRATURE_NODES)
    rho = kernel.function(torch.from_numpy(EARTH_RADIUS_KM * np.sqrt(2 - 2 * x)), kernel.length).numpy()
    b = [(2 * n + 1) / 2 * np.sum(weight * rho * eval_legendre(n, x)) for n in range(degree + 1)]
    return torch.tensor(np.maximum(b, 0))


class CorrelationRoot:
    """A square root of rho, which maps standard normal numbers to fields with that correlation.

    Up to 4000 points it is a Cholesky factor. For more it is sum_lm sqrt(4 pi b_l / (2 l + 1)) Y_lm z_lm up to degree
    80 (the expansion of an isotropic field: Marinucci and Peccati 2011, "Random Fields on the Sphere", section 5.2),
    plus white noise with the variance of the omitted degrees.
    """

    def __init__(self, kernel: Kernel):
        count, dtype = len(kernel.points), kernel.points.dtype
        if count <= MAX_EXACT_POINTS:
            all_points = torch.arange(count, device=kernel.points.device)
            self.root, self.rest = cholesky(kernel.correlations_of(all_points).double()).to(dtype), 0.0
        else:
            b = degree_variances(kernel, MAX_DEGREE)
            scale = (4 * np.pi * b / (2 * torch.arange(MAX_DEGREE + 1) + 1)).sqrt()
            self.root = harmonics(kernel.points, MAX_DEGREE).to(dtype)
            self.root *= scale.repeat_interleave(2 * torch.arange(MAX_DEGREE + 1) + 1).to(self.root)
            self.rest = float((1 - b.sum()).clamp(min=0).sqrt())

    def draw(self, streams: RandomStreams, variables: int) -> Float[Tensor, "batch members variable p"]:
        points, terms = self.root.shape
        u = streams.normal(variables, terms).to(self.root) @ self.root.T
        return u if self.rest == 0 else u + self.rest * streams.normal(variables, points).to(u)


class Kriging(BlockGaussian):
    """Simple kriging of standardised anomalies; see the module for the equations.

    Tuned: `length` of rho in km; `nugget`, the observation error as a share of the local variance; `floor`, the
    standard deviation of the error of representativeness, which does not depend on the local variance.

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
            "length": (300.0, 500.0, 700.0, 1000.0, 1400.0, 2000.0, 2800.0, 4000.0),
            "nugget": (0.0, 1e-4, 1e-3, 1e-2, 1e-1),
            "floor": robustness.FLOORS,
        }
    )

    def __init__(self, space: Space, correlation: Correlation = "matern32"):
        super().__init__(space)
        self.correlation = correlation
        self.grid = GridPoints(space)
        self.register_buffer("deviation", torch.ones(len(space.variables), len(self.grid)))  # D
        self.register_buffer("rare", torch.zeros_like(self.deviation))  # U^2
        self.register_buffer("length", torch.tensor(1000.0))
        self.register_buffer("nugget", torch.tensor(0.0))
        self.register_buffer("floor", torch.tensor(0.0))

    def solve(self, training: Iterable[Batch]) -> None:
        moments = robustness.MomentSums()
        for batch in training:
            if batch.observed is None:
                moments.add(self.grid.gather(batch.x))
            else:
                moments.add(*self.grid.gather_observed(batch.x, batch.observed))
        self.deviation.copy_(moments.variance.sqrt())
        self.rare.copy_(moments.rare)

    def sample(self, c: Context, streams: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        kernel, prior = self._prior()
        deviation = self.deviation.to(kernel.points.dtype)
        u = prior.draw(streams, len(deviation)) * deviation  # (B, M, V, P)
        if self.rare.any():
            u += streams.normal(*self.rare.shape).to(u) * self.rare.sqrt().to(u)
        no_draws = u.new_zeros(c.count, len(self.grid))
        for v, block in enumerate(self.blocks()):
            for datum, h, innovation, error, gain, added_variance, _ in self.conditionings(
                c, block, no_draws
            ):
                stream = streams.fork(v).of_data(datum)
                eps = stream.normal(len(error)) * error
                prior_draw = u[datum, :, v]  # independent of eps, and of the draws of other variables
                departure = (innovation[:, None] + eps - h(prior_draw)).flatten(0, 1)
                u[datum, :, v] = prior_draw + gain(departure).unflatten(0, prior_draw.shape[:2])
                if added_variance.any():
                    u[datum, :, v] += stream.normal(len(added_variance)).to(u) * added_variance.sqrt()
        return self.grid.scatter(u.float())

    def blocks(self) -> Sequence[range]:
        """Blocks of variables that share a covariance: one for each variable."""
        return [range(v, v + 1) for v in range(len(self.deviation))]

    def covariance(self, block: range, fold: int | None = None) -> Covariance:
        """D rho D + U^2 of a variable."""
        v, (kernel, _) = block.start, self._prior()
        deviation = self.deviation[v].to(kernel.points.dtype)
        terms: list[CovarianceTerm] = [Parametric(1.0, deviation, deviation.new_ones(1, 1), kernel)]
        if self.rare[v].any():
            terms.append(DiagonalCovariance(self.rare[v].to(deviation)))
        return Covariance(terms, self.deviation[v].square(), deviation)

    def _prior(self) -> tuple[Kernel, CorrelationRoot]:
        """Correlation and its square root for the current length."""

        def derive() -> tuple[Kernel, CorrelationRoot]:
            dtype = torch.float64 if len(self.grid) <= MAX_DOUBLE_POINTS else torch.float32
            points = self.grid.points.to(self.deviation.device, dtype)
            kernel = Kernel(CORRELATIONS[self.correlation], float(self.length), points)
            return kernel, CorrelationRoot(kernel)

        return self.derived("prior", derive, self.length)
