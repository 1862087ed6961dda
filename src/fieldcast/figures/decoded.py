"""Decoded test data against decoded random draws: what a model keeps of a state, and what it makes of noise."""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr
from matplotlib.figure import Figure

from fieldcast.figures.pictures import Gallery, of_kind, reference
from fieldcast.figures.samples import by_truth

GAP = 0.3  # between experiments, in rows


def decoded_pictures(
    examples: Mapping[str, xr.Dataset], variable: str, names: Mapping[str, str] | None = None
) -> Figure:
    """Test data; of each experiment their reconstructions, column by column, and as many samples.

    Experiments that see the data differently each stand below what they see. `names`: what to call
    experiments.
    """
    called = names or {}
    groups = by_truth(examples, variable, "truth")
    first = examples[groups[0][0]]
    columns = len(of_kind(first, variable, "truth"))
    rows = sum(1 + len(group) * (2 + GAP) + GAP for group in groups) - GAP
    heading = "test data, reconstructions, samples"
    gallery = Gallery(first, variable, reference(first, variable), columns, rows, heading=heading)
    row = 0.0
    for group in groups:
        gallery.line(row, "test data", of_kind(examples[group[0]], variable, "truth"))
        row += 1 + GAP
        for experiment in group:
            name = called.get(experiment, experiment)
            found = examples[experiment]
            gallery.line(row, name, of_kind(found, variable, "reconstruction"), "reconstruction")
            gallery.line(row + 1, "samples", of_kind(found, variable, "sample")[:columns])
            row += 2 + GAP
    return gallery.figure
