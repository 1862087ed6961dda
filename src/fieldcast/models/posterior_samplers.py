"""Posterior samplers: draws of p(x | y), y = H x + eps, from a diffusion model of the prior p(x) alone.

    x_s = x + s n,  n ~ N(0, I),    D(x_s, s) = E[x | x_s],    J = dD / dx_s,

H selects the observed cells, or weighs the four cells around a point; eps ~ N(0, R), R = r I or a variance each. The
denoiser D gives the mean of p(x | x_s) and, by its Jacobian J, the covariance s^2 J (Tweedie's second formula). A
sampler goes down the noise levels s, from a field of noise to a draw; samplers differ in their approximation of p(y |
x_s):

    MMPS      p(x | x_s) is Gaussian with mean D and covariance s^2 J: exact for a Gaussian prior
    PiGDM     the same with the covariance s^2 / (1 + s^2) I, which is exact for white noise of variance 1
    DPS       x is D exactly, and each step subtracts a multiple of the gradient of |y - H D|
    DiffPIR   observed cells of D are moved towards y by a prescribed weight
    RePaint   observed cells hold y, noised to the level s; repeated, so that the other cells follow

`studies/posterior_samplers.py` compares them with exact draws. Each row of x is one draw.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.models.options import Count, Positive, Share
from fieldcast.models.points import Points

# Linear systems whose matrix is known by its products alone, for a batch of right-hand sides.


Rows = Float[Tensor, "rows variable y x"]
Observed = Float[
    Tensor, "rows _v _y _x"
]  # values in the cells of a state, or in one place of each observation


def gmres(matrix: Callable[[Tensor], Tensor], b: Rows, iterations: int) -> Rows:
    """Minimise |b - A z| over the Krylov space of b, A b, A^2 b ..., for each row by itself.

    Saad and Schultz (1986, algorithm 1). The matrix need not be symmetric, and that of a network is not quite.

    Parameters
    ----------
    matrix
        z -> A z, each row by itself; a function, since A is never formed.
    b
        Right-hand sides, one per row.
    iterations
        Dimension of the Krylov space, which is also the number of products with A.
    """
    rows, basis = len(b), [b / norms(b)]
    h = b.new_zeros(rows, iterations + 1, iterations)
    for j in range(iterations):
        w = matrix(basis[j])
        for i, v in enumerate(basis):
            h[:, i, j] = (w * v).flatten(1).sum(dim=1)
            w = w - h[:, i, j].view(-1, 1, 1, 1) * v
        h[:, j + 1, j] = norms(w).flatten()
        basis.append(w / norms(w))
    right = b.new_zeros(rows, iterations + 1, 1)
    right[:, 0, 0] = norms(b).flatten()
    coefficients = torch.linalg.pinv(h) @ right
    return (torch.stack(basis[:-1], dim=1) * coefficients[..., None, None]).sum(dim=1)


def norms(x: Rows) -> Float[Tensor, "rows 1 1 1"]:
    """Euclidean norm of each row, at least a tiny number."""
    return x.flatten(1).norm(dim=1).clamp(min=1e-20).view(-1, 1, 1, 1)


Denoiser = Callable[[Tensor, float], Tensor]  # D(x, s)
Noise = Callable[[], Tensor]  # new standard normal rows, 0 where no cell exists

DATA_VARIANCE = 1.0  # variance of standardised states
GAIN_ITERATIONS = 20  # iterations of GMRES for observations between cells, whose H H' is well conditioned


@dataclass(frozen=True, eq=False)
class Target:
    """The posterior to draw from: the denoiser of the prior, and the observations.

    Without observations, samplers draw from the prior, but the draws of DiffPIR with zeta > 0 have too little variance.

    Parameters
    ----------
    denoise
        Denoiser of the prior.
    noise
        Function that draws standard normal rows, 0 where no cell exists.
    y
        Observations.
    m
        Mask of the observations.
    r
        Variance of their error.
    """

    denoise: Denoiser
    noise: Noise
    y: Observed
    m: Bool[Tensor, "rows _v _y _x"]
    r: float

    def misfit(self, x: Rows) -> Observed:
        """y - H x on the observed cells, 0 elsewhere."""
        return (self.y - x) * self.m

    def forward(self, x: Rows) -> Observed:
        """H x on the observed cells, 0 elsewhere."""
        return x * self.m

    def adjoint(self, z: Observed) -> Rows:
        """H' z."""
        return z

    def gain(self, z: Observed, v: float) -> Observed:
        """(R + v H H')^-1 z."""
        return z / (self.r + v)


