"""Are samples copies? Each beside its nearest training state, and how near they are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from fieldcast.figures.curves import DECADE
from fieldcast.figures.pictures import Gallery, of_kind, reference
from fieldcast.figures.style import INK, SMALL, Look, calm, chosen, key, new_figure

BINS = 24
TINY = 1e-6  # a distance: nearer is a copy


def nearest_pictures(examples: Mapping[str, xr.Dataset], variable: str) -> Figure:
    """Of each experiment a few samples, and below each the training state nearest to it, over all variables."""
    first = next(iter(examples.values()))
    near = {name: of_kind(found, variable, "nearest") for name, found in examples.items()}
    columns = max(len(found) for found in near.values())
    rows = len(near) * 2.3 - 0.3
    heading = "samples, and the training state nearest to each"
    gallery = Gallery(first, variable, reference(first, variable), columns, rows, heading=heading)
    for place, (name, found) in enumerate(near.items()):
        drawn = of_kind(examples[name], variable, "sample")[: len(found)]
        gallery.line(2.3 * place, name, drawn)
        gallery.line(2.3 * place + 1, "nearest in training", found)
    return gallery.figure


def nearest_distances(
    diagnostics: Mapping[str, xr.Dataset], looks: Mapping[str, Look] | None = None
) -> Figure:
    """A panel an experiment: distances to the nearest training state, of samples (filled) and of test data (line).

    Root-mean-square over cells, of fields standardised; bars are shares. Samples that lie left of all test data
    are copies. The axis is logarithmic where distances differ much.
    """
    appearance = chosen(diagnostics, looks)
    columns = min(4, max(2, len(diagnostics)))
    lines = -(-max(1, len(diagnostics)) // columns)
    figure = new_figure(0.6 + 1.6 * lines)
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True)
    shown = {name: distances(found) for name, found in diagnostics.items()}
    every = np.concatenate([values for both in shown.values() for values in both])
    wide = bool(every.size and every.max() > DECADE * np.quantile(every, 0.01))
    for axes in panels.ravel()[len(diagnostics) :]:
        axes.set_visible(False)
    for axes, name in zip(panels.ravel(), shown, strict=False):
        draw_distances(axes, shown[name], wide, appearance[name].colour)
        calm(axes, name)
        axes.set_yticks([])
        axes.tick_params(labelbottom=True)
    figure.supxlabel(
        "distance to the nearest training state, root-mean-square over cells", fontsize=SMALL, color=INK
    )
    key(figure, panels[0, 0])
    return figure


def distances(diagnostics: xr.Dataset) -> tuple[Float[np.ndarray, " sample"], Float[np.ndarray, " datum"]]:
    """Of samples and of test data, those that are finite; an exact copy is at a distance that has a logarithm."""
    both = (diagnostics[f"nearest_of_{part}"].to_numpy().astype(float) for part in ("samples", "test"))
    drawn, test = (np.maximum(values[np.isfinite(values)], TINY) for values in both)
    return drawn, test


def draw_distances(axes: Axes, both: tuple[np.ndarray, np.ndarray], wide: bool, colour: str) -> None:
    """Shares of both in common bins, which are even on the axis."""
    drawn, test = both
    values = np.concatenate(both)
    if not len(values):
        return
    borders = (
        np.exp(np.histogram_bin_edges(np.log(values), BINS)) if wide else np.histogram_bin_edges(values, BINS)
    )
    if wide:  # rounding must not leave the ends outside
        borders[[0, -1]] = values.min(), values.max()
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_locator(NullLocator())
    if len(drawn):  # none where a model blew up
        axes.hist(
            drawn,
            borders,
            weights=np.full(len(drawn), 1 / len(drawn)),
            color=colour,
            alpha=0.55,
            label="samples",
        )
    if len(test):
        shares = np.full(len(test), 1 / len(test))
        axes.hist(test, borders, weights=shares, histtype="step", color=INK, linewidth=1.2, label="test data")
