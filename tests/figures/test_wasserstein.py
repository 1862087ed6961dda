"""Maps of Wasserstein distances, in one scale from 0."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import QuadMesh

from fieldcast.figures.wasserstein import area_mean, wasserstein_maps


def test_maps_show_each_variable_of_each_experiment(sampled):
    stored = {name: sampled(images=False)["diagnostics"][name] for name in ("vae", "ddpm")}
    stored["ddpm"]["wasserstein"][1, 2, 3] = np.nan
    figure = wasserstein_maps(stored)
    meshes = [one for one in figure.axes[0].collections if isinstance(one, QuadMesh)]
    expected = [values for found in stored.values() for values in found["wasserstein"].to_numpy()]
    for mesh, values in zip(meshes, expected, strict=True):
        np.testing.assert_array_equal(np.ma.filled(mesh.get_array(), np.nan), values)
        assert mesh.norm.vmin == 0.0
    assert [one.get_text() for one in figure.axes[0].texts if one.get_text().startswith("0.")] == [
        *["0.10"] * 2,
        *["0.50"] * 2,
    ]


def test_a_model_that_is_far_off_does_not_take_the_colours_of_the_others(sampled):
    stored = {name: sampled(images=False)["diagnostics"][name] for name in ("vae", "ddpm")}
    stored["ddpm"]["wasserstein"][:] = 4000.0
    meshes = [one for one in wasserstein_maps(stored).axes[0].collections if isinstance(one, QuadMesh)]
    assert all(mesh.norm.vmax == 1.0 for mesh in meshes)


def test_the_mean_is_by_area_of_the_cells_that_exist():
    values = np.array([[1.0, np.nan], [3.0, 3.0]])
    assert area_mean(values, np.array([60.0, 0.0])) == pytest.approx((0.5 * 1 + 3 + 3) / 2.5)
    assert np.isnan(area_mean(values * np.nan, np.array([60.0, 0.0])))
