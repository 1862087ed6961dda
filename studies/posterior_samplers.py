"""Posterior samplers against the exact posterior of a Gaussian prior: python -m studies.posterior_samplers [ERROR]

With `--learned FILE` the denoiser is also a network, that of `reconstruct.guided_diffusion`, trained on 3000 draws from
the prior and kept in FILE; the columns then separate the error of the sampler from that of the prior.

The prior is a Gaussian of variance 1 on the grid of the planet (one variable, 32 x 64 cells), with correlations of
900 and of 2500 km in equal parts. Its denoiser is known, E[x | x_s] = C (C + s^2 I)^-1 x_s, so that what a sampler
loses is its own. A share k of the cells of 8 truths is observed at random, with an error of 0.1, or of ERROR; each
sampler draws 10 members. The weights of DPS, DiffPIR and RePaint are those with the lowest CRPS on 3 other truths.

Columns: network evaluations of a draw (a product with the Jacobian counts as one); the fair CRPS at unobserved cells as
a ratio to that of the posterior, s / sqrt(pi), with a 95 % interval from resampling the truths, and the spread-skill
ratio, both in expectation over truths from the posterior; the root mean square of y - H x over the error of the
observations, which is below 1 where members are drawn to the observations too closely. With a network: the part of the
CRPS ratio that the sampler adds to 1 (with the exact denoiser), that of the prior (the rest, with an interval of the
paired difference), and the other columns with the network.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.optimal_interpolation import globe
from fieldcast.encoding.options import Sparsification
from fieldcast.models.core import Context
from fieldcast.models.gaussian.covariance_terms import chord, matern32
from fieldcast.models.layers.crps import fair_crps
from fieldcast.models.posterior_samplers import (
    DPS,
    MMPS,
    Denoiser,
    DiffPIR,
    PiGDM,
    RePaint,
    Sampler,
    Target,
    noise_levels,
)
from fieldcast.models.space import Space
from fieldcast.runtime import Progress
from fieldcast.training.batches import ReconstructionBatches
from fieldcast.training.options import Fit
from fieldcast.training.run import initial_model
from fieldcast.training.state_source import InMemory
from fieldcast.training.steps import train_until_due
from fieldcast.training.training_state import Training

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
# of conf/base/parameters/experiments/reconstruct/guided_diffusion.yml
MODEL = {"type": "edm.GuidedEDM", "channels": [32, 64, 64]}
FIT = Fit(steps=6000, batch=16, report_every=250, validation=128, save_every=1e9)
STATES = 3000  # draws from the prior that the network is trained on, and its validation
RESAMPLES = 2000


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
        observations = max(2, round(k * truth.shape[1]))
        mask = torch.zeros_like(truth, dtype=torch.bool)
        for row in mask:
            row[torch.randperm(len(row), generator=generator)[:observations]] = True
        y = (truth + error * torch.randn(truth.shape, generator=generator)) * mask
        means, covariances = [], []
        for values, observed in zip(y, mask, strict=True):
            c = prior.c[:, observed].double()
            gain = torch.linalg.solve(c[observed] + error**2 * torch.eye(observations), c.T).T
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


def drawn(denoise: Denoiser, case: Case, sampler: Sampler, levels: int) -> Tensor:
    """Draws (truth, member, cell)."""
    generator = torch.Generator().manual_seed(2)
    y, mask = (part.repeat_interleave(MEMBERS, 0)[:, None, None] for part in (case.y, case.mask))

    def noise() -> Tensor:
        return torch.randn(y.shape, generator=generator)

    target = Target(denoise, noise, y, mask, case.error**2)
    *_, x = sampler.trajectory(noise_levels(levels), target)
    return x.flatten(1).unflatten(0, (-1, MEMBERS))


class Scores(NamedTuple):
    """Scores of draws, expected over truths from the posterior of the same observations; a value for each truth."""

    crps: Tensor
    exact: Tensor  # CRPS of the posterior
    variance: Tensor
    square: Tensor  # square error of the mean, without the share of its sampling error
    misfit: Tensor  # mean square of y - H x over the error of the observations

    @property
    def ratio(self) -> Tensor:
        """CRPS as a ratio to that of the posterior, first of all truths, then of each resample of them."""
        index = torch.randint(
            len(self.crps), (RESAMPLES, len(self.crps)), generator=torch.Generator().manual_seed(3)
        )
        index = torch.cat([torch.arange(len(self.crps))[None], index])
        return self.crps[index].mean(dim=1) / self.exact[index].mean(dim=1)


def scores(prior: Prior, case: Case, x: Tensor) -> Scores:
    """Scores of draws x (truth, member, cell)."""
    s, weight = case.spread, prior.area * ~case.mask

    def area_mean(field: Tensor) -> Tensor:
        return (field * weight).sum(dim=1) / weight.sum(dim=1)

    u = (x - case.mean[:, None]) / s[:, None]
    density = torch.exp(-(u**2) / 2) / math.sqrt(2 * math.pi)
    distance = s * (2 * density + u * torch.erf(u / math.sqrt(2))).mean(dim=1)  # E|x - truth|
    within = x.mean(dim=1)
    pairs = (x - within[:, None]).abs().mean(dim=1) - fair_crps(x, within)  # half of E|x - x'|
    variance = area_mean(x.var(dim=1))
    square = area_mean((within - case.mean) ** 2 + s**2) - variance / MEMBERS
    misfit = (((x - case.y[:, None]) / case.error) ** 2).mean(dim=1)
    of_observed = (misfit * case.mask).sum(dim=1) / case.mask.sum(dim=1)
    return Scores(
        area_mean(distance - pairs), area_mean(s / math.sqrt(math.pi)), variance, square, of_observed
    )


def tuned(prior: Prior, case: Case, levels: int, candidates: Sequence[Sampler]) -> Sampler:
    """The candidate with the lowest CRPS."""
    if len(candidates) == 1:
        return candidates[0]
    return min(
        candidates,
        key=lambda sampler: float(scores(prior, case, drawn(prior.denoise, case, sampler, levels)).ratio[0]),
    )


def learned(prior: Prior, file: Path) -> Denoiser:
    """The denoiser of a network that has learned the prior from draws; trained unless the file holds it."""
    space = globe()
    space = space.replace(variables=space.variables[:1], tendency=space.tendency[:1])
    model = initial_model(MODEL, space, 0)
    if file.exists():
        model.load_state_dict(load_file(file))
    else:
        train(model, prior, space)
        save_file(model.state_dict(), file)
    model.eval().requires_grad_(False)

    def denoise(x: Tensor, s: float) -> Tensor:
        channels = Context(len(x), day=torch.zeros(len(x))).channels(space)
        level = torch.full((len(x),), s)
        return model.denoise(x.unflatten(-1, space.shape)[:, 0], level, channels).flatten(2)[:, None]

    return denoise


def train(model: Any, prior: Prior, space: Space) -> None:
    """Train a network on draws from the prior as an experiment is trained, and leave the best weights in it."""
    x = prior.draw(STATES, torch.Generator().manual_seed(4)).unflatten(1, (1, *space.shape))
    undated = torch.zeros(STATES), torch.zeros(STATES, dtype=torch.long)
    training, validation = (
        ReconstructionBatches(InMemory(x[part], *(each[part] for each in undated)), space, Sparsification())
        for part in (slice(FIT.validation, None), slice(FIT.validation))
    )
    run = Training(model, FIT, 0)
    with Progress(total=FIT.steps, unit="step") as bar:

        def report(step: int, score: float | None) -> None:
            bar.update(step - bar.n)

        for _ in train_until_due(run, training, validation, report):
            model.load_state_dict(run.best, strict=False)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("error", nargs="?", type=float, default=0.1)
    parser.add_argument("--learned", type=Path, metavar="FILE")
    parser.add_argument("--cells", nargs="+", type=float, default=FRACTIONS, help="shares k of the cells")
    options = parser.parse_args()
    prior = Prior.of_planet()
    network = None if options.learned is None else learned(prior, options.learned)
    compared = ["CRPS ratio"] if network is None else ["error of the sampler", "error of the prior"]
    columns = "   ".join(f"{name:25}" for name in compared)
    first = f"error {options.error:g}"
    print(f"{first:19}evaluations   {columns} {'spread-skill':>13} {'fit':>6}", flush=True)
    for k in options.cells:
        print(f"{k:.0%} of the cells", flush=True)
        case, trial = (
            Case.of(prior, count, k, options.error, seed) for count, seed in ((TRUTHS, 0), (TUNING, 1))
        )
        if network is None:
            print(row("exact draws", "", scores(prior, case, case.exact_draws())), flush=True)
        for name, (levels, candidates) in SAMPLERS.items():
            sampler = tuned(prior, trial, levels, candidates)
            values = "".join(f" {value:g}" for value in vars(sampler).values() if len(candidates) > 1)
            exact = scores(prior, case, drawn(prior.denoise, case, sampler, levels))
            both = None if network is None else scores(prior, case, drawn(network, case, sampler, levels))
            print(row(name + values, str(sampler.evaluations(levels)), exact, both), flush=True)


def row(name: str, evaluations: str, exact: Scores, both: Scores | None = None) -> str:
    """A row of the table; `both` has the scores with a network as denoiser."""
    result = exact if both is None else both
    spread = float((result.variance.mean() / result.square.mean()).sqrt())
    fit = float(result.misfit.mean().sqrt())
    if both is None:
        text = with_interval(exact.ratio)
    else:
        text = f"{with_interval(exact.ratio - 1)}   {with_interval(both.ratio - exact.ratio)}"
    return f"  {name:16} {evaluations:>11}   {text} {spread:13.2f} {fit:6.2f}"


def with_interval(values: Tensor) -> str:
    """The first value, and the 95 % interval of the others."""
    low, high = torch.quantile(values[1:], torch.tensor([0.025, 0.975])).tolist()
    return f"{values[0]:6.3f} ({low:6.3f} to {high:6.3f})"


if __name__ == "__main__":
    main()
