"""Samples above their nearest training states; distances as histograms that are densities."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.patches import Polygon

from fieldcast.figures.nearest import nearest_distances, nearest_pictures
from fieldcast.figures.pictures import of_kind


def test_each_sample_stands_above_its_neighbour(sampled):
    stored = {name: sampled()["examples"][name] for name in ("flow", "ddpm")}
    figure = nearest_pictures(stored, "image")
    meshes = [one.get_array() for one in figure.axes[0].collections if isinstance(one, QuadMesh)]
    for place, found in enumerate(stored.values()):
        rows = np.array(meshes[20 * place : 20 * place + 20])
        np.testing.assert_array_equal(rows[:10], of_kind(found, "image", "sample")[:10])
        np.testing.assert_array_equal(rows[10:], of_kind(found, "image", "nearest"))


def test_bars_are_shares_of_all_finite_distances(sampled):
    stored = {name: sampled()["diagnostics"][name].copy() for name in ("flow", "ddpm")}
    stored["flow"]["nearest_of_samples"][:] = np.inf  # it blew up
    first, second = (axes for axes in nearest_distances(stored).axes if axes.get_visible())
    assert len(first.patches) == 1  # test data alone
    bars = [one for one in second.patches if not isinstance(one, Polygon)]
    left, wide, heights = np.array([(bar.get_x(), bar.get_width(), bar.get_height()) for bar in bars]).T
    drawn = stored["ddpm"]["nearest_of_samples"].to_numpy()
    borders = np.append(left, left[-1] + wide[-1])
    np.testing.assert_allclose(100 * heights, np.histogram(drawn, borders)[0], atol=1e-9)
    assert heights.sum() == pytest.approx(1.0)
    assert second.get_xscale() == "log"  # samples are at 0.2 to 0.4, test data at 1 to 2


def test_the_axis_is_logarithmic_only_where_distances_differ_much(sampled):
    stored = {"flow": sampled()["diagnostics"]["flow"]}
    assert nearest_distances(stored).axes[0].get_xscale() == "linear"
    stored["flow"]["nearest_of_samples"][:] = 0.0  # exact copies have no logarithm
    axes = nearest_distances(stored).axes[0]
    assert axes.get_xscale() == "log"
    heights = [one.get_height() for one in axes.patches if not isinstance(one, Polygon)]
    assert sum(heights) == pytest.approx(1.0)
