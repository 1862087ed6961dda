"""The Fréchet distance of two sets of features, each taken as one Gaussian (Heusel et al. 2017, arXiv:1706.08500).

With the features of an image classifier it is the Fréchet inception distance, FID. Its value depends on the features:
values by different features must not share a column.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def frechet_distance(x: Float[np.ndarray, "n feature"], y: Float[np.ndarray, "m feature"]) -> float:
    """`frechet_of_moments` of the sample means and covariances (divisor n - 1), in the square of the features' unit.

    Biased upwards by a term of order 1/n + 1/m that depends on the distribution: compare only values with the same n
    and m, next to the score of as many real features, and let n and m clearly exceed the number of features. NaN for
    a single row, which has no covariance; infinite where a feature is not finite, to penalise a model that blew up.
    """
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return float("inf")
    if min(len(x), len(y)) < 2:
        return float("nan")
    return frechet_of_moments(*moments(x), *moments(y))


def moments(
    x: Float[np.ndarray, "n feature"],
) -> tuple[Float[np.ndarray, " feature"], Float[np.ndarray, "feature feature"]]:
    """Mean and covariance (divisor n - 1), in float64."""
    x = x.astype(float)
    return x.mean(0), np.atleast_2d(np.cov(x, rowvar=False))


def frechet_of_moments(
    mu_x: Float[np.ndarray, " feature"],
    sigma_x: Float[np.ndarray, "feature feature"],
    mu_y: Float[np.ndarray, " feature"],
    sigma_y: Float[np.ndarray, "feature feature"],
) -> float:
    """‖μ_x - μ_y‖² + tr(Σ_x + Σ_y - 2 (Σ_x Σ_y)^½), the squared Wasserstein-2 distance of two Gaussians (Dowson and
    Landau 1982, doi:10.1016/0047-259X(82)90077-X).

    tr (Σ_x Σ_y)^½ is the sum of the singular values of Σ_x^½ Σ_y^½: real and stable where the product itself, which
    is not symmetric, has a root with an imaginary part, as with fewer rows than features.
    """
    product = symmetric_root(sigma_x) @ symmetric_root(sigma_y)
    trace = np.linalg.svd(product, compute_uv=False).sum()
    distance = ((mu_x - mu_y) ** 2).sum() + np.trace(sigma_x) + np.trace(sigma_y) - 2 * trace
    return max(float(distance), 0.0)  # below 0 by rounding only


def symmetric_root(sigma: Float[np.ndarray, "feature feature"]) -> Float[np.ndarray, "feature feature"]:
    """Symmetric root S = Sᵀ of a covariance Σ = S S; eigenvalues below 0 by rounding count as 0."""
    values, vectors = np.linalg.eigh(sigma)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
