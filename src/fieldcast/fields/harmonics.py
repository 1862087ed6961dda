"""Annual cycle of monthly data as harmonics of the year, shrunk to what the record determines.

    c(m) = a_0 + sum_k (a_k cos k theta + b_k sin k theta),    theta = 2 pi m / 12,    k = 1 ... 6,

with a_k, b_k ~ N(0, r_k s^2), s^2 the variance of the cell about its cycle. Expectation-maximisation fits the ratios
r_k to all cells together (empirical Bayes; Efron and Morris 1973). Twelve means of a few values each would keep most of
their noise; here harmonics that the record does not show vanish.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

MONTHS = 12
ROUNDS = 15  # of expectation-maximisation
CELLS = 2000  # from which the ratios are estimated
FREE = 1e-9  # inverse of the prior variance of a_0


def basis() -> tuple[Float[np.ndarray, "12 12"], Float[np.ndarray, " 12"]]:
    """Values of the twelve functions in each month, and k of each."""
    theta = 2 * np.pi * np.arange(MONTHS) / MONTHS
    waves = [(k, wave(k * theta)) for k in range(1, 7) for wave in (np.cos, np.sin)[: 1 if k == 6 else 2]]
    order = np.array([0.0, *(k for k, _ in waves)])
    return np.stack([np.ones(MONTHS), *(values for _, values in waves)], axis=1), order


def shrunk_cycle(
    sums: Float[np.ndarray, "12 y x"], counts: Float[np.ndarray, "12 y x"], squares: Float[np.ndarray, "y x"]
) -> Float[np.ndarray, "12 y x"]:
    """c(m) of each cell.

    Parameters
    ----------
    sums, counts
        Sum and number of the values in each month.
    squares
        Sum of the squares of all values.
    """
    grid = squares.shape
    total, number, square = sums.reshape(MONTHS, -1), counts.reshape(MONTHS, -1), squares.ravel()
    waves, order = basis()
    used = np.flatnonzero(number.sum(0) > MONTHS)
    used = used[np.linspace(0, len(used) - 1, min(CELLS, len(used))).round().astype(int)]
    precision = np.where(order == 0, FREE, 1.0)
    for _ in range(ROUNDS if len(used) else 0):
        precision = maximised(total[:, used], number[:, used], square[used], waves, order, precision)
    cycle = np.empty_like(total)
    for piece in np.array_split(np.arange(total.shape[1]), -(-total.shape[1] // CELLS)):
        cycle[:, piece] = waves @ solved(total[:, piece], number[:, piece], waves, precision)[0].T
    return cycle.reshape(MONTHS, *grid)


def solved(
    sums: Float[np.ndarray, "12 cell"], counts: Float[np.ndarray, "12 cell"],
    waves: Float[np.ndarray, "12 12"], precision: Float[np.ndarray, " 12"],
) -> tuple[Float[np.ndarray, "cell 12"], Float[np.ndarray, "cell 12 12"], Float[np.ndarray, "cell 12 12"]]:  # fmt: skip
    """Mean and covariance (in units of s^2) of the coefficients, and their normal matrix."""
    normal = np.einsum("mc,mi,mj->cij", counts, waves, waves, optimize=True)
    covariance = np.linalg.inv(normal + np.diag(precision))
    return np.einsum("cij,cj->ci", covariance, sums.T @ waves), covariance, normal


def maximised(
    sums: Float[np.ndarray, "12 cell"], counts: Float[np.ndarray, "12 cell"], squares: Float[np.ndarray, " cell"],
    waves: Float[np.ndarray, "12 12"], order: Float[np.ndarray, " 12"], precision: Float[np.ndarray, " 12"],
) -> Float[np.ndarray, " 12"]:  # fmt: skip
    """1 / r_k of each function after one more round."""
    a, covariance, normal = solved(sums, counts, waves, precision)
    misfit = squares - 2 * (a * (sums.T @ waves)).sum(1) + np.einsum("ci,cij,cj->c", a, normal, a)
    fitted = np.einsum("cij,cji->c", covariance, normal)  # degrees of freedom
    variance = np.maximum(
        misfit / np.maximum(counts.sum(0) - fitted, 1.0), FREE * squares + np.finfo(float).tiny
    )
    moment = (a**2 / variance[:, None] + np.einsum("cii->ci", covariance)).mean(0)
    ratio = np.array([moment[order == k].mean() for k in order])
    return np.where(order == 0, FREE, 1 / ratio)
