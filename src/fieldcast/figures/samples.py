"""Samples of each model beside real data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from fieldcast.figures.pictures import Gallery, Stack, across, of_kind, reference

GAP = 0.35  # between groups, in rows


def sample_sheet(examples: Mapping[str, xr.Dataset], variable: str) -> Figure:
    """A row an experiment, real data above those who were trained on such data; samples as they were drawn.

    Experiments that see the data differently (binarised, grey) each stand below what they see.
    """
    groups = by_truth(examples, variable, "real")
    first = examples[groups[0][0]]
    columns = across(first)
    rows = sum(1 + len(group) + GAP for group in groups) - GAP
    heading = "real states, and samples as they were drawn, none chosen"
    gallery = Gallery(first, variable, reference(first, variable), columns, rows, heading=heading)
    row = 0.0
    for group in groups:
        stored = [examples[name] for name in group]
        kept = stored[0].attrs.get("treatment", "")
        name = f"real, {kept}" if len(groups) > 1 and kept else "real"
        gallery.line(row, name, of_kind(stored[0], variable, "real")[:columns])
        for place, (experiment, found) in enumerate(zip(group, stored, strict=True), start=1):
            gallery.line(row + place, experiment, of_kind(found, variable, "sample")[:columns])
        row += 1 + len(group) + GAP
    return gallery.figure


def by_truth(examples: Mapping[str, xr.Dataset], variable: str, kind: str) -> list[list[str]]:
    """Experiments in groups with the same pictures of this kind, in their order."""
    found: list[tuple[Stack, list[str]]] = []
    for name, stored in examples.items():
        own = of_kind(stored, variable, kind)
        same = next((names for truth, names in found if np.array_equal(truth, own, equal_nan=True)), None)
        if same is None:
            found.append((own, [name]))
        else:
            same.append(name)
    return [names for _, names in found]


def in_parts(names: Sequence[str], most: int) -> list[list[str]]:
    """Names in parts of at most so many, of nearly equal length."""
    count = -(-len(names) // most)
    return [part.tolist() for part in np.array_split(np.array(names, dtype=object), count)] if count else []
