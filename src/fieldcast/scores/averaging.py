"""Area-weighted means of statistics over chosen cells: one number a time."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float


def cell_weights(
    area: Float[np.ndarray, "*cell"], chosen: Bool[np.ndarray, "*kind_and_time *cell"]
) -> Float[np.ndarray, "*kind_and_time *cell"]:
    """w = area where a cell is chosen, else 0, scaled to sum to 1 over the cells; NaN where none is
    chosen."""
    weights = np.where(chosen, area, 0.0)
    total = weights.sum(axis=(-2, -1), keepdims=True)
    return weights / np.where(total > 0, total, np.nan)


def weighted_mean(
    values: Float[np.ndarray, "statistic time latitude longitude"],
    weights: Float[np.ndarray, "kind time latitude longitude"],
    exists: Bool[np.ndarray, "latitude longitude"],
) -> Float[np.ndarray, "kind statistic time"]:
    """Σ_cells w · value in float64. Only cells that do not exist may be NaN without making the mean NaN."""
    values = np.where(exists, values, 0.0).astype(float)
    flat = (*values.shape[:2], -1)
    # time first makes it one matrix product a time
    return np.einsum(
        "stc,ktc->kst", values.reshape(flat), weights.reshape(len(weights), *flat[1:]), optimize=True
    )
