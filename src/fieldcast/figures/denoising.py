"""A diffusion model at work: from noise to a sample."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from fieldcast.figures.pictures import Gallery, kinds_of, reference


def denoising(examples: xr.Dataset, variable: str, experiment: str = "") -> Figure:
    """A row a draw, t falling to 0 from left to right; colours of real states, so early noise leaves them."""
    found = examples.isel(picture=np.flatnonzero(kinds_of(examples) == "snapshot"))
    times = sorted(set(found["chain_time"].to_numpy().tolist()), reverse=True)
    draws = sorted(set(found["number"].to_numpy().tolist()))
    gallery = Gallery(
        found,
        variable,
        reference(examples, variable),
        len(times),
        len(draws),
        heading=experiment,
        names=0.7,
        titles=True,
    )
    for column, t in enumerate(times):
        gallery.sheet.title((column, 0), f"t = {t:g}")
    for row, number in enumerate(draws):
        gallery.sheet.row(row, f"draw {row + 1}")
        for column, t in enumerate(times):
            here = (found["number"].to_numpy() == number) & (found["chain_time"].to_numpy() == t)
            if here.any():
                gallery.draw((column, row), found[variable].to_numpy()[here][0].astype(float))
    return gallery.figure