@dataclass(frozen=True, eq=False)
class PointTarget(Target):
    """The posterior given observations between cells, of which each weighs a few cells.

    y, m, the mask of those that exist, and r, the variances of their errors, are (rows, 1, 1, observations).

    Parameters
    ----------
    cells
        Indices of the weighed cells in a flattened state.
    weights
        Weights H of these cells.
    """

    r: Observed
    cells: Int[Tensor, "rows n 4"]
    weights: Float[Tensor, "rows n 4"]
    shape: tuple[int, ...]

    @classmethod
    def of(
        cls, denoise: Denoiser, noise: Noise, points: Points, rows: int, shape: tuple[int, ...]
    ) -> PointTarget:
        """The target of some points, whose data are the rows of states of a shape (variables, y, x)."""
        order = points.datum.argsort(stable=True)
        datum, count = points.datum[order], torch.bincount(points.datum, minlength=rows)
        place = torch.arange(len(points), device=datum.device) - (count.cumsum(0) - count)[datum]
        size = rows, max(1, int(count.max()))
        cells = points.cells + points.variable[:, None] * shape[1] * shape[2]

        def padded(values: Tensor, fill: float = 0.0) -> Tensor:
            filled = values.new_full((*size, *values.shape[1:]), fill)
            filled[datum, place] = values[order]
            return filled

        y, m, r = (
            padded(values.float(), fill)[:, None, None]
            for values, fill in ((points.y, 0.0), (torch.ones_like(points.y), 0.0), (points.error, 1.0))
        )
        return cls(denoise, noise, y, m.bool(), r, padded(cells), padded(points.weights.float()), shape)

    def misfit(self, x: Rows) -> Observed:
        return self.y - self.forward(x)

    def forward(self, x: Rows) -> Observed:
        cells = x.flatten(1).gather(1, self.cells.flatten(1)).view_as(self.weights)
        return (cells * self.weights).sum(-1)[:, None, None]

    def adjoint(self, z: Observed) -> Rows:
        spread = z[:, 0, 0, :, None] * self.weights
        x = z.new_zeros(len(z), math.prod(self.shape))
        return x.scatter_add(1, self.cells.flatten(1), spread.flatten(1)).unflatten(1, self.shape)

    def gain(self, z: Observed, v: float) -> Observed:
        return gmres(lambda each: self.r * each + v * self.forward(self.adjoint(each)), z, GAIN_ITERATIONS)


def noise_levels(steps: int, highest: float = 80.0, lowest: float = 0.01, rho: float = 7.0) -> list[float]:
    """s_i = (a + i / (n - 1) (b - a))^rho, a = highest^(1 / rho), b = lowest^(1 / rho); then 0.

    Karras, Aittala, Aila and Laine (2022, "Elucidating the design space of diffusion-based generative models", eq. 5).
    """
    a, b = highest ** (1 / rho), lowest ** (1 / rho)
    return [(a + i / max(steps - 1, 1) * (b - a)) ** rho for i in range(steps)] + [0.0]


class Sampler(ABC):
    """One step down the noise levels."""

    @abstractmethod
    def step(self, x: Rows, s: float, t: float, target: Target) -> Rows:
        """Rows of noise level t < s from those of noise level s."""

    @abstractmethod
    def evaluations(self, levels: int) -> int:
        """Network evaluations of a draw with `levels` noise levels; a product with J' counts as one."""

    def trajectory(self, levels: list[float], target: Target) -> Iterator[Rows]:
        """Yield the rows at each noise level; the last ones, at level 0, are draws."""
        x = levels[0] * target.noise()
        for s, t in pairwise(levels):
            x = self.step(x, s, t, target)
            yield x


class Heun(Sampler):
    """dx/ds = (x - D) / s by Heun's method (Karras et al. 2022, algorithm 1): two evaluations of D in a step.

    Guided samplers replace D by their estimate of E[x | x_s, y].
    """

    def step(self, x: Rows, s: float, t: float, target: Target) -> Rows:
        slope = (x - self.mean(x, s, target)) / s
        euler = x + (t - s) * slope
        if t == 0:
            return euler
        return x + (t - s) * (slope + (euler - self.mean(euler, t, target)) / t) / 2

    def mean(self, x: Rows, s: float, target: Target) -> Rows:
        """E[x | x_s, y]."""
        return target.denoise(x, s)

    def evaluations(self, levels: int) -> int:
        return (2 * levels - 1) * self.products

    @property
    def products(self) -> int:
        """Network evaluations of one mean."""
        return 1


@dataclass(frozen=True)
class MMPS(Heun):
    """D + s^2 J' H' z with (R + H s^2 J H') z = y - H D, by a few iterations of GMRES.

    Moment matching posterior sampling (Rozet, Andry, Lanusse and Louppe 2024, "Learning diffusion priors from
    observations by expectation maximization", eq. 15 and 17). For a Gaussian prior and enough iterations it is exact.

    Parameters
    ----------
    iterations
        Number of iterations of GMRES.
    """

    iterations: Count = 2

    def mean(self, x: Rows, s: float, target: Target) -> Rows:
        d, jacobian = with_jacobian(target.denoise, x, s)

        def covariance(z: Tensor) -> Tensor:
            return target.r * z + s**2 * target.forward(jacobian(target.adjoint(z)))

        z = gmres(covariance, target.misfit(d), self.iterations)
        return d + s**2 * jacobian(target.adjoint(z))

    @property
    def products(self) -> int:
        return 2 + self.iterations


