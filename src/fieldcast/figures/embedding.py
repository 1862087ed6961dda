"""Latents of test data in two dimensions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from jaxtyping import Float, Shaped
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from fieldcast.figures.style import INK, NORMAL, calm, new_figure, plain

POINTS, STEPS = 1000, 500  # 500 steps more hardly move 1000 points
FEWEST = 10  # data: fewer have no neighbourhoods to keep
NUMBERED = 20  # labels: more have no colours of their own
ONE = "#44627d"


def embeddings(latents: Mapping[str, xr.Dataset], seed: int = 0, points: int = POINTS) -> Figure:
    """Draw one panel per experiment: posterior means of test data, coloured by label if there are labels.

    Two components are shown directly. More are reduced to two by t-SNE (van der Maaten and Hinton, Journal
    of Machine Learning Research 9, 2008, 2579-2605): neighbours stay neighbours, while distances between
    clusters, their sizes and the axes have no meaning.
    """
    columns = min(3, max(2, len(latents)))
    lines = -(-max(1, len(latents)) // columns)
    figure = new_figure(3.3 * lines, 3.4 * columns + 0.8)
    panels = figure.subplots(lines, columns, squeeze=False)
    for axes in panels.ravel()[len(latents) :]:
        axes.set_visible(False)
    for axes, (name, codes) in zip(panels.ravel(), latents.items(), strict=False):
        subset = evenly(codes.sizes["datum"], points)
        means = codes["mean"].isel(datum=subset).to_numpy().astype(float)
        flat = means.shape[1] == 2
        places = means if flat else t_sne(means, seed)
        labels = codes["label"].to_numpy()[subset] if "label" in codes.coords else None
        draw_points(axes, places, labels)
        how = f"{means.shape[1]} components" + ("" if flat else ", t-SNE")
        calm(axes, f"{name}\n{how}", "z_0" if flat else "", "z_1" if flat else "")
        if not flat:
            axes.set_xticks([])
            axes.set_yticks([])
    return figure


def can_be_shown(latents: xr.Dataset) -> bool:
    """Whether latents have two components, or more with labels and enough data for t-SNE."""
    if "mean" not in latents or latents.sizes["latent"] < 2:
        return False
    return latents.sizes["latent"] == 2 or ("label" in latents.coords and latents.sizes["datum"] >= FEWEST)


def evenly(count: int, most: int) -> np.ndarray:
    """Indices of at most that many data, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def t_sne(means: Float[np.ndarray, "datum latent"], seed: int) -> Float[np.ndarray, "datum 2"]:
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
    places: Float[np.ndarray, "datum 2"],
    labels: Shaped[np.ndarray, " datum"] | None,
    size: float = 5.0,
) -> None:
    """Draw dots, coloured by label, with each label at the median of its dots."""
    values = [] if labels is None else sorted(set(labels.tolist()))
    if labels is None or not 1 < len(values) <= NUMBERED:
        axes.scatter(*places.T, s=size, color=ONE, alpha=0.6, linewidths=0)
        return
    colours = colormaps["tab10" if len(values) <= 10 else "tab20"].colors
    edge = [withStroke(linewidth=2.5, foreground="white")]
    for label, colour in zip(values, colours, strict=False):
        points = places[labels == label]
        axes.scatter(*points.T, s=size, color=colour, alpha=0.7, linewidths=0)
        middle = np.median(points, axis=0)
        axes.text(
            *middle,
            plain(label),
            fontsize=NORMAL,
            weight="bold",
            color=INK,
            path_effects=edge,
            ha="center",
            va="center",
        )
