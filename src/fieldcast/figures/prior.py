"""Prior and aggregate posterior of a model, which should agree."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from fieldcast.figures.embedding import draw_points
from fieldcast.figures.style import new_figure, style_axes
from fieldcast.scores.latent_codes import limits_of, most_active

DENSITY = {  # shades of a density of at most 1 by its cube root, which shows tails; not too dark for the dots
    "cmap": "Greys", "norm": PowerNorm(1 / 3, 0.0, 2.0),
}  # fmt: skip
MAX_POINTS = 2000  # dots, at most
MAX_BINS = 40  # bins along an axis of a histogram, at most


def priors(latents: Mapping[str, xr.Dataset]) -> Figure:
    """Draw one panel per experiment: the density of the prior (grey), and a posterior draw for each test datum (dots).

    Dots have the colour of their label; both axes have one scale. The density of two components is exact; for
    more, it is a histogram of draws in the two components whose posterior means vary most. Dots on white are
    data that no sample resembles; grey without dots are samples that no datum resembles.
    """
    columns = min(4, max(2, len(latents)))
    lines = -(-max(1, len(latents)) // columns)
    figure = new_figure(2.75 * lines)
    panels = figure.subplots(lines, columns, squeeze=False)
    for axes in panels.ravel()[len(latents) :]:
        axes.set_visible(False)
    for axes, (name, codes) in zip(panels.ravel(), latents.items(), strict=False):
        draw_prior(axes, codes)
        first, second = most_active(codes)
        style_axes(axes, name, f"z_{first}", f"z_{second}")
        axes.grid(False)
    return figure


def can_be_shown(latents: xr.Dataset) -> bool:
    """Whether there are two components, draws from posteriors, and a prior."""
    return {"drawn", "prior"} <= set(latents.data_vars) and latents.sizes["latent"] >= 2


def draw_prior(axes: Axes, latents: xr.Dataset) -> None:
    """Draw density and dots, within limits that hold nearly all of both."""
    pair = list(most_active(latents))
    drawn = latents["drawn"].isel(latent=pair).to_numpy().astype(float)[:MAX_POINTS]
    prior = latents["prior"].isel(latent=pair).to_numpy().astype(float)
    limits = limits_of(drawn, prior)
    if "log_density" in latents:
        log_density = latents["log_density"].transpose("v", "u").to_numpy().astype(float)
        density = np.exp(log_density - np.nanmax(log_density))
        axes.pcolormesh(latents["u"], latents["v"], density, **DENSITY, shading="nearest")
    else:
        bins = int(np.clip(np.sqrt(len(prior)) / 1.6, 4, MAX_BINS))
        counts, *borders = np.histogram2d(*prior.T, bins, range=limits.T.tolist())
        axes.pcolormesh(*borders, counts.T / counts.max(initial=1.0), **DENSITY)
    labels = latents["label"].to_numpy()[: len(drawn)] if "label" in latents.coords else None
    draw_points(axes, drawn, labels, size=float(np.clip(MAX_POINTS / max(1, len(drawn)), 2.5, 15.0)))
    axes.set_aspect("equal")
    axes.set_xlim(*limits[:, 0])
    axes.set_ylim(*limits[:, 1])