@dataclass(frozen=True)
class PiGDM(Heun):
    """D + s^2 J' H' (y - H D) / (r + v), v = s^2 / (1 + s^2).

    Pseudoinverse-guided diffusion (Song, Vahdat, Mardani and Kautz 2023, eq. 7 to 9, with their v for data of
    variance 1).
    """

    def mean(self, x: Rows, s: float, target: Target) -> Rows:
        d, jacobian = with_jacobian(target.denoise, x, s)
        v = s**2 * DATA_VARIANCE / (s**2 + DATA_VARIANCE)
        return d + s**2 * jacobian(target.adjoint(target.gain(target.misfit(d), v)))

    @property
    def products(self) -> int:
        return 2


class Ancestral(Sampler):
    """x_t = D + (t / s)^2 (x_s - D) + t sqrt(1 - (t / s)^2) n: a draw of q(x_t | x_s, x) at x = D.

    Ho, Jain and Abbeel (2020, eq. 7), in these coordinates, where x_s has noise added and is not scaled.
    """

    def step(self, x: Rows, s: float, t: float, target: Target) -> Rows:
        return self.ancestral_draw(x, target.denoise(x, s), s, t, target.noise)

    def ancestral_draw(self, x: Rows, d: Rows, s: float, t: float, noise: Noise) -> Rows:
        """The draw of x_t, given D."""
        ratio = (t / s) ** 2
        return d + ratio * (x - d) + t * (1 - ratio) ** 0.5 * noise()

    def evaluations(self, levels: int) -> int:
        return levels


@dataclass(frozen=True)
class DPS(Ancestral):
    """An ancestral step, then x_t - zeta grad |y - H D(x_s)|.

    Diffusion posterior sampling (Chung et al. 2023, algorithm 1); the gradient is taken in coordinates in which x_s is
    divided by sqrt(1 + s^2).

    Parameters
    ----------
    zeta
        Length of the step along the gradient, which the paper chooses by task.
    """

    zeta: Positive = 1.0

    def step(self, x: Rows, s: float, t: float, target: Target) -> Rows:
        d, jacobian = with_jacobian(target.denoise, x, s)
        misfit = target.misfit(d)
        gradient = -jacobian(target.adjoint(misfit)) / norms(misfit)
        scale = ((1 + s**2) * (1 + t**2)) ** 0.5
        return self.ancestral_draw(x, d, s, t, target.noise) - self.zeta * scale * gradient

    def evaluations(self, levels: int) -> int:
        return 2 * levels


@dataclass(frozen=True)
class DiffPIR(Sampler):
    """x_t = x + t (sqrt(1 - zeta) (x_s - x) / s + sqrt(zeta) n), x = argmin |y - H x|^2 / r + weight |x - D|^2 / s^2.

    Denoising diffusion for plug-and-play restoration (Zhu et al. 2023, algorithm 1).

    Parameters
    ----------
    weight
        Weight of the prior: lambda in the paper, which chooses it by task.
    zeta
        Share of the noise that is drawn anew: 0 is deterministic, 1 discards the noise of the previous step.
    """

    weight: Positive = 8.0
    zeta: Share = 0.3

    def step(self, x: Rows, s: float, t: float, target: Target) -> Rows:
        estimate = target.denoise(x, s)
        v = s**2 / self.weight
        estimate = estimate + v * target.adjoint(target.gain(target.misfit(estimate), v))
        old_noise = (1 - self.zeta) ** 0.5 * (x - estimate) / s
        return estimate + t * (old_noise + self.zeta**0.5 * target.noise())

    def evaluations(self, levels: int) -> int:
        return levels


@dataclass(frozen=True)
class RePaint(Ancestral):
    """Ancestral steps after which observed cells hold y + t n; all but the last are noised back to s and repeated.

    Lugmayr et al. (2022, algorithm 1). It treats the observations as exact, and has none between cells.

    Parameters
    ----------
    repeats
        Number of times that each step is made: U in the paper.
    """

    repeats: Count = 5

    def step(self, x: Rows, s: float, t: float, target: Target) -> Rows:
        for number in range(self.repeats):
            if number:
                x = x + (s**2 - t**2) ** 0.5 * target.noise()
            x = super().step(x, s, t, target)
            x = torch.where(target.m, target.y + t * target.noise(), x)
        return x

    def evaluations(self, levels: int) -> int:
        return self.repeats * levels


def with_jacobian(denoise: Denoiser, x: Rows, s: float) -> tuple[Rows, Callable[[Tensor], Tensor]]:
    """D(x, s), and v -> J' v, which equals J v where D is a posterior mean."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        d = denoise(x, s)

    def product(v: Tensor) -> Tensor:
        return torch.autograd.grad(d, x, v, retain_graph=True)[0]

    return d.detach(), product
