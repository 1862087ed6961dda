"""Maps of Wasserstein distances, in one scale from 0."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.collections import QuadMesh

from fieldcast.figures.samples import wasserstein_maps


def test_maps_show_each_variable_of_each_experiment(sampled):
    stored = {name: sampled(images=False)["diagnostics"][name] for name in ("vae", "ddpm")}
    stored["ddpm"]["wasserstein"][1, 2, 3] = np.nan
    figure = wasserstein_maps(stored)
    meshes = [item for item in figure.axes[0].collections if isinstance(item, QuadMesh)]
    expected = [values for result in stored.values() for values in result["wasserstein"].to_numpy()]
    for mesh, values in zip(meshes, expected, strict=True):
        np.testing.assert_array_equal(np.ma.filled(mesh.get_array(), np.nan), values)
        assert mesh.norm.vmin == 0.0
    assert [item.get_text() for item in figure.axes[0].texts if item.get_text().startswith("0.")] == [
        *["0.10"] * 2,
        *["0.50"] * 2,
    ]


def test_a_model_that_is_far_off_does_not_take_the_colours_of_the_others(sampled):
    stored = {name: sampled(images=False)["diagnostics"][name] for name in ("vae", "ddpm")}
    stored["ddpm"]["wasserstein"][:] = 4000.0
    meshes = [item for item in wasserstein_maps(stored).axes[0].collections if isinstance(item, QuadMesh)]
    assert all(mesh.norm.vmax == 1.0 for mesh in meshes)


def test_the_printed_mean_is_by_exact_areas_also_at_the_poles():
    """Cells of the poles of a grid of 45 degrees reach to 67.5: their share is 1 - sin 67.5 = 0.076, cos 90 is 0."""
    latitude = np.arange(-90.0, 91.0, 45.0)
    distance = np.where(np.abs(latitude) == 90, 10.0, 0.0)[None, :, None] * np.ones((1, 5, 8))
    grid = {"variable": ["z"], "latitude": latitude, "longitude": np.arange(0, 360, 45.0)}
    stored = xr.Dataset({"wasserstein": (tuple(grid), distance)}, grid)
    texts = [text.get_text() for text in wasserstein_maps({"vae": stored}).axes[0].texts]
    assert "0.76" in texts
