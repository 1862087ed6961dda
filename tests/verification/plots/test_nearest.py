"""Samples above their nearest training states; distances as histograms that are densities."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import QuadMesh
from matplotlib.patches import Polygon

from fieldcast.verification.plots.nearest import nearest_distances, nearest_pictures
from fieldcast.verification.plots.pictures import of_kind


def test_each_sample_stands_above_its_neighbour(sampled):
    stored = {name: sampled()["examples"][name] for name in ("flow", "ddpm")}
    figure = nearest_pictures(stored, "image")
    meshes = [one.get_array() for one in figure.axes[0].collections if isinstance(one, QuadMesh)]
    for place, found in enumerate(stored.values()):
        rows = np.array(meshes[20 * place : 20 * place + 20])
        np.testing.assert_array_equal(rows[:10], of_kind(found, "image", "sample")[:10])
        np.testing.assert_array_equal(rows[10:], of_kind(found, "image", "nearest"))


def test_histograms_hold_all_finite_distances(sampled):
    stored = {name: sampled()["diagnostics"][name].copy() for name in ("flow", "ddpm")}
    stored["flow"]["nearest_of_samples"][:] = np.inf  # it blew up
    first, second = [one for one in nearest_distances(stored).axes if one.get_visible()]
    assert len(first.patches) == 1  # test data alone
    bars = [one for one in second.patches if not isinstance(one, Polygon)]
    heights, widths = np.array([(bar.get_height(), bar.get_width()) for bar in bars]).T
    assert np.isclose((heights * widths).sum(), 1.0)
    counts = heights * widths * 100
    np.testing.assert_allclose(counts, counts.round(), atol=1e-9)
    drawn = stored["ddpm"]["nearest_of_samples"].to_numpy()
    left = np.array([bar.get_x() for bar in bars])
    expected = [((drawn >= low) & (drawn < low + wide)).sum() for low, wide in zip(left, widths, strict=True)]
    assert np.abs(counts - expected).sum() <= 1  # the last border counts on both sides
