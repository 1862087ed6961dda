"""Annual cycle as harmonics of the year, shrunk to what the record determines.

    c(theta) = a_0 + sum_k (a_k cos k theta + b_k sin k theta),    k = 1 ... 6,

at the phase theta of the year, with a_k, b_k ~ N(0, r_k s^2), s^2 the variance of the cell about its cycle.
Expectation-maximisation fits the ratios r_k to all cells together (empirical Bayes; Efron and Morris 1973). Means of
the few values of a month, or of the days around a date, would keep most of their noise; here harmonics that the record
does not show vanish.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from fieldcast.even_spacing import evenly_spaced_indices

HARMONICS = 6
EM_ITERATIONS = 15
MAX_CELLS = (
    2000  # largest number of cells from which the ratios r_k are estimated, and which are solved at a time
)
FREE_PRECISION = 1e-9  # inverse of the prior variance of a_0, which is left practically free
ROUNDING = 1e-9  # largest absolute value of a function that vanishes up to rounding


def basis(theta: Float[np.ndarray, " phase"]) -> Float[np.ndarray, "phase 13"]:
    """The functions 1, cos k theta and sin k theta at some phases."""
    waves = [wave(k * theta) for k in range(1, HARMONICS + 1) for wave in (np.cos, np.sin)]
    return np.stack([np.ones_like(theta), *waves], axis=1)


def shrunk_cycle(
    sums: Float[np.ndarray, "part y x"], counts: Float[np.ndarray, "part y x"],
    squares: Float[np.ndarray, "y x"], theta: Float[np.ndarray, " part"], at: Float[np.ndarray, " phase"],
) -> Float[np.ndarray, "phase y x"]:  # fmt: skip
    """The annual cycle c of each cell at some phases.

    Parameters
    ----------
    sums, counts
        Sum and number of the values in each part of the year.
    squares
        Sum of the squares of all values.
    theta
        Phases of the parts.
    at
        Phases of the result.
    """
    grid = squares.shape
    total, number, square = sums.reshape(len(sums), -1), counts.reshape(len(sums), -1), squares.ravel()
    waves = basis(theta)
    order = np.repeat(np.arange(HARMONICS + 1.0), 2)[1:]
    nonzero = abs(waves).max(0) > ROUNDING  # the sine of 6 theta is 0 in each of twelve months
    waves, order = waves[:, nonzero], order[nonzero]
    cells = np.flatnonzero(number.sum(0) > len(order))
    cells = cells[evenly_spaced_indices(len(cells), MAX_CELLS)]
    precision = np.where(order == 0, FREE_PRECISION, 1.0)
    for _ in range(EM_ITERATIONS if len(cells) else 0):
        precision = updated_precision(
            total[:, cells], number[:, cells], square[cells], waves, order, precision
        )
    cycle = np.empty((len(at), len(square)))
    for piece in np.array_split(np.arange(len(square)), -(-len(square) // MAX_CELLS)):
        a = posterior(total[:, piece], number[:, piece], waves, precision)[0]
        cycle[:, piece] = basis(at)[:, nonzero] @ a.T
    return cycle.reshape(len(at), *grid)


def posterior(
    sums: Float[np.ndarray, "part cell"], counts: Float[np.ndarray, "part cell"],
    waves: Float[np.ndarray, "part wave"], precision: Float[np.ndarray, " wave"],
) -> tuple[
    Float[np.ndarray, "cell wave"], Float[np.ndarray, "cell wave wave"], Float[np.ndarray, "cell wave wave"]
]:  # fmt: skip
    """Mean and covariance (in units of s^2) of the coefficients, and their normal matrix."""
    normal = np.einsum("mc,mi,mj->cij", counts, waves, waves, optimize=True)
    covariance = np.linalg.inv(normal + np.diag(precision))
    return np.einsum("cij,cj->ci", covariance, sums.T @ waves), covariance, normal


def updated_precision(
    sums: Float[np.ndarray, "part cell"], counts: Float[np.ndarray, "part cell"], squares: Float[np.ndarray, " cell"],
    waves: Float[np.ndarray, "part wave"], order: Float[np.ndarray, " wave"], precision: Float[np.ndarray, " wave"],
) -> Float[np.ndarray, " wave"]:  # fmt: skip
    """1 / r_k of each function after one more iteration."""
    a, covariance, normal = posterior(sums, counts, waves, precision)
    misfit = squares - 2 * (a * (sums.T @ waves)).sum(1) + np.einsum("ci,cij,cj->c", a, normal, a)
    freedom = np.einsum("cij,cji->c", covariance, normal)  # degrees of freedom of the fit
    variance = np.maximum(
        misfit / np.maximum(counts.sum(0) - freedom, 1.0), FREE_PRECISION * squares + np.finfo(float).tiny
    )
    moment = (a**2 / variance[:, None] + np.einsum("cii->ci", covariance)).mean(0)
    ratio = np.array([moment[order == k].mean() for k in order])
    return np.where(order == 0, FREE_PRECISION, 1 / ratio)
