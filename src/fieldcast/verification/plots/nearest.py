"""Are samples copies? Each beside its nearest training state, and how near they are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from .pictures import Gallery, of_kind, reference
from .style import INK, SMALL, Look, calm, chosen, key, new_figure

BINS = 24


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

    Root-mean-square over cells, of fields standardised. Samples that lie left of all test data are copies.
    """
    appearance = chosen(diagnostics, looks)
    columns = min(4, max(2, len(diagnostics)))
    lines = -(-max(1, len(diagnostics)) // columns)
    figure = new_figure(0.6 + 1.6 * lines)
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True)
    for axes in panels.ravel()[len(diagnostics) :]:
        axes.set_visible(False)
    for axes, (name, found) in zip(panels.ravel(), diagnostics.items(), strict=False):
        both = [found[part].to_numpy().astype(float) for part in ("nearest_of_samples", "nearest_of_test")]
        drawn, test = (values[np.isfinite(values)] for values in both)
        borders = np.histogram_bin_edges(np.concatenate([drawn, test]), BINS)
        colour = appearance[name].colour
        if len(drawn):  # none where a model blew up
            axes.hist(drawn, borders, density=True, color=colour, alpha=0.55, label="samples")
        if len(test):
            axes.hist(test, borders, density=True, histtype="step", color=INK, label="test data")
        calm(axes, name)
        axes.set_yticks([])
        axes.tick_params(labelbottom=True)
    figure.supxlabel(
        "distance to the nearest training state, root-mean-square over cells", fontsize=SMALL, color=INK
    )
    key(figure, panels[0, 0])
    return figure
