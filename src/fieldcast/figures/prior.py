"""Prior and aggregate posterior of a model, which should agree."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from fieldcast.figures.embedding import draw_points
from fieldcast.figures.style import INK, SMALL_FONT, draw_legend, new_figure, percent, style_axes
from fieldcast.scores.latent_codes import limits_of, mass_beyond, most_active

BEYOND = (0.0, 0.01, 0.05, 0.2, 0.5, 1.0)  # mass of the prior beyond the borders of its shades
SHADES = {  # not too dark for the dots
    "cmap": ListedColormap(["#ffffff", "#ededed", "#dadada", "#c4c4c4", "#a6a6a6"]), "norm": BoundaryNorm(BEYOND, 5),
}  # fmt: skip
MAX_POINTS = 2000  # dots, at most
MAX_BINS = 40  # bins along an axis of a histogram, at most


def priors(latents: Mapping[str, xr.Dataset]) -> Figure:
    """Draw one panel per experiment: the density of the prior (grey), and a posterior draw for each test datum (dots).

    Dots have the colour of their label; both axes have one scale, and limits that hold the codes. Circles at the edge
    are codes beyond it; a note gives the share of the prior that is beyond it. The shades, from dark to light, are the
    regions of highest density that hold 50, 80, 95 and 99 % of the prior. The density of two components is exact; for
    more, it is a histogram of draws in the two components whose posterior means vary most. Dots on white are data that
    no sample resembles; grey without dots are samples that no datum resembles.
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
    draw_legend(figure, *panels.ravel(), handlelength=1.0, markerscale=3.0)
    return figure


def can_be_shown(latents: xr.Dataset) -> bool:
    """Whether there are two components, draws from posteriors, and a prior."""
    return {"drawn", "prior"} <= set(latents.data_vars) and latents.sizes["latent"] >= 2


def draw_prior(axes: Axes, latents: xr.Dataset) -> None:
    """Draw density and dots, within limits that hold nearly all codes."""
    pair = list(most_active(latents))
    drawn = latents["drawn"].isel(latent=pair).to_numpy().astype(float)[:MAX_POINTS]
    prior = latents["prior"].isel(latent=pair).to_numpy().astype(float)
    low, high = limits = limits_of(drawn)
    if "log_density" in latents:
        log_density = latents["log_density"].transpose("v", "u").to_numpy().astype(float)
        across, up = (latents[name].to_numpy().astype(float) for name in ("u", "v"))
        mass = np.exp(log_density) * (across[1] - across[0]) * (up[1] - up[0])
        axes.pcolormesh(across, up, mass_beyond(mass), **SHADES, shading="nearest")
    else:
        bins = int(np.clip(np.sqrt(len(prior)) / 1.6, 4, MAX_BINS))
        counts, *borders = np.histogram2d(*prior.T, bins, range=limits.T.tolist())
        axes.pcolormesh(*borders, mass_beyond(counts.T / len(prior)), **SHADES)
    labels = latents["label"].to_numpy()[: len(drawn)] if "label" in latents.coords else None
    size = float(np.clip(MAX_POINTS / max(1, len(drawn)), 2.5, 15.0))
    inside = ((low <= drawn) & (drawn <= high)).all(1)
    draw_points(axes, np.where(inside[:, None], drawn, np.nan), labels, size=size)
    if not inside.all():
        edge = np.clip(drawn[~inside], low, high)
        axes.scatter(*edge.T, s=3 * size, facecolors="none", edgecolors=INK, linewidths=0.6, clip_on=False)
    beyond = float(np.mean(((prior < low) | (prior > high)).any(1)))
    if beyond >= 0.005:
        note = f"{percent(round(beyond, 2))} of the prior is beyond"
        axes.text(
            0.02, 0.98, note, transform=axes.transAxes, ha="left", va="top", fontsize=SMALL_FONT, color=INK
        )
    axes.set_aspect("equal")
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
