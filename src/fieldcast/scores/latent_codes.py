"""The two most active components of a latent code, and a square that holds them."""

from __future__ import annotations

import numpy as np
import xarray as xr
from jaxtyping import Float


def most_active(latents: xr.Dataset) -> tuple[int, int]:
    """The two components whose posterior means vary most, in ascending order."""
    spread = latents["mean" if "mean" in latents else "drawn"].var("datum").to_numpy()
    first, second = sorted(np.argsort(-spread, kind="stable")[:2].tolist())
    return first, second


def limits_of(
    drawn: Float[np.ndarray, "datum 2"], prior: Float[np.ndarray, "draw 2"]
) -> Float[np.ndarray, "end 2"]:
    """Corners of a square that holds nearly all codes of data and draws of the prior: both axes have one scale."""
    both = np.concatenate([drawn, prior])
    low, high = np.quantile(both[np.isfinite(both).all(1)], [0.002, 0.998], axis=0)
    middle, half = (low + high) / 2, 0.56 * (high - low).max()
    return np.stack([middle - half, middle + half])
