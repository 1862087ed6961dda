"""Latents of test data, and of training data beside them, in two dimensions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Shaped
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from fieldcast.figures.style import (
    INK,
    NORMAL_FONT,
    SMALL_FONT,
    draw_legend,
    escape,
    new_figure,
    panel_title,
    percent,
    style_axes,
)
from fieldcast.geometry import evenly_spaced_indices
from fieldcast.scores.distances import limits_of, mass_beyond, most_active

POINTS, STEPS = 1000, 500  # points and steps of t-SNE; 500 steps more hardly move 1000 points
MIN_T_SNE_DATA = 10  # data that t-SNE needs: fewer have no neighbourhoods to keep
MAX_COLOURED_LABELS = 20  # labels with a colour each
UNLABELLED_COLOUR = "#44627d"  # colour of dots without such labels

Panel = tuple[str, Float[np.ndarray, "datum 2"], Shaped[np.ndarray, " datum"] | None, int]


def embeddings(latents: Mapping[str, xr.Dataset]) -> Figure:
    """Draw a panel per experiment: posterior means of test data, coloured by label if there are labels.

    Training data have a second panel where a table holds their codes. Two components are shown directly. More are
    reduced to two by t-SNE (van der Maaten and Hinton, Journal of Machine Learning Research 9, 2008, 2579-2605):
    neighbours stay neighbours, while distances between clusters, their sizes and the axes have no meaning.
    """
    reduced = {name: in_a_plane(codes) for name, codes in latents.items()}
    panels = [panel for name, codes in reduced.items() for panel in panels_of(name, codes)]
    columns = (
        4 if any("training_mean" in codes for codes in latents.values()) else min(3, max(2, len(panels)))
    )
    lines = -(-max(1, len(panels)) // columns)
    size = 3.4 if columns < 4 else 2.55  # inches
    figure = new_figure(size * lines, size * columns + 0.8)
    axes_of = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in axes_of[len(panels) :]:
        axes.set_visible(False)
    for axes, (title, positions, labels, components) in zip(axes_of, panels, strict=False):
        is_plane = components == 2
        draw_points(axes, positions, labels)
        name_points(axes, positions, labels)
        method = f"{components} components" + ("" if is_plane else ", t-SNE")
        heading = f"{panel_title(title, columns)}\n{method}"
        style_axes(axes, heading, "z_0" if is_plane else "", "z_1" if is_plane else "")
        if not is_plane:
            axes.set_xticks([])
            axes.set_yticks([])
    return figure


def in_a_plane(codes: xr.Dataset) -> xr.Dataset:
    """Two numbers for each of at most `POINTS` test data and training data: the codes, or more components by t-SNE.

    Variables mean (datum, latent) and, where the codes have it, training_mean (training, latent), with their labels;
    attrs["components"] is the number of components of the codes. A data set with that attribute is returned as it is.
    """
    if "components" in codes.attrs:
        return codes
    reduced = xr.Dataset(attrs={"components": codes.sizes["latent"]})
    for dim, prefix in prefixes_of(codes).items():
        subset = evenly_spaced_indices(codes.sizes[dim], POINTS)
        means = codes[f"{prefix}mean"].isel({dim: subset}).to_numpy().astype(float)
        positions = means if means.shape[1] == 2 else t_sne(means)
        reduced[f"{prefix}mean"] = ((dim, "latent"), positions)
        if (label := f"{prefix}label") in codes.coords:
            reduced = reduced.assign_coords({label: (dim, codes[label].to_numpy()[subset])})
    return reduced


def prefixes_of(codes: xr.Dataset) -> dict[str, str]:
    """Prefixes of the variables of training data, if there are any, and of test data, by dimension."""
    return {"training": "training_", "datum": ""} if "training_mean" in codes else {"datum": ""}


def panels_of(name: str, codes: xr.Dataset) -> Iterator[Panel]:
    """Title, positions, labels and number of components of the training data of a table, and of test data."""
    prefixes = prefixes_of(codes)
    for dim, prefix in prefixes.items():
        positions = codes[f"{prefix}mean"].to_numpy().astype(float)
        labels = codes[f"{prefix}label"].to_numpy() if f"{prefix}label" in codes.coords else None
        suffix = {"training": ", training", "datum": ", test" if len(prefixes) > 1 else ""}[dim]
        yield f"{name}{suffix}", positions, labels, int(codes.attrs["components"])


def can_be_shown(latents: xr.Dataset) -> bool:
    """Whether latents have two components, or more with labels and enough data for t-SNE."""
    if "mean" not in latents or latents.sizes["latent"] < 2:
        return False
    return latents.sizes["latent"] == 2 or (
        "label" in latents.coords and latents.sizes["datum"] >= MIN_T_SNE_DATA
    )


def t_sne(means: Float[np.ndarray, "datum latent"], seed: int = 0) -> Float[np.ndarray, "datum 2"]:
    """Embed by t-SNE with a perplexity of 30, or of a fifth of a small data set; deterministic."""
    # imported here: they take a second, and most pages need none
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(30.0, len(means) / 5)
    with threadpool_limits(1):  # sums over threads come in any order, and a last digit moves whole clusters
        embedded = TSNE(perplexity=perplexity, init="pca", max_iter=STEPS, random_state=seed).fit_transform(
            means.astype("float32")
        )
    return embedded.astype(float)


def draw_points(
    axes: Axes,
    positions: Float[np.ndarray, "datum 2"],
    labels: Shaped[np.ndarray, " datum"] | None,
    size: float = 5.0,
) -> None:
    """Draw dots, coloured by label, with an entry for the legend of each label."""
    values = coloured_labels(labels)
    if labels is None or not values:
        axes.scatter(*positions.T, s=size, color=UNLABELLED_COLOUR, alpha=0.6, linewidths=0)
        return
    for label, colour in zip(values, colours_of(values), strict=True):
        points, name = positions[labels == label], escape(label)
        axes.scatter(*points.T, s=size, color=colour, alpha=0.7, linewidths=0, label=name)


def colours_of(labels: Sequence[Any]) -> Sequence[tuple[float, ...]]:
    return colormaps["tab10" if len(labels) <= 10 else "tab20"].colors[: len(labels)]


def coloured_labels(labels: Shaped[np.ndarray, " datum"] | None) -> list[Any]:
    """The labels in ascending order; none where they are not told apart by colours."""
    values = [] if labels is None else sorted(set(labels.tolist()))
    return values if 1 < len(values) <= MAX_COLOURED_LABELS else []


def name_points(
    axes: Axes, positions: Float[np.ndarray, "datum 2"], labels: Shaped[np.ndarray, " datum"] | None
) -> None:
    """Write each label in the colour of its dots, at their median, or near it where labels would overlap."""
    values = coloured_labels(labels)
    if not values:
        return
    medians = np.stack([np.median(positions[labels == label], axis=0) for label in values])
    sizes = text_sizes(axes, [escape(label) for label in values], np.ptp(positions, axis=0))
    edge = [withStroke(linewidth=2.5, foreground="white")]
    style = {"fontsize": NORMAL_FONT, "weight": "bold", "path_effects": edge}
    inside = positions.min(axis=0) + sizes / 2, positions.max(axis=0) - sizes / 2
    places = np.clip(apart(medians, sizes), *inside)  # no name leaves the panel
    for label, place, colour in zip(values, places, colours_of(values), strict=True):
        dark = tuple(0.7 * part for part in colour)  # as letters are thin
        axes.text(*place, escape(label), ha="center", va="center", color=dark, **style)


def text_sizes(
    axes: Axes, texts: Sequence[str], extent: Float[np.ndarray, " 2"]
) -> Float[np.ndarray, "text 2"]:
    """Width and height of bold texts in a panel of its figure's grid, whose data have this extent, about."""
    spec = axes.get_subplotspec()
    columns, lines = (1, 1) if spec is None else (spec.get_gridspec().ncols, spec.get_gridspec().nrows)
    room = np.array([0.85, 0.65])  # the rest is margins and titles
    panel = room * axes.get_figure(root=True).get_size_inches() / [columns, lines]
    letter = NORMAL_FONT / 72  # height [inches]
    inches = np.array([[0.65 * letter * len(text), 1.1 * letter] for text in texts])
    sizes: Float[np.ndarray, "text 2"] = inches * extent / panel
    return sizes


def apart(
    places: Float[np.ndarray, "text 2"], sizes: Float[np.ndarray, "text 2"]
) -> Float[np.ndarray, "text 2"]:
    """Move the centres of texts up and down until none overlaps another; deterministic."""
    moved = places.copy()
    for _ in range(200):
        overlapping = False
        for i, j in combinations(range(len(moved)), 2):
            needed = (sizes[i] + sizes[j]) / 2 - np.abs(moved[j] - moved[i])
            if (needed > 1e-9 * sizes[i]).all():
                overlapping = True
                upwards = 1.0 if moved[j, 1] >= moved[i, 1] else -1.0
                moved[[i, j], 1] += np.array([-1.0, 1.0]) * upwards * needed[1] / 2
        if not overlapping:
            break
    return moved


# Prior and aggregate posterior of a model, which should agree.


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


def prior_can_be_shown(latents: xr.Dataset) -> bool:
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
