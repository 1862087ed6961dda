"""Posterior samplers against the exact posterior of a Gaussian prior: python -m benchmarks.posterior_samplers [ERROR]

The prior is a Gaussian of variance 1 on the grid of the planet (one variable, 32 x 64 cells), with correlations of
900 and of 2500 km in equal parts. Its denoiser is known, E[x | x_s] = C (C + s^2 I)^-1 x_s, so that what a sampler
loses is its own. A share k of the cells of 8 truths is observed at random, with an error of 0.1, or of ERROR; each
sampler draws 10 members. The weights of DPS, DiffPIR and RePaint are those with the lowest CRPS on 3 other truths.

Columns: network evaluations of a draw (a product with the Jacobian counts as one); the fair CRPS at unobserved cells as
a ratio to that of the posterior, s / sqrt(pi), and the spread-skill ratio, both in expectation over truths from the
posterior; the root mean square of y - H x over the error of the observations, which is below 1 where members are drawn
to the observations too closely.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.optimal_interpolation import globe
from fieldcast.models.gaussian.correlations import chord, matern32
from fieldcast.models.layers.crps import fair_crps
from fieldcast.models.posterior_samplers import (
    DPS,
    MMPS,
    DiffPIR,
    PiGDM,
    RePaint,
    Sampler,
    Target,
    noise_levels,
)

LENGTHS = 900.0, 2500.0  # km
TRUTHS, TUNING, MEMBERS = 8, 3, 10
FRACTIONS = 0.01, 0.02, 0.05, 0.1
SAMPLERS: dict[str, tuple[int, Sequence[Sampler]]] = {
    "MMPS": (18, [MMPS()]),
    "PiGDM": (18, [PiGDM()]),
    "DPS": (100, [DPS(zeta) for zeta in (0.3, 1.0, 3.0)]),
    "DiffPIR": (64, [DiffPIR(weight) for weight in (1.0, 8.0, 30.0)]),
    "RePaint": (32, [RePaint(repeats) for repeats in (1, 5)]),
}
RESULT = Path(__file__).parent / "results" / "posterior_samplers.txt"


class Prior(NamedTuple):
    """N(0, C) with C = U L U'."""

    c: Tensor
    values: Tensor
    vectors: Tensor
    area: Tensor

    @classmethod
    def of_planet(cls) -> Prior:
        space = globe()
        points = space.points.flatten(0, 1)
        distance = chord(points, points)
        c = sum(matern32(distance, length) for length in LENGTHS) / len(LENGTHS)
        values, vectors = torch.linalg.eigh(c.double())
        return cls(c, values.clamp(min=0).float(), vectors.float(), space.area.flatten())

    def denoise(self, x: Tensor, s: float) -> Tensor:
        """E[x | x_s], rows (rows, 1, 1, cell)."""
        return (x @ self.vectors * (self.values / (self.values + s**2))) @ self.vectors.T

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        n = torch.randn(count, len(self.values), generator=generator)
        return (n * self.values.sqrt()) @ self.vectors.T


class Case(NamedTuple):
    """Observations, and mean and covariance of each posterior."""

    y: Tensor
    mask: Tensor
    error: float
    mean: Tensor
    covariance: list[Tensor]

    @classmethod
    def of(cls, prior: Prior, count: int, k: float, error: float, seed: int) -> Case:
        generator = torch.Generator().manual_seed(seed)
        truth = prior.draw(count, generator)
        seen = max(2, round(k * truth.shape[1]))
        mask = torch.zeros_like(truth, dtype=torch.bool)
        for row in mask:
            row[torch.randperm(len(row), generator=generator)[:seen]] = True
        y = (truth + error * torch.randn(truth.shape, generator=generator)) * mask
        means, covariances = [], []
        for values, observed in zip(y, mask, strict=True):
            c = prior.c[:, observed].double()
            gain = torch.linalg.solve(c[observed] + error**2 * torch.eye(seen), c.T).T
            means.append(gain @ values[observed].double())
            covariances.append(prior.c.double() - gain @ c.T)
        return cls(y, mask, error, torch.stack(means).float(), covariances)

    def exact_draws(self) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        roots = [torch.linalg.cholesky(c + 1e-6 * torch.eye(len(c))).float() for c in self.covariance]
        noise = torch.randn(len(roots), MEMBERS, len(roots[0]), generator=generator)
        return torch.stack([m + n @ root.T for m, n, root in zip(self.mean, noise, roots, strict=True)])

    @property
    def spread(self) -> Tensor:
        """Standard deviation of each posterior."""
        return torch.stack([c.diagonal() for c in self.covariance]).clamp(min=1e-12).sqrt().float()


