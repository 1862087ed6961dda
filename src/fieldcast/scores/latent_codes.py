"""The two most active components of a latent code, a square that holds them, and a prior's mass beyond contours."""

from __future__ import annotations

import numpy as np
import xarray as xr
from jaxtyping import Float


def most_active(latents: xr.Dataset) -> tuple[int, int]:
    """The two components whose posterior means vary most, in ascending order."""
    spread = latents["mean" if "mean" in latents else "drawn"].var("datum").to_numpy()
    first, second = sorted(np.argsort(-spread, kind="stable")[:2].tolist())
    return first, second


def limits_of(drawn: Float[np.ndarray, "datum 2"]) -> Float[np.ndarray, "end 2"]:
    """Corners of a square around the codes of data, with one scale for both axes.

    It is half as wide again as the middle 99 % of the codes in their wider component, so that the density of a prior
    is also visible where there are none. Single draws of a prior may be far away, and do not count.
    """
    finite = drawn[np.isfinite(drawn).all(1)]
    low = np.quantile(
        finite, 0.005, axis=0, method="higher"
    )  # so that it is none of few codes that is far away
    high = np.quantile(finite, 0.995, axis=0, method="lower")
    middle, half = (low + high) / 2, 0.75 * (high - low).max()
    return np.stack([middle - half, middle + half])


def mass_beyond(mass: Float[np.ndarray, "v u"]) -> Float[np.ndarray, "v u"]:
    """Probability of all cells that are less dense than each one: 1 - the mass of its region of highest density.

    `mass` is the probability of cells of one size; what the cells lack to 1 is beyond all of them, or if they exceed
    1, as a coarse grid does for a narrow peak, they are scaled to it.
    """
    flat = np.nan_to_num(mass.ravel()) / max(1.0, float(np.nansum(mass)))
    order = np.argsort(-flat, kind="stable")
    beyond = np.empty_like(flat)
    beyond[order] = 1 - np.cumsum(flat[order]) + flat[order] / 2
    return np.where(flat > 0, beyond, 0.0).reshape(mass.shape)
