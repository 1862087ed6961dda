"""Structural similarity of two maps (Wang, Bovik, Sheikh and Simoncelli 2004, doi:10.1109/TIP.2003.819861,
eq. 13)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter

SIGMA, TRUNCATE = 1.5, 3.5  # width of the window [cells] and its end [widths]: 11 x 11 cells, as in the paper
C1, C2 = 0.01**2, 0.03**2  # (K1 L)², (K2 L)² with a range of values L = 1


def structural_similarity(
    x: Float[np.ndarray, "*batch latitude longitude"],
    y: Float[np.ndarray, "*batch latitude longitude"],
    exists: Bool[np.ndarray, "*time latitude longitude"],
    wraps: bool,
) -> Float[np.ndarray, "*batch latitude longitude"]:
    """SSIM = (2 μ_x μ_y + C1)(2 σ_xy + C2) / ((μ_x² + μ_y² + C1)(σ_x² + σ_y² + C2)) round every cell.

    x and y must be scaled beforehand so that 0..1 is the range of values, fixed for all times. μ, σ² and σ_xy
    are moments under a Gaussian window in cells, which goes round the globe where longitude wraps; cells that do
    not exist or lie outside the grid have no weight. The score is 1 for identical maps and NaN where the cell does
    not exist.
    """

    def smooth(f: np.ndarray) -> np.ndarray:
        modes = ("constant", "wrap" if wraps else "constant")
        return gaussian_filter(f, SIGMA, mode=modes, truncate=TRUNCATE, axes=(-2, -1))

    weight = np.where(exists, smooth(exists.astype(float)), np.nan)
    x, y = np.where(exists, x, 0.0), np.where(exists, y, 0.0)
    mean_x, mean_y = smooth(x) / weight, smooth(y) / weight
    var_x, var_y = smooth(x * x) / weight - mean_x**2, smooth(y * y) / weight - mean_y**2
    covariance = smooth(x * y) / weight - mean_x * mean_y
    return ((2 * mean_x * mean_y + C1) * (2 * covariance + C2)) / (
        (mean_x**2 + mean_y**2 + C1) * (var_x + var_y + C2)
    )