def drawn(prior: Prior, case: Case, sampler: Sampler, levels: int) -> Tensor:
    """Draws (truth, member, cell)."""
    generator = torch.Generator().manual_seed(2)
    y, mask = (part.repeat_interleave(MEMBERS, 0)[:, None, None] for part in (case.y, case.mask))

    def noise() -> Tensor:
        return torch.randn(y.shape, generator=generator)

    target = Target(prior.denoise, noise, y, mask, case.error**2)
    *_, x = sampler.trajectory(noise_levels(levels), target)
    return x.flatten(1).unflatten(0, (-1, MEMBERS))


def scores(prior: Prior, case: Case, x: Tensor) -> tuple[float, float, float]:
    """CRPS ratio, spread-skill ratio and fit, expected over truths from the posterior of the same observations."""
    s, weight = case.spread, prior.area * ~case.mask

    def area_mean(field: Tensor) -> float:
        return float((field * weight).sum() / weight.sum())

    u = (x - case.mean[:, None]) / s[:, None]
    density = torch.exp(-(u**2) / 2) / math.sqrt(2 * math.pi)
    distance = s * (2 * density + u * torch.erf(u / math.sqrt(2))).mean(dim=1)  # E|x - truth|
    within = x.mean(dim=1)
    pairs = (x - within[:, None]).abs().mean(dim=1) - fair_crps(x, within)  # half of E|x - x'|
    variance = area_mean(x.var(dim=1))
    square = area_mean((within - case.mean) ** 2 + s**2) - variance / MEMBERS
    misfit = ((x - case.y[:, None]) ** 2).mean(dim=1)[case.mask].mean()
    exact = area_mean(s / math.sqrt(math.pi))
    return (
        area_mean(distance - pairs) / exact,
        math.sqrt(variance / square),
        float(misfit.sqrt()) / case.error,
    )


def tuned(prior: Prior, case: Case, levels: int, candidates: Sequence[Sampler]) -> Sampler:
    """The candidate with the lowest CRPS."""
    if len(candidates) == 1:
        return candidates[0]
    return min(candidates, key=lambda sampler: scores(prior, case, drawn(prior, case, sampler, levels))[0])


def main(error: float = 0.1) -> None:
    prior = Prior.of_planet()
    lines: list[str] = []

    def tell(line: str) -> None:
        print(line, flush=True)
        lines.append(line)

    tell(f"error {error:g}              evaluations  CRPS ratio  spread-skill    fit")
    for k in FRACTIONS:
        tell(f"{k:.0%} of the cells")
        case, trial = (Case.of(prior, count, k, error, seed) for count, seed in ((TRUTHS, 0), (TUNING, 1)))
        tell(row(prior, case, "exact draws", "", case.exact_draws()))
        for name, (levels, candidates) in SAMPLERS.items():
            sampler = tuned(prior, trial, levels, candidates)
            options = "".join(f" {value:g}" for value in vars(sampler).values() if len(candidates) > 1)
            x = drawn(prior, case, sampler, levels)
            tell(row(prior, case, name + options, str(sampler.evaluations(levels)), x))
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text("\n".join(lines) + "\n")


def row(prior: Prior, case: Case, name: str, evaluations: str, x: Tensor) -> str:
    """A row of the table."""
    ratio, spread, fit = scores(prior, case, x)
    return f"  {name:20} {evaluations:>11} {ratio:11.3f} {spread:13.2f} {fit:6.2f}"


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
