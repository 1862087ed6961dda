"""Optimal interpolation against scikit-learn's Gaussian process: the same covariance and masks, in one run.

python -m benchmarks.optimal_interpolation

Fields of the planet's size (4 variables, 32 x 64 cells; random, smooth), observed at random cells of all
variables with noise 0.1. Both know the whole covariance matrix, so that a kernel is a look-up. scikit-learn
gives mean and standard deviation; ours gives mean, spread and four draws. A mask serves eight fields, as the
stored masks of an experiment do, and scikit-learn is timed as its interface is made (fit and predict a field)
and with the eight fitted at once. Each time is the best of three.
"""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Kernel

from fieldcast.models.core import Batch, Context
from fieldcast.models.optimal_interpolation import OptimalInterpolation
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

VARIABLES, ROWS, COLUMNS, DAYS = 4, 32, 64, 2000
MASKS, FIELDS, MEMBERS, NOISE = 8, 8, 4, 0.1
REPEATS = 3
RESULT = Path(__file__).parent / "results" / "optimal_interpolation.txt"


class Given(Kernel):
    """A covariance matrix as a kernel; inputs are the numbers of the values."""

    def __init__(self, matrix: Float[np.ndarray, "value value"]):
        self.matrix = matrix

    def __call__(
        self, x: Int[np.ndarray, "n 1"], y: Int[np.ndarray, "m 1"] | None = None, eval_gradient: bool = False
    ) -> Float[np.ndarray, "n m"]:
        return self.matrix[np.ix_(x[:, 0], (x if y is None else y)[:, 0])]

    def diag(self, x: Int[np.ndarray, "n 1"]) -> Float[np.ndarray, " n"]:
        return np.diag(self.matrix)[x[:, 0]]

    def is_stationary(self) -> bool:
        return False


def globe() -> Space:
    latitude = (torch.arange(ROWS) + 0.5) * math.pi / ROWS - math.pi / 2
    longitude = torch.arange(COLUMNS) * 2 * math.pi / COLUMNS
    up, around = torch.meshgrid(latitude, longitude, indexing="ij")
    points = torch.stack([up.cos() * around.cos(), up.cos() * around.sin(), up.sin()], dim=-1)
    names = tuple(f"v{i}" for i in range(VARIABLES))
    exists = torch.ones(ROWS, COLUMNS, dtype=torch.bool)
    area = up.cos() / up.cos().mean()
    return Space(names, True, area, exists, points, torch.zeros(0, ROWS, COLUMNS), torch.ones(VARIABLES))


def smooth(space: Space, count: int) -> torch.Tensor:
    """Sums of 1500 random waves in three dimensions, the same for all variables but for their weights."""
    generator = torch.Generator().manual_seed(0)
    waves = torch.randn(1500, 3, generator=generator) * 4
    phase = torch.rand(1500, 1, generator=generator) * 2 * math.pi
    basis = torch.cos(waves @ space.points.flatten(0, 1).T + phase)
    mixing = torch.randn(VARIABLES, 1500, generator=generator) + 1
    z = torch.randn(count, 1500, generator=generator)
    x = torch.einsum("nk, vk, kp -> nvp", z, mixing, basis)
    return (x / x.std()).unflatten(2, space.shape)


def ours(model: OptimalInterpolation, x: torch.Tensor, masks: torch.Tensor) -> tuple[float, torch.Tensor]:
    """Fields per second, and the means of the first mask."""
    mask = masks.repeat_interleave(FIELDS, dim=0)
    c = Context(len(x), observed=x * mask, mask=mask, noise=NOISE)
    model.moments(
        c[:FIELDS], RandomStreams(0, torch.arange(FIELDS), MEMBERS)
    )  # the covariance is made on first use
    best = 0.0
    for _ in range(REPEATS):
        start = time.perf_counter()
        m, _, _ = model.moments(c, RandomStreams(0, torch.arange(len(x)), MEMBERS))
        best = max(best, len(x) / (time.perf_counter() - start))
    return best, m[:FIELDS]


def scikit_learn(
    matrix: np.ndarray, x: torch.Tensor, mask: torch.Tensor, alpha: np.ndarray
) -> tuple[float, np.ndarray]:
    """Fields per second when all of x are fitted at once, and their means."""
    every = np.arange(len(matrix))[:, None]
    o = mask.flatten().numpy().nonzero()[0]
    y = x.flatten(1).numpy()[:, o].T.astype(float)
    best = 0.0
    for _ in range(REPEATS):
        start = time.perf_counter()
        process = GaussianProcessRegressor(Given(matrix), alpha=alpha[o], optimizer=None).fit(every[o], y)
        mean, _ = process.predict(every, return_std=True)
        best = max(best, len(x) / (time.perf_counter() - start))
    return best, mean.reshape(len(matrix), -1).T


def main() -> None:
    space = globe()
    x = smooth(space, DAYS + MASKS * FIELDS)
    model = OptimalInterpolation(space)
    model.solve([Batch(x[:DAYS], Context(DAYS))])
    model.choose(weight=1.0, taper=0.0, nugget=0.0)
    a = x[:DAYS].flatten(1).numpy()
    matrix = (a.T @ a / DAYS).astype(float)
    alpha = NOISE**2 + 64 * np.finfo(np.float32).eps * np.diag(matrix)
    x = x[DAYS:]
    lines = [
        f"Fields a second, {VARIABLES} x {ROWS} x {COLUMNS} values, {MASKS} masks x {FIELDS} fields,"
        f" {os.cpu_count()} cores, torch {torch.__version__}, load average {os.getloadavg()[0]:.1f}",
        "",
        "observed    ours   scikit-learn   ratio   scikit-learn, 8 at once   ratio   difference of means",
    ]
    for k in (0.05, 0.1, 0.2):
        generator = torch.Generator().manual_seed(1)
        masks = (torch.rand(MASKS, 1, ROWS, COLUMNS, generator=generator) < k).expand(-1, VARIABLES, -1, -1)
        fast, m = ours(model, x, masks)
        single, _ = scikit_learn(matrix, x[:1], masks[0], alpha)
        shared, mean = scikit_learn(matrix, x[:FIELDS], masks[0], alpha)
        off = np.abs(m.flatten(1).numpy() - mean).max()
        numbers = (
            f"{fast:8.1f} {single:14.2f} {fast / single:7.0f} {shared:25.2f} {fast / shared:7.1f} {off:21.1e}"
        )
        lines.append(f"{k:7.0%} {numbers}")
        print(lines[-1], flush=True)
    text = "\n".join(lines) + "\n"
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text)
    print("\n" + text)


if __name__ == "__main__":
    main()
